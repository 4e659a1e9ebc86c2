"""Times of many runs as a few figures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike


@dataclass(frozen=True)
class Distribution:
    """Times in milliseconds.

    Percentiles lie between the two nearest runs in proportion, numpy's default method "linear": the p-th of n sorted
    runs has the place (n - 1) p / 100, counted from 0.

    Attributes:
        runs: how many there are.
        std_ms: the standard deviation over all runs (divided by their number).
    """

    runs: int
    mean_ms: float
    std_ms: float
    min_ms: float
    p5_ms: float
    p50_ms: float
    p90_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float

    @classmethod
    def of(cls, nanoseconds: Sequence[int]) -> Distribution:
        """The distribution of at least one run."""
        return cls.of_milliseconds(np.asarray(nanoseconds, np.float64) / 1e6)

    @classmethod
    def of_milliseconds(cls, milliseconds: ArrayLike) -> Distribution:
        """The same of milliseconds."""
        times = np.asarray(milliseconds, np.float64)
        p5, p50, p90, p95, p99 = (float(value) for value in np.percentile(times, (5, 50, 90, 95, 99)))
        mean, std, least, most = float(times.mean()), float(times.std()), float(times.min()), float(times.max())
        return cls(len(times), mean, std, least, p5, p50, p90, p95, p99, most)

    @property
    def variation(self) -> float:
        """The coefficient of variation: standard deviation over mean."""
        return self.std_ms / self.mean_ms
