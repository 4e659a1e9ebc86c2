"""What helps against the error of a layer, told from its figures."""

from collections.abc import Sequence

from lite_toolkit.measurement.loss import Finding, LayerError

_MUCH = 20.0  # percent of the own error power from which a cause is worth a remedy
_WRONG = 0.1  # distance of the slope over all channels from 1 that is more than noise
_MOST = 50.0  # rounding is in every quantized output, and worth one only where the rest is less


def worst(layers: Sequence[LayerError], count: int = 5) -> tuple[Finding, ...]:
    """The `count` layers that add most error: those of the lowest own SQNR first.

    Unlike the SQNR in the running network, a layer's own SQNR does not depend on the other layers: a fault in one
    spoils all that follow, but only its own figure.
    """
    known = [(layer.own_sqnr_db, layer) for layer in layers if layer.own_sqnr_db is not None]
    lowest = sorted(known, key=lambda pair: pair[0])[:count]
    return tuple(Finding(layer.name, layer.tensor, tuple(remedies(layer))) for _, layer in lowest)


def remedies(layer: LayerError) -> list[str]:
    """What helps, one phrase for each cause of much of the layer's own error, the greatest first."""
    causes = [
        (layer.clipping_percent, _MUCH, "wider range: {:.0f}% of its error are values that saturate"),
        (layer.slope_percent, _MUCH, "slope correction: {:.0f}% of its error is the slope of each channel"),
        (layer.bias_percent, _MUCH, "bias correction: {:.0f}% of its error is constant in each channel"),
        (layer.rounding_percent, _MOST, "narrower range or int16 activations: {:.0f}% of its error is rounding"),
    ]
    found = [(min(share, 100.0), text) for share, least, text in causes if share is not None and share >= least]
    told = [text.format(share) for share, text in sorted(found, reverse=True)]
    if layer.slope is not None and abs(layer.slope - 1) > _WRONG:
        told.insert(0, f"other scales: its values vary {layer.slope:.2f} times as much as the float ones")
    if layer.weights == "per-tensor":
        told.insert(0, "a scale for each channel of the weights: they share one")
    return told or ["higher precision for this layer: no single cause has much of its error"]
