"""The built-in calibration images: the same bytes everywhere, with the statistics of photographs."""

import hashlib
from collections.abc import Callable

import numpy as np
import pytest

from lite_toolkit.datasets.synthetic import synthetic_image, synthetic_images


@pytest.fixture(scope="module")
def sample():
    return np.stack(list(synthetic_images(128, seed=0, size=(64, 80))))


# Equal under numpy 1.24 and 2.4; a change of these bytes changes every model that was calibrated on them.
@pytest.mark.parametrize(
    ("seed", "index", "size", "sha256"),
    [
        (0, 0, (224, 224), "cd924bea0631d2ffcdecd92dcf2254ae9e1078904845d29f3eb9803aa483f53f"),
        (0, 1, (224, 224), "c98d20333311ef3e1fd0e25aebf59e2b8dc25b6c85c7fc7bbceebb240cc461a1"),
        (7, 0, (61, 90), "d69714031db1df201ad0b684c94dc375deeadf3681942c8982650ebb7170e9f0"),
    ],
)
def test_the_bytes_of_a_seed_never_change(seed, index, size, sha256):
    assert hashlib.sha256(synthetic_image(seed, index, size).tobytes()).hexdigest() == sha256


def test_an_image_depends_on_seed_and_index_alone():
    images = list(synthetic_images(3, seed=5, size=(40, 50)))
    assert np.array_equal(images[2], synthetic_image(5, 2, (40, 50)))
    assert not np.array_equal(images[2], images[1])
    assert not np.array_equal(images[2], synthetic_image(6, 2, (40, 50)))


@pytest.mark.parametrize("size", [(1, 1), (2, 50), (33, 65), (300, 300)])
def test_any_size(size):
    image = synthetic_image(0, 0, size)
    assert (image.shape, image.dtype) == ((*size, 3), np.uint8)


def test_brightness_and_contrast_vary(sample):
    brightness, contrast = sample.mean((1, 2, 3)), sample.std((1, 2, 3))
    assert brightness.min() < 40
    assert brightness.max() > 215
    assert brightness.std() > 30
    assert np.percentile(contrast, 5) < 35 < 70 < np.percentile(contrast, 95)
    assert (sample == 0).any((1, 2, 3)).mean() > 0.3
    assert (sample == 255).any((1, 2, 3)).mean() > 0.3


def test_channels_are_correlated_as_in_photographs(sample):
    correlations = [np.corrcoef(image.reshape(-1, 3).T)[0, 2] for image in sample]
    assert 0.6 < np.mean(correlations) < 0.99


def test_the_amplitude_spectrum_falls_as_a_power_near_one(sample):
    # Field, "Relations between the statistics of natural images and the response properties of cortical cells", 1987.
    grey = sample[:, :, :64].mean(-1)
    window = np.hanning(64)[:, None] * np.hanning(64)
    power = np.abs(np.fft.fft2((grey - grey.mean((1, 2), keepdims=True)) * window)) ** 2
    radius = np.hypot(*np.meshgrid(*[np.fft.fftfreq(64) * 64] * 2))
    frequencies = np.arange(3, 28)
    mean = [power[:, (radius >= f) & (radius < f + 1)].mean() for f in frequencies]
    slope = np.polyfit(np.log(frequencies), np.log(mean), 1)[0] / 2
    assert -1.7 < slope < -0.9


def test_no_loop_runs_over_pixels(lines_run: Callable[[Callable[[], object]], int]):
    height, width = 260, 260
    lines = lines_run(lambda: list(synthetic_images(5, seed=1, size=(height, width))))
    assert lines < 5 * height * width / 4
