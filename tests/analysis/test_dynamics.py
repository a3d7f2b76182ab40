import numpy as np
import pytest

from openmm_trajgan.analysis import dynamics
from openmm_trajgan.analysis.dynamics import (
    autocorrelation,
    displacement_divergence,
    displacements,
    relaxation_time,
)
from openmm_trajgan.errors import InputError
from openmm_trajgan.schema import FeatureSchema, FeatureTrajectories


def test_autocorrelation_equals_the_definition_pair_by_pair():
    schema = FeatureSchema(names=("d", "phi"), units=("nm", "rad"), periods=(None, 2 * np.pi))
    rng = np.random.default_rng(1)
    series = [np.cumsum(rng.normal(0, 0.3, (length, 2)), axis=0) for length in (60, 7, 31)]
    data = FeatureTrajectories(series, schema)
    frames = np.concatenate(data.values).astype(float)
    mean = frames[:, 0].mean()
    baseline = np.cos(frames[:, 1]).mean() ** 2 + np.sin(frames[:, 1]).mean() ** 2
    expected = []
    for lag in range(11):
        pairs = [(one[: len(one) - lag].astype(float), one[lag:].astype(float)) for one in data if len(one) > lag]
        first, second = (np.concatenate(side) for side in zip(*pairs, strict=True))
        line = np.mean((first[:, 0] - mean) * (second[:, 0] - mean)) / frames[:, 0].var()
        angle = (np.cos(second[:, 1] - first[:, 1]).mean() - baseline) / (1 - baseline)
        expected.append((line, angle))
    np.testing.assert_allclose(autocorrelation(data, 10), expected, atol=1e-6)


@pytest.mark.statistical
def test_relaxation_time_of_the_ornstein_uhlenbeck_process(ou):
    """Law: exp(-k/τ), τ = 20. 4 × 10⁵ frames = 10⁴ independent ones, so the s.e. of the curve is ≤ √(2τ/N) = 0.01."""
    curve = autocorrelation(ou(1, n_replicas=8, n_frames=50_000), 100)[:, 0]
    assert np.abs(curve - np.exp(-np.arange(101) / 20)).max() < 4 * 0.01
    assert relaxation_time(curve[:, None]) == pytest.approx(20, abs=4 * 0.01 * 20 * np.e)


def test_pairs_never_cross_a_seam(ou):
    whole = ou(1, n_frames=1000)
    windows = FeatureTrajectories(np.split(whole.values[0], 100), whole.schema)
    curve = autocorrelation(windows, 12)
    assert np.isfinite(curve[:10]).all()
    assert np.isnan(curve[10:]).all()
    assert len(displacements(windows, 9)) == 100
    assert len(displacements(windows, 10)) == 0


def test_stretches_of_lags_and_frames_give_the_same(ou, wells, monkeypatch):
    for data in (ou(1, n_replicas=3, n_frames=700), wells(1, n_replicas=2, n_frames=900)):
        expected = autocorrelation(data, 600)
        with monkeypatch.context() as patch:
            patch.setattr(dynamics, "LEAST_LAGS", 8)
            patch.setattr(dynamics, "MOST_LAGS", 64)
            np.testing.assert_allclose(autocorrelation(data, 600), expected, atol=1e-9)


def test_a_constant_feature_has_no_autocorrelation_and_no_relaxation_time():
    schema = FeatureSchema(names=("a", "b"), units=("", "rad"), periods=(None, 2 * np.pi))
    data = FeatureTrajectories([np.full((50, 2), 0.1)], schema)
    assert np.isnan(autocorrelation(data, 5)).all()
    assert np.isnan(relaxation_time(autocorrelation(data, 5))).all()


def test_relaxation_time_is_the_first_lag_at_or_below_one_over_e():
    curves = np.array([[1.0, 1.0, 1.0], [0.5, np.exp(-1), 0.9], [0.3, 0.2, 0.8], [0.5, 0.1, 0.7]])
    np.testing.assert_array_equal(relaxation_time(curves), [2, 1, np.nan])


def test_displacements_of_angles_take_the_short_way(torsions):
    data = FeatureTrajectories([[[3.1, -3.0], [-3.1, 3.0]]], torsions)
    np.testing.assert_allclose(displacements(data, 1), [[2 * np.pi - 6.2, 6.0 - 2 * np.pi]], atol=1e-5)


def test_displacement_divergence_tells_the_order_of_frames(ou):
    data = ou(1)
    shuffled = FeatureTrajectories([np.random.default_rng(2).permutation(data.values[0])], data.schema)
    assert displacement_divergence(data, shuffled, 1)[0] > 0.2
    assert displacement_divergence(data, data, 1)[0] == 0
    assert displacement_divergence(data, ou(3), 1)[0] < 0.01


def test_what_is_wrong_is_said(ou):
    with pytest.raises(InputError, match=r"max_lag ≥ 0 frames, found -1"):
        autocorrelation(ou(1), -1)
    with pytest.raises(InputError, match=r"at least 1 frame, found 0"):
        displacements(ou(1), 0)
    with pytest.raises(InputError, match=r"the other set has no series longer than 64 frames"):
        displacement_divergence(ou(1), ou(1, n_frames=64), 64)
