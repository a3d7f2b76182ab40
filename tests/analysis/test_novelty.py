import numpy as np
import pytest
from scipy import stats

from openmm_trajgan.analysis import novelty, training_windows
from openmm_trajgan.analysis.blocks import Blocks
from openmm_trajgan.analysis.novelty import NearestTrainingWindow, TrainingWindows, nearest_window_distances
from openmm_trajgan.errors import InputError, SchemaMismatchError
from openmm_trajgan.schema import FeatureSchema, FeatureTrajectories

N_BINS = novelty.BINS + 2
NAMES = [figure.name for figure in novelty.FIGURES]
C_T, EFFECT, MEDIAN, LOW, COPIED = range(5)


def sums(metric, *sets, length=200):
    return [metric.tally(Blocks.cut(data, length)).sum(axis=0, keepdims=True) for data in sets]


def significances(metric, reference, data, length=200, n_permutations=12_000):
    """p of every figure if the blocks of both sets are dealt out again, at least 1 / (n_permutations + 1)."""
    tallies = [metric.tally(Blocks.cut(part, length)) for part in (reference, data)]
    observed = metric.evaluate(*(tally.sum(axis=0, keepdims=True) for tally in tallies))[0]
    every, n_reference = np.concatenate(tallies), len(tallies[0])
    rng = np.random.default_rng(0)
    null = []
    for _ in range(n_permutations // 1000):
        dealt = rng.permuted(np.tile(np.arange(len(every)) < n_reference, (1000, 1)), axis=1).astype(float)
        null.append(metric.evaluate(dealt @ every, (1 - dealt) @ every))
    off = [
        [figure.discrepancy(values) for figure, values in zip(metric.figures, columns.T, strict=True)]
        for columns in (observed[None], np.concatenate(null))
    ]
    further = np.array(off[1]) >= np.array(off[0]) * (1 - 1e-9)
    return observed, (further.sum(axis=1) + 1) / (n_permutations + 1)


@pytest.fixture(scope="module")
def train(wells):
    return wells(1, n_frames=20_000, rate=0.05)


@pytest.fixture(scope="module")
def held_out(wells):
    return wells(2, n_frames=20_000, rate=0.05)


@pytest.fixture(scope="module")
def metric(held_out, train):
    return NearestTrainingWindow.fit(held_out, train, queries_per_block=40)


def replayed(data, train, share, seed, length=64):
    """A part of the data replaced by windows of the training data, at random places and random offsets."""
    rng = np.random.default_rng(seed)
    series = data.values[0].copy()
    places = rng.permutation(len(series) // length)[: round(share * len(series) / length)] * length
    for place, source in zip(places, rng.integers(len(train.values[0]) - length, size=len(places)), strict=True):
        series[place : place + length] = train.values[0][source : source + length]
    return FeatureTrajectories([series], data.schema)


def test_independent_data_are_not_flagged(metric, held_out, wells):
    """Law: blocks of 200 frames = 20 t2 are exchangeable, so each p is uniform: any of 4 below 0.001 in < 0.4 %."""
    observed, p = significances(metric, held_out, wells(3, n_frames=20_000, rate=0.05), n_permutations=2000)
    assert (p > 1e-3).all(), dict(zip(NAMES, p, strict=True))
    assert observed[COPIED] == 0


@pytest.mark.statistical
def test_the_level_of_the_test_is_right_with_many_features():
    """Law: 48 features of noise have no leading components, so an embedding fitted on the held-out data would favour them.

    The s.e. of the effect size of 2 × 2000 windows, 20 frames apart, is √(1/6/2000) = 0.009; of the mean over 4 pairs, half of it.
    """
    schema = FeatureSchema(names=tuple(map(str, range(48))), units=("",) * 48, periods=(None,) * 48)
    rng = np.random.default_rng(5)
    effects = []
    for _ in range(4):
        train, held_out, other = (FeatureTrajectories([rng.normal(size=(8000, 48))], schema) for _ in range(3))
        metric = NearestTrainingWindow.fit(held_out, train, n_frames=4, queries_per_block=50)
        effects.append(metric.evaluate(*sums(metric, held_out, other))[0, EFFECT])
    assert abs(np.mean(effects)) < 4 * 0.0046


@pytest.mark.parametrize("share", [0.1, 1.0])
def test_replayed_windows_are_flagged(metric, held_out, train, wells, share):
    """100 blocks each; a window of 16 frames lies wholly within a copy of 64 in 49/64 of its places."""
    data = replayed(wells(3, n_frames=20_000, rate=0.05), train, share, seed=4)
    observed, p = significances(metric, held_out, data)
    assert p[COPIED] < 1e-4
    assert p[LOW] < 1e-4
    copied = share * 49 / 64
    spread = np.sqrt(copied * (1 - copied) / (len(data.values[0]) // 64 * share + 1))  # windows of one copy go together
    assert observed[COPIED] == pytest.approx(copied, abs=4 * spread)
    assert observed[LOW] < 0.01
    if share == 1:
        assert p[EFFECT] < 1e-4
        assert observed[EFFECT] < -0.3
        assert observed[C_T] < -10


def test_copies_at_every_offset_and_in_every_image_have_distance_zero(train):
    replay = FeatureTrajectories([train.values[0][offset : offset + 16] + 2 * np.pi * offset for offset in range(40)], train.schema)
    assert nearest_window_distances(train, replay).max() < 1e-4
    metric = NearestTrainingWindow.fit(train, train, queries_per_block=1)
    assert metric.histogram(sums(metric, replay, length=16)[0])[0, 0] == 1


def test_data_off_the_manifold_are_further_away(metric, held_out, wells):
    observed, p = significances(metric, held_out, wells(3, n_frames=20_000, rate=0.05, noise=0.6))
    assert observed[MEDIAN] > 1.2
    assert observed[EFFECT] > 0.05
    assert p[[EFFECT, MEDIAN]].max() < 1e-4


def test_distances_equal_brute_force_in_the_space_of_all_components(ou, monkeypatch):
    """With as many components as numbers in a window, the embedding rotates windows divided by the standard deviation."""
    train, data = ou(1, n_replicas=2, n_frames=150), ou(2, n_replicas=2, n_frames=60)
    monkeypatch.setattr(training_windows, "CHUNK", 100)  # seams between chunks are met too
    windows = [
        np.concatenate([np.lib.stride_tricks.sliding_window_view(series[:, 0], 5) for series in part]) for part in (train, data)
    ]
    expected = np.sqrt(((windows[1][:, None] - windows[0]) ** 2).sum(-1)).min(axis=1) / np.concatenate(train.values).std()
    found = nearest_window_distances(train, data, n_frames=5, n_windows=1000)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def tally_of(distances, metric, region=0):
    bins = np.searchsorted(metric.edges, distances, side="right") + region * N_BINS
    return np.bincount(bins, minlength=novelty.REGIONS * N_BINS)[None].astype(float)


def test_many_windows_are_searched_in_parts_and_give_the_same(held_out, train, metric, monkeypatch):
    everything = np.sort(metric.training.along_first())
    monkeypatch.setattr(training_windows, "MOST_IN_TREE", 7000)  # three trees for the 20,000 windows
    in_parts = NearestTrainingWindow.fit(held_out, train, queries_per_block=40)
    assert len(in_parts.training.along_first()) == 6662  # every third window: the share below a border is 1.8 % off at 3 s.e.
    shares = np.searchsorted(everything, in_parts.borders) / len(everything)
    np.testing.assert_allclose(shares, [0.25, 0.5, 0.75], atol=0.018)
    np.testing.assert_allclose(in_parts.edges, metric.edges, rtol=1e-9)
    points = metric.training.embed(Blocks.whole(held_out), np.arange(0, 19_000, 37))
    np.testing.assert_allclose(in_parts.training.distances(points), metric.training.distances(points), rtol=1e-9)


def test_figures_equal_those_of_the_distances(metric):
    """In one region: Z from scipy's Mann-Whitney test on the same bins, quantiles within the width of a bin."""
    rng = np.random.default_rng(1)
    typical = metric.edges[0] / novelty.RESOLUTION
    reference, data = typical * rng.lognormal(0, 0.4, 3000), typical * rng.lognormal(-0.1, 0.5, 2000)
    data[:60] = 0
    width = np.log(metric.edges[1] / metric.edges[0])
    found = metric.evaluate(tally_of(reference, metric), tally_of(data, metric))[0]
    binned = [np.searchsorted(metric.edges, part, side="right") for part in (data, reference)]
    test = stats.mannwhitneyu(*binned, method="asymptotic", use_continuity=False, alternative="less")
    assert found[C_T] == pytest.approx(stats.norm.ppf(test.pvalue), rel=1e-9)
    assert found[EFFECT] == pytest.approx(test.statistic / (3000 * 2000) - 0.5, abs=1e-12)
    for index, level in ((MEDIAN, 0.5), (LOW, 0.05)):
        expected = np.log(np.quantile(data, level) / np.quantile(reference, level))
        assert np.log(found[index]) == pytest.approx(expected, abs=width)
    assert found[COPIED] == pytest.approx(0.03)
    data[:200] = 0
    found = metric.evaluate(tally_of(reference, metric), tally_of(data, metric))[0]
    assert found[LOW] == pytest.approx(metric.edges[0] / np.quantile(reference, 0.05), rel=width)  # copies count as the first edge


def test_regions_weigh_as_much_as_held_out_windows_in_them(metric):
    rng = np.random.default_rng(1)
    typical = metric.edges[0] / novelty.RESOLUTION
    near, far = typical * rng.lognormal(0, 0.2, 300), typical * rng.lognormal(1, 0.2, 100)
    reference = tally_of(near, metric, 0) + tally_of(far, metric, 1) + tally_of(near[:10], metric, 2)
    copies = tally_of(0 * near[:50], metric, 0) + tally_of(far, metric, 1) + tally_of(near, metric, 2)
    found = metric.evaluate(reference, copies)[0]
    assert found[EFFECT] == pytest.approx(-0.5 * 300 / 400)  # the third region has too few, the second nothing to tell


def test_rows_are_evaluated_on_their_own(metric, held_out, train):
    tally = metric.tally(Blocks.cut(held_out, 200))
    rng = np.random.default_rng(0)
    weights = rng.integers(0, 3, (5, len(tally))).astype(float)
    replay = sums(metric, train)[0]
    together = metric.evaluate(replay, weights @ tally)
    alone = np.concatenate([metric.evaluate(replay, row[None]) for row in weights @ tally])
    np.testing.assert_allclose(together, alone, rtol=1e-12)
    assert together.shape == (5, len(metric.figures))


def test_every_block_gives_as_many_windows_and_none_crosses_a_seam(metric, wells):
    data = wells(7, n_replicas=3, n_frames=70)
    tally = metric.tally(Blocks.cut(data, 70))
    assert tally.sum(axis=1).tolist() == [40, 40, 40]
    broken = FeatureTrajectories(np.split(data.values[0], 7), data.schema)  # 10 frames each, windows have 16
    none = metric.tally(Blocks.cut(broken, 70))
    assert none.sum() == 0
    reference = sums(metric, data, length=70)[0]
    assert np.isnan(metric.evaluate(reference, none.sum(axis=0, keepdims=True))).all()
    assert metric.missing(0, reference[0], none[0]).reason == "its series are shorter than 16 frames"


def test_too_few_windows_for_a_rank_sum_have_a_reason(metric, wells):
    few = sums(metric, wells(8, n_frames=70), length=70)[0] * 0
    few[0, 10] = 5.0
    found = metric.evaluate(few, few)[0]
    assert np.isnan(found[[C_T, EFFECT]]).all()
    assert found[[MEDIAN, LOW, COPIED]].tolist() == [1, 1, 0]
    assert "fewer than 20 windows" in metric.missing(EFFECT, few[0], few[0]).reason


def test_windows_shorten_to_the_longest_series(wells):
    short = FeatureTrajectories(np.split(wells(1, n_frames=100).values[0], 20), wells(1, n_frames=1).schema)
    metric = NearestTrainingWindow.fit(short, wells(2), queries_per_block=3)
    assert metric.training.n_frames == 5
    assert TrainingWindows.fit(short, 16).n_frames == 5
    assert nearest_window_distances(wells(2), short).shape == (20,)


def test_constant_and_discrete_features_have_finite_figures():
    schema = FeatureSchema(names=("still", "contact"), units=("nm", ""), periods=(None, None))
    rng = np.random.default_rng(1)
    sets = [FeatureTrajectories([np.stack([np.ones(400), rng.random(400) < 0.5], axis=1)], schema) for _ in range(3)]
    metric = NearestTrainingWindow.fit(*sets[:2], queries_per_block=20, n_frames=3)
    found = metric.evaluate(*sums(metric, sets[0], sets[2], length=40))[0]
    np.testing.assert_allclose(found, [0, 0, 1, 1, 0], atol=1e-9)  # the 8 possible windows are all in the training data
    still = FeatureTrajectories([np.ones((100, 2))], schema)
    metric = NearestTrainingWindow.fit(still, still, queries_per_block=20)
    np.testing.assert_allclose(metric.evaluate(*sums(metric, still, still, length=10))[0], [0, 0, 1, 1, 0])


def test_what_is_wrong_is_said(wells, ou):
    data = wells(1, n_frames=100)
    with pytest.raises(InputError, match="at least 1 query per block, found 0"):
        NearestTrainingWindow.fit(data, data, queries_per_block=0)
    with pytest.raises(InputError, match="windows of at least 1 frame"):
        NearestTrainingWindow.fit(data, data, queries_per_block=1, n_frames=0)
    with pytest.raises(InputError, match="at least 1 window, found 0"):
        nearest_window_distances(data, data, n_windows=0)
    with pytest.raises(SchemaMismatchError, match="the training data has other features than the reference"):
        NearestTrainingWindow.fit(data, ou(1), queries_per_block=1)
    with pytest.raises(SchemaMismatchError, match="the data has other features"):
        NearestTrainingWindow.fit(data, data, queries_per_block=1).tally(Blocks.cut(ou(1), 100))
