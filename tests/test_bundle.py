"""Bundles: what they hold, whether their code runs, and what an app's own resize costs."""

import hashlib
import importlib.metadata
import io
import json
import re
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from lite_toolkit import outputs
from lite_toolkit.bundle import clients, packing, vectors
from lite_toolkit.bundle.targets import TARGETS
from lite_toolkit.cli import main
from lite_toolkit.conversion import pipeline
from lite_toolkit.datasets.synthetic import synthetic_image
from lite_toolkit.errors import OutputError
from lite_toolkit.images.preprocessing import PRESETS, google_lite
from lite_toolkit.quantization import recipes
from lite_toolkit.runtime import heads
from lite_toolkit.runtime.interpreter import Model
from lite_toolkit.tflite import metadata
from lite_toolkit.tflite.graph import read_graph
from lite_toolkit.tflite.metadata import Metadata, Normalization, ScoreCalibration, entries, schema

HOSTILE = (
    '"; import os; os.system("touch pwned"); "',
    "*/ int pwned; /*",
    "${pwned} \\(pwned) %%pwned",
    "two\nlines\u2028three\x00\x1b[2J",
    "\u202egnp.desrever",
)
GOLDEN = {f"golden/{n}{end}" for n in range(3) for end in (".png", "-resized.png", "-input.bin", "-output.bin")}
PAPERS = {"bundle.json", "model.tflite", "model.json", "labels.txt", "preprocessing.json", "README.md"}
LITE = Normalization((127.0,), (128.0,))
ARRAYS = {"model_data.h", "model_data.c", "golden_data.h", "golden_data.c"}


def package(model: Path, output: Path, *options: str | Path) -> Result:
    return CliRunner().invoke(main.main, ["package", str(model), "-o", str(output), *map(str, options)])


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory, photographs: Path) -> Callable[[str, str], Path]:
    """A network of three operators and five classes, with hostile labels: `small("int8", "uint8")`."""
    from lite_toolkit.networks.backend import keras

    folder = tmp_path_factory.mktemp("small")
    keras.utils.set_random_seed(1)
    image = keras.Input((32, 40, 3))
    features = keras.layers.Conv2D(8, 3, strides=2, activation="relu")(image)
    scores = keras.layers.Dense(5)(keras.layers.GlobalAveragePooling2D()(features))
    keras.Model(image, scores).save(folder / "small.keras")

    def make(form: recipes.Format, io: str) -> Path:
        output = folder / f"{form}-{io}.tflite"
        if not output.exists():
            recipe = recipes.load("int8-minmax") if form == "int8" else recipes.default(form)
            request = pipeline.Request(
                (recipe,),
                model=folder / "small.keras",
                preprocessing=google_lite,
                output=output,
                calibration_data=photographs,
                labels=("a", "b", "c", "d", "e"),
                io=io if form == "int8" else None,
            )
            pipeline.convert(request)
            manifest = json.loads(output.with_suffix(".json").read_text())
            output.with_suffix(".json").write_text(json.dumps(manifest | {"labels": HOSTILE}))
        return output

    return make


@pytest.fixture(scope="module")
def bundle(small: Any, photographs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """For every target, of the int8 model with uint8 input and output."""
    folder = tmp_path_factory.mktemp("bundles") / "all"
    targets = [word for target in TARGETS for word in ("--target", target)]
    done = package(small("int8", "uint8"), folder, *targets, "--data", photographs)
    assert done.exit_code == 0, done.output
    return folder


def described(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "bundle.json").read_text())
    return found


def files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


def test_a_bundle_lists_every_file_with_its_hash(bundle: Path) -> None:
    found = files(bundle)
    code = {name for names in TARGETS.values() for name in names}
    assert set(found) == GOLDEN | PAPERS | ARRAYS | code
    listed = {file["path"]: (file["size_bytes"], file["sha256"]) for file in described(bundle)["files"]}
    del found["bundle.json"]
    assert listed == {path: (len(data), hashlib.sha256(data).hexdigest()) for path, data in found.items()}


def test_bundle_json_says_what_the_model_takes_and_gives(bundle: Path) -> None:
    found = described(bundle)
    assert (found["schema"], found["schema_version"], found["targets"]) == ("lite-toolkit/bundle", 1, list(TARGETS))
    assert found["model"]["input"]["shape"] == [1, 32, 40, 3]
    assert found["model"]["sha256"] == hashlib.sha256((bundle / "model.tflite").read_bytes()).hexdigest()
    assert found["preprocessing"] == json.loads((bundle / "preprocessing.json").read_text())
    assert found["clients"]["images"] == "30 images given by --data"
    assert [one["images"] for one in found["clients"]["agreements"]] == [30, 30, 30]


def test_golden_values_are_what_the_model_computes(bundle: Path) -> None:
    model = Model(bundle / "model.tflite", threads=1)
    for number in range(3):
        stored = np.fromfile(bundle / f"golden/{number}-input.bin", np.uint8).reshape(32, 40, 3)
        assert np.array_equal(np.asarray(Image.open(bundle / f"golden/{number}-resized.png")), stored)
        assert model.raw(stored).tobytes() == (bundle / f"golden/{number}-output.bin").read_bytes()


def test_golden_images_lie_stand_and_have_odd_margins(bundle: Path) -> None:
    for number, size in enumerate(vectors.SIZES):
        assert np.asarray(Image.open(bundle / f"golden/{number}.png")).shape == (*size, 3)


def test_equal_inputs_give_equal_bytes(small: Any, bundle: Path, photographs: Path, tmp_path: Path) -> None:
    targets = [word for target in TARGETS for word in ("--target", target)]
    package(small("int8", "uint8"), tmp_path / "again", *targets, "--data", photographs)
    assert files(tmp_path / "again") == files(bundle)


def test_labels_stay_out_of_sources_and_on_one_line_each(bundle: Path) -> None:
    labels = (bundle / "labels.txt").read_text(encoding="utf-8").split("\n")
    assert labels == [*HOSTILE[:3], "two lines three\ufffd\ufffd[2J", "\ufffdgnp.desrever"]
    for path in bundle.iterdir():
        if path.suffix in (".py", ".kt", ".swift", ".c", ".h", ".cc", ".md"):
            text = path.read_text(encoding="utf-8")
            assert not any(word in text for word in ("pwned", "desrever", "%%"))


@pytest.mark.parametrize(
    ("name", "patterns"),
    [
        ("classifier.py", [r"HEIGHT, WIDTH = 32, 40", r"CROP_FRACTION = \"before-resize\", 0\.5\b", r"= \[127\.0, "]),
        (
            "Classifier.kt",
            [r"HEIGHT = 32", r"WIDTH = 40", r"CROP_FRACTION = 0\.5\b", r"MEAN = doubleArrayOf\(127\.0, "],
        ),
        ("Classifier.swift", [r"inputHeight = 32", r"inputWidth = 40", r"cropFraction = 0\.5\b", r"\[127\.0, "]),
        ("classifier.cc", [r"kMean\[\] = \{127\.0, 127\.0, 127\.0\}", r"kInputScale = 0\.0078125"]),
    ],
)
def test_constants_are_the_specs(bundle: Path, name: str, patterns: list[str]) -> None:
    text = (bundle / name).read_text()
    assert [pattern for pattern in patterns if not re.search(pattern, text)] == []


def test_a_folder_that_exists_is_kept(small: Any, tmp_path: Path) -> None:
    model = small("int8", "uint8")
    assert package(model, tmp_path / "made", "--target", "python").exit_code == 0
    before = files(tmp_path / "made")
    done = package(model, tmp_path / "made", "--target", "ios")
    assert (done.exit_code, files(tmp_path / "made")) == (1, before)
    assert "exists: pass --force to replace it" in done.output
    assert package(model, tmp_path / "made", "--target", "ios", "--force").exit_code == 0
    assert "Classifier.swift" in files(tmp_path / "made")
    assert "classifier.py" not in files(tmp_path / "made")
    assert [path.name for path in tmp_path.iterdir()] == ["made"]


def test_force_replaces_bundles_alone(small: Any, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home/thesis.txt").write_text("years")
    done = package(small("int8", "uint8"), tmp_path / "home", "--target", "python", "--force")
    assert done.exit_code == 1
    assert "it is no folder with bundle.json" in done.output
    assert files(tmp_path) == {"home/thesis.txt": b"years"}


def test_what_users_put_into_a_bundle_is_kept(small: Any, tmp_path: Path) -> None:
    model = small("int8", "uint8")
    (tmp_path / "made").mkdir()  # an empty folder is taken
    assert package(model, tmp_path / "made", "--target", "python").exit_code == 0
    (tmp_path / "made/notes.txt").write_text("mine")
    done = package(model, tmp_path / "made", "--target", "python", "--force")
    assert done.exit_code == 1
    assert "made is not replaced: notes.txt is not of the bundle" in done.output
    assert (tmp_path / "made/notes.txt").read_text() == "mine"


@pytest.mark.parametrize("failure", [KeyboardInterrupt, OSError("No space left on device")])
def test_a_failure_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: Any) -> None:
    (tmp_path / "made").mkdir()
    (tmp_path / "made/bundle.json").write_text("before")

    def fail(path: Path, target: Path) -> Path:
        if target.name == "made" and not path.name.endswith(".before"):
            raise failure
        return original(path, target)

    original = Path.rename
    monkeypatch.setattr(Path, "rename", fail)
    with (
        pytest.raises((KeyboardInterrupt, OutputError)),
        outputs.replacing_folder(tmp_path / "made", True, "bundle.json") as folder,
    ):
        (folder / "bundle.json").write_text("after")
    assert files(tmp_path) == {"made/bundle.json": b"before"}


def test_what_comes_into_a_bundle_meanwhile_is_kept(
    small: Any, photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = packing.Request(small("int8", "int8"), ("python",), tmp_path / "made", photographs, force=True)
    packing.package(request)
    survey, mine = clients.survey, tmp_path / "made/notes.txt"
    monkeypatch.setattr(clients, "survey", lambda *given: mine.write_text("mine") and survey(*given))
    with pytest.raises(OutputError, match=r"notes\.txt is not of the bundle"):
        packing.package(request)
    assert mine.read_text() == "mine"


@pytest.mark.parametrize(
    ("form", "io", "target", "message"),
    [
        ("int8", "int8", "mediapipe", "target mediapipe: MediaPipe takes and gives uint8 and float32, not int8"),
        ("int8", "uint8", "python", None),
        ("int8", "int8", "android", None),
        ("float32", "float32", "c", None),
    ],
)
def test_targets_take_types(small: Any, tmp_path: Path, form: str, io: str, target: str, message: str | None) -> None:
    done = package(small(form, io), tmp_path / "made", "--target", target)
    assert done.exit_code == (1 if message else 0), done.output
    assert (message or "") in done.output
    left_out = io == "int8" and target == "android"
    assert ("Without the code for MediaPipe: MediaPipe takes" in done.output) is left_out
    assert (tmp_path / "made").exists() is not bool(message)


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (None, "of the model's metadata, which has none"),
        (Metadata(name="only a name"), "of the model's metadata, which has none"),
        (
            Metadata(normalization=Normalization((0.0,), (1.0,))),
            "by mean (0.0, 0.0, 0.0) and std (1.0, 1.0, 1.0) of",
        ),
        (Metadata(normalization=LITE, score_threshold=99.0), "changes scores by the threshold or calibration"),
        (
            Metadata(normalization=LITE, score_calibration=ScoreCalibration(("",) * 5)),
            "changes scores by the threshold or calibration",
        ),
        (Metadata(normalization=LITE), None),
    ],
)
def test_mediapipe_takes_floats_by_their_metadata(
    small: Any, tmp_path: Path, said: Metadata | None, message: str | None
) -> None:
    bare = metadata.strip(small("float32", "float32"))
    (tmp_path / "model.tflite").write_bytes(metadata.write(bare, said) if said else bare)
    options = ["--target", "mediapipe", "--preprocessing", "lite"]
    done = package(tmp_path / "model.tflite", tmp_path / "made", *options)
    assert done.exit_code == (1 if message else 0), done.output
    assert (message or "") in done.stderr
    assert (tmp_path / "made").exists() is not bool(message)


def test_mediapipe_normalizes_all_channels_alike(small: Any, tmp_path: Path) -> None:
    """ "Per-channel image normalization is not available.", says the client."""
    spec = PRESETS["imagenet"]((32, 40))
    told = Metadata(normalization=Normalization(spec.mean, spec.std))
    (tmp_path / "model.tflite").write_bytes(metadata.write(small("float32", "float32"), told))
    options = ["--target", "mediapipe", "--preprocessing", "imagenet"]
    done = package(tmp_path / "model.tflite", tmp_path / "made", *options)
    assert done.exit_code == 1
    assert "and this model's differ in mean or std" in done.stderr


def test_metadata_that_is_damaged_leaves_mediapipe_out_alone(small: Any, tmp_path: Path) -> None:
    model = tmp_path / "model.tflite"
    model.write_bytes(entries.added(read_graph(metadata.strip(small("float32", "float32"))), [(schema.ENTRY, b"x")]))
    described = json.loads(small("float32", "float32").with_suffix(".json").read_text())
    described["model"]["sha256"] = hashlib.sha256(model.read_bytes()).hexdigest()
    model.with_suffix(".json").write_text(json.dumps(described))
    done = package(model, tmp_path / "made", "--target", "ios")
    assert done.exit_code == 0, done.output
    assert "Without the code for MediaPipe: MediaPipe reads the model's metadata, which cannot be used" in done.stderr
    assert "MediaPipeClassifier.swift" not in files(tmp_path / "made")


def run(program: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [str(program), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Python with numpy, Pillow and the runtime, and nothing else."""
    folder = tmp_path_factory.mktemp("bare")
    venv.create(folder, symlinks=True)
    (site,) = folder.glob("lib/python*/site-packages")
    for name in ("numpy", "pillow", "ai-edge-litert"):
        distribution = importlib.metadata.distribution(name)
        for top in {file.parts[0] for file in distribution.files or ()} - {"..", "__pycache__"}:
            (site / top).symlink_to(Path(str(distribution.locate_file(top))).resolve())
    return folder / "bin/python"


@pytest.mark.parametrize(("form", "io"), [("int8", "uint8"), ("int8", "int8"), ("float32", "float32")])
def test_the_python_code_holds_parity_with_nothing_else(
    small: Any, bare: Path, tmp_path: Path, form: str, io: str
) -> None:
    package(small(form, io), tmp_path / "made", "--target", "python")
    done = run(bare, "-I", tmp_path / "made/classifier.py")
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "parity holds"), done.stderr
    assert done.stdout.count("input off by 0, scores by 0") == 3


def test_the_python_code_sees_what_the_toolkit_sees(bundle: Path, bare: Path, photographs: Path) -> None:
    image = sorted(photographs.iterdir())[3]
    done = run(bare, "-I", bundle / "classifier.py", image)
    told = [line.split("\t")[1:] for line in done.stdout.split(f"{image}")[1:]]
    classified = CliRunner().invoke(main.main, ["classify", str(bundle / "model.tflite"), str(image), "--json"])
    best = json.loads(classified.stdout)["predictions"][0]["top"]
    assert [int(index) for index, *_ in told] == [score["index"] for score in best]


def test_the_python_code_tells_broken_parity(bundle: Path, bare: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(bundle, tmp_path / "made"))
    path = folder / "golden/1-output.bin"
    path.write_bytes(bytes(255 - value for value in path.read_bytes()))
    done = run(bare, "-I", folder / "classifier.py")
    assert (done.returncode, done.stdout.splitlines()[-1]) == (1, "parity is broken")


@pytest.mark.parametrize(
    ("name", "grammar"),
    [
        ("Classifier.kt", "tree_sitter_kotlin"),
        ("MediaPipeClassifier.kt", "tree_sitter_kotlin"),
        ("Classifier.swift", "tree_sitter_swift"),
        ("MediaPipeClassifier.swift", "tree_sitter_swift"),
    ],
)
def test_kotlin_and_swift_parse(bundle: Path, name: str, grammar: str) -> None:
    parsing = pytest.importorskip("tree_sitter", reason='parsing needs tree-sitter: pip install ".[dev]"')
    language = parsing.Language(pytest.importorskip(grammar).language())
    assert not parsing.Parser(language).parse((bundle / name).read_bytes()).root_node.has_error


def compile_with(compiler: str, folder: Path, *arguments: str | Path) -> Path:
    if not shutil.which(compiler):
        pytest.skip(f"needs {compiler}")
    program = folder / "program"
    done = run(Path(compiler), "-Wall", "-Wextra", "-Werror", *arguments, "-o", program)
    assert done.returncode == 0, done.stderr
    return program


def test_the_c_code_compiles_and_knows_the_model(bundle: Path, tmp_path: Path) -> None:
    program = compile_with("gcc", tmp_path, "-std=c11", bundle / "check.c", bundle / "model_data.c")
    assert run(program, bundle / "model.tflite").stdout == "the model is whole\n"
    other = tmp_path / "other.tflite"
    other.write_bytes((bundle / "model.tflite").read_bytes()[:-1] + b"!")
    assert run(program, other).stderr == "the array is not the file\n"


def test_the_c_code_tells_a_changed_array(bundle: Path, tmp_path: Path) -> None:
    text = (bundle / "model_data.c").read_text()
    at = text.rindex(",\n")
    (tmp_path / "model_data.c").write_text(f"{text[:at].rpartition(',')[0]},99{text[at:]}")
    program = compile_with("gcc", tmp_path, "-std=c11", f"-I{bundle}", bundle / "check.c", tmp_path / "model_data.c")
    assert run(program).stderr == "the array has another CRC\n"


# What classifier.cc uses of LiteRT for Microcontrollers; its invocations answer with what OFF is added to.
MICRO = """
#pragma once
#include <cstdint>
#include <cstring>
#include "golden_data.h"
enum TfLiteStatus { kTfLiteOk, kTfLiteError };
struct TfLiteTensor { union { void* data; } data; };
namespace tflite {
struct Model {};
inline const Model* GetModel(const void*) { static Model model; return &model; }
template <unsigned count> struct MicroMutableOpResolver {
  unsigned added = 0;
  void AddConv2D() { added++; }
  void AddMean() { added++; }
  void AddFullyConnected() { added++; }
  void AddQuantize() { added++; }
};
struct MicroInterpreter {
  template <unsigned count>
  MicroInterpreter(const Model*, const MicroMutableOpResolver<count>& resolver, uint8_t*, size_t)
      : whole(resolver.added == count) { in.data.data = buffer; out.data.data = answer; }
  TfLiteStatus AllocateTensors() { return whole ? kTfLiteOk : kTfLiteError; }
  TfLiteTensor* input(int) { return &in; }
  TfLiteTensor* output(int) { return &out; }
  TfLiteStatus Invoke() {
    const size_t one = golden_inputs_length / golden_count, scores = golden_outputs_length / golden_count;
    for (size_t number = 0; number < golden_count; number++) {
      if (std::memcmp(buffer, golden_inputs + number * one, one) == 0) {
        std::memcpy(answer, golden_outputs + number * scores, scores);
        answer[0] = static_cast<unsigned char>(answer[0] + OFF);
        return kTfLiteOk;
      }
    }
    return kTfLiteError;
  }
  bool whole;
  TfLiteTensor in, out;
  alignas(16) unsigned char buffer[golden_inputs_length], answer[golden_outputs_length];
};
}  // namespace tflite
"""


@pytest.mark.parametrize(("off", "said"), [(0, "parity holds"), (100, "parity is broken")])
def test_the_code_for_microcontrollers_checks_parity(bundle: Path, tmp_path: Path, off: int, said: str) -> None:
    for header in ("micro/micro_interpreter.h", "micro/micro_mutable_op_resolver.h", "schema/schema_generated.h"):
        path = tmp_path / "tensorflow/lite" / header
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text('#include "micro.h"\n')
    (tmp_path / "micro.h").write_text(MICRO)
    for name in ("model_data", "golden_data"):
        compile_with("gcc", tmp_path, "-std=c11", "-c", bundle / f"{name}.c").rename(tmp_path / f"{name}.o")
    options = ["-std=c++17", f"-DOFF={off}", f"-I{tmp_path}", f"-I{bundle}"]
    objects = [tmp_path / "model_data.o", tmp_path / "golden_data.o"]
    program = compile_with("g++", tmp_path, *options, bundle / "classifier.cc", *objects)
    assert run(program).stdout.splitlines()[-1] == said


def test_golden_images_are_the_clearest_of_many(small: Any) -> None:
    path = small("float32", "float32")
    spec, model = google_lite((32, 40)), Model(path, threads=1)

    def lead(image: Image.Image) -> float:
        *_, second, best = sorted(model.scores(spec.apply(image)))
        return float(best - second)

    golden, files = vectors.record(path.read_bytes(), spec, heads.SINGLE_LABEL)
    chosen = [lead(Image.open(io.BytesIO(files[vector.image]))) for vector in golden.vectors]
    for place, size in enumerate(vectors.SIZES):
        numbers = range(place, 3 * vectors.CANDIDATES, 3)
        leads = [lead(Image.fromarray(synthetic_image(vectors.SEED, number, size))) for number in numbers]
        assert chosen[place] == max(leads) > min(leads)


def test_mediapipe_holds_parity(bundle: Path) -> None:
    pytest.importorskip("mediapipe", reason="needs mediapipe")
    done = run(Path(sys.executable), bundle / "mediapipe_classifier.py")
    assert (done.returncode, done.stdout.splitlines()[-1:]) == (0, ["parity holds"]), done.stderr


def test_without_antialiasing_is_what_pillow_transforms() -> None:
    """Pillow's transformations, unlike its resize, are not antialiased."""
    spec = google_lite(48)
    image = Image.fromarray(np.random.default_rng(1).integers(0, 256, (90, 130, 3), dtype=np.uint8))
    left, top, width, height = clients.crop_box(spec, image.size)
    assert (left, top, width, height) == (38, 18, 54, 54)
    box = (left, top, left + width, top + height)
    transformed = image.transform((48, 48), Image.Transform.EXTENT, box, Image.Resampling.BILINEAR)
    (client,) = (client for client in clients.CLIENTS if client.name == "bilinear-crop")
    apart = np.abs(client.pixels(spec, image).astype(int) - np.asarray(transformed).astype(int))
    assert apart.max() <= 1


@pytest.mark.parametrize(
    ("crop", "fraction", "size", "box"),
    [
        ("none", 1.0, (130, 90), (0, 0, 130, 90)),
        ("before-resize", 0.5, (130, 90), (43, 23, 45, 45)),
        ("after-stretch", 0.5, (130, 90), (33, 23, 65, 45)),
        ("after-resize", 0.5, (130, 90), (35, 23, 60, 45)),  # 4:3 within 130x90 is 120x90
    ],
)
def test_the_crop_in_pixels_of_the_image(
    crop: Any, fraction: float, size: tuple[int, int], box: tuple[int, int, int, int]
) -> None:
    spec = google_lite((30, 40))
    spec = type(spec)(30, 40, crop, fraction, "bilinear", spec.mean, spec.std)
    assert clients.crop_box(spec, size) == box


def test_agreement_counts_equal_classes(bundle: Path, photographs: Path) -> None:
    """An image of the input's size and colour is the same however it is resized."""
    model, spec = Model(bundle / "model.tflite", threads=1), google_lite((32, 40))
    grey = [Image.new("RGB", (40, 32), (level,) * 3) for level in (0, 100, 200)]
    found = clients.agreements(model, spec, grey)
    assert [(one.client.name, one.equal, one.images, one.percent) for one in found] == [
        (client.name, 3, 3, 100.0) for client in clients.CLIENTS
    ]


@pytest.mark.slow
def test_the_simulated_mediapipe_sees_what_the_real_one_sees(shared: Path, imagenet_lite0: str, tmp_path: Path) -> None:
    pytest.importorskip("mediapipe", reason="needs mediapipe")
    import mediapipe
    from mediapipe.tasks.python import BaseOptions, vision

    recipe = recipes.load("int8-minmax")
    request = pipeline.Request((recipe,), variant="lite0", output=tmp_path / "lite0.tflite", activation="none")
    model = Model(pipeline.convert(request).files[0].path, threads=1)
    (client,) = (client for client in clients.CLIENTS if client.name == "mediapipe")
    spec, equal = google_lite(224), 0
    options = vision.ImageClassifierOptions(BaseOptions(str(tmp_path / "lite0.tflite")), max_results=1)
    with vision.ImageClassifier.create_from_options(options) as real:
        for path in sorted((shared / "imagenet/validation").iterdir())[:50]:
            image = Image.open(path).convert("RGB")
            given = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=np.array(image))
            theirs = real.classify(given).classifications[0].categories[0].index
            equal += theirs == model.scores(spec.normalize(client.pixels(spec, image))).argmax()
    assert equal >= 49
