"""What counts of a sample say of the whole: intervals of 95% confidence, and a test of paired counts."""

import math

Z = 1.959963984540054  # the 97.5% quantile of the standard normal distribution


def wilson(hits: int, total: int) -> tuple[float, float]:
    """The score interval of a proportion, both ends in 0..1; (0, 1) of nothing.

    (p + z²/2n ± z sqrt(p(1 - p)/n + z²/4n²)) / (1 + z²/n): Wilson, J. Am. Stat. Assoc. 22 (1927), 209-212.
    """
    if not total:
        return 0.0, 1.0
    centre = hits + Z * Z / 2
    half = Z * math.sqrt(hits * (total - hits) / total + Z * Z / 4)
    # At 0 and at `total` rounding would leave an end short of 0 or 1 by a hair.
    low = (centre - half) / (total + Z * Z) if hits else 0.0
    high = (centre + half) / (total + Z * Z) if hits < total else 1.0
    return low, high


def difference(hits1: int, total1: int, hits2: int, total2: int) -> tuple[float, float]:
    """The interval of p1 - p2, both ends in -1..1, where each proportion has cases of its own.

    With (l, u) the Wilson intervals: p1 - p2 - sqrt((p1-l1)² + (u2-p2)²) to p1 - p2 + sqrt((u1-p1)² + (p2-l2)²):
    method 10 of Newcombe, Statistics in Medicine 17 (1998), 873-890. Of the same cases judged twice it is too wide.
    """
    if not total1 or not total2:
        return -1.0, 1.0
    one, two = hits1 / total1, hits2 / total2
    (low1, high1), (low2, high2) = wilson(hits1, total1), wilson(hits2, total2)
    return one - two - math.hypot(one - low1, high2 - two), one - two + math.hypot(high1 - one, two - low2)


def paired_difference(both: int, first: int, second: int, neither: int) -> tuple[float, float]:
    """The interval of p1 - p2, both ends in -1..1, where the same cases were judged twice.

    Of the cases, `both` were hits both times, `first` and `second` only then, `neither` at no time. The Wilson
    intervals (l, u) of both proportions are combined, with phi the correlation of the two judgements:
    p1 - p2 - sqrt((p1-l1)² - 2 phi (p1-l1)(u2-p2) + (u2-p2)²) to p1 - p2 + sqrt((u1-p1)² - 2 phi (u1-p1)(p2-l2) +
    (p2-l2)²): method 10 of Newcombe, Statistics in Medicine 17 (1998), 2635-2650, which holds its coverage where the
    judgements rarely differ, as those of a float and a quantized model.
    """
    total = both + first + second + neither
    if not total:
        return -1.0, 1.0
    one, two = (both + first) / total, (both + second) / total
    (low1, high1), (low2, high2) = wilson(both + first, total), wilson(both + second, total)
    phi = _correlation(both, first, second, neither)
    below = _distance(one - low1, high2 - two, phi)
    above = _distance(high1 - one, two - low2, phi)
    return one - two - below, one - two + above


def mcnemar(first: int, second: int) -> float:
    """The exact two-sided p of McNemar's test, for the cases that were hits only the first or only the second time.

    If neither judgement is better, each such case falls on either side with probability 1/2:
    p = min(1, 2 sum(C(n, i) for i = 0..min(first, second)) / 2^n) with n = first + second. McNemar, Psychometrika 12
    (1947), 153-157.
    """
    total, term, tail = first + second, 1, 0
    for index in range(min(first, second) + 1):
        tail += term
        term = term * (total - index) // (index + 1)
    p: float = 2 * tail / 2**total  # whole numbers up to the division, which Python rounds once
    return min(1.0, p)


def _correlation(both: int, first: int, second: int, neither: int) -> float:
    product = (both + first) * (second + neither) * (both + second) * (first + neither)
    if not product:
        return 0.0
    covariance: float = both * neither - first * second
    if covariance > 0:
        covariance = max(covariance - (both + first + second + neither) / 2, 0)  # Newcombe's correction for continuity
    return covariance / math.sqrt(product)


def _distance(one: float, other: float, phi: float) -> float:
    return math.sqrt(max(0.0, one * one - 2 * phi * one * other + other * other))
