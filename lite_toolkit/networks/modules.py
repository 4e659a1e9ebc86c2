"""The parts that articles have names for: Keras' layers of a network, modules of them, sub-blocks of modules.

Source: Agarwal, "Complete Architectural Details of all EfficientNet Models" (towardsdatascience.com, 2020), whose
blocks are our stages and whose sub-blocks our blocks.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from lite_toolkit.networks.architectures import BlockSpec, ModelSpec


@dataclass(frozen=True)
class Module:
    """Layers in a row, by Keras' names without the block's; 1 begins a sub-block, 2 one that expands its input, 3
    squeezes and excites, 4 ends one, and 5 one that adds its input.
    """

    number: int
    layers: tuple[str, ...]


@dataclass(frozen=True)
class SubBlock:
    """A block: 1 is the first of the first stage, 2 the first of another, 3 any other."""

    number: int
    block: BlockSpec
    modules: tuple[Module, ...]


def sub_blocks(spec: ModelSpec) -> tuple[SubBlock, ...]:
    """Every block in order; those that are fused have no such names and are left out."""
    stages = [block.stage for block in spec.blocks]
    return tuple(
        SubBlock(3 if stages.index(block.stage) < index else 2 if index else 1, block, _modules(block))
        for index, block in enumerate(spec.blocks)
        if block.operator == "mbconv"
    )


def keras_layers(spec: ModelSpec) -> Iterator[str]:
    """Names of the layers that keras.applications builds of a V1 network without its classifier.

    These are what articles count: 237 for B0.
    """
    yield from ("input", "rescaling", "normalization", "stem_conv_pad", "stem_conv", "stem_bn", "stem_activation")
    for one in sub_blocks(spec):
        yield from (f"{one.block.name}_{layer}" for module in one.modules for layer in module.layers)
    yield from ("top_conv", "top_bn", "top_activation")


def _modules(block: BlockSpec) -> tuple[Module, ...]:
    expand = ("expand_conv", "expand_bn", "expand_activation") if block.expands else ()
    pad = ("dwconv_pad",) if block.stride == 2 else ()
    squeeze = ("se_squeeze", "se_reshape", "se_reduce", "se_expand") if block.squeezed else ()
    excite = ("se_excite",) if block.squeezed else ()
    add = ("drop", "add") if block.skip else ()
    start = Module(2 if block.expands else 1, (*expand, *pad, "dwconv", "bn", "activation"))
    end = Module(5 if block.skip else 4, (*excite, "project_conv", "project_bn", *add))
    return (start, Module(3, squeeze), end) if squeeze else (start, end)
