"""What to convert, and how."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from lite_toolkit.errors import RecipeError, UsageError, require_choice, require_range
from lite_toolkit.images.preprocessing import Sized
from lite_toolkit.networks import architectures, names
from lite_toolkit.quantization import recipes
from lite_toolkit.quantization.recipes import IO_TYPES, Activation, InputOutput, Recipe
from lite_toolkit.tflite import manifest
from lite_toolkit.weights.sources import CONVENTIONS

Target = Literal["edgetpu"]


@dataclass(frozen=True)
class Request:
    """What to convert, and how; values that mean nothing together are a UsageError.

    Attributes:
        recipes: one for each file to write; "float32" writes the float model itself.
        variant: of the network, as `names.variant` takes it; None for `model`.
        model: a `.keras` or whole-model HDF5 file, a SavedModel folder or a float32 `.tflite`, instead of a variant.
        signature: of a SavedModel; None is "serving_default".
        output_name: which of the model's outputs are the scores, where it has several.
        weights, conventions: as `weights.loading.read_weights` takes them; None is "imagenet", and
            what the weights tell.
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
        class_index: file of the classes of the calibration images, whose names or folders tell them then.
        target: the accelerator that must run every operator of every int8 model, or nothing is written.
        min_agreement: percent of held-out images with the same top-1, below which nothing is written.
        force: replace files that exist.
    """

    recipes: tuple[Recipe, ...]
    variant: str | None = None
    model: Path | None = None
    signature: str | None = None
    output_name: str | None = None
    weights: str | None = None
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
    class_index: Path | None = None
    min_agreement: float | None = None
    target: Target | None = None
    force: bool = False

    def __post_init__(self) -> None:
        require_range("--max-drop", self.max_drop, 0, 100)
        require_range("--min-agreement", self.min_agreement, 0, 100)
        require_range("--classes", self.classes, 1)
        least = architectures.MINIMUM_INPUT_SIZE if self.variant else 1  # of another network, nobody knows
        require_range("--input-size", self.input_size, least)
        require_choice("--activation", self.activation, get_args(Activation))
        require_choice("--conventions", self.conventions, CONVENTIONS)
        require_choice("--target", self.target, get_args(Target))
        self._check_files()
        self._check_model()
        if self.target:
            self._check_target()
        self._check_bound()

    def _check_files(self) -> None:
        if not self.recipes:
            raise UsageError(f"choose a format: {', '.join(f'--{form}' for form in recipes.FORMATS)}, or a --recipe")
        formats = [recipe.format for recipe in self.recipes]
        if twice := {form for form in formats if formats.count(form) > 1}:
            raise UsageError(f"several recipes make {', '.join(sorted(twice))}: a format has one file")
        if self.output and self.output.suffix == ".tflite" and len(formats) > 1:
            asked = f"{len(formats)} formats are asked for"
            raise UsageError(f"--output {self.output} is one file, but {asked}: name a folder")
        for form in formats if self.io else ():
            if self.io not in IO_TYPES.get(form, ()):
                allowed = ", ".join(IO_TYPES.get(form, ())) or "no choice"
                raise UsageError(f"--io {self.io} does not go with {form}, which has {allowed}")

    def _check_model(self) -> None:
        if (self.variant is None) == (self.model is None):
            raise UsageError("pass either --variant or --model")
        if self.variant is not None:
            names.variant(self.variant)
            for option in ("signature", "output_name"):
                if getattr(self, option) is not None:
                    name = option.replace("_", "-")
                    raise UsageError(f"--{name} belongs to --model: a variant has none to choose from")
            return
        for option in ("weights", "conventions", "classes", "activation"):
            if getattr(self, option) is not None:
                raise UsageError(f"--{option} belongs to --variant: a model of your own has its own")
        for recipe in self.recipes:
            if recipe.activation != "softmax":
                raise UsageError(f"recipe {recipe.name} sets the activation: a model of your own has its own")

    def _check_target(self) -> None:
        """Whatever leaves a part of the model to the processor contradicts --target edgetpu."""
        for recipe in self.recipes:
            if recipe.format != "int8":
                advice = ": --keep-float writes that too" if recipe.format == "float32" else ""
                raise UsageError(f"--{recipe.format} contradicts --target edgetpu, which takes int8 alone{advice}")
            if recipe.in_float:
                refused = "keeps layers in float, which --target edgetpu does not run"
                raise UsageError(f"--recipe {recipe.name} {refused}: leave out in_float")
        if self.io == "float32":
            raise UsageError("--io float32 contradicts --target edgetpu, which takes uint8 or int8")
        if self.max_drop is not None:
            raise UsageError("--max-drop keeps layers in float, which --target edgetpu does not run")

    def _check_bound(self) -> None:
        data = self.calibration_data
        if self.max_drop is not None and not any(recipe.calibrated for recipe in self.recipes):
            raise UsageError(f"--max-drop belongs to the formats that are calibrated: {', '.join(IO_TYPES)}")
        if self.class_index and (self.max_drop is None or data is None or not data.is_dir()):
            raise UsageError("--class-index tells --max-drop the classes of a folder's images: pass both")

    def sampling(self, recipe: Recipe) -> tuple[int, int]:
        """Number and seed of a recipe's images; one that is not calibrated is judged on those of the first that is."""
        if not recipe.calibrated:
            recipe = next((other for other in self.recipes if other.calibrated), self.recipes[0])
        return recipe.samples, recipe.seed

    @property
    def name(self) -> str:
        """The first part of the files' names."""
        if self.variant:
            return names.variant(self.variant).name  # others' names may hold slashes
        return self.model.stem if self.model else "model"

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
