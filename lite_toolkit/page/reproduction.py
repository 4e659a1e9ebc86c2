"""The commands that make results again, as far as the results tell."""

import re
import shlex

from lite_toolkit.devices.profiles import HERE
from lite_toolkit.edgetpu.forecast import Forecast
from lite_toolkit.measurement.latency import Benchmark
from lite_toolkit.measurement.loss import Validation
from lite_toolkit.reports.evaluation import Evaluation
from lite_toolkit.reports.manifest import Manifest, Weights
from lite_toolkit.reports.reading import Source
from lite_toolkit.training.contents import Survey
from lite_toolkit.weights.sources import HUB_PREFIX, IMAGENET

_SYNTHETIC = re.compile(r"\d+ synthetic images")


def commands(source: Source) -> list[str]:
    """One line for each; what the results do not tell is in capitals."""
    words: list[list[str]] = [["data", _file(survey.data)] for survey in source.of(Survey)]
    words += [_convert(manifest) for manifest in source.of(Manifest)]
    words += [_validate(validation) for validation in source.of(Validation)]
    words += [_evaluate(evaluation) for evaluation in source.of(Evaluation)]
    words += [_benchmark(benchmark) for benchmark in source.of(Benchmark) if benchmark.measurements]
    words += [["edgetpu", "check", _file(forecast.file)] for forecast in source.of(Forecast)]
    return list(dict.fromkeys(shlex.join(["lite-toolkit", *line]) for line in words))


def _convert(made: Manifest) -> list[str]:
    if made.edgetpu:
        return ["edgetpu", "compile", _file(made.edgetpu.source.file)]
    variant, form = made.variant, made.model.format
    network = (
        ["--variant", variant, *_weights(made.weights, variant)] if variant else ["--model", _file(made.weights.source)]
    )
    line = ["convert", *network, f"--{form}"]
    if made.recipe.name != form:
        line += ["--recipe", made.recipe.name]
    if made.model.scores == "logits":
        line += ["--activation", "none"]
    if made.recipe.calibrated:
        line += ["--io", made.input.dtype]
    if made.calibration and not _SYNTHETIC.fullmatch(made.calibration.description):
        line += ["--calibration-data", "FOLDER"]
    line += ["--target", made.target.name] if made.target else []
    return [*line, "--output", _file(made.model.file)]


def _weights(weights: Weights, variant: str) -> list[str]:
    default = IMAGENET.get(variant)
    if default and weights.source.startswith((f"{default.title} ", f"{default.title}@")):
        return []
    if weights.source.startswith(HUB_PREFIX):
        return ["--weights", weights.source]
    return ["--weights", "none" if weights.sha256 is None else "WEIGHTS"]


def _validate(found: Validation) -> list[str]:
    return ["validate", _file(found.float_), _file(found.quantized), "--data", "FOLDER"]


def _evaluate(found: Evaluation) -> list[str]:
    line = ["evaluate", _file(found.model.file), "--data", _file(found.data)]
    if found.reference:
        line += ["--reference", _file(found.reference.file)]
    line += ["--delegate", found.delegate] if found.delegate else []
    for name, value in found.delegate_options.items():
        line += ["--delegate-option", f"{name}={value}"]
    return [*line, *_on(found.device)]


def _benchmark(found: Benchmark) -> list[str]:
    mine = found.measurements
    threads = ",".join(dict.fromkeys(str(one.threads) for one in mine))
    line = ["benchmark", *dict.fromkeys(_file(one.model) for one in mine), "--threads", threads]
    line += ["--delegate", mine[0].delegate, "--runs", str(min(one.times.runs for one in mine))]
    seconds = max((one.sustained[-1].seconds for one in mine if one.sustained), default=0.0)
    line += ["--sustained", f"{seconds / 60:.1f}"] if seconds else []
    line += ["--preprocess", "IMAGE"] if any(one.pipeline for one in mine) else []
    line += ["--profile"] if found.profiles else []
    return line + _on(found.device)


def _file(name: str) -> str:
    """A file by its name, which must not become an option."""
    return f"./{name}" if name.startswith("-") else name


def _on(device: str) -> list[str]:
    return [] if device == HERE else ["--device", device]
