"""The drawing: its formats, its bytes, and that nothing on it is printed over something else."""

import dataclasses
import itertools
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner
from PIL import Image

from lite_toolkit.cli.main import main
from lite_toolkit.drawings import network
from lite_toolkit.errors import LiteToolkitError, MissingExtraError, OutputError
from lite_toolkit.networks import costs
from lite_toolkit.networks.names import variant

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module", autouse=True)
def _matplotlib() -> None:
    pytest.importorskip("matplotlib")


def _texts(path: Path) -> list[str]:
    return ["".join(element.itertext()).strip() for element in ElementTree.parse(path).iter(f"{SVG}text")]


def test_an_svg_keeps_its_text(tmp_path: Path) -> None:
    network.draw(variant("lite0"), tmp_path / "lite0.svg")
    texts = _texts(tmp_path / "lite0.svg")
    assert "EfficientNet lite0" in texts
    assert any("224×224×3" in text and "4.69M parameters" in text and "385M multiply-adds" in text for text in texts)
    assert "Stage 3: MBConv 5×5" in texts
    assert "56×56 → 28×28, 24 → 40 channels" in texts
    assert "2 blocks, stride 2, expansion 6" in texts


@pytest.mark.parametrize(
    ("name", "legend"),
    [
        ("lite0", {"MBConv 3×3", "MBConv 5×5"}),
        ("b0", {"MBConv 3×3", "MBConv 5×5", "squeeze-and-excite"}),
        ("es", {"Fused 3×3", "MBConv 5×5"}),
    ],
)
def test_the_legend_has_what_occurs(tmp_path: Path, name: str, legend: set[str]) -> None:
    network.draw(variant(name), tmp_path / "n.svg")
    kinds = {"MBConv 3×3", "MBConv 5×5", "Fused 3×3", "squeeze-and-excite"}
    assert kinds & set(_texts(tmp_path / "n.svg")) == legend


@pytest.mark.parametrize("name", ["lite0", "b7", "es"])
def test_every_block_has_its_shape_and_every_skip_its_circle(name: str) -> None:
    spec = variant(name)
    axes = network.figure(spec).axes[0]
    circles = [line for line in axes.lines if line.get_marker() == "o"]
    in_legend = 1
    assert len(circles) == sum(block.skip for block in spec.blocks) + in_legend
    outlines = [patch for patch in axes.patches if len(patch.get_xy()) == 9]  # eight corners, the first one twice
    assert len(outlines) == len(spec.blocks)


@pytest.mark.parametrize("suffix", [".svg", ".png", ".PNG"])
def test_equal_networks_give_equal_bytes(tmp_path: Path, suffix: str) -> None:
    paths = [tmp_path / f"first{suffix}", tmp_path / "folder" / f"second{suffix}"]
    for path in paths:
        network.draw(variant("lite1"), path)
    first, second = (path.read_bytes() for path in paths)
    assert first == second
    assert list(paths[1].parent.iterdir()) == [paths[1]]


def test_a_png_is_a_picture_of_the_asked_size(tmp_path: Path) -> None:
    network.draw(variant("es"), tmp_path / "es.png")
    with Image.open(tmp_path / "es.png") as picture:
        assert picture.width == 14 * 150
        assert len(set(picture.convert("RGB").resize((64, 64)).getdata())) > 20


@pytest.mark.parametrize(
    ("name", "size"), [("lite0", None), ("lite4", None), ("b0", 4096), ("b7", None), ("es", (480, 640)), ("el", None)]
)
def test_no_text_overlaps_another_or_leaves_the_page(name: str, size: costs.Size | None) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    page = network.figure(variant(name), size)
    renderer = FigureCanvasAgg(page).get_renderer()
    boxes = [text.get_window_extent(renderer) for text in page.axes[0].texts]
    for box in boxes:
        assert 0 <= box.x0 < box.x1 <= page.bbox.width
        assert 0 <= box.y0 < box.y1 <= page.bbox.height
    # Rows are set solid: their boxes touch by a pixel where no letter does.
    assert not [pair for pair in itertools.combinations(boxes, 2) if _shared(*pair) > 1]


def _shared(first: object, second: object) -> float:
    """The smaller side, in pixels, of what two boxes have in common."""
    width = min(first.x1, second.x1) - max(first.x0, second.x0)
    height = min(first.y1, second.y1) - max(first.y0, second.y0)
    return min(width, height)


def test_labels_and_bars_leave_the_network_its_place() -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    page = network.figure(variant("b7"), 4096)
    renderer = FigureCanvasAgg(page).get_renderer()
    left, right = (end * page.dpi for end in network._NETWORK)
    height = page.bbox.height
    boxes = {text.get_text(): text.get_window_extent(renderer) for text in page.axes[0].texts}
    legend = boxes["Conv 3×3"].y1
    for text in page.axes[0].texts:
        box = text.get_window_extent(renderer)
        beside = network._TOP * page.dpi < height - box.y1 and box.y0 > legend
        assert not beside or box.x1 < left or box.x0 > right


def test_a_network_deeper_than_any_variant_still_fits(tmp_path: Path) -> None:
    deep = dataclasses.replace(variant("lite0"), depth=30.0, name="deep")
    assert len(deep.blocks) > 400
    page = network.figure(deep)
    widest = max(patch.get_xy()[:, 0].max() for patch in page.axes[0].patches if len(patch.get_xy()) == 9)
    assert widest <= network._NETWORK[1] + 1e-6


@pytest.mark.parametrize("name", ["lite0.pdf", "lite0", "lite0.svgz"])
def test_other_suffixes_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(OutputError, match=r"suffix must be one of \.png, \.svg"):
        network.draw(variant("lite0"), tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_size_that_is_too_small_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises(LiteToolkitError, match="at least 32"):
        network.draw(variant("lite0"), tmp_path / "n.svg", 16)
    assert list(tmp_path.iterdir()) == []


def test_without_matplotlib_the_message_holds_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r'pip install "lite-toolkit\[report\]"'):
        network.draw(variant("lite0"), tmp_path / "n.svg")


def test_the_report_is_there_where_the_diagram_cannot_be_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OutputError("no space left")

    monkeypatch.setattr(network, "draw", refuse)
    saved = tmp_path / "report.json"
    arguments = ["describe", "lite0", "-o", str(saved), "--diagram", str(tmp_path / "n.svg")]
    result = CliRunner().invoke(main, arguments)
    assert (result.exit_code, result.stderr) == (1, "Error: no space left\n")
    assert saved.is_file()


def test_drawing_leaves_the_settings_of_matplotlib_alone(tmp_path: Path) -> None:
    import matplotlib

    before = dict(matplotlib.rcParams)
    network.draw(variant("lite0"), tmp_path / "n.svg")
    assert dict(matplotlib.rcParams) == before


@pytest.mark.parametrize(
    ("name", "stages", "lines"),
    [
        (
            "b1",
            ["sub-blocks 1, 3", "sub-blocks 2, 3 ×2", "sub-blocks 2, 3"],
            [
                "Sub-block 1: modules 1, 3, 4. Sub-block 2: modules 2, 3, 4. Sub-block 3: modules 1, 3, 5 or 2, 3, 5.",
                "Module 1: dwconv, bn, activation.",
                "Module 2: expand_conv, expand_bn, expand_activation, dwconv_pad, dwconv, bn, activation.",
                "Module 3: se_squeeze, se_reshape, se_reduce, se_expand.",
                "Module 4: se_excite, project_conv, project_bn.",
                "Module 5: se_excite, project_conv, project_bn, drop, add.",
            ],
        ),
        (
            "lite0",
            ["sub-block 1"],
            ["Sub-block 1: modules 1, 4. Sub-block 2: modules 2, 4. Sub-block 3: modules 2, 5."],
        ),
        ("es", ["sub-blocks 2, 3 ×4"], ["Sub-block 2: modules 2, 4. Sub-block 3: modules 2, 5."]),
    ],
)
def test_articles_names_of_parts_are_on_it(tmp_path: Path, name: str, stages: list[str], lines: list[str]) -> None:
    network.draw(variant(name), tmp_path / "n.svg")
    texts = _texts(tmp_path / "n.svg")
    assert {*stages, *lines, "final layers"} <= set(texts)
