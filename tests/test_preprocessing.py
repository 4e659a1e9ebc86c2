"""PreprocessingSpec against timm's and Hugging Face's own code, and against plain formulas."""

import dataclasses
import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from lite_toolkit.decoding import decode
from lite_toolkit.errors import ImageError, ModelError
from lite_toolkit.images.preprocessing import PRESETS, PreprocessingSpec, google_lite
from lite_toolkit.weights.configurations import from_huggingface, from_timm, load

STD_OF_B0 = [0.47853944, 0.4732864, 0.47434163]
HUGGINGFACE = {
    "image_processor_type": "EfficientNetImageProcessor",
    "do_resize": True,
    "size": {"height": 20, "width": 24},
    "resample": 0,
    "do_center_crop": False,
    "crop_size": {"height": 10, "width": 12},
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "rescale_offset": False,
    "do_normalize": True,
    "image_mean": [0.485, 0.456, 0.406],
    "image_std": STD_OF_B0,
    "include_top": True,
}
TIMM = {
    "input_size": [3, 24, 24],
    "interpolation": "bicubic",
    "crop_pct": 0.875,
    "crop_mode": "center",
    "mean": [0.485, 0.456, 0.406],
    "std": [0.229, 0.224, 0.225],
}
OFFSET = {"rescale_offset": True, "rescale_factor": 1 / 127.5}


@pytest.fixture
def image():
    y, x, channel = np.indices((37, 29, 3))
    return Image.fromarray(((7 * x + 13 * y + 50 * channel + x * y // 3) % 256).astype(np.uint8))


def numbered(height, width):
    """An image whose every pixel is different, and its array."""
    y, x, channel = np.indices((height, width, 3))
    array = np.where(channel == 0, y, np.where(channel == 1, x, 7)).astype(np.uint8)
    return Image.fromarray(array), array


def summary(values):
    return [*values[0, 0], *values[-1, -1], values.mean(), values.std()]


# Recorded from transformers 5.23's EfficientNetImageProcessorPil on Pillow 12: the first and the last pixel, the mean
# and the standard deviation of its output for the `image` fixture.
@pytest.mark.parametrize(
    ("flags", "golden"),
    [
        ({}, [-2.1179, -1.16036, -0.06152, 1.85504, -1.58053, -0.47983, 0.25783, 1.29067]),
        (
            {"resample": 3, "include_top": False},
            [-0.95614, -0.49118, 0.02869, 0.78118, -0.70662, -0.35988, 0.11791, 0.54657],
        ),
        (
            {"resample": 2, "do_normalize": False, "include_top": False} | OFFSET,
            [-0.92157, -0.52941, -0.13725, 0.67843, -0.56078, -0.5451, 0.01021, 0.47223],
        ),
        (
            {"resample": 2, "do_center_crop": True} | OFFSET,
            [0.43368, -0.68767, -4.6454, -1.17604, 0.67787, -0.91556, -2.03781, 2.06529],
        ),
        (
            {"do_rescale": False, "do_normalize": False},
            [0.0, 105.64428, 210.81851, 484.80853, 54.93502, 160.22208, 271.98628, 155.60203],
        ),
        (
            {"resample": 3, "do_normalize": False},
            [0.05736, 0.47229, 0.88461, 1.79468, 0.25686, 0.49604, 1.06221, 0.54269],
        ),
        (
            {"resample": 1, "do_rescale": False, "do_normalize": False, "include_top": False},
            [7, 57, 107, 220, 25, 64, 128.78056, 67.43499],
        ),
    ],
)
def test_equals_huggingface(image, flags, golden):
    spec = from_huggingface(HUGGINGFACE | flags)
    np.testing.assert_allclose(summary(spec.apply(image)), golden, rtol=2e-6, atol=1e-5)


# Recorded from timm 1.0.31's transforms_imagenet_eval with torchvision 0.28 on Pillow 12, in the same way.
@pytest.mark.parametrize(
    ("changes", "golden"),
    [
        ({}, [-0.55955, 0.43277, 1.52453, -0.57668, 0.41527, 1.5071, 0.22905, 1.21944]),
        (
            {"input_size": [3, 16, 30], "crop_pct": 0.9, "interpolation": "bilinear"},
            [0.72481, 1.7458, -0.81098, 1.66667, -0.33753, -0.67155, 0.22812, 1.15761],
        ),
        (
            {"input_size": [3, 20, 16], "crop_pct": 0.77, "crop_mode": "squash", "interpolation": "lanczos"},
            [-0.97055, 0.01261, 1.10623, -0.7993, 0.11765, 1.19338, 0.23683, 1.21295],
        ),
        (
            {"input_size": [3, 28, 28], "crop_pct": 1.0},
            [-1.17604, -0.19748, 0.89708, 0.63918, 1.65826, -0.84584, 0.2397, 1.21808],
        ),
    ],
)
def test_equals_timm(image, changes, golden):
    spec = from_timm(TIMM | changes)
    np.testing.assert_allclose(summary(spec.apply(image)), golden, rtol=1e-5, atol=1e-5)


def test_timm_defaults_are_the_imagenet_preset():
    assert from_timm({"input_size": (3, 224, 224)}) == PRESETS["imagenet"](224)
    assert from_timm(TIMM | {"input_size": [3, 224, 224]}) == PRESETS["imagenet"](224)


def test_google_crops_the_central_square_and_puts_the_odd_pixel_before_it():
    image, array = numbered(56, 61)
    # The side is int(24 / 56 * 56) = 24, so the resize changes nothing; the offsets are (56 - 24 + 1) // 2 = 16 and
    # (61 - 24 + 1) // 2 = 19.
    assert np.array_equal(google_lite(24).pixels(image), array[16:40, 19:43])


def test_google_fraction_grows_with_the_input():
    assert [google_lite(size).crop_fraction for size in (224, 300, (224, 288))] == [224 / 256, 300 / 332, 224 / 256]


def test_with_size_keeps_the_crop_fraction():
    resized = google_lite(224).with_size((128, 160))
    assert resized == dataclasses.replace(google_lite(224), height=128, width=160)


def test_crop_after_resize_cuts_the_centre():
    image, array = numbered(40, 32)
    spec = PreprocessingSpec(28, 28, "after-resize", 28 / 32, "bicubic", (0.0,) * 3, (1.0,) * 3)
    assert np.array_equal(spec.pixels(image), array[6:34, 2:30])


def test_without_crop_the_whole_image_is_resized():
    image, _ = numbered(40, 32)
    spec = PreprocessingSpec(20, 24, "none", 1.0, "box", (0.0,) * 3, (1.0,) * 3)
    assert np.array_equal(spec.pixels(image), np.asarray(image.resize((24, 20), Image.Resampling.BOX)))


@pytest.mark.parametrize("preset", PRESETS)
def test_apply_is_the_formula_on_pixels(image, preset):
    spec = PRESETS[preset]((24, 20))
    pixels, values = spec.pixels(image), spec.apply(image)
    assert pixels.shape == values.shape == (24, 20, 3)
    assert (pixels.dtype, values.dtype) == (np.uint8, np.float32)
    expected = (pixels.astype(np.float64) - np.array(spec.mean)) / np.array(spec.std)
    np.testing.assert_allclose(values, expected, rtol=1e-5, atol=1e-6 * max(map(abs, spec.value_range)))


def test_bgr_reverses_the_channels_and_keeps_the_mean_by_tensor_channel(image):
    rgb = dataclasses.replace(google_lite(24), mean=(1.0, 2.0, 3.0))
    bgr = dataclasses.replace(rgb, channel_order="bgr")
    assert np.array_equal(bgr.pixels(image), rgb.pixels(image)[..., ::-1])
    assert bgr.apply(image)[0, 0, 0] == (int(rgb.pixels(image)[0, 0, 2]) - 1) / 128


@pytest.mark.parametrize(
    ("crop", "fraction", "size"),
    [("after-resize", 0.875, (1, 9000)), ("after-resize", 0.875, (9000, 1)), ("none", 1.0, (1, 400_000))],
)
def test_a_ribbon_is_refused_where_resizing_it_would_need_too_much_memory(crop, fraction, size):
    spec = dataclasses.replace(google_lite(224), crop=crop, crop_fraction=fraction)
    with pytest.raises(ImageError, match=f"{size[0]}x{size[1]} pixels is too narrow to be resized to"):
        spec.pixels(Image.new("RGB", size))


@pytest.mark.parametrize("preset", PRESETS)
def test_one_pixel_is_enough(preset):
    assert PRESETS[preset](32).apply(Image.new("RGB", (1, 1))).shape == (32, 32, 3)


def test_only_rgb_is_taken():
    with pytest.raises(ImageError, match="mode 'L': must be RGB"):
        google_lite(32).pixels(Image.new("L", (50, 50)))


# 1/128 with 127 and -1 are what Google's own quantized Lite models have.
@pytest.mark.parametrize(
    ("preset", "dtype", "scale", "zero_point"),
    [
        ("lite", "uint8", 1 / 128, 127),
        ("lite", "int8", 1 / 128, -1),
        ("lite", "int16", 1 / 32767, 0),
        ("inception", "uint8", 1 / 127.5, 128),
        ("inception", "int8", 1 / 127.5, 0),
        ("pixels", "uint8", 1.0, 0),
        ("pixels", "int8", 1.0, -128),
        ("pixels", "int16", 255 / 32767, 0),
        # From -0.485 / 0.229 (red) to (1 - 0.406) / 0.225 (blue).
        ("imagenet", "uint8", (0.485 / 0.229 + 0.594 / 0.225) / 255, 114),
        ("imagenet", "int8", (0.485 / 0.229 + 0.594 / 0.225) / 255, -14),
        ("imagenet", "int16", 0.594 / 0.225 / 32767, 0),
    ],
)
def test_quantization(preset, dtype, scale, zero_point):
    assert PRESETS[preset](224).quantization(dtype) == (pytest.approx(scale, rel=1e-12), zero_point)


@given(mean=st.integers(0, 255), std=st.floats(0.01, 1000))
def test_quantized_pixels_are_the_raw_pixels(mean, std):
    spec = dataclasses.replace(google_lite(224), mean=(float(mean),) * 3, std=(std,) * 3)
    pixels = np.arange(256, dtype=np.uint8)[:, None].repeat(3, axis=1)
    scale, zero_point = spec.quantization("uint8")
    assert spec.raw_pixels
    assert np.array_equal(np.round(spec.normalize(pixels) / scale) + zero_point, pixels)


triples = st.tuples(*[st.floats(-300, 300)] * 3)


@given(mean=triples, std=st.tuples(*[st.floats(0.1, 300)] * 3), dtype=st.sampled_from(["uint8", "int8", "int16"]))
def test_quantization_clips_no_value(mean, std, dtype):
    spec = dataclasses.replace(google_lite(224), mean=mean, std=std)
    scale, zero_point = spec.quantization(dtype)
    extremes = spec.normalize(np.array([[0, 0, 0], [255, 255, 255]], np.uint8))
    limits = np.iinfo(dtype)
    assert limits.min <= zero_point <= limits.max
    # The zero point is rounded, so an end of the range may lie half a step outside.
    quantized = extremes / scale + zero_point
    assert limits.min - 0.501 <= quantized.min() <= quantized.max() <= limits.max + 0.501


@pytest.mark.parametrize(
    ("spec", "raw"),
    [
        (google_lite(224), True),
        (PRESETS["imagenet"](224), False),
        (dataclasses.replace(google_lite(224), mean=(-1.0,) * 3), False),
        (dataclasses.replace(google_lite(224), channel_order="bgr"), True),
    ],
)
def test_raw_pixels(spec, raw):
    assert spec.raw_pixels is raw


def test_an_unknown_input_type_is_refused():
    with pytest.raises(ModelError, match="input type 'float16': must be one of uint8, int8, int16"):
        google_lite(224).quantization("float16")


def own(document):
    return decode(PreprocessingSpec, document, "preprocessing", ModelError)


@pytest.mark.parametrize("preset", PRESETS)
def test_json_brings_the_spec_back(preset):
    spec = dataclasses.replace(PRESETS[preset]((224, 160)), channel_order="bgr")
    document = json.loads(json.dumps(spec.to_json()))
    assert PreprocessingSpec.from_json(document) == own(document) == spec


def test_equal_specs_have_equal_json():
    whole = dataclasses.replace(google_lite(224), mean=(127, 127, 127))
    assert json.dumps(whole.to_json()) == json.dumps(google_lite(224).to_json())


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("height", 0, "height 0: must be a whole number of pixels, 1 to 4096"),
        ("width", 10**9, "width 1000000000: must be"),
        ("width", 224.0, "width 224.0: must be"),
        ("height", True, "height True: must be"),
        ("crop", "center", "crop 'center': must be one of none, before-resize, after-resize, after-stretch"),
        ("crop", ["none"], "must be one of none"),
        ("crop", "none", "crop_fraction 0.875: must be 1 where crop is 'none'"),
        ("crop_fraction", 1.5, "crop_fraction 1.5: must be a number from 0.01 to 1"),
        ("crop_fraction", math.nan, "crop_fraction nan: must be"),
        ("crop_fraction", "0.875", "crop_fraction '0.875': must be"),
        ("interpolation", 3, "interpolation 3: must be one of nearest"),
        ("mean", 127, "mean 127: must be three numbers"),
        ("mean", [127, 127], "must be three numbers"),
        ("mean", [10**400, 0, 0], "must be three numbers"),
        ("mean", [math.inf, 0, 0], "must be three numbers"),
        ("std", [128, 128, 0], "must be three positive numbers"),
        ("std", [128, 128, None], "must be three positive numbers"),
        ("channel_order", "RGB", "channel_order 'RGB': must be one of rgb, bgr"),
    ],
)
def test_a_wrong_value_is_one_line(field, value, message):
    with pytest.raises(ModelError) as caught:
        dataclasses.replace(google_lite(224), **{field: tuple(value) if isinstance(value, list) else value})
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(ModelError, match=rf"^preprocessing: {field}.*: must be"):
        own(google_lite(224).to_json() | {field: value})


def test_unknown_and_missing_keys_name_what_is_allowed():
    document = google_lite(224).to_json()
    with pytest.raises(ModelError, match=r"unknown key 'padding': choose from height, width, crop, .*channel_order"):
        own(document | {"padding": 0})
    del document["std"], document["mean"]
    with pytest.raises(ModelError, match="'mean' is missing: must be a list of 3"):
        own(document)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"do_resize": False}, "do_resize False"),
        ({"do_normalize": 1}, "do_normalize 1: must be true or false"),
        ({"resample": 6}, "resample 6: must be a whole number from 0 to 5, Pillow's number of a filter"),
        ({"resample": "bicubic"}, "resample 'bicubic'"),
        ({"size": {"shortest_edge": 224}}, "size: 'height' is missing: must be a whole number from 1 to 4096"),
        ({"size": 224}, "size 224: must be an object"),
        ({"image_std": [0.5, 0.5]}, "image_std [0.5, 0.5]: must be a list of 3"),
        ({"image_std": [0, 0, 0]}, "std (0.0, 0.0, 0.0): must be three positive numbers"),
        ({"rescale_factor": 0}, "rescale_factor 0: must be a finite number from 1e-06 to 1000"),
        ({"image_processor_type": "ViTImageProcessor"}, "must be one of EfficientNetImageProcessor,"),
        (
            {"do_center_crop": True, "crop_size": {"height": 40, "width": 48}},
            "crop_size (40, 48): must be one fraction",
        ),
        (
            {"do_center_crop": True, "crop_size": {"height": 10, "width": 24}},
            "crop_size (10, 24): must be one fraction",
        ),
    ],
)
def test_huggingface_configuration_that_has_no_spec(changes, message):
    with pytest.raises(ModelError) as caught:
        from_huggingface(HUGGINGFACE | changes)
    assert message in str(caught.value)


@given(resized=st.integers(2, 700), data=st.data())
def test_every_huggingface_crop_has_a_fraction(resized, data):
    side = data.draw(st.integers(math.ceil(resized / 100) + 1, resized))
    crop = {"do_center_crop": True, "crop_size": {"height": side, "width": side}}
    spec = from_huggingface(HUGGINGFACE | crop | {"size": {"height": resized, "width": resized}})
    assert math.floor(side / spec.crop_fraction) == resized


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"crop_mode": "border"}, "crop_mode 'border': must be one of center, squash"),
        ({"input_size": [1, 28, 28]}, "input_size[0] 1: must be 3"),
        ({"input_size": None}, "input_size None"),
        ({"interpolation": "random"}, "interpolation 'random': must be one of nearest"),
        ({"crop_pct": "0.9"}, "crop_pct '0.9': must be a finite number"),
        ({"mean": [0.5]}, "mean [0.5]: must be a list of 3"),
    ],
)
def test_timm_configuration_that_has_no_spec(changes, message):
    with pytest.raises(ModelError) as caught:
        from_timm(TIMM | changes)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("document", "spec"),
    [
        (google_lite(224).to_json(), google_lite(224)),
        (HUGGINGFACE, from_huggingface(HUGGINGFACE)),
        ({"architecture": "efficientnet_lite0", "pretrained_cfg": TIMM}, from_timm(TIMM)),
    ],
    ids=["own", "huggingface", "timm"],
)
def test_load_tells_the_three_formats_apart(tmp_path, document, spec):
    path = tmp_path / "config.json"
    path.write_text(json.dumps(document))
    assert load(path) == spec


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "cannot read preprocessing from"),
        (b"\xff\xfe", "cannot read preprocessing from"),
        (b"[" * 100_000, "cannot read preprocessing from"),
        (b"[]", "must be a JSON object"),
        (b'{"pretrained_cfg": null}', "pretrained_cfg: None: must be an object"),
        (b'{"architectures": ["EfficientNet"]}', "unknown key 'architectures': choose from height"),
        (
            json.dumps(google_lite(224).to_json() | {"mean": [math.nan] * 3}).encode(),
            "mean[0] nan: must be a finite number",
        ),
    ],
)
def test_load_names_the_file_it_cannot_use(tmp_path, content, message):
    path = tmp_path / "config.json"
    path.write_bytes(content)
    with pytest.raises(ModelError) as caught:
        load(path)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_load_of_a_missing_file(tmp_path):
    with pytest.raises(ModelError, match=r"none\.json: No such file"):
        load(tmp_path / "none.json")


def test_grey_is_pillows_luma(image: Image.Image) -> None:
    grey = PRESETS["pixels"]((24, 20)).for_channels(1)
    framed = Image.fromarray(PRESETS["pixels"]((24, 20)).pixels(image))
    np.testing.assert_array_equal(grey.pixels(image)[..., 0], np.asarray(framed.convert("L")))
    assert grey.apply(image).shape == grey.shape == (24, 20, 1)


def test_grey_keeps_what_is_grey() -> None:
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    spec = dataclasses.replace(PRESETS["pixels"](16), crop="none", crop_fraction=1.0, interpolation="nearest")
    found = spec.for_channels(1).pixels(Image.fromarray(levels).convert("RGB"))
    np.testing.assert_array_equal(found[..., 0], levels)


def test_grey_has_one_mean_and_std() -> None:
    lite = PRESETS["lite"](32).for_channels(1)
    assert PreprocessingSpec.from_json(lite.to_json()) == lite == lite.for_channels(1)
    assert (lite.raw_pixels, lite.quantization("uint8")) == (True, PRESETS["lite"](32).quantization("uint8"))
    with pytest.raises(ModelError, match="the same three times where the input is grey"):
        PRESETS["imagenet"](32).for_channels(1)
    with pytest.raises(ModelError, match="channel_order 'grey': must be rgb or bgr for an input of 3 channels"):
        lite.for_channels(3)
