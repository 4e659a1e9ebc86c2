"""The commands that make results again, as far as the results tell."""

import shlex
from collections.abc import Iterator

from lite_toolkit.devices import HERE
from lite_toolkit.page.results import Chip, Judged, Loss, Origin, Profile, Source, Timing

_CALIBRATED = ("int8", "int16x8")


def commands(source: Source) -> list[str]:
    """One line for each; what the results do not tell is in capitals."""
    words: list[list[str]] = [_convert(origin) for origin in source.of(Origin)]
    words += [_validate(loss) for loss in source.of(Loss) if loss.reference]
    words += [_evaluate(judged) for judged in source.of(Judged) if judged.classes]
    words += list(_benchmarks(source))
    words += [["edgetpu", "check", chip.model] for chip in source.of(Chip) if chip.mapped is not None]
    return list(dict.fromkeys(shlex.join(["lite-toolkit", *line]) for line in words))


def _convert(origin: Origin) -> list[str]:
    if origin.compiled_from:
        return ["edgetpu", "compile", origin.compiled_from]
    network = ["--variant", origin.variant] if origin.variant else ["--model", origin.weights]
    line = ["convert", *network, f"--{origin.format}"]
    if origin.recipe != origin.format:
        line += ["--recipe", origin.recipe]
    if origin.scores == "logits":
        line += ["--activation", "none"]
    if origin.format in _CALIBRATED:
        line += ["--io", origin.input_type]
    return [*line, *(["--calibration-data", "FOLDER"] if origin.calibration else []), "--output", origin.model]


def _validate(loss: Loss) -> list[str]:
    return ["validate", str(loss.reference), loss.quantized.model, "--data", "FOLDER"]


def _evaluate(judged: Judged) -> list[str]:
    line = ["evaluate", judged.evaluated.model, "--data", judged.evaluated.data]
    if judged.pairing:
        line += ["--reference", judged.pairing.reference]
    return [*line, *_on(judged.device)]


def _benchmarks(source: Source) -> Iterator[list[str]]:
    """One line for each device of a benchmark."""
    timings, profiles = source.of(Timing), source.of(Profile)
    for machine in dict.fromkeys(timing.machine for timing in timings):
        mine = [timing for timing in timings if timing.machine == machine]
        threads = ",".join(dict.fromkeys(str(timing.measured.threads) for timing in mine))
        line = ["benchmark", *dict.fromkeys(timing.measured.model for timing in mine), "--threads", threads]
        line += ["--delegate", mine[0].measured.delegate, "--runs", str(min(len(one.measured.runs_ns) for one in mine))]
        seconds = max((timing.sustained[-1].end for timing in mine if timing.sustained), default=0.0)
        line += ["--sustained", f"{seconds / 60:.1f}"] if seconds else []
        line += ["--preprocess", "IMAGE"] if any(timing.stages for timing in mine) else []
        line += ["--profile"] if any(profile.machine == machine for profile in profiles) else []
        yield line + _on(machine.device)


def _on(device: str) -> list[str]:
    return [] if device == HERE else ["--device", device]
