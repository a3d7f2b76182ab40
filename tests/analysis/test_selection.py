"""The score is judged on Ornstein-Uhlenbeck data: N(0, 1), relaxation of 20 frames, 10 replicas of 4,000 frames."""

import numpy as np
import pytest

from openmm_trajgan.analysis.selection import ValidationScore
from openmm_trajgan.errors import InputError
from openmm_trajgan.schema import FeatureTrajectories

SHAPE = {"n_replicas": 10, "n_frames": 4000}


@pytest.fixture(scope="module")
def score(ou):
    return ValidationScore.fit(ou(3, **SHAPE), ou(4, **SHAPE))


@pytest.mark.statistical
def test_other_data_of_the_same_law_are_as_far_as_the_training_data(ou, score):
    """Sixteen draws: their mean is the score of the law.

    The yardstick is one draw itself, so that the mean is 0 up to the deviation of one draw, which the spread of the draws tells.
    """
    scores = np.array([score(ou(seed, **SHAPE)) for seed in range(10, 26)])
    spread = scores.std(ddof=1)
    assert spread < 0.2
    assert abs(scores.mean()) < 3 * spread * np.sqrt(1 + 1 / 16)


@pytest.mark.statistical
def test_other_laws_are_further(ou, score):
    """Than sixteen draws of the same law, in their standard deviations, about 0.06.

    A shift changes one of the five divergences, of the density; other dynamics change the four of the displacements, by much.
    """
    same = np.array([score(ou(seed, **SHAPE)) for seed in range(10, 26)])
    shifted, further = (score(ou(30, mean=mean, **SHAPE)) for mean in (0.3, 1.0))
    assert shifted > same.mean() + 4 * same.std(ddof=1)
    assert further > shifted
    rng = np.random.default_rng(0)
    md = ou(32, **SHAPE)
    shuffled = FeatureTrajectories([rng.permutation(series) for series in md], md.schema)
    assert score(ou(31, relaxation=40.0, **SHAPE)) > same.max() + 1
    assert score(shuffled) > same.max() + 1


def test_training_data_score_zero(ou, score):
    assert score(ou(4, **SHAPE)) == pytest.approx(0, abs=1e-12)


def test_training_data_are_no_validation_data(ou):
    with pytest.raises(InputError, match="validation: found the training data"):
        ValidationScore.fit(ou(4, **SHAPE), ou(4, **SHAPE))


def test_one_answer_for_one_data_set(ou, score):
    generated = ou(40, **SHAPE)
    again = ValidationScore.fit(ou(3, **SHAPE), ou(4, **SHAPE))
    assert score(generated) == score(generated) == again(generated)


def test_length_and_number_of_generated_series_may_differ(ou, score):
    assert np.isfinite(score(ou(50, n_replicas=3, n_frames=900)))


def test_pairs_of_features_count(wells):
    """Angles, independent of each other and in a new order, have the densities of each one and not those of the pair."""
    validation, train, other = (wells(seed, 4, 3000, rate=0.05) for seed in (1, 2, 3))
    score = ValidationScore.fit(validation, train)
    states = [np.c_[series[:, 0], np.where(series[:, 0] > 0, 1, -1) * np.abs(series[:, 1])] for series in other]
    assert score(FeatureTrajectories(states, other.schema)) > score(other) + 0.3


def test_a_feature_that_stands_still_does_not_count(line):
    rng = np.random.default_rng(0)
    schema = type(line)(names=("x", "c"), units=("", ""), periods=(None, None), frame_interval=1.0)

    def data():
        return FeatureTrajectories([np.c_[rng.normal(size=2000), np.full(2000, 3.0)]], schema)

    assert np.isfinite(ValidationScore.fit(data(), data())(data()))
