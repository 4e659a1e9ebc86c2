"""transformers' image processor, with all its arguments, against recordings of its output."""

from typing import Any

import numpy as np
import pytest
from PIL import Image

from lite_toolkit.errors import ModelError
from lite_toolkit.weights.configurations import from_huggingface
from lite_toolkit.weights.processor import from_config

# Of a square, to which Pillow 13 resizes the fixture width first, as Pillow 12 does.
SQUARE = {
    "image_processor_type": "EfficientNetImageProcessor",
    "do_resize": True,
    "size": {"height": 20, "width": 20},
    "resample": 0,
    "do_center_crop": False,
    "crop_size": {"height": 10, "width": 12},
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "rescale_offset": False,
    "do_normalize": True,
    "image_mean": [0.485, 0.456, 0.406],
    "image_std": [0.47853944, 0.4732864, 0.47434163],
    "include_top": True,
}
OFFSET = {"rescale_offset": True, "rescale_factor": 1 / 127.5}


@pytest.fixture
def image() -> Image.Image:
    y, x, channel = np.indices((37, 29, 3))
    return Image.fromarray(((7 * x + 13 * y + 50 * channel + x * y // 3) % 256).astype(np.uint8))


# Recorded from transformers 5.24's EfficientNetImageProcessorPil: the shape, the first and the last pixel, the mean and
# the standard deviation of its output.
@pytest.mark.parametrize(
    ("flags", "golden"),
    [
        ({"resample": 4}, [20, 20, 3, -1.99803, -1.03782, 0.06048, 1.66667, -1.77311, -0.67155, 0.25557, 1.17071]),
        (
            {"resample": 5, "size": {"shortest_edge": 25}},
            [31, 25, 3, -2.10078, -1.14286, -0.0441, 1.82079, -1.61555, -0.51468, 0.24774, 1.18169],
        ),
        (
            {"do_resize": False, "do_center_crop": True, "crop_size": {"height": 20, "width": 40}},
            [20, 40, 3, -2.1179, -2.03571, -1.80444, -2.1179, -2.03571, -1.80444, -0.37408, 1.48398],
        ),
        (
            {"do_resize": False, "include_top": False},
            [37, 29, 3, -1.0135, -0.54918, -0.02918, 0.88771, -0.74804, -0.2276, 0.11781, 0.6135],
        ),
        (
            {"do_center_crop": True, "crop_size": {"height": 27, "width": 11}, "resample": 3} | OFFSET,
            [27, 11, 3, -6.48472, -6.5, -6.24889, -6.48472, -6.5, -6.24889, -3.07506, 2.78269],
        ),
        (
            {
                "do_center_crop": True,
                "crop_size": {"height": 50, "width": 61},
                "resample": 1,
                "do_rescale": False,
                "do_normalize": False,
            },
            [50, 61, 3, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 35.53514, 104.92888],
        ),
        (
            {
                "do_resize": False,
                "do_rescale": False,
                "do_normalize": False,
                "include_top": False,
                "do_center_crop": True,
                "crop_size": {"height": 38, "width": 30},
            },
            [38, 30, 3, 0.0, 0.0, 0.0, 232.0, 26.0, 76.0, 121.18187, 77.8607],
        ),
        (
            {"do_center_crop": True, "crop_size": {"height": 17, "width": 21}, "resample": 2},
            [17, 21, 3, -2.1179, -2.03571, -1.80444, 0.19394, 1.20308, 1.68139, 0.14015, 1.12371],
        ),
    ],
)
def test_it_equals_transformers(image: Image.Image, flags: dict[str, Any], golden: list[float]) -> None:
    found = from_config(SQUARE | flags)(image).astype(np.float64)
    summary = [*found.shape, *found[0, 0], *found[-1, -1], found.mean(), found.std()]
    np.testing.assert_allclose(summary, golden, rtol=2e-6, atol=1e-5)


@pytest.mark.parametrize("flags", [{}, {"do_normalize": False}, {"resample": 3} | OFFSET, {"include_top": False}])
def test_it_is_the_specification_where_there_is_one(image: Image.Image, flags: dict[str, Any]) -> None:
    config = SQUARE | flags
    np.testing.assert_allclose(from_config(config)(image), from_huggingface(config).apply(image), atol=1e-5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"resample": 6}, "resample 6: must be from 0 to 5"),
        ({"size": None}, "size None: must be whole numbers of pixels"),
        ({"size": {"longest_edge": 9}}, "size {'longest_edge': 9}: must be an object of height and width"),
        ({"do_center_crop": True, "crop_size": {"height": 0, "width": 9}}, "crop_size (0, 9): must be whole numbers"),
        ({"image_std": [0.5, 0, 0.5]}, "image_std (0.5, 0.0, 0.5): must not be 0"),
        ({"image_mean": None}, "image_mean None: must be a list of 3"),
        ({"rescale_factor": 0}, "rescale_factor 0.0: must be above 0"),
        ({"do_resize": 1}, "do_resize 1: must be true or false"),
        ({"image_processor_type": "ViTImageProcessor"}, "must be one of EfficientNetImageProcessor,"),
    ],
)
def test_what_cannot_be_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError) as caught:
        from_config(SQUARE | changes)
    assert message in str(caught.value)
