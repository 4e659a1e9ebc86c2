"""The work of a command on devices: here, on a board, or on several side by side."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from lite_toolkit.documents import Failure, OfDevice, Several
from lite_toolkit.errors import JobError, LiteToolkitError
from lite_toolkit.progress import Steps

if TYPE_CHECKING:
    from lite_toolkit.devices.profiles import Profile

T = TypeVar("T")
R = TypeVar("R", bound=OfDevice)
S = TypeVar("S", bound=Several)


@dataclass(frozen=True)
class Outcomes(Generic[T]):
    """What the work gave on each device, by its name, and the errors of those where it failed."""

    found: Mapping[str, T]
    failed: Mapping[str, LiteToolkitError]

    @property
    def several(self) -> bool:
        """Whether the user named more than one device."""
        return len(self.found) + len(self.failed) > 1

    def title(self, name: str) -> str:
        """What a line about one device begins with: its name, where there are several."""
        return f"{name}: " if self.several else ""

    def report(self, of: Callable[[str, T], R], several: type[S]) -> R | S:
        """What `of` makes of a device's name and what was found there, or those of all devices."""
        reports = tuple(of(name, outcome) for name, outcome in self.found.items())
        if not self.several:
            return reports[0]
        return several(reports, tuple(Failure(name, str(error)) for name, error in self.failed.items()))

    def complain(self) -> None:
        """Say what failed.

        Raises:
            JobError: something did.
        """
        from lite_toolkit.cli.console import warn

        for name, error in self.failed.items():
            warn(f"{name}: {error}")
        if self.failed:
            raise JobError(f"{len(self.failed)} of {len(self.found) + len(self.failed)} devices failed")


class _Placed(Protocol):
    """A request that says where."""

    @property
    def device(self) -> "Profile":
        """What does it."""


Q = TypeVar("Q", bound=_Placed)


def run_on(requests: Sequence[Q], work: Callable[[Q, Steps], T]) -> Outcomes[T]:
    """Do the work on all devices, with progress: of its steps on one, of the whole on several.

    Args:
        requests: one for each device.
        work: is given a request, and what shows its steps.

    Raises:
        LiteToolkitError: there is one device, and the work failed there.
        JobError: the work failed on all of several.
    """
    from lite_toolkit.cli.console import ShownSteps
    from lite_toolkit.devices.side_by_side import side_by_side

    steps = ShownSteps()
    if len(requests) == 1:
        outcomes = side_by_side(requests, lambda request: work(request, steps))
    else:
        with steps.step(f"{len(requests)} devices"):
            outcomes = side_by_side(requests, lambda request: work(request, Steps()))
    named = [(request.device.name, outcome) for request, outcome in zip(requests, outcomes, strict=True)]
    failed = {name: outcome for name, outcome in named if isinstance(outcome, LiteToolkitError)}
    if len(requests) == 1 and failed:
        raise failed[requests[0].device.name]
    done = Outcomes({name: outcome for name, outcome in named if not isinstance(outcome, LiteToolkitError)}, failed)
    if not done.found:
        done.complain()
    return done
