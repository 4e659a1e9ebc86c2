"""`--weights` -> a built network with those weights, and what they expect of their input."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from lite_toolkit import labels
from lite_toolkit.errors import WeightsError
from lite_toolkit.images.preprocessing import PRESETS, PreprocessingSpec
from lite_toolkit.networks.architectures import ModelSpec
from lite_toolkit.networks.configurations import Configuration
from lite_toolkit.networks.names import TIMM
from lite_toolkit.weights import checkpoints, sources
from lite_toolkit.weights.checkpoints import Checkpoint
from lite_toolkit.weights.matching import match
from lite_toolkit.weights.sources import CONVENTIONS, HUB_PREFIX, IMAGENET, Conventions, Source


@dataclass(frozen=True)
class Weights:
    """Everything that comes with a choice of weights.

    Attributes:
        name: the source, for people and manifests.
        sha256: of the checkpoint; None for seeded weights.
        layout: whose tensor names the checkpoint has; None for seeded weights.
        chosen, note: as in `MatchedWeights`.
        variables: canonical name -> float32 array; empty for seeded weights.
        classes: of the checkpoint's classifier; None without one.
        spec: the network as the weights need it: their padding and epsilon.
        preprocessing: what they expect of the input, which it gives the size of.
        labels: names of the checkpoint's classes; None where nobody tells.
        license: SPDX identifier; None where nobody tells.
    """

    name: str
    sha256: str | None
    layout: str | None
    variables: Mapping[str, Any]
    classes: int | None
    spec: ModelSpec
    preprocessing: PreprocessingSpec
    labels: tuple[str, ...] | None = None
    license: str | None = None
    chosen: str | None = None
    note: str | None = None


@dataclass(frozen=True)
class LoadedModel:
    """A Keras model with `weights`; `fresh_head` says whether its classifier was started anew."""

    model: Any
    weights: Weights
    classes: int
    fresh_head: bool


def read_weights(
    spec: ModelSpec, argument: str = "imagenet", conventions: str | None = None, input_size: int | None = None
) -> Weights:
    """Find, verify, read and match weights for `spec`; TensorFlow is needed for TensorFlow checkpoints only.

    Args:
        spec: the network.
        argument: "imagenet", "none", "hf:OWNER/REPO[@REVISION]" or a path.
        conventions: a key of `CONVENTIONS`, for checkpoints that do not tell.
        input_size: side of the square input in pixels; the network's resolution by default.

    Raises:
        WeightsError: the weights cannot be had, read, verified or matched, or do not tell their conventions.
        MissingExtraError: a package that holds or reads them is not installed.
    """
    size = input_size or spec.resolution
    if argument == "none":
        preprocessing = default_preprocessing(spec, size, Conventions(spec.padding, spec.epsilon))
        return Weights("none (random)", None, None, {}, None, spec, _evaluated(spec, preprocessing))
    source, checkpoint = _open(spec, argument)
    matched = match(checkpoint, spec)
    told = _conventions(source, matched.layout, spec, conventions)
    described = _described(spec, source)
    given = source.preprocessing
    preprocessing = given.with_size(size) if given else default_preprocessing(spec, size, told)
    if described and described.include_rescaling:
        preprocessing = dataclasses.replace(preprocessing, mean=(0.0,) * 3, std=(255.0,) * 3)
    return Weights(
        name=source.name,
        sha256=source.sha256,
        layout=matched.layout,
        variables=matched.variables,
        classes=matched.classes,
        spec=_told(spec, told, described),
        preprocessing=_evaluated(spec, preprocessing) if argument == "imagenet" else preprocessing,
        labels=_labels(source, argument, matched.classes),
        license="Apache-2.0" if argument == "imagenet" else None,  # all of `IMAGENET`
        chosen=matched.chosen,
        note=matched.note,
    )


def load_model(
    weights: Weights,
    *,
    classes: int | None = None,
    activation: Literal["softmax", "none"] = "softmax",
    seed: int = 0,
) -> LoadedModel:
    """Build the network and give it the weights.

    Args:
        weights: from `read_weights`.
        classes: outputs of the classifier, by default the checkpoint's, or 1000 where it has none; another number keeps
            the backbone and starts a fresh, seeded classifier.
        activation, seed: as in `builder.build`.
    """
    from lite_toolkit.networks.builder import build

    classes = classes or weights.classes or 1000
    shape = (weights.preprocessing.height, weights.preprocessing.width, 3)
    model = build(weights.spec, classes=classes, activation=activation, input_shape=shape, seed=seed)
    fresh_head = classes != weights.classes
    assign(model, weights.variables, fresh_head)
    return LoadedModel(model, weights, classes, fresh_head)


def assign(model: Any, variables: Mapping[str, Any], fresh_head: bool) -> None:
    """Give a model of `builder.build` its weights; one with a fresh head keeps its classifier's."""
    for layer in model.layers if variables else ():
        for variable in () if fresh_head and layer.name == "predictions" else layer.weights:
            variable.assign(variables[f"{layer.name}/{variable.name}"])


def default_preprocessing(
    spec: ModelSpec, size: int, conventions: Conventions = CONVENTIONS["tensorflow"]
) -> PreprocessingSpec:
    """What the family's original weights expect: Google's for TensorFlow's conventions, timm's for PyTorch's.

    Google's V1 checkpoints are normalised by ImageNet's statistics (efficientnet's `preprocessing.py` and
    `efficientnet_builder.py`: MEAN_RGB, STDDEV_RGB), Lite and EdgeTPU by 127 and 128; all are cropped alike.
    """
    imagenet, google = PRESETS["imagenet"](size), PRESETS["lite"](size)
    if conventions.padding == "symmetric":
        return imagenet
    return dataclasses.replace(google, mean=imagenet.mean, std=imagenet.std) if spec.family == "v1" else google


def _described(spec: ModelSpec, source: Source) -> Configuration | None:
    """What the configuration beside the weights says of the network.

    Raises:
        WeightsError: that is another network than `spec`.
    """
    if source.network and _shapes(source.network.spec) != _shapes(spec):
        raise WeightsError(f"the config.json beside {source.name} describes another network than {spec.name}")
    return source.network


def _told(spec: ModelSpec, conventions: Conventions, described: Configuration | None) -> ModelSpec:
    """With what the shapes of weights do not tell, such as the padding and the activation."""
    if described:
        named = {"name": spec.name, "family": spec.family, "resolution": spec.resolution}
        return dataclasses.replace(described.spec, **named)  # type: ignore[arg-type]
    return dataclasses.replace(spec, padding=conventions.padding, epsilon=conventions.epsilon)


def _shapes(spec: ModelSpec) -> list[tuple[object, ...]]:
    return [(layer.name, layer.kind, layer.kernel, layer.inputs, layer.outputs) for layer in spec.layers()]


def _labels(source: Source, argument: str, classes: int | None) -> tuple[str, ...] | None:
    if argument == "imagenet":
        return labels.imagenet()
    told = source.network.labels if source.network else None
    return told if told and len(told) == classes else None


def _evaluated(spec: ModelSpec, preprocessing: PreprocessingSpec) -> PreprocessingSpec:
    """With the crop of timm's index, whose sizes and crops the weights' own configuration may not have."""
    crop = TIMM[spec.name].crop if spec.name in TIMM else None
    return dataclasses.replace(preprocessing, crop_fraction=crop) if crop else preprocessing


def _open(spec: ModelSpec, argument: str) -> tuple[Source, Checkpoint]:
    if argument == "imagenet":
        if spec.name not in IMAGENET:
            raise WeightsError(f"no ImageNet weights are known for {spec.name!r}: pass --weights none or a path")
        source = IMAGENET[spec.name].find()
    elif argument.startswith(HUB_PREFIX):
        source = sources.repository(argument.removeprefix(HUB_PREFIX)).find()
    else:
        checkpoint = checkpoints.read(Path(argument))
        return sources.local(checkpoint.path), checkpoint
    return source, checkpoints.read(source.path)


def _conventions(source: Source, layout: str, spec: ModelSpec, asked: str | None) -> Conventions:
    """What the configuration says, else the layout's only possibility, else the user's word; never a guess."""
    known = source.conventions or _only_conventions(layout, spec)
    if known is None and asked is None:
        raise WeightsError(
            f"{source.name} has timm's tensor names, which do not tell how it pads: put the model's config.json beside "
            "it, or pass --conventions tensorflow (tf_efficientnet_*) or pytorch (efficientnet_*)"
        )
    if known and asked and CONVENTIONS[asked] != known:
        raise WeightsError(f"{source.name} is made with {known}, which --conventions {asked} contradicts")
    return known or CONVENTIONS[str(asked)]


def _only_conventions(layout: str, spec: ModelSpec) -> Conventions | None:
    if layout == "torchvision":  # its efficientnet.py gives the three largest TensorFlow's epsilon, but not its padding
        large = spec.name.removeprefix("efficientnet_") in ("b5", "b6", "b7")
        return Conventions("symmetric", 1e-3) if large else CONVENTIONS["pytorch"]
    return None if layout == "timm" else CONVENTIONS["tensorflow"]
