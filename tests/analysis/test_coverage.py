import numpy as np
import pytest

from openmm_trajgan.analysis.blocks import Blocks
from openmm_trajgan.analysis.coverage import Coverage
from openmm_trajgan.analysis.kinetics import Microstates
from openmm_trajgan.errors import InputError
from openmm_trajgan.schema import FeatureTrajectories


@pytest.fixture(scope="module")
def reference(wells):
    return wells(1, n_frames=20_000)


@pytest.fixture(scope="module")
def coverage(reference):
    return Coverage(Microstates.fit(reference, 12), lag=3)


def sums(coverage, *sets, length=200):
    return [coverage.tally(Blocks.cut(data, length)).sum(axis=0, keepdims=True) for data in sets]


def test_figures_equal_the_definition_pair_by_pair(coverage, reference, wells):
    data = FeatureTrajectories(np.split(wells(2, n_frames=60).values[0], [7, 9, 40]), reference.schema)
    expected = []
    ways = [
        lambda states: states.tolist(),
        lambda states: [pair for pair in zip(states, states[coverage.lag :], strict=False) if pair[0] != pair[1]],
    ]
    for events in ways:
        theirs, ours = (
            [event for states in coverage.microstates.assign(part) for event in events(states)] for part in (reference, data)
        )
        expected.append(np.mean([event in set(ours) for event in theirs]))
    assert 0.1 < expected[1] < expected[0] < 1
    np.testing.assert_allclose(coverage.evaluate(*sums(coverage, reference, data, length=20))[0], expected)


def test_the_same_data_cover_everything_and_a_collapsed_set_half(coverage, reference):
    """Half of the time in each well, ± the s.e. of an occupancy: √(t2/2N) = 0.035 with t2 = 49.5 frames and N = 20000."""
    stuck = FeatureTrajectories([np.abs(reference.values[0][:, :1]) * [1, 0] + reference.values[0] * [0, 1]], reference.schema)
    everything, half = sums(coverage, reference, stuck)
    np.testing.assert_allclose(coverage.evaluate(everything, everything), [[1, 1]])
    visited, made = coverage.evaluate(everything, half)[0]
    assert visited == pytest.approx(0.5, abs=4 * 0.035)
    assert made < 0.6


def test_jumps_that_never_happen_give_no_credit(coverage, reference):
    """Each well for itself, joined to series that never cross: all microstates, without the transitions between the wells."""
    series = reference.values[0]
    cuts = np.flatnonzero(np.diff(np.sign(series[:, 0])) != 0) + 1
    apart = FeatureTrajectories(np.split(series, cuts), reference.schema)
    visited, made = coverage.evaluate(*sums(coverage, reference, apart))[0]
    assert visited == 1
    assert 0.9 < made < 1


def test_rows_are_evaluated_on_their_own_and_blocks_add_up(coverage, reference):
    tally = coverage.tally(Blocks.cut(reference, 200))
    n_states = coverage.microstates.n_states
    assert tally.shape == (100, n_states + n_states**2)
    assert tally[:, :n_states].sum() == 20_000
    assert tally[:, n_states:].sum() == 20_000 - coverage.lag
    weights = np.random.default_rng(0).integers(0, 2, (4, 100)) * np.array([[1], [0], [1], [1]]) + np.eye(4, 100)
    everything = tally.sum(axis=0, keepdims=True)
    together = coverage.evaluate(everything, weights @ tally)
    alone = np.concatenate([coverage.evaluate(everything, row[None]) for row in weights @ tally])
    np.testing.assert_allclose(together, alone)
    assert together[1, 1] < together[0, 1]


def test_states_that_are_known_are_not_assigned_again(coverage, reference):
    blocks = Blocks.cut(reference, 200)
    (states,) = coverage.microstates.assign(reference)
    np.testing.assert_array_equal(coverage.tally(blocks, states), coverage.tally(blocks))


def test_missing_transitions_have_a_reason(coverage, reference, wells):
    everything = sums(coverage, reference)[0]
    short = FeatureTrajectories(np.split(wells(2, n_frames=60).values[0], 20), reference.schema)
    few = sums(coverage, short, length=20)[0]
    visited, made = coverage.evaluate(everything, few)[0]
    assert visited > 0
    assert np.isnan(made)
    assert "no series longer than the lag of 3 frames" in coverage.missing(1, everything[0], few[0]).reason
    still = sums(coverage, FeatureTrajectories([np.repeat(reference.values[0][:1], 50, axis=0)], reference.schema), length=50)[0]
    assert np.isnan(coverage.evaluate(still, everything)[0, 1])
    assert "the reference makes no transition" in coverage.missing(1, still[0], everything[0]).reason
    assert coverage.evaluate(everything, still)[0, 1] == 0


def test_a_lag_is_positive(coverage):
    with pytest.raises(InputError, match="a lag of at least 1 frame, found 0"):
        Coverage(coverage.microstates, 0)
