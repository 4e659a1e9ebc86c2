"""Jobs on a board: a stand-in for OpenSSH plays the connection, and this machine the board."""

import hashlib
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lite_toolkit.board.job import Job
from lite_toolkit.devices import jobs, shipment, ssh
from lite_toolkit.errors import DeviceError, JobError

BOARD = ssh.Target("board", python=sys.executable)


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Send another program than the runner: `program("print(1)")`; it has `job`, `files` and `say(event=...)`."""

    def send(text: str) -> None:
        opening = (
            "import json, os, sys, time\njob = json.loads(sys.stdin.readline())\nfiles = job['files']\n"
            "def say(**event):\n    print(json.dumps(event), flush=True)\n"
        )
        monkeypatch.setattr(shipment, "archive", lambda: (opening + text).encode())

    return send


class Anything(Job):
    NAME = "anything"


def run(files: Mapping[str, Path] | None = None, target: ssh.Target = BOARD) -> list[jobs.Event]:
    with ssh.start(target) as session:
        return list(session.events(Anything(), files or {}))


def wait_for(condition: Any) -> None:
    for _ in range(100):
        if condition():
            return
        time.sleep(0.1)
    raise AssertionError("it did not come true within 10 seconds")


def test_a_job_runs_there_and_leaves_nothing_behind(board: Path, program: Any, tmp_path: Path) -> None:
    program("say(event='progress', done=1, total=2); say(event='result', text=open(files['model']).read(), job=job)")
    model = tmp_path / "some model.tflite"
    model.write_text("weights")
    progress, result = run({"model": model})
    assert progress == {"event": "progress", "done": 1, "total": 2}
    assert result["text"] == "weights"
    assert result["job"]["job"] == "anything"
    assert result["job"]["files"]["model"].startswith(str(board / "tmp"))
    assert list((board / "tmp").iterdir()) == list((board / "home").iterdir()) == []


def pictures(folder: Path) -> dict[str, Path]:
    for name in ("a.png", "deeper/b.png"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (len(name), 0, 0)).save(path)
    (folder / "notes.txt").write_text("not sent")
    return {"images": folder}


NAMES = """
root = files['images']
found = [os.path.join(parent, name) for parent, _, names in os.walk(root) for name in names]
say(event='result', names=sorted(os.path.relpath(path, root) for path in found))
"""


def test_folders_of_images_are_sent_once_and_cached_by_their_bytes(board: Path, program: Any, tmp_path: Path) -> None:
    program(NAMES)
    files = pictures(tmp_path / "pictures")
    for _ in range(2):
        assert run(files) == [{"event": "result", "names": ["a.png", "deeper/b.png"]}]
    cached = sorted((board / "home/.cache/lite-toolkit").iterdir())
    digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in (tmp_path / "pictures").rglob("*.png")]
    assert [path.name for path in cached] == sorted(digests)


def test_names_that_are_no_utf8_are_sent_as_they_are(board: Path, program: Any, tmp_path: Path) -> None:
    program("say(event='result', names=[os.fsencode(name).hex() for name in os.listdir(files['images'])])")
    name = b"caf\xe9.png"
    (tmp_path / "pictures").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "pictures" / os.fsdecode(name))
    assert run({"images": tmp_path / "pictures"}) == [{"event": "result", "names": [name.hex()]}]


def test_what_is_damaged_in_the_cache_is_sent_again(board: Path, program: Any, tmp_path: Path) -> None:
    program("say(event='result', size=os.path.getsize(files['images'] + '/a.png'))")
    files = pictures(tmp_path / "pictures")
    run(files)
    for path in (board / "home/.cache/lite-toolkit").iterdir():
        path.write_bytes(bytes(path.stat().st_size))
    run(files)
    for path in (board / "home/.cache/lite-toolkit").iterdir():
        assert hashlib.sha256(path.read_bytes()).hexdigest() == path.name


def fill(cache: Path, *ages: int) -> list[Path]:
    """Files of 100 bytes that were used so many seconds ago."""
    cache.mkdir(parents=True, exist_ok=True)
    files = [cache / hashlib.sha256(str(age).encode()).hexdigest() for age in ages]
    for path, age in zip(files, ages, strict=True):
        path.write_bytes(bytes(100))
        os.utime(path, (time.time() - age,) * 2)
    return files


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache of 400 bytes and what a picture needs."""
    text = shipment.landing()
    assert b"CACHE_BYTES = 10**9" in text
    monkeypatch.setattr(shipment, "landing", lambda: text.replace(b"CACHE_BYTES = 10**9", b"CACHE_BYTES = 400"))


def picture(folder: Path, shade: int) -> dict[str, Path]:
    """A folder with one picture; all are of one size, below 100 bytes."""
    folder.mkdir(exist_ok=True)
    Image.new("L", (8, 8), shade).save(folder / "a.png")
    assert (folder / "a.png").stat().st_size < 100
    return {"images": folder}


@pytest.mark.usefixtures("small")
def test_the_cache_is_bounded_and_loses_what_was_not_used_for_longest(
    board: Path, program: Any, tmp_path: Path
) -> None:
    program("say(event='result')")
    cache = board / "home/.cache/lite-toolkit"
    older, oldest, newest, middle = fill(cache, 300, 400, 100, 200)
    cut_off, foreign = cache / "incoming-x", cache / "notes.txt"
    cut_off.write_bytes(bytes(100))
    os.utime(cut_off, (0, 0))
    foreign.write_bytes(bytes(1000))
    run(picture(tmp_path / "p", 1))
    assert {path for path in cache.iterdir() if path.stat().st_size == 100} == {older, middle, newest}
    assert [path.exists() for path in (oldest, cut_off, foreign)] == [False, False, True]


@pytest.mark.usefixtures("small")
def test_what_is_used_again_counts_as_new(board: Path, program: Any, tmp_path: Path) -> None:
    program("say(event='result')")
    cache = board / "home/.cache/lite-toolkit"
    run(picture(tmp_path / "p", 1))
    (used,) = cache.iterdir()
    os.utime(used, (0, 0))
    run(picture(tmp_path / "p", 1))
    fill(cache, 100, 200, 300, 400)
    run(picture(tmp_path / "p", 2))
    assert used.exists()


@pytest.mark.usefixtures("small")
def test_a_job_keeps_all_that_it_needs_though_it_is_more_than_the_bound(
    board: Path, program: Any, tmp_path: Path
) -> None:
    program(NAMES)
    cache = board / "home/.cache/lite-toolkit"
    (tmp_path / "p").mkdir()
    for number in range(6):
        noise = np.random.default_rng(number).integers(0, 256, (8, 8), np.uint8)
        Image.fromarray(noise).save(tmp_path / f"p/{number}.png")  # more than 100 bytes
    old = fill(cache, 100)
    for _ in range(2):
        (result,) = run({"images": tmp_path / "p"})
        assert len(result["names"]) == 6
    assert len(list(cache.iterdir())) == 6
    assert not old[0].exists()


@pytest.mark.usefixtures("small")
def test_nothing_is_deleted_while_another_job_runs(board: Path, program: Any, tmp_path: Path) -> None:
    cache = board / "home/.cache/lite-toolkit"
    program("say(event='progress', done=0, total=1); time.sleep(60)")
    with ssh.start(BOARD) as other:
        next(other.events(Anything(), picture(tmp_path / "p", 1)))
        program("say(event='result')")
        kept = fill(cache, *range(100, 600, 100))
        run(picture(tmp_path / "q", 2))
        assert all(path.exists() for path in kept)
    run(picture(tmp_path / "q", 2))
    assert [path.exists() for path in kept] == [True, True, False, False, False]


@pytest.mark.parametrize(
    ("said", "code", "message"),
    [
        ("ssh: connect to host board port 22: Connection refused", 255, "cannot reach board: .*Connection refused"),
        ("ssh: Could not resolve hostname board", 255, "cannot reach board: .*Could not resolve hostname"),
        ("@@@@@\nHost key verification failed.", 255, "cannot reach board: Host key verification failed"),
        ("pi@board: Permission denied (publickey).", 255, "cannot reach board: pi@board: Permission denied"),
        ("Python 3.5: 3.7 is needed", 1, "board ended the job without a result: Python 3.5: 3.7 is needed"),
        ("", 0, "board ended the job without a result: exit code 0"),
    ],
)
def test_a_connection_that_fails_is_one_line(
    board: Path, monkeypatch: pytest.MonkeyPatch, said: str, code: int, message: str
) -> None:
    monkeypatch.setenv("PLAY", f"sys.stderr.write({said!r}); sys.exit({code})")
    with pytest.raises(JobError, match=message) as caught:
        run()
    assert "\n" not in str(caught.value)


def test_a_board_without_python_is_one_line(board: Path) -> None:
    with pytest.raises(JobError, match=r"^board cannot run no-such-python: .*not found$"):
        run(target=ssh.Target("board", python="no-such-python"))


def test_a_shell_that_greets_is_told_of(board: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLAY", "print('Welcome!', flush=True)")
    with pytest.raises(JobError, match=r"^board answered 'Welcome!', which is no event: does its shell print"):
        run()


def test_without_openssh_the_error_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(JobError, match="install OpenSSH"):
        run()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("say(event='error', message='no runtime', exit_code=1)", "^board: no runtime$"),
        ("raise ValueError('what')", "^board ended the job without a result: ValueError: what$"),
        ("os.kill(os.getpid(), 9)", "^board: the job's process was killed by SIGKILL$"),
        ("os.kill(os.getpid(), 40)", "^board: the job's process was killed by signal 40$"),
        ("pass", "^board ended the job without a result: exit code 0$"),
        ("print('[1]')", "which is no event"),
        ("""print('{"event": "result", "x": NaN}')""", "which is no event"),
        ("""print('{"event": "result", "x": 1e999}')""", "which is no event"),
        ("say(event='error', message='fine', exit_code=0)", "which is no event"),
        ("say(event='error', message=['m'], exit_code=1)", "which is no event"),
        ("say(event=['result'])", "which is no event"),
        ("say(event='progress', done='1', total=2)", "which is no event"),
        ("say(event='need', parts=[99])", "asked for parts that there are not"),
        ("say(event='need', parts=['0'])", "asked for parts that there are not"),
        ("print('[' * 100000)", "which is no event"),
        ("print('x' * 5000)", "which is no event"),
        (r"say(event='error', message='\x1b[2J', exit_code=1)", r"^board: \ufffd\[2J$"),
    ],
)
def test_a_job_that_fails_there_is_one_line(
    board: Path, program: Any, monkeypatch: pytest.MonkeyPatch, text: str, message: str
) -> None:
    monkeypatch.setattr(jobs, "LONGEST_LINE", 1000)
    program(text)
    with pytest.raises(JobError, match=message) as caught:
        run()
    assert str(caught.value).isprintable()
    assert list((board / "tmp").iterdir()) == []


def test_a_full_disk_is_one_line(board: Path, program: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program("say(event='result')")
    model = tmp_path / "model.tflite"
    model.write_bytes(bytes(10**6))
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (10**5, 10**5))"
    monkeypatch.setenv("PLAY", limit)
    with pytest.raises(JobError, match=r"^board: cannot store model/model.tflite: File too large$"):
        run({"model": model})
    assert list((board / "tmp").iterdir()) == []


RELAY = """
import pathlib, threading, time
child = subprocess.Popen(["sh", "-c", sys.argv[-1]], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
def relay(source, sink):
    while chunk := os.read(source, 1 << 16):
        os.write(sink, chunk)
for ends in ((0, child.stdin.fileno()), (child.stdout.fileno(), 1)):
    threading.Thread(target=relay, args=ends, daemon=True).start()
while not pathlib.Path(os.environ["STARTED"]).exists():
    time.sleep(0.05)
time.sleep(0.2)
sys.stderr.write("client_loop: send disconnect: Broken pipe")
sys.stderr.flush()
os._exit(255)
"""
SLOW = (
    "open(os.environ['STARTED'], 'w').write(str(os.getpid())); say(event='progress', done=0, total=1); time.sleep(60)"
)


def alive(number: int) -> bool:
    return Path(f"/proc/{number}").exists()


def test_a_connection_that_is_cut_ends_the_job_and_cleans_up(
    board: Path, program: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program(SLOW)
    monkeypatch.setenv("STARTED", str(tmp_path / "started"))
    monkeypatch.setenv("PLAY", RELAY)
    with pytest.raises(JobError, match=r"^lost the connection to board: client_loop: send disconnect: Broken pipe$"):
        run()
    wait_for(lambda: not alive(int((tmp_path / "started").read_text())))
    wait_for(lambda: list((board / "tmp").iterdir()) == [])


def test_a_job_that_is_given_up_ends_there_too(
    board: Path, program: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program(SLOW)
    monkeypatch.setenv("STARTED", str(tmp_path / "started"))
    with ssh.start(BOARD) as session:
        next(session.events(Anything(), {}))
    assert not alive(int((tmp_path / "started").read_text()))
    assert list((board / "tmp").iterdir()) == []


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("board", ssh.Target("board")),
        ("ssh://pi@192.168.1.7:2222", ssh.Target("192.168.1.7", "pi", 2222)),
        ("ssh://pi@board.local/", ssh.Target("board.local", "pi")),
        ("pi@[fe80::1]:22", ssh.Target("[fe80::1]", "pi", 22)),
    ],
)
def test_a_target_is_what_openssh_takes(text: str, target: ssh.Target) -> None:
    assert ssh.target(text) == target


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "ssh://",
            "-oProxyCommand=id",
            "ssh://-oProxyCommand=id",
            "pi@-x",
            "-l@board",
            "a b",
            "board;id",
            "$(id)",
        ),
        *("`id`", "board:port", "board:123456", "ssh://pi:secret@board", "http://board", "board/path", "board\nx"),
    ],
)
def test_what_is_no_target_is_refused(text: str) -> None:
    with pytest.raises(DeviceError, match="is no ssh target: must be"):
        ssh.target(text)


def test_openssh_is_asked_for_no_more_than_it_may(
    board: Path, program: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program("say(event='result')")
    monkeypatch.setenv("ARGUMENTS", str(tmp_path / "arguments"))
    target = ssh.Target("[::1]", "pi", 2222, python="my pythons/python3", config=Path("config"))
    with pytest.raises(JobError, match="cannot run my pythons/python3"):
        run(target=target)
    *arguments, remote = (tmp_path / "arguments").read_text().split("\n")
    assert "BatchMode=yes" in arguments
    assert arguments[-7:] == ["-F", "config", "-p", "2222", "-l", "pi", "::1"]
    assert not any(word in " ".join(arguments) for word in ("StrictHostKeyChecking", "UserKnownHostsFile"))
    assert remote.startswith("exec 'my pythons/python3' -I -c 'import sys; ")
    assert "anything" not in remote
