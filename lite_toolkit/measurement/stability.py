"""Whether a measurement can be trusted, and what to do if not."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np

from lite_toolkit.measurement.latency import Environment, Measurement, throttling

VARIATION_LIMIT = 0.1
DRIFT_LIMIT = 0.05
OTHERS_LIMIT = 0.15  # processors
SLOWDOWN_LIMIT = 0.05


def doubts(found: Measurement, environment: Environment) -> Iterator[str]:
    """One sentence for each reason to doubt, with the next step."""
    latency = found.times
    if not found.warm_up.steady:
        yield "the warm-up ended before times were steady: close other programs, or let the machine cool down"
    if latency.variation > VARIATION_LIMIT:
        yield (
            f"the standard deviation is {latency.variation:.0%} of the mean, above {VARIATION_LIMIT:.0%}: close other "
            "programs, or measure longer with --seconds 10"
        )
    drift = relative_drift(found.latency.raw_ms)
    if abs(drift) > DRIFT_LIMIT:
        yield (
            f"the second half of the runs is {abs(drift):.0%} {'slower' if drift > 0 else 'faster'} than the first, "
            f"above {DRIFT_LIMIT:.0%}: look at it over time with --sustained 5 --plot latency.svg"
        )
    yield from _machine(found, environment)


def relative_drift(runs: Sequence[float]) -> float:
    """By how much the median of the second half of the runs is above that of the first, as a share of the latter."""
    half = len(runs) // 2
    if half == 0:
        return 0.0
    first, second = (float(np.median(part)) for part in (runs[:half], runs[half:]))
    return second / first - 1


def slowdown(found: Measurement) -> float | None:
    """By how much the last tenth of the sustained seconds is above the first, in their medians; None without them."""
    medians = [second.latency.distribution.p50_ms for second in found.sustained]
    tenth = max(1, len(medians) // 10)
    return float(np.median(medians[-tenth:]) / np.median(medians[:tenth]) - 1) if len(medians) > 1 else None


def _machine(found: Measurement, environment: Environment) -> Iterator[str]:
    others = found.others_busy_processors
    if others is not None and others > OTHERS_LIMIT:
        yield (
            f"other programs, or guests of the same machine, used {others:.1f} processors meanwhile, above "
            f"{OTHERS_LIMIT:g}: close them (the load average was {found.load_average:.1f} before)"
        )
    if environment.governors not in ((), ("performance",)):
        governors = ", ".join(environment.governors)
        yield f"the CPU governor is {governors}: sudo cpupower frequency-set -g performance"
    if found.threads > (environment.processors or found.threads):
        yield f"{found.threads} threads share {environment.processors} processors: use fewer"
    if found.threads > 1 and found.threads_started == 0:
        yield f"no thread was started for {found.threads}: the runtime or delegate works with one, so measure with one"
    reported = _reported(found)
    if reported:
        yield f"the board reports: {', '.join(reported)}: use its own power supply, and cool it"
    slower = slowdown(found)
    if slower is not None and slower > SLOWDOWN_LIMIT:
        yield f"at the end of the sustained runs it is {slower:.0%} slower than at their start: cool the processor"


def _reported(found: Measurement) -> list[str]:
    """What limited the board at the moments that it was asked, or between two of them, each once."""
    flags = [state.throttled for state in (found.before, found.after, *found.sustained)]
    told = (throttling(now, earlier) for earlier, now in pairwise([None, *flags]))
    return list(dict.fromkeys(meaning for meanings in told for meaning in meanings))
