import numpy as np
import pytest

from openmm_trajgan.analysis.held_out import require_held_out
from openmm_trajgan.errors import InputError
from openmm_trajgan.schema import FeatureTrajectories


@pytest.fixture
def train(ou):
    return ou(1, n_frames=5000)


def part_of(train, start, stop, other):
    """Frames of the training data inside other ones."""
    series = other.values[0].copy()
    series[start:stop] = train.values[0][start + 7 : stop + 7]
    return FeatureTrajectories([series], train.schema)


def test_independent_trajectories_are_held_out(train, ou):
    require_held_out(ou(2, n_frames=5000), train)
    require_held_out(ou(2, n_frames=5000), None)


@pytest.mark.parametrize(("stop", "share"), [(5000, "series '0'"), (2500, "50% of series '0'"), (40, "1% of series '0'")])
def test_a_stretch_of_the_training_data_is_found(train, ou, stop, share):
    """At any place, not only from its beginning."""
    longer = ou(1, n_frames=5007)
    with pytest.raises(InputError, match=f"reference: {share} is in the training data too; judge by trajectories the model never"):
        require_held_out(part_of(longer, 0, stop, ou(2, n_frames=5000)), longer)


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
