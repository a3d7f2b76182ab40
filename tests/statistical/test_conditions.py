"""Conditions learn the law they stand for, on an Ornstein-Uhlenbeck process whose mean is its label.

x(t+1) - m = a (x(t) - m) + e, with a = exp(-1/10), variance 1, and m = -1, -0.5, 0.5 and 1; trained by likelihood alone.
"""

import math

import numpy as np
import pytest
from scipy.signal import lfilter

from openmm_trajgan import FeatureSchema, FeatureTrajectories, TrajGAN
from openmm_trajgan.training.config import TrainingConfig

DECAY, T, N = math.exp(-1 / 10), 16, 4000
MEANS = (-1.0, -0.5, 0.5, 1.0)


@pytest.fixture(scope="module")
def model():
    """Windows of 16 frames, 300 steps; 4 replicas of 8,000 frames, so that the mean of each is known to 0.05."""
    rng = np.random.default_rng(0)
    noise = math.sqrt(1 - DECAY**2) * rng.normal(size=(4, 8200))
    series = [(m + lfilter([1.0], [1.0, -DECAY], e))[200:, None] for m, e in zip(MEANS, noise, strict=True)]
    schema = FeatureSchema(names=("x",), units=("nm",), periods=(None,), frame_interval=1.0)
    config = TrainingConfig(likelihood_share=1.0, given_share=0.5, likelihood_windows=192, likelihood_frames=512)
    gan = TrajGAN(T, context_length=4, training=config)
    return gan.fit(FeatureTrajectories(series, schema), labels=MEANS, steps=300, seed=1, progress=False)


@pytest.mark.statistical
@pytest.mark.parametrize(("first", "last"), [(-1.5, 1.0), (0.0, 0.0), (1.5, 1.5)])
def test_bridges_have_the_law_of_the_process_between_its_ends(model, first, last):
    """Half-way mean and variance of 4,000 bridges; m = 0.5.

    The variance is 0.664, so the standard errors are 0.013 of the mean and 0.015 of the variance. Beyond three of them, training
    may be off by 0.08 in the mean and by 12 % in the variance. Without the end, the first mean would be -0.67 instead of -0.19.
    """
    generated = np.stack(model.generate(T + 1, N, start=[0.5 + first], end=[0.5 + last], label=0.5, seed=3).values)[..., 0] - 0.5
    half = T // 2
    mean = (first + last) * DECAY**half / (1 + DECAY**T)
    variance = (1 - DECAY ** (2 * half)) ** 2 / (1 - DECAY ** (2 * T))
    errors = math.sqrt(variance / N), variance * math.sqrt(2 / N)
    assert generated[:, half].mean() == pytest.approx(mean, abs=0.08 + 3 * errors[0])
    assert generated[:, half].var() == pytest.approx(variance, abs=0.12 * variance + 3 * errors[1])


@pytest.mark.statistical
@pytest.mark.parametrize("label", [-1.0, 0.0, 1.0])
def test_the_mean_follows_the_label_where_none_was_trained(model, label):
    """Last of 65 frames of 4,000 trajectories; the mean 0 was never seen.

    Standard error of the mean 0.016, of the variance 0.022; the training data know their means to 0.05 each. Of all three standard
    errors are allowed; beyond them, training may be off by 12 % in the variance.
    """
    generated = np.stack(model.generate(65, N, label=label, seed=4).values)[:, -1, 0]
    assert generated.mean() == pytest.approx(label, abs=3 * (0.05 + 0.016))
    assert generated.var() == pytest.approx(1.0, abs=0.12 + 3 * 0.022)
