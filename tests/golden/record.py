"""Records what the original models answer, once; the tests read the recordings and never need torch.

    python tests/golden/record.py

Needs torch (CPU), timm, torchvision, transformers and omegaconf; written with torch 2.13, timm 1.0.31, torchvision 0.28
and transformers 5.24. It makes

- models.json: per model the gain of its filling and the names and shapes of its state dict;
- <model>_<size>.npy: its 1000 logits, float32 from a forward pass in float64, for `fill.image(size)` and weights
  `fill.tensor(name, shape, gain)`;
- configurations.json: of each of `CONFIGURATIONS`, the config.json that transformers saves, the gain, names and shapes
  as above, and what the network answers to `fill.image` of its size: logits, loss of a label, four pooled features, and
  of every hidden state the means of four channels;
- tensors_zip.pth, tensors_legacy.pth, tensors_protocol4.pth: one state dict in torch's file formats, with views, shared
  storage and every dtype, and tensors.npz with the same values;
- training.pth: a checkpoint as timm's CheckpointSaver writes it;
- extras.pth: a state dict among everything else that training scripts save;
- module.pth: a module instead of its state dict.
"""

import argparse
import json
import random
import sys
from pathlib import Path
from typing import Any

import fill
import numpy as np
import torch

FOLDER = fill.FOLDER
SIZES = {"efficientnet_lite0": (96, 99)}  # 99 is odd for the stem, even for the next stride (50) and odd for the rest
GAINS = {  # so that neither the activations explode nor the logits forget the input; `record_model` prints both
    "efficientnet_lite0": 1.2,
    "tf_efficientnet_lite0": 1.2,
    "efficientnet_b0": 1.25,
    "tf_efficientnet_b0": 1.25,
    "efficientnet_es": 1.05,
    "tf_efficientnet_es": 1.05,
    "huggingface_b0": 1.25,
    "torchvision_b0": 1.25,
    "efficientnet_b2": 1.15,
    "efficientnet_b3": 1.1,
    "efficientnet_em": 1.05,
}
# Three stages, of which the third keeps its shape; what an entry does not name is as here.
SMALL: dict[str, Any] = {
    "image_size": 64,
    "width_coefficient": 0.25,
    "depth_coefficient": 1.0,
    "kernel_sizes": [3, 5, 3],
    "in_channels": [32, 16, 40],
    "out_channels": [16, 40, 40],
    "strides": [1, 2, 1],
    "num_block_repeats": [1, 1, 2],
    "expand_ratios": [1, 4, 6],
    "hidden_dim": 320,
    "num_labels": 10,
}
CONFIGURATIONS: dict[str, dict[str, Any]] = {
    "gelu": {"hidden_act": "gelu"},
    "gelu_new": {"hidden_act": "gelu_new"},
    "relu": {"hidden_act": "relu", "image_size": [48, 64]},
    "selu": {"hidden_act": "selu"},
    "silu": {"hidden_act": "silu", "id2label": {0: "cat", 1: "dog", 2: "grey owl"}, "num_labels": 3},
    "swish": {"num_labels": 1, "num_hidden_layers": 7},
    "mish": {"hidden_act": "mish", "squeeze_expansion_ratio": 0.5},
    "max": {"pooling_type": "max"},
    "odd": {"image_size": 45},
    "odd padded": {"image_size": 45, "depthwise_padding": [1, 2], "strides": [1, 2, 2]},
    "grey": {"num_channels": 1, "squeeze_expansion_ratio": 0.0, "batch_norm_eps": 0.01},
    "scaled": {
        "num_channels": 4,
        "width_coefficient": 0.3,
        "depth_coefficient": 1.4,
        "depth_divisor": 4,
        "hidden_dim": 384,
        "drop_connect_rate": 0.0,
    },
    "seven stages": {
        "width_coefficient": 0.1,
        "kernel_sizes": [3, 3, 5, 3, 5, 5, 3],
        "in_channels": [32, 16, 24, 40, 80, 112, 192],
        "out_channels": [16, 24, 40, 80, 112, 192, 320],
        "strides": [1, 2, 2, 2, 1, 2, 1],
        "num_block_repeats": [1, 1, 1, 1, 1, 1, 1],
        "expand_ratios": [1, 2, 2, 2, 2, 2, 2],
        "hidden_dim": 128,
    },
}


def leave_out_operators_of_torchvision() -> None:
    """They have no CPU build for every torch; its networks, and what timm and transformers import, need none."""
    register = torch.library.register_fake

    def registered(operator: Any, *rest: Any, **options: Any) -> Any:
        if isinstance(operator, str) and operator.startswith("torchvision"):
            return lambda function: function
        return register(operator, *rest, **options)

    torch.library.register_fake = registered


def original(name: str) -> torch.nn.Module:
    """The network as its owner builds it."""
    import timm
    import torchvision
    from transformers import EfficientNetConfig, EfficientNetForImageClassification

    if name == "torchvision_b0":
        return torchvision.models.efficientnet_b0()
    if name != "huggingface_b0":
        return timm.create_model(name)
    config = EfficientNetConfig(width_coefficient=1.0, depth_coefficient=1.0, hidden_dim=1280, num_labels=1000)
    return EfficientNetForImageClassification(config)


def logits(model: torch.nn.Module, image: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        answer = model(torch.from_numpy(image).permute(0, 3, 1, 2).double())
    return getattr(answer, "logits", answer)[0].numpy().astype(np.float32)


def record_model(name: str) -> dict[str, object]:
    """Write the logits of one model; print how they and its maps spread, and what mirroring the input changes."""
    model, gain = original(name), GAINS[name]
    shapes = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    model.load_state_dict({key: torch.from_numpy(fill.tensor(key, shape, gain)) for key, shape in shapes.items()})
    model.eval().double()
    spreads: list[float] = []
    for module in model.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.register_forward_hook(lambda _module, _inputs, output: spreads.append(output.std().item()))
    for size in SIZES.get(name, (96,)):
        image = fill.image(size)
        answer = logits(model, image)
        np.save(FOLDER / f"{name}_{size}.npy", answer)
        change = np.abs(answer - logits(model, image[:, ::-1].copy())).max()
        sys.stdout.write(
            f"{name} {size}: logits {answer.std():.2f}, maps {min(spreads):.2f} to {max(spreads):.2f}, "
            f"mirrored {change:.2f}\n"
        )
    return {"gain": gain, "tensors": shapes}


def record_configuration(name: str) -> dict[str, Any]:
    """What transformers makes of one configuration: its file, and what the network answers; prints how it spreads."""
    from transformers import EfficientNetConfig, EfficientNetForImageClassification
    from transformers.activations import ACT2FN

    ACT2FN["selu"] = torch.nn.SELU  # which the documentation of `hidden_act` names, but the table has not
    config = EfficientNetConfig(**SMALL | CONFIGURATIONS[name])
    model, gain = EfficientNetForImageClassification(config).eval(), 1.3
    shapes = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    model.load_state_dict({key: torch.from_numpy(fill.tensor(key, shape, gain)) for key, shape in shapes.items()})
    size = config.image_size if isinstance(config.image_size, list) else [config.image_size] * 2
    pixels = torch.from_numpy(fill.image(*size, config.num_channels)).permute(0, 3, 1, 2).double()
    model.double()
    with torch.inference_mode():
        answer = model(pixels, output_hidden_states=True)
        features = model.efficientnet(pixels)
        label = torch.tensor([2.5] if config.num_labels == 1 else [1])
        loss = model(pixels, labels=label).loss
        mirrored = model(pixels.flip(3)).logits
    change = (answer.logits - mirrored).abs().max()
    sys.stdout.write(f"{name}: logits {answer.logits.std(correction=0):.2f}, mirrored {change:.2f}\n")
    config.architectures = ["EfficientNetForImageClassification"]
    return {
        "config": json.loads(config.to_json_string(use_diff=True)),
        "gain": gain,
        "tensors": shapes,
        "logits": rounded(answer.logits[0]),
        "hidden_states": [rounded(state.mean((0, 2, 3))[:4]) for state in answer.hidden_states],
        "pooled": rounded(features.pooler_output[0, :4]),
        "last_hidden_state": [*features.last_hidden_state.shape],
        "label": label.tolist(),
        "loss": rounded(loss[None])[0],
    }


def rounded(values: torch.Tensor) -> list[float]:
    return [round(value, 6) for value in values.tolist()]


def record_files() -> None:
    """Write one state dict in every file format of torch, and what it holds."""
    base = torch.arange(24, dtype=torch.float32).reshape(4, 6) / 8
    dtypes = {
        "half": torch.float16,
        "bfloat16": torch.bfloat16,
        "double": torch.float64,
        "long": torch.int64,
        "int": torch.int32,
        "short": torch.int16,
        "char": torch.int8,
        "byte": torch.uint8,
        "bool": torch.bool,
    }
    state = {name: (torch.arange(5) - (name not in ("byte", "bool")) * 2).to(dtype) for name, dtype in dtypes.items()}
    state |= {"float": base, "transposed": base.T, "sliced": base[1:3, ::2], "shared": base[2]}
    state |= {"parameter": torch.nn.Parameter(base[:2] * 3), "scalar": torch.tensor(7.5), "empty": torch.zeros(0, 3)}
    torch.save(state, FOLDER / "tensors_zip.pth")
    torch.save(state, FOLDER / "tensors_legacy.pth", _use_new_zipfile_serialization=False)
    torch.save(state, FOLDER / "tensors_protocol4.pth", pickle_protocol=4)
    values = {name: tensor.detach() for name, tensor in state.items()}
    values["bfloat16"] = values["bfloat16"].float()
    np.savez_compressed(FOLDER / "tensors.npz", **{name: tensor.numpy() for name, tensor in values.items()})


def record_training() -> None:
    """Write what timm's train.py leaves after an epoch, with averaged weights that differ from the raw ones."""
    from timm.utils import CheckpointSaver, ModelEmaV2

    model = torch.nn.Sequential(torch.nn.Conv2d(3, 2, 1), torch.nn.BatchNorm2d(2))
    average = ModelEmaV2(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    model(torch.ones(1, 3, 4, 4)).sum().backward()
    optimizer.step()
    for index, values in enumerate(model.state_dict().values()):
        values.fill_(index)
    for index, values in enumerate(average.module.state_dict().values()):
        values.fill_(10 + index)
    arguments = argparse.Namespace(model="efficientnet_lite0", lr=0.1, mean=None, betas=(0.9, 0.99), ema=True)
    saver = CheckpointSaver(model, optimizer, arguments, average, checkpoint_dir=str(FOLDER), recovery_dir=str(FOLDER))
    saver._save(str(FOLDER / "training.pth"), epoch=3, metric=71.5)


def record_extras() -> None:
    """Write what stands beside weights, one of each kind: nothing of it is a weight, and nothing of it may be made."""
    from omegaconf import OmegaConf

    module = torch.nn.Conv2d(3, 2, 1)
    optimizer = torch.optim.AdamW(module.parameters())
    weights = {"weight": torch.arange(6.0).reshape(2, 3, 1, 1), "bias": torch.nn.Parameter(torch.arange(2.0))}
    weights["bias"].attribute = "a parameter with attributes is written otherwise"
    extras = {
        "device": torch.device("cuda:0"),
        "dtype": torch.float32,
        "size": torch.Size([3, 4]),
        "states": (torch.get_rng_state(), np.random.default_rng(0), random.getstate()),
        "loss": torch.nn.CrossEntropyLoss(torch.ones(2)),
        "scheduler": torch.optim.lr_scheduler.StepLR(optimizer, 3),
        "quantized": torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8),
        "sparse": torch.eye(3).to_sparse(),
        "omegaconf": OmegaConf.create({"optimizer": {"lr": 0.1, "twice": "${optimizer.lr}"}}),
        "arguments": argparse.Namespace(lr=np.float64(0.1), folder=Path("runs")),
    }
    torch.save({"state_dict": weights, **extras}, FOLDER / "extras.pth")


def record_module() -> None:
    """Write a module instead of its state dict."""
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 2, 1), torch.nn.BatchNorm2d(2)).eval()
    for index, values in enumerate(module.state_dict().values()):
        values.fill_(index)
    torch.save(module, FOLDER / "module.pth")


def save(recordings: dict[str, Any], path: Path) -> None:
    """One line for each."""
    lines = ",\n".join(f'"{name}": {json.dumps(recording)}' for name, recording in recordings.items())
    path.write_text(f"{{\n{lines}\n}}\n")


def main() -> None:
    record_files()
    record_module()
    record_extras()
    leave_out_operators_of_torchvision()
    record_training()
    save({name: record_model(name) for name in GAINS}, FOLDER / "models.json")
    save({name: record_configuration(name) for name in CONFIGURATIONS}, FOLDER / "configurations.json")


if __name__ == "__main__":
    main()
