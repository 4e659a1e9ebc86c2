"""Code and a README for each platform: templates, whose constants come from the model and its preprocessing alone.

Nothing that a file of others names, such as a label, gets into a source: apps read labels from `labels.txt`.
"""

import math
import string
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lite_toolkit.bundle.targets import MEANINGS, MEDIAPIPE, TARGETS
from lite_toolkit.bundle.vectors import Golden
from lite_toolkit.errors import ModelError
from lite_toolkit.images.preprocessing import PreprocessingSpec
from lite_toolkit.runtime import heads
from lite_toolkit.runtime.interpreter import TensorInfo
from lite_toolkit.tflite import metadata
from lite_toolkit.tflite.graph import read_graph
from lite_toolkit.tflite.metadata import Metadata, Normalization

_TEMPLATES = Path(__file__).parent / "templates"
_BYTES_A_LINE = 20


class _Template(string.Template):
    """Placeholders begin with %%, which none of the languages has."""

    delimiter = "%%"


@dataclass(frozen=True)
class Facts:
    """What templates are filled with.

    Attributes:
        model: the content of the `.tflite` file.
        input, output: of the model.
        head: what the outputs mean, one of `heads.HEADS`.
    """

    model: bytes
    input: TensorInfo
    output: TensorInfo
    head: str
    spec: PreprocessingSpec
    golden: Golden
    golden_files: Mapping[str, bytes]

    @property
    def classes(self) -> int:
        """Number of classes."""
        return heads.classes(self.output.shape[-1])

    @property
    def meaning(self) -> str:
        """What the outputs mean, in a sentence."""
        return _MEANINGS[self.head]

    @property
    def outputs(self) -> list[NDArray[np.float32]]:
        """Those of the golden images."""
        stored = np.dtype(self.output.dtype).newbyteorder("<")
        files = (self.golden_files[vector.output] for vector in self.golden.vectors)
        return [self.output.dequantize(np.frombuffer(file, stored)) for file in files]


def sources(targets: Iterable[str], facts: Facts) -> dict[str, bytes]:
    """The code for all `targets`, by file name.

    Raises:
        ModelError: the model has types, or preprocessing, that a target does not take.
    """
    names: dict[str, None] = {}
    refusal = mediapipe_refusal(facts)
    for target in targets:
        if target == "mediapipe" and refusal:
            raise ModelError(f"target mediapipe: {refusal}")
        if target != "python":
            _require_types(target, facts)
        names |= dict.fromkeys(name for name in TARGETS[target] if not (refusal and name in MEDIAPIPE))
    if facts.spec.interpolation not in _SUPPORTS:
        raise ModelError(f"interpolation {facts.spec.interpolation}: code is written for {', '.join(_SUPPORTS)}")
    constants = _constants(facts)
    made = {name: fill(name, constants | _constants_of_c(facts, name)).encode() for name in names}
    return made | (_arrays(facts) if "check.c" in names else {})


def mediapipe_refusal(facts: Facts) -> str | None:
    """Why MediaPipe cannot take the model; None where it can."""
    types = {facts.input.dtype, facts.output.dtype}
    if not types <= {"uint8", "float32"}:
        return f"MediaPipe takes and gives uint8 and float32, not {', '.join(sorted(types))}: convert with another --io"
    if facts.spec.channel_order != "rgb":
        return f"MediaPipe feeds channels as rgb, not {facts.spec.channel_order}"
    if facts.input.dtype == "uint8" and not facts.spec.raw_pixels:
        return "MediaPipe feeds raw pixels, and this model's channels differ in mean or std"
    try:
        told = metadata.read(facts.model) or Metadata()
    except ModelError as error:
        return f"MediaPipe reads the model's metadata, which cannot be used: {error}"
    if told.score_threshold is not None or told.score_calibration is not None:
        return "MediaPipe changes scores by the threshold or calibration of the model's metadata: must have neither"
    return _normalization_refusal(told.normalization, facts.spec) if facts.input.dtype == "float32" else None


def _normalization_refusal(told: Normalization | None, spec: PreprocessingSpec) -> str | None:
    """Why MediaPipe does not normalize float32 input as the preprocessing says; None where it does."""
    if told is None:
        return "MediaPipe normalizes float32 input by mean and std of the model's metadata, which has none"
    if not np.array_equal(*np.array([told.channels, (spec.mean, spec.std)], np.float32)):
        mean, std = told.channels
        return (
            f"MediaPipe normalizes float32 input by mean {mean} and std {std} of the model's metadata: must be "
            f"{spec.mean} and {spec.std}, as preprocessing has it"
        )
    if len(set(spec.mean)) > 1 or len(set(spec.std)) > 1:
        return "MediaPipe normalizes all channels of float32 input alike, and this model's differ in mean or std"
    return None


def fill(name: str, values: Mapping[str, str]) -> str:
    """The text of a template."""
    return _Template((_TEMPLATES / f"{name}.template").read_text(encoding="utf-8")).substitute(values)


def code_list(names: Iterable[str]) -> str:
    """What the README says of each file of code."""
    return "\n".join(f"- `{name}`: {MEANINGS[name]}" for name in names if name in MEANINGS)


def _require_types(target: str, facts: Facts) -> None:
    for what, info in (("input", facts.input), ("output", facts.output)):
        if info.dtype not in _C_TYPES:
            raise ModelError(f"target {target}: {what} of type {info.dtype}: must be one of {', '.join(_C_TYPES)}")


def _constants(facts: Facts) -> dict[str, str]:
    spec, golden = facts.spec, facts.golden
    score_tolerance = golden.tolerance_steps["kernel"] * golden.output_step
    order = (2, 1, 0) if spec.channel_order == "bgr" else (0, 1, 2)
    scale, _ = _quantization(facts.output)
    best = [(int(values.argmax()), float(values.max())) for values in facts.outputs]  # MediaPipe knows outputs alone
    return {
        **{name: repr(getattr(spec, name)) for name in ("height", "width")},
        **{name: str(getattr(spec, name)) for name in ("crop", "interpolation", "channel_order")},
        "crop_fraction": repr(float(spec.crop_fraction)),
        "support": repr(_SUPPORTS[spec.interpolation]),
        "mean": _joined(map(float, spec.mean)),
        "std": _joined(map(float, spec.std)),
        "channels": _joined(order),
        "shifts": _joined(16 - 8 * channel for channel in order),
        **_tensor("input", facts.input, golden.input_step),
        **_tensor("output", facts.output, score_tolerance),
        "head": facts.head,
        "meaning": facts.meaning,
        "outputs": repr(facts.output.shape[-1]),
        "threshold": repr(0.0 if facts.head == heads.LOGIT else heads.THRESHOLD),
        "vectors": repr(len(golden.vectors)),
        "best": _joined(index for index, _ in best),
        "scores_f": ", ".join(f"{score!r}f" for _, score in best),
        "pairs": _joined(best),
        "score_tolerance": repr(score_tolerance * scale),
    }


def _tensor(name: str, info: TensorInfo, tolerance: float) -> dict[str, str]:
    scale, zero_point = _quantization(info)
    return {
        f"{name}_type": info.dtype,
        f"{name}_scale": repr(scale),
        f"{name}_zero_point": repr(zero_point),
        f"{name}_tolerance": repr(tolerance),
    }


def _quantization(info: TensorInfo) -> tuple[float, int]:
    """Scale and zero point; those of floats change nothing."""
    if not math.isfinite(info.scale):
        raise ModelError(f"{info.name} has scale {info.scale}: must be a finite number")
    return (info.scale, info.zero_point) if info.scale else (1.0, 0)


def _joined(values: Iterable[object]) -> str:
    return ", ".join(map(repr, values))


def _constants_of_c(facts: Facts, name: str) -> dict[str, str]:
    """What the C sources need besides: the types, the checksum, and the operators that the interpreter registers."""
    if name not in TARGETS["c"]:
        return {}
    found = sorted({operator.name for operator in read_graph(facts.model).subgraphs[0].operators})
    unknown = [operator for operator in found if operator not in _MICRO_OPERATORS]
    if unknown:
        known = ", ".join(_MICRO_OPERATORS)
        raise ModelError(f"target c: operator {unknown[0]} is not registered here: must be one of {known}")
    return {
        "model_length": repr(len(facts.model)),
        "model_crc32": f"{zlib.crc32(facts.model):08x}",
        "input_c_type": _C_TYPES[facts.input.dtype],
        "output_c_type": _C_TYPES[facts.output.dtype],
        "operator_count": repr(len(found)),
        "operators": "\n".join(f"  resolver.Add{_MICRO_OPERATORS[operator]}();" for operator in found),
    }


def _arrays(facts: Facts) -> dict[str, bytes]:
    """The model and the golden tensors as C sources."""
    golden = facts.golden
    inputs = b"".join(facts.golden_files[vector.input] for vector in golden.vectors)
    outputs = b"".join(facts.golden_files[vector.output] for vector in golden.vectors)
    count = f"enum {{ golden_count = {len(golden.vectors)} }};\n"
    return {
        "model_data.h": _header([("model_data", facts.model)]),
        "model_data.c": _definitions("model_data.h", [("model_data", facts.model)]),
        "golden_data.h": _header([("golden_inputs", inputs), ("golden_outputs", outputs)], count),
        "golden_data.c": _definitions("golden_data.h", [("golden_inputs", inputs), ("golden_outputs", outputs)]),
    }


def _header(arrays: Sequence[tuple[str, bytes]], more: str = "") -> bytes:
    declared = "".join(
        f"extern const unsigned char {name}[{len(content)}];\nenum {{ {name}_length = {len(content)} }};\n"
        for name, content in arrays
    )
    return fill("arrays.h", {"declarations": f"{declared}{more}"}).encode()


def _definitions(header: str, arrays: Sequence[tuple[str, bytes]]) -> bytes:
    """Arrays that are aligned as the interpreter needs the model to be."""
    text = f'#include "{header}"\n\n#include <stdalign.h>\n'
    for name, content in arrays:
        text += f"\nalignas(16) const unsigned char {name}[{len(content)}] = {{\n{_numbers(content)}}};\n"
    return text.encode()


def _numbers(content: bytes) -> str:
    starts = range(0, len(content), _BYTES_A_LINE)
    return "".join(f"{','.join(map(str, content[start : start + _BYTES_A_LINE]))},\n" for start in starts)


_MEANINGS = {
    heads.SINGLE_LABEL: "The highest score is the class's.",
    heads.SIGMOID: "One score tells two classes: it is the probability of the second, which holds above 0.5.",
    heads.LOGIT: "One score tells two classes: it is the logit of the second, which holds above 0.",
    heads.MULTI_LABEL: "Each score is the probability of a label: any number of them may hold, those above 0.5.",
}
# Of filters, in pixels; "nearest" needs none.
_SUPPORTS = {
    **dict.fromkeys(("nearest", "box"), 0.5),
    **dict.fromkeys(("bilinear", "hamming", "tensorflow"), 1.0),
    "bicubic": 2.0,
    "lanczos": 3.0,
}
_C_TYPES = {"uint8": "uint8_t", "int8": "int8_t", "float32": "float"}
# Operators of this family, as MicroMutableOpResolver's methods name them.
_MICRO_OPERATORS = {
    "ADD": "Add",
    "AVERAGE_POOL_2D": "AveragePool2D",
    "CONV_2D": "Conv2D",
    "DEPTHWISE_CONV_2D": "DepthwiseConv2D",
    "DEQUANTIZE": "Dequantize",
    "FULLY_CONNECTED": "FullyConnected",
    "HARD_SWISH": "HardSwish",
    "LOGISTIC": "Logistic",
    "MAX_POOL_2D": "MaxPool2D",
    "MEAN": "Mean",
    "MUL": "Mul",
    "PAD": "Pad",
    "QUANTIZE": "Quantize",
    "RELU": "Relu",
    "RELU6": "Relu6",
    "RESHAPE": "Reshape",
    "SOFTMAX": "Softmax",
}
