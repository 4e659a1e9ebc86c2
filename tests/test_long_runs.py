"""The longest measurements that are allowed: what a board tells of them is a line, and what is saved is read again.

Nothing is measured: a run takes 2 ms of a clock that only runs while a model does.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from lite_toolkit.board import latency, machine
from lite_toolkit.board.distribution import Distribution
from lite_toolkit.cli.main import main
from lite_toolkit.devices import jobs
from lite_toolkit.documents import MOST_BYTES
from lite_toolkit.errors import ReportError
from lite_toolkit.measurement import benchmark
from lite_toolkit.measurement.latency import Times
from lite_toolkit.reports import reading
from lite_toolkit.runtime.nodes import Partition

RUN = 2_000_000  # nanoseconds
DAY = 1440  # minutes
SAVED = Path(__file__).parent / "golden/reports/benchmark.json"
STATE = {
    "frequencies_khz": [1_800_000] * 4,
    "temperatures_celsius": {"thermal_zone0 cpu-thermal": 61.834},
    "throttled": 0x50000,
}


class Clock:
    """Time, and runs that take some of it: each tenth one a quarter more, so that percentiles differ."""

    def __init__(self) -> None:
        self.now = 0
        self.pattern = np.array([RUN] * 9 + [RUN * 5 // 4])

    def perf_counter(self) -> float:
        return self.now / 1e9

    def process_time(self) -> float:
        return 0.0

    def perf_counter_ns(self) -> int:
        return self.now

    def run_for(self, _run: object, seconds: float, least: int = 1) -> list[int]:
        count = max(least, int(seconds * 1e9 // self.pattern.mean()) + 1)
        taken = np.resize(self.pattern, count)
        self.now += int(taken.sum())
        return taken.tolist()


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the job "benchmark" writes, line by line, of a model that is not there."""
    clock = Clock()
    monkeypatch.setattr(latency, "time", clock)
    monkeypatch.setattr(latency, "run_for", clock.run_for)
    monkeypatch.setattr(latency, "rehearse", lambda *_: None)
    monkeypatch.setattr(machine, "state", lambda: STATE)
    loaded = SimpleNamespace(invoke=lambda: None, get_input_details=list)
    monkeypatch.setattr(latency, "_load", lambda *_: (loaded, RUN, Partition(1, (), {})))

    def stages(_loaded: object, job: Any, *_: object) -> Iterator[Any]:
        taken = yield from latency._measure(lambda: None, job)
        return dict.fromkeys(("prepare", "quantize", "invoke", "total"), latency.times(taken))

    monkeypatch.setattr(latency, "_pipeline", stages)

    class InThisProcess(jobs._Child):
        """A session without a process."""

        def __init__(self) -> None:
            self.name = "this process"

        def events(self, job: Any, files: Any) -> jobs.Events:
            for event in latency.benchmark(job, files):
                line = json.dumps(event)
                assert len(line) < jobs.LONGEST_LINE
                yield json.loads(line)

        def __exit__(self, *_: object) -> None:
            pass

    monkeypatch.setattr(jobs, "start", InThisProcess)


@pytest.fixture
def longest(compiled: Path, photographs: Path) -> benchmark.Request:
    """As much as the command line allows, of a model with an input of images."""
    limits = {"runs": 10**6, "seconds": 3600, "max_seconds": 86400, "sustained_minutes": DAY}
    return benchmark.Request(models=(compiled,), threads=(1, 2), image=photographs / "picture00.jpg", **limits)


@pytest.mark.usefixtures("answers")
def test_the_longest_report_is_written_and_read_by_all_that_read_reports(
    longest: benchmark.Request, tmp_path: Path
) -> None:
    found = benchmark.benchmark(longest)
    a, b = tmp_path / "a.json", tmp_path / "b.json"
    for path in (a, b):
        found.save(path)
    assert a.stat().st_size < MOST_BYTES / 5  # so that ten such measurements, of ten days, are read
    (one, _) = reading.read(a).report.measurements
    assert one.times == found.measurements[0].times
    assert one.times.runs > 3600 / 0.00206
    assert one.sustained[-1].seconds == pytest.approx(60 * DAY, abs=30)
    assert sum(second.latency.distribution.runs for second in one.sustained) == pytest.approx(86400 / 0.00205, rel=1e-3)
    for command in (["compare", a, b], ["report", a, "--output", tmp_path / "page.html"]):
        done = CliRunner().invoke(main, list(map(str, command)))
        assert done.exit_code == 0, done.stderr
    assert "3600 times 24 seconds" in (tmp_path / "page.html").read_text()


def test_figures_are_of_all_runs_where_only_some_are_told_one_by_one() -> None:
    """25,003 runs in their order are every third one; a single slow run is not among these, and is the maximum."""
    taken = list(range(1, 25_004))
    taken[1] = 10**9
    told = latency.times(taken)
    assert told["distribution"]["max_ms"] == 1000
    assert told["distribution"] == vars(Distribution.of(taken))
    assert told["runs_ns"] == list(range(1, 25_004, 3))
    assert latency.times(taken[:10_000])["runs_ns"] == taken[:10_000]


@pytest.mark.parametrize(
    ("left_out", "message"),
    [
        ({"raw_ms"}, r"must be an object of .* with raw_ms$"),
        ({"raw_ms", "p99_ms"}, "'raw_ms' is missing, and not all figures stand in its place"),
    ],
)
def test_the_runs_that_count_are_told(left_out: set[str], message: str, tmp_path: Path) -> None:
    saved = json.loads(SAVED.read_text())
    times = saved["measurements"][0]["latency"]
    told = Times(raw_ms=tuple(times["raw_ms"])).distribution
    saved["measurements"][0]["latency"] = {
        name: value for name, value in ({**vars(told), **times}).items() if name not in left_out
    }
    (tmp_path / "a.json").write_text(json.dumps(saved))
    with pytest.raises(ReportError, match=rf"a.json is damaged: measurements\[0\].latency.*{message}"):
        reading.read(tmp_path / "a.json")


@pytest.mark.parametrize(("seconds", "step"), [(1, 1), (60, 1), (3600, 1), (7200, 2), (86400, 24)])
@pytest.mark.usefixtures("answers")
def test_sustained_runs_are_told_by_seconds_and_those_of_hours_in_3600_parts(seconds: int, step: int) -> None:
    events = latency._sustained(lambda: None, seconds)
    while True:
        try:
            next(events)
        except StopIteration as end:
            found = end.value
            break
    assert len(found) == pytest.approx(seconds / step, rel=0.01)
    assert all(part["distribution"]["runs"] == pytest.approx(step / 0.00205, rel=0.01) for part in found)
    assert {name: found[-1][name] for name in STATE} == STATE
