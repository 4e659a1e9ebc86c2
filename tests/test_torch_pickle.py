"""torch's files are read without torch, and nothing in a hostile one is run, allocated or believed."""

import argparse
import collections
import contextlib
import datetime
import decimal
import enum
import fractions
import functools
import io
import os
import pathlib
import pickle
import random
import sys
import tracemalloc
import types
import uuid
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lite_toolkit.errors import WeightsError
from lite_toolkit.weights import torch_pickle
from lite_toolkit.weights.torch_pickle import (
    LEGACY_MAGIC,
    MAX_NAME,
    MAX_PICKLE_BYTES,
    MAX_TENSORS,
    read_legacy,
    read_zip,
)

GOLDEN = Path(__file__).parent / "golden"
Reader = Callable[[Path], dict[str, Any]]
RECORDED: list[tuple[str, Reader]] = [
    ("tensors_zip.pth", read_zip),
    ("tensors_protocol4.pth", read_zip),
    ("tensors_legacy.pth", read_legacy),
]
DAMAGEABLE: list[tuple[str, Reader]] = [*RECORDED, ("extras.pth", read_zip), ("module.pth", read_zip)]
FOUR_FLOATS = np.arange(4, dtype="<f4").tobytes()
LEGACY_STORAGE = b"]X\x01\0\0\0" + b"0a." + (4).to_bytes(8, "little") + FOUR_FLOATS
Point = collections.namedtuple("Point", "x y")  # as training scripts have them


class Color(enum.Enum):
    RED = 1


@dataclass
class Settings:
    """Somebody's configuration."""

    rate: float = 0.1
    weights: Any = field(default_factory=lambda: np.arange(3))


def circle() -> list[Any]:
    items: list[Any] = []
    items.append((items, {"again": items}))
    return items


EXTRAS = {
    "numpy": (np.float64(81.2), np.int64(3), np.bool_(True), np.str_("a"), np.dtype("f4"), np.datetime64("2020-01-01")),
    "arrays": (np.arange(5), np.array([{1}, None], object), np.zeros(2, [("a", "f4")])),
    "random states": (random.getstate(), np.random.default_rng(0), random.Random(3)),
    "paths": (pathlib.PurePosixPath("/data"), pathlib.PureWindowsPath("c:/x"), Path("runs")),
    "times": (datetime.datetime(2020, 1, 1), datetime.timedelta(3), datetime.UTC, datetime.date(2020, 1, 1)),
    "sets": ({"a", "b"}, frozenset({1}), collections.Counter("abca"), {frozenset({1}): 2}),
    "collections": (collections.defaultdict(list, a=[1]), collections.deque([1], 5), collections.ChainMap({"a": 1})),
    "keys": ({(1, 2): 3, ("a",): 4}, {1: 2}, {0.5: 1}, {None: 1}, {True: 1}, {b"a": 1}, {Color.RED: 1}),
    "arguments": argparse.Namespace(rate=0.1, folder=Path("runs")),
    "objects": (Color.RED, Point(1, 2), Settings(), types.SimpleNamespace(a=1), ValueError("x"), uuid.UUID(int=7)),
    "numbers": (3 + 4j, decimal.Decimal("1.5"), fractions.Fraction(1, 3), 2**3000, -(2**70), float("nan"), range(3)),
    "bytes": (b"x" * 300, bytearray(b"abc"), "\u00fc" * 300, "\ud800"),
    "functions": (len, "abc".upper, functools.partial(int, base=2), os.system, list[int], ..., NotImplemented),
    "circle": circle(),
}


class Call:
    """Pickles as a call of `function`."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


def number(value: int) -> bytes:
    content = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8a" + bytes([len(content)]) + content


def text(value: str) -> bytes:
    return b"X" + len(value).to_bytes(4, "little") + value.encode()


def sequence(*items: bytes) -> bytes:
    return b"(" + b"".join(items) + b"t"


def reference(module: str, name: str) -> bytes:
    return f"c{module}\n{name}\n".encode()


def tensor(
    offset: int = 0,
    shape: tuple[int, ...] = (4,),
    strides: tuple[int, ...] = (1,),
    count: int = 4,
    key: str = "0",
    dtype: str = "FloatStorage",
) -> bytes:
    """The pickle of {"w": a tensor}, without its STOP."""
    storage = sequence(text("storage"), reference("torch", dtype), text(key), text("cpu"), number(count)) + b"Q"
    numbers = number(offset), sequence(*map(number, shape)), sequence(*map(number, strides))
    rebuilt = reference("torch._utils", "_rebuild_tensor_v2") + sequence(storage, *numbers, b"\x89", b"}") + b"R"
    return b"}" + text("w") + rebuilt + b"s"


def zip_file(path: Path, content: bytes, storages: dict[str, bytes] | None = None, **options: Any) -> Path:
    """A torch archive around a pickle."""
    with zipfile.ZipFile(path / "weights.pth", "w", **options) as file:
        file.writestr("archive/data.pkl", content)
        for key, storage in (storages if storages is not None else {"0": FOUR_FLOATS}).items():
            file.writestr(f"archive/data/{key}", storage)
    return path / "weights.pth"


def legacy_file(path: Path, content: bytes, rest: bytes = b"", magic: int = LEGACY_MAGIC, little: bool = True) -> Path:
    """A legacy torch file around a pickle; `rest` are the keys and the storages."""
    header = [magic, 1001, {"protocol_version": 1001, "little_endian": little, "type_sizes": {}}]
    pickles = b"".join(pickle.dumps(value, protocol=2) for value in header)
    (path / "weights.pth").write_bytes(pickles + content + rest)
    return path / "weights.pth"


def refusal(reader: Reader, path: Path) -> str:
    with pytest.raises(WeightsError) as refused:
        reader(path)
    message = str(refused.value)
    assert "\n" not in message
    assert str(path) in message
    return message


@pytest.mark.parametrize(("file", "reader"), RECORDED)
def test_files_that_torch_wrote_hold_what_torch_had(file: str, reader: Reader) -> None:
    expected = np.load(GOLDEN / "tensors.npz")
    tensors = reader(GOLDEN / file)
    assert tensors.keys() == set(expected)
    for name, values in tensors.items():
        assert values.dtype == expected[name].dtype, name
        np.testing.assert_array_equal(values, expected[name], err_msg=name)


@pytest.mark.parametrize(("file", "reader"), RECORDED)
def test_views_share_their_storage(file: str, reader: Reader) -> None:
    tensors = reader(GOLDEN / file)
    assert np.shares_memory(tensors["transposed"], tensors["float"])


def test_a_training_checkpoint_has_its_dicts_in_the_names() -> None:
    """The optimizer's tensors have numbers instead of names."""
    tensors = read_zip(GOLDEN / "training.pth")
    names = ["0.weight", "0.bias", "1.weight", "1.bias", "1.running_mean", "1.running_var", "1.num_batches_tracked"]
    assert list(tensors) == [f"{where}/{name}" for where in ("state_dict", "state_dict_ema") for name in names]
    assert [int(values.flat[0]) for values in tensors.values()] == [*range(7), *range(10, 17)]


def test_a_module_that_was_saved_whole_has_the_names_of_its_state_dict() -> None:
    tensors = read_zip(GOLDEN / "module.pth")
    assert {name: int(values.flat[0]) for name, values in tensors.items()} == {
        "0.weight": 0,
        "0.bias": 1,
        "1.weight": 2,
        "1.bias": 3,
        "1.running_mean": 4,
        "1.running_var": 5,
        "1.num_batches_tracked": 6,
    }


@pytest.mark.parametrize(
    ("before", "after", "name"),
    [
        (b"}" + text("epoch") + number(3) + b"s" + text("my net"), b"s", "my net/w"),
        (b"}" + text("state") + b"}" + text("model"), b"ss", "state/model/w"),
        (b"(" + number(3), b"t", "1/w"),
        (b"](", b"e", "0/w"),
        (reference("types", "SimpleNamespace") + b")R}" + text("net"), b"sb", "net.w"),
        (reference("easydict", "EasyDict") + b")R" + text("net"), b"s", "net.w"),
        (reference("__torch__", "Conv2d") + b")\x81", b"b", "w"),
        (b"(" + text("module") + reference("torch.nn", "Conv2d") + b"NNtQ)\x81}" + text("_parameters"), b"sb", "w"),
    ],
)
def test_a_tensor_is_named_by_where_it_is(tmp_path: Path, before: bytes, after: bytes, name: str) -> None:
    """In dicts, lists and objects. TorchScript has attributes only; legacy files keep a class with its source."""
    content = before + tensor() + after + b"."
    for tensors in (
        read_zip(zip_file(tmp_path, content)),
        read_legacy(legacy_file(tmp_path, content, LEGACY_STORAGE)),
    ):
        assert list(tensors) == [name]
        np.testing.assert_array_equal(tensors[name], [0, 1, 2, 3])


def test_what_torch_saves_beside_weights_is_left_alone() -> None:
    tensors = read_zip(GOLDEN / "extras.pth")
    np.testing.assert_array_equal(tensors["state_dict/weight"], np.arange(6).reshape(2, 3, 1, 1))
    np.testing.assert_array_equal(tensors["state_dict/bias"], np.arange(2))
    assert all(name.startswith(("state_dict/", "states/", "loss/", "scheduler/")) for name in tensors)


@pytest.mark.parametrize("protocol", range(2, 6))
@pytest.mark.parametrize("kind", EXTRAS)
def test_other_things_beside_weights_are_left_alone(tmp_path: Path, kind: str, protocol: int) -> None:
    extra = pickle.dumps(EXTRAS[kind], protocol).removeprefix(b"\x80" + bytes([protocol])).removesuffix(b".")
    for content in (
        tensor() + text("extra") + extra + b"s.",
        tensor().replace(b"}", b"}" + text("extra") + extra + b"s", 1) + b".",
    ):
        assert list(read_zip(zip_file(tmp_path, content))) == ["w"]
        assert list(read_legacy(legacy_file(tmp_path, content, LEGACY_STORAGE))) == ["w"]


EVIL = "__import__('os').mkdir('owned')"
NESTED = pickle.dumps(Call(os.mkdir, "owned"))
GADGETS: dict[str, tuple[Any, ...]] = {
    **{f"{module}.system": ("mkdir owned",) for module in ("os", "posix", "nt", "os.path.os")},
    **{
        f"{module}.{name}": (EVIL,) for module in ("builtins", "__builtin__") for name in ("eval", "exec", "__import__")
    },
    "builtins.compile": (EVIL, "x", "exec"),
    "builtins.getattr": ("os", "system"),
    "builtins.open": ("owned", "w"),
    "builtins.map": (EVIL, [EVIL]),
    "_io.FileIO": ("owned", "w"),
    "os.mkdir": ("owned",),
    "os.popen": ("mkdir owned",),
    "os.execv": ("/bin/mkdir", ["mkdir", "owned"]),
    "os.posix_spawn": ("/bin/mkdir", ["mkdir", "owned"], {}),
    "shutil.rmtree": (".",),
    "pathlib.Path.touch": ("owned",),
    "subprocess.Popen": (["mkdir", "owned"],),
    "subprocess.check_output": (["mkdir", "owned"],),
    "pty.spawn": (["mkdir", "owned"],),
    "commands.getoutput": ("mkdir owned",),
    "runpy._run_code": (EVIL, {}),
    "code.InteractiveInterpreter": (),
    "timeit.timeit": (EVIL,),
    "cProfile.run": (EVIL,),
    "bdb.Bdb": (),
    "doctest.debug_script": (EVIL,),
    "importlib.import_module": ("antigravity",),
    "types.FunctionType": (b"code", {}),
    "functools.partial": (EVIL,),
    "functools.reduce": (EVIL, [EVIL]),
    "operator.methodcaller": ("system", "mkdir owned"),
    "operator.attrgetter": ("__subclasses__",),
    "copyreg._reconstructor": (Settings, object, None),
    "copyreg.__newobj__": (Settings,),
    "pickle.loads": (NESTED,),
    "_pickle.loads": (NESTED,),
    "marshal.loads": (NESTED,),
    "dill._dill._create_function": (NESTED,),
    "joblib.load": ("weights.pth",),
    "numpy.load": ("weights.pth",),
    "numpy.testing._private.utils.runstring": (EVIL, {}),
    "torch.load": ("weights.pth",),
    "torch.hub.load": ("owner/repository", "model"),
    "torch.jit.load": ("weights.pth",),
    "torch.storage._load_from_bytes": (NESTED,),
    "torch.serialization.load": ("weights.pth",),
    "torch._dynamo.guards.GuardBuilder.get": (EVIL,),
    "torch._utils._rebuild_wrapper_subclass": (EVIL, {}),
    "ctypes.CDLL": ("libc.so.6",),
    "socket.create_connection": (("127.0.0.1", 9),),
    "urllib.request.urlopen": ("http://127.0.0.1:9",),
    "webbrowser.open": ("http://127.0.0.1:9",),
    "logging.config.listen": (9,),
    "sqlite3.connect": ("owned",),
    "atexit.register": (EVIL,),
    "threading.Timer": (0, EVIL),
    "sys.modules.clear": (),
}


def plain(value: Any) -> bytes:
    """The pickle of a value as a part of another."""
    return pickle.dumps(value, 2).removeprefix(b"\x80\x02").removesuffix(b".")


def by_reduce(path: str, arguments: tuple[Any, ...]) -> bytes:
    return reference(*path.rsplit(".", 1)) + plain(arguments) + b"R"


def by_stack_global(path: str, arguments: tuple[Any, ...]) -> bytes:
    module, name = path.rsplit(".", 1)
    return text(module) + text(name) + b"\x93" + plain(arguments) + b"R"


def by_new(path: str, arguments: tuple[Any, ...]) -> bytes:
    return reference(*path.rsplit(".", 1)) + plain(arguments) + b"\x81"


def by_new_with_keywords(path: str, arguments: tuple[Any, ...]) -> bytes:
    return reference(*path.rsplit(".", 1)) + plain(arguments) + plain({"shell": True}) + b"\x92"


def by_state(path: str, arguments: tuple[Any, ...]) -> bytes:
    """An object whose class has a __setstate__, and that gets attributes which are called later."""
    state = b"}" + text("__setstate__") + reference(*path.rsplit(".", 1)) + b"s"
    return reference("some", "Class") + b")\x81" + state + b"b" + plain(arguments) + b"b"


def by_items(path: str, arguments: tuple[Any, ...]) -> bytes:
    """An object that is appended to, extended, and given items, each of which calls its methods."""
    gadget = by_reduce(path, arguments)
    return gadget + gadget + b"a" + b"(" + gadget + b"e" + text("k") + gadget + b"s" + b"(" + gadget + b"\x90"


def by_rebuilding(path: str, arguments: tuple[Any, ...]) -> bytes:
    """As the function with which torch rebuilds tensors of a subclass."""
    function = reference(*path.rsplit(".", 1))
    return reference("torch._tensor", "_rebuild_from_type_v2") + b"(" + function + function + plain(arguments) + b"}tR"


def by_persistent_class(path: str, arguments: tuple[Any, ...]) -> bytes:
    """As a class that a legacy file keeps with its source."""
    return (
        sequence(text("module"), reference(*path.rsplit(".", 1)), text("x.py"), text(EVIL))
        + b"Q"
        + plain(arguments)
        + b"R"
    )


def by_persistent_storage(path: str, arguments: tuple[Any, ...]) -> bytes:
    """As the type of a storage."""
    return sequence(text("storage"), by_reduce(path, arguments), text("0"), text("cpu"), number(4)) + b"Q"


FORMS = [
    *(by_reduce, by_stack_global, by_new, by_new_with_keywords, by_state, by_items),
    *(by_rebuilding, by_persistent_class, by_persistent_storage),
]
LISTENERS: list[list[tuple[str, Any]]] = []


@pytest.fixture(scope="module")
def audited() -> Callable[[Callable[[], object]], list[tuple[str, Any]]]:
    """What Python tells of a call that reaches outside: imports, files, processes, sockets, code that is compiled."""
    sys.addaudithook(lambda event, arguments: [heard.append((event, arguments)) for heard in LISTENERS] and None)

    def listen(call: Callable[[], object]) -> list[tuple[str, Any]]:
        LISTENERS.append([])
        with contextlib.suppress(WeightsError):
            call()
        return LISTENERS.pop()

    return listen


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("gadget", GADGETS)
def test_nothing_is_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, audited: Any, gadget: str, form: Callable[..., bytes]
) -> None:
    """A gadget beside the weights, in their place, and as their key: none does more than to open the file."""
    monkeypatch.chdir(tmp_path)
    evil = form(gadget, GADGETS[gadget])
    beside = tensor() + text("evil") + evil + b"s."
    for content in (beside, b"}" + text("w") + evil + b"s.", tensor().replace(text("w"), evil) + b".", evil + b"."):
        for reader, path in ((read_zip, zip_file(tmp_path, content)), (read_legacy, legacy_file(tmp_path, content))):
            heard = audited(functools.partial(reader, path))
            assert [(event, str(arguments[0])) for event, arguments in heard if event != "builtins.id"] == [
                ("open", str(path))
            ]
    assert [path.name for path in tmp_path.iterdir()] == ["weights.pth"]
    assert list(read_zip(zip_file(tmp_path, beside))) == ["w"]


@pytest.mark.parametrize("gadget", GADGETS)
def test_a_gadget_in_place_of_weights_is_named(tmp_path: Path, gadget: str) -> None:
    content = b"}" + text("w") + by_reduce(gadget, GADGETS[gadget]) + b"s."
    assert f"no tensors by name, but asks for '{gadget}'" in refusal(read_zip, zip_file(tmp_path, content))


@pytest.mark.parametrize(
    "entry", ["archive/constants.pkl", "archive/code/__torch__.py", "archive/data/evil.pkl", "data.pkl", "weights.pth"]
)
def test_other_entries_of_an_archive_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, entry: str) -> None:
    monkeypatch.chdir(tmp_path)
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as file:
        file.writestr("archive/data.pkl", NESTED)
    for nested in (NESTED, inner.getvalue()):
        path = zip_file(tmp_path, tensor() + b".", {"0": FOUR_FLOATS})
        with zipfile.ZipFile(path, "a") as file:
            file.writestr(entry, nested)
        assert list(read_zip(path)) == ["w"]
    assert [path.name for path in tmp_path.iterdir()] == ["weights.pth"]


def test_what_follows_a_pickle_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert list(read_zip(zip_file(tmp_path, tensor() + b"." + NESTED))) == ["w"]
    refusal(read_legacy, legacy_file(tmp_path, tensor() + b".", NESTED))
    assert list(read_legacy(legacy_file(tmp_path, tensor() + b".", LEGACY_STORAGE + NESTED))) == ["w"]
    assert [path.name for path in tmp_path.iterdir()] == ["weights.pth"]


def test_references_that_multiply_are_followed_once(tmp_path: Path) -> None:
    """Forty lists of twice the list before are a million million lists."""
    doubled = b"".join(b"](h%ch%ceq%c0" % (index, index, index + 1) for index in range(40))
    content = b"}" + text("a") + b"]q\x000" + doubled + b"h(s" + text("b") + tensor() + b"s."
    assert list(read_zip(zip_file(tmp_path, content))) == ["b/w"]


def test_names_are_of_bounded_length(tmp_path: Path) -> None:
    """Else many tensors below one long key would take its length each."""
    deep = b"}" + (text("key") + b"}") * 100_000 + text("w") + tensor() + b"s" * 100_001 + b"."
    long = b"}" + text("x" * MAX_NAME) + tensor() + b"s."
    assert "no tensors by name" in refusal(read_zip, zip_file(tmp_path, deep))
    assert "no tensors by name" in refusal(read_zip, zip_file(tmp_path, long))


def test_too_many_tensors_are_refused(tmp_path: Path) -> None:
    one = tensor().removeprefix(b"}").removeprefix(text("w")).removesuffix(b"s")
    many = b"".join(text(str(index)) + b"h\x01s" for index in range(MAX_TENSORS + 1))
    content = b"}" + text("w") + one + b"q\x01s" + many + b"."
    assert f"more than {MAX_TENSORS} tensors" in refusal(read_zip, zip_file(tmp_path, content))


def test_too_many_steps_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch_pickle, "MAX_STEPS", 100)
    assert "more than 100 steps" in refusal(read_zip, zip_file(tmp_path, b"]" * 200 + b"."))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"cos\nsystem\n.", "no tensors by name, but asks for 'os.system'"),
        (b"cos\nsystem\n)R.", "asks for 'os.system'"),
        (b"]" + b"".join(reference("a", f"b{i}") + b"a" for i in range(5)) + b".", "'a.b0', 'a.b1', 'a.b2', ..."),
        (number(3) + b".", "no tensors by name"),
        (text("w") + b".", "no tensors by name"),
        (b"ctorch\nFloatStorage\n)R.", "calls something else than a function"),
        (b"(I1\nios\nsystem\n.", "uses INT"),
        (b"(ios\nsystem\n.", "uses INST"),
        (b"\x82\x01.", "uses EXT1"),
        (b"Pname\n.", "uses PERSID"),
        (b"]", "pickle exhausted before seeing STOP"),
        (b".", "pop from empty list"),
        (b"h\x07.", "recalls 7"),
        (b"].", "no tensors by name"),
        (b"}.", "no tensors by name"),
        (tensor().replace(text("w"), number(1)) + b".", "no tensors by name"),
        (tensor().replace(text("w"), b")") + b".", "no tensors by name"),
        (b"]" + text("w") + number(1) + b"s.", "something else than a dict"),
        (b"})a.", "appends to something else than a list"),
        (b"}" + text("w") + sequence(text("module")) + b"Qs.", "something else than a whole storage"),
        (tensor(dtype="ComplexFloatStorage") + b".", "asks for 'torch.ComplexFloatStorage'"),
        (tensor(shape=(5,)) + b".", "reaches beyond its storage"),
        (tensor(offset=1) + b".", "reaches beyond its storage"),
        (tensor(strides=(2,)) + b".", "reaches beyond its storage"),
        (tensor(shape=(2**62, 2**62), strides=(2**62, 1)) + b".", "reaches beyond its storage"),
        (tensor(offset=-1) + b".", "impossible shape"),
        (tensor(shape=(-1,)) + b".", "impossible shape"),
        (tensor(strides=(-1,)) + b".", "impossible shape"),
        (tensor(shape=(2, 2)) + b".", "impossible shape"),
        (tensor(count=-1) + b".", "impossible length"),
        (tensor(count=2**60) + b".", "larger than the file"),
        (tensor(count=5) + b".", "has 4 elements instead of 5"),
        (tensor(key="1") + b".", "'archive/data/1'"),
        (tensor(key="../../../etc/passwd") + b".", "'archive/data/../../../etc/passwd'"),
    ],
)
def test_a_pickle_that_is_no_state_dict_is_refused(tmp_path: Path, content: bytes, reason: str) -> None:
    assert reason in refusal(read_zip, zip_file(tmp_path, content))


@pytest.mark.parametrize(
    "content",
    [
        b"}r\xff\xff\xff\x7f.",  # a memo of two thousand million places
        b"}r\xff\xff\xff\xff.",
        b"X\xff\xff\xff\xffa.",  # a string of four thousand million letters
        b"\x8d" + (2**62).to_bytes(8, "little") + b".",  # and of more
        b"\x96" + (2**40).to_bytes(8, "little") + b".",  # a bytearray
        b"\x8b\xff\xff\xff\x7f.",  # an integer of as many bytes
        b"\x95" + (2**62).to_bytes(8, "little") + b".",  # a frame
        tensor(count=2**40) + b".",
        tensor(shape=(2**40,), strides=(0,), count=2**40) + b".",
    ],
)
def test_numbers_in_the_file_allocate_nothing(tmp_path: Path, content: bytes) -> None:
    path = zip_file(tmp_path, content)
    tracemalloc.start()
    refusal(read_zip, path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000


def test_a_repeated_element_takes_no_memory(tmp_path: Path) -> None:
    repeated = read_zip(zip_file(tmp_path, tensor(shape=(2**40,), strides=(0,)) + b"."))["w"]
    assert repeated.shape == (2**40,)
    assert repeated[-1] == 0


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        (b"}", b"Ns.", "no tensors by name"),
        (b"", text("system") + b"\x93.", "names a global by something else than strings"),
        (b"", b"Q.", "something else than a whole storage"),
        (b"", b".", "no tensors by name"),
        (b"(", b"\x91.", "no tensors by name"),
        (reference("os", "system"), b"R.", "asks for 'os.system'"),
        (reference("os", "system") + b")R", b"b.", "asks for 'os.system'"),
    ],
)
def test_deep_nesting_does_not_overflow_the_stack(tmp_path: Path, before: bytes, after: bytes, reason: str) -> None:
    nested = b")" + b"\x85" * 300_000
    assert reason in refusal(read_zip, zip_file(tmp_path, before + nested + after))


def test_a_long_pickle_is_refused(tmp_path: Path) -> None:
    message = refusal(read_zip, zip_file(tmp_path, text("x" * MAX_PICKLE_BYTES) + b"."))
    assert "longer than" in message


def test_a_message_is_no_longer_than_a_few_lines(tmp_path: Path) -> None:
    content = reference("os", "system" * 100_000) + b"."
    assert len(refusal(read_zip, zip_file(tmp_path, content))) < 1000


def test_a_storage_described_twice_must_be_described_alike(tmp_path: Path) -> None:
    second = tensor(count=2, shape=(2,)).removeprefix(b"}").replace(text("w"), text("v"))
    assert "described twice" in refusal(read_zip, zip_file(tmp_path, tensor() + second + b"."))


def test_compressed_entries_are_refused(tmp_path: Path) -> None:
    path = zip_file(tmp_path, tensor() + b".", compression=zipfile.ZIP_DEFLATED)
    assert "its entry 'archive/data.pkl' is compressed" in refusal(read_zip, path)


def test_overlapping_entries_do_not_multiply(tmp_path: Path) -> None:
    """Many storages that all claim the same bytes of the archive."""
    contents = [tensor(count=1000, shape=(1000,), key=str(key)).removeprefix(b"}") for key in range(50)]
    items = b"".join(item.replace(text("w"), text(f"w{index:02}")) for index, item in enumerate(contents))
    path = zip_file(tmp_path, b"}" + items + b".", {"0": bytes(4000)})
    assert "its tensors are larger than the file" in refusal(read_zip, path)


def test_big_endian_files_are_refused(tmp_path: Path) -> None:
    path = zip_file(tmp_path, tensor() + b".")
    with zipfile.ZipFile(path, "a") as file:
        file.writestr("archive/byteorder", "big")
    assert "big-endian" in refusal(read_zip, path)
    assert "big-endian" in refusal(read_legacy, legacy_file(tmp_path, tensor() + b".", little=False))


def test_an_archive_has_one_pickle(tmp_path: Path) -> None:
    path = zip_file(tmp_path, tensor() + b".")
    with zipfile.ZipFile(path, "a") as file:
        file.writestr("other/data.pkl", tensor() + b".")
    assert "2 data.pkl" in refusal(read_zip, path)


@pytest.mark.parametrize(
    ("rest", "reason"),
    [
        (b"", "pickle exhausted"),
        (b"]" + text("0") + b"a." + (4).to_bytes(8, "little") + FOUR_FLOATS[:-1], "buffer"),
        (b"]" + text("0") + b"a." + (5).to_bytes(8, "little") + FOUR_FLOATS, "5 elements instead of 4"),
        (b"]" + text("0") + b"a." + b"\xff" * 8, "elements instead of 4"),
        (b"]" + text("1") + b"a.", "not those"),
        (b"].", "not those"),
        (b"N.", "not those"),
        (b"])" + b"\x85" * 300_000 + b"a.", "not those"),
    ],
)
def test_legacy_storages_must_be_as_described(tmp_path: Path, rest: bytes, reason: str) -> None:
    assert reason in refusal(read_legacy, legacy_file(tmp_path, tensor() + b".", rest))


def test_legacy_files_begin_with_their_magic_number(tmp_path: Path) -> None:
    assert "magic number" in refusal(read_legacy, legacy_file(tmp_path, tensor() + b".", magic=7))


@pytest.mark.parametrize("eighths", range(8))
@pytest.mark.parametrize(("file", "reader"), DAMAGEABLE)
def test_truncated_files_are_refused(tmp_path: Path, file: str, reader: Reader, eighths: int) -> None:
    content = (GOLDEN / file).read_bytes()
    (tmp_path / file).write_bytes(content[: len(content) * eighths // 8])
    refusal(reader, tmp_path / file)


@pytest.mark.parametrize(("file", "reader"), DAMAGEABLE)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damage_is_refused_or_harmless(tmp_path: Path, file: str, reader: Reader, data: st.DataObject) -> None:
    content = bytearray((GOLDEN / file).read_bytes())
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=4)):
        content[place] = data.draw(st.integers(0, 255))
    (tmp_path / file).write_bytes(content)
    try:
        tensors = reader(tmp_path / file)
    except WeightsError as error:
        assert "\n" not in str(error)  # noqa: PT017  # most damage is refused, but a changed weight cannot be seen
    else:
        assert all(isinstance(values, np.ndarray) for values in tensors.values())
