"""Everybody's names of the family's networks: ours, KerasCV's, timm's and Hugging Face's."""

import dataclasses
import re
from dataclasses import dataclass
from typing import Literal

from lite_toolkit.errors import UnknownVariantError
from lite_toolkit.networks.architectures import VARIANTS, Family, ModelSpec


def variant(name: str) -> ModelSpec:
    """The spec of a variant, by our name for it or by KerasCV's, KerasHub's, timm's or Hugging Face's.

    Raises:
        UnknownVariantError: nobody's name; says the nearest. Or timm's for weights other than a variant's own.
    """
    spec, weights = preset(name)
    if weights != "imagenet":
        advice = f"pass --variant {spec.name} --weights {weights}"
        raise UnknownVariantError(f"{name!r} names weights and not a variant alone: {advice}")
    return spec


def preset(name: str) -> tuple[ModelSpec, str]:
    """The spec of a variant or of other weights, and what `--weights` calls these: "imagenet" are a variant's own.

    Raises:
        UnknownVariantError: nobody's name; says the nearest.
    """
    plain = _timms(_PREFIX.sub("", name))
    spec = VARIANTS.get(name) or _OTHER_NAMES.get(plain) or _TIMM_NAMES.get(plain)
    if spec:
        return spec, "imagenet"
    architecture, dot, _ = plain.partition(".")
    if dot and architecture in _TIMM_NAMES:
        return _TIMM_NAMES[architecture], f"hf:timm/{plain}"
    raise UnknownVariantError(f"unknown variant {name!r}: {_nearest(plain)}choose one of {', '.join(VARIANTS)}")


def _timms(name: str) -> str:
    """What timm calls now what KerasHub took from it, and what it had called otherwise."""
    if hub := _KERAS_HUB.fullmatch(name):
        architecture, tag = hub.groups()
        return f"{architecture}.{_KERAS_HUB_TAGS.get(tag, f'{tag}_in1k')}"
    if old := _OLD.fullmatch(name):
        architecture, tag = old.groups()
        return f"{architecture}.{_OLD_TAGS[tag]}"
    return name


def _nearest(name: str) -> str:
    import difflib  # for errors alone

    spellings = {spelling.lower(): spelling for spelling in (*VARIANTS, *_OTHER_NAMES, *_TIMM_NAMES)}
    near = difflib.get_close_matches(name.lower(), spellings, 1)
    return f"did you mean {spellings[near[0]]!r}? Or " if near else ""


_PREFIX = re.compile(r"(?:hf-hub:|hf://|hf:)?(?:timm/|keras/)?")
# keras_hub/src/models/efficientnet/efficientnet_presets.py: "efficientnet_b0_ra_imagenet".
_KERAS_HUB = re.compile(r"(efficientnet_(?:b\d|e[sml]|lite\d))_(\w+)_imagenet")
_KERAS_HUB_TAGS = {"sw": "sw_in12k", "sw_ft": "sw_in12k_ft_in1k"}
# timm/models/efficientnet.py: what it deprecates, "tf_efficientnet_b0_ns".
_OLD = re.compile(r"(tf_efficientnet_b\d)_(ap|ns)")
_OLD_TAGS = {"ap": "ap_in1k", "ns": "ns_jft_in1k"}


@dataclass(frozen=True)
class Timm:
    """Weights that timm trained itself, and what they were evaluated on.

    Attributes:
        variant: whose network it is, here with PyTorch's padding and epsilon.
        resolution: side of the square input, in pixels.
        crop: side of the input over the resized side; None where the weights' configuration tells another way.
        weights: their name, which is their repository's on the Hugging Face hub.
        interpolation: of the resizing, one of `images.resizing`.
    """

    variant: str
    resolution: int
    crop: float | None
    weights: str
    interpolation: Literal["bicubic"] = "bicubic"


# timm's model index (docs/models/efficientnet.md); the last three, which it lacks: timm/models/efficientnet.py.
TIMM: dict[str, Timm] = {
    "efficientnet_b0": Timm("b0", 224, 0.875, "efficientnet_b0.ra_in1k"),
    "efficientnet_b1": Timm("b1", 240, 0.875, "efficientnet_b1.ft_in1k"),
    "efficientnet_b2": Timm("b2", 260, 0.875, "efficientnet_b2.ra_in1k"),
    "efficientnet_b2a": Timm("b2", 288, 1.0, "efficientnet_b2.ra_in1k"),
    "efficientnet_b3": Timm("b3", 300, 0.904, "efficientnet_b3.ra2_in1k"),
    "efficientnet_b3a": Timm("b3", 320, 1.0, "efficientnet_b3.ra2_in1k"),
    "efficientnet_em": Timm("em", 240, 0.882, "efficientnet_em.ra2_in1k"),
    "efficientnet_es": Timm("es", 224, 0.875, "efficientnet_es.ra_in1k"),
    "efficientnet_lite0": Timm("lite0", 224, 0.875, "efficientnet_lite0.ra_in1k"),
    "efficientnet_b4": Timm("b4", 320, 0.875, "efficientnet_b4.ra2_in1k"),
    "efficientnet_b5": Timm("b5", 448, None, "efficientnet_b5.sw_in12k_ft_in1k"),
    "efficientnet_el": Timm("el", 300, 0.904, "efficientnet_el.ra_in1k"),
}


def _timm(name: str, entry: Timm) -> ModelSpec:
    spec = VARIANTS[entry.variant]
    return dataclasses.replace(spec, name=name, resolution=entry.resolution, padding="symmetric", epsilon=1e-5)


def _others(name: str, family: Family) -> tuple[str, ...]:
    """KerasCV's for a preset and its class, and Hugging Face's."""
    if family == "lite":
        size = name.removeprefix("lite")
        return f"efficientnetlite_b{size}", f"EfficientNetLiteB{size}Backbone"
    return f"efficientnetv1_{name}", f"EfficientNetV1{name.upper()}Backbone", f"google/efficientnet-{name}"


_OTHER_NAMES: dict[str, ModelSpec] = {
    other: spec
    for name, spec in VARIANTS.items()
    if spec.family in ("lite", "v1")
    for other in _others(name, spec.family)
}
_TRAINED = {name: _timm(name, entry) for name, entry in TIMM.items()}
# What timm never trained names a network alone; `tf_` are Google's weights, which are a variant's own but for V1.
_TIMM_NAMES: dict[str, ModelSpec] = {
    **{f"{tf}efficientnet_{name}": spec for tf in ("", "tf_") for name, spec in VARIANTS.items()},
    **{f"tf_efficientnet_{name}.in1k": spec for name, spec in VARIANTS.items() if spec.family != "v1"},
    **_TRAINED,
    **{entry.weights: _TRAINED[name] for name, entry in TIMM.items() if entry.weights.startswith(f"{name}.")},
}
