"""A network as the configuration files of others describe it: transformers' EfficientNet, KerasCV's and KerasHub's."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from lite_toolkit.decoding import Limit, between, decode
from lite_toolkit.errors import ModelError
from lite_toolkit.networks.architectures import ModelSpec, Padding, Pooling, StageSpec, custom
from lite_toolkit.networks.names import variant

InputShape = tuple[int | None, int | None, int]


@dataclass(frozen=True)
class Configuration:
    """What a configuration file says.

    Attributes:
        spec: the network.
        input_shape: (height, width, channels), each side in pixels or None.
        classes: outputs of the classifier; None for a backbone.
        pooling: whether a backbone gives the pooled features.
        labels: names of the classes; None where nobody tells.
        include_rescaling: whether the network divides pixels by 255 itself.
    """

    spec: ModelSpec
    input_shape: InputShape
    classes: int | None = None
    pooling: bool = False
    labels: tuple[str, ...] | None = None
    include_rescaling: bool = False


_TITLE = "network"
Channels = Annotated[int, between(1, 4096)]
Side = Annotated[int, between(1, 4096)]
Repeats = Annotated[int, between(1, 100)]
Stride = Literal[1, 2]
Coefficient = Annotated[float, between(0.01, 20)]
Rate = Annotated[float, Limit(lambda rate: 0 <= rate < 1, "from 0 to 1, which is excluded")]
Ratio = Annotated[float, between(0, 1)]
Epsilon = Annotated[float, Limit(lambda epsilon: 0 < epsilon < 1, "between 0 and 1")]
Kernel = Annotated[int, Limit(lambda kernel: kernel in range(1, 32, 2), "odd and from 1 to 31")]

# transformers' activations.py; what it shares with Keras under another name or has computed alike.
_ACTIVATIONS = {
    **{name: name for name in ("gelu", "gelu_new", "relu", "relu6", "selu", "sigmoid", "silu", "swish", "mish")},
    "tanh": "tanh",
    "linear": "linear",
    "hardswish": "hard_silu",
    "gelu_python": "gelu",
    "gelu_pytorch_tanh": "gelu_new",
    "gelu_fast": "gelu_new",
    "gelu_accurate": "gelu_new",
}


def read(document: Mapping[str, Any]) -> Configuration | None:
    """What a `config.json` of transformers or Keras, or a backbone's `get_config()`, says; None where it is neither.

    Raises:
        ModelError: a value is wrong, or the network cannot be built.
    """
    if document.get("model_type") == "efficientnet":
        return from_huggingface(document)
    inner = document.get("config", document)
    if isinstance(inner, dict) and "stackwise_kernel_sizes" in inner:
        return from_keras_hub(inner) if "stackwise_block_types" in inner else from_keras_cv(inner)
    return None


@dataclass(frozen=True)
class _HuggingFace:
    """transformers' EfficientNetConfig with its defaults, which are B7's; what it does not name changes nothing."""

    num_channels: Channels = 3
    image_size: Side | tuple[Side, Side] = 600
    width_coefficient: Coefficient = 2.0
    depth_coefficient: Coefficient = 3.1
    depth_divisor: Channels = 8
    kernel_sizes: tuple[Kernel, ...] = (3, 3, 5, 3, 5, 5, 3)
    in_channels: tuple[Channels, ...] = (32, 16, 24, 40, 80, 112, 192)
    out_channels: tuple[Channels, ...] = (16, 24, 40, 80, 112, 192, 320)
    depthwise_padding: tuple[int, ...] = ()
    strides: tuple[Stride, ...] = (1, 2, 2, 2, 1, 2, 1)
    num_block_repeats: tuple[Repeats, ...] = (1, 2, 2, 3, 3, 4, 1)
    expand_ratios: tuple[Channels, ...] = (1, 6, 6, 6, 6, 6, 6)
    squeeze_expansion_ratio: Ratio = 0.25
    hidden_act: Annotated[str, Limit(_ACTIVATIONS.__contains__, f"that is one of {', '.join(_ACTIVATIONS)}")] = "swish"
    hidden_dim: Annotated[int, between(1, 2**20)] = 2560
    pooling_type: Pooling = "mean"
    batch_norm_eps: Epsilon = 1e-3
    batch_norm_momentum: Annotated[float, between(0, 1)] = 0.99
    dropout_rate: Rate = 0.5
    drop_connect_rate: Rate = 0.2
    id2label: Mapping[str, str] | None = None
    num_labels: Annotated[int, between(0, 2**20)] | None = None
    architectures: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        columns = self.kernel_sizes, self.strides, self.expand_ratios, self.in_channels, self.out_channels
        lengths = [len(column) for column in (*columns, self.num_block_repeats)]
        if len(set(lengths)) != 1:
            raise ValueError(f"the lists of the stages differ in length: {lengths}")


def from_huggingface(config: object) -> Configuration:
    """The network that transformers' modeling_efficientnet.py builds of an EfficientNetConfig.

    Its stem is scaled from 32 channels whatever `in_channels` say; its convolutions of stride 2 pad one pixel less
    above and left, but symmetrically in the blocks of `depthwise_padding`; the first block of a stage never adds its
    input; and `hidden_dim` pools over the whole map, and must be what the last convolution gives.

    Raises:
        ModelError: a value is wrong, or transformers cannot build the network either.
    """
    found = decode(_HuggingFace, config, _TITLE, ModelError, exact=False)
    height, width = (found.image_size,) * 2 if isinstance(found.image_size, int) else found.image_size
    spec = custom(
        stackwise_kernel_sizes=found.kernel_sizes,
        stackwise_num_repeats=found.num_block_repeats,
        stackwise_input_filters=found.in_channels,
        stackwise_output_filters=found.out_channels,
        stackwise_expansion_ratios=found.expand_ratios,
        stackwise_strides=found.strides,
        # Theirs squeezes to one channel at a ratio of 0, too.
        stackwise_squeeze_and_excite_ratios=[found.squeeze_expansion_ratio or 1e-9] * len(found.strides),
        width_coefficient=found.width_coefficient,
        depth_coefficient=found.depth_coefficient,
        dropout_rate=found.dropout_rate,
        drop_connect_rate=found.drop_connect_rate,
        depth_divisor=found.depth_divisor,
        activation=_ACTIVATIONS[found.hidden_act],
        resolution=min(height, width),
        stem=32,
        epsilon=found.batch_norm_eps,
        momentum=found.batch_norm_momentum,
        padding="trailing",
        family="v1",
        first_skips=False,
        channels=found.num_channels,
        pooling=found.pooling_type,
    )
    _require_chained(spec)
    if found.hidden_dim != spec.head_filters:
        allowed = f"must be {spec.head_filters}, which the last convolution gives"
        raise ModelError(f"{_TITLE}: hidden_dim {found.hidden_dim}: {allowed}")
    symmetric = set(found.depthwise_padding)
    labels = _labels(found) if found.architectures != ("EfficientNetModel",) else ()
    return Configuration(
        spec=_padded(spec, ["symmetric" if index in symmetric else "trailing" for index in range(len(spec.blocks))]),
        input_shape=(height, width, found.num_channels),
        classes=len(labels) or None,
        pooling=True,
        labels=None if labels == _numbered(len(labels)) else labels,
    )


def _labels(found: _HuggingFace) -> tuple[str, ...]:
    """In order of index. PreTrainedConfig has two classes where nothing is said."""
    if found.id2label is None:
        return _numbered(2 if found.num_labels is None else found.num_labels)
    keys = [str(index) for index in range(len(found.id2label))]
    if found.id2label.keys() != set(keys):
        raise ModelError(f"{_TITLE}: id2label: its keys must be 0 to {len(keys) - 1}")
    return tuple(found.id2label[key] for key in keys)


def _numbered(classes: int) -> tuple[str, ...]:
    """The names that transformers makes up."""
    return tuple(f"LABEL_{index}" for index in range(classes))


@dataclass(frozen=True)
class _Timm:
    architecture: str
    num_classes: Annotated[int, between(0, 2**20)] = 1000


def from_timm(config: object) -> Configuration:
    """The network that timm's `save_for_hf` names; of 0 classes it gives the pooled features.

    It pads and normalises as TensorFlow does where its name begins with "tf_", else as PyTorch does.

    Raises:
        UnknownVariantError: its architecture is none of the family.
        ModelError: a value is wrong.
    """
    found = decode(_Timm, config, _TITLE, ModelError, exact=False)
    tensorflow = found.architecture.startswith("tf_")
    conventions = {"padding": "same", "epsilon": 1e-3} if tensorflow else {"padding": "symmetric", "epsilon": 1e-5}
    spec = dataclasses.replace(variant(found.architecture), **conventions)  # type: ignore[arg-type]
    shape = spec.resolution, spec.resolution, spec.channels
    return Configuration(spec, shape, found.num_classes or None, pooling=True)


@dataclass(frozen=True)
class _Stackwise:
    """What the backbones of KerasCV and of KerasHub are called with."""

    stackwise_kernel_sizes: tuple[Kernel, ...]
    stackwise_num_repeats: tuple[Repeats, ...]
    stackwise_input_filters: tuple[Channels, ...]
    stackwise_output_filters: tuple[Channels, ...]
    stackwise_expansion_ratios: tuple[Channels, ...]
    stackwise_strides: tuple[Stride, ...]
    stackwise_squeeze_and_excite_ratios: tuple[Ratio, ...] | None = None
    depth_divisor: Channels = 8
    activation: str = "swish"
    input_shape: tuple[Side | None, Side | None, Channels] = (None, None, 3)


@dataclass(frozen=True)
class _KerasCV(_Stackwise):
    width_coefficient: Coefficient = 1.0
    depth_coefficient: Coefficient = 1.0
    dropout_rate: Rate = 0.2
    drop_connect_rate: Rate = 0.2
    include_rescaling: bool = False


def from_keras_cv(config: Mapping[str, Any]) -> Configuration:
    """The backbone that KerasCV builds of its `get_config()`.

    It is an EfficientNetV1Backbone, or an EfficientNetLiteBackbone where no ratio of squeeze-and-excite stands there:
    its stem and head are not scaled, nor are the repeats of its first and last stage. V1 alone has the activation after
    each projection too.

    Raises:
        ModelError: a value is wrong, or KerasCV cannot build the network either.
    """
    lite = "stackwise_squeeze_and_excite_ratios" not in config
    config = {"activation": "relu6", **config} if lite else config
    found = decode(_KerasCV, config, _TITLE, ModelError, exact=False)
    spec = custom(
        **{name: value for name, value in vars(found).items() if name.startswith("stackwise_")},
        width_coefficient=found.width_coefficient,
        depth_coefficient=found.depth_coefficient,
        dropout_rate=found.dropout_rate,
        drop_connect_rate=found.drop_connect_rate,
        depth_divisor=found.depth_divisor,
        activation=found.activation,
        stem=32 if lite else found.stackwise_input_filters[0],
        fixed_ends=lite,
        # Its correct_pad_downsample takes a side that is not known for an even one.
        padding="trailing" if None in found.input_shape else "same",
        family="lite" if lite else "v1",
        channels=found.input_shape[2],
        projection_activation=None if lite else found.activation,
    )
    _require_chained(spec)
    return Configuration(spec, found.input_shape, include_rescaling=found.include_rescaling)


@dataclass(frozen=True)
class _KerasHub(_Stackwise):
    """KerasHub's EfficientNetBackbone, without what EfficientNetV2 alone has."""

    stackwise_block_types: tuple[Literal["v1", "fused", "unfused"], ...] = ()
    stackwise_width_coefficients: tuple[Coefficient, ...] = ()
    stackwise_depth_coefficients: tuple[Coefficient, ...] = ()
    stackwise_force_input_filters: tuple[Annotated[int, between(0, 4096)], ...] = (0,) * 7
    stackwise_nores_option: tuple[bool, ...] = (False,) * 7
    dropout: Rate = 0.2
    min_depth: Channels | None = 8
    include_stem_padding: bool = True
    use_depth_divisor_as_min_depth: bool = False
    cap_round_filter_decrease: bool = False
    stem_conv_padding: Literal["valid", "same"] = "valid"
    batch_norm_momentum: Annotated[float, between(0, 1)] = 0.9
    batch_norm_epsilon: Epsilon = 1e-5
    projection_activation: str | None = None
    num_features: Channels = 1280

    def __post_init__(self) -> None:
        if len(set(self.stackwise_width_coefficients)) != 1 or len(set(self.stackwise_depth_coefficients)) != 1:
            raise ValueError("stackwise_width_coefficients and stackwise_depth_coefficients: each must be of one value")
        if self.include_stem_padding != (self.stem_conv_padding == "valid"):
            raise ValueError("stem_conv_padding must be 'valid' with include_stem_padding, else 'same'")
        if ("unfused", 1) in zip(self.stackwise_block_types, self.stackwise_expansion_ratios, strict=False):
            raise ValueError("stackwise_block_types 'unfused' must expand: EfficientNetV2's own block does not")
        if self.projection_activation is not None and set(self.stackwise_block_types) != {"v1"}:
            raise ValueError("projection_activation must be null where stackwise_block_types are not all 'v1'")


def from_keras_hub(config: Mapping[str, Any]) -> Configuration:
    """The backbone that KerasHub's EfficientNetBackbone builds of its `get_config()`, of version 1 and EdgeTPU.

    Its blocks pad as PyTorch does, but the "unfused", which pad as TensorFlow does.

    Raises:
        ModelError: a value is wrong, or the network is not of the family.
    """
    found = decode(_KerasHub, config, _TITLE, ModelError, exact=False)
    columns = (
        found.stackwise_kernel_sizes,
        found.stackwise_strides,
        found.stackwise_expansion_ratios,
        found.stackwise_input_filters,
        found.stackwise_output_filters,
        found.stackwise_num_repeats,
        found.stackwise_squeeze_and_excite_ratios or (),
        found.stackwise_block_types,
    )
    if len({len(column) for column in columns}) != 1:
        raise ModelError(f"{_TITLE}: stackwise lists differ in length: {[len(column) for column in columns]}")
    rows = zip(*columns, found.stackwise_force_input_filters, found.stackwise_nores_option, strict=False)
    stages = tuple(
        StageSpec(
            operator="fused" if kind == "fused" else "mbconv",
            kernel=kernel,
            stride=stride,
            expansion=expansion,
            inputs=forced or inputs,
            outputs=outputs,
            repeats=repeats,
            squeeze=squeeze,
            skip=not alone,
        )
        for kernel, stride, expansion, inputs, outputs, repeats, squeeze, kind, forced, alone in rows
    )
    spec = ModelSpec(
        name="custom",
        stages=stages,
        width=found.stackwise_width_coefficients[0],
        depth=found.stackwise_depth_coefficients[0],
        stem=found.stackwise_input_filters[0],
        head=found.num_features,
        activation=found.activation,
        drop_connect=found.dropout,
        depth_divisor=found.depth_divisor,
        epsilon=found.batch_norm_epsilon,
        momentum=found.batch_norm_momentum,
        padding="symmetric" if found.include_stem_padding else "same",
        channels=found.input_shape[2],
        projection_activation=found.projection_activation,
    )
    _require_rounded(found, spec)
    _require_chained(spec, found.stackwise_force_input_filters)
    kinds = [found.stackwise_block_types[block.stage - 1] for block in spec.blocks]
    spec = _padded(spec, ["same" if kind == "unfused" else "symmetric" for kind in kinds])
    return Configuration(spec, found.input_shape)


def _padded(spec: ModelSpec, paddings: Sequence[Padding]) -> ModelSpec:
    different = any(padding != spec.padding for padding in paddings)
    return dataclasses.replace(spec, block_paddings=tuple(paddings)) if different else spec


def _require_chained(spec: ModelSpec, forced: Sequence[int] = ()) -> None:
    """Refuse a stage whose channels are computed from others than it gets: the owner then fails, or builds another."""
    for number, stage in enumerate(spec.stages, start=1):
        told, blocks = spec.scaled_filters(stage.inputs), [block for block in spec.blocks if block.stage == number]
        chained = blocks[:1] if stage.squeeze or (stage.expansion > 1 and stage.operator == "mbconv") else []
        chained += blocks[1:] if any(forced[number - 1 : number]) else []
        for block in chained:
            if block.inputs != told:
                got = f"{block.name} gets {block.inputs} channels"
                raise ModelError(f"{_TITLE}: {got}: the {told} of its inputs must be as many")


def _require_rounded(found: _KerasHub, spec: ModelSpec) -> None:
    """Refuse channels that KerasHub's own ways of rounding make others than ours."""
    least = found.depth_divisor if found.use_depth_divisor_as_min_depth else found.min_depth or found.depth_divisor
    columns = (spec.stem, spec.head), *((stage.inputs, stage.outputs) for stage in spec.stages)
    for filters in sorted({filters for column in columns for filters in column}):
        scaled, divisor = filters * spec.width, found.depth_divisor
        rounded = max(least, int(scaled + divisor / 2) // divisor * divisor)
        if found.cap_round_filter_decrease and rounded < 0.9 * scaled:
            rounded += divisor
        if rounded != spec.scaled_filters(filters):
            raise ModelError(
                f"{_TITLE}: {filters} channels become {rounded}: they must be rounded as EfficientNet's, to "
                f"{spec.scaled_filters(filters)} (use_depth_divisor_as_min_depth and cap_round_filter_decrease true)"
            )
