"""torch's `.pth` files, read without torch and without running anything that they hold.

A pickle is a program. Here it is interpreted over an allowlist of opcodes, which build plain data, and an allowlist of
globals, which describe tensors; Python's own unpickler, however restricted, allocates from numbers in the file. Tensors
stay descriptions until their storages have been read.

Sources: torch/serialization.py and torch/_utils.py for both file formats, Python's pickletools for the opcodes.
"""

import pickletools
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lite_toolkit.weights.untrusted import reading, stored_entry

Array = npt.NDArray[Any]

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
MAX_PICKLE_BYTES = 1 << 24  # without the storages; B7's, with optimizer and averages, takes less than 1 MB
WRAPPERS = ("state_dict_ema", "state_dict", "model")  # averaged weights first: evaluation uses them

_BFLOAT16 = np.dtype("V2")  # numpy has none: such storages are widened to float32
_MARK = object()


@dataclass(frozen=True)
class _Storage:
    """A flat buffer that the pickle refers to: `count` elements of `dtype`, kept in the file under `key`."""

    dtype: np.dtype[Any]
    key: str
    count: int


@dataclass(frozen=True)
class _Tensor:
    """A view of a storage; offset and strides count elements."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def read_zip(path: Path) -> dict[str, Array]:
    """The state dict in a file of torch 1.6 or later: an archive of one pickle and one entry per storage.

    Returns:
        Arrays by name, which may be read-only and share memory. bfloat16 becomes float32, other dtypes stay. Of a
        training checkpoint, its averaged weights, else its weights; without the "module." that DataParallel prepends.

    Raises:
        WeightsError: damaged, compressed or big-endian, or it asks for anything but tensors and plain data.
    """
    with reading(path, "torch checkpoint"), zipfile.ZipFile(path) as archive:
        root = _root(archive)
        if f"{root}/byteorder" in archive.namelist():  # since torch 2.0
            _require_little_endian(stored_entry(archive, f"{root}/byteorder") == b"little")
        tensors = _state_dict(_Interpreter(BytesIO(stored_entry(archive, f"{root}/data.pkl"))).run())
        storages = {tensor.storage for tensor in tensors.values()}
        # Entries of an archive can overlap: only the sum bounds what is read.
        if sum(storage.count * storage.dtype.itemsize for storage in storages) > path.stat().st_size:
            raise ValueError("its tensors are larger than the file")
        return _arrays(tensors, {storage: _entry_elements(archive, root, storage) for storage in storages})


def read_legacy(path: Path) -> dict[str, Array]:
    """The state dict in a file of torch before 1.6: five pickles, then one storage after the other; as `read_zip`.

    Raises:
        WeightsError: damaged or big-endian, or it asks for anything but tensors and plain data.
    """
    with reading(path, "torch checkpoint"):
        content = path.read_bytes()
        stream = BytesIO(content)
        if _Interpreter(stream).run() != LEGACY_MAGIC:
            raise ValueError("the magic number is not torch's")
        _version, system = _Interpreter(stream).run(), _Interpreter(stream).run()
        _require_little_endian(system["little_endian"] is True)
        interpreter = _Interpreter(stream)
        tensors = _state_dict(interpreter.run())
        storages = _listed(interpreter.storages, _Interpreter(stream).run())
        return _arrays(tensors, _consecutive_elements(content, stream.tell(), storages))


class _Interpreter:
    """Runs one pickle of `stream` and leaves the stream behind it. `storages` are those that it referred to, by key."""

    def __init__(self, stream: BytesIO) -> None:
        self.stream = stream
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.storages: dict[str, _Storage] = {}

    def run(self) -> Any:
        """The value of the pickle: plain data and `_Tensor`s. ValueError and the like where it is no such pickle."""
        start = self.stream.tell()
        for opcode, argument, _position in pickletools.genops(self.stream):
            if self.stream.tell() - start > MAX_PICKLE_BYTES:
                raise ValueError(f"its pickle is longer than {MAX_PICKLE_BYTES} bytes")
            if opcode.name not in _OPCODES:
                raise ValueError(f"its pickle uses {opcode.name}, which no state dict needs")
            _OPCODES[opcode.name](self, argument)
        return self.stack.pop()

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def push_tuple(self, length: int) -> None:
        self.stack[-length:] = [tuple(self.stack[-length:])]

    def since_mark(self) -> list[Any]:
        items = []
        while (item := self.stack.pop()) is not _MARK:
            items.append(item)
        return items[::-1]

    def extend(self, items: list[Any]) -> None:
        if type(self.stack[-1]) is not list:
            raise ValueError("its pickle appends to something else than a list")
        self.stack[-1].extend(items)

    def update(self, items: list[Any]) -> None:
        # Nothing but names is hashed anywhere here: the hash of a deeply nested tuple overflows the C stack.
        if type(self.stack[-1]) is not dict or not all(type(key) in (str, int) for key in items[::2]):
            raise ValueError("its pickle sets an item of something else than a dict of names")
        self.stack[-1].update(zip(items[::2], items[1::2], strict=True))

    def drop(self) -> None:
        self.stack.pop()

    def memoize(self, index: int) -> None:
        self.memo[index] = self.stack[-1]

    def recall(self, index: int) -> None:
        if index not in self.memo:
            raise ValueError(f"its pickle recalls {index}, which it has not kept")
        self.push(self.memo[index])

    def push_global(self, module: Any, name: Any) -> None:
        if type(module) is not str or type(name) is not str:
            raise ValueError("its pickle names a global by something else than strings")
        if (module, name) not in _GLOBALS:
            raise ValueError(f"it asks for {f'{module}.{name}'!r}, which no state dict needs")
        self.push(_GLOBALS[module, name])

    def call(self) -> None:
        arguments, function = self.stack.pop(), self.stack.pop()
        if not callable(function):
            raise ValueError("its pickle calls something else than a function")
        self.push(function(*arguments))

    def push_storage(self) -> None:
        kind, dtype, key, _location, count, *view = self.stack.pop()
        if kind != "storage" or not isinstance(dtype, np.dtype) or type(key) is not str or any(view):
            raise ValueError("it refers to something else than a whole storage")
        if type(count) is not int or count < 0:
            raise ValueError(f"storage {key!r} has an impossible length")
        storage = self.storages.setdefault(key, _Storage(dtype, key, count))
        if storage != _Storage(dtype, key, count):
            raise ValueError(f"storage {key!r} is described twice, differently")
        self.push(storage)


def _tensor(storage: Any, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_rest: object) -> _Tensor:
    """torch._utils._rebuild_tensor_v2; what follows the strides is for training."""
    if type(storage) is not _Storage or type(shape) is not tuple or type(strides) is not tuple:
        raise ValueError("a tensor without a storage, shape or strides")
    if len(shape) != len(strides) or any(type(n) is not int or n < 0 for n in (offset, *shape, *strides)):
        raise ValueError(f"a tensor of impossible shape in storage {storage.key!r}")
    last = offset + sum((side - 1) * stride for side, stride in zip(shape, strides, strict=True))
    if 0 not in shape and last >= storage.count:
        raise ValueError(f"a tensor reaches beyond its storage {storage.key!r}")
    return _Tensor(storage, offset, shape, strides)


def _parameter(data: object, *_rest: object) -> object:
    """torch._utils._rebuild_parameter."""
    return data


def _empty() -> dict[str, Any]:
    """A dict to be filled; `dict` itself would hash whatever it is called with."""
    return {}


def _root(archive: zipfile.ZipFile) -> str:
    """The folder that the archive has around everything; torch names it after the file."""
    roots = [name.removesuffix("/data.pkl") for name in archive.namelist() if name.endswith("/data.pkl")]
    if len(roots) != 1:
        raise ValueError(f"it holds {len(roots)} data.pkl, not one")
    return roots[0]


def _entry_elements(archive: zipfile.ZipFile, root: str, storage: _Storage) -> Array:
    elements = np.frombuffer(stored_entry(archive, f"{root}/data/{storage.key}"), storage.dtype)
    if len(elements) != storage.count:
        raise ValueError(f"storage {storage.key!r} has {len(elements)} elements instead of {storage.count}")
    return elements


def _listed(storages: Mapping[str, _Storage], keys: Any) -> list[_Storage]:
    """The storages in the order of the file's list of keys, which must be all of them."""
    if type(keys) is not list or any(type(key) is not str for key in keys) or set(keys) != storages.keys():
        raise ValueError("the storages that it lists are not those of its tensors")
    return [storages[key] for key in keys]


def _consecutive_elements(content: bytes, position: int, storages: list[_Storage]) -> dict[_Storage, Array]:
    """The storages that stand one after the other from `position`, each behind its int64 count."""
    elements = {}
    for storage in storages:
        count = int.from_bytes(content[position : position + 8], "little")
        if count != storage.count:
            raise ValueError(f"storage {storage.key!r} has {count} elements instead of {storage.count}")
        elements[storage] = np.frombuffer(content, storage.dtype, count, position + 8)
        position += 8 + count * storage.dtype.itemsize
    return elements


def _arrays(tensors: Mapping[str, _Tensor], elements: Mapping[_Storage, Array]) -> dict[str, Array]:
    flat = {storage: _widened(values) for storage, values in elements.items()}
    return {name: _view(tensor, flat[tensor.storage]) for name, tensor in tensors.items()}


def _view(tensor: _Tensor, elements: Array) -> Array:
    size = elements.itemsize
    strides = [stride * size for stride in tensor.strides]
    return np.ndarray(tensor.shape, elements.dtype, elements, tensor.offset * size, strides)


def _widened(elements: Array) -> Array:
    """bfloat16 is the upper half of a float32."""
    if elements.dtype != _BFLOAT16:
        return elements
    widened: Array = (elements.view("<u2").astype("<u4") << 16).view("<f4")
    return widened


def _state_dict(value: Any) -> dict[str, _Tensor]:
    """The tensors by name in what was saved: a state dict, or a training checkpoint around it."""
    if type(value) is not dict:
        raise ValueError("it holds no state dict")
    inner = next((value[key] for key in WRAPPERS if type(value.get(key)) is dict), value)
    tensors = {name: tensor for name, tensor in inner.items() if type(name) is str and type(tensor) is _Tensor}
    if not tensors:
        raise ValueError(f"it holds no tensors by name, neither directly nor under {', '.join(WRAPPERS)}")
    prefix = "module." if all(name.startswith("module.") for name in tensors) else ""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}


def _require_little_endian(little: bool) -> None:
    if not little:
        raise ValueError("it was written on a big-endian machine")


_DTYPES = {
    "FloatStorage": np.dtype("<f4"),
    "DoubleStorage": np.dtype("<f8"),
    "HalfStorage": np.dtype("<f2"),
    "BFloat16Storage": _BFLOAT16,
    "LongStorage": np.dtype("<i8"),
    "IntStorage": np.dtype("<i4"),
    "ShortStorage": np.dtype("<i2"),
    "CharStorage": np.dtype("i1"),
    "ByteStorage": np.dtype("u1"),
    "BoolStorage": np.dtype("?"),
}

_GLOBALS: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): _empty,
    ("argparse", "Namespace"): _empty,  # timm's training checkpoints hold their arguments, of which nothing is used
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch._utils", "_rebuild_parameter"): _parameter,
    **{("torch", name): dtype for name, dtype in _DTYPES.items()},
}

_OPCODES: dict[str, Callable[[_Interpreter, Any], None]] = {
    **dict.fromkeys(("PROTO", "FRAME", "STOP"), lambda _machine, _argument: None),
    **dict.fromkeys(
        ("NONE", "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINUNICODE"),
        _Interpreter.push,
    ),
    "NEWTRUE": lambda machine, _argument: machine.push(True),
    "NEWFALSE": lambda machine, _argument: machine.push(False),
    "EMPTY_DICT": lambda machine, _argument: machine.push({}),
    "EMPTY_LIST": lambda machine, _argument: machine.push([]),
    "EMPTY_TUPLE": lambda machine, _argument: machine.push(()),
    "MARK": lambda machine, _argument: machine.push(_MARK),
    "TUPLE": lambda machine, _argument: machine.push(tuple(machine.since_mark())),
    "TUPLE1": lambda machine, _argument: machine.push_tuple(1),
    "TUPLE2": lambda machine, _argument: machine.push_tuple(2),
    "TUPLE3": lambda machine, _argument: machine.push_tuple(3),
    "APPEND": lambda machine, _argument: machine.extend([machine.stack.pop()]),
    "APPENDS": lambda machine, _argument: machine.extend(machine.since_mark()),
    "SETITEM": lambda machine, _argument: machine.update([machine.stack.pop(-2), machine.stack.pop()]),
    "SETITEMS": lambda machine, _argument: machine.update(machine.since_mark()),
    "BINPUT": _Interpreter.memoize,
    "LONG_BINPUT": _Interpreter.memoize,
    "MEMOIZE": lambda machine, _argument: machine.memoize(len(machine.memo)),
    "BINGET": _Interpreter.recall,
    "LONG_BINGET": _Interpreter.recall,
    "GLOBAL": lambda machine, argument: machine.push_global(*argument.split(" ", 1)),
    "STACK_GLOBAL": lambda machine, _argument: machine.push_global(machine.stack.pop(-2), machine.stack.pop()),
    "REDUCE": lambda machine, _argument: machine.call(),
    "NEWOBJ": lambda machine, _argument: machine.call(),
    "BUILD": lambda machine, _argument: machine.drop(),  # attributes, such as a state dict's versions
    "BINPERSID": lambda machine, _argument: machine.push_storage(),
}
