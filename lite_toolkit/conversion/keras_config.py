"""What stands in a file of Keras, and what reads it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from lite_toolkit.text import shown

EXPORT = "register its class, or export a SavedModel where its code is at hand: model.export('folder')"


@dataclass(frozen=True)
class Reader:
    """A version of Keras, for one file.

    Attributes:
        keras: the package.
        config: the file's configuration, as it takes it.
        advice: what helps where a layer cannot be made.
    """

    keras: Any
    config: Any
    advice: str


def objects(value: Any) -> Iterator[dict[str, Any]]:
    """Every dictionary in a part of a configuration."""
    if isinstance(value, dict):
        yield value
    for one in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from objects(one)


def layers(config: Any) -> Iterator[dict[str, Any]]:
    """The configurations of all layers that hold no others in a list."""
    for model in objects(config):
        layers = model.get("layers")
        for layer in layers if isinstance(layers, list) else ():
            inside = layer.get("config") if isinstance(layer, dict) else None
            if isinstance(inside, dict) and "layers" not in inside:
                yield layer


def title(layer: dict[str, Any]) -> str:
    """What errors call a layer."""
    name = layer["config"].get("name", layer.get("name"))
    return shown(f"layer {name!r} of class {layer.get('class_name')}")
