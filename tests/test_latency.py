"""How latency is measured, and what makes a measurement doubtful."""

import gc
import re
import time
from collections.abc import Callable
from dataclasses import MISSING, asdict, fields
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from lite_toolkit.board import latency
from lite_toolkit.board.distribution import Distribution
from lite_toolkit.conversion import pipeline
from lite_toolkit.drawings import latency as latency_plot
from lite_toolkit.measurement import stability
from lite_toolkit.measurement.latency import Environment, Measurement, Second, State, Times, WarmUp
from lite_toolkit.runtime import interpreter

MILLISECOND = 1_000_000


def test_a_distribution_by_hand() -> None:
    """numpy's linear percentiles of 1..5: the p-th lies at place 4 p / 100, counted from 0."""
    found = Distribution.of([5 * MILLISECOND, 1 * MILLISECOND, 3 * MILLISECOND, 2 * MILLISECOND, 4 * MILLISECOND])
    expected = {"runs": 5, "mean_ms": 3, "std_ms": 2**0.5, "min_ms": 1, "p5_ms": 1.2, "p50_ms": 3, "p90_ms": 4.6}
    assert asdict(found) == pytest.approx(expected | {"p95_ms": 4.8, "p99_ms": 4.96, "max_ms": 5})
    assert found.variation == pytest.approx(2**0.5 / 3)


def test_one_run_is_a_distribution() -> None:
    assert Distribution.of([MILLISECOND]).p99_ms == 1


@pytest.mark.parametrize(("seconds", "least", "runs"), [(0, 1, 1), (0, 7, 7), (0.05, 1, 5)])
def test_runs_reach_both_their_number_and_their_time(seconds: float, least: int, runs: int) -> None:
    taken = latency.run_for(lambda: time.sleep(0.01), seconds, least)
    assert runs - 2 <= len(taken) <= runs
    assert min(taken) >= 10 * MILLISECOND


def test_the_garbage_collector_rests_meanwhile() -> None:
    during: list[bool] = []
    latency.run_for(lambda: during.append(gc.isenabled()), 0)
    assert (during, gc.isenabled()) == ([False], True)


class Clock:
    """A clock that only runs while a model does, each run taking the next of given times."""

    def __init__(self, milliseconds: Callable[[int], float]) -> None:
        self.now = self.runs = 0
        self.milliseconds = milliseconds

    def perf_counter_ns(self) -> int:
        return self.now

    def run(self) -> None:
        self.now += int(self.milliseconds(self.runs) * MILLISECOND)
        self.runs += 1


@pytest.mark.parametrize(
    ("milliseconds", "runs", "steady"),
    [
        (lambda run: 10, 30, True),  # three windows of ten runs
        (lambda run: 50, 9, True),  # of three runs, as two do not fill a window
        (lambda run: 20 if run < 5 else 10, 35, True),  # the first window is slow, and the next three are alike
        (lambda run: 10 * 1.02**run, None, False),  # every run is 2% slower than the last
    ],
)
def test_the_warm_up_ends_when_times_are_steady(
    milliseconds: Callable[[int], float], runs: int | None, steady: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(milliseconds)
    monkeypatch.setattr(latency, "time", clock)
    taken, found = latency.warm_up(clock.run)
    assert found == steady
    assert sum(taken) >= (0 if steady else latency.WARM_UP_SECONDS * 1e9)
    assert runs is None or len(taken) == runs


@pytest.mark.parametrize("io", ["uint8", "int8", "float32"])
def test_random_inputs_fill_the_range_of_their_type(io: str, convert: Callable[..., pipeline.Conversion]) -> None:
    model = (convert("lite0", "float32") if io == "float32" else convert("lite0", "int8", io=io)).files[0].path
    loaded = interpreter.interpreter(model, 1)
    latency.fill(loaded)
    values = loaded.get_tensor(loaded.get_input_details()[0]["index"])
    low, high = {"uint8": (0, 255), "int8": (-128, 127), "float32": (-1, 1)}[io]
    assert (values.min(), values.max()) == pytest.approx((low, high), abs=0.01)
    assert values.mean() == pytest.approx((low + high) / 2, abs=0.02 * (high - low))
    again = interpreter.interpreter(model, 1)
    latency.fill(again)
    assert np.array_equal(values, again.get_tensor(again.get_input_details()[0]["index"]))


def measured(**changes: Any) -> tuple[Measurement, Environment]:
    """A measurement that leaves nothing to doubt, but for `changes`; those of the environment have its names."""
    environment = {field.name: None for field in fields(Environment)} | {"governors": ("performance",), "processors": 4}
    environment |= {name: changes.pop(name) for name in list(changes) if name in environment}
    told = dict.fromkeys(field.name for field in fields(Measurement) if field.default is MISSING)
    told |= {"threads": 1, "threads_started": 3, "load_average": 0.1, "others_busy_processors": 0.0, "sustained": ()}
    told |= {"before": state(0), "after": state(0), "warm_up": WarmUp(changes.pop("steady", True), (1.0,))}
    runs = tuple(changes.pop("runs_ns", [MILLISECOND] * 50))
    told["latency"] = Times.of(latency.Times(Distribution.of(runs), runs))
    return Measurement(**told | changes), Environment(**environment)


def state(throttled: int | None) -> State:
    return State((), {}, throttled)


def seconds(*milliseconds: int, throttled: int | None = None) -> tuple[Second, ...]:
    distributions = (Distribution.of([value * MILLISECOND] * 3) for value in milliseconds)
    return tuple(Second((), {}, throttled, 1.0, Times(**asdict(one))) for one in distributions)


def test_nothing_to_doubt() -> None:
    assert list(stability.doubts(*measured())) == []
    past = state(0xF0000)  # what occurred before is not of the run
    assert list(stability.doubts(*measured(before=past, after=past, sustained=seconds(1, 1, throttled=0xF0000)))) == []
    assert list(stability.doubts(*measured(before=state(None), after=past))) == []
    assert list(stability.doubts(*measured(sustained=seconds(1, 1, 1)))) == []


@pytest.mark.parametrize(
    ("changes", "doubt"),
    [
        ({"steady": False}, "the warm-up ended before times were steady: close other programs"),
        ({"runs_ns": [MILLISECOND, 2 * MILLISECOND] * 50}, "deviation is 33% of the mean, above 10%: .*--seconds 10"),
        ({"runs_ns": [100] * 50 + [108] * 50}, "second half of the runs is 8% slower .*: look .* --sustained 5 --plot"),
        (
            {"others_busy_processors": 0.5},
            "other programs, .* used 0.5 processors meanwhile, .*load average was 0.1 before",
        ),
        ({"governors": ("ondemand",)}, "governor is ondemand: sudo cpupower frequency-set -g performance"),
        ({"threads": 8}, "8 threads share 4 processors: use fewer"),
        ({"threads": 4, "threads_started": 0}, "no thread was started for 4: .* works with one"),
        ({"after": state(0x50005)}, "reports: the supply voltage is too low, throttled: use its own power"),
        ({"sustained": seconds(1, 1, throttled=8)}, "reports: too hot"),
        # Between two polls: bits 16 to 19 are set since the last one, and say what has occurred since the start.
        ({"after": state(0x40000)}, "reports: throttled: use"),
        ({"before": state(0x10000), "after": state(0x50000)}, "reports: throttled: use"),
        ({"sustained": (*seconds(1, throttled=0), *seconds(1, throttled=0x80000))}, "reports: too hot: use"),
        ({"sustained": (*seconds(1, throttled=0x20000), *seconds(1)), "before": state(None)}, "frequency is"),
        ({"sustained": seconds(10, 10, 10, 12)}, "at the end of the sustained runs it is 20% slower .*: cool"),
    ],
)
def test_each_doubt_has_a_next_step(changes: dict[str, Any], doubt: str) -> None:
    (found,) = stability.doubts(*measured(**changes))
    assert re.search(doubt, found)


def test_the_drawing_shows_what_the_machine_tells() -> None:
    pytest.importorskip("matplotlib")
    told = [
        {"runs_ns": [MILLISECOND] * 3, "seconds": place, "throttled": flags, "frequencies_khz": [1_500_000] * 4}
        | {"temperatures_celsius": {"cpu": 60.0 + place, "gpu": 40.0}}
        for place, flags in enumerate((0, 0x4, 0x40000), start=1)
    ]
    untold = [one | {"frequencies_khz": [], "temperatures_celsius": {}, "throttled": None} for one in told]
    latencies, frequencies, temperatures = drawn(told)
    assert [list(line.get_ydata()) for line in frequencies] == [[1500] * 3]
    assert [list(line.get_ydata()) for line in temperatures] == [[61, 62, 63]]
    assert latencies[1].get_xdata()[:2] == pytest.approx([2, 2])  # a dot is a line almost without length, and a gap
    assert len(latencies[1].get_xdata()) == 3  # a higher bit tells of the past
    (latencies,) = drawn(untold)
    assert [list(line.get_ydata()) for line in latencies] == [[1] * 3, []]


def drawn(seconds: list[dict[str, Any]]) -> list[list[Any]]:
    found = [
        Second(
            seconds=one["seconds"],
            latency=Times(raw_ms=tuple(run / MILLISECOND for run in one["runs_ns"])),
            **{field.name: one[field.name] for field in fields(State)},
        )
        for one in seconds
    ]
    figure = latency_plot.sustained([SimpleNamespace(sustained=found)], 9.0)  # type: ignore[list-item]
    return [axes.get_lines() for axes in figure.axes]
