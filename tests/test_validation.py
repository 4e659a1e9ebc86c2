"""Comparisons of scores, against formulas written out by hand."""

import math

import numpy as np
import pytest

from lite_toolkit.validation import compare


def test_equal_scores_have_no_noise() -> None:
    scores = np.array([[1.0, 2.0, 3.0], [3.0, 1.0, 2.0]], np.float32)
    found = compare(scores, scores)
    assert (found.images, found.agreement_percent, found.sqnr_db, found.largest_difference) == (2, 100.0, None, 0.0)


def test_sqnr_of_known_noise() -> None:
    # Signal power per image: 1 + 0 + 1; noise (0.1, -0.2, 0.1) has no mean, and power 0.06.
    reference = np.array([[-1.0, 0.0, 1.0]], np.float32)
    found = compare(reference, reference + np.array([[0.1, -0.2, 0.1]], np.float32))
    assert found.sqnr_db == pytest.approx(10 * math.log10(2 / 0.06), abs=1e-4)
    assert found.largest_difference == pytest.approx(0.2, abs=1e-6)


def test_a_constant_added_to_all_logits_of_an_image_is_no_noise() -> None:
    reference = np.array([[-1.0, 0.0, 1.0], [2.0, 4.0, 0.0]], np.float32)
    assert compare(reference, reference + np.array([[2.0], [-1.0]], np.float32)).sqnr_db is None


def test_agreement_counts_images_and_the_lowest_index_wins_ties() -> None:
    reference = np.array([[5, 1, 0], [0, 5, 1], [1, 0, 5], [0, 3, 2]], np.float32)
    quantized = np.array([[5, 5, 0], [5, 5, 1], [1, 0, 5], [0, 2, 3]], np.float32)
    assert compare(reference, quantized).agreement_percent == 50.0
