"""Windows continue one another, on a process with inertia: x(t) = 1.6 x(t-1) - 0.7 x(t-2) + e(t), e of variance 1."""

import numpy as np
import pytest
from scipy.signal import lfilter

from openmm_trajgan import FeatureSchema, FeatureTrajectories, TrajGAN
from openmm_trajgan.training.config import TrainingConfig

PAST = [1.0, -1.6, 0.7]
T, N, N_WINDOWS = 8, 1000, 20


@pytest.fixture(scope="module")
def gan():
    series = lfilter([1.0], PAST, np.random.default_rng(0).normal(size=(8, 2600)))[:, 100:, None]
    schema = FeatureSchema(names=("x",), units=("nm",), periods=(None,), frame_interval=1.0)
    gan = TrajGAN(T, context_length=8, training=TrainingConfig(likelihood_share=1.0))
    return gan.fit(FeatureTrajectories(series, schema), steps=400, seed=1, progress=False)


@pytest.fixture(scope="module")
def innovations(gan):
    """e of the frames of generated windows, ``(N, N_WINDOWS, T)``, but for the first windows, which have no past."""
    generated = np.stack(gan.generate(1 + (2 + N_WINDOWS) * T, N, seed=2).values)[..., 0]
    return lfilter(PAST, [1.0], generated)[:, 1 + 2 * T :].reshape(N, N_WINDOWS, T)


@pytest.mark.statistical
@pytest.mark.parametrize("frame", range(T))
def test_every_frame_of_a_window_follows_from_those_before(innovations, frame):
    """Variance of 20,000 innovations each, standard error 0.010 (20,000 training frames: the same).

    Beyond three of both, 400 steps may be off by 0.15, and by 0.08 in the mean (standard error 0.007). Frames next to the start of
    a window that were not told of what came just before it had a variance of 1.9.
    """
    assert innovations[..., frame].var() == pytest.approx(1.0, abs=0.15 + 3 * 0.014)
    assert abs(innovations[..., frame].mean()) < 0.08 + 3 * 0.007


@pytest.mark.statistical
def test_a_trajectory_begins_like_any_part_of_one(gan):
    """Variance of 20,000 first, second … displacements, 2 (1 - ρ) of that of x, ρ = 1.6 / 1.7; standard error 0.010, beyond three
    of which 400 steps may be off by 0.15 as above.

    When one step in four hundred was trained without context, they were 0.71, 1.09, 1.19, 1.20, 1.16, 1.24, 1.16 and 1.06 of it.
    """
    displacements = np.diff(np.stack(gan.generate(1 + T, 20_000, seed=3).values)[..., 0], axis=1)
    variance = (1 + 0.7) / (1 - 0.7) / ((1 + 0.7) ** 2 - 1.6**2)
    expected = 2 * (1 - 1.6 / 1.7) * variance
    np.testing.assert_allclose(displacements.var(axis=0) / expected, 1.0, rtol=0, atol=0.15 + 3 * 0.014)
