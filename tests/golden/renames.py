"""timm's tensor names -> those of Google's checkpoints and of Keras, told from the order of a state dict alone.

TensorFlow 1 numbers the layers of one class in a scope in the order in which they are called, and timm defines them in
that order. In Keras' names the last convolution of a block projects, and a normalisation is named after its
convolution. Both rules are for the tests alone, and share nothing with the toolkit's tables.
"""

from collections import Counter
from collections.abc import Iterable, Iterator

import numpy as np

NORM_VARIABLES = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}


def google(names: Iterable[str], scope: str) -> dict[str, str]:
    """timm's name -> Google's."""
    renamed = {}
    for folder, modules in _folders(names):
        called: Counter[str] = Counter()
        for module, tensors in modules.items():
            inner, kind = f"{scope}/{folder}" + ("/se" if module.startswith("se.") else ""), _google_class(module)
            number = f"_{called[inner, kind]}" if called[inner, kind] else ""
            called[inner, kind] += 1
            for tensor in tensors:
                renamed[tensor] = f"{inner}/{kind}{number}/{_variable(tensor, module, depthwise='depthwise_kernel')}"
    return renamed


def keras(names: Iterable[str], depthwise: str = "kernel") -> dict[str, str]:
    """timm's name -> "<layer>/<variable>", with what the version of Keras calls depthwise kernels."""
    renamed, stages = {}, Counter[str]()
    for folder, modules in _folders(names):
        convolutions = [module for module in modules if module.startswith("conv")]
        layer = block = {"stem": "stem_", "head": "top_"}.get(folder, "")
        for module, tensors in modules.items():
            if not block:
                stage = tensors[0].split(".")[1]
                block = f"block{int(stage) + 1}{'abcdefghijkl'[stages[stage]]}_"
                stages[stage] += 1
            if module.startswith("bn"):
                layer = layer.replace("dwconv", "bn").replace("conv", "bn")
            elif module.startswith("se."):
                layer = block + module.replace("se.conv", "se")
            elif module == "classifier":
                layer = "predictions"
            elif module == "conv_dw":
                layer = f"{block}dwconv"
            else:
                role = "" if len(convolutions) == 1 else "project_" if module == convolutions[-1] else "expand_"
                layer = f"{block}{role}conv"
            for tensor in tensors:
                renamed[tensor] = f"{layer}/{_variable(tensor, module, depthwise)}"
    return renamed


def to_keras(name: str, values: np.ndarray) -> np.ndarray:
    """The values with the axes of Google and Keras.

    These are (height, width, in, out), (height, width, channels, 1) for depthwise kernels, and (in, out).
    """
    if values.ndim == 4:
        return values.transpose(2, 3, 0, 1) if "conv_dw" in name else values.transpose(2, 3, 1, 0)
    return values.T


def _folders(names: Iterable[str]) -> Iterator[tuple[str, dict[str, list[str]]]]:
    """stem, blocks_0, ..., head with their modules, and each module's tensors, all in order."""
    folders: dict[str, dict[str, list[str]]] = {"stem": {}}
    seen: list[str] = []
    for name in names:
        if name.endswith("num_batches_tracked"):
            continue
        path, module = "", name.rpartition(".")[0]
        if name.startswith("blocks."):
            path, module = ".".join(name.split(".")[:3]), ".".join(name.split(".")[3:-1])
            seen += [path] if path not in seen else []
        folder = f"blocks_{seen.index(path)}" if path else "stem" if module in ("conv_stem", "bn1") else "head"
        folders.setdefault(folder, {}).setdefault(module, []).append(name)
    yield from folders.items()


def _google_class(module: str) -> str:
    if module == "classifier":
        return "dense"
    if module.startswith("bn"):
        return "tpu_batch_normalization"
    return "depthwise_conv2d" if module == "conv_dw" else "conv2d"


def _variable(tensor: str, module: str, depthwise: str) -> str:
    leaf = tensor.rpartition(".")[2]
    if module.startswith("bn"):
        return NORM_VARIABLES[leaf]
    kernel = depthwise if module == "conv_dw" else "kernel"
    return {"weight": kernel, "bias": "bias"}[leaf]
