"""`lite-toolkit classify`."""

from pathlib import Path

import click

from lite_toolkit.cli.commands.options import ANY_PATH, FILE, Command, Delivery, delegation, reporting, sized
from lite_toolkit.documents import document
from lite_toolkit.errors import ImageError
from lite_toolkit.runtime import processors


@click.command(cls=Command)
@click.argument("model", type=ANY_PATH)
@click.argument("images", type=ANY_PATH, nargs=-1, required=True)
@click.option("--labels", type=FILE, help="Class names, one a line; by default the manifest's, or the model's own.")
@click.option("--top", type=click.IntRange(min=1), default=5, show_default=True, help="Classes shown of each image.")
@click.option(
    "--threads", type=click.IntRange(1, processors.MAXIMUM), help="Of the kernels; by default one for each processor."
)
@click.option("--preprocessing", metavar="NAME|FILE", help="As for `convert`; by default the manifest's.")
@click.option("--resize", type=click.Choice(["mediapipe"]), help="Resize as MediaPipe's client does, without crop.")
@delegation
@reporting
def classify(
    model: Path,
    images: tuple[Path, ...],
    labels: Path | None,
    top: int,
    threads: int | None,
    preprocessing: str | None,
    resize: str | None,
    delegate: str | None,
    delegate_options: dict[str, str],
    delivery: Delivery,
) -> None:
    """Classify IMAGES, or all images in folders, with a .tflite MODEL."""
    from lite_toolkit.cli.console import warn
    from lite_toolkit.cli.tables import predictions as tables
    from lite_toolkit.images.files import left_out
    from lite_toolkit.labels import read as read_labels
    from lite_toolkit.measurement.classification import Classifier, expand
    from lite_toolkit.runtime.delegates import XNNPACK, choose

    classifier = Classifier(
        model,
        preprocessing=sized(preprocessing),
        labels=read_labels(labels) if labels else None,
        threads=threads,
        delegate=choose(delegate or XNNPACK.name, delegate_options),
    )
    if resize:
        classifier.preprocessing = classifier.preprocessing.for_mediapipe()
    for note in (*classifier.notes, *filter(None, (left_out(path) for path in images if path.is_dir()))):
        warn(note)
    predictions = list(classifier.classify(expand(images), top))
    content = {"model": model.name, "predictions": tables.predictions(predictions)}
    delivery.send(document("classify", content), lambda: tables.show_predictions(predictions))
    unread = [prediction for prediction in predictions if prediction.error]
    for prediction in unread:
        warn(str(prediction.error))
    if unread:
        raise ImageError(f"{len(unread)} of {len(predictions)} images could not be read")
