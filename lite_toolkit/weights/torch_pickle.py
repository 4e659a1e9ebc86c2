"""torch's `.pth` files, read without torch and without running anything that they hold.

A pickle is a program. Here it is interpreted over an allowlist of opcodes, which build plain data, and an allowlist of
globals, which describe tensors; Python's own unpickler, however restricted, allocates from numbers in the file. Any
other global is a name and no more: what the file makes of it, by whatever call, is an `_Object`. Tensors stay
descriptions until their storages have been read.

Sources: torch/serialization.py and torch/_utils.py for both file formats, Python's pickletools for the opcodes.
"""

import pickletools
import zipfile
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lite_toolkit.weights.untrusted import reading, stored_entry

Array = npt.NDArray[Any]

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
MAX_PICKLE_BYTES = 1 << 24  # without the storages; B7's, with optimizer and averages, takes less than 1 MB
MAX_STEPS = 1 << 21  # of some hundred bytes each; B7 with optimizer and averages takes a tenth
MAX_TENSORS = 1 << 16  # B7 with optimizer and averages has some thousands
MAX_NAME = 256  # characters; what is longer, or lies deeper, is no weight
SHOWN = 3  # objects per complaint
MODULE_PARTS = ("_parameters", "_buffers", "_modules")  # of torch.nn.Module: no part of a weight's name

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


@dataclass(frozen=True, eq=False, slots=True)
class _Object:
    """A global that is not ours, or what would be made with it: its name, and the items and attributes it is given."""

    name: str
    items: dict[str, Any] = field(default_factory=dict)


def read_zip(path: Path) -> dict[str, Array]:
    """The tensors in a file of torch 1.6 or later: an archive of one pickle and one entry per storage.

    Returns:
        Arrays by name, which may be read-only and share memory. bfloat16 becomes float32, other dtypes stay. The name
        of a tensor in nested dicts is its key after theirs and slashes: "state_dict/module.conv_stem.weight"; in a
        model that was saved whole it is that of the model's state dict.

    Raises:
        WeightsError: damaged, compressed or big-endian, or without tensors by name.
    """
    with reading(path, "torch checkpoint"), zipfile.ZipFile(path) as archive:
        root = _root(archive)
        if f"{root}/byteorder" in archive.namelist():  # since torch 2.0
            _require_little_endian(stored_entry(archive, f"{root}/byteorder") == b"little")
        tensors = _tensors(_Interpreter(BytesIO(stored_entry(archive, f"{root}/data.pkl"))))
        storages = {tensor.storage for tensor in tensors.values()}
        # Entries of an archive can overlap: only the sum bounds what is read.
        if sum(storage.count * storage.dtype.itemsize for storage in storages) > path.stat().st_size:
            raise ValueError("its tensors are larger than the file")
        return _arrays(tensors, {storage: _entry_elements(archive, root, storage) for storage in storages})


def read_legacy(path: Path) -> dict[str, Array]:
    """The tensors in a file of torch before 1.6: five pickles, then one storage after the other; as `read_zip`."""
    with reading(path, "torch checkpoint"):
        content = path.read_bytes()
        stream = BytesIO(content)
        if _Interpreter(stream).run() != LEGACY_MAGIC:
            raise ValueError("the magic number is not torch's: of pickles, only those of torch.save are read")
        _version, system = _Interpreter(stream).run(), _Interpreter(stream).run()
        _require_little_endian(system["little_endian"] is True)
        interpreter = _Interpreter(stream)
        tensors = _tensors(interpreter)
        storages = _listed(interpreter.storages, _Interpreter(stream).run())
        return _arrays(tensors, _consecutive_elements(content, stream.tell(), storages))


class _Interpreter:
    """Runs one pickle of `stream` and leaves the stream behind it.

    `storages` are those that it referred to, by key; `objects` the names of the globals that it asked for in vain.
    """

    def __init__(self, stream: BytesIO) -> None:
        self.stream = stream
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.storages: dict[str, _Storage] = {}
        self.objects: dict[str, None] = {}

    def run(self) -> Any:
        """The value of the pickle: plain data, `_Tensor`s and `_Object`s; ValueError and the like if it is no such."""
        start = self.stream.tell()
        for step, (opcode, argument, _position) in enumerate(pickletools.genops(self.stream)):
            if step > MAX_STEPS:
                raise ValueError(f"its pickle has more than {MAX_STEPS} steps")
            if self.stream.tell() - start > MAX_PICKLE_BYTES:
                raise ValueError(f"its pickle is longer than {MAX_PICKLE_BYTES} bytes: arrays of numpy are no tensors")
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
        target = self.stack[-1]
        if type(target) is list:
            target.extend(items)
        elif type(target) is not _Object:
            raise ValueError("its pickle appends to something else than a list")

    def update(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if type(target) is _Object:
            target = target.items
        if type(target) is not dict:
            raise ValueError("its pickle sets an item of something else than a dict")
        # No other key is part of a name, nor is it hashed: the hash of a deeply nested tuple overflows the C stack.
        named = zip(items[::2], items[1::2], strict=True)
        target.update((key, value) for key, value in named if type(key) is str)

    def build(self) -> None:
        """Attributes: an object's can be weights; those of anything else, such as a state dict's versions, are not."""
        state, target = self.stack.pop(), self.stack[-1]
        if type(target) is _Object and type(state) is dict:
            target.items.update(state)

    def memoize(self, index: int) -> None:
        self.memo[index] = self.stack[-1]

    def recall(self, index: int) -> None:
        if index not in self.memo:
            raise ValueError(f"its pickle recalls {index}, which it has not kept")
        self.push(self.memo[index])

    def push_global(self, module: Any, name: Any) -> None:
        if type(module) is not str or type(name) is not str:
            raise ValueError("its pickle names a global by something else than strings")
        if (module, name) in _GLOBALS:
            self.push(_GLOBALS[module, name])
        else:
            self.objects[f"{module}.{name}"] = None
            self.push(_Object(f"{module}.{name}"))

    def drop(self) -> None:
        self.stack.pop()

    def drop_since_mark(self) -> None:
        self.since_mark()

    def call(self) -> None:
        arguments, function = self.stack.pop(), self.stack.pop()
        self.push(_called(function, arguments))

    def call_with_keywords(self) -> None:
        self.drop()
        self.call()

    def push_persistent(self) -> None:
        """A storage; or what is opaque: elements that numpy lacks, a class, which legacy files keep with its source."""
        match self.stack.pop():
            case ("storage" | "module", _Object() as unknown, *_):
                self.push(unknown)
            case ("storage", np.dtype() as dtype, str(key), _location, int(count), *view) if not any(view):
                self.push(self.storage(dtype, key, count))
            case _:
                raise ValueError("it refers to something else than a whole storage")

    def storage(self, dtype: np.dtype[Any], key: str, count: int) -> _Storage:
        if count < 0:
            raise ValueError(f"storage {key!r} has an impossible length")
        storage = self.storages.setdefault(key, _Storage(dtype, key, count))
        if storage != _Storage(dtype, key, count):
            raise ValueError(f"storage {key!r} is described twice, differently")
        return storage


def _called(function: Any, arguments: Any) -> Any:
    """What one of our own functions makes of the arguments; of others, an object of that name."""
    if type(function) is _Object:
        return _Object(function.name)
    if not callable(function):
        raise ValueError("its pickle calls something else than a function")
    return function(*arguments)


def _tensor(storage: Any, offset: int, shape: Any, strides: Any, *_rest: object) -> _Tensor | _Object:
    """torch._utils._rebuild_tensor_v2; what follows the strides is for training."""
    if type(storage) is _Object:
        return storage
    if type(storage) is not _Storage or type(shape) is not tuple or type(strides) is not tuple:
        raise ValueError("a tensor without a storage, shape or strides")
    if len(shape) != len(strides) or any(type(n) is not int or n < 0 for n in (offset, *shape, *strides)):
        raise ValueError(f"a tensor of impossible shape in storage {storage.key!r}")
    last = offset + sum((side - 1) * stride for side, stride in zip(shape, strides, strict=True))
    if 0 not in shape and last >= storage.count:
        raise ValueError(f"a tensor reaches beyond its storage {storage.key!r}")
    return _Tensor(storage, offset, shape, strides)


def _first(data: object, *_rest: object) -> object:
    """A tensor inside a Parameter, or moved to another device."""
    return data


def _typed(function: object, _type: object, arguments: object, _state: object) -> object:
    """torch._tensor._rebuild_from_type_v2: a tensor of a subclass, or with attributes."""
    return _called(function, arguments)


def _empty(*_arguments: object) -> dict[str, Any]:
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


def _tensors(interpreter: _Interpreter) -> dict[str, _Tensor]:
    """The tensors by name in what was saved, those of outer dicts first."""
    tensors: dict[str, _Tensor] = {}
    entered, pending = set[int](), deque([("", interpreter.run())])
    while pending:
        path, value = pending.popleft()
        if id(value) in entered:  # references can form circles, and multiply without end
            continue
        entered.add(id(value))
        separator = "." if type(value) is _Object else "/"
        for name, inner in ((path + key, inner) for key, inner in _members(value).items()):
            if type(inner) is _Tensor and len(name) <= MAX_NAME:
                tensors[name] = inner
            elif type(inner) in (dict, list, tuple, _Object) and len(name) <= MAX_NAME:
                pending.append((name + separator, inner))
        if len(tensors) > MAX_TENSORS:
            raise ValueError(f"it holds more than {MAX_TENSORS} tensors")
    if not tensors:
        names = [repr(name) for name in interpreter.objects]
        asked = f", but asks for {', '.join(names[:SHOWN])}{', ...' if len(names) > SHOWN else ''}" if names else ""
        raise ValueError(f"it holds no tensors by name{asked}")
    return tensors


def _members(container: Any) -> dict[str, Any]:
    """What it holds by name; dicts by number, as optimizers keep, hold nothing here."""
    if type(container) is dict:
        return container
    if type(container) in (list, tuple):
        return {str(index): member for index, member in enumerate(container)}
    members: dict[str, Any] = {}
    for key, member in container.items.items() if type(container) is _Object else ():
        members.update(member if key in MODULE_PARTS and type(member) is dict else {key: member})
    return members


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
    **{("torch._utils", name): _tensor for name in ("_rebuild_tensor", "_rebuild_tensor_v2")},
    ("torch._utils", "_rebuild_parameter"): _first,
    ("torch._utils", "_rebuild_parameter_with_state"): _first,
    ("torch._utils", "_rebuild_device_tensor_from_cpu_tensor"): _first,
    ("torch._tensor", "_rebuild_from_type_v2"): _typed,
    **{("torch", name): dtype for name, dtype in _DTYPES.items()},
}

_OPCODES: dict[str, Callable[[_Interpreter, Any], None]] = {
    **dict.fromkeys(("PROTO", "FRAME", "STOP"), lambda _machine, _argument: None),
    **dict.fromkeys(
        (
            *("NONE", "BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT"),
            *("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINSTRING", "SHORT_BINSTRING"),
            *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
        ),
        _Interpreter.push,
    ),
    "NEWTRUE": lambda machine, _argument: machine.push(True),
    "NEWFALSE": lambda machine, _argument: machine.push(False),
    "EMPTY_DICT": lambda machine, _argument: machine.push({}),
    "EMPTY_LIST": lambda machine, _argument: machine.push([]),
    "EMPTY_TUPLE": lambda machine, _argument: machine.push(()),
    "EMPTY_SET": lambda machine, _argument: machine.push(_Object("set")),
    "ADDITEMS": lambda machine, _argument: machine.extend(machine.since_mark()),
    "FROZENSET": lambda machine, _argument: machine.push(_Object(f"frozenset of {len(machine.since_mark())}")),
    "POP": lambda machine, _argument: machine.drop(),
    "POP_MARK": lambda machine, _argument: machine.drop_since_mark(),
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
    "NEWOBJ_EX": lambda machine, _argument: machine.call_with_keywords(),
    "BUILD": lambda machine, _argument: machine.build(),
    "BINPERSID": lambda machine, _argument: machine.push_persistent(),
}
