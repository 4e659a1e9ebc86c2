"""Intervals and tests against published examples and fractions written out by hand."""

from fractions import Fraction
from math import comb

import pytest

from lite_toolkit.measurement.intervals import difference, mcnemar, paired_difference, wilson


@pytest.mark.parametrize(
    ("hits", "total", "low", "high"),
    [
        # Newcombe, Statistics in Medicine 17 (1998), 857-872, table I, method 3.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson(hits: int, total: int, low: float, high: float) -> None:
    assert wilson(hits, total) == pytest.approx((low, high), abs=5e-5)
    assert wilson(total - hits, total) == pytest.approx((1 - high, 1 - low), abs=5e-5)


@pytest.mark.parametrize("total", [1, 7, 50_000])
def test_wilson_ends_exactly_at_0_and_1(total: int) -> None:
    assert wilson(0, total)[0] == 0
    assert wilson(total, total)[1] == 1


def test_nothing_tells_nothing() -> None:
    assert wilson(0, 0) == (0, 1)
    assert paired_difference(0, 0, 0, 0) == (-1, 1)
    assert difference(0, 0, 1, 2) == (-1, 1)


@pytest.mark.parametrize(
    ("counts", "interval"),
    [
        # Newcombe, Statistics in Medicine 17 (1998), 873-890, table II, method 10.
        ((56, 70, 48, 80), (0.0524, 0.3339)),
        ((9, 10, 3, 10), (0.1705, 0.8090)),
        ((5, 56, 0, 29), (-0.0381, 0.1926)),
        ((0, 10, 0, 20), (-0.1611, 0.2775)),
        ((10, 10, 0, 10), (0.6075, 1.0000)),
    ],
)
def test_difference(counts: tuple[int, int, int, int], interval: tuple[float, float]) -> None:
    assert difference(*counts) == pytest.approx(interval, abs=5e-5)
    mirrored = difference(*counts[2:], *counts[:2])
    assert mirrored == pytest.approx((-interval[1], -interval[0]), abs=5e-5)


@pytest.mark.parametrize(
    ("table", "interval", "digits"),
    [
        # Fagerland, Lydersen and Laake, Statistical Analysis of Contingency Tables (2017), chapter 8: Cavo et al. 2012.
        ((59, 6, 16, 80), (-0.1186, -0.0046), 4),
        # Altman, Machin, Bryant and Gardner, Statistics with Confidence (2000), table 6.2.
        ((14, 5, 0, 22), (0.011, 0.226), 3),
    ],
)
def test_paired_difference(table: tuple[int, int, int, int], interval: tuple[float, float], digits: int) -> None:
    found = paired_difference(*table)
    assert tuple(round(end, digits) for end in found) == interval
    both, first, second, neither = table
    mirrored = paired_difference(both, second, first, neither)
    assert mirrored == pytest.approx((-found[1], -found[0]))


@pytest.mark.parametrize("table", [(272, 0, 0, 0), (0, 0, 0, 272), (250, 0, 0, 22)])
def test_models_that_never_differ_still_have_an_interval(table: tuple[int, int, int, int]) -> None:
    low, high = paired_difference(*table)
    assert -0.02 < low < 0 < high < 0.02


@pytest.mark.parametrize(
    ("first", "second", "p"),
    [
        # Armitage and Berry, Statistical Methods in Medical Research (1994), p. 127: P = 0.0129.
        (12, 2, 2 * (1 + 14 + 91) / 2**14),
        (6, 16, float(Fraction(2 * sum(comb(22, i) for i in range(7)), 2**22))),
        (1, 0, 1.0),
        (0, 0, 1.0),
        (3, 3, 1.0),
        (0, 10, 2 / 1024),
    ],
)
def test_mcnemar(first: int, second: int, p: float) -> None:
    assert mcnemar(first, second) == mcnemar(second, first) == p


def test_mcnemar_of_thousands_neither_overflows_nor_vanishes() -> None:
    assert 0 < mcnemar(10_000, 10_500) < 0.001
    assert mcnemar(0, 50_000) == 0.0
