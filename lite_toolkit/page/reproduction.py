"""The commands that make results again, as far as the results tell."""

import re
import shlex
from collections.abc import Iterator

from lite_toolkit.devices.profiles import HERE
from lite_toolkit.reports.results import Chip, Judged, Loss, Origin, Profile, Source, Timing
from lite_toolkit.weights.sources import HUB_PREFIX, IMAGENET

_CALIBRATED = ("int8", "int16x8")
_SYNTHETIC = re.compile(r"\d+ synthetic images")


def commands(source: Source) -> list[str]:
    """One line for each; what the results do not tell is in capitals."""
    words: list[list[str]] = [_convert(origin) for origin in source.of(Origin)]
    words += [_validate(loss) for loss in source.of(Loss) if loss.reference]
    words += [_evaluate(judged) for judged in source.of(Judged) if judged.classes]
    words += list(_benchmarks(source))
    words += [["edgetpu", "check", _file(chip.model)] for chip in source.of(Chip) if chip.mapped is not None]
    return list(dict.fromkeys(shlex.join(["lite-toolkit", *line]) for line in words))


def _convert(origin: Origin) -> list[str]:
    if origin.compiled_from:
        return ["edgetpu", "compile", _file(origin.compiled_from)]
    variant = origin.variant
    network = ["--variant", variant, *_weights(origin, variant)] if variant else ["--model", _file(origin.weights)]
    line = ["convert", *network, f"--{origin.format}"]
    if origin.recipe != origin.format:
        line += ["--recipe", origin.recipe]
    if origin.scores == "logits":
        line += ["--activation", "none"]
    if origin.format in _CALIBRATED:
        line += ["--io", origin.input_type]
    if origin.calibration and not _SYNTHETIC.fullmatch(origin.calibration):
        line += ["--calibration-data", "FOLDER"]
    line += ["--target", origin.target] if origin.target else []
    return [*line, "--output", _file(origin.model)]


def _weights(origin: Origin, variant: str) -> list[str]:
    default = IMAGENET.get(variant)
    if default and origin.weights.startswith((f"{default.title} ", f"{default.title}@")):
        return []
    if origin.weights.startswith(HUB_PREFIX):
        return ["--weights", origin.weights]
    return ["--weights", "none" if origin.weights_sha256 is None else "WEIGHTS"]


def _validate(loss: Loss) -> list[str]:
    return ["validate", _file(str(loss.reference)), _file(loss.quantized.model), "--data", "FOLDER"]


def _evaluate(judged: Judged) -> list[str]:
    line = ["evaluate", _file(judged.evaluated.model), "--data", _file(judged.evaluated.data)]
    if judged.pairing:
        line += ["--reference", _file(judged.pairing.reference)]
    line += ["--delegate", judged.delegate] if judged.delegate else []
    for name, value in judged.delegate_options:
        line += ["--delegate-option", f"{name}={value}"]
    return [*line, *_on(judged.device)]


def _benchmarks(source: Source) -> Iterator[list[str]]:
    """One line for each device of a benchmark."""
    timings, profiles = source.of(Timing), source.of(Profile)
    for machine in dict.fromkeys(timing.machine for timing in timings):
        mine = [timing for timing in timings if timing.machine == machine]
        threads = ",".join(dict.fromkeys(str(timing.measured.threads) for timing in mine))
        line = ["benchmark", *dict.fromkeys(_file(timing.measured.model) for timing in mine), "--threads", threads]
        line += ["--delegate", mine[0].measured.delegate, "--runs", str(min(len(one.measured.runs_ns) for one in mine))]
        seconds = max((timing.sustained[-1].end for timing in mine if timing.sustained), default=0.0)
        line += ["--sustained", f"{seconds / 60:.1f}"] if seconds else []
        line += ["--preprocess", "IMAGE"] if any(timing.stages for timing in mine) else []
        line += ["--profile"] if any(profile.machine == machine for profile in profiles) else []
        yield line + _on(machine.device)


def _file(name: str) -> str:
    """A file by its name, which must not become an option."""
    return f"./{name}" if name.startswith("-") else name


def _on(device: str) -> list[str]:
    return [] if device == HERE else ["--device", device]
