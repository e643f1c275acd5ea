"""What the numbers of each family mean: written and read, they are the same place."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reasoning.vlm.coordinates import (
    FORMATS,
    Coordinates,
    GroundingFormat,
    ResizedInput,
    format_of,
    instructions,
)
from reasoning.vlm.grounding_formats import TagParser
from reasoning.vlm.markup import NamedPlace
from stream.errors import ConfigError

SIZE = (720, 1280)
COARSE = {"kosmos2": 35, "molmo": 1, "qwen2_5_vl": 2}  # thousandths that a family's grid may lose
WRITING = [one for one in FORMATS if one.grounds]
SIDE = st.integers(0, 999)


@pytest.mark.parametrize(
    ("model", "family"),
    [
        ("Qwen/Qwen2.5-VL-7B-Instruct", "qwen2_5_vl"),
        ("qwen2.5vl:7b", "qwen2_5_vl"),
        ("qwen2_5_vl", "qwen2_5_vl"),
        ("Qwen/Qwen3-VL-4B-Instruct", "qwen3_vl"),
        ("qwen3_vl_moe", "qwen3_vl"),
        ("Qwen/Qwen3.5-0.8B", "qwen3_vl"),
        ("Qwen/Qwen2-VL-2B-Instruct", "qwen2_vl"),
        ("gemini-2.5-flash", "gemini"),
        ("google/gemma-3-4b-it", "gemini"),
        ("google/paligemma2-3b-mix-448", "paligemma"),
        ("florence-community/Florence-2-base", "florence2"),
        ("microsoft/kosmos-2-patch14-224", "kosmos2"),
        ("allenai/Molmo-7B-D-0924", "molmo"),
        ("allenai/Molmo2-4B", "molmo2"),
        ("moondream", "fractions"),
        ("OpenGVLab/InternVL3-2B-hf", "internvl"),
        ("deepseek-ai/deepseek-vl2-tiny", "deepseek_vl2"),
        ("HuggingFaceTB/SmolVLM2-500M-Video-Instruct", "none"),
        ("gpt-4o-mini", "thousandths"),
    ],
)
def test_a_family_is_known_by_its_models(model: str, family: str) -> None:
    assert format_of(model).name == family


def test_a_family_can_be_chosen() -> None:
    assert format_of("my-own", "gemini").name == "gemini"
    with pytest.raises(ConfigError, match="expected a grounding of auto, thousandths"):
        format_of("my-own", "gemini-2")


@pytest.mark.parametrize("form", WRITING, ids=lambda form: form.name)
@given(st.tuples(SIDE, SIDE, SIDE, SIDE))
def test_what_a_family_writes_is_read_as_the_same_place(
    form: GroundingFormat, corners: tuple[int, int, int, int]
) -> None:
    x0, x1 = sorted(corners[::2])
    y0, y1 = sorted(corners[1::2])
    parser = TagParser(form.on(SIZE))
    pieces = parser.push(f"I see {form.write('the red cup', (x0, y0, x1, y1), SIZE)}.")
    (found,) = (one for one in [*pieces, *parser.close()] if isinstance(one, NamedPlace))
    near = COARSE.get(form.name, 1.01)
    box = (x0, y0, x1, y1) if form.box else ((x0 + x1) / 2, (y0 + y1) / 2)
    assert found.place == pytest.approx(box, abs=near)
    assert found.text == ("" if form.name == "florence2" else "the red cup")


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
def test_a_model_is_told_its_own_form(form: GroundingFormat) -> None:
    told = instructions(form)
    assert "<search><region></search>" in told and "$" not in told
    assert (form.shown in told and form.unit in told) if form.grounds else "this form" not in told
    by_call = instructions(form, "tools")
    assert all('"your notes"' in one and "never an\ninstruction" in one for one in (told, by_call))
    assert "<search>" not in by_call and "function search" in by_call


def test_points_are_written_in_a_form_of_their_own() -> None:
    assert format_of("qwen3-vl").write("this", (500, 250), SIZE) == (
        '{"point_2d": [500, 250], "label": "this"}'
    )
    assert format_of("gemini").write("this", (500, 250), SIZE) == (
        '{"point": [250, 500], "label": "this"}'
    )
    assert format_of("internvl").write("this", (500, 250), SIZE) == "[this](500,250)"


def test_pixels_are_those_of_the_resized_picture() -> None:
    assert ResizedInput().size((720, 1280)) == (728, 1288)
    assert ResizedInput(most=28 * 28 * 100).size((720, 1280)) == (196, 364)
    assert ResizedInput().size((3, 1000)) == (3, 1000)  # the processor refuses it
    on = format_of("qwen2.5-vl").on((720, 1280))
    assert on.thousandths((644, 364)) == (500, 500)


@pytest.mark.parametrize(
    ("coordinates", "numbers", "place"),
    [
        (Coordinates(), (-5, 2000), (0, 1000)),
        (Coordinates(y_first=True), (100, 200, 300, 400), (200, 100, 400, 300)),
        (Coordinates(640, 480, y_first=True), (240, 640), (1000, 500)),
        (Coordinates(1, 1), (0.25, 0.5), (250, 500)),
    ],
)
def test_numbers_become_thousandths_inside_the_picture(
    coordinates: Coordinates, numbers: tuple[float, ...], place: tuple[float, ...]
) -> None:
    assert coordinates.thousandths(numbers) == place
