"""The network in a checkpoint is found whatever is around it, and a choice among several is said or refused."""

from pathlib import Path
from typing import Any

import fill
import numpy as np
import pytest

from lite_toolkit.errors import WeightsError
from lite_toolkit.networks.names import variant
from lite_toolkit.weights.checkpoints import Checkpoint
from lite_toolkit.weights.matching import MAX_NETWORKS, MatchedWeights, match

LITE0 = variant("lite0")
Tensors = dict[str, np.ndarray]


PLAIN: Tensors = fill.state_dict("tf_efficientnet_lite0")
EXPECTED = match(Checkpoint(Path("plain"), "torch zip", PLAIN), LITE0).variables
HEAD = {name: PLAIN[name] for name in ("classifier.weight", "classifier.bias")}
BACKBONE = {name: values for name, values in PLAIN.items() if name not in HEAD}


def under(prefix: str, tensors: Tensors, change: float = 0) -> Tensors:
    """With other names, and other values."""
    return {prefix + name: values + np.asarray(change, values.dtype) for name, values in tensors.items()}


def head(path: str, change: float = 0) -> Tensors:
    """The classifier, somewhere else."""
    return {path + name.removeprefix("classifier"): values for name, values in under("", HEAD, change).items()}


def matched(*parts: Tensors) -> MatchedWeights:
    tensors = {name: values for part in parts for name, values in part.items()}
    return match(Checkpoint(Path("some.pth"), "torch zip", tensors), LITE0)


def refusal(*parts: Tensors) -> str:
    with pytest.raises(WeightsError) as refused:
        matched(*parts)
    message = str(refused.value)
    assert message.startswith("some.pth")
    assert "\n" not in message
    return message


def change(found: MatchedWeights) -> float:
    """What was added to the values that were found, to all of them alike."""
    assert found.variables.keys() == EXPECTED.keys()
    differences = [found.variables[name] - EXPECTED[name] for name in EXPECTED]
    first = float(differences[0].flat[0])
    assert all(np.allclose(difference, first, atol=1e-5) for difference in differences)
    return round(first, 3)


@pytest.mark.parametrize("within", ["", "state_dict/", "net/", "0/", "my checkpoint/state/model/"])
@pytest.mark.parametrize(
    "prefix",
    [
        *("module.", "model.", "_orig_mod.", "backbone.", "net.0.", "timm_model.", "efficientnet."),
        *("module._orig_mod.", "_orig_mod.module.", "model._orig_mod.module.backbone."),
    ],
)
def test_any_prefix_is_one(within: str, prefix: str) -> None:
    training = {"optimizer/rate": np.ones(1), "rng_state": np.ones(9, np.uint8)}
    found = matched(under(within + prefix, PLAIN), training if within else {})
    assert change(found) == 0
    assert (found.layout, found.classes, found.chosen, found.note) == ("timm", 1000, None, None)


@pytest.mark.parametrize("wrapper", ["_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"])
def test_wrappers_of_parts_are_left_out(wrapper: str) -> None:
    wrapped = {name.replace("blocks.", f"blocks.{wrapper}."): values for name, values in PLAIN.items()}
    assert change(matched(under("module.", wrapped))) == 0


@pytest.mark.parametrize(
    "beside",
    [
        {"n_averaged": np.array(3)},
        {"module.total_ops": np.zeros(1), "module.conv_stem.total_params": np.zeros(1)},
        {"criterion.weight": np.ones(5), "loss_fn.pos_weight": np.ones(5), "val_metrics.f1.total": np.array(1.5)},
        {"accuracy.correct": np.array(3), "initted": np.array(True)},
    ],
)
def test_counters_losses_and_metrics_are_no_weights(beside: Tensors) -> None:
    assert change(matched(under("module.", PLAIN), beside)) == 0


@pytest.mark.parametrize(
    ("backbone", "path"),
    [
        *(("", "classifier.1"), ("", "classifier.0"), ("", "fc"), ("0.", "1"), ("module.0.", "module.3")),
        *(("backbone.", "fc"), ("model.backbone.", "model.head.2"), ("model.", "classifier")),
        *(("state_dict/net.", "state_dict/net.classifier.1"), ("state_dict/model.net.", "state_dict/model.fc")),
        *(("encoder/", "head/fc"), ("encoder/module.", "classifier/1")),
    ],
)
def test_a_classifier_is_the_one_dense_layer_that_is_left(backbone: str, path: str) -> None:
    found = matched(under(backbone, BACKBONE), head(path))
    assert change(found) == 0
    assert found.classes == 1000


def test_a_classifier_that_is_a_dict_of_its_own() -> None:
    own = {"head/weight": HEAD["classifier.weight"], "head/bias": HEAD["classifier.bias"]}
    assert change(matched(under("backbone/", BACKBONE), own)) == 0


@pytest.mark.parametrize(
    ("backbone", "beside"),
    [
        (PLAIN, {"fc.weight": np.ones((5, 1000)), "fc.bias": np.ones(5)}),
        (BACKBONE, {**head("a"), **head("b")}),
        (BACKBONE, {**head("fc"), "neck.weight": np.ones(1280), "neck.bias": np.ones(1280)}),
        (BACKBONE, {"fc.weight": HEAD["classifier.weight"]}),
        (BACKBONE, {"loss.weight": HEAD["classifier.weight"]}),
        (BACKBONE, {"norm.weight": np.ones(1280), "norm.bias": np.ones(1280)}),
        (PLAIN, {"normalize.mean": np.zeros((1, 3, 1, 1)), "normalize.std": np.ones((1, 3, 1, 1))}),
        (PLAIN, {"temperature": np.ones(1)}),
        (PLAIN, {"model.conv_head.lora_A": np.ones((4, 4))}),
    ],
)
def test_what_would_change_the_answer_is_refused_by_name(backbone: Tensors, beside: Tensors) -> None:
    message = refusal(under("model.", backbone), beside)
    assert "(timm names) does not fit lite0" in message
    assert repr(next(iter(beside))) in message


@pytest.mark.parametrize(
    "heads", [{**head("a/fc"), **head("b/fc")}, {"head/fc.weight": np.ones((5, 64)), "head/fc.bias": np.ones(5)}]
)
def test_classifiers_elsewhere_that_are_several_or_of_another_size_are_none(heads: Tensors) -> None:
    assert matched(under("backbone/", BACKBONE), heads).classes is None


@pytest.mark.parametrize(
    ("raw", "averaged"),
    [
        *(
            ("state_dict/", f"{key}/")
            for key in ("state_dict_ema", "model_ema", "ema", "EMA", "swa_model", "averaged_model")
        ),
        *(
            ("model/module.", f"{key}/module.")
            for key in ("ema_state_dict", "swa_state_dict", "avg_model", "model_avg")
        ),
        *(("state_dict/model.", "state_dict/ema_model."), ("online_model.", "ema_model."), ("net.", "ema.module.")),
    ],
)
def test_averaged_weights_are_chosen_and_said(raw: str, averaged: str) -> None:
    for parts in ((under(raw, PLAIN), under(averaged, PLAIN, 0.5)), (under(averaged, PLAIN, 0.5), under(raw, PLAIN))):
        found = matched(*parts)
        assert change(found) == 0.5
        assert found.chosen == averaged
        assert found.note == (
            f"The checkpoint holds other weights too: {averaged.rstrip('./')!r} (averaged) is used, "
            f"not {raw.rstrip('./')!r}."
        )


def test_a_counter_tells_averages_of_any_name_and_those_that_never_began() -> None:
    """torch's AveragedModel starts as a copy of the untrained weights."""
    for count, expected in ((3, 0.5), (0, 0)):
        for name in ("swa_state_dict", "other"):
            copies = {**under(f"{name}/module.", PLAIN, 0.5), f"{name}/n_averaged": np.array(count)}
            assert change(matched(under("model/", PLAIN), copies)) == expected
    alone = {**under("module.", PLAIN), "n_averaged": np.array(0)}
    assert change(matched(alone)) == 0


def test_lightning_keeps_its_averages_as_the_state_dict() -> None:
    found = matched(
        under("state_dict/model.", PLAIN),
        under("current_model_state/model.", PLAIN, 0.5),
        {"averaging_state/n_averaged": np.array(3)},
    )
    assert (change(found), found.chosen) == (0, "state_dict/model.")


@pytest.mark.parametrize(
    ("averages", "shown"),
    [
        ({"ema/shadow_params/0": np.ones(3)}, "'ema'"),
        ({"model.ema.shadow": np.ones(3)}, "'model.ema'"),
        (
            under("ema/shadow/", {name: values for name, values in PLAIN.items() if "running" not in name}),
            "'ema/shadow'",
        ),
        ({f"model_ema.{name.replace('.', '')}": values for name, values in PLAIN.items()}, "'model_ema'"),
        ({"model_ema.decay": np.array(0.9)}, "'model_ema'"),
    ],
)
def test_averages_that_cannot_be_used_are_said(averages: Tensors, shown: str) -> None:
    found = matched(under("net.", PLAIN), averages)
    assert change(found) == 0
    assert found.chosen == "net."
    assert f"'net' is used, not {shown}" in str(found.note)


def test_an_average_keeps_to_its_own_classifier() -> None:
    inside = under("ema.net.", BACKBONE, 0.5) | head("ema.fc", 0.5)
    assert change(matched(under("net.", BACKBONE), head("fc"), inside)) == 0.5
    apart = under("ema_net.", BACKBONE, 0.5) | head("ema_fc", 0.5)
    found = matched(under("net.", BACKBONE), head("fc"), apart)
    assert (change(found), found.chosen) == (0, "net.")


@pytest.mark.parametrize(
    ("first", "second"),
    [
        *(("model/", "best_model/"), ("state_dict/student.", "state_dict/teacher."), ("0/", "1/")),
        *(("ema/", "swa/"), ("encoder_q.", "encoder_k."), ("ema/", "non_ema/")),
    ],
)
def test_two_that_fit_are_refused_by_their_names(first: str, second: str) -> None:
    message = refusal(under(first, PLAIN), under(second, PLAIN, 0.5))
    assert "which both fit lite0: save one of them alone" in message
    for name in (first, second):
        assert repr(name.rstrip("./")) in message


def test_two_that_are_equal_are_one() -> None:
    found = matched(under("model/", PLAIN), under("best_model/", PLAIN))
    assert (change(found), found.chosen) == (0, "model/")


@pytest.mark.parametrize("student", ["student.", ""])
def test_the_one_that_fits_is_chosen(student: str) -> None:
    teacher = {name: values for name, values in PLAIN.items() if not name.startswith("blocks.3.")}
    found = matched(under("teacher.", teacher), under(student, PLAIN, 0.5))
    assert (change(found), found.chosen) == (0.5, student)
    shown = "'student'" if student else "the outermost"
    assert found.note == f"The checkpoint holds other weights too: {shown} is used, not 'teacher'."


def test_where_none_fits_the_nearest_is_complained_of() -> None:
    near = {name: values for name, values in PLAIN.items() if name != "blocks.3.0.bn1.bias"}
    message = refusal(under("far.", {"conv_stem.weight": PLAIN["conv_stem.weight"]}), under("near.", near))
    assert message.endswith("does not fit lite0: 1 missing ('near.blocks.3.0.bn1.bias')")


def test_a_swarm_of_networks_is_refused() -> None:
    stems: dict[str, Any] = {f"{index}.conv_stem.weight": np.ones(1) for index in range(MAX_NETWORKS + 1)}
    assert f"holds {MAX_NETWORKS + 1} networks" in refusal(stems)
