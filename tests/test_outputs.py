"""Files that appear whole or not at all, and replace nothing that nobody allowed them to."""

import json
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from lite_toolkit import outputs
from lite_toolkit.errors import OutputError

MARK = "bundle.json"
EXISTS = "exists: pass --force to replace it, or choose another output"


def fill(path: Path, content: str, force: bool, meanwhile: Callable[[], object] = bool) -> None:
    with outputs.replacing_folder(path, force, MARK) as folder:
        (folder / MARK).write_text(content)
        meanwhile()


def refusals(write: Callable[[bytes], None]) -> list[str]:
    """What eight writers of other contents are told that write at once."""
    start, told = threading.Barrier(8), []

    def run(content: bytes) -> None:
        start.wait()
        try:
            write(content)
        except OutputError as error:
            told.append(str(error))

    threads = [threading.Thread(target=run, args=(bytes([number]) * 100_000,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return told


class TestFile:
    def test_what_appears_meanwhile_is_kept(self, tmp_path: Path) -> None:
        path = tmp_path / "model.tflite"

        def work() -> None:
            with outputs.replacing(path, force=False) as temporary:
                temporary.write_text("ours")
                path.write_text("somebody else's")

        with pytest.raises(OutputError, match=EXISTS):
            work()
        assert path.read_text() == "somebody else's"
        assert list(tmp_path.iterdir()) == [path]

    def test_force_replaces_what_appears_meanwhile(self, tmp_path: Path) -> None:
        path = tmp_path / "model.tflite"
        with outputs.replacing(path, force=True) as temporary:
            temporary.write_text("ours")
            path.write_text("somebody else's")
        assert path.read_text() == "ours"

    def test_a_link_to_nowhere_is_somebody_elses_too(self, tmp_path: Path) -> None:
        path = tmp_path / "model.tflite"
        path.symlink_to(tmp_path / "nowhere")
        with pytest.raises(OutputError, match=EXISTS):
            outputs.write_bytes(path, b"ours", force=False)
        assert path.is_symlink()

    def test_of_writers_at_once_one_wins(self, tmp_path: Path) -> None:
        path = tmp_path / "model.tflite"
        told = refusals(lambda content: outputs.write_bytes(path, content, force=False))
        assert told == [f"{path} {EXISTS}"] * 7
        assert list(tmp_path.iterdir()) == [path]
        assert len(path.read_bytes()) == 100_000

    def test_a_file_system_without_links_is_good_enough(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*_: object) -> None:
            raise PermissionError

        monkeypatch.setattr(Path, "hardlink_to", refuse)  # what FAT does
        path = tmp_path / "model.tflite"
        outputs.write_bytes(path, b"ours", force=False)
        with pytest.raises(OutputError, match=EXISTS):
            outputs.write_bytes(path, b"later", force=False)
        assert {file: file.read_bytes() for file in tmp_path.iterdir()} == {path: b"ours"}


class TestSeveralFiles:
    def test_all_or_none_where_one_name_is_taken_meanwhile(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        files: dict[Path, bytes | None] = {tmp_path / name: b"ours" for name in ("a", "b", "c")}
        place = Path.hardlink_to

        def meanwhile(path: Path, finished: Path) -> None:
            if path.name == "c":
                path.write_text("somebody else's")
            place(path, finished)

        monkeypatch.setattr(Path, "hardlink_to", meanwhile)
        with pytest.raises(OutputError, match=EXISTS):
            outputs.write_all(files, force=False)
        assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"c": "somebody else's"}

    def test_an_interrupt_between_two_leaves_none(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        place = Path.hardlink_to

        def interrupt(path: Path, finished: Path) -> None:
            if path.name == "b":
                raise KeyboardInterrupt
            place(path, finished)

        monkeypatch.setattr(Path, "hardlink_to", interrupt)
        with pytest.raises(KeyboardInterrupt):
            outputs.write_all({tmp_path / "a": b"ours", tmp_path / "b": b"ours"}, force=False)
        assert list(tmp_path.iterdir()) == []

    def test_of_writers_at_once_one_wins(self, tmp_path: Path) -> None:
        first, second = tmp_path / "model.json", tmp_path / "model.tflite"
        told = refusals(lambda content: outputs.write_all({first: content, second: content}, force=False))
        assert len(told) == 7
        assert all(message.endswith(EXISTS) for message in told)
        assert sorted(tmp_path.iterdir()) == [first, second]
        assert first.read_bytes() == second.read_bytes()

    def test_what_has_no_content_goes_by_force_alone(self, tmp_path: Path) -> None:
        old, new = tmp_path / "model.json", tmp_path / "model.tflite"
        old.write_text("the manifest of an older model")
        with pytest.raises(OutputError, match=f"model.json {EXISTS}"):
            outputs.write_all({new: b"ours", old: None}, force=False)
        assert list(tmp_path.iterdir()) == [old]
        outputs.write_all({new: b"ours", old: None}, force=True)
        assert list(tmp_path.iterdir()) == [new]


class TestFolder:
    def test_what_appears_meanwhile_is_kept(self, tmp_path: Path) -> None:
        path = tmp_path / "bundle"
        with pytest.raises(OutputError, match=EXISTS):
            fill(path, "ours", force=False, meanwhile=lambda: fill(path, "somebody else's", force=False))
        assert (path / MARK).read_text() == "somebody else's"
        assert list(tmp_path.iterdir()) == [path]

    def test_force_replaces_bundles_alone(self, tmp_path: Path) -> None:
        path = tmp_path / "bundle"
        fill(path, "ours", force=True, meanwhile=lambda: fill(path, "somebody else's", force=False))
        assert (path / MARK).read_text() == "ours"
        with pytest.raises(OutputError, match=f"no folder with {MARK}"):
            fill(path, "ours", force=True, meanwhile=lambda: (path / MARK).rename(path / "photographs"))
        assert [file.name for file in path.iterdir()] == ["photographs"]

    def test_of_writers_at_once_one_wins(self, tmp_path: Path) -> None:
        path = tmp_path / "bundle"
        told = refusals(lambda content: fill(path, content.hex(), force=False))
        assert told == [f"{path} {EXISTS}"] * 7
        assert list(tmp_path.rglob("*")) == [path, path / MARK]


def test_names_that_are_no_utf8_are_written_with_replacement_characters(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.jpg")
    outputs.write_json(tmp_path / "a.json", {"sha256": {name: "0"}, "skipped": [name]}, force=False)
    found = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))
    assert found == {"sha256": {"caf\ufffd.jpg": "0"}, "skipped": ["caf\ufffd.jpg"]}
