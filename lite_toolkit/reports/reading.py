"""Saved results of any kind -> what a page shows of them; the files are read without trust."""

from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import fmean
from typing import TypeVar

import numpy as np

from lite_toolkit.datasets.ground_truth import MAXIMUM_INDEX
from lite_toolkit.documents import Part, read_document, shown
from lite_toolkit.measurement.distribution import Distribution
from lite_toolkit.reports import saved_reports
from lite_toolkit.reports.results import (
    Chip,
    Class,
    Judged,
    Layer,
    Loss,
    Machine,
    Operator,
    Origin,
    Paired,
    Profile,
    Range,
    Second,
    Source,
    Timing,
    Value,
)
from lite_toolkit.reports.saved_reports import Evaluated, Quantized

T = TypeVar("T")


def read(path: Path) -> Source:
    """Read a report or manifest.

    Raises:
        ReportError: the file is no document of `KINDS`, of another schema version, or damaged.
        OSError: it cannot be read.
    """
    document = read_document(path, KINDS)
    values = tuple(KINDS[document.kind](document.whole))
    file, version = shown(path.name), document.whole["toolkit_version"].text
    return Source(file, document.kind, version, document.sha256, values)


def _conversion(document: Part) -> Iterator[Value]:
    for file in document["files"]:
        yield from _manifest(file["manifest"])


def _manifest(document: Part) -> Iterator[Value]:
    model, weights, calibration, held_out = (document[key] for key in ("model", "weights", "calibration", "held_out"))
    name, size = model["file"].text, model["size_bytes"].count
    images = _optional(calibration, lambda part: part["description"].text)
    yield Origin(
        model=name,
        sha256=model["sha256"].text,
        size_bytes=size,
        format=model["format"].text,
        scores=model["scores"].text,
        input_type=document["input"]["dtype"].text,
        variant=_optional(document["variant"], _text),
        weights=weights["source"].text,
        weights_sha256=_optional(weights["sha256"], _text),
        recipe=document["recipe"]["name"].text,
        calibration=images,
        target=_optional(document.get("target"), lambda part: part["name"].text),
        compiled_from=_optional(document.get("edgetpu"), lambda part: part["source"]["file"].text),
        versions=tuple(saved_reports.facts(document["versions"], document["versions"].names).items()),
    )
    if not held_out.missing:
        yield _loss(held_out, saved_reports.quantized(held_out["comparison"], name, images, size), None)


def _validation(document: Part) -> Iterator[Value]:
    name, images = document["quantized"].text, document["data"].text
    yield _loss(document, saved_reports.quantized(document["comparison"], name, images, None), document["float"].text)


def _loss(part: Part, quantized: Quantized, reference: str | None) -> Loss:
    layers = tuple(_layer(layer) for layer in part["layers"])
    places = {layer.name: place for place, layer in enumerate(layers)}
    worst = []
    for finding in part["worst"]:
        finding.require(finding["name"].text in places, "must be one of the layers")
        worst.append((places[finding["name"].text], tuple(remedy.text for remedy in finding["remedies"])))
    return Loss(quantized, reference, part["comparison"]["scores"].text, layers, tuple(worst))


def _layer(part: Part) -> Layer:
    figures = ("sqnr_db", "own_sqnr_db", "drop_db", "bias_percent", "slope", "saturated_percent")
    return Layer(part["name"].text, part["operator"].text, *(_optional(part[name], _number) for name in figures))


def _evaluation(part: Part) -> Iterator[Value]:
    device, offset = part["device"].text, part["ground_truth"]["offset"].count
    evaluated, reference = saved_reports.evaluated(part), part["reference"]
    options = _optional(part.get("delegate_options"), lambda part: saved_reports.facts(part, part.names)) or {}
    run = (device, _optional(part.get("delegate"), _text), tuple(options.items()))
    yield Judged(
        evaluated,
        part["model"]["sha256"].text,
        *run,
        offset=offset,
        classes=tuple(_class(row, "") for row in part["classes"]),
        confusions=tuple(
            (_class(row, ""), _class(row, "predicted_"), row["images"].count) for row in part["confusions"]
        ),
        pairing=None if reference.missing else _pairing(part["pairing"], reference["file"].text),
        notes=tuple(note.text for note in part["notes"]),
    )
    if not reference.missing:
        judged = Evaluated(reference["file"].text, evaluated.data, saved_reports.top(reference["top"]))
        yield Judged(judged, reference["sha256"].text, *run)


def _pairing(part: Part, reference: str) -> Paired:
    return Paired(
        reference=reference,
        agreement_percent=part["agreement_percent"].number,
        change_points=part["top1_change_points"].number,
        interval_points=(part["low_points"].number, part["high_points"].number),
        mcnemar_p=part["mcnemar_p"].number,
    )


def _class(row: Part, prefix: str) -> Class:
    index = row[f"{prefix}class"]
    index.require(index.count < MAXIMUM_INDEX, f"must be below {MAXIMUM_INDEX:,}")
    return Class(index.count, _optional(row[f"{prefix}name"], _text))


def _benchmark(part: Part) -> Iterator[Value]:
    environment = saved_reports.facts(part["environment"], saved_reports.ENVIRONMENT)
    machine = Machine(part["device"].text, tuple(environment.items()))
    yield machine
    for measurement in part["measurements"]:
        yield Timing(
            machine=machine,
            measured=saved_reports.measured(measurement),
            doubts=tuple(doubt.text for doubt in measurement["doubts"]),
            sustained=tuple(_second(second) for second in measurement["sustained"]),
            stages=tuple(_stages(measurement["pipeline"])),
        )
    for profile in part["profiles"]:
        operators = tuple(
            Operator(one["index"].count, one["layer"].text, one["operator"].text, one["p50_ms"].number)
            for one in profile["operators"]
        )
        yield Profile(machine, profile["model"].text, profile["latency"]["p50_ms"].positive, operators)


def _second(part: Part) -> Second:
    times = saved_reports.runs(part["latency"])
    low, middle, high = (float(value) / 1e6 for value in np.percentile(times, (5, 50, 95)))
    frequencies = [value.number / 1e3 for value in part["frequencies_khz"]]
    temperatures = [part["temperatures_celsius"][name].number for name in part["temperatures_celsius"].names]
    return Second(
        end=part["seconds"].number,
        low_ms=low,
        middle_ms=middle,
        high_ms=high,
        frequency_mhz=fmean(frequencies) if frequencies else None,
        temperature_celsius=max(temperatures, default=None),
        throttled=_optional(part["throttled"], lambda flags: flags.count) or 0,
    )


def _stages(part: Part) -> Iterator[tuple[str, Distribution]]:
    for name in () if part.missing else ("prepare", "quantize", "invoke", "total"):
        yield name, Distribution.of(saved_reports.runs(part[name]))


def _forecast(part: Part) -> Iterator[Value]:
    yield Chip(
        model=part["file"].text,
        sha256=part["sha256"].text,
        size_bytes=part["size_bytes"].count,
        mapped=part["mapped"].count,
        on_cpu=part["on_cpu"].count,
        cached_bytes=_range(part["cached_bytes"]),
        streamed_bytes=_range(part["streamed_bytes"]),
        streaming_ms=_range(part["streaming_ms"]["usb3"]),
        left=tuple(
            (one["name"].text, one["reason"].text, one["remedy"].text)
            for one in part["operators"]
            if one["reason"].text
        ),
    )


def _compiled(part: Part) -> Iterator[Value]:
    cached, streamed = part["cached_bytes"].count, part["streamed_bytes"].count
    streaming = part["streaming_ms"]["usb3"].number
    yield Chip(
        model=part["file"].text,
        sha256=part["sha256"].text,
        size_bytes=part["size_bytes"].count,
        mapped=None,
        on_cpu=part["on_cpu"].count,
        cached_bytes=(cached, cached),
        streamed_bytes=(streamed, streamed),
        streaming_ms=(streaming, streaming),
        left=(),
    )


def _check(part: Part) -> Iterator[Value]:
    return _compiled(part) if part["compiled"].content is True else _forecast(part)


def _compilation(document: Part) -> Iterator[Value]:
    for model in document["models"]:
        yield from _forecast(model["forecast"])
        if not model["result"].missing:
            for file in model["result"]["files"]:
                yield from _compiled(file)


def _on_devices(read_one: Callable[[Part], Iterator[Value]]) -> Callable[[Part], Iterator[Value]]:
    return lambda document: (value for part in document["devices"] for value in read_one(part))


def _range(part: Part) -> Range:
    values = [value.number for value in part]
    part.require(len(values) == 2, "must be two numbers")
    return values[0], values[1]


def _optional(part: Part, tell: Callable[[Part], T]) -> T | None:
    return None if part.missing else tell(part)


def _text(part: Part) -> str:
    return part.text


def _number(part: Part) -> float:
    return part.number


KINDS: dict[str, Callable[[Part], Iterator[Value]]] = {
    "manifest": _manifest,
    "convert": _conversion,
    "validate": _validation,
    "evaluate": _evaluation,
    "evaluate-devices": _on_devices(_evaluation),
    "benchmark": _benchmark,
    "benchmark-devices": _on_devices(_benchmark),
    "edgetpu-check": _check,
    "edgetpu-compile": _compilation,
}
