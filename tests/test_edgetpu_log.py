"""Logs of the Edge TPU compiler in the wordings of its versions."""

import pytest

from lite_toolkit.edgetpu.log import parse, size_in_bytes
from lite_toolkit.edgetpu.rules import StatusCount

MIB = 2**20

VERSION_16 = """
Edge TPU Compiler version 16.0.384591198
Started a compilation timeout timer of 180 seconds.

Model compiled successfully in 986 ms.

Input model: X.tflite
Input size: 2.88MiB
Output model: X_edgetpu.tflite
Output size: 3.10MiB
On-chip memory used for caching model parameters: 3.86MiB
On-chip memory remaining for caching model parameters: 3.83MiB
Off-chip memory used for streaming uncached model parameters: 0.00B
Number of Edge TPU subgraphs: 1
Total number of operations: 72
Operation log: X_edgetpu.log

Model successfully compiled but not all operations are supported by the Edge TPU. A percentage
Number of operations that will run on Edge TPU: 64
Number of operations that will run on CPU: 8

Operator                       Count      Status

ADD                            12         Mapped to Edge TPU
CONV_2D                        52         Mapped to Edge TPU
QUANTIZE          1      Operation is otherwise supported, but not mapped due to some unspecified limitation
DEQUANTIZE                     1          Operation is working on an unsupported data type
CONCATENATION                  2          More than one subgraph is not supported
LEAKY_RELU                     1          Operation not supported
RESIZE_NEAREST_NEIGHBOR        1          Operation version not supported
TRANSPOSE                      2          Tensor has unsupported rank (up to 3 innermost dimensions mapped)
Compilation child process completed within timeout period.
Compilation succeeded!
"""


def test_version_16() -> None:
    found = parse(VERSION_16)
    assert (found.version, found.seconds, found.failures, found.other) == ("16.0.384591198", 0.986, (), ())
    (model,) = found.models
    assert (model.model, model.output) == ("X.tflite", "X_edgetpu.tflite")
    assert (model.input_bytes, model.output_bytes) == (round(2.88 * MIB), round(3.10 * MIB))
    assert (model.cached_bytes, model.remaining_bytes) == (round(3.86 * MIB), round(3.83 * MIB))
    assert model.streamed_bytes == 0
    assert (model.subgraphs, model.operators, model.mapped, model.on_cpu) == (1, 72, 64, 8)
    assert model.statuses[0] == StatusCount("ADD", 12, "Mapped to Edge TPU")
    assert [row.name for row in model.statuses[2:]] == [
        *("QUANTIZE", "DEQUANTIZE", "CONCATENATION", "LEAKY_RELU", "RESIZE_NEAREST_NEIGHBOR", "TRANSPOSE")
    ]
    assert model.statuses[-1].status == "Tensor has unsupported rank (up to 3 innermost dimensions mapped)"


def test_version_2_prints_what_is_available() -> None:
    found = parse("""Edge TPU Compiler version 2.0.291256449
INFO: Initialized TensorFlow Lite runtime.

Model compiled successfully in 161 ms.

Input model: faces.tflite
Input size: 478.66KiB
Output model: faces_edgetpu.tflite
Output size: 537.74KiB
On-chip memory available for caching model parameters: 7.69MiB
On-chip memory used for caching model parameters: 729.50KiB
Off-chip memory used for streaming uncached model parameters: 0.00B
Number of Edge TPU subgraphs: 1
Total number of operations: 90
Operation log: faces_edgetpu.log
See the operation log file for individual operation details.
""")
    (model,) = found.models
    assert (model.available_bytes, model.cached_bytes) == (round(7.69 * MIB), 747_008)
    assert model.remaining_bytes == round(7.69 * MIB) - 747_008
    assert (model.operators, model.mapped, model.on_cpu) == (90, 90, 0)
    assert (found.other, found.failures) == ((), ())


def test_an_operation_log() -> None:
    found = parse("""Edge TPU Compiler version 14.1.317412892
Input: tiny_yolo.tflite
Output: tiny_yolo_edgetpu.tflite

Operator                       Count      Status

CONCATENATION                  1          More than one subgraph is not supported
MAX_POOL_2D                    6          Mapped to Edge TPU
QUANTIZE                       1          Image-interpolation layer won't run precisely enough on Edge TPU
""")
    (model,) = found.models
    assert (model.model, model.output) == ("tiny_yolo.tflite", "tiny_yolo_edgetpu.tflite")
    assert (model.operators, model.mapped, model.on_cpu) == (8, 6, 2)
    assert model.statuses[2].status == "Image-interpolation layer won't run precisely enough on Edge TPU"
    assert (model.cached_bytes, model.remaining_bytes, model.available_bytes) == (None, None, None)


def test_models_that_were_compiled_together() -> None:
    second = VERSION_16.partition("Input model")[2].replace("X", "Y").replace("12 ", "7  ")
    found = parse(VERSION_16.replace("Model compiled", "Models compiled") + "\nInput model" + second)
    assert [model.model for model in found.models] == ["X.tflite", "Y.tflite"]
    assert [model.statuses[0].count for model in found.models] == [12, 7]
    assert (found.seconds, found.other) == (0.986, ())


def test_a_model_of_which_nothing_is_mapped() -> None:
    (model,) = parse("Input model: a.tflite\nNumber of Edge TPU subgraphs: 0\nTotal number of operations: 5\n").models
    assert (model.mapped, model.on_cpu) == (0, 5)


@pytest.mark.parametrize(
    "line",
    [
        "Compilation failed due to large activation tensors in model.",
        "Compilation failed: Compilation failed due to large activation tensors in model.",
        "Compilation failed! ",
        "Invalid model: X.tflite",
        "Model not quantized",
        "Model could not be parsed",
        "Internal compiler error. Aborting! ",
        "ERROR: Didn't find op for builtin opcode 'CONV_2D' version '6'.",
        "ERROR: Attempting to use a delegate that only supports static-sized tensors",
    ],
)
def test_failures_are_kept_in_the_compiler_s_words(line: str) -> None:
    found = parse(f"Edge TPU Compiler version 16.0.384591198\n{line}\n")
    assert (found.failures, found.other) == ((line.strip(),), ())


def test_unknown_lines_are_kept() -> None:
    text = VERSION_16.replace(
        "Compilation succeeded!", "A line of version 17\nInput size: huge\nCompilation succeeded!"
    )
    assert parse(text).other == ("A line of version 17", "Input size: huge")
    assert parse("").models == ()
    assert parse("Input size: 1.00MiB\nADD 3 Mapped to Edge TPU").other == (
        *("Input size: 1.00MiB", "ADD 3 Mapped to Edge TPU"),
    )


@pytest.mark.parametrize(
    ("text", "size"),
    [
        *(("0.00B", 0), ("512.00B", 512), ("1.00KiB", 1024), ("7.41MiB", round(7.41 * MIB)), ("2.00GiB", 2**31)),
        *(("huge", None), ("1.00", None), ("-1.00MiB", None), ("9" * 400 + "B", None)),
    ],
)
def test_sizes(text: str, size: int | None) -> None:
    assert size_in_bytes(text) == size
