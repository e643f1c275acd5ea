"""CenterNet and BlazeFace give what the published graphs gave: numbers of their own interpreter.

They were read off when the graphs were still run node by node, on skimage's astronaut, which is
512 x 512 pixels, and on a part of it of 256 x 256.
"""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from skimage import data

from foveal.assets.convert import network_path
from perception.detect.blazeface import BlazeFace
from perception.detect.centernet import CenterNet, doubled
from perception.detect.detector import MODEL as THINGS
from perception.detect.detector import peaks
from perception.detect.faces import MODEL as FACES
from perception.features.weights import load_parameters
from stream.errors import AssetError, MissingAssetError

assets = pytest.mark.assets

# Of the person's map, at each 32nd cell from the 17th on.
PERSON = (
    0.00260789, 0.00312458, 0.00337437, 0.00423377, 0.01382078, 0.05074658, 0.01011218, 0.00641856,
    0.02430274, 0.07406743, 0.01033399, 0.00893049, 0.02725508, 0.01153239, 0.00585420, 0.00807990,
)  # fmt: skip
HEAT_MEAN = 0.00317993
HIGHEST = {0: 0.6096011, 3: 0.1694767, 39: 0.1119478, 27: 0.1019793, 65: 0.0781284, 56: 0.0778633}
REACH = (
    (59.134094, 62.368801, 43.221119, 122.061951),
    (57.714859, 62.768669, 51.148933, 117.639618),
    (205.583145, 190.264832, 177.080261, 260.406067),
    (178.242813, 268.125702, 175.609100, 191.114807),
    (64.587723, 62.857841, 78.497360, 61.945366),
    (115.395332, 102.863716, 61.079086, 63.914570),
)  # of every third of those cells
# What the graph's own last nodes made of its maps: box, score, class.
DETECTIONS = (
    (8.356705, 8.805878, 368.877441, 519.580139, 0.6096011, 0),
    (25.531250, 17.636642, 376.711792, 516.567444, 0.2623563, 0),
    (282.264801, 343.931671, 505.877869, 510.947693, 0.1694767, 3),
    (13.319107, 25.130280, 365.907959, 513.665039, 0.1637218, 0),
    (-0.163373, 155.588669, 27.948689, 511.596283, 0.1324029, 0),
    (-0.738916, 28.732681, 43.305023, 496.617859, 0.1196623, 0),
    (406.738129, 235.184875, 428.366516, 283.580750, 0.1119478, 39),
    (0.027988, 18.902878, 108.426025, 503.788330, 0.1094549, 0),
    (235.836563, 320.494415, 264.034454, 503.011200, 0.1019793, 27),
    (235.189499, 320.463806, 264.087037, 498.780182, 0.1000612, 27),
)
# Of BlazeFace's anchors, each 64th.
SCORES = (
    -25.971397, -93.938652, -185.083664, -282.151733, -264.853088, -43.491100, -3.347100,
    -3.628602, -6.374827, -10.768891, -6.378170, -3.894689, -7.025370, -11.735744,
)  # fmt: skip
SCORES_MEAN, SUREST, SUREST_AT = -90.777405, 2.027945, 674
SUREST_BOX = (
    12.837983, 10.611523, 105.219566, 105.217773, -8.646168, -10.952899, 36.323753, -9.283520,
    12.658085, 18.309669, 11.374387, 38.410385, -31.331560, -4.904795, 59.226574, -1.792509,
)  # fmt: skip
BOXES_MEAN = (
    0.682879, -0.912814, 48.142666, 48.010647, -9.722056, -11.941276, 10.922270, -11.053000,
    -0.276612, 0.912134, -0.859819, 11.927412, -18.283382, -6.482381, 20.939335, -4.442163,
)  # fmt: skip


def pulled(file: str) -> Path:
    """A pulled network; skips with the reason where it is absent."""
    try:
        return network_path("human-models", file)
    except MissingAssetError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def maps() -> tuple[torch.Tensor, torch.Tensor]:
    """[128, 128, 80] and [128, 128, 4] of the astronaut."""
    torch.set_num_threads(1)
    network = load_parameters(CenterNet(), pulled(THINGS)).to(memory_format=torch.channels_last)
    picture = torch.from_numpy(data.astronaut()).permute(2, 0, 1)[None].float()
    heat, reach = network(picture)
    return heat[0].permute(1, 2, 0), reach[0].permute(1, 2, 0)


@assets
def test_centernet_gives_the_graphs_numbers(maps: tuple[torch.Tensor, torch.Tensor]) -> None:
    heat, reach = maps
    assert heat.shape == (128, 128, 80) and reach.shape == (128, 128, 4)
    assert heat[16::32, 16::32, 0].flatten().tolist() == pytest.approx(PERSON, abs=2e-6)
    assert float(heat.mean()) == pytest.approx(HEAT_MEAN, abs=1e-7)
    assert int(heat.argmax()) == (64 * 128 + 47) * 80
    for label, score in HIGHEST.items():
        assert float(heat[..., label].max()) == pytest.approx(score, abs=5e-6)
    found = reach[16::32, 16::32].reshape(-1, 4)[::3]
    assert torch.allclose(found, torch.tensor(REACH), atol=2e-3)


@assets
def test_peaks_are_what_the_graph_itself_would_give(
    maps: tuple[torch.Tensor, torch.Tensor],
) -> None:
    boxes, scores, labels = peaks(maps[0].numpy(), maps[1].numpy(), 0.1)
    theirs = np.array(DETECTIONS)
    assert np.allclose(theirs[:, 4], scores, atol=5e-6)
    assert (theirs[:, 5].astype(int) == labels).all()
    assert np.allclose(theirs[:, :4], boxes, atol=0.01)


@assets
def test_blazeface_gives_the_graphs_numbers() -> None:
    torch.set_num_threads(1)
    network = load_parameters(BlazeFace(), pulled(FACES))
    picture = torch.from_numpy(data.astronaut()[:256, 100:356].copy())
    scores, boxes = network(picture.permute(2, 0, 1)[None].float() / 127.5 - 1)
    assert scores.shape == (1, 896) and boxes.shape == (1, 896, 16)
    assert scores[0, ::64].tolist() == pytest.approx(SCORES, rel=2e-5)
    assert float(scores.mean()) == pytest.approx(SCORES_MEAN, rel=2e-5)
    assert int(scores.argmax()) == SUREST_AT
    assert float(scores.max()) == pytest.approx(SUREST, rel=1e-4)
    assert boxes[0, SUREST_AT].tolist() == pytest.approx(SUREST_BOX, abs=1e-3)
    assert boxes[0].mean(0).tolist() == pytest.approx(BOXES_MEAN, abs=1e-3)


@assets
def test_another_networks_file_is_refused() -> None:
    with pytest.raises(
        AssetError,
        match=r"of CenterNet in .*: size mismatch for stem",
    ):
        load_parameters(CenterNet(), pulled(FACES))
    with pytest.raises(AssetError, match=r"the weights of BlazeFace in .*`foveal models pull`"):
        load_parameters(BlazeFace(), pulled(THINGS))


def test_doubling_without_half_pixels() -> None:
    """As tf.compat.v1.image.resize_bilinear: line n lies at n / 2."""
    line = torch.tensor([0.0, 10.0, 30.0]).reshape(1, 1, 1, 3)
    assert doubled(line).tolist() == [[[[0, 5, 10, 20, 30, 30]] * 2]]


@given(st.integers(1, 6), st.integers(1, 6))
def test_doubling_keeps_what_is_there_and_halves_steps(height: int, width: int) -> None:
    maps = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(0))
    grown = doubled(maps)
    assert torch.allclose(grown[:, :, ::2, ::2], maps, atol=1e-6)
    beside = F.pad(maps, (0, 1, 0, 0), mode="replicate")[..., 1:]
    assert torch.allclose(grown[:, :, ::2, 1::2], (maps + beside) / 2, atol=1e-6)


def test_maps_are_a_quarter_and_any_multiple_of_32_is_taken() -> None:
    torch.manual_seed(0)
    with torch.inference_mode():
        heat, reach = CenterNet().eval()(torch.rand(2, 3, 64, 96))
    assert heat.shape == (2, 80, 16, 24) and reach.shape == (2, 4, 16, 24)
    assert 0 <= float(heat.min()) <= float(heat.max()) <= 1
