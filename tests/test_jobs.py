"""Jobs in a process of their own: what they report, and how they may end."""

import json
import os
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path

import pytest

from lite_toolkit.board.latency import LatencyJob
from lite_toolkit.conversion import pipeline
from lite_toolkit.devices import jobs
from lite_toolkit.errors import JobError
from lite_toolkit.progress import Steps
from lite_toolkit.runtime import children

JOB = LatencyJob(
    threads=1,
    delegate="xnnpack",
    delegate_options={},
    minimum_runtime=None,
    require_full_delegation=False,
    runs=3,
    seconds=0,
    max_seconds=10,
    sustained_seconds=0,
    preprocessing=None,
)


def answer(files: Mapping[str, Path], steps: Steps | None = None) -> jobs.Event:
    with jobs.start() as session:
        return session.answer(JOB, files, steps or Steps())


def described(model: Path) -> str:
    return json.dumps({"job": JOB.NAME, **asdict(JOB), "files": {"model": str(model)}}) + "\n"


class Heard(Steps):
    def __init__(self) -> None:
        super().__init__()
        self.heard: list[tuple[int, int]] = []

    def progress(self, done: int, total: int) -> None:
        self.heard.append((done, total))


@pytest.fixture(scope="module")
def model(convert: Callable[..., pipeline.Conversion]) -> Path:
    return convert("lite0", "int8").files[0].path


def test_the_first_job_takes_the_process_that_was_started_ahead() -> None:
    with jobs.ahead():
        (ahead,) = jobs._AHEAD
        with jobs.start() as first, jobs.start() as second:
            assert first is ahead
            assert second is not ahead


def test_a_process_that_was_started_ahead_for_nothing_ends() -> None:
    with jobs.ahead():
        (ahead,) = jobs._AHEAD
    assert ahead._process.poll() is not None
    assert not jobs._AHEAD


def test_a_job_reports_progress_and_one_result(model: Path) -> None:
    steps = Heard()
    result = answer({"model": model}, steps)
    assert len(result["latency"]["runs_ns"]) == result["latency"]["distribution"]["runs"] >= 3
    assert steps.heard[0] == (0, 100)


def test_standard_output_holds_events_alone(model: Path) -> None:
    """XNNPACK announces itself on standard error, and whatever prints to standard output is led there too."""
    runner = children.command("lite_toolkit.board.runner")
    done = subprocess.run(runner, input=described(model), capture_output=True, text=True)
    events = [json.loads(line)["event"] for line in done.stdout.splitlines()]
    assert (done.returncode, set(events[:-1]), events[-1]) == (0, {"progress"}, "result")


def test_an_error_is_an_event_with_an_exit_code(tmp_path: Path) -> None:
    runner = children.command("lite_toolkit.board.runner")
    done = subprocess.run(runner, input=described(tmp_path / "none.tflite"), capture_output=True, text=True)
    message = f"{tmp_path}/none.tflite: no such file"
    assert json.loads(done.stdout) == {"event": "error", "message": message, "exit_code": 1}
    assert done.returncode == 1


def test_an_error_of_the_job_is_raised_here(tmp_path: Path) -> None:
    with pytest.raises(JobError, match=r"none\.tflite: no such file") as caught:
        answer({"model": tmp_path / "none.tflite"})
    assert caught.value.exit_code == 1


@pytest.fixture
def child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Let a program be the process of the job."""

    def become(program: str) -> None:
        monkeypatch.setattr(children, "command", lambda module: ["sh", "-c", program])

    return become


@pytest.mark.parametrize(
    ("program", "message"),
    [
        ("kill -SEGV $$", "ended by SIGSEGV without a result$"),
        ("echo out of memory >&2; kill -KILL $$", "ended by SIGKILL without a result: out of memory$"),
        ("kill -40 $$", "ended by signal 40 without a result$"),
        ("echo wrong >&2; exit 3", "ended with exit code 3 without a result: wrong$"),
        ("exit 0", "ended with exit code 0 without a result$"),
    ],
)
def test_a_process_that_ends_early_is_one_error(program: str, message: str, child: Callable[[str], None]) -> None:
    child(program)
    with pytest.raises(JobError, match=message):
        answer({})


def test_the_process_does_not_outlive_an_interrupt(child: Callable[[str], None], tmp_path: Path) -> None:
    class Interrupted(Steps):
        def progress(self, done: int, total: int) -> None:
            raise KeyboardInterrupt

    child(f"echo $$ > {tmp_path}/pid; echo '{json.dumps({'event': 'progress', 'done': 0, 'total': 1})}'; exec sleep 60")
    with pytest.raises(KeyboardInterrupt):
        answer({}, Interrupted())
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_modules_of_the_current_folder_are_not_imported(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("json", "numpy", "lite_toolkit"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('the wrong one')")
    monkeypatch.chdir(tmp_path)
    assert answer({"model": model})["event"] == "result"
