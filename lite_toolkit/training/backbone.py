"""The network that features come from: EfficientNet-Lite0 with ImageNet weights, float32, without its classifier."""

from dataclasses import dataclass
from pathlib import Path

from lite_toolkit import outputs
from lite_toolkit.documents import sha256
from lite_toolkit.images.preprocessing import PreprocessingSpec
from lite_toolkit.networks import names
from lite_toolkit.version import __version__

VARIANT = "lite0"


@dataclass(frozen=True)
class Backbone:
    """A `.tflite` file whose output, (1, features), is the average of its last feature map.

    Attributes:
        path, sha256: of the file.
        preprocessing: of its input.
    """

    path: Path
    sha256: str
    preprocessing: PreprocessingSpec


def backbone(folder: Path) -> Backbone:
    """The network, converted into `folder`, unless it is there already.

    Raises:
        WeightsError: the weights cannot be had.
        MissingExtraError: what reads or converts them is not installed.
    """
    from lite_toolkit.weights.loading import load_model, read_weights

    spec = names.variant(VARIANT)
    weights = read_weights(spec)
    path = folder / f"{VARIANT}-features-{(weights.sha256 or '')[:16]}-{__version__}.tflite"
    if not path.is_file():
        from lite_toolkit.conversion import float_model
        from lite_toolkit.networks.builder import features

        model = load_model(weights, activation="none").model
        pooled = float_model.from_keras(features(model, spec, ["pooled"]))
        outputs.write_bytes(path, float_model.to_tflite(pooled, "features"), force=True)
    return Backbone(path, sha256(path), weights.preprocessing)
