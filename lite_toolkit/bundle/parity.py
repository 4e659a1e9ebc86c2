"""Whether a machine sees in a bundle's golden images what the bundle says, and if not, at which stage it parts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lite_toolkit.board.golden import STAGES, Difference, GoldenJob, GoldenResult, Stages
from lite_toolkit.bundle import contents, vectors
from lite_toolkit.bundle.contents import Bundle
from lite_toolkit.bundle.vectors import Golden
from lite_toolkit.decoding import encode_fields
from lite_toolkit.devices import profiles
from lite_toolkit.devices.profiles import Profile
from lite_toolkit.errors import require_range
from lite_toolkit.progress import Steps
from lite_toolkit.runtime import processors


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


@dataclass(frozen=True)
class Request:
    """A bundle to verify, and where.

    Attributes:
        bundle: from `contents.read`.
        threads: for the kernels; None is the device's own, or 1.
        delegate, delegate_options: for `delegates.choose`, on the device; None is the device's own.
        device: what computes the golden vectors, see `profiles.load`; by default this machine.
    """

    bundle: Bundle
    threads: int | None = None
    delegate: str | None = None
    delegate_options: Mapping[str, str] = field(default_factory=dict)
    device: Profile = field(default_factory=profiles.here)

    def __post_init__(self) -> None:
        require_range("--threads", self.threads, 1, processors.MAXIMUM)


def compare(request: Request, steps: Steps | None = None) -> Parity:
    """Recompute the golden vectors, where the request says.

    Args:
        request: what to verify.
        steps: shows how far it is.

    Raises:
        TamperedError: a file of the bundle is not what it was.
        JobError: the job failed, could not be run, or answered for other images than it was asked for.
    """
    bundle, device, steps = request.bundle, request.device, steps or Steps()
    contents.require_intact(bundle)
    recorded, chosen = bundle.golden, device.delegation(request.delegate, request.delegate_options)
    job = GoldenJob(
        preprocessing=bundle.preprocessing.to_json(),
        pixels_sha256=tuple(vector.pixels_sha256 for vector in recorded.vectors),
        threads=request.threads or device.threads or 1,
        delegate=chosen.name,
        delegate_options=chosen.options,
    )
    files = {"model": bundle.folder / contents.MODEL, **vectors.job_files(bundle.folder, recorded.vectors)}
    with steps.step("golden vectors"), device.start() as session:
        result = session.result(job, files, GoldenResult, steps)
    if len(result.stages) != len(recorded.vectors):
        session.refuse(f"answered for {len(result.stages)} golden images: must be {len(recorded.vectors)}")
    return Parity(result.runtime, tuple(_stage(name, result.stages, recorded) for name in STAGES))


def _stage(name: str, found: Sequence[Stages], recorded: Golden) -> Stage:
    step = {"quantize": recorded.input_step, "kernel": recorded.output_step, "whole": recorded.output_step}
    told: list[Difference] = [getattr(image, name) for image in found]
    return Stage(
        name=name,
        values=max(1, sum(one.values for one in told)),
        differing=sum(one.differing for one in told),
        largest_steps=max(one.largest for one in told) / step.get(name, 1.0),
        tolerance_steps=recorded.tolerance_steps.get(name),
    )
