import numpy as np
import pytest
from deeptime.markov import TransitionCountEstimator
from deeptime.markov.msm import MaximumLikelihoodMSM
from processes import triple_well
from scipy.constants import R

from openmm_trajgan.analysis.blocks import Blocks
from openmm_trajgan.analysis.kinetics import Microstates, implied_timescales
from openmm_trajgan.analysis.markov import MarkovModels
from openmm_trajgan.analysis.transition_matrix import transition_matrix
from openmm_trajgan.schema import FeatureTrajectories

# Two metastable pairs of states, 0 with 1 and 2 with 3; reversible, as every chain on a line is
CHAIN = np.array([[0.7, 0.3, 0.0, 0.0], [0.28, 0.7, 0.02, 0.0], [0.0, 0.01, 0.59, 0.4], [0.0, 0.0, 0.3, 0.7]])
PAIRS = np.array([0, 0, 1, 1])
N_FRAMES = 100_000


def walk(matrix, n_frames, rng, start=0):
    cumulative, chain = matrix.cumsum(axis=1), [start]
    for draw in rng.random(n_frames - 1):
        chain.append(int(np.searchsorted(cumulative[chain[-1]], draw)))
    return np.array(chain)


def stationary_of(matrix):
    vectors = np.linalg.eig(matrix.T)
    found = np.real(vectors.eigenvectors[:, np.argmax(np.real(vectors.eigenvalues))])
    return found / found.sum()


def passage_of(matrix, states, source, target):
    """Mean first-passage time from a set at equilibrium, by (1 - P) t = 1 outside the target."""
    outside = states != target
    times = np.zeros(len(matrix))
    times[outside] = np.linalg.solve(np.eye(outside.sum()) - matrix[np.ix_(outside, outside)], np.ones(outside.sum()))
    weights = stationary_of(matrix) * (states == source)
    return weights @ times / weights.sum()


def on_states(n_states, schema):
    centers = np.arange(n_states, dtype=np.float32)[:, None]
    return Microstates(centers, np.ones(1, dtype=np.float32), schema)


def models(schema, states=PAIRS, lag=1, enough=(True, True)):
    return MarkovModels(on_states(len(states), schema), lag, np.array(states), enough, 300.0)


def data_of(chains, schema):
    return FeatureTrajectories([np.asarray(chain, dtype=float)[:, None] for chain in chains], schema)


def total(metric, data, length=2000):
    return metric.tally(Blocks.cut(data, length)).sum(axis=0)


@pytest.fixture(scope="module")
def chain(line):
    return data_of([walk(CHAIN, N_FRAMES, np.random.default_rng(1))], line)


@pytest.fixture(scope="module")
def wells3():
    """A triple well: 4 series of 8000 frames, and the metric fitted on it."""
    data = triple_well(4, 8000, rng=np.random.default_rng(1))
    return data, fitted(data)


def fitted(data, **arguments):
    microstates = Microstates.fit(data)
    return MarkovModels.fit(
        Blocks.cut(data, 1000), microstates, implied_timescales(data, microstates=microstates, **arguments), 300.0
    )


def named(metric, values):
    return dict(zip([figure.name for figure in metric.figures], values.tolist(), strict=True))


@pytest.mark.statistical
@pytest.mark.parametrize("lag", [1, 3])
def test_a_known_chain(chain, line, lag):
    """Law: linear algebra. 10⁵ frames: s.e. of t2 is t2 √(2 t2/N) (2.5 %); the slow step is made n = π₁ 0.02 N times each way, so
    passage times have s.e. 1/√n (4 %)."""
    metric = models(line, lag=lag)
    found = metric.summary(total(metric, chain))
    stationary = stationary_of(CHAIN)
    t2 = -1 / np.log(np.sort(np.real(np.linalg.eigvals(CHAIN)))[-2])
    crossings = stationary[1] * 0.02 * N_FRAMES
    assert abs(found.timescales[0] / t2 - 1) < 4 * np.sqrt(2 * t2 / N_FRAMES)
    if lag == 1:  # later lags overlook short visits to the target
        for source, target in ((0, 1), (1, 0)):
            expected = passage_of(CHAIN, PAIRS, source, target)
            assert abs(found.passage[source, target] / expected - 1) < 4 / np.sqrt(crossings)
    assert abs(found.populations[0] - stationary[:2].sum()) < 4 * np.sqrt(2 * t2 / N_FRAMES) / 2
    assert abs(found.coarse.sum() - 1) < 1e-9
    np.testing.assert_allclose(found.flux, found.flux.T, atol=1e-5)
    assert found.error < 0.01


@pytest.mark.parametrize("lag", [1, 4])
def test_models_are_those_of_deeptime(chain, line, lag):
    metric = models(line, lag=lag)
    found = metric.summary(total(metric, chain))
    counts = TransitionCountEstimator(lag, "sliding").fit_fetch(chain.values[0][:, 0].astype(int))
    expected = MaximumLikelihoodMSM(reversible=True).fit_fetch(counts)
    np.testing.assert_allclose(found.timescales, expected.timescales()[:1], rtol=2e-3)
    np.testing.assert_allclose(found.flux, expected.stationary_distribution[:, None] * expected.transition_matrix, atol=2e-4)
    sides = [[0, 1], [2, 3]]
    for source, target in ((0, 1), (1, 0)):
        weights = expected.stationary_distribution[sides[source]]
        times = [expected.mfpt(state, sides[target]) for state in sides[source]]
        assert found.passage[source, target] == pytest.approx(weights @ times / weights.sum(), rel=2e-3)


def test_counts_are_those_of_a_sliding_window_within_series(line):
    rng = np.random.default_rng(2)
    chains = [walk(CHAIN, n_frames, rng) for n_frames in (500, 3, 120)]
    metric = models(line, lag=2)
    counts = metric.counts(total(metric, data_of(chains, line), 40))
    for found, lag in zip(counts, (2, 4, 8), strict=True):
        expected = TransitionCountEstimator(lag, "sliding", n_states=4).fit_fetch([one for one in chains if len(one) > lag])
        np.testing.assert_array_equal(found, expected.count_matrix)


def test_transition_matrix_is_the_reversible_one_of_the_connected_states():
    counts = np.array([[0, 0, 0, 0], [0, 8, 2, 0], [0, 4, 6, 0], [0, 1, 0, 0.0]])
    matrix, stationary, connected = transition_matrix(counts)
    assert connected.tolist() == [1, 2]
    np.testing.assert_allclose(matrix, [[0.8, 0.2], [0.4, 0.6]], atol=1e-4)
    np.testing.assert_allclose(stationary, [2 / 3, 1 / 3], atol=1e-4)


def test_figures_of_data_that_differ_in_one_respect(line):
    """Frames twice as slow, everything else equal: times double, populations and orders stay."""
    rng = np.random.default_rng(3)
    chain = walk(CHAIN, 40_000, rng)
    metric = models(line, lag=1)
    reference, slow = (total(metric, data_of([one], line)) for one in (chain, np.repeat(chain, 2)))
    found = named(metric, metric.evaluate(reference[None], slow[None])[0])
    assert found["timescale ratio t2"] == pytest.approx(2, rel=0.03)
    assert found["MFPT ratio, A to B"] == pytest.approx(2, rel=0.01)
    assert found["MFPT ratio, B to A"] == pytest.approx(2, rel=0.01)
    assert found["flux rank correlation"] > 0.9
    assert found["occupancy JSD"] < 1e-4
    assert found["free energy, A to B"] == pytest.approx(0, abs=1e-9)
    assert found["transition matrix JSD"] > 1e-4


def test_free_energy_is_that_of_the_populations(line):
    metric = models(line)
    reference, data = ([0] * 600 + [2] * 400 + [0], [0] * 400 + [2] * 600 + [0])
    sums = [total(metric, data_of([one], line))[None] for one in (reference, data)]
    found = named(metric, metric.evaluate(*sums)[0])["free energy, A to B"]
    shares = [601 / 1001, 401 / 1001]
    expected = [-R * 0.3 * np.log((1 - share) / share) for share in shares]
    assert found == pytest.approx(expected[1] - expected[0], rel=1e-9)
    assert metric.figures[-1].unit == "kJ/mol"


def test_an_empty_state_has_a_finite_free_energy(line):
    metric = models(line)
    reference, data = ([0, 1, 2, 3] * 250, [0, 1] * 500)
    sums = [total(metric, data_of([one], line))[None] for one in (reference, data)]
    assert named(metric, metric.evaluate(*sums)[0])["free energy, A to B"] == pytest.approx(-R * 0.3 * np.log(1e-6), rel=1e-6)


def test_chapman_kolmogorov_error_tells_memory(line):
    """Two of three hidden states look the same: the observed process remembers; the chain of all three does not."""
    hidden = np.array([[0.9, 0.1, 0.0], [0.05, 0.5, 0.45], [0.0, 0.02, 0.98]])
    states = walk(hidden, 50_000, np.random.default_rng(4))
    full, lumped = models(line, states=[0, 1, 1]), models(line, states=[0, 1])
    data = data_of([np.minimum(states, 1)], line)
    known = full.summary(total(full, data_of([states], line))).error
    assert known < 0.01
    sums = total(lumped, data)
    assert lumped.summary(sums).error > 3 * known
    pair = data_of([walk(np.array([[0.9, 0.1], [0.05, 0.95]]), 50_000, np.random.default_rng(9))], line)
    figures = named(lumped, lumped.evaluate(total(lumped, pair)[None], sums[None])[0])
    assert figures["Chapman–Kolmogorov error"] == lumped.summary(sums).error  # that of the data alone


def test_states_are_numbered_along_the_slowest_process_and_found(wells3):
    data, metric = wells3
    frames = np.concatenate(data.values)
    states = metric.states[metric.microstates.label(frames)]
    assert metric.n_states == 3
    assert metric.names == "ABC"
    populations = np.bincount(states) / len(states)
    assert (np.diff([frames[states == state, 0].mean() for state in range(3)]) > 0).all()  # the wells lie along the diagonal
    wells = triple_well.well_of(frames)
    overlap = np.array([np.bincount(wells[states == state], minlength=3) for state in range(3)])
    assert overlap.max(axis=1).sum() > 0.95 * len(frames)
    assert sorted(overlap.argmax(axis=1)) == [0, 1, 2]
    np.testing.assert_allclose(metric.summary(total(metric, data)).populations, populations)


def test_what_is_compared_follows_from_the_reference(wells3):
    _, metric = wells3
    names = [figure.name for figure in metric.figures]
    assert names[: metric.n_processes] == ["timescale ratio t2", "timescale ratio t3"]
    assert sum(name.startswith("MFPT") for name in names) == 6
    assert [figure.name for figure in metric.figures if not figure.judged] == ["flux rank correlation"]
    assert {figure.group for figure in metric.figures if figure.name.startswith("free energy")} == {"distribution"}


@pytest.mark.parametrize(("n_visits", "length"), [(5, 100), (9, 50), (10, 50), (20, 25)])
def test_states_that_are_hardly_entered_have_no_passage_times(line, n_visits, length):
    visits = np.tile(np.repeat([0.0, 1.0, 0.0], [300, length, 700 - length]), n_visits)
    chain = np.concatenate([visits, np.zeros(20_000 - len(visits))])
    metric = fitted(data_of([chain], line), lags=[1, 2])
    assert metric.n_states == 2
    assert metric.passages == ([] if n_visits < 10 else [(0, 1), (1, 0)])


def test_a_reference_without_any_timescale_has_no_model(line):
    noise = FeatureTrajectories([np.random.default_rng(6).normal(size=(2000, 1))], line)
    assert fitted(noise) is None


def test_two_timescales_apart_make_three_states_and_close_ones_two(line):
    ring = np.full((4, 4), 0.01) + 0.96 * np.eye(4)  # three equal timescales
    split = np.array([[0.97, 0.03, 0.0], [0.03, 0.965, 0.005], [0.0, 0.005, 0.995]])
    rng = np.random.default_rng(7)
    assert fitted(data_of([walk(ring, 60_000, rng)], line), lags=[1, 2]).n_states == 4
    assert fitted(data_of([walk(split, 60_000, rng)], line), lags=[1, 2]).n_states == 3


def test_data_of_series_shorter_than_the_lag_are_not_judged(line, chain):
    metric = models(line, lag=20)
    reference = total(metric, chain)
    short = data_of(np.split(chain.values[0][:, 0], N_FRAMES // 10), line)
    sums = total(metric, short)
    found = named(metric, metric.evaluate(reference[None], sums[None])[0])
    assert np.isnan([value for name, value in found.items() if name.startswith(("timescale", "MFPT", "flux", "occ"))]).all()
    missing = metric.missing(0, reference, sums)
    assert missing.reason == "has no series longer than the lag of 20 frames"
    assert not missing.conclusive


def test_transition_matrix_of_data_without_pairs_is_no_number(line, chain):
    metric = models(line, lag=20)
    short = data_of(np.split(chain.values[0][:, 0], N_FRAMES // 10), line)
    found = metric.evaluate(total(metric, chain)[None], total(metric, short)[None])[0]
    assert np.isnan(named(metric, found)["transition matrix JSD"])


def test_data_that_stay_in_one_state(line, chain):
    metric = models(line)
    reference = total(metric, chain)
    stuck = total(
        metric, data_of([walk(CHAIN[:2, :2] / CHAIN[:2, :2].sum(axis=1, keepdims=True), N_FRAMES, np.random.default_rng(8))], line)
    )
    found = named(metric, metric.evaluate(reference[None], stuck[None])[0])
    assert np.isnan(found["MFPT ratio, A to B"])
    assert np.isnan(found["MFPT ratio, B to A"])
    assert found["timescale ratio t2"] < 0.1
    assert found["occupancy JSD"] > 0.2
    assert found["transition matrix JSD"] > 0.3 * np.log(2)  # that of the state which is never left counts in full
    index = [figure.name for figure in metric.figures].index("MFPT ratio, A to B")
    missing = metric.missing(index, reference, stuck)
    assert missing.reason == "does not go to and fro between the states that this is about"
    assert missing.conclusive
    assert not metric.missing(index, reference, stuck / 10).conclusive


@pytest.mark.parametrize("state", [0, 1, 3])
def test_data_that_stay_in_one_microstate_are_there_and_nowhere_else(line, state):
    metric = models(line)
    found = metric.summary(total(metric, data_of([[state] * 500], line)))
    assert found.flux[state, state] == 1
    assert found.coarse[PAIRS[state], PAIRS[state]] == 1


def test_one_metastable_state(line, chain):
    metric = models(line, states=[0, 0, 0, 0], enough=(True,))
    sums = total(metric, chain)[None]
    found = named(metric, metric.evaluate(sums, sums)[0])
    assert metric.names == "A"
    assert metric.passages == []
    assert "timescale ratio t2" not in found
    assert found["transition matrix JSD"] == found["flux JSD"] == found["occupancy JSD"] == 0


@pytest.mark.parametrize(("n_moves", "enough"), [(7, (False, False)), (40, (True, True))])
def test_crossing_a_border_to_and_fro_is_one_event(line, n_moves, enough):
    """Each move from one state to the other begins with ten crossings within twenty frames."""
    rng, crossings = np.random.default_rng(8), np.tile([0.0, 1.0], 10)
    stays = [np.concatenate([crossings if move % 2 else 1 - crossings, np.full(1500, move % 2)]) for move in range(n_moves + 1)]
    reference = FeatureTrajectories([(np.concatenate(stays) + rng.normal(0, 0.05, 1520 * (n_moves + 1)))[:, None]], line)
    microstates = Microstates.fit(reference, 4)
    timescales = implied_timescales(reference, [20, 40, 80], microstates=microstates)
    fitted = MarkovModels.fit(Blocks.cut(reference, 1000), microstates, timescales, 300.0)
    assert fitted.enough_events == enough
