import numpy as np
import pytest

from openmm_trajgan.analysis import held_out
from openmm_trajgan.analysis.held_out import require_held_out
from openmm_trajgan.errors import InputError
from openmm_trajgan.schema import FeatureTrajectories


@pytest.fixture
def train(ou):
    return ou(1, n_frames=5000)


def test_independent_trajectories_are_held_out(train, ou):
    require_held_out(ou(2, n_frames=5000), train)
    require_held_out(ou(2, n_frames=5000), None)
    require_held_out(FeatureTrajectories([*ou(2).values, np.empty((0, 1))], train.schema), train)


@pytest.mark.parametrize("piece", [2**20, 63 * held_out.N_FRAMES])
@pytest.mark.parametrize("start", [0, 8, 1001])
@pytest.mark.parametrize("length", [31, 3000])
def test_a_stretch_of_the_training_data_is_found(train, ou, monkeypatch, piece, start, length):
    """Anywhere in the reference, anywhere in the training data, also where these are looked at in pieces."""
    monkeypatch.setattr(held_out, "PIECE", piece)
    series = ou(2, n_frames=5000).values[0].copy()
    series[start : start + length] = train.values[0][985 : 985 + length]
    with pytest.raises(InputError, match="reference: a part of series '0' is in the training data too; judge by trajectories the"):
        require_held_out(FeatureTrajectories([series], train.schema), train)


def test_the_training_data_less_some_frames_are_found(train):
    with pytest.raises(InputError, match="reference: series '0' is in the training data too"):
        require_held_out(FeatureTrajectories([train.values[0][1:]], train.schema), train)


def test_states_that_stand_still_together_are_no_stretch(line):
    """Whole numbers repeat, as does a feature at its bound."""
    rng = np.random.default_rng(0)
    reference, train = (FeatureTrajectories([np.cumsum(rng.random((20_000, 1)) < 0.05, axis=0) % 3], line) for _ in range(2))
    require_held_out(reference, train)
    with pytest.raises(InputError, match="series '0' is in the training data too"):
        require_held_out(train, FeatureTrajectories([*reference, *train], line))


def test_series_shorter_than_a_stretch(train, ou):
    require_held_out(ou(2, n_frames=9), ou(3, n_frames=4))
    with pytest.raises(InputError, match="series '0' is in the training data too"):
        require_held_out(ou(2, n_frames=9), ou(2, n_frames=9))
