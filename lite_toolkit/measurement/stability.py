"""Whether a measurement can be trusted, and what to do if not."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from lite_toolkit.board.machine import SINCE_START, THROTTLED
from lite_toolkit.measurement.benchmark import Measurement

VARIATION_LIMIT = 0.1
DRIFT_LIMIT = 0.05
OTHERS_LIMIT = 0.15  # processors
SLOWDOWN_LIMIT = 0.05


def doubts(found: Measurement) -> Iterator[str]:
    """One sentence for each reason to doubt, with the next step."""
    result, latency = found.result, found.latency
    if not result["steady"]:
        yield "the warm-up ended before times were steady: close other programs, or let the machine cool down"
    if latency.variation > VARIATION_LIMIT:
        yield (
            f"the standard deviation is {latency.variation:.0%} of the mean, above {VARIATION_LIMIT:.0%}: close other "
            "programs, or measure longer with --seconds 10"
        )
    drift = relative_drift(result["latency"]["runs_ns"])
    if abs(drift) > DRIFT_LIMIT:
        yield (
            f"the second half of the runs is {abs(drift):.0%} {'slower' if drift > 0 else 'faster'} than the first, "
            f"above {DRIFT_LIMIT:.0%}: look at it over time with --sustained 5 --plot latency.svg"
        )
    yield from _machine(found)


def relative_drift(nanoseconds: list[int]) -> float:
    """By how much the median of the second half of the runs is above that of the first, as a share of the latter."""
    half = len(nanoseconds) // 2
    if half == 0:
        return 0.0
    first, second = (float(np.median(part)) for part in (nanoseconds[:half], nanoseconds[half:]))
    return second / first - 1


def slowdown(found: Measurement) -> float | None:
    """By how much the last tenth of the sustained seconds is above the first, in their medians; None without them."""
    medians = [second["distribution"]["p50_ms"] for second in found.result["sustained"]]
    tenth = max(1, len(medians) // 10)
    return float(np.median(medians[-tenth:]) / np.median(medians[:tenth]) - 1) if len(medians) > 1 else None


def throttling(flags: int | None, earlier: int | None = None) -> list[str]:
    """What the flags of a Raspberry Pi's firmware say of now, and of the time since they were `earlier`, if known."""
    since = 0 if flags is None or earlier is None else flags & ~earlier
    return [meaning for bit, meaning in THROTTLED.items() if ((flags or 0) | since >> SINCE_START) >> bit & 1]


def _machine(found: Measurement) -> Iterator[str]:
    result = found.result
    environment = result["environment"]
    others = result["others_busy"]
    if others is not None and others > OTHERS_LIMIT:
        yield (
            f"other programs, or guests of the same machine, used {others:.1f} processors meanwhile, above "
            f"{OTHERS_LIMIT:g}: close them (the load average was {result['load_average']:.1f} before)"
        )
    if environment["governors"] and environment["governors"] != ["performance"]:
        governors = ", ".join(environment["governors"])
        yield f"the CPU governor is {governors}: sudo cpupower frequency-set -g performance"
    if found.threads > environment["processors"]:
        yield f"{found.threads} threads share {environment['processors']} processors: use fewer"
    if found.threads > 1 and result["threads_started"] == 0:
        yield f"no thread was started for {found.threads}: the runtime or delegate works with one, so measure with one"
    reported = _reported(found)
    if reported:
        yield f"the board reports: {', '.join(reported)}: use its own power supply, and cool it"
    slower = slowdown(found)
    if slower is not None and slower > SLOWDOWN_LIMIT:
        yield f"at the end of the sustained runs it is {slower:.0%} slower than at their start: cool the processor"


def _reported(found: Measurement) -> list[str]:
    """What limited the board at the moments that it was asked, or between two of them, each once."""
    states = (found.result["before"], found.result["after"], *found.result["sustained"])
    flags = [state["throttled"] for state in states]
    told = (throttling(now, earlier) for earlier, now in pairwise([None, *flags]))
    return list(dict.fromkeys(meaning for meanings in told for meaning in meanings))
