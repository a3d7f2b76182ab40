import numpy as np
import pytest

from openmm_trajgan.analysis import baselines
from openmm_trajgan.analysis.baselines import BASELINES, block_bootstrap, markov_state_model, vector_autoregression
from openmm_trajgan.errors import InputError
from openmm_trajgan.schema import FeatureSchema, FeatureTrajectories

everyone = pytest.mark.parametrize("name", BASELINES)


def rng(seed=1):
    return np.random.default_rng(seed)


def within(found, expected, errors):
    """Whether estimates agree with what they estimate within four standard errors."""
    return (np.abs(found - expected) < 4 * errors).all()


@pytest.fixture(scope="module")
def mixed():
    """An angle between two features on the line."""
    return FeatureSchema(names=("x", "phi", "y"), units=("nm", "deg", "nm"), periods=(None, 360.0, None), frame_interval=0.5)


@everyone
def test_a_baseline_is_used_like_a_generator(name, wells):
    train = wells(1, n_replicas=2, n_frames=1000)
    made = BASELINES[name](train, 300, 4, rng=rng())
    assert [series.shape for series in made] == [(300, 2)] * 4
    assert made.schema == train.schema
    assert made.provenance["baseline"] == name
    assert all(isinstance(text, str) for text in made.provenance.values())
    assert len({series.tobytes() for series in made}) == 4


@everyone
def test_a_baseline_repeats_for_a_state_of_the_generator_and_leaves_the_global_one_alone(name, wells):
    train = wells(1, n_frames=1000)
    before = np.random.get_state()[1:3]  # noqa: NPY002
    one, same, other = (np.stack(BASELINES[name](train, 200, 2, rng=rng(seed)).values) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)
    after = np.random.get_state()[1:3]  # noqa: NPY002
    assert np.array_equal(before[0], after[0])
    assert before[1] == after[1]


@everyone
@pytest.mark.parametrize("numbers", [(0, 1), (5, 0)])
def test_numbers_that_are_not_positive_are_refused(name, numbers, wells):
    with pytest.raises(InputError, match=f"at least 1 frame and 1 trajectory, found {numbers[0]} and {numbers[1]}"):
        BASELINES[name](wells(1, n_frames=100), *numbers, rng=rng())


@everyone
def test_a_constant_feature_stays_constant(name, mixed):
    moving = rng(3).normal(size=(2000, 1)).cumsum(axis=0) % 5
    train = FeatureTrajectories([np.hstack([np.full_like(moving, 0.1), np.full_like(moving, 179.9), moving])], mixed)
    found = BASELINES[name](train, 500, 2, rng=rng())
    made = np.concatenate(found.values)
    assert "shrunk" not in found.provenance  # a constant is no slow process
    assert np.ptp(made[:, 0]) == 0
    assert made[0, 0] == np.float32(0.1)
    assert made[:, 1] == pytest.approx(179.9, abs=1e-4)
    assert made[:, 2].std() > 0.5


@everyone
def test_series_without_frames_do_no_harm(name, wells):
    train = wells(1, n_replicas=2, n_frames=500)
    empty = np.empty((0, 2), np.float32)
    padded = FeatureTrajectories([empty, train.values[0], empty, train.values[1], empty], train.schema)
    one, other = (np.stack(BASELINES[name](data, 200, 2, rng=rng()).values) for data in (train, padded))
    np.testing.assert_array_equal(one, other)


def test_one_frame_repeated_has_no_msm_but_is_repeated_by_the_others(line):
    train = FeatureTrajectories([np.full((100, 1), 0.1)], line)
    with pytest.raises(InputError, match="expected training frames that differ, found the same frame throughout"):
        markov_state_model(train, 10, 1, rng=rng())
    for model in (vector_autoregression, block_bootstrap):
        assert (model(train, 10, 1, rng=rng()).values[0] == np.float32(0.1)).all()


def test_one_short_series_is_enough(ou):
    train = ou(1, n_frames=10, relaxation=1.0)
    for model in BASELINES.values():
        assert model(train, 50, 2, rng=rng()).n_frames == 100


def test_too_little_to_fit_is_said(torsions, line):
    single = FeatureTrajectories(rng().normal(size=(50, 1, 2)), torsions)
    for model in (markov_state_model, vector_autoregression):
        with pytest.raises(InputError, match="expected training series of at least 2 frames, found none"):
            model(single, 10, 1, rng=rng())
    few = FeatureTrajectories(rng().normal(size=(5, 2, 2)), torsions)
    with pytest.raises(InputError, match="at least 6 pairs of consecutive training frames for 4 coordinates, found 5"):
        vector_autoregression(few, 10, 1, rng=rng())
    with pytest.raises(InputError, match="at least 1 frame, found none"):
        block_bootstrap(FeatureTrajectories([np.empty((0, 1))], line), 10, 1, rng=rng())
    drift = FeatureTrajectories([np.arange(50.0)[:, None]], line)
    with pytest.raises(InputError, match="microstates with transitions there and back, found none among the 3"):
        markov_state_model(drift, 10, 1, rng=rng())


@pytest.mark.statistical
def test_msm_walks_have_the_jumps_and_populations_of_the_training_data(wells):
    """Law: the lumped chain's. 4 × 10⁵ frames hold about N = 4000 jumps between the wells, s.e. of their share 1/√N; populations
    p decorrelate over t2 = 49.5 frames, s.e. √(2 p (1-p) t2 / 4 × 10⁵) = 0.008."""
    train = wells(1, n_replicas=4, n_frames=20_000)
    left = [series[:, 0] < 0 for series in train]
    made = markov_state_model(train, 50_000, 8, rng=rng())
    walks = np.stack([series[:, 0] < 0 for series in made])
    share, expected = np.diff(walks).mean(), np.mean([np.diff(series).mean() for series in left])
    assert within(share, expected, expected / np.sqrt(expected * walks.size))
    assert within(walks.mean(), np.mean(left), 0.008)


@pytest.mark.statistical
def test_msm_walks_start_from_the_stationary_law(line):
    """Law: 1/4 of 4000 first frames in the rarer state, s.e. √(3/16/4000) = 0.007, training error below 0.002."""
    train = FeatureTrajectories([(np.arange(100_000)[:, None] // 10 % 4 == 0)], line)
    first = np.stack(markov_state_model(train, 1, 4000, rng=rng()).values)
    assert within(first.mean(), 0.25, 0.0072)


@pytest.mark.statistical
def test_msm_walks_show_training_frames_drawn_evenly_from_their_states(wells):
    """Law: 40,000 even draws of 10,000 frames miss each with probability e⁻⁴ = 0.018; populations that the walk gets wrong by 5 %
    (two s.e. with t2 = 49.5 frames) change that by less than 0.001 and its s.e. is √(0.018/10,000) = 0.0013."""
    train = wells(1)
    known = {frame.tobytes(): index for index, frame in enumerate(train.values[0])}
    shown = [known[frame.tobytes()] for frame in markov_state_model(train, 10_000, 4, rng=rng()).values for frame in frame]
    assert within(1 - len(set(shown)) / len(known), np.exp(-4), 0.003)


def test_msm_never_learns_from_a_seam_and_tells_what_it_leaves_out(line):
    train = FeatureTrajectories([side + 0.01 * rng().normal(size=(500, 1)) for side in (-1.0, 1.0, -1.0)], line)
    made = markov_state_model(train, 500, 4, rng=rng())
    assert np.stack(made.values).max() < 0
    assert made.provenance["microstates"].endswith("connected, with 66.7 % of the training frames")


def test_msm_walks_stay_where_most_training_frames_are(line):
    """Two states with 1000 frames against six states with 60, without a transition between the two sets."""
    train = FeatureTrajectories([np.arange(1000.0)[:, None] % 2, 10 + np.arange(60.0)[:, None] % 6], line)
    assert np.stack(markov_state_model(train, 100, 2, rng=rng()).values).max() == 1


def test_msm_walks_are_independent_of_each_other(line):
    """All frames of a state are the same here, so that only the walks can tell the trajectories apart."""
    train = FeatureTrajectories([rng().integers(2, size=(1000, 1))], line)
    made = markov_state_model(train, 200, 10, rng=rng())
    assert len({series[50:].tobytes() for series in made}) == 10


def test_msm_has_up_to_200_states_and_no_more_than_different_frames(ou, line):
    train = ou(1, n_frames=200_000)
    assert markov_state_model(train, 10, 1, rng=rng()).provenance["microstates"].startswith("200 of 200")
    levels = FeatureTrajectories([rng().integers(70, size=(200_000, 1))], line)
    assert markov_state_model(levels, 10, 1, rng=rng()).provenance["microstates"].startswith("70 of 70")


@pytest.mark.statistical
def test_var_has_means_and_covariances_of_a_linear_process(mixed):
    """Law: means and covariances at lags 0 and 1 of the training data, which least squares reproduces up to edge effects of
    relative size 1/n; s.e. from the spread over 100 trajectories of 2000 frames. The matrix has one eigenvalue of multiplicity
    two and a single eigenvector (no basis of eigenmodes); the angle straddles the seam, and is narrow enough to be linear."""
    matrix = np.array([[0.8, 0.3, 0.0], [0.0, 0.8, 0.2], [0.0, 0.0, 0.5]])
    root = np.array([[1.0, 0.0, 0.0], [0.5, 1.0, 0.0], [0.3, -0.4, 1.0]])
    draws, frames = rng().normal(size=(100_000, 3)) @ root.T, np.zeros((100_000, 3))
    for step in range(1, len(frames)):
        frames[step] = matrix @ frames[step - 1] + draws[step]
    center = np.array([5.0, 180.0, -7.0])
    values = center + frames * [0.1, 0.2, 3.0]
    values[:, 1] -= 360 * (values[:, 1] > 180)
    train = FeatureTrajectories([values], mixed)

    def moments(series):
        deviation = mixed.wrap(series - center)
        rows = deviation[:-1].T, deviation[1:].T
        return np.stack([np.tile(deviation.mean(axis=0), (3, 1)), *(left @ rows[0].T / len(rows[0].T) for left in rows)])

    made = np.stack([moments(series) for series in vector_autoregression(train, 2000, 100, rng=rng())])
    assert within(made.mean(axis=0), moments(train.values[0]), made.std(axis=0, ddof=1) / np.sqrt(len(made)))


@pytest.mark.statistical
def test_var_paths_start_from_the_stationary_law(ou):
    """Law: variance of the training data, at the first frame and after one step; 4000 paths, s.e. of a variance v√(2/4000)."""
    train = ou(1, n_frames=50_000, mean=3.0)
    variances = np.stack(vector_autoregression(train, 2, 4000, rng=rng()).values)[..., 0].var(axis=0)
    expected = train.values[0].var()
    assert within(variances, expected, expected * np.sqrt(2 / 4000))


def test_var_paths_equal_the_naive_recursion():
    random = rng()
    triangle = np.triu(random.normal(size=(5, 5)) + 1j * random.normal(size=(5, 5))) / 4
    start, noise = (random.normal(size=shape) + 1j * random.normal(size=shape) for shape in ((5, 3), (5, 3, 40)))
    state, naive = start, [start]
    for step in range(40):
        state = triangle @ state + noise[..., step]
        naive.append(state)
    path, end = baselines._triangular_paths(triangle, start, noise)
    np.testing.assert_allclose(path, np.stack(naive[:-1], axis=2), atol=1e-12)
    np.testing.assert_allclose(end, naive[-1], atol=1e-12)


def test_var_paths_do_not_depend_on_the_blocks_they_are_made_in(wells, monkeypatch):
    train = wells(1)
    whole = vector_autoregression(train, 100, 1, rng=rng()).values[0]
    monkeypatch.setattr(baselines, "BLOCK", 4 * 7)  # four coordinates, seven frames at a time
    np.testing.assert_allclose(vector_autoregression(train, 100, 1, rng=rng()).values[0], whole, atol=1e-5)


def test_var_shrinks_what_grows_and_says_so(line, ou):
    growing = FeatureTrajectories([1.05 ** np.arange(200.0)[:, None] + 0.01 * rng().normal(size=(200, 1))], line)
    made = vector_autoregression(growing, 20_000, 3, rng=rng())
    assert made.provenance["spectral radius"] == f"{1 - 1 / 199:.6g}"
    assert "fitted with spectral radius 1.0" in made.provenance["shrunk"]
    assert np.abs(np.stack(made.values)).max() < 10 * growing.values[0].max()
    assert "shrunk" not in vector_autoregression(ou(1), 10, 1, rng=rng()).provenance


def test_var_of_many_features_that_depend_on_each_other():
    names = tuple(f"x{index}" for index in range(30))
    schema = FeatureSchema(names=names, units=("nm",) * 30, periods=(None,) * 30)
    few = rng().normal(size=(500, 4)).cumsum(axis=0)
    train = FeatureTrajectories([few @ rng(2).normal(size=(4, 30))], schema)
    made = vector_autoregression(train, 200, 2, rng=rng()).values[0]
    values = np.linalg.svd(made - made.mean(axis=0), compute_uv=False)
    assert values[4] < 1e-4 * values[0]


def test_bootstrap_glues_pieces_that_lie_within_one_series(line):
    """Frames are numbered through all series with a gap of 10,000 between them, so that a step of one is a step within a series."""
    train = FeatureTrajectories(
        [10_000.0 * index + np.arange(length)[:, None] for index, length in enumerate((900, 20, 700))], line
    )
    made = block_bootstrap(train, 1000, 50, rng=rng())
    assert made.provenance["piece"] == "64 frames"
    assert made.provenance["replays"] == "training data, frame by frame"
    series = np.stack(made.values)[..., 0]
    seams = np.arange(1, 1000) % 64 == 0
    assert (np.diff(series)[:, ~seams] == 1).all()
    assert (np.diff(series)[:, seams] == 1).mean() < 0.05
    assert set(series.ravel() // 10_000) == {0, 2}


@pytest.mark.statistical
def test_bootstrap_pieces_start_everywhere_with_equal_chance(line):
    """Law: each of the 37 places of a series of 100 frames at which 64 fit; 37,000 pieces, 1000 ± 32 at each; five s.e. for 37."""
    train = FeatureTrajectories([np.arange(100.0)[:, None]], line)
    starts = np.stack(block_bootstrap(train, 64, 37_000, rng=rng()).values)[:, 0, 0].astype(int)
    counts = np.bincount(starts)
    assert len(counts) == 37
    assert np.abs(counts - 1000).max() < 5 * 32


@pytest.mark.parametrize(
    ("lengths", "n_frames", "piece"), [((5000, 3000), 9000, 300), ((640, 641), 100, 64), ((50, 30), 100, 50), ((5000,), 40, 40)]
)
def test_length_of_bootstrap_pieces(lengths, n_frames, piece, line):
    train = FeatureTrajectories([np.zeros((length, 1)) for length in lengths], line)
    assert block_bootstrap(train, n_frames, 1, rng=rng()).provenance["piece"] == f"{piece} frames"
