import re
import tracemalloc

import numpy as np
import pytest

from openmm_trajgan.analysis import kinetics
from openmm_trajgan.analysis.kinetics import ImpliedTimescales, Microstates, SlowCoordinates, implied_timescales, lag_ladder
from openmm_trajgan.errors import InputError, SchemaMismatchError
from openmm_trajgan.schema import FeatureSchema, FeatureTrajectories


@pytest.mark.statistical
def test_timescale_of_a_two_state_process(wells):
    """Law: t2 = -1/ln(1 - 2·0.01) = 49.5 frames. 4 × 10⁵ frames hold N = 4000 jumps, so the s.e. of t2 is t2/√N = 0.8."""
    found = implied_timescales(wells(1, n_replicas=8, n_frames=50_000, noise=0.1), [1, 5, 20], n_states=50)
    assert found.values[:, 0] == pytest.approx(-1 / np.log(0.98), abs=4 * 0.8)
    assert (found.reasons[:, 0] == "").all()


@pytest.mark.statistical
def test_timescales_of_a_three_state_chain(line):
    """Law: eigenvalues of the transition matrix, t2 = 33.2 and t3 = 9.5 frames; 2 × 10⁵ frames, s.e. t√(2t/N) = 0.6 and 0.1."""
    matrix = np.array([[0.98, 0.02, 0.0], [0.01, 0.94, 0.05], [0.0, 0.05, 0.95]])
    rng = np.random.default_rng(1)
    draws, cumulative = rng.random(200_000), matrix.cumsum(axis=1)
    chain = [0]
    for draw in draws:
        chain.append(int(np.searchsorted(cumulative[chain[-1]], draw)))
    data = FeatureTrajectories([(np.array(chain) + rng.normal(0, 0.05, len(chain)))[:, None]], line)
    exact = -1 / np.log(np.sort(np.linalg.eigvals(matrix))[::-1][1:])
    found = implied_timescales(data, [1, 3], n_states=30).values
    errors = exact * np.sqrt(2 * exact / len(chain))
    assert (np.abs(found - exact) < 4 * errors).all()


def test_counts_never_cross_a_seam(line):
    """Each series stays in its state; only counts across the seams, there and back, could connect the two."""
    rng = np.random.default_rng(1)
    data = FeatureTrajectories([side + 0.01 * rng.normal(size=(500, 1)) for side in (-1.0, 1.0, -1.0)], line)
    found = implied_timescales(data, [1], n_states=2)
    assert np.isnan(found.values).all()
    assert (found.reasons == "disconnected").all()


def test_a_number_the_data_do_not_support_is_none_with_a_reason(wells, line):
    data = wells(1, n_frames=2000)
    shuffled = FeatureTrajectories([np.random.default_rng(2).permutation(data.values[0])], data.schema)
    assert implied_timescales(data, [2000], n_states=4).reasons[0, 0] == "short"
    assert implied_timescales(shuffled, [1], n_states=4).reasons[0, 0] == "fast"
    assert implied_timescales(data, [100], n_states=4).reasons[0, 0] == "fast"
    twice = FeatureTrajectories([np.repeat([[0.0], [1.0], [0.0]], (900, 600, 500), axis=0)], line)
    assert implied_timescales(twice, [1], n_states=2, n_processes=1).reasons[0, 0] == "few"


def test_microstates_of_an_angle_do_not_see_the_seam(torsions):
    angles = np.pi + 0.1 * np.random.default_rng(1).normal(size=(1000, 2))
    data = FeatureTrajectories([np.where(angles > np.pi, angles - 2 * np.pi, angles)], torsions)
    states = Microstates.fit(data, 2)
    moved = FeatureTrajectories([data.values[0] + 2 * np.pi], torsions)
    assert (states.assign(data)[0] == states.assign(moved)[0]).mean() > 0.999
    assert np.linalg.norm(states.centers[0] - states.centers[1]) < 0.5


def test_microstates_repeat_for_a_seed_and_follow_the_stated_number(wells):
    data = wells(1, n_frames=1600)
    one, other = Microstates.fit(data, seed=3), Microstates.fit(data, seed=3)
    np.testing.assert_array_equal(one.centers, other.centers)
    assert one.n_states == 20
    assert not np.array_equal(one.centers, Microstates.fit(data, seed=4).centers)


def test_few_different_frames_limit_the_number_of_states(line):
    data = FeatureTrajectories([np.tile([[0.0], [1.0], [2.0]], (1000, 1))], line)
    assert Microstates.fit(data).n_states == 3


def test_the_lag_is_the_first_on_a_plateau_else_the_largest():
    lags = np.array([1, 2, 5, 10])
    reasons = np.full((4, 1), "")

    def of(*values):
        return ImpliedTimescales(lags, np.array(values)[:, None], reasons)

    assert of(10, 20, 21, 22).plateau() == 1
    assert of(10, 20, 40, np.nan).plateau() == 2
    assert of(np.nan, np.nan, np.nan, np.nan).plateau() is None


def test_lag_ladder_stays_below_a_tenth_of_the_longest_series():
    assert lag_ladder(600).tolist() == [1, 2, 5, 10, 20, 50]
    assert lag_ladder(3).tolist() == [1]


def test_what_is_wrong_is_said(ou, wells):
    for lags in ([0], [1.5], [], ["a"], 3):
        with pytest.raises(InputError, match=f"expected whole lags of at least 1 frame, found {re.escape(str(lags))}$"):
            implied_timescales(ou(1), lags)
    with pytest.raises(InputError, match=r"as many different frames, found 10 and 4"):
        Microstates.fit(ou(1, n_frames=4), 10)
    states = Microstates.fit(ou(1), 4)
    with pytest.raises(InputError, match=r"either n_states or microstates, found both"):
        implied_timescales(ou(1), [1], 5, microstates=states)
    with pytest.raises(SchemaMismatchError, match=r"the data has other features than the microstates"):
        implied_timescales(wells(1), [1], microstates=states)


def test_labels_are_the_nearest_centres_in_scaled_coordinates(line):
    states = Microstates(np.array([[0.0], [1.0], [5.0]], dtype=np.float32), np.array([2.0], dtype=np.float32), line)
    found = states.label(np.array([[-3.0], [0.9], [1.1], [5.9], [6.1], [100.0]], dtype=np.float32))
    assert found.tolist() == [0, 0, 1, 1, 2, 2]  # borders at 2·0.5 and 2·3
    assert found.dtype == np.int64


def test_labels_of_series_are_those_of_all_frames(wells):
    data = wells(1, n_replicas=3, n_frames=400)
    states = Microstates.fit(data, 12)
    np.testing.assert_array_equal(np.concatenate(states.assign(data)), states.label(np.concatenate(data.values)))
    assert set(states.label(np.concatenate(data.values))) == set(range(12))


def test_the_slowest_coordinate_is_the_one_that_jumps(wells):
    """phi jumps every 100 frames, psi forgets within 5."""
    data = wells(1, n_frames=20_000)
    slow = SlowCoordinates.fit(data, 5)
    found = slow.project(data.values[0], 2)
    assert found.shape == (20_000, slow.n_coordinates) == (20_000, 2)
    phi = data.values[0][:, 0]
    assert abs(np.corrcoef(found[:, 0], np.sign(np.sin(phi)))[0, 1]) > 0.95
    correlations = [np.corrcoef(one[:-5], one[5:])[0, 1] for one in found.T]
    assert correlations[0] == pytest.approx(0.98**5, abs=0.05)
    assert correlations[0] > correlations[1]


def test_slow_coordinates_are_whitened_and_see_no_seam(wells):
    data = wells(1, n_frames=20_000)
    slow = SlowCoordinates.fit(data, 5)
    found = slow.project(data.values[0], 2)
    np.testing.assert_allclose(found.mean(axis=0), 0, atol=0.02)
    covariance = np.cov(found.T)
    np.testing.assert_allclose(covariance / np.sqrt(np.outer(*[np.diag(covariance)] * 2)), np.eye(2), atol=0.02)
    np.testing.assert_allclose(slow.project(data.values[0] + np.float32(2 * np.pi), 2), found, atol=1e-3)
    np.testing.assert_allclose(slow.project(data.values[0], 1), found[:, :1])


def test_units_do_not_matter_to_slow_coordinates():
    schema = FeatureSchema(names=("a", "b"), units=("nm", "pm"), periods=(None, None))
    rng = np.random.default_rng(1)
    slow = np.cumsum(rng.normal(size=5000)) * 0.01
    data = [FeatureTrajectories([np.stack([slow, unit * rng.normal(size=5000)], axis=1)], schema) for unit in (1.0, 1e4)]
    for one in data:
        found = SlowCoordinates.fit(one, 10).project(one.values[0], 1)[:, 0]
        assert abs(np.corrcoef(found, slow)[0, 1]) > 0.99


def test_one_feature_has_one_slow_coordinate(ou):
    data = ou(1)
    slow = SlowCoordinates.fit(data, 5)
    assert slow.n_coordinates == 1
    assert abs(np.corrcoef(slow.project(data.values[0], 1)[:, 0], data.values[0][:, 0])[0, 1]) > 0.9999


def test_slow_coordinates_of_pieces_are_those_of_all_frames_in_less_memory(wells, monkeypatch):
    """Angles enter as four float64 numbers, 32 bytes, of every frame and of the one a lag later."""
    data = wells(1, n_replicas=2, n_frames=50_000)
    whole = SlowCoordinates.fit(data, 5)
    monkeypatch.setattr(kinetics, "CHUNK", 3000)
    tracemalloc.start()
    pieces = SlowCoordinates.fit(data, 5)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    np.testing.assert_allclose(pieces.vectors, whole.vectors, rtol=1e-6)
    np.testing.assert_allclose(pieces.mean, whole.mean, rtol=1e-6, atol=1e-9)
    assert peak < 64 * data.n_frames


def test_slow_coordinates_of_data_that_have_none(line, ou):
    constant = FeatureTrajectories([np.zeros((100, 1))], line)
    assert SlowCoordinates.fit(constant, 1) is None
    assert SlowCoordinates.fit(ou(1, n_frames=50), 50) is None


def test_a_constant_feature_does_not_disturb_slow_coordinates():
    schema = FeatureSchema(names=("a", "b"), units=("", ""), periods=(None, None))
    noise = np.cumsum(np.random.default_rng(1).normal(size=3000))
    slow = SlowCoordinates.fit(FeatureTrajectories([np.stack([noise, np.ones(3000)], axis=1)], schema), 5)
    assert slow.n_coordinates == 1
