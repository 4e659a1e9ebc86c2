"""The LiteRT runtime: load a model, quantize its input, dequantize its output."""

from __future__ import annotations

import importlib
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lite_toolkit.errors import DelegateError, ModelError
from lite_toolkit.runtime import heads, processors
from lite_toolkit.runtime.delegates import NONE, XNNPACK, Delegate, advice, why_not_loaded
from lite_toolkit.streams import quiet

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

_RUNTIMES = {
    "ai-edge-litert": "ai_edge_litert.interpreter",
    "tflite-runtime": "tflite_runtime.interpreter",
    "tensorflow": "tensorflow.lite.python.interpreter",
}
LARGEST = float(np.finfo(np.float32).max)  # what the runtime's own kernels make of infinity


@dataclass(frozen=True)
class TensorInfo:
    """An input or output: its shape, dtype name and, unless it is float, scale and zero point."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    scale: float
    zero_point: int

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels, of an image input of shape (1, height, width, channels)."""
        return self.shape[1], self.shape[2]

    def quantize(self, values: NDArray[np.float32]) -> NDArray[Any]:
        """Real values in the tensor's own dtype: round(values / scale) + zero point, saturated; floats pass through."""
        if not self.scale:
            return np.asarray(values, self.dtype)
        limits = np.iinfo(self.dtype)
        steps = np.rint(values / np.float32(self.scale)) + self.zero_point
        stored: NDArray[Any] = np.clip(steps, limits.min, limits.max).astype(self.dtype)
        return stored

    def dequantize(self, stored: NDArray[Any]) -> NDArray[np.float32]:
        """The real values of stored ones: (stored - zero point) * scale."""
        real = stored.astype(np.float32)
        return (real - np.float32(self.zero_point)) * np.float32(self.scale) if self.scale else real

    def to_json(self) -> dict[str, Any]:
        """The fields, without scale and zero point of floats."""
        quantized = {"scale": self.scale, "zero_point": self.zero_point} if self.scale else {}
        return {"name": self.name, "shape": list(self.shape), "dtype": self.dtype, **quantized}


class Model:
    """A loaded `.tflite` classifier with one image input and one output tensor."""

    def __init__(
        self,
        model: Path | bytes,
        threads: int | None = None,
        delegate: Delegate = XNNPACK,
        head: str = heads.SINGLE_LABEL,
    ) -> None:
        """Load a model.

        Args:
            model: the file, or its content.
            threads: for the kernels; by default one for each processor.
            delegate: what runs the nodes that it can.
            head: what the outputs mean, one of `heads.HEADS`.

        Raises:
            ModelError: no runtime is installed, or it cannot load the model, or the model is no image classifier.
            DelegateError: the delegate cannot be loaded.
        """
        self.interpreter = interpreter(model, threads, delegate)
        self.title, self.head = _title(model), head
        inputs, outputs = self.interpreter.get_input_details(), self.interpreter.get_output_details()
        self.input, self.output = ends(list(map(tensor_info, inputs)), list(map(tensor_info, outputs)))
        self._input, self._output = inputs[0]["index"], outputs[0]["index"]

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the input in pixels."""
        return self.input.size

    @property
    def outputs(self) -> int:
        """Number of values that the output tensor has: 1 of two classes, else one for each class."""
        return self.output.shape[-1]

    def scores(self, image: NDArray[np.float32], name: str = "an image") -> NDArray[np.float32]:
        """Scores of shape (classes,) for a normalised float32 image of shape (height, width, channels).

        Raises:
            ModelError: a score is not finite; the message has the image's `name`.
        """
        return finite(self.run(self.input.quantize(image)), self.title, name)

    def run(self, stored: NDArray[Any]) -> NDArray[np.float32]:
        """Scores of shape (classes,) for an image (height, width, channels) as the input stores it, in its dtype."""
        return heads.scores(self.head, self.output.dequantize(self.raw(stored)))

    def raw(self, stored: NDArray[Any]) -> NDArray[Any]:
        """The output (outputs,) for the same as it is stored, in its dtype."""
        self.interpreter.set_tensor(self._input, stored[np.newaxis])
        self.interpreter.invoke()
        found: NDArray[Any] = self.interpreter.get_tensor(self._output).reshape(-1)
        return found


def finite(values: NDArray[np.float32], model: str, image: str) -> NDArray[np.float32]:
    """The values, which `model` gives for `image`.

    Raises:
        ModelError: one of them is not finite: nothing that is told from them would be true.
    """
    wrong = values[~(np.abs(values) < LARGEST)]  # true of NaN
    if wrong.size:
        raise ModelError(f"{model} gives scores that are not numbers for {image}: {wrong[0]}")
    return values


def ends(inputs: Sequence[TensorInfo], outputs: Sequence[TensorInfo]) -> tuple[TensorInfo, TensorInfo]:
    """The input and the output of an image classifier.

    Raises:
        ModelError: these are not one of each, or the input is no image, or the output no list of scores.
    """
    if len(inputs) != 1 or len(outputs) != 1:
        raise ModelError(f"the model has {len(inputs)} inputs and {len(outputs)} outputs: one of each is needed")
    shape = inputs[0].shape
    if len(shape) != 4 or shape[0] != 1 or shape[3] not in (1, 3):
        raise ModelError(f"the input has shape {shape}: (1, height, width, 3 or 1) is needed")
    scores = outputs[0].shape
    if not scores or any(side != 1 for side in scores[:-1]):
        raise ModelError(f"the output has shape {scores}: (1, classes) is needed")
    return inputs[0], outputs[0]


def interpreter(
    model: Path | bytes, threads: int | None = None, delegate: Delegate = XNNPACK, *, keep_all: bool = False
) -> Any:
    """An interpreter with its tensors allocated.

    Args:
        model: the file, or its content.
        threads: for the kernels; by default one for each processor.
        delegate: what runs the nodes that it can. A library may crash this process: see `rehearsal.rehearse`.
        keep_all: keep every intermediate tensor readable, for which delegates are left out.

    Raises:
        ModelError: no runtime is installed, or it cannot load the model.
        DelegateError: the delegate cannot be loaded.
    """
    loaded = unallocated(model, threads, delegate, keep_all=keep_all)
    allocate(loaded, model)
    return loaded


def unallocated(
    model: Path | bytes, threads: int | None = None, delegate: Delegate = XNNPACK, *, keep_all: bool = False
) -> Any:
    """As `interpreter`, before `allocate`: a library's delegate has taken its nodes, XNNPACK not yet."""
    _, runtime = _runtime()
    options: dict[str, Any] = {"num_threads": threads or processors.usable()}
    if keep_all:
        options["experimental_preserve_all_tensors"] = True
    # Runtimes before 2.6 know no resolvers, and have no default delegate.
    if (keep_all or delegate == NONE) and hasattr(runtime, "OpResolverType"):
        options["experimental_op_resolver_type"] = runtime.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    if isinstance(model, bytes):
        options["model_content"] = model
    elif not model.is_file():
        raise ModelError(f"{model}: {'a folder, not a .tflite file' if model.is_dir() else 'no such file'}")
    elif str(model).isprintable():
        options["model_path"] = str(model)
    else:  # runtimes take no path that is not UTF-8
        options["model_content"] = model.read_bytes()
    if delegate.library:
        options["experimental_delegates"] = [load_delegate(delegate)]
    with _loading(model):
        return runtime.Interpreter(**options)


def allocate(loaded: Any, model: Path | bytes) -> None:
    """Allocate the tensors of an `unallocated` interpreter of `model`, at which XNNPACK takes its nodes.

    Raises:
        ModelError: the runtime or a delegate cannot prepare the model.
    """
    with _loading(model):
        loaded.allocate_tensors()


@contextmanager
def _loading(model: Path | bytes) -> Iterator[None]:
    name, _ = _runtime()
    with quiet():
        try:
            yield
        except SystemError as error:  # the only sign of extension modules built for numpy 1
            reason = f"{runtime_version()} does not work with numpy {np.__version__}: pip install 'numpy<2'"
            raise ModelError(reason) from error
        except (ValueError, RuntimeError) as error:
            said = _first_line(error).rstrip(".")
            raise ModelError(f"{name} cannot load {_title(model)}: {said}{advice(said)}") from error


def _title(model: Path | bytes) -> str:
    return "the model" if isinstance(model, bytes) else str(model)


def load_delegate(delegate: Delegate) -> Any:
    """The runtime's object for a delegate's library.

    Raises:
        DelegateError: it cannot be loaded; the message says why, and what to do.
    """
    _, runtime = _runtime()
    with quiet():
        try:
            return runtime.load_delegate(delegate.library, dict(delegate.options))
        except (OSError, AttributeError, ValueError) as error:
            raise DelegateError(f"delegate {delegate.name}: {why_not_loaded(delegate, error)}") from error


def tensor_info(details: dict[str, Any]) -> TensorInfo:
    """An input or output as an interpreter's `get_input_details` or `get_output_details` describes it."""
    scale, zero_point = details["quantization"]
    shape = tuple(int(side) for side in details["shape"])
    return TensorInfo(details["name"], shape, np.dtype(details["dtype"]).name, float(scale), int(zero_point))


def runtime_version() -> str:
    """Name and version of the runtime that `interpreter` uses, such as "ai-edge-litert 2.3.0"."""
    name, runtime = _runtime()
    package = importlib.import_module(runtime.__name__.partition(".")[0])
    return f"{name} {package.__version__}"


def _runtime() -> tuple[str, Any]:
    for name, module in _RUNTIMES.items():
        try:
            return name, importlib.import_module(module)
        except ModuleNotFoundError:
            continue
    raise ModelError(f"no LiteRT runtime is installed: pip install ai-edge-litert (or one of {', '.join(_RUNTIMES)})")


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
