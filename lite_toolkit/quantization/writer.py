"""Float `.tflite` and chosen ranges -> quantized `.tflite`, through ai-edge-quantizer."""

import logging
import re
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from lite_toolkit.errors import MissingExtraError, ModelError
from lite_toolkit.quantization.kernels import DISGUISES, RESHAPING
from lite_toolkit.quantization.ranges import Range
from lite_toolkit.quantization.recipes import Format, Granularity
from lite_toolkit.streams import quiet
from lite_toolkit.tflite.surgery import pack, unpack

try:
    from ai_edge_quantizer import quantizer
except ModuleNotFoundError as error:
    raise MissingExtraError(error.name or "ai-edge-quantizer", "convert") from error

_GRANULARITY: dict[Granularity, str] = {"channel": "CHANNELWISE", "tensor": "TENSORWISE"}


class _Engine(quantizer.Quantizer):  # type: ignore[misc]
    """ai-edge-quantizer, but that it does not load the model to see whether ranges are missing: none is."""

    def _ensure_model_qsv_sufficient(self, calibration_result: Any) -> None:
        pass


def write(
    float_model: bytes,
    form: Format,
    granularity: Granularity,
    ranges: Mapping[str, Range],
    in_float: Collection[str] = (),
) -> bytes:
    """The model in that format.

    Args:
        float_model: the content of the file.
        form, granularity: of the weights, and of the activations where the format has them quantized.
        ranges: tensor name -> min, max; they matter to the calibrated formats only.
        in_float: names of the outputs of operators that stay in float.

    Raises:
        ModelError: an operator or a weight that cannot be quantized so.
    """
    # It logs its own defaults and prints bars past any setting of ours.
    logging.getLogger("absl").setLevel(logging.ERROR)
    kept = [{"regex": f"^{re.escape(name)};?$", "operation": "*", "algorithm_key": "no_quantize"} for name in in_float]
    # Of int16 only what has no arithmetic has all its kernels.
    disguises = {name: other for name, other in DISGUISES.items() if form == "int8" or name in RESHAPING}
    disguised, codes = _disguised(float_model, disguises)
    engine = _Engine(disguised, [_configuration(form, granularity), *kept])
    statistics = {name: _statistics(*limits) for name, limits in ranges.items()} or None
    try:
        with quiet(), np.errstate(over="raise"):
            result = engine.quantize(statistics, enable_progress_bar=False, enable_progress_report=False)
    except FloatingPointError as error:
        raise ModelError(
            f"the model cannot be quantized to {form}: it has larger weights than that can hold"
        ) from error
    except (ValueError, RuntimeError, KeyError) as error:
        raise ModelError(f"the model cannot be quantized to {form}: {' '.join(str(error).split())[:300]}") from error
    written = bytes(result.quantized_model)
    return _undisguised(written, codes) if codes else written


def _disguised(float_model: bytes, disguises: Mapping[str, str]) -> tuple[bytes, dict[int, int]]:
    """The model as today's schema has it, with operators that the engine does not know as others that it does; and what
    they were, by the number of their codes, which the engine leaves where they are.
    """
    model = unpack(float_model)
    names = {number: name for name, number in vars(schema.BuiltinOperator).items()}
    codes = {}
    for index, code in enumerate(model.operatorCodes):
        disguise = disguises.get(names.get(code.builtinCode, ""))
        if disguise:
            codes[index] = code.builtinCode
            code.builtinCode = getattr(schema.BuiltinOperator, disguise)
    return pack(model), codes


def _undisguised(written: bytes, codes: Mapping[int, int]) -> bytes:
    model = unpack(written)
    for index, code in codes.items():
        model.operatorCodes[index].builtinCode = code
    return pack(model)


def _statistics(low: float, high: float) -> dict[str, Any]:
    if low == high == 0:  # kernels refuse a scale that is next to nothing; as `ranges.steps` has it
        high = 255.0
    return {"min": np.array([low], np.float32), "max": np.array([high], np.float32)}


def _configuration(form: Format, granularity: Granularity) -> dict[str, Any]:
    """One rule for every operator, in ai-edge-quantizer's recipe language."""
    if form == "float16":
        weight = {"num_bits": 16, "dtype": "FLOAT"}
        operator = {"weight_tensor_config": weight, "compute_precision": "FLOAT", "explicit_dequantize": True}
        return {"regex": ".*", "operation": "*", "algorithm_key": "float_casting", "op_config": operator}
    operator = {
        "weight_tensor_config": {"num_bits": 8, "symmetric": True, "granularity": _GRANULARITY[granularity]},
        "compute_precision": "INTEGER",
        "explicit_dequantize": False,
    }
    if form != "dynamic":
        bits, symmetric = (8, False) if form == "int8" else (16, True)
        operator["activation_tensor_config"] = {"num_bits": bits, "symmetric": symmetric, "granularity": "TENSORWISE"}
    return {"regex": ".*", "operation": "*", "algorithm_key": "min_max_uniform_quantize", "op_config": operator}
