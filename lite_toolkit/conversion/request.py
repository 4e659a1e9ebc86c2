"""What to convert, and how."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lite_toolkit.datasets.ground_truth import ClassIndex
from lite_toolkit.errors import RecipeError
from lite_toolkit.images.preprocessing import Sized
from lite_toolkit.quantization import recipes
from lite_toolkit.quantization.recipes import Activation, InputOutput, Recipe
from lite_toolkit.tflite import manifest

Target = Literal["edgetpu"]


@dataclass(frozen=True)
class Request:
    """What to convert, and how.

    Attributes:
        recipes: one for each file to write; "float32" writes the float model itself.
        variant: of the network; None for `model`.
        model: a `.keras` file or SavedModel folder instead of a variant.
        weights, conventions: as `weights.loading.read_weights` takes them.
        classes: of a fresh classifier, where the checkpoint has another number.
        labels: one name for each class; None is what comes with the weights.
        input_size: side of the square input in pixels; None is the network's own.
        io: dtype of input and output of the calibrated formats; None is the first that the format allows.
        activation: of the output, for a variant; None is what the recipes say.
        preprocessing: instead of what comes with the weights, for the size of the input.
        calibration_data: folder of images, `.npy` or `.npz`; None is the synthetic set.
        output: the file for a single recipe when it ends in `.tflite`, otherwise the folder; None is the current one.
        keep_float: write the float32 model too.
        max_drop: percentage points that a calibrated format may lose on held-out images: of top-1 where their classes
            are known, otherwise of agreement with the float model. Where it loses more, layers stay in float.
        class_index: of the calibration images, whose names or folders tell their classes then.
        target: the accelerator that must run every operator of every int8 model, or nothing is written.
        min_agreement: percent of held-out images with the same top-1, below which nothing is written.
        force: replace files that exist.
    """

    recipes: tuple[Recipe, ...]
    variant: str | None = None
    model: Path | None = None
    weights: str = "imagenet"
    conventions: str | None = None
    classes: int | None = None
    labels: tuple[str, ...] | None = None
    input_size: int | None = None
    io: InputOutput | None = None
    activation: Activation | None = None
    preprocessing: Sized | None = None
    calibration_data: Path | None = None
    output: Path | None = None
    keep_float: bool = False
    max_drop: float | None = None
    class_index: ClassIndex | None = None
    min_agreement: float | None = None
    target: Target | None = None
    force: bool = False

    @property
    def name(self) -> str:
        """The first part of the files' names."""
        return self.variant or (self.model.stem if self.model else "model")

    def path(self, recipe: Recipe) -> Path:
        """Where the file of one recipe goes."""
        if self.output is not None and self.output.suffix == ".tflite":
            asked = any(other.format == recipe.format for other in self.recipes)
            return self.output if asked else self.output.with_name(f"{self.output.stem}-float32.tflite")
        return (self.output or Path()) / f"{self.name}-{recipe.format}.tflite"

    @property
    def wanted(self) -> tuple[Recipe, ...]:
        """The recipes of all files to write."""
        kept = self.keep_float and all(recipe.format != "float32" for recipe in self.recipes)
        return (*self.recipes, *((recipes.default("float32"),) if kept else ()))

    @property
    def final_activation(self) -> Activation:
        """Of the output of a variant: all files come from one float model.

        Raises:
            RecipeError: the recipes differ, and nothing else was asked for.
        """
        wanted = {recipe.activation for recipe in self.recipes if recipe.format != "float32"} or {"softmax"}
        if self.activation is None and len(wanted) > 1:
            raise RecipeError("the recipes want both activations, softmax and none: choose one for all files")
        return self.activation or wanted.pop()

    @property
    def files(self) -> list[Path]:
        """Every file to write: the models, each with its manifest."""
        models = [self.path(recipe) for recipe in self.wanted]
        return [file for model in models for file in (model, manifest.path_of(model))]
