"""The tensors of a checkpoint as the variables of a network.

A checkpoint can hold several sets of weights, each a `Network`: wherever a layout's first convolution is, there is one,
and what stands before that convolution's name is the prefix of all its names. Those that do not fit the variant are
left. Of several that fit, averaged weights are taken, as evaluation uses them; between others there is no choosing.
"""

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lite_toolkit.errors import WeightsError
from lite_toolkit.networks.architectures import VARIANTS, LayerSpec, ModelSpec
from lite_toolkit.weights.checkpoints import Checkpoint
from lite_toolkit.weights.layouts import LAYOUTS, Framework, Names, Tensors

Variables = Mapping[str, npt.NDArray[np.float32]]

SHOWN = 3  # names per complaint
MAX_NETWORKS = 64  # in one checkpoint
AVERAGED = re.compile(r"(?<![a-z])(?<!exp_)(?:ema|swa|avg|averaged?|shadow)(?![a-z])[^./]*", re.IGNORECASE)
UNAVERAGED = "current_model_state"  # Lightning's WeightAveraging saves it beside the averages, its state_dict
COUNTER = "n_averaged"  # torch's AveragedModel holds copies of the first weights while it is 0
TRAINING = re.compile(r"(?<![a-z])(?:criterion|loss|losses|metrics?)(?![a-z])", re.IGNORECASE)


@dataclass(frozen=True)
class MatchedWeights:
    """A checkpoint in Keras' terms.

    Attributes:
        layout: whose names the checkpoint has; a key of `LAYOUTS`.
        variables: canonical name -> float32 array. Kernels are (height, width, inputs, outputs), depthwise ones
            (height, width, channels, 1), dense ones (inputs, outputs); all others (channels,).
        classes: outputs of the classifier; None where the checkpoint has none.
        chosen: what the names of these weights begin with; None where the checkpoint holds no others.
        note: a sentence on what was chosen and what was not; None likewise.
    """

    layout: str
    variables: Variables
    classes: int | None
    chosen: str | None = None
    note: str | None = None


@dataclass(frozen=True)
class Place:
    """Where a variable is in a checkpoint: its name and shape there, and the axes in Keras' order."""

    name: str
    shape: tuple[int, ...]
    axes: tuple[int, ...]


@dataclass(frozen=True)
class Network:
    """One set of weights in a checkpoint.

    Attributes:
        layout: whose names it has; a key of `LAYOUTS`.
        prefix: what these begin with: the keys of dicts, each with a slash, then modules, each with a dot.
        tensors: all that may belong to it, by their whole names.
        rank: 2 for averaged weights, 0 for those that averages are kept beside, else 1.
    """

    layout: str
    prefix: str
    tensors: Tensors
    rank: int

    def __str__(self) -> str:
        where = repr(self.prefix.rstrip("./")) if self.prefix else "the outermost"
        return f"{where} (averaged)" if self.rank == 2 else where


def match(checkpoint: Checkpoint, spec: ModelSpec) -> MatchedWeights:
    """The checkpoint's tensors as variables of `spec`: every variable has one, and every tensor is used once.

    The classifier may have any number of classes and any name, or be absent.

    Raises:
        WeightsError: no known names, or names or shapes that do not fit; says which, and what variants they fit. Or
            several sets of weights fit, and none is averaged. Or a value that is not finite.
    """
    found = _networks(checkpoint)
    networks = [_with_classifier(network, found, checkpoint.tensors, spec) for network in found]
    if not networks:
        names = _enumerate("tensors", [repr(tensor) for tensor in checkpoint.tensors])
        raise WeightsError(f"{checkpoint.path}: {names} with names of no known layout: {', '.join(LAYOUTS)}")
    fitting = [network for network in networks if not _faults(network, spec)]
    if not fitting:
        raise WeightsError(f"{checkpoint.path} {_misfit(networks, spec)}")
    chosen, variables = _choose(fitting, spec, checkpoint.path)
    kernel = variables.get("predictions/kernel")
    left = [str(network) for network in networks if network is not chosen]
    left += _other_averages(checkpoint.tensors, networks)
    return MatchedWeights(
        layout=chosen.layout,
        variables=variables,
        classes=None if kernel is None else kernel.shape[1],
        chosen=chosen.prefix if left else None,
        note=f"The checkpoint holds other weights too: {chosen} is used, not {' and '.join(left)}." if left else None,
    )


def _networks(checkpoint: Checkpoint) -> list[Network]:
    """Every set of weights: one for each first convolution."""
    tensors, found = checkpoint.tensors, []
    for name, layout in LAYOUTS.items():
        weights, stem = layout.normalise(tensors), layout.kernel("stem_conv")
        prefixes = [tensor.removesuffix(stem) for tensor in weights if tensor.endswith(stem)]
        found += [(name, prefix, weights) for prefix in prefixes if prefix[-1:] in ("", ".", "/")]
    if len(found) > MAX_NETWORKS:
        raise WeightsError(f"{checkpoint.path} holds {len(found)} networks, more than {MAX_NETWORKS}: save one alone")
    prefixes = [prefix for _, prefix, _ in found]
    return [
        Network(name, prefix, _belonging(weights, prefix, prefixes), _rank(tensors, prefix))
        for name, prefix, weights in found
    ]


def _scope(prefix: str) -> str:
    """What the names of everything begin with that can belong to the network: its dict's, or that of the averages."""
    start = prefix.rfind("/") + 1
    averaged = AVERAGED.search(prefix, start)
    return prefix[: prefix.index(".", averaged.end()) + 1] if averaged else prefix[:start]


def _belonging(tensors: Tensors, prefix: str, prefixes: Sequence[str]) -> Tensors:
    """Those of the network, and those beside it that could be its classifier."""
    scope = _scope(prefix)
    others = tuple(other for other in prefixes if other.startswith(scope) and not prefix.startswith(other))
    return {
        name: tensor
        for name, tensor in tensors.items()
        if name.startswith(scope) and not name.startswith(others)
        if name.startswith(prefix) or not _is_for_training(name.removeprefix(scope), tensor)
    }


def _is_for_training(name: str, tensor: npt.NDArray[Any]) -> bool:
    """Whether a tensor beside a network is a counter, an average, or what a loss or a metric keeps."""
    counter = tensor.size == 1 and tensor.dtype.kind != "f"
    return counter or bool(AVERAGED.search(name)) or (tensor.ndim < 2 and bool(TRAINING.search(name)))


def _rank(tensors: Tensors, prefix: str) -> int:
    averages = tensors.get(_scope(prefix) + COUNTER)
    if averages is not None and averages.size == 1:
        return 2 if averages.any() else 0
    return 0 if UNAVERAGED in prefix else 2 if AVERAGED.search(prefix) else 1


def _other_averages(tensors: Tensors, networks: Sequence[Network]) -> list[str]:
    """Where averages are that are no network, such as those without names."""
    scopes = [scope for network in networks if (scope := _scope(network.prefix)).endswith(".")]
    known = tuple(network.prefix for network in networks) + tuple(scopes)
    found = ((name, AVERAGED.search(name)) for name in tensors if not name.startswith(known))
    return sorted({repr(name[: part.end()]) for name, part in found if part and not name.endswith(COUNTER)})


def _choose(fitting: Sequence[Network], spec: ModelSpec, path: Path) -> tuple[Network, Variables]:
    """The best of the networks that fit: those with a classifier come first, then the rank tells.

    Raises:
        WeightsError: there are two of the same rank, which are not equal; or a value that is not finite.
    """
    ranks = [("predictions/kernel" in _places(network, spec), network.rank) for network in fitting]
    first, *others = [network for network, rank in zip(fitting, ranks, strict=True) if rank == max(ranks)]
    variables = _variables(first, spec, path)
    for other in others:
        found = _variables(other, spec, path)
        if found.keys() != variables.keys() or any(not np.array_equal(found[key], variables[key]) for key in found):
            raise WeightsError(f"{path} holds {first} and {other}, which both fit {spec.name}: save one of them alone")
    return first, variables


def _variables(network: Network, spec: ModelSpec, path: Path) -> Variables:
    variables = {}
    for variable, place in _places(network, spec).items():
        with np.errstate(over="ignore"):  # told by the next line
            values = np.ascontiguousarray(network.tensors[place.name].transpose(place.axes), np.float32)
        if not np.isfinite(values).all():
            raise WeightsError(f"{path}: {place.name!r} has values that are not float32 numbers")
        variables[variable] = values
    return variables


def _misfit(networks: Sequence[Network], spec: ModelSpec) -> str:
    """Why the network that comes nearest does not fit."""
    nearest = min(networks, key=lambda network: sum(map(len, _faults(network, spec).values())))
    complaints = "; ".join(_enumerate(label, items) for label, items in _faults(nearest, spec).items())
    fits = [name for name, other in VARIANTS.items() if not _faults(nearest, other)]
    hint = f"; it fits {', '.join(fits)}" if fits else ""
    return f"({nearest.layout} names) does not fit {spec.name}: {complaints}{hint}"


def _places(network: Network, spec: ModelSpec) -> dict[str, Place]:
    """Canonical name -> place, of all variables."""
    layout = LAYOUTS[network.layout]
    paths = {layer: network.prefix + path for layer, path in layout.paths(spec).items()}
    backbone = _placed(spec.layers(None), paths, layout.framework)
    paths["predictions"] = _head(network, {place.name for place in backbone.values()})
    return _placed(spec.layers(_classes(network, paths["predictions"])), paths, layout.framework)


def _head(network: Network, backbone: Set[str]) -> str:
    """Path of the classifier: of the one dense layer that is left, in a Sequential or beside; else the layout's."""
    layout = LAYOUTS[network.layout]
    own, kernel, bias = layout.ends["predictions"], layout.framework.names["kernel"], layout.framework.names["bias"]
    left = network.tensors.keys() - backbone
    found = [name.removesuffix(kernel) for name in left if name.endswith(kernel)]
    if len(found) == 1 and left == {found[0] + kernel, found[0] + bias}:
        return found[0]
    places = network.prefix + own, _scope(network.prefix) + own
    return next((path for path in places if path + kernel in network.tensors), places[0])


def _with_classifier(network: Network, networks: Sequence[Network], tensors: Tensors, spec: ModelSpec) -> Network:
    """With the one dense layer that fits and is in another dict, where the network has none and is no average."""
    if network.rank == 2 or "predictions/kernel" in _places(network, spec):
        return network
    layout = LAYOUTS[network.layout]
    kernel, bias = layout.framework.names["kernel"], layout.framework.names["bias"]
    known, inputs = tuple(_scope(other.prefix) for other in networks), layout.framework.axes["dense"][0]
    elsewhere = {name: tensor for name, tensor in layout.normalise(tensors).items() if not name.startswith(known)}
    dense = [
        {name: tensor, beside: elsewhere[beside]}
        for name, tensor in elsewhere.items()
        if name.endswith(kernel) and tensor.ndim == 2 and tensor.shape[inputs] == spec.head_filters
        if (beside := name.removesuffix(kernel) + bias) in elsewhere
    ]
    return dataclasses.replace(network, tensors={**network.tensors, **dense[0]}) if len(dense) == 1 else network


def _classes(network: Network, head: str) -> int | None:
    framework = LAYOUTS[network.layout].framework
    kernel = network.tensors.get(head + framework.names["kernel"])
    if kernel is None:
        return None
    outputs = framework.axes["dense"][1]
    return kernel.shape[outputs] if kernel.ndim == 2 else 1000  # any number: its shape is wrong anyway


def _placed(layers: Iterator[LayerSpec], paths: Names, framework: Framework) -> dict[str, Place]:
    places = {}
    for layer in layers:
        for owner, variable, shape in _learned(layer):
            axes = framework.axes[layer.kind] if variable == "kernel" else (0,)
            stored = tuple(shape[axes.index(axis)] for axis in range(len(shape)))
            places[f"{owner}/{variable}"] = Place(paths[owner] + framework.names[variable], stored, axes)
    return places


def _learned(layer: LayerSpec) -> Iterator[tuple[str, str, tuple[int, ...]]]:
    """(layer, variable, shape in Keras) of everything that one layer and its normalisation learn."""
    kernels = {
        "conv": (layer.kernel, layer.kernel, layer.inputs, layer.outputs),
        "depthwise": (layer.kernel, layer.kernel, layer.outputs, 1),
        "dense": (layer.inputs, layer.outputs),
    }
    yield layer.name, "kernel", kernels[layer.kind]
    if layer.bias:
        yield layer.name, "bias", (layer.outputs,)
    if layer.batch_norm is not None:
        for variable in ("gamma", "beta", "moving_mean", "moving_variance"):
            yield layer.batch_norm, variable, (layer.outputs,)


def _faults(network: Network, spec: ModelSpec) -> dict[str, list[str]]:
    """What is wrong between the tensors there are and the places where they should be: the kinds with the names."""
    tensors, shapes = network.tensors, {place.name: place.shape for place in _places(network, spec).values()}
    wrong = [
        f"{name!r} {tensor.dtype} {tensor.shape} instead of float {shapes[name]}"
        for name, tensor in tensors.items()
        if name in shapes and (tensor.shape != shapes[name] or tensor.dtype.kind != "f")
    ]
    missing = [repr(name) for name in shapes if name not in tensors]
    unexpected = [repr(name) for name in tensors if name not in shapes]
    faults = {"missing": missing, "unexpected": unexpected, "of another shape": wrong}
    return {label: names for label, names in faults.items() if names}


def _enumerate(label: str, items: Sequence[str]) -> str:
    more = ", ..." if len(items) > SHOWN else ""
    return f"{len(items)} {label} ({', '.join(items[:SHOWN])}{more})"
