"""Parameters and multiply-adds against the published counts of the family."""

import subprocess
import sys

import pytest

from lite_toolkit.errors import LiteToolkitError
from lite_toolkit.networks import costs
from lite_toolkit.networks.modules import keras_layers
from lite_toolkit.networks.names import variant

# Multiply-adds of convolutions and the dense layer, in millions.
MADDS = {"lite0": 385.2, "lite1": 600.2, "lite2": 859.7, "lite3": 1383.3, "lite4": 2553.0}
# With a head of 1000 classes and the statistics of the batch normalisations.
PARAMS = {"lite0": 4_694_024, "lite1": 5_470_344, "lite2": 6_150_168}
WITHOUT_TOP = {"b3": 10_783_528, "b4": 17_673_816, "b5": 28_513_520, "b6": 40_960_136, "b7": 64_097_680}
# timm's model index, in millions.
TRAINABLE = {"b0": 5.29, "b1": 7.79, "b2": 9.11, "b3": 12.23, "es": 5.44, "em": 6.90, "el": 10.59, "lite0": 4.65}


# What articles count of keras.applications' networks without classifier.
KERAS_LAYERS = {"b0": 237, "b1": 339, "b2": 339, "b3": 384, "b4": 474, "b5": 576, "b6": 666, "b7": 813}


@pytest.mark.parametrize(("name", "layers"), KERAS_LAYERS.items())
def test_keras_layers(name: str, layers: int) -> None:
    assert len(set(keras_layers(variant(name)))) == layers


@pytest.mark.parametrize(("name", "millions"), MADDS.items())
def test_multiply_adds(name: str, millions: float) -> None:
    assert costs.total(variant(name)).madds / 1e6 == pytest.approx(millions, abs=0.05)


@pytest.mark.parametrize(("name", "params"), PARAMS.items())
def test_parameters_with_a_head_of_1000_classes(name: str, params: int) -> None:
    assert costs.total(variant(name)).params == params


@pytest.mark.parametrize(("name", "params"), WITHOUT_TOP.items())
def test_parameters_without_a_head(name: str, params: int) -> None:
    assert costs.total(variant(name), classes=None).params == params


@pytest.mark.parametrize(("name", "millions"), TRAINABLE.items())
def test_trainable_parameters(name: str, millions: float) -> None:
    assert costs.total(variant(name)).trainable / 1e6 == pytest.approx(millions, abs=0.005)


def test_a_layer_s_cost_by_hand() -> None:
    found = {cost.layer.name: cost for cost in costs.layer_costs(variant("b0"))}
    # 3x3x3 to 32 channels at 112x112, and four (two trainable) vectors of 32.
    assert found["stem_conv"].resolution == (112, 112)
    assert found["stem_conv"].cost == costs.Cost(864 + 128, 864 + 64, 864 * 112 * 112)
    # A depthwise layer has one 5x5 kernel a channel; stage 3 begins with 24 * 6 = 144 channels and halves 56x56.
    assert found["block3a_dwconv"].cost == costs.Cost(25 * 144 + 4 * 144, 25 * 144 + 2 * 144, 25 * 144 * 28 * 28)
    # Squeeze-and-excite works on the average, with a bias and no normalisation: 32 to 8 channels.
    assert found["block1a_se_reduce"].resolution == (1, 1)
    assert found["block1a_se_reduce"].cost == costs.Cost(32 * 8 + 8, 32 * 8 + 8, 32 * 8)
    assert found["predictions"].cost == costs.Cost(1_281_000, 1_281_000, 1_280_000)


def test_rows_of_lite0() -> None:
    rows = costs.stage_rows(variant("lite0"))
    table = [
        (row.stage, row.operator, row.kernel, row.stride, row.resolution[0], row.channels, row.layers) for row in rows
    ]
    assert table == [
        ("stem", "conv", 3, 2, 224, 32, 1),
        ("1", "mbconv", 3, 1, 112, 16, 1),
        ("2", "mbconv", 3, 2, 112, 24, 2),
        ("3", "mbconv", 5, 2, 56, 40, 2),
        ("4", "mbconv", 3, 2, 28, 80, 3),
        ("5", "mbconv", 5, 1, 14, 112, 3),
        ("6", "mbconv", 5, 2, 14, 192, 4),
        ("7", "mbconv", 3, 1, 7, 320, 1),
        ("head", "conv, pool, dense", 1, 1, 7, 1280, 1),
    ]


@pytest.mark.parametrize("classes", [None, 10])
@pytest.mark.parametrize("name", ["lite4", "b7", "es"])
def test_the_rows_add_up_to_the_total(name: str, classes: int | None) -> None:
    spec = variant(name)
    rows, total = costs.stage_rows(spec, classes), costs.total(spec, classes)
    assert sum(row.cost.params for row in rows) == total.params
    assert sum(row.cost.trainable for row in rows) == total.trainable
    assert sum(row.cost.madds for row in rows) == total.madds


def test_odd_and_oblong_inputs_are_halved_upwards() -> None:
    rows = costs.stage_rows(variant("lite2"), size=(260, 321))
    heights_and_widths = [row.resolution for row in rows]
    assert heights_and_widths[:4] == [(260, 321), (130, 161), (130, 161), (65, 81)]
    assert heights_and_widths[-1] == (9, 11)


@pytest.mark.parametrize("size", [31, 0, (224, 16)])
def test_a_size_that_halves_to_nothing_is_refused(size: int | tuple[int, int]) -> None:
    with pytest.raises(LiteToolkitError, match="at least 32"):
        costs.layer_costs(variant("lite0"), size=size)


def test_the_table_needs_the_standard_library_only() -> None:
    heavy = {"numpy", "keras", "tensorflow", "click"}
    code = f"import sys, lite_toolkit.networks.costs; print({heavy} & set(sys.modules))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "set()"
