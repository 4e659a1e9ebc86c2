"""Rounding of weights, by its own objective and on hard cases."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lite_toolkit.quantization import rounding


def make(seed: int, outputs: int, inputs: int, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Dense weights and a Hessian of correlated inputs."""
    generator = np.random.default_rng(seed)
    mixing = generator.normal(size=(inputs, inputs))
    x = np.maximum(generator.normal(size=(rows, inputs)) @ mixing, 0)
    return generator.normal(size=(outputs, inputs)).astype(np.float32), x.T @ x / rows


def objective(weights: np.ndarray, rounded: np.ndarray, hessian: np.ndarray) -> np.ndarray:
    """Squared error of every channel's output on the Hessian's inputs, written out channel by channel."""
    difference = (rounded - weights).astype(np.float64)
    return np.array([row @ hessian @ row for row in difference])


def on_grid(rounded: np.ndarray, steps: np.ndarray) -> bool:
    levels = rounded / steps
    return bool(np.allclose(levels, np.rint(levels), atol=1e-3) and np.abs(np.rint(levels)).max() <= 127)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**16), outputs=st.integers(1, 9), inputs=st.integers(1, 160), rows=st.integers(1, 300))
def test_gptq_is_never_worse_than_nearest_on_its_own_objective(seed: int, outputs: int, inputs: int, rows: int) -> None:
    weights, hessian = make(seed, outputs, inputs, rows)
    steps = rounding.scales(weights)
    best = rounding.gptq(weights, steps, hessian, 0.05)
    nearest = rounding.nearest(weights, steps)
    slack = 1e-6 * np.abs(hessian).max()
    assert (objective(weights, best, hessian) <= objective(weights, nearest, hessian) + slack).all()
    assert on_grid(best, steps)


def test_gptq_makes_up_for_correlated_inputs() -> None:
    weights, hessian = make(1, 64, 96, 2000)
    steps = rounding.scales(weights)
    gained = objective(weights, rounding.gptq(weights, steps, hessian, 0.01), hessian).sum()
    assert gained < 0.5 * objective(weights, rounding.nearest(weights, steps), hessian).sum()


def test_uncorrelated_inputs_leave_nothing_to_make_up() -> None:
    weights, _ = make(2, 8, 32, 10)
    steps = rounding.scales(weights)
    np.testing.assert_array_equal(rounding.gptq(weights, steps, np.eye(32), 0.05), rounding.nearest(weights, steps))


def test_depthwise_channels_are_rounded_as_if_each_were_alone() -> None:
    generator = np.random.default_rng(4)
    weights = generator.normal(size=(1, 3, 3, 5)).astype(np.float32)
    patches = np.maximum(generator.normal(size=(400, 9, 5)).cumsum(axis=1), 0)
    hessians = np.einsum("npc,nqc->cpq", patches, patches) / 400
    together = rounding.gptq(weights, rounding.scales(weights, True), hessians, 0.05, True)
    for channel in range(5):
        alone = weights[..., channel].reshape(1, 9)
        expected = rounding.gptq(alone, rounding.scales(alone), hessians[channel], 0.05)
        np.testing.assert_allclose(together[..., channel].reshape(1, 9), expected, atol=1e-7)


@pytest.mark.parametrize("depthwise", [False, True])
def test_each_channels_step_can_be_read_off_the_result(depthwise: bool) -> None:
    generator = np.random.default_rng(5)
    weights = generator.normal(size=(1, 3, 3, 6) if depthwise else (6, 1, 1, 20)).astype(np.float32)
    count = 9 if depthwise else 20
    x = generator.normal(size=(500, count))
    hessian = np.broadcast_to(x.T @ x / 500, (6, 9, 9)) if depthwise else x.T @ x / 500
    steps = rounding.scales(weights, depthwise)
    rounded = rounding.gptq(weights, steps, hessian, 0.05, depthwise)
    np.testing.assert_allclose(rounding.scales(rounded, depthwise), steps, rtol=1e-6)


def test_channels_of_zeros_and_inputs_of_zeros_stay_finite() -> None:
    weights, hessian = make(3, 4, 12, 50)
    weights[1] = 0
    hessian[:, 5] = hessian[5, :] = 0
    steps = rounding.scales(weights)
    for matrix in (hessian, np.zeros_like(hessian)):
        rounded = rounding.gptq(weights, steps, matrix, 0.05)
        assert np.isfinite(rounded).all()
        assert not rounded[1].any()
