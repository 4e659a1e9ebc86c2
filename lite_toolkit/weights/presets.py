"""A preset, by everybody's name for it or in a folder of the user's -> its network with its weights."""

import dataclasses
from pathlib import Path
from typing import Any, Literal

from lite_toolkit.errors import UnknownVariantError, WeightsError
from lite_toolkit.networks import configurations, names
from lite_toolkit.networks.architectures import ModelSpec
from lite_toolkit.networks.configurations import Configuration, InputShape
from lite_toolkit.weights import checkpoints, processor, sources
from lite_toolkit.weights.checkpoints import Checkpoint
from lite_toolkit.weights.loading import assign, read_weights
from lite_toolkit.weights.matching import Variables, match

KERAS_CHECKPOINT = "model.weights.h5"  # beside a preset's config.json


def from_preset(
    preset: str | Path,
    load_weights: bool = True,
    *,
    classes: int | None = None,
    activation: Literal["softmax", "none"] = "softmax",
    input_shape: InputShape | None = None,
    include_rescaling: bool | None = None,
    seed: int = 0,
) -> Any:
    """The keras.Model of a preset.

    Args:
        preset: a name that `variant` takes, or one of other weights that timm or KerasHub publish, whose classifier has
            1000 classes; or a folder with a `config.json` of transformers, timm, KerasCV or KerasHub, or such a file,
            with the weights beside it.
        load_weights: give it the preset's weights, which may be downloaded; else seeded random ones.
        classes: outputs of the classifier. By default the preset's own, and a backbone has none; another number than
            the weights have keeps the backbone and starts a fresh, seeded classifier.
        activation, seed: as in `build`.
        input_shape: (height, width, channels), each side in pixels or None; the preset's by default.
        include_rescaling: whether pixels are divided by 255 inside; the preset's by default.

    Raises:
        UnknownVariantError: nobody's name, and no folder or file; says the nearest.
        WeightsError: the configuration or the weights cannot be had or read, or do not fit each other.
        LiteToolkitError: a shape or class count that the network cannot have.
    """
    from lite_toolkit.networks.builder import build

    network, source = find(preset)
    spec, variables, found = _weights(network.spec, source) if load_weights else (network.spec, {}, None)
    if load_weights and classes is None and network.classes not in (None, found):
        held = f"a classifier of {found} classes" if found else "no classifier"
        raise WeightsError(f"{source}: the weights have {held}, not of {network.classes}: pass classes for a fresh one")
    model = build(
        spec,
        classes=classes or network.classes,
        activation=activation,
        pooling=network.pooling,
        input_shape=input_shape or network.input_shape,
        include_rescaling=network.include_rescaling if include_rescaling is None else include_rescaling,
        seed=seed,
    )
    assign(model, variables, fresh_head=(classes or network.classes) != found)
    return model


def find(preset: str | Path) -> tuple[Configuration, str | Path]:
    """The network of a preset, and its weights: as `read_weights` takes them, or where they are on this disk.

    The errors are those of `from_preset`.
    """
    path = Path(preset)
    file = path / "config.json" if path.is_dir() else path
    if not file.is_file():
        try:
            spec, weights = names.preset(str(preset))
        except UnknownVariantError as error:
            if path.is_dir():
                raise WeightsError(f"{path} is the name of no preset, and a folder without a config.json") from error
            raise
        return Configuration(spec, (spec.resolution, spec.resolution, spec.channels), 1000), weights
    config = sources.read_object(file)
    timm = isinstance(config.get("architecture"), str)
    network = sources.parsed(configurations.from_timm if timm else configurations.read, file, config)
    if network is None:
        raise WeightsError(f"{file} describes no network of transformers, timm, KerasCV or KerasHub that is known")
    keras = file.parent / KERAS_CHECKPOINT
    return network, keras if keras.is_file() else file.parent


def _weights(spec: ModelSpec, source: str | Path) -> tuple[ModelSpec, Variables, int | None]:
    """The network as the weights need it, its variables and number of classes.

    Weights on this disk have told the network already, and may lie beside an image processor of any kind.
    """
    if isinstance(source, Path):
        matched = match(_in_our_names(checkpoints.read(source)), spec)
        return spec, matched.variables, matched.classes
    weights = read_weights(spec, source)
    return weights.spec, weights.variables, weights.classes


def _in_our_names(checkpoint: Checkpoint) -> Checkpoint:
    """KerasCV's V1 and KerasHub have two names of their own.

    They are known here alone: without a configuration nothing tells how such a network pads, and what its projections
    are followed by.
    """
    tensors = {
        name.replace("_dwconv_bn/", "_bn/").replace("_project/", "_project_conv/"): tensor
        for name, tensor in checkpoint.tensors.items()
    }
    return dataclasses.replace(checkpoint, tensors=tensors)


def image_processor(preset: str | Path) -> processor.ImageProcessor:
    """transformers' EfficientNetImageProcessor, of a folder with a `preprocessor_config.json` or of such a file.

    Raises:
        WeightsError: it cannot be read, or has a value that is wrong.
    """
    path = Path(preset)
    file = path / "preprocessor_config.json" if path.is_dir() else path
    if not file.is_file():
        raise WeightsError(f"{file} does not exist: must be a folder or file of an image processor")
    return sources.parsed(processor.from_config, file, sources.read_object(file))
