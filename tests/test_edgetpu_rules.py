"""The rules of the Edge TPU forecast: single operators, the cut of the graph, and bytes worked out by hand."""

import dataclasses
import random
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from lite_toolkit.edgetpu import limits, parameters, rules
from lite_toolkit.edgetpu.parameters import Placement, parameter_bytes, place
from lite_toolkit.edgetpu.partition import Part, partition
from lite_toolkit.errors import ModelError
from lite_toolkit.tflite.graph import Operator, Quantization, Subgraph, Tensor

Spec = tuple[Any, ...]


def tensor(index: int, shape: tuple[int, ...], dtype: str = "int8", values: Any = None, scales: int = 1) -> Tensor:
    """An activation, or a constant where there are values; "zeros" fills a weight that nobody looks into."""
    quantization = Quantization(np.linspace(1, 2, scales, dtype=np.float32), np.zeros(scales, np.int64), 0)
    content = b"" if values is None else np.broadcast_to(np.asarray(values, dtype), shape).tobytes()
    return Tensor(index, f"t{index}", shape, dtype, shape, quantization, False, index + 1, memoryview(content))


def graph_of(
    name: str, inputs: list[Spec | None], output: Spec, options: Mapping[str, Any] | None = None, version: int = 1
) -> Subgraph:
    """A graph of one operator; a spec is (shape, dtype, values, scales), None an input that is left out."""
    tensors = tuple(tensor(index, *spec) for index, spec in enumerate([*filter(None, inputs), output]))
    numbers = iter(range(len(tensors)))
    read = tuple(-1 if spec is None else next(numbers) for spec in inputs)
    operator = Operator(0, name, version, read, (len(tensors) - 1,), options or {})
    return Subgraph("", tensors, (0,), (len(tensors) - 1,), (operator,))


IMAGE = ((1, 8, 8, 16),)
ROW = ((1, 16),)


def numbers(*values: int) -> Spec:
    return (len(values),), "int32", values


def kernel(*shape: int) -> Spec:
    return shape, "int8", 1


MAPPED = [
    ("ADD", [IMAGE, IMAGE], IMAGE, {"fused_activation_function": "RELU"}),
    ("ADD", [IMAGE, ((16,), "int8", 3)], IMAGE, {}),
    ("AVERAGE_POOL_2D", [IMAGE], ((1, 4, 4, 16),), {"fused_activation_function": "NONE"}),
    ("CONCATENATION", [IMAGE, IMAGE, IMAGE], ((1, 8, 8, 48),), {"axis": 3}),
    ("CONCATENATION", [IMAGE, ((1, 8, 8, 16), "int8", 0)], ((1, 8, 8, 32),), {"axis": 3}),
    ("CONV_2D", [IMAGE, kernel(4, 3, 3, 16)], IMAGE, {"dilation_w_factor": 2, "dilation_h_factor": 2}),
    ("DEPTHWISE_CONV_2D", [IMAGE, kernel(1, 3, 3, 16)], IMAGE, {}),
    ("FULLY_CONNECTED", [ROW, kernel(5, 16)], ((1, 5),), {"weights_format": 0}),
    ("MEAN", [IMAGE, numbers(1, 2)], ROW, {}),
    ("MEAN", [IMAGE, numbers(-1)], ((1, 8, 8, 1),), {}),
    ("PACK", [ROW, ROW], ((1, 2, 16),), {"axis": 1}),
    ("PAD", [IMAGE, ((4, 2), "int32", [[0, 0], [1, 1], [1, 1], [0, 0]])], ((1, 10, 10, 16),), {}),
    ("PRELU", [IMAGE, ((1, 1, 16), "int8", 1)], IMAGE, {}),
    ("QUANTIZE", [(IMAGE[0], "uint8")], IMAGE, {}),
    ("REDUCE_MAX", [IMAGE, numbers(1)], ((1, 8, 16),), {}),
    ("RESIZE_BILINEAR", [IMAGE, numbers(64, 64)], ((1, 64, 64, 16),), {}),
    ("SOFTMAX", [((1, 16_384),)], ((1, 16_384),), {}),
    ("SPLIT", [((), "int32", 3), IMAGE], ((1, 8, 8, 8),), {}),
    ("STRIDED_SLICE", [IMAGE, numbers(0), numbers(4), numbers(1)], ((1, 4, 8, 16),), {"ellipsis_mask": 0}),
    ("TRANSPOSE_CONV", [numbers(1, 16, 16, 4), kernel(4, 2, 2, 16), IMAGE], ((1, 16, 16, 4),), {}),
    ("TRANSPOSE", [IMAGE, numbers(0, 2, 1, 3)], IMAGE, {}),
]


@pytest.mark.parametrize(
    ("name", "read", "written"), [("QUANTIZE", "float32", "int8"), ("DEQUANTIZE", "int8", "float32")]
)
def test_floats_within_a_model_have_another_remedy_than_at_its_ends(name: str, read: str, written: str) -> None:
    at_an_end = graph_of(name, [(IMAGE[0], read)], (IMAGE[0], written))
    assert "inputs and outputs" in rules.judge(at_an_end)[0].remedy
    within = dataclasses.replace(at_an_end, inputs=(), outputs=())
    assert rules.judge(within)[0].remedy == "replace the operators in float beside it"


@pytest.mark.parametrize(("name", "inputs", "output", "options"), MAPPED)
def test_what_is_mapped(name: str, inputs: list[Spec], output: Spec, options: Mapping[str, Any]) -> None:
    assert rules.judge(graph_of(name, inputs, output, options))[0].status == "Mapped to Edge TPU"


OTHERWISE = "Operation is otherwise supported, but not mapped due to some unspecified limitation"
TYPE = "Operation is working on an unsupported data type"
RANK = "Tensor has unsupported rank (up to 3 innermost dimensions mapped)"
UNKNOWN = "Operation not supported"
VERSION = "Operation version not supported"

ON_CPU: list[tuple[str, list[Spec], Spec, Mapping[str, Any], str, str]] = [
    ("ADD", [(IMAGE[0], "float32")] * 2, (IMAGE[0], "float32"), {}, TYPE, "float32"),
    ("ADD", [(IMAGE[0], "int16")] * 2, (IMAGE[0], "int16"), {}, TYPE, "int16"),
    ("CONV_2D", [IMAGE, ((4, 3, 3, 16), "float32", 1)], IMAGE, {}, TYPE, "constant of type float32"),
    ("RESHAPE", [IMAGE, ((2,), "int32")], ROW, {}, TYPE, "int32"),
    ("DEQUANTIZE", [ROW], (ROW[0], "float32"), {}, TYPE, "writes floats"),
    ("QUANTIZE", [(ROW[0], "float32")], ROW, {}, OTHERWISE, "it reads float32"),
    ("TFLite_Detection_PostProcess", [ROW], (ROW[0], "float32"), {}, TYPE, "custom operator"),
    ("MyOperator", [ROW], ROW, {}, UNKNOWN, "custom operator"),
    ("LEAKY_RELU", [IMAGE], IMAGE, {}, UNKNOWN, "no such operation"),
    ("HARD_SWISH", [IMAGE], IMAGE, {}, UNKNOWN, "no such operation"),
    ("CONV_2D", [((2, 8, 8, 16),), kernel(4, 3, 3, 16)], ((2, 8, 8, 4),), {}, RANK, "2×8×8×16"),
    ("TRANSPOSE", [((1, 2, 3, 4, 5),), numbers(0, 1, 2, 3, 4)], ((1, 2, 3, 4, 5),), {}, RANK, "1×2×3×4×5"),
    ("ADD", [((1, 0, 8, 16),)] * 2, ((1, 0, 8, 16),), {}, OTHERWISE, "empty"),
    ("MAX_POOL_2D", [IMAGE], IMAGE, {"fused_activation_function": "RELU"}, OTHERWISE, "fused RELU"),
    ("CONCATENATION", [IMAGE, IMAGE], IMAGE, {"fused_activation_function": "RELU6"}, OTHERWISE, "fused RELU6"),
    ("CONCATENATION", [IMAGE, (IMAGE[0], "int8", 5)], ((1, 8, 8, 32),), {"axis": 3}, OTHERWISE, "constant"),
    ("CONCATENATION", [IMAGE, IMAGE, (IMAGE[0], "int8", 0)], ((1, 8, 8, 48),), {"axis": 3}, OTHERWISE, "constant"),
    (
        *("CONV_2D", [IMAGE, kernel(4, 3, 3, 16)], IMAGE, {"dilation_w_factor": 2, "dilation_h_factor": 1}),
        *(OTHERWISE, "dilation is 1 in y and 2 in x"),
    ),
    ("CONV_2D", [IMAGE, kernel(4, 3, 3, 8)], IMAGE, {}, OTHERWISE, "grouped"),
    ("CONV_2D", [IMAGE, ((1, 3, 3, 16),)], IMAGE, {}, OTHERWISE, "not constant"),
    ("FULLY_CONNECTED", [((2, 16),), kernel(5, 16)], ((2, 5),), {}, OTHERWISE, "more than one row"),
    ("FULLY_CONNECTED", [ROW, ((5, 16),)], ((1, 5),), {}, OTHERWISE, "not constant"),
    ("FULLY_CONNECTED", [ROW, kernel(5, 16)], ((1, 5),), {"weights_format": 1}, OTHERWISE, "shuffled"),
    ("MEAN", [IMAGE, numbers(0)], ((8, 8, 16),), {}, OTHERWISE, "batch"),
    ("MEAN", [((1, 8, 8, 6),), numbers(3)], ((1, 8, 8, 1),), {}, OTHERWISE, "6 channels"),
    ("MEAN", [((1, 256, 128, 3),), numbers(1, 2)], ((1, 3),), {}, OTHERWISE, "32,768 values"),
    ("SUM", [IMAGE, numbers(-4)], ((8, 8, 16),), {}, OTHERWISE, "batch"),
    ("PACK", [ROW, ROW], ((2, 1, 16),), {"axis": 0}, OTHERWISE, "batch"),
    ("PAD", [((1, 8, 16),), ((3, 2), "int32", [[0, 1], [0, 0], [0, 0]])], ((2, 8, 16),), {}, OTHERWISE, "batch"),
    ("PRELU", [IMAGE, ((8, 8, 16), "int8", 1)], IMAGE, {}, OTHERWISE, "8×8×16"),
    ("RESIZE_BILINEAR", [((1, 1, 1, 16),), numbers(9, 9)], ((1, 9, 9, 16),), {}, OTHERWISE, "1×1 to 9×9"),
    (
        "RESIZE_NEAREST_NEIGHBOR",
        [((1, 512, 512, 8),), numbers(1024, 1024)],
        ((1, 1024, 1024, 9),),
        {},
        OTHERWISE,
        "chip",
    ),
    ("SOFTMAX", [((1, 4, 4, 3),)], ((1, 4, 4, 3),), {}, OTHERWISE, "more than one row"),
    ("SOFTMAX", [((1, 16_385),)], ((1, 16_385),), {}, OTHERWISE, "16,385 elements"),
    ("SPLIT", [((), "int32", 0), ((1, 8, 16),)], ((1, 8, 16),), {}, OTHERWISE, "batch"),
    ("STRIDED_SLICE", [IMAGE, numbers(0), numbers(8), numbers(2)], IMAGE, {}, OTHERWISE, "strides"),
    ("STRIDED_SLICE", [IMAGE, numbers(0), numbers(8), numbers(1)], IMAGE, {"new_axis_mask": 1}, OTHERWISE, "new_axis"),
    ("TRANSPOSE_CONV", [numbers(1, 8, 8, 1), ((1, 2, 2, 16),), IMAGE], IMAGE, {}, OTHERWISE, "not constant"),
]


@pytest.mark.parametrize(("name", "inputs", "output", "options", "status", "reason"), ON_CPU)
def test_what_stays_on_the_cpu_and_why(
    name: str, inputs: list[Spec], output: Spec, options: Mapping[str, Any], status: str, reason: str
) -> None:
    verdict = rules.judge(graph_of(name, inputs, output, options))[0]
    assert verdict.status == status
    assert reason in verdict.reason
    assert verdict.remedy


def test_shapes_of_a_batch_of_unknown_size_have_a_remedy_of_their_own() -> None:
    """RESHAPE to a shape that is computed: quantization changes none of its integers."""
    tensors = (
        *(tensor(0, *IMAGE), tensor(1, (4,), "int32"), tensor(2, (1,), "int32", 0), tensor(3, (), "int32")),
        *(tensor(4, (2,), "int32"), tensor(5, (), "int32", 1024), tensor(6, (1, 1024))),
    )
    steps = [("SHAPE", (0,), 1), ("STRIDED_SLICE", (1, 2, 2, 2), 3), ("PACK", (3, 5), 4), ("RESHAPE", (0, 4), 6)]
    operators = [Operator(i, name, 1, read, (written,), {}) for i, (name, read, written) in enumerate(steps)]
    verdicts = rules.judge(Subgraph("", tensors, (0,), (6,), tuple(operators)))
    assert {verdict.remedy for verdict in verdicts} == {"fix the batch to 1 and the size: then no shape is computed"}


@pytest.mark.parametrize(
    ("dtype", "remedy"),
    [("float32", "quantize the model"), ("int16", "quantize the model"), ("int32", "outside"), ("int64", "outside")],
)
def test_only_what_quantization_changes_is_to_be_quantized(dtype: str, remedy: str) -> None:
    assert remedy in rules.judge(graph_of("ADD", [(IMAGE[0], dtype)] * 2, (IMAGE[0], dtype)))[0].remedy


@pytest.mark.parametrize(("name", "newest"), rules.NEWEST_VERSION.items())
def test_versions_that_compiler_16_cannot_parse(name: str, newest: int) -> None:
    if name not in limits.SUPPORTED:
        pytest.skip(f"{name} stays on the CPU in any version")
    weights = kernel(16, 3, 3, 16)
    inputs = {"CONV_2D": [IMAGE, weights], "TRANSPOSE_CONV": [numbers(1, 8, 8, 16), weights, IMAGE]}.get(name, [IMAGE])
    statuses = [rules.judge(graph_of(name, inputs, IMAGE, version=newest + later))[0].status for later in (0, 1)]
    assert statuses == [rules.MAPPED, VERSION]


@pytest.mark.parametrize(
    ("name", "inputs", "output", "doubt"),
    [
        ("RESIZE_BILINEAR", [IMAGE, numbers(16, 16)], ((1, 16, 16, 16),), "resize"),
        ("MEAN", [((1, 128, 128, 3),), numbers(1, 2)], ((1, 3),), "8,192"),
        ("RESHAPE", [((1, 64, 64, 64),), numbers(1, 4096, 64)], ((1, 4096, 64),), "262,144 elements"),
        ("RESHAPE", [IMAGE, numbers(1, 1024)], ((1, 1024),), ""),
    ],
)
def test_doubts_are_told(name: str, inputs: list[Spec], output: Spec, doubt: str) -> None:
    verdict = rules.judge(graph_of(name, inputs, output))[0]
    assert verdict.mapped
    assert doubt in verdict.doubt
    assert bool(doubt) == bool(verdict.doubt)


def test_the_states_of_an_lstm_may_be_int16() -> None:
    graph = graph_of("UNIDIRECTIONAL_SEQUENCE_LSTM", [((1, 28, 28),), ((1, 20), "int16")], ((1, 28, 20),))
    assert not rules.judge(graph)[0].mapped
    state = graph.tensors[1]
    variable = Tensor(1, "", state.shape, "int16", state.shape, None, True, 0, memoryview(b""))
    kept = Subgraph("", (graph.tensors[0], variable, graph.tensors[2]), (0,), (2,), graph.operators)
    assert rules.judge(kept)[0].mapped


@pytest.mark.parametrize(
    ("name", "inputs", "message"),
    [
        ("CONV_2D", [IMAGE], "operator 0 CONV_2D: input 1 is missing"),
        ("MEAN", [IMAGE, ((1000,), "int32", 1)], "input 1 has 1000 values"),
        ("QUANTIZE", [None], "input 0 is missing"),
    ],
)
def test_operators_that_cannot_be(name: str, inputs: list[Spec | None], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        rules.judge(graph_of(name, inputs, IMAGE))


# The cut


def chain(*operators: tuple[str, tuple[int, ...], tuple[int, ...]]) -> Subgraph:
    """Operators given by name, inputs and outputs; "x" is one that is not supported."""
    steps = tuple(Operator(n, name, 1, *ends, {}) for n, (name, *ends) in enumerate(operators))
    last = max(number for _, read, written in operators for number in (*read, *written))
    return Subgraph("", tuple(tensor(n, (1, 4)) for n in range(last + 1)), (0,), (last,), steps)


def cut(graph: Subgraph) -> list[tuple[bool, set[int]]]:
    return [(part.delegated, set(part.operators)) for part in partition(graph, lambda operator: operator.name != "x")]


def test_all_supported_is_one_part() -> None:
    assert cut(chain(("a", (0,), (1,)), ("b", (1,), (2,)))) == [(True, {0, 1})]


def test_a_part_takes_what_stands_behind_an_operator_that_it_does_not_need() -> None:
    # 0 -> x -> 1 -> c -> 2, and 0 -> b -> 3 -> d: x comes first, c must wait for it, b and d need not.
    graph = chain(("b", (0,), (3,)), ("x", (0,), (1,)), ("d", (3,), (4,)), ("c", (1,), (2,)))
    assert cut(graph) == [(True, {0, 2}), (False, {1}), (True, {3})]


def test_the_first_operator_decides_the_kind_of_the_first_part() -> None:
    graph = chain(("x", (0,), (1,)), ("a", (0,), (2,)), ("b", (1, 2), (3,)), ("x", (3,), (4,)))
    assert cut(graph) == [(False, {0}), (True, {1, 2}), (False, {3})]


def test_operators_out_of_order_and_inputs_left_out() -> None:
    assert cut(chain(("b", (1, -1), (2,)), ("a", (0,), (1,)))) == [(True, {0, 1})]


def test_operators_that_wait_for_one_another_are_in_no_part() -> None:
    assert cut(chain(("a", (2,), (1,)), ("b", (1,), (2,)), ("c", (0,), (3,)))) == [(True, {2})]


def by_the_book(graph: Subgraph, supported: list[bool]) -> list[tuple[bool, set[int]]]:
    """The definition, pass by pass: every pass takes what is ready and of the part's kind, until none is."""
    missing = {number for operator in graph.operators for number in operator.outputs}
    left, parts = list(graph.operators), []
    while True:
        kind: bool | None = None
        taken: set[int] = set()
        while True:
            before = len(taken)
            for operator in list(left):
                if missing.isdisjoint(operator.inputs) and kind in (None, supported[operator.index]):
                    kind = supported[operator.index]
                    taken.add(operator.index)
                    missing -= set(operator.outputs)
                    left.remove(operator)
            if len(taken) == before:
                break
        if kind is None:
            return parts
        parts.append((kind, taken))


@pytest.mark.parametrize("seed", range(200))
def test_the_cut_is_that_of_the_definition(seed: int) -> None:
    choose = random.Random(seed)
    count = choose.randrange(1, 25)
    order = choose.sample(range(count), count)
    operators: list[Any] = [None] * count
    for step, place_ in enumerate(order):
        reads = tuple(choose.randrange(step + 1) for _ in range(choose.randrange(1, 4)))
        operators[place_] = (choose.choice("ax"), reads, (step + 1,))
    graph = chain(*operators)
    assert cut(graph) == by_the_book(graph, [operator.name != "x" for operator in graph.operators])


def backwards(count: int) -> Subgraph:
    """Operators in the wrong order: each needs what the next one gives."""
    return chain(*(("a", (count - 1 - n,), (count - n,)) for n in range(count)))


def test_a_long_list_in_the_wrong_order_is_one_part() -> None:
    assert partition(backwards(20_000), lambda operator: True) == (Part(True, frozenset(range(20_000))),)


def test_a_list_twice_as_long_takes_twice_the_work(lines_run: Callable[[Callable[[], object]], int]) -> None:
    short, long = backwards(500), backwards(1000)
    assert lines_run(lambda: partition(long, bool)) < 2.1 * lines_run(lambda: partition(short, bool))


# Parameter bytes


BIAS = ((16,), "int32", 0)


@pytest.mark.parametrize(
    ("name", "inputs", "output", "expected"),
    [
        # 3x3 kernels of 3 channels stored as 4, and a bias of 4 bytes, for 32 outputs.
        ("CONV_2D", [((1, 9, 9, 3),), kernel(32, 3, 3, 3), BIAS], ((1, 9, 9, 32),), (9 * 4 + 4) * 32),
        # 8 outputs are stored as 16, 65 as 128; 4 bytes of bias only where there is one.
        ("CONV_2D", [IMAGE, kernel(8, 1, 1, 16), BIAS], ((1, 8, 8, 8),), (16 + 4) * 16),
        ("CONV_2D", [IMAGE, kernel(65, 1, 1, 16), None], ((1, 8, 8, 65),), 16 * 128),
        # 8 bytes more for each output where scales differ.
        ("CONV_2D", [IMAGE, ((64, 1, 1, 16), "int8", 1, 64), BIAS], ((1, 8, 8, 64),), (16 + 4 + 8) * 64),
        # One output of a map needs 4 lanes, one of a single position 16; blocks of 64 bytes are filled.
        ("CONV_2D", [((1, 8, 8, 1),), kernel(1, 3, 3, 1), BIAS], ((1, 8, 8, 1),), 192),
        ("FULLY_CONNECTED", [((1, 4096),), kernel(1, 4096), None], ((1, 1),), 4096 * 16),
        ("FULLY_CONNECTED", [ROW, kernel(1000, 16), BIAS], ((1, 1000),), (16 + 4) * 1024),
        ("DEPTHWISE_CONV_2D", [IMAGE, kernel(1, 3, 3, 16), BIAS], IMAGE, (4 * 9 + 4) * 16),
        ("DEPTHWISE_CONV_2D", [IMAGE, ((1, 5, 5, 16), "int8", 1, 16), BIAS], IMAGE, (4 * 25 + 4 + 8) * 16),
        # With one input channel it is an ordinary convolution.
        ("DEPTHWISE_CONV_2D", [((1, 8, 8, 1),), kernel(1, 7, 7, 8), BIAS], ((1, 8, 8, 8),), (49 * 4 + 4) * 16),
        ("TRANSPOSE_CONV", [numbers(1), kernel(3, 2, 2, 16), IMAGE, BIAS], ((1, 16, 16, 3),), (4 * 16 + 4) * 16),
        ("SOFTMAX", [((1, 1001),)], ((1, 1001),), 48_256),
        ("SOFTMAX", [((1, 4096),)], ((1, 4096),), 0),
        ("ADD", [IMAGE, IMAGE], IMAGE, 0),
        ("RESHAPE", [((1, 3, 3, 1),), numbers(1, 9)], ((1, 9),), 0),  # of what the host sends
    ],
)
def test_parameter_bytes(name: str, inputs: list[Spec | None], output: Spec, expected: int) -> None:
    graph = graph_of(name, inputs, output)
    assert parameter_bytes(graph, graph.operators) == [expected]


@pytest.mark.parametrize(
    ("name", "shape", "output", "options", "expected"),
    [
        ("RESHAPE", (1, 3, 3, 1), (1, 9), {}, 64 * (1 + 9)),
        ("RESHAPE", (1, 64, 64, 1), (1, 4096), {}, 64 * (1 + 16)),
        ("RESHAPE", (1, 7, 7, 64), (1, 3136), {}, 0),
        ("CONCATENATION", (1, 1), (1, 2), {"axis": 1}, 64 * 3),
        ("CONCATENATION", (1, 8), (1, 16), {"axis": -1}, 0),
        ("CONCATENATION", (1, 5, 3), (1, 10, 3), {"axis": 1}, 0),
    ],
)
def test_moving_channels_takes_parameters(
    name: str, shape: tuple[int, ...], output: tuple[int, ...], options: Mapping[str, Any], expected: int
) -> None:
    tensors = (tensor(0, shape), tensor(1, shape), tensor(2, output))
    before = Operator(0, "RELU", 1, (0,), (1,), {})
    mover = Operator(1, name, 1, (1, 1) if name == "CONCATENATION" else (1,), (2,), options)
    graph = Subgraph("", tensors, (0,), (2,), (before, mover))
    assert parameter_bytes(graph, [mover]) == [expected]


def test_weights_of_another_rank_are_refused() -> None:
    graph = graph_of("CONV_2D", [IMAGE, kernel(4, 9, 16)], IMAGE)
    with pytest.raises(ModelError, match="weights have 3 dimensions, 4 are needed"):
        parameter_bytes(graph, graph.operators)


def test_whole_layers_are_cached_in_order_as_long_as_they_fit() -> None:
    assert place([60, 50, 40, 0], 100) == (Placement(100, 50), (True, False, True, True))
    assert place([], 100) == (Placement(0, 0), ())


def test_the_room_on_the_chip_is_what_logs_have_shown() -> None:
    least, most = parameters.CAPACITY
    assert 6.8 < least / 2**20 < most / 2**20 < 8
