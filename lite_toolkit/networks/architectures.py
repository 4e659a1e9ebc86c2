"""The EfficientNet family as data, and the arithmetic that scales it.

A `ModelSpec` holds the unscaled stages of one network and its scaling; `ModelSpec.blocks` and `ModelSpec.layers` spell
out what is really built. Sources: Tan and Le, "EfficientNet", arXiv 1905.11946, table 1; the TPU repository's
models/official/efficientnet with its `lite` and `edgetpu` folders.
"""

import dataclasses
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from lite_toolkit.errors import LiteToolkitError

Operator = Literal["mbconv", "fused"]
Family = Literal["lite", "v1", "edgetpu", "custom"]
Padding = Literal["same", "symmetric", "trailing"]
Pooling = Literal["mean", "max"]

# Keras' that keep a map's shape, and Hugging Face's new gelu: by tanh, where Keras' is by the error function.
ACTIVATIONS = (
    *("relu6", "relu", "swish", "silu", "gelu", "gelu_new", "mish", "selu", "elu", "celu", "leaky_relu", "tanh"),
    *("sigmoid", "linear", "exponential", "hard_sigmoid", "hard_silu", "hard_swish", "hard_tanh", "hard_shrink"),
    *("log_sigmoid", "softplus", "softsign", "soft_shrink", "sparse_plus", "squareplus", "tanh_shrink", "threshold"),
)
PADDINGS: tuple[Padding, ...] = ("same", "symmetric", "trailing")
POOLINGS: tuple[Pooling, ...] = ("mean", "max")

MINIMUM_INPUT_SIZE = 32  # five halvings leave one pixel


@dataclass(frozen=True)
class StageSpec:
    """One row of the architecture table, before scaling.

    Attributes:
        operator: "mbconv" (1x1 expand, depthwise, 1x1 project) or "fused" (k x k expand, 1x1 project).
        kernel: side of the spatial kernel, in pixels.
        stride: stride of the first block; the others have 1.
        expansion: ratio of the expanded channels to `inputs`.
        inputs: channels of the first block's input, which the block before has given; a fused block's expansion is
            computed from them, an mbconv's from what it really gets.
        outputs: channels of every block's output.
        repeats: number of blocks.
        squeeze: squeeze-and-excite channels as a ratio of a block's inputs; 0 for none.
        skip: whether blocks of equal shape add their input.
    """

    operator: Operator
    kernel: int
    stride: int
    expansion: int
    inputs: int
    outputs: int
    repeats: int
    squeeze: float = 0.0
    skip: bool = True

    def __post_init__(self) -> None:
        if self.operator not in ("mbconv", "fused"):
            raise LiteToolkitError(f"operator {self.operator!r}: must be 'mbconv' or 'fused'")
        if self.kernel < 1 or self.kernel % 2 == 0:
            raise LiteToolkitError(f"kernel {self.kernel!r}: must be odd and positive")
        if self.stride not in (1, 2):
            raise LiteToolkitError(f"stride {self.stride!r}: must be 1 or 2")
        if min(self.expansion, self.inputs, self.outputs, self.repeats) < 1:
            raise LiteToolkitError(f"{self}: expansion, inputs, outputs and repeats must be at least 1")
        if not 0 <= self.squeeze <= 1:
            raise LiteToolkitError(f"squeeze {self.squeeze!r}: must lie in 0 to 1")


@dataclass(frozen=True)
class BlockSpec:
    """One scaled block. `name` is "block<stage><letter>"; channel counts are final; `squeezed` is 0 without SE."""

    name: str
    stage: int
    operator: Operator
    kernel: int
    stride: int
    inputs: int
    expanded: int
    outputs: int
    squeezed: int
    skip: bool
    drop_connect: float
    padding: Padding = "same"

    @property
    def expands(self) -> bool:
        """Whether it has an expand convolution: a ratio of 1 needs none, but a fused block is nothing without."""
        return self.operator == "fused" or self.expanded != self.inputs


@dataclass(frozen=True)
class LayerSpec:
    """One layer with weights, by its Keras name; `batch_norm` names the normalisation that follows, if any."""

    name: str
    kind: Literal["conv", "depthwise", "dense"]
    kernel: int
    stride: int
    inputs: int
    outputs: int
    batch_norm: str | None = None
    pooled: bool = False  # works on the 1x1 average of the feature map (squeeze-and-excite, classifier)
    padding: Padding = "same"

    @property
    def bias(self) -> bool:
        """A layer has a bias of its own exactly where no normalisation follows."""
        return self.batch_norm is None


@dataclass(frozen=True)
class ModelSpec:
    """A network of the family.

    Attributes:
        name: variant name, such as "lite0".
        stages: the unscaled table.
        width, depth: coefficients for channels and repeats.
        resolution: side of the square input the network was designed for, in pixels.
        dropout: rate before the classifier.
        stem, head: unscaled channels of the first and the last convolution.
        fixed_ends: Lite's rule: stem and head keep their channels, first and last stage their repeats.
        activation: after every convolution but the projections.
        drop_connect: rate of the last block; earlier blocks have proportionally less.
        depth_divisor: channels are rounded to multiples of it.
        epsilon, momentum: of every batch normalisation.
        padding: of convolutions with a stride: "same" is TensorFlow's; "symmetric" is k // 2 on every side, as PyTorch
            pads; "trailing" has one less above and left, which is "same" of even sides.
        family: which published family it belongs to, if any.
        block_paddings: of each block in order, where they differ from `padding`; empty where none does.
        first_skips: whether the first block of a stage may add its input too, where its shape stays.
        channels: of the input.
        pooling: of the last feature map before the classifier.
        projection_activation: after the projections too, as KerasCV's V1 has it; None is everybody else's.
    """

    name: str
    stages: tuple[StageSpec, ...]
    width: float = 1.0
    depth: float = 1.0
    resolution: int = 224
    dropout: float = 0.2
    stem: int = 32
    head: int = 1280
    fixed_ends: bool = False
    activation: str = "swish"
    drop_connect: float = 0.2
    depth_divisor: int = 8
    epsilon: float = 1e-3
    momentum: float = 0.99
    padding: Padding = "same"
    family: Family = "custom"
    block_paddings: tuple[Padding, ...] = ()
    first_skips: bool = True
    channels: int = 3
    pooling: Pooling = "mean"
    projection_activation: str | None = None

    def __post_init__(self) -> None:
        choices = {"activation": ACTIVATIONS, "padding": PADDINGS, "pooling": POOLINGS}
        if self.projection_activation is not None:
            choices["projection_activation"] = ACTIVATIONS
        for field, allowed in choices.items():
            if getattr(self, field) not in allowed:
                raise LiteToolkitError(f"{field} {getattr(self, field)!r}: must be one of {', '.join(allowed)}")
        if not self.stages:
            raise LiteToolkitError("a network needs at least one stage")
        if min(self.width, self.depth) <= 0:
            raise LiteToolkitError(f"width {self.width!r} and depth {self.depth!r} must be positive")
        if self.channels < 1:
            raise LiteToolkitError(f"channels {self.channels!r}: must be at least 1")
        blocks = sum(map(self._scaled_repeats, range(len(self.stages))))
        if self.block_paddings and len(self.block_paddings) != blocks:
            raise LiteToolkitError(f"{len(self.block_paddings)} block_paddings for {blocks} blocks")

    @cached_property
    def stem_filters(self) -> int:
        """Channels of the first convolution."""
        return self.stem if self.fixed_ends else self.scaled_filters(self.stem)

    @cached_property
    def head_filters(self) -> int:
        """Channels of the last convolution, which are the pooled features."""
        return self.head if self.fixed_ends else self.scaled_filters(self.head)

    @cached_property
    def blocks(self) -> tuple[BlockSpec, ...]:
        """Every block in order, scaled."""
        repeats = [self._scaled_repeats(index) for index in range(len(self.stages))]
        total, before, inputs = sum(repeats), 0, self.stem_filters
        blocks: list[BlockSpec] = []
        for index, stage in enumerate(self.stages):
            outputs = self.scaled_filters(stage.outputs)
            for repeat in range(repeats[index]):
                first = repeat == 0
                # EdgeTPU's first stage expands from the table's 24 channels, though the stem gives 32.
                expandable = self.scaled_filters(stage.inputs) if first and stage.operator == "fused" else inputs
                blocks.append(
                    BlockSpec(
                        name=f"block{index + 1}{_letters(repeat)}",
                        stage=index + 1,
                        operator=stage.operator,
                        kernel=stage.kernel,
                        stride=stage.stride if first else 1,
                        inputs=inputs,
                        expanded=expandable * stage.expansion,
                        outputs=outputs,
                        squeezed=max(1, int(inputs * stage.squeeze)) if stage.squeeze else 0,
                        skip=stage.skip
                        and inputs == outputs
                        and (not first or (stage.stride == 1 and self.first_skips)),
                        drop_connect=self.drop_connect * (before + repeat) / total,
                        padding=self.block_paddings[before + repeat] if self.block_paddings else self.padding,
                    )
                )
                inputs = outputs
            before += repeats[index]
        return tuple(blocks)

    def layers(self, classes: int | None = 1000) -> Iterator[LayerSpec]:
        """Every layer with weights in graph order; without the classifier where `classes` is None."""
        stem = self.stem_filters
        yield LayerSpec("stem_conv", "conv", 3, 2, self.channels, stem, "stem_bn", padding=self.padding)
        for block in self.blocks:
            yield from block_layers(block)
        yield LayerSpec("top_conv", "conv", 1, 1, self.blocks[-1].outputs, self.head_filters, "top_bn")
        if classes is not None:
            yield LayerSpec("predictions", "dense", 1, 1, self.head_filters, classes, pooled=True)

    def scaled_filters(self, filters: int) -> int:
        """Channels of the table, scaled by `width` and rounded to `depth_divisor`, but not below nine tenths."""
        scaled, divisor = filters * self.width, self.depth_divisor
        rounded = max(divisor, int(scaled + divisor / 2) // divisor * divisor)
        return rounded + divisor if rounded < 0.9 * scaled else rounded

    def _scaled_repeats(self, index: int) -> int:
        at_an_end = index in (0, len(self.stages) - 1)
        repeats = self.stages[index].repeats
        return repeats if self.fixed_ends and at_an_end else math.ceil(repeats * self.depth)


def block_layers(block: BlockSpec) -> Iterator[LayerSpec]:
    """The layers of one block in graph order."""
    name, expanded = block.name, block.expanded
    fused = block.operator == "fused"
    if block.expands:
        kernel, stride = (block.kernel, block.stride) if fused else (1, 1)
        conv, norm = f"{name}_expand_conv", f"{name}_expand_bn"
        yield LayerSpec(conv, "conv", kernel, stride, block.inputs, expanded, norm, padding=block.padding)
    if not fused:
        conv, norm, channels = f"{name}_dwconv", f"{name}_bn", expanded
        yield LayerSpec(conv, "depthwise", block.kernel, block.stride, channels, channels, norm, padding=block.padding)
    if block.squeezed:
        yield LayerSpec(f"{name}_se_reduce", "conv", 1, 1, expanded, block.squeezed, pooled=True)
        yield LayerSpec(f"{name}_se_expand", "conv", 1, 1, block.squeezed, expanded, pooled=True)
    yield LayerSpec(f"{name}_project_conv", "conv", 1, 1, expanded, block.outputs, f"{name}_project_bn")


def custom(
    *,
    stackwise_kernel_sizes: Sequence[int],
    stackwise_num_repeats: Sequence[int],
    stackwise_input_filters: Sequence[int],
    stackwise_output_filters: Sequence[int],
    stackwise_expansion_ratios: Sequence[int],
    stackwise_strides: Sequence[int],
    stackwise_squeeze_and_excite_ratios: Sequence[float] | None = None,
    width_coefficient: float = 1.0,
    depth_coefficient: float = 1.0,
    dropout_rate: float = 0.2,
    drop_connect_rate: float = 0.2,
    depth_divisor: int = 8,
    activation: str = "swish",
    name: str = "custom",
    **rest: object,
) -> ModelSpec:
    """A spec from the arguments that KerasCV's EfficientNet backbones take; `rest` are further `ModelSpec` fields.

    The stem has `stackwise_input_filters[0]` channels before scaling. `include_rescaling`, `input_shape` and
    `input_tensor` belong to `builder.build`.

    Raises:
        LiteToolkitError: the sequences differ in length, or a value is out of range.
    """
    ratios = stackwise_squeeze_and_excite_ratios
    columns = (
        stackwise_kernel_sizes,
        stackwise_strides,
        stackwise_expansion_ratios,
        stackwise_input_filters,
        stackwise_output_filters,
        stackwise_num_repeats,
        ratios if ratios is not None else [0.0] * len(stackwise_kernel_sizes),
    )
    if len({len(column) for column in columns}) != 1:
        raise LiteToolkitError(f"stackwise arguments differ in length: {[len(column) for column in columns]}")
    stages = tuple(StageSpec("mbconv", *row) for row in zip(*columns, strict=True))
    spec = ModelSpec(
        name=name,
        stages=stages,
        width=width_coefficient,
        depth=depth_coefficient,
        dropout=dropout_rate,
        stem=stackwise_input_filters[0],
        drop_connect=drop_connect_rate,
        depth_divisor=depth_divisor,
        activation=activation,
    )
    return dataclasses.replace(spec, **rest)  # type: ignore[arg-type]  # dataclasses.replace checks the names itself


def _letters(index: int) -> str:
    """a to z, then aa, ab, ... for stages deeper than the alphabet."""
    return (_letters(index // 26 - 1) if index >= 26 else "") + chr(ord("a") + index % 26)


_BASELINE = (
    StageSpec("mbconv", 3, 1, 1, 32, 16, 1),
    StageSpec("mbconv", 3, 2, 6, 16, 24, 2),
    StageSpec("mbconv", 5, 2, 6, 24, 40, 2),
    StageSpec("mbconv", 3, 2, 6, 40, 80, 3),
    StageSpec("mbconv", 5, 1, 6, 80, 112, 3),
    StageSpec("mbconv", 5, 2, 6, 112, 192, 4),
    StageSpec("mbconv", 3, 1, 6, 192, 320, 1),
)
_SQUEEZED = tuple(dataclasses.replace(stage, squeeze=0.25) for stage in _BASELINE)
_EDGETPU = (
    StageSpec("fused", 3, 1, 4, 24, 24, 1, skip=False),
    StageSpec("fused", 3, 2, 8, 24, 32, 2),
    StageSpec("fused", 3, 2, 8, 32, 48, 4),
    StageSpec("mbconv", 5, 2, 8, 48, 96, 5),
    StageSpec("mbconv", 5, 1, 8, 96, 144, 4),
    StageSpec("mbconv", 5, 2, 8, 144, 192, 2),
)


def _lite(name: str, width: float, depth: float, resolution: int, dropout: float) -> ModelSpec:
    return ModelSpec(
        name, _BASELINE, width, depth, resolution, dropout, fixed_ends=True, activation="relu6", family="lite"
    )


def _v1(name: str, width: float, depth: float, resolution: int, dropout: float) -> ModelSpec:
    return ModelSpec(name, _SQUEEZED, width, depth, resolution, dropout, family="v1")


def _edgetpu(name: str, width: float, depth: float, resolution: int, dropout: float) -> ModelSpec:
    return ModelSpec(name, _EDGETPU, width, depth, resolution, dropout, activation="relu", family="edgetpu")


VARIANTS: dict[str, ModelSpec] = {
    spec.name: spec
    for spec in (
        _lite("lite0", 1.0, 1.0, 224, 0.2),
        _lite("lite1", 1.0, 1.1, 240, 0.2),
        _lite("lite2", 1.1, 1.2, 260, 0.3),
        _lite("lite3", 1.2, 1.4, 280, 0.3),
        _lite("lite4", 1.4, 1.8, 300, 0.3),
        _v1("b0", 1.0, 1.0, 224, 0.2),
        _v1("b1", 1.0, 1.1, 240, 0.2),
        _v1("b2", 1.1, 1.2, 260, 0.3),
        _v1("b3", 1.2, 1.4, 300, 0.3),
        _v1("b4", 1.4, 1.8, 380, 0.4),
        _v1("b5", 1.6, 2.2, 456, 0.4),
        _v1("b6", 1.8, 2.6, 528, 0.5),
        _v1("b7", 2.0, 3.1, 600, 0.5),
        _edgetpu("es", 1.0, 1.0, 224, 0.2),
        _edgetpu("em", 1.0, 1.1, 240, 0.2),
        _edgetpu("el", 1.2, 1.4, 300, 0.3),
    )
}
