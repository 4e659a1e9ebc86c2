"""Whether a machine sees in a bundle's golden images what the bundle says, and if not, at which stage it parts."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lite_toolkit.board.golden import STAGES, Difference
from lite_toolkit.bundle import contents, vectors
from lite_toolkit.bundle.contents import Bundle
from lite_toolkit.bundle.vectors import Golden
from lite_toolkit.decoding import encode_fields
from lite_toolkit.devices import jobs
from lite_toolkit.errors import JobError
from lite_toolkit.progress import Steps

THREADS = 1


@dataclass(frozen=True)
class Stage:
    """The differences of one stage, over all golden images.

    Attributes:
        name: one of `golden.STAGES`.
        values: number of values; images for "decode".
        differing: number of those that are not equal.
        largest_steps: the largest difference; levels of 0..255 for "resize".
        tolerance_steps: how much is allowed; None for "whole", which only adds up the others.
    """

    name: str
    values: int
    differing: int
    largest_steps: float
    tolerance_steps: float | None

    @property
    def good(self) -> bool:
        """Whether the difference is allowed."""
        return self.tolerance_steps is None or self.largest_steps <= self.tolerance_steps

    @property
    def differing_percent(self) -> float:
        """Of the values."""
        return 100 * self.differing / self.values

    def to_json(self) -> dict[str, Any]:
        """The fields, and what they say."""
        return encode_fields(self) | {"differing_percent": self.differing_percent, "good": self.good}


@dataclass(frozen=True)
class Parity:
    """What a machine sees in the golden images: its runtime, and the stages in their order."""

    runtime: str
    stages: tuple[Stage, ...]

    @property
    def broken(self) -> list[Stage]:
        """The stages that are off by more than is allowed."""
        return [stage for stage in self.stages if not stage.good]


def compare(
    bundle: Bundle,
    steps: Steps,
    run: jobs.Run = jobs.run,
    *,
    threads: int = THREADS,
    delegate: str = "xnnpack",
    delegate_options: Mapping[str, str] | None = None,
) -> Parity:
    """Recompute the golden vectors, in a process of its own or on a board.

    Args:
        bundle: its files are intact, see `contents.damaged`.
        steps: are shown how far it is.
        run: what runs the job.
        threads: for the kernels.
        delegate, delegate_options: as for `delegates.choose`, on the machine that runs it.

    Raises:
        JobError: the job failed, could not be run, or answered for other images than it was asked for.
    """
    recorded = bundle.golden
    job = {
        "job": "golden",
        "preprocessing": bundle.preprocessing.to_json(),
        "pixels_sha256": [vector.pixels_sha256 for vector in recorded.vectors],
        "threads": threads,
        "delegate": delegate,
        "delegate_options": dict(delegate_options or {}),
    }
    files = {"model": bundle.folder / contents.MODEL, **vectors.job_files(bundle.folder, recorded.vectors)}
    with steps.step("golden vectors"):
        result = jobs.result(run(job, files), steps)
    if len(result["stages"]) != len(recorded.vectors):
        raise JobError(f"{len(result['stages'])} golden images were answered for: must be {len(recorded.vectors)}")
    return Parity(str(result["runtime"]), tuple(_stage(name, result["stages"], recorded) for name in STAGES))


def _stage(name: str, found: list[Mapping[str, Any]], recorded: Golden) -> Stage:
    step = {"quantize": recorded.input_step, "kernel": recorded.output_step, "whole": recorded.output_step}
    told = [_told(name, image[name]) for image in found]
    return Stage(
        name=name,
        values=max(1, sum(one.values for one in told)),
        differing=sum(one.differing for one in told),
        largest_steps=max(one.largest for one in told) / step.get(name, 1.0),
        tolerance_steps=recorded.tolerance_steps.get(name),
    )


def _told(name: str, found: Mapping[str, Any]) -> Difference:
    """What a board, which is not trusted, says of a stage of one image."""
    told = Difference(int(found["values"]), int(found["differing"]), float(found["largest"]))
    if not (0 <= told.differing <= told.values and 0 <= told.largest < math.inf):
        raise JobError(f"{told} was answered for stage {name}: no difference can be so")
    return told
