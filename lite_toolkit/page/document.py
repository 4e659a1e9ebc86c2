"""Results -> one page of HTML, which needs no other file, no network and no script."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from lite_toolkit.drawings import pictures
from lite_toolkit.errors import MissingExtraError, ReportError
from lite_toolkit.page import plots, reproduction, tables, thumbnails
from lite_toolkit.page.overview import LABELS_SHOWN, Overview, Timing, overview, title
from lite_toolkit.progress import Steps
from lite_toolkit.reports.reading import KINDS, Source
from lite_toolkit.text import LONGEST_TEXT, cleaned
from lite_toolkit.version import __version__

_TEMPLATE = "page.html"


def require() -> None:
    """Refuse early what could not be done.

    Raises:
        MissingExtraError: jinja2 or matplotlib is not installed.
    """
    pictures.require_matplotlib()
    try:
        import jinja2  # noqa: F401  # only whether it is there
    except ImportError as error:
        raise MissingExtraError("jinja2", "report") from error


def compose(
    sources: Sequence[Source],
    *,
    heading: str = "Model report",
    images: Path | None = None,
    class_index: Path | None = None,
    steps: Steps | None = None,
) -> tuple[str, Overview]:
    """The page, and what it shows; equal results give equal bytes.

    Args:
        sources: what was read.
        heading: what it is called.
        images: folder of images with classes, to show of those that are confused, or whose labels are doubtful.
        class_index: a file of the data set's classes, as for `evaluate`.
        steps: shows how far it is.

    Raises:
        ReportError: `images` is given, and no evaluation with confusions, nor survey, is of a folder of that name.
        ImageError: there are no images, or their classes are not told.
    """
    steps = steps or Steps()
    found = overview(sources)
    with steps.step("thumbnails"):
        name = cleaned(images.resolve().name, LONGEST_TEXT) if images else None
        surveyed = [survey for survey in found.surveys if survey.data == name]
        doubted = thumbnails.doubted(images, surveyed[0]) if images and surveyed else {}
        examples = _examples(found, images, class_index, bool(surveyed)) if images else {}
    with steps.step("draw"):
        content = _content(found)
    return _environment().get_template(_TEMPLATE).render(
        **content, title=heading, examples=examples, doubted=doubted, surveyed=name
    ), found


def _environment() -> Any:
    import jinja2

    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )


def _examples(found: Overview, images: Path, class_index: Path | None, surveyed: bool) -> dict[str, dict[int, str]]:
    """Pictures by the titles of those confusions that are of these images, and by class; none are needed of images
    that were surveyed."""
    if not found.confusions and not surveyed:
        raise ReportError(f"--images {images}: there is no evaluation with confusions to show images of")
    name = cleaned(images.resolve().name, LONGEST_TEXT)
    groups = [group for group in found.confusions if group.data == name]
    if not groups and not surveyed:
        others = ", ".join(dict.fromkeys(group.data for group in found.confusions))
        raise ReportError(f"--images {images}: the evaluations with confusions are of {others}, not of {name}")
    return {group.title: thumbnails.examples(images, class_index, group) for group in groups}


def _content(found: Overview) -> dict[str, Any]:
    return {
        "version": __version__,
        "found": found,
        "summary": tables.summary(found),
        "accuracy": plots.accuracy(found),
        "accuracies": tables.accuracies(found),
        "labels": tables.labels(found),
        "remarks": [(model.title, one.notes) for model in found.models for one in model.judged if one.notes],
        **_latency(found),
        "contents": [
            (one, tables.contents(one), tables.copies(one), one.labels[:LABELS_SHOWN]) for one in found.surveys
        ],
        "losses": tables.losses(found),
        "layers": list(_layers(found)),
        "chips": tables.chips(found),
        "left": tables.left(found),
        "machines": tables.machines(found),
        "commands": [(source.file, reproduction.commands(source)) for source in sorted(found.sources, key=_order)],
        "origins": tables.origins(found),
        "hashes": tables.hashes(found),
        "files": tables.files(found),
    }


def _latency(found: Overview) -> dict[str, Any]:
    timings = [(_title(found, timing), timing) for model in found.models for timing in model.timings]
    numbered = list(enumerate(timings))
    return {
        "strips": plots.distributions(found),
        "latencies": tables.latencies(found),
        "doubts": [(name, timing.measured.doubts) for name, timing in timings if timing.measured.doubts],
        "runs": [
            (plots.runs(found, timing, number, len(timings)), tables.tenths(name, timing))
            for number, (name, timing) in numbered
        ],
        "sustained": [
            (name, plots.sustained(found, timing, number), tables.sustained(name, timing))
            for number, (name, timing) in numbered
            if timing.measured.sustained
        ],
        "stages": [tables.stages(name, timing) for name, timing in timings if timing.measured.pipeline],
        "kinds": tables.kinds(found),
        "slowest": tables.slowest(found),
    }


def _layers(found: Overview) -> Iterator[tuple[str, plots.Plot, tables.Table | None, tables.Table | None]]:
    losses = [(model, loss) for model in found.models for loss in model.losses if loss.assessment.layers]
    for number, (model, loss) in enumerate(losses):
        yield model.title, plots.layers(loss, number), tables.worst(loss), tables.layers(loss)


def _order(source: Source) -> int:
    """A model is made before it is judged and timed."""
    return KINDS.index(type(source.report))


def _title(found: Overview, timing: Timing) -> str:
    return f"{title(timing.measured.model)}, {found.place(timing)}"
