"""Records what KerasCV's and KerasHub's backbones answer; the tests read the recordings and need neither.

    python tests/golden/record_keras.py

Needs tensorflow, keras-cv and keras-hub; written with Keras 3.15, KerasCV 0.9.0 and KerasHub 0.32.0. It makes
backbones.json: of each of `BACKBONES`, the configuration that Keras saves, the side of the input and what the last
feature map is for `fill.image` of it: its shape, eight channels of its first place, and the means of eight channels.
"""

import json
import sys
from typing import Any

import fill
import keras
import keras_cv
import keras_hub
import numpy as np

THREE_STAGES = {
    "stackwise_kernel_sizes": [3, 5, 3],
    "stackwise_num_repeats": [1, 2, 1],
    "stackwise_input_filters": [32, 16, 24],
    "stackwise_output_filters": [16, 24, 40],
    "stackwise_expansion_ratios": [1, 4, 6],
    "stackwise_strides": [1, 2, 2],
}
OF_TIMM = {  # as keras_hub/src/utils/timm/convert_efficientnet.py has it
    **THREE_STAGES,
    "stackwise_width_coefficients": [0.5] * 3,
    "stackwise_depth_coefficients": [1.2] * 3,
    "min_depth": None,
    "use_depth_divisor_as_min_depth": True,
    "cap_round_filter_decrease": True,
    "dropout": 0,
}
SCALED = {"width_coefficient": 0.6, "depth_coefficient": 1.2}
SQUEEZED = {"stackwise_squeeze_and_excite_ratios": [0.25, 0.5, 0.25]}
Lite, V1 = keras_cv.models.EfficientNetLiteBackbone, keras_cv.models.EfficientNetV1Backbone
Hub = keras_hub.models.EfficientNetBackbone
# The owner's class, its arguments, and the side of the input.
BACKBONES: dict[str, tuple[Any, dict[str, Any], int]] = {
    "lite": (Lite, THREE_STAGES | SCALED | {"include_rescaling": True, "input_shape": (64, 64, 3)}, 64),
    "v1": (V1, THREE_STAGES | SCALED | SQUEEZED | {"include_rescaling": False, "activation": "gelu"}, 45),
    "v1 of a size": (
        V1,
        THREE_STAGES
        | SQUEEZED
        | {"width_coefficient": 0.3, "depth_coefficient": 1.0, "include_rescaling": False}
        | {"activation": "hard_silu", "input_shape": (45, 45, 1)},
        45,
    ),
    "hub": (Hub, OF_TIMM | SQUEEZED | {"stackwise_block_types": ["v1"] * 3, "projection_activation": "tanh"}, 64),
    "hub edgetpu": (
        Hub,
        OF_TIMM
        | {"stackwise_squeeze_and_excite_ratios": [0, 0, 0.25], "stackwise_block_types": ["fused", "fused", "unfused"]}
        | {"stackwise_force_input_filters": [24, 0, 0], "stackwise_depth_coefficients": [1.0] * 3}
        | {"activation": "relu", "stackwise_expansion_ratios": [4, 4, 6]},
        64,
    ),
}
RENAMED = {"_dwconv_bn": "_bn", "_dwconv2": "_dwconv", "_project": "_project_conv"}  # KerasHub's -> KerasCV's


def canonical(layer: str) -> str:
    """KerasCV's name of a layer, which is ours."""
    ending = next((theirs for theirs in RENAMED if layer.endswith(theirs)), None)
    return layer.removesuffix(ending) + RENAMED[ending] if ending else layer


def record(name: str) -> dict[str, Any]:
    """Fill one backbone, and tell its answer; prints how it spreads and what mirroring the input changes."""
    owner, arguments, side = BACKBONES[name]
    model = owner(**arguments)
    for layer in model._flatten_layers(include_self=False):
        for variable in [] if layer._layers else layer.weights:
            variable.assign(fill.of_keras(canonical(layer.name), variable.name, tuple(variable.shape)))
    image = fill.image(side, channels=model.input_shape[-1])
    answer = np.asarray(model(image, training=False))[0]
    change = np.abs(answer[:, ::-1] - np.asarray(model(image[:, :, ::-1], training=False))[0]).max()
    sys.stdout.write(f"{name}: {answer.shape}, spread {answer.std():.2f}, mirrored {change:.2f}\n")
    return {
        "config": keras.saving.serialize_keras_object(model),
        "side": side,
        "shape": answer.shape,
        "first": [round(float(value), 6) for value in answer[0, 0, :8]],
        "means": [round(float(value), 6) for value in answer.mean((0, 1))[:8]],
    }


def main() -> None:
    recorded = {name: record(name) for name in BACKBONES}
    lines = ",\n".join(f'"{name}": {json.dumps(one)}' for name, one in recorded.items())
    (fill.FOLDER / "backbones.json").write_text(f"{{\n{lines}\n}}\n")


if __name__ == "__main__":
    main()
