"""The family's tables against published figures."""

import dataclasses

import pytest

from lite_toolkit.errors import LiteToolkitError
from lite_toolkit.networks import costs
from lite_toolkit.networks.architectures import VARIANTS, ModelSpec, StageSpec, custom

# Channels of the stem, the stages and the head, as published for B1-B7.
CHANNELS = {
    "b1": (32, 16, 24, 40, 80, 112, 192, 320, 1280),
    "b2": (32, 16, 24, 48, 88, 120, 208, 352, 1408),
    "b3": (40, 24, 32, 48, 96, 136, 232, 384, 1536),
    "b4": (48, 24, 32, 56, 112, 160, 272, 448, 1792),
    "b5": (48, 24, 40, 64, 128, 176, 304, 512, 2048),
    "b6": (56, 32, 40, 72, 144, 200, 344, 576, 2304),
    "b7": (64, 32, 48, 80, 160, 224, 384, 640, 2560),
    "lite4": (32, 24, 32, 56, 112, 160, 272, 448, 1280),
    "el": (40, 32, 40, 56, 112, 176, 232, 1536),
}

# KerasCV's printed parameters of the backbone; its own needless convolutions are left out of B3-B7.
BACKBONE_PARAMS = {
    "lite0": "3.41",
    "lite1": "4.19",
    "lite2": "4.87",
    "lite3": "6.99",
    "lite4": "11.84",
    "b0": "4.05",
    "b1": "6.58",
    "b2": "7.77",
}

KERASCV_LITE0 = {
    "stackwise_kernel_sizes": [3, 3, 5, 3, 5, 5, 3],
    "stackwise_num_repeats": [1, 2, 2, 3, 3, 4, 1],
    "stackwise_input_filters": [32, 16, 24, 40, 80, 112, 192],
    "stackwise_output_filters": [16, 24, 40, 80, 112, 192, 320],
    "stackwise_expansion_ratios": [1, 6, 6, 6, 6, 6, 6],
    "stackwise_strides": [1, 2, 2, 2, 1, 2, 1],
}


@pytest.mark.parametrize("name", CHANNELS)
def test_channels_are_the_published_ones(name: str) -> None:
    spec = VARIANTS[name]
    last = {block.stage: block.outputs for block in spec.blocks}
    assert (spec.stem_filters, *last.values(), spec.head_filters) == CHANNELS[name]


@pytest.mark.parametrize("name", BACKBONE_PARAMS)
def test_backbone_parameters_equal_kerascv(name: str) -> None:
    assert f"{costs.total(VARIANTS[name], classes=None).params / 1e6:.2f}" == BACKBONE_PARAMS[name]


@pytest.mark.parametrize(
    ("name", "blocks"), [("lite0", 16), ("lite1", 21), ("lite4", 30), ("b0", 16), ("b7", 55), ("es", 18)]
)
def test_depth_scales_by_ceiling(name: str, blocks: int) -> None:
    assert len(VARIANTS[name].blocks) == blocks


def test_lite_keeps_stem_head_and_the_ends_of_the_table() -> None:
    spec = VARIANTS["lite4"]
    assert (spec.stem_filters, spec.head_filters) == (32, 1280)
    assert [sum(block.stage == stage for block in spec.blocks) for stage in (1, 7)] == [1, 1]
    assert not any(block.squeezed for block in spec.blocks)


def test_edgetpu_expands_its_first_stage_from_the_tables_channels() -> None:
    first = VARIANTS["es"].blocks[0]
    assert (first.inputs, first.expanded, first.outputs, first.skip) == (32, 96, 24, False)


def test_squeeze_is_a_quarter_of_the_blocks_input() -> None:
    assert [block.squeezed for block in VARIANTS["b0"].blocks[:3]] == [8, 4, 6]


def test_drop_connect_grows_with_depth() -> None:
    rates = [block.drop_connect for block in VARIANTS["lite0"].blocks]
    assert rates == pytest.approx([0.2 * index / 16 for index in range(16)])


def test_custom_takes_kerascvs_arguments() -> None:
    spec = custom(**KERASCV_LITE0, activation="relu6", width_coefficient=1.0, depth_coefficient=1.0)  # type: ignore[arg-type]
    assert spec.blocks == VARIANTS["lite0"].blocks
    squeezed = custom(**KERASCV_LITE0, stackwise_squeeze_and_excite_ratios=[0.25] * 7)  # type: ignore[arg-type]
    assert squeezed.blocks == VARIANTS["b0"].blocks


def test_custom_scales_like_the_family() -> None:
    spec = custom(**KERASCV_LITE0, width_coefficient=1.1, depth_coefficient=1.2, fixed_ends=True)  # type: ignore[arg-type]
    assert spec.blocks == VARIANTS["lite2"].blocks


def test_depth_divisor_rounds_channels() -> None:
    spec = dataclasses.replace(VARIANTS["lite0"], width=1.3, depth_divisor=16)
    assert all(block.outputs % 16 == 0 for block in spec.blocks)


def test_stages_deeper_than_the_alphabet_have_distinct_names() -> None:
    stage = StageSpec("mbconv", 3, 1, 1, 32, 32, 60)
    names = [block.name for block in ModelSpec("deep", (stage,)).blocks]
    assert len(set(names)) == 60
    assert names[25:28] == ["block1z", "block1aa", "block1ab"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kernel": 4}, "kernel 4"),
        ({"stride": 3}, "stride 3"),
        ({"operator": "conv"}, "operator 'conv'"),
        ({"squeeze": 1.5}, "squeeze 1.5"),
        ({"repeats": 0}, "at least 1"),
    ],
)
def test_a_stage_that_cannot_be_is_refused(change: dict[str, object], message: str) -> None:
    stage = StageSpec("mbconv", 3, 1, 6, 32, 16, 1)
    with pytest.raises(LiteToolkitError, match=message):
        dataclasses.replace(stage, **change)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "change",
    [
        {"activation": "geli"},
        {"padding": "valid"},
        {"pooling": "sum"},
        {"stages": ()},
        {"width": 0.0},
        {"channels": 0},
        {"block_paddings": ("same",)},
    ],
)
def test_a_network_that_cannot_be_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(LiteToolkitError):
        dataclasses.replace(VARIANTS["lite0"], **change)  # type: ignore[arg-type]


def test_stackwise_arguments_of_different_length_are_refused() -> None:
    with pytest.raises(LiteToolkitError, match="differ in length"):
        custom(**(KERASCV_LITE0 | {"stackwise_strides": [1]}))  # type: ignore[arg-type]
