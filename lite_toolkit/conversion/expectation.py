"""What a network of the user's expects of its images: told, read off its graph, or tried on images."""

from collections.abc import Sequence

import numpy as np

from lite_toolkit.conversion import input_scaling
from lite_toolkit.conversion.float_model import Classifier, run
from lite_toolkit.conversion.input_scaling import InputScaling, Span
from lite_toolkit.conversion.request import Request
from lite_toolkit.conversion.trial import choose, whole
from lite_toolkit.errors import ModelError
from lite_toolkit.images.preprocessing import PreprocessingSpec
from lite_toolkit.progress import Steps
from lite_toolkit.tflite.manifest import Basis

_ALMOST_NOTHING = 0.05  # of the span that the first layer is made for, which is left where values are scaled twice
_OTHER = 0.25  # of that span, by which an end of another range lies beside it


def expected(classifier: Classifier, request: Request, steps: Steps) -> tuple[PreprocessingSpec, Basis]:
    """The preprocessing of a user's model, and what it was chosen by.

    Raises:
        ModelError: the preprocessing of the request scales what the network scales itself, or gives fractions to a
            network of whole numbers.
        ImageError: the images to try cannot be used.
    """
    with steps.step("preprocessing"):
        scaling = input_scaling.read(classifier)
        domain, shape = scaling.domain, (*scaling.size, scaling.channels)
    if request.preprocessing:
        return _told(request.preprocessing(scaling.size).for_channels(scaling.channels), scaling)
    if domain:
        spec = whole(domain, shape)
        sight = f"of {_ends(spec.value_range)} its first layer sees {_ends(scaling.span(spec))}{_resized(scaling)}"
        return spec, Basis("graph", f"the network scales its input itself: {sight}")
    return choose(
        lambda image: run(classifier.function, image[np.newaxis])[0][0], shape, classifier.classes, request, steps
    )


def _told(spec: PreprocessingSpec, scaling: InputScaling) -> tuple[PreprocessingSpec, Basis]:
    said = "--preprocessing says so"
    if scaling.domain is None:
        return spec, Basis("told", said)
    own = scaling.preset(scaling.domain)
    clash = f"--preprocessing gives values of {_ends(spec.value_range)}, but the network"
    advice = f"pass {scaling.domain}, {scaling.domain}-stretch or nothing"
    if scaling.whole_numbers and (spec.mean, spec.std) != (own.mean, own.std):
        raise ModelError(f"{clash} takes whole numbers: {advice}")
    made_for, given = scaling.span(own), scaling.span(spec)
    sees = f"its first layer sees {_ends(given)} instead of {_ends(made_for)}"
    if not _ALMOST_NOTHING <= _extent(given) / (_extent(made_for) or 1) <= 1 / _ALMOST_NOTHING:
        raise ModelError(f"{clash} scales its input itself, and {sees}: {advice}")
    if _differ(given, made_for):
        return spec, Basis("contradicts", f"{said}, though the network scales its input itself, and {sees}")
    return spec, Basis("told", said)


def _extent(span: Span) -> float:
    return span[1] - span[0]


def _differ(given: Span, made_for: Span) -> bool:
    return any(abs(one - other) > _OTHER * _extent(made_for) for one, other in zip(given, made_for, strict=True))


def _resized(scaling: InputScaling) -> str:
    if scaling.seen is None or scaling.seen == scaling.size:
        return ""
    sizes = ("×".join(map(str, sides)) for sides in (scaling.size, scaling.seen))
    return f", {' pixels as '.join(sizes)}"


def _ends(ends: Sequence[float]) -> str:
    return " to ".join(f"{end:.4g}" for end in ends)
