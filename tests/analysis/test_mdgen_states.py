import numpy as np
import pytest

from openmm_trajgan.analysis import mdgen_states
from openmm_trajgan.analysis.blocks import Blocks
from openmm_trajgan.analysis.mdgen_states import MetastableStates, SlowSpace, lag_in_frames
from openmm_trajgan.analysis.metric import Missing
from openmm_trajgan.schema import FeatureSchema, FeatureTrajectories


@pytest.fixture(scope="module")
def reference(wells):
    """Some 80 hops between two wells; 100 ps are 200 frames."""
    return wells(1, 2, 4000)


@pytest.fixture(scope="module")
def space(reference):
    return SlowSpace.fit(Blocks.whole(reference), lag_in_frames(reference.schema.frame_interval))


def test_a_path_that_never_returns_has_no_model():
    """A slow drift: hardly any pair of states is joined both ways."""
    schema = FeatureSchema(names=("a",), units=("rad",), periods=(2 * np.pi,), frame_interval=10.0)
    drift = FeatureTrajectories([np.linspace(-3, 3, 4000)[:, None]], schema)
    space = SlowSpace.fit(Blocks.whole(drift), lag_in_frames(10.0))
    assert isinstance(space, SlowSpace)
    states = MetastableStates.fit(Blocks.whole(drift), space, 0)
    assert isinstance(states, Missing)
    assert states.reason.startswith("the reference has")


def test_noise_that_never_returns_has_no_model():
    """Every frame is a microstate of its own, and no two of them are joined both ways."""
    schema = FeatureSchema(names=("a",), units=("rad",), periods=(2 * np.pi,), frame_interval=100.0)
    noise = FeatureTrajectories([np.random.default_rng(1).uniform(-3, 3, (50, 1))], schema)
    space = SlowSpace.fit(Blocks.whole(noise), lag_in_frames(100.0))
    assert isinstance(space, SlowSpace)
    assert isinstance(MetastableStates.fit(Blocks.whole(noise), space, 0), Missing)


def test_counts_without_a_reversible_model(reference, space, monkeypatch):
    def fail(counts):
        raise RuntimeError("Stationary distribution contains entries smaller than 0")

    monkeypatch.setattr(mdgen_states, "transition_matrix", fail)
    assert MetastableStates.fit(Blocks.whole(reference), space, 0) == Missing(
        "the reference has too few transitions between microstates for a reversible Markov state model"
    )
