"""torch's files are read without torch, and nothing in a hostile one is run, allocated or believed."""

import os
import pickle
import re
import shutil
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lite_toolkit.errors import WeightsError
from lite_toolkit.weights.torch_pickle import LEGACY_MAGIC, MAX_PICKLE_BYTES, read_legacy, read_zip

GOLDEN = Path(__file__).parent / "golden"
Reader = Callable[[Path], dict[str, Any]]
RECORDED: list[tuple[str, Reader]] = [
    ("tensors_zip.pth", read_zip),
    ("tensors_protocol4.pth", read_zip),
    ("tensors_legacy.pth", read_legacy),
]
FOUR_FLOATS = np.arange(4, dtype="<f4").tobytes()


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


def test_averaged_weights_of_a_training_checkpoint_are_preferred() -> None:
    tensors = read_zip(GOLDEN / "training.pth")
    assert list(tensors) == [
        *("0.weight", "0.bias", "1.weight", "1.bias", "1.running_mean", "1.running_var", "1.num_batches_tracked")
    ]
    assert [int(values.flat[0]) for values in tensors.values()] == [10, 11, 12, 13, 14, 15, 16]  # raw ones: 0 to 6


@pytest.mark.parametrize("wrapper", ["state_dict", "model", "state_dict_ema"])
def test_a_wrapped_state_dict_is_found(tmp_path: Path, wrapper: str) -> None:
    content = b"}" + text("epoch") + number(3) + b"s" + text(wrapper) + tensor() + b"s."
    np.testing.assert_array_equal(read_zip(zip_file(tmp_path, content))["w"], [0, 1, 2, 3])


def test_the_prefix_of_data_parallel_is_dropped(tmp_path: Path) -> None:
    content = tensor().replace(text("w"), text("module.w")) + b"."
    assert list(read_zip(zip_file(tmp_path, content))) == ["w"]


@pytest.mark.parametrize("protocol", [2, 4])  # GLOBAL and STACK_GLOBAL
@pytest.mark.parametrize("function", [os.system, eval, pickle.loads, shutil.rmtree])
def test_an_unknown_global_is_named_and_not_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: Callable[..., Any], protocol: int
) -> None:
    monkeypatch.chdir(tmp_path)
    argument = b"cos\nmkdir\n(X\x05\0\0\0ownedtR." if function is pickle.loads else "__import__('os').mkdir('owned')"
    content = pickle.dumps({"w": Call(function, argument)}, protocol)
    for message in (
        refusal(read_zip, zip_file(tmp_path, content)),
        refusal(read_legacy, legacy_file(tmp_path, content)),
    ):
        assert re.search(rf"it asks for '\w+\.{function.__name__}', which no state dict needs", message)
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"cos\nsystem\n.", "asks for 'os.system'"),
        (b"ctorch\nFloatStorage\n)R.", "calls something else than a function"),
        (b"(I1\nios\nsystem\n.", "uses INT"),
        (b"(ios\nsystem\n.", "uses INST"),
        (b"\x82\x01.", "uses EXT1"),
        (b"Pname\n.", "uses PERSID"),
        (b"]", "pickle exhausted before seeing STOP"),
        (b".", "pop from empty list"),
        (b"h\x07.", "recalls 7"),
        (b"].", "holds no state dict"),
        (b"}.", "no tensors by name, neither directly nor under state_dict_ema, state_dict, model"),
        (b"})" + number(1) + b"s.", "something else than a dict of names"),
        (b"})a.", "appends to something else than a list"),
        (b"}" + text("w") + sequence(text("module")) + b"Qs.", "not enough values"),
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
        (b"}", b"Ns.", "something else than a dict of names"),
        (b"", text("system") + b"\x93.", "names a global by something else than strings"),
        (b"", b"Q.", "not enough values"),
        (b"", b".", "holds no state dict"),
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
@pytest.mark.parametrize(("file", "reader"), RECORDED)
def test_truncated_files_are_refused(tmp_path: Path, file: str, reader: Reader, eighths: int) -> None:
    content = (GOLDEN / file).read_bytes()
    (tmp_path / file).write_bytes(content[: len(content) * eighths // 8])
    refusal(reader, tmp_path / file)


@pytest.mark.parametrize(("file", "reader"), RECORDED)
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
