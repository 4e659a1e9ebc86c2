"""What every job of the runner has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from typing import Any, Union

    # Of progress and the like, as JSON; or the result, a dataclass whose fields are values of JSON.
    Event = Union[dict[str, Any], Any]


@dataclass(frozen=True)
class Job:
    """A request; its fields are values of JSON, and its class stands beside the function that does it."""

    NAME: ClassVar[str]
