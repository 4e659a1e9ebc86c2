"""Everybody's names lead to the family's networks."""

import dataclasses
import re

import pytest

from lite_toolkit.errors import UnknownVariantError
from lite_toolkit.networks.architectures import VARIANTS
from lite_toolkit.networks.names import TIMM, preset, variant


def test_an_unknown_variant_lists_the_known_ones() -> None:
    with pytest.raises(UnknownVariantError, match=r"'lite9'.*lite0, lite1.*el"):
        variant("lite9")


# Names of others for our variants: the authors' networks, and so their ImageNet weights.
OTHERS = {
    "efficientnetlite_b0": "lite0",
    "efficientnetlite_b4": "lite4",
    "EfficientNetLiteB0Backbone": "lite0",
    "efficientnetv1_b3": "b3",
    "EfficientNetV1B7Backbone": "b7",
    "google/efficientnet-b7": "b7",
    "hf-hub:google/efficientnet-b0": "b0",
    "tf_efficientnet_lite0": "lite0",
    "tf_efficientnet_es": "es",
    "tf_efficientnet_b5": "b5",
    "hf-hub:timm/tf_efficientnet_lite3.in1k": "lite3",
    "timm/tf_efficientnet_el.in1k": "el",
    "efficientnet_lite1": "lite1",
    "timm/efficientnet_b6": "b6",
}
# timm's model index: whose network, input in pixels, crop.
INDEX = {
    "efficientnet_b0": ("b0", 224, 0.875),
    "efficientnet_b1": ("b1", 240, 0.875),
    "efficientnet_b2": ("b2", 260, 0.875),
    "efficientnet_b2a": ("b2", 288, 1.0),
    "efficientnet_b3": ("b3", 300, 0.904),
    "efficientnet_b3a": ("b3", 320, 1.0),
    "efficientnet_em": ("em", 240, 0.882),
    "efficientnet_es": ("es", 224, 0.875),
    "efficientnet_lite0": ("lite0", 224, 0.875),
}


@pytest.mark.parametrize(("name", "ours"), OTHERS.items())
def test_others_names_mean_our_variants(name: str, ours: str) -> None:
    assert variant(name) is VARIANTS[ours]


@pytest.mark.parametrize("prefix", ["", "timm/", "hf-hub:", "hf-hub:timm/"])
@pytest.mark.parametrize(("name", "entry"), INDEX.items())
def test_timms_index_has_sizes_crops_and_conventions_of_its_own(
    name: str, entry: tuple[str, int, float], prefix: str
) -> None:
    spec, (ours, resolution, crop) = variant(prefix + name), entry
    evaluation = TIMM[name].crop, TIMM[name].interpolation
    assert (spec.name, spec.resolution, *evaluation) == (name, resolution, crop, "bicubic")
    assert (spec.padding, spec.epsilon) == ("symmetric", 1e-5)
    assert [dataclasses.replace(block, padding="same") for block in spec.blocks] == list(VARIANTS[ours].blocks)


def test_timms_name_of_weights_that_are_a_presets_own() -> None:
    assert variant("hf-hub:timm/efficientnet_b2.ra_in1k") is variant("efficientnet_b2")
    assert variant("timm/efficientnet_lite0.ra_in1k") is variant("efficientnet_lite0")


@pytest.mark.parametrize(
    ("name", "ours"),
    [("timm/tf_efficientnet_b5.ns_jft_in1k", "b5"), ("efficientnet_b0.ra4_e3600_r224_in1k", "efficientnet_b0")],
)
def test_a_name_of_other_weights_is_no_variant(name: str, ours: str) -> None:
    advice = f"--variant {ours} --weights hf:timm/{name.removeprefix('timm/')}"
    with pytest.raises(UnknownVariantError, match=re.escape(advice)):
        variant(name)


@pytest.mark.parametrize(
    ("wrong", "near"),
    [
        ("lite9", "lite"),
        ("efficientnet_b9", "efficientnet_b"),
        ("timm/efficientnet_b2b", "efficientnet_b2"),
        ("google/efficientnet-b8", "google/efficientnet-b"),
        ("efficientnetlite-b0", "efficientnetlite_b0"),
        ("EfficientNetLiteB0", "efficientnetlite_b0"),
        ("B7", "b7"),
    ],
)
def test_a_wrong_name_suggests_the_nearest(wrong: str, near: str) -> None:
    with pytest.raises(UnknownVariantError, match=f"'{wrong}': did you mean '{near}.*'. Or choose one of lite0"):
        variant(wrong)


def test_a_name_like_no_other_suggests_none() -> None:
    with pytest.raises(UnknownVariantError, match=r"'resnet50': choose one of"):
        variant("resnet50")


# Names of weights -> whose network, and what `--weights` calls them.
WEIGHTS = {
    "efficientnet_b0_ra_imagenet": ("efficientnet_b0", "imagenet"),
    "keras/efficientnet_em_ra2_imagenet": ("efficientnet_em", "imagenet"),
    "hf://keras/efficientnet_lite0_ra_imagenet": ("efficientnet_lite0", "imagenet"),
    "efficientnet_b5_sw_ft_imagenet": ("efficientnet_b5", "imagenet"),
    "efficientnet_b5_sw_imagenet": ("efficientnet_b5", "hf:timm/efficientnet_b5.sw_in12k"),
    "efficientnet_b0_ra4_e3600_r224_imagenet": ("efficientnet_b0", "hf:timm/efficientnet_b0.ra4_e3600_r224_in1k"),
    "tf_efficientnet_b0_ns": ("b0", "hf:timm/tf_efficientnet_b0.ns_jft_in1k"),
    "timm/tf_efficientnet_b7_ap": ("b7", "hf:timm/tf_efficientnet_b7.ap_in1k"),
    "hf-hub:timm/tf_efficientnet_b3.aa_in1k": ("b3", "hf:timm/tf_efficientnet_b3.aa_in1k"),
}


@pytest.mark.parametrize("name", WEIGHTS)
def test_names_of_weights_lead_to_a_network_and_to_timms_repository(name: str) -> None:
    spec, weights = preset(name)
    assert (spec.name, weights) == WEIGHTS[name]
