"""A float `.tflite` of the user's, which is quantized as it is."""

from pathlib import Path

from lite_toolkit.errors import ModelError
from lite_toolkit.tflite.graph import Graph, Subgraph, read_graph

SUFFIX = ".tflite"
_FLOAT = ("float32", "int32", "int64", "bool")  # of constants: whole numbers are shapes and axes


def read(path: Path, input_size: int | None = None) -> bytes:
    """The content of the file.

    Args:
        input_size: what the user says of its input, which must be true.

    Raises:
        ModelError: the file is damaged, is quantized already, or takes no float32 image of one size.
    """
    graph = read_graph(path)
    main = graph.subgraphs[0]
    if quantized := _quantized(main):
        raise ModelError(f"{path} is quantized already ({quantized}): pass the float32 model that it was made from")
    for number in main.inputs:
        tensor = main.tensors[number]
        if tensor.dtype != "float32":
            raise ModelError(f"{path} takes {tensor.dtype} input: must be float32")
        if -1 in tensor.shape_signature[1:]:
            raise ModelError(f"{path} leaves its input size open: export it with a fixed one")
        if input_size is not None and tensor.shape[1:3] != (input_size, input_size):
            sides = "x".join(map(str, tensor.shape[1:3]))
            raise ModelError(f"{path} takes {sides} pixels, which --input-size {input_size} contradicts")
    return _of_one_image(graph)


def _quantized(main: Subgraph) -> str | None:
    """A tensor that shows that a model is quantized."""
    for tensor in main.tensors:
        if tensor.quantization or (tensor.is_constant and tensor.dtype not in _FLOAT):
            return f"tensor {tensor.name!r} is {tensor.dtype}"
    return None


def _of_one_image(graph: Graph) -> bytes:
    """The content, with a batch of 1 where it leaves the number of images open."""
    if all(-1 not in tensor.shape_signature for tensor in graph.subgraphs[0].tensors):
        return graph.content
    from lite_toolkit.tflite.surgery import pack, unpack

    model = unpack(graph.content)
    for tensor in model.subgraphs[0].tensors:
        tensor.shapeSignature = None
    return pack(model)
