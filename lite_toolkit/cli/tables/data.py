"""`lite-toolkit data`."""

from lite_toolkit.cli.console import print_facts, print_notes, print_table
from lite_toolkit.reports import figures
from lite_toolkit.training.contents import Spread, Survey

SHOWN = 10  # rows that people see; the JSON has all


def show(found: Survey) -> None:
    """What is there, the smallest classes, copies, and the labels that are least probable."""
    parts = [(part, sum(getattr(one, part) for one in found.classes)) for part in ("train", "validation", "test")]
    tiny = f", {len(found.tiny_images)} tiny" if found.tiny_images else ""
    unreadable = f", {len(found.unreadable_images)} unreadable" if found.unreadable_images else ""
    copied = sum(len(one.images) for one in found.copies)
    agreement = found.agreement_percent
    print_facts(
        [
            ("images", f"{found.images:,} in {found.data}{unreadable}{tiny}"),
            ("classes", f"{len(found.classes)} by {found.ground_truth}; largest to smallest {found.imbalance:.1f}"),
            ("parts", ", ".join(f"{part} {count:,}" for part, count in parts)),
            ("sizes", f"{_spread(found.sizes.width_px)} x {_spread(found.sizes.height_px)} px"),
            ("aspect", _spread(found.sizes.aspect_ratio, 2)),
            ("copies", f"{copied} images, groups: {len(found.copies)}" if copied else "none"),
            *([] if agreement is None else [("labels", _labels(found, agreement))]),
        ]
    )
    _show_classes(found)
    _show_copies(found)
    _show_labels(found)
    print_facts([("seconds", figures.steps(found.seconds))])


def _labels(found: Survey, agreement_percent: float) -> str:
    return f"{agreement_percent:.1f}% as a classifier has them, {len(found.doubtful)} likely wrong"


def _spread(found: Spread, digits: int = 0) -> str:
    """The median, and the ends."""
    least, median, most = (figures.decimal(one, digits) for one in (found.least, found.median, found.most))
    return median if least == most else f"{median} ({least} to {most})"


def _show_classes(found: Survey) -> None:
    fewest = sorted(found.classes, key=lambda one: (one.images, one.class_))[:SHOWN]
    rows = [(one.class_, *map(str, (one.images, one.train, one.validation, one.test))) for one in fewest]
    title = "Classes" if len(rows) == len(found.classes) else f"Smallest {len(rows)} of {len(found.classes)} classes"
    print_table(title, ("class", ">images", ">train", ">validation", ">test"), rows)


def _show_copies(found: Survey) -> None:
    rows = [
        (", ".join(one.images[:3]) + (", ..." if len(one.images) > 3 else ""), *_alike(one.same_file, one.classes))
        for one in found.copies[:SHOWN]
    ]
    if rows:
        print_table(f"Copies, {len(rows)} of {len(found.copies)} groups", ("images", "alike", "classes"), rows)


def _alike(same_file: bool, classes: tuple[str, ...]) -> tuple[str, str]:
    return "same file" if same_file else "same picture", ", ".join(dict.fromkeys(classes))


def _show_labels(found: Survey) -> None:
    rows = [
        (one.image, one.class_, figures.decimal(one.probability_percent), one.likeliest, f"{one.likeliest_percent:.1f}")
        for one in found.labels[:SHOWN]
    ]
    if rows:
        columns = ("image", "label", ">probability %", "likeliest", ">probability %")
        print_table(f"Least probable labels, {len(rows)} of {len(found.labels)}", columns, rows)
        print_notes(
            "Probabilities are of classifiers that have not learnt from the image, nor from its copies.",
            "To look at the images: `lite-toolkit report` with --images.",
        )
