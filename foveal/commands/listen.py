"""`foveal listen`: what is said in a recording, with times."""

import argparse
import json
from pathlib import Path

HELP = "find and transcribe what is said in a recording"
EPILOG = """examples:
  foveal listen question.wav
  foveal listen walk.mp4 --json            # one object a line
  foveal listen walk.mp4 --wake "hey foveal" --ask-file questions.jsonl
  foveal replay walk.mp4 --ask-file questions.jsonl

Runs on the virtual clock: two runs give the same. Needs `pip install '.[speech]'` and
`foveal models pull whisper-tiny-en`.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Of the sub-command."""
    parser.add_argument("file", type=Path, help="sound or video file")
    parser.add_argument("--wake", metavar="PHRASE", help="only what follows this phrase")
    parser.add_argument(
        "--sound-track", type=int, default=1, metavar="N", help="of the file's sound tracks (1)"
    )
    parser.add_argument(
        "--silence",
        type=float,
        default=0.512,
        metavar="S",
        help="that ends an utterance whose words leave it open (default 0.512; half of it after "
        "a whole sentence, twice after an unfinished one)",
    )
    parser.add_argument(
        "--ask-file", type=Path, metavar="JSONL", help="write the utterances as questions here"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object per utterance")


def run(args: argparse.Namespace) -> int:
    """Transcribe one file; 0 also when nothing is said."""
    from devices.listening.endpointing import EndpointConfig
    from devices.listening.listener import ListenConfig
    from devices.listening.speech_events import FinalTranscript, Refused
    from foveal.setup.hearing import hear_file, load_hearing, tell_sound
    from stream.clock import NS_PER_S, seconds_to_ns
    from stream.errors import ConfigError
    from stream.writing import keep_apart, writing

    if args.ask_file is not None:
        keep_apart([args.ask_file], [args.file])
    if not 0.2 <= args.silence <= 5:
        raise ConfigError(f"expected --silence from 0.2 to 5 seconds, got {args.silence}")
    silence_ns = seconds_to_ns(args.silence)
    endpoint = EndpointConfig(
        finished_ns=max(EndpointConfig().pause_ns, silence_ns // 2),
        unknown_ns=silence_ns,
        unfinished_ns=2 * silence_ns,
    )
    config = ListenConfig(endpoint, wake_phrase=args.wake)
    events = hear_file(args.file, load_hearing(), config, args.sound_track)
    heard = [event for event in events if isinstance(event, FinalTranscript)]
    for event in events:
        if not isinstance(event, FinalTranscript | Refused):
            continue
        begin, end = event.started_ns / NS_PER_S, event.ended_ns / NS_PER_S
        told = (
            {"text": event.text} if isinstance(event, FinalTranscript) else {"refused": event.cause}
        )
        if args.json:
            print(json.dumps({"start": round(begin, 3), "end": round(end, 3), **told}))
        else:
            print(f"{begin:8.2f} {end:8.2f}  {told.get('text') or '(' + told['refused'] + ')'}")
    if args.ask_file is not None:
        lines = [{"at": round(one.ended_ns / NS_PER_S, 3), "text": one.text} for one in heard]
        with writing(args.ask_file):
            args.ask_file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    tell_sound(args.file, args.sound_track, len(heard))
    return 0
