"""Figures of accuracy on answers that are counted by hand."""

import numpy as np
import pytest

from lite_toolkit.measurement.accuracy import Confusion, Rate, accuracy, alphabetical, pairing, shifted

TRUTH = np.array([0, 0, 1, 1, 1, 2], np.int32)
BEST = np.array([[0, 1, 2], [1, 2, 0], [1, 0, 2], [0, 1, 3], [0, 2, 3], [3, 0, 1]], np.int32)
TIED = np.array([[1, 0, 0], [1, 0, 0], [0, 0, 0], [0, 1, 0], [0, 1, 1], [0, 1, 0]], bool)


def test_the_true_class_among_the_best() -> None:
    found = accuracy(BEST, TIED, TRUTH, (1, 2, 3))
    assert found.top == {1: Rate(2, 6), 2: Rate(3, 6), 3: Rate(4, 6)}
    assert found.tied == {1: 2, 2: 3, 3: 1}
    assert found.top[1].percent == pytest.approx(100 / 3)


def test_classes_and_confusions_hold_every_image() -> None:
    found = accuracy(BEST, TIED, TRUTH, (1,))
    assert found.classes == {0: Rate(1, 2), 1: Rate(1, 3), 2: Rate(0, 1)}
    assert found.confusions == (Confusion(1, 0, 2), Confusion(0, 1, 1), Confusion(2, 3, 1))


def test_no_error_is_no_confusion() -> None:
    assert accuracy(TRUTH[:, None], TIED[:, :1], TRUTH, (1,)).confusions == ()


def test_two_models_on_the_same_images() -> None:
    reference = np.array([0, 0, 1, 2, 1, 3], np.int32)
    found = pairing(BEST[:, 0], reference, TRUTH)
    assert (found.images, found.same_images) == (6, 3)  # one of the three is the same wrong class
    assert (found.both_correct_images, found.neither_correct_images) == (2, 2)
    assert (found.only_model_correct_images, found.only_reference_correct_images) == (0, 2)
    assert found.agreement_percent == 50
    assert found.change_points == pytest.approx(-100 / 3)
    assert found.mcnemar_p == 0.5  # two images of two on one side: 2 / 2²


@pytest.mark.parametrize("shift", [-1, 1])
def test_a_ground_truth_that_is_off_by_one(shift: int) -> None:
    truth = np.arange(40, dtype=np.int32) + 1
    assert shifted(truth[:, None] + shift, truth) == shift


@pytest.mark.parametrize("right", [0, 3, 40])
def test_no_shift_is_seen_where_there_is_none(right: int) -> None:
    truth = np.arange(40, dtype=np.int32) * 5
    best = truth.copy()
    best[right:] += 2
    best[-1:] = truth[-1:] + 1  # one image that a shift would make right says nothing
    assert shifted(best[:, None], truth) is None


def test_alphabetical_order_is_noticed() -> None:
    truth = np.repeat(np.arange(12, dtype=np.int32), 5)
    keras = np.array([0, 1, 4, 5, 6, 7, 8, 9, 10, 11, 2, 3], np.int32)  # where 0, 1, 10, 11, 2, ... stand
    assert alphabetical(keras[truth][:, None], truth, 12)
    assert not alphabetical(truth[:, None], truth, 12)
    assert not alphabetical(truth[:, None] % 10, truth % 10, 10)  # in which both orders are the same
