"""What a user can mend is one line on stderr and an exit code; a defect keeps its traceback."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

import foveal.commands.config
from foveal.cli import EXIT_FAILED, main

ROOT = Path(__file__).resolve().parents[3]
FULL = Path("/dev/full")
PROGRESS = ("rendering", "encoding", "features")  # what a bar leaves behind


def refusal(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """The one line that a command ends with."""
    assert main(words) == EXIT_FAILED
    *before, line = capsys.readouterr().err.splitlines()
    assert line.startswith("foveal: "), line
    assert all(one.startswith(PROGRESS) for one in before), before
    return line


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file.txt"
    path.write_text("no folder, no video")
    return path


@pytest.mark.parametrize(
    "words",
    [
        ["replay", "{gone}.mp4"],
        ["replay", "{file}"],
        ["replay", "{empty}"],
        ["track", "{gone}.mp4", "--point", "1,1"],
        ["track", "{file}", "--mask", "{gone}.png"],
        ["keyframes", "{gone}.mp4"],
        ["keyframes", "{file}"],
        ["keyframes", "{empty}"],
        ["listen", "{gone}.wav"],
        ["segment", "{gone}.jpg", "--point", "1,1"],
        ["segment", "{file}", "--point", "1,1"],
        ["segment", "{empty}", "--point", "1,1"],
        ["index", "query", "--text", "hi", "--index", "{gone}"],
        ["index", "query", "--text", "hi", "--index", "{file}"],
        ["config", "show", "{gone}.yaml"],
        ["config", "check", "{empty}"],
        ["config", "check", "{file}"],
        ["serve", "--config", "{gone}.yaml"],
        ["serve", "--tls-cert", "{gone}", "--tls-key", "{gone}"],
        ["token", "--file", "{file}", "list"],
        ["token", "--file", "{file}/tokens.json", "add", "glasses", "--scope", "publish"],
        ["data", "build", "--out", "{empty}/x.jsonl", "--data", "{gone}"],
        ["data", "import", "infoseek", "{gone}", "--images", "{empty}", "--out", "{empty}/x.jsonl"],
        ["train", "intents", "--data", "{gone}.yaml"],
        ["train", "intents", "--out", "{file}/x.safetensors"],
        ["demo-clip", "{file}/clip.mp4", "--seconds", "1"],
        ["models", "pull", "no-such-asset"],
    ],
    ids=" ".join,
)
def test_a_wrong_path_is_told_in_one_line(
    words: list[str], tmp_path: Path, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    places = {"gone": str(tmp_path / "gone"), "file": str(file), "empty": str(tmp_path / "empty")}
    refusal(capsys, *(word.format(**places) for word in words))


def test_a_host_that_nobody_knows_is_told_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    line = refusal(capsys, "serve", "--host", "no-such-host.invalid", "--port", "0")
    assert "choose another --host" in line and "Unknown error" not in line


def test_a_broken_settings_file_is_told_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.yaml").write_text("session: [")
    assert "a.yaml" in refusal(capsys, "config", "check", str(tmp_path / "a.yaml"))


def test_a_cache_that_cannot_be_written_names_the_variable(
    file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FOVEAL_CACHE", str(file))
    main(["models", "pull", "transnetv2"])
    assert "set FOVEAL_CACHE" in capsys.readouterr().err.splitlines()[-1]


def test_an_index_is_not_written_where_a_file_lies(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = file.with_name("things.jsonl")
    source.write_text('{"title": "Cup", "text": "A cup holds tea."}')
    line = refusal(capsys, "index", "build", "--source", str(source), "--out", str(file / "index"))
    assert "expected to write to" in line and "file.txt/index" in line


@pytest.mark.parametrize("library", ["libGL.so.1", "libglib-2.0.so.0", "libxyz.so.7"])
def test_a_missing_system_library_is_told_in_one_line(
    library: str, tmp_path: Path, file: Path
) -> None:
    """As the loader says it when OpenCV is imported in a slim image."""
    said = f"{library}: cannot open shared object file: No such file or directory"
    (tmp_path / "cv2.py").write_text(f"raise ImportError({said!r})\n")
    path = os.pathsep.join((str(tmp_path), str(ROOT)))
    done = subprocess.run(
        [sys.executable, "-m", "foveal.cli", "segment", str(file), "--point", "1,1"],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    assert done.returncode == EXIT_FAILED
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith(f"foveal: expected the system library {library}; install ")


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        PermissionError(errno.EACCES, "Permission denied", "/srv/x"),
        OSError(errno.EROFS, "Read-only file system", "/srv/x"),
    ],
    ids=lambda error: error.strerror,
)
def test_a_full_or_forbidden_disk_is_told_in_one_line(
    error: OSError, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> int:
        raise error

    monkeypatch.setattr(foveal.commands.config, "run", fail)
    line = refusal(capsys, "config", "show")
    assert str(error.strerror) in line and str(error.filename or "") in line


@pytest.mark.parametrize(
    "error", [ImportError("cannot import name 'x'"), ConnectionResetError(104)]
)
def test_a_defect_keeps_its_traceback(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> int:
        raise error

    monkeypatch.setattr(foveal.commands.config, "run", fail)
    with pytest.raises(type(error)):
        main(["config", "show"])


@pytest.mark.skipif(not FULL.exists(), reason="needs /dev/full")
def test_records_on_a_full_disk() -> None:
    from reasoning.data.records import Words, write_jsonl
    from stream.errors import OutputError
    from tests.reasoning.data.test_records import record

    with pytest.raises(OutputError, match="No space left on device"):
        write_jsonl(FULL, [record(Words("A cup."))])


@pytest.mark.skipif(os.name != "posix", reason="needs a pipe that is closed at once")
def test_a_reader_that_has_gone_ends_the_command_quietly() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "foveal.cli", "models", "list", "--json"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (EXIT_FAILED, "")


@pytest.mark.skipif(not FULL.exists(), reason="needs /dev/full")
def test_output_on_a_full_disk_is_told_in_one_line() -> None:
    with FULL.open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "foveal.cli", "models", "list", "--json"],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert done.returncode == EXIT_FAILED
    assert done.stderr == "foveal: No space left on device\n"


def test_help_loads_no_engine() -> None:
    """`foveal --help` answers within 0.3 s because nothing heavy is imported for it."""
    probe = (
        "import sys, foveal.cli as c; c.build_parser().format_help(); print(sorted(set(sys.modules)"
        "& {'torch', 'numpy', 'cv2', 'av', 'transformers', 'aiohttp', 'pydantic', 'yaml', 'rich'}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", probe],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"
