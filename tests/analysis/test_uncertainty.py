import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.signal import lfilter

from openmm_trajgan.analysis.metric import Figure
from openmm_trajgan.analysis.uncertainty import Estimate, _unified_interval, bootstrap, interval, permutations, significance

DIFFERENCE, RATIO, DIVERGENCE, SHARE = (
    Figure("figure", "dynamics", kind, "Meaning.") for kind in ("difference", "ratio", "divergence", "share")
)


def differences(reference, data):
    """Evaluate the difference of the weighted means of one number per block."""

    def evaluate(reference_weights, data_weights):
        here, there = (
            weights @ one / weights.sum(axis=1) for weights, one in ((reference_weights, reference), (data_weights, data))
        )
        return (there - here)[:, None]

    return evaluate


class Recorder:
    """Evaluate nothing, but keep the weights."""

    def __call__(self, reference, data):
        self.reference, self.data = reference, data
        return np.stack([reference[:, 0], data[:, 0]], axis=1)


@pytest.mark.statistical
def test_bootstrap_has_the_standard_error_of_means_of_independent_blocks():
    """Law: variance s²/n + t²/m of the difference of two means; 4000 resamples, so the s.e. of the width is 1/√8000 = 1.1 %."""
    rng = np.random.default_rng(1)
    reference, data = rng.normal(0, 1, 50), rng.normal(2, 3, 20)
    found = bootstrap(differences(reference, data), 50, 20, 4000, rng)
    expected = np.sqrt(reference.var() / 50 + data.var() / 20)
    assert found.shape == (4000, 1)
    assert abs(found.std() / expected - 1) < 4 * 0.011
    assert abs(found.mean() - (data.mean() - reference.mean())) < 4 * expected / np.sqrt(4000)


def test_bootstrap_draws_as_many_blocks_as_each_set_has():
    record = Recorder()
    result = bootstrap(record, 7, 4, 500, np.random.default_rng(1))
    assert result.shape == (500, 2)
    assert set(record.reference.sum(axis=1)) == {7.0}
    assert set(record.data.sum(axis=1)) == {4.0}


@pytest.mark.parametrize("sizes", [(5, 1), (1, 5)])
def test_a_single_block_cannot_be_resampled(sizes):
    found = bootstrap(differences(np.arange(float(sizes[0])), np.arange(float(sizes[1]))), *sizes, 10, np.random.default_rng(1))
    assert found.shape == (10, 1)
    assert np.isnan(found).all()


def test_bootstrap_of_a_figure_that_is_sometimes_missing_is_silent():
    def evaluate(reference, data):
        return np.where(data[:, :1] > 0, 1.0, np.nan)

    found = bootstrap(evaluate, 5, 5, 200, np.random.default_rng(1))
    assert 0.2 < np.isnan(found).mean() < 0.5  # (1 - 1/5)⁵ = 0.33


def test_permutations_keep_the_sizes_and_give_every_block_to_one_set():
    record = Recorder()
    assert permutations(record, 7, 4, 300, np.random.default_rng(1)).shape == (300, 2)
    assert set(record.reference.sum(axis=1)) == {7.0}
    np.testing.assert_array_equal(record.reference + record.data, np.ones((300, 11)))
    assert len(np.unique(record.reference, axis=0)) > 100
    assert np.abs(record.reference.mean(axis=0) - 7 / 11).max() < 5 * np.sqrt(7 * 4 / 121 / 300)


@pytest.mark.statistical
def test_permutations_have_the_law_of_dealt_out_blocks():
    """Law: variance S²(1/n + 1/m), S² that of all blocks (n - 1); 4000 permutations, so the s.e. of the width is 1.1 %."""
    rng = np.random.default_rng(2)
    values = rng.normal(size=30)
    found = permutations(differences(values, values), 20, 10, 4000, rng)
    expected = np.sqrt(values.var(ddof=1) * (1 / 20 + 1 / 10))
    assert abs(found.std() / expected - 1) < 4 * 0.012
    assert abs(found.mean()) < 4 * expected / np.sqrt(4000)


@pytest.mark.parametrize("resample", [bootstrap, permutations])
def test_resampling_repeats_for_the_same_generator(resample):
    values = np.random.default_rng(1).normal(size=30)
    evaluate = differences(values, values) if resample is permutations else differences(values[:20], values[20:])
    one, same, other = (resample(evaluate, 20, 10, 50, np.random.default_rng(seed)) for seed in (3, 3, 4))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)


@pytest.mark.statistical
def test_significance_is_uniform_where_both_sets_have_the_same_law():
    """Law: P(p < α) = α. 2000 pairs of sets, so the s.e. is √(α(1 - α)/2000)."""
    rng = np.random.default_rng(3)
    found = []
    for _ in range(2000):
        values = rng.normal(size=30)
        evaluate = differences(values[:20], values[20:])
        value = float(evaluate(np.ones((1, 20)), np.ones((1, 10)))[0, 0])
        null = permutations(differences(values, values), 20, 10, 200, rng)[:, 0]
        found.append(significance(DIFFERENCE, value, null))
    for level in (0.01, 0.05, 0.2, 0.5, 0.8):
        assert abs(np.mean(np.array(found) < level) - level) < 4 * np.sqrt(level * (1 - level) / 2000) + 1 / 201
    assert np.mean(np.array(found) < 0.001) < 0.001 + 4 * np.sqrt(0.001 / 2000)  # beyond what 200 permutations resolve


def test_significance_of_a_shift_is_far_below_one_over_the_permutations():
    rng = np.random.default_rng(4)
    values = np.concatenate([rng.normal(0, 1, 40), rng.normal(3, 1, 40)])
    null = permutations(differences(values, values), 40, 40, 200, rng)[:, 0]
    assert significance(DIFFERENCE, 3.0, null) < 1e-6
    assert significance(DIFFERENCE, -3.0, null) < 1e-6


def test_significance_beyond_all_permutations_is_the_tail_of_a_gamma_distribution():
    null = np.random.default_rng(5).gamma(2.0, 0.1, 200)
    expected = stats.gamma.sf(3.0, null.mean() ** 2 / null.var(), scale=null.var() / null.mean())
    assert significance(DIVERGENCE, 3.0, null) == pytest.approx(expected, rel=1e-9)


def test_significance_within_the_permutations_is_their_share():
    null = np.arange(1.0, 101.0)
    assert significance(DIVERGENCE, 90.5, null) == pytest.approx(0.1)
    assert significance(DIVERGENCE, 0.0, null) == 1.0
    assert significance(DIVERGENCE, 100.0, null) == pytest.approx(0.01)
    assert significance(SHARE, 1 - 0.905, 1 - null / 100) == pytest.approx(0.1)
    assert significance(RATIO, np.exp(-90.5), np.exp(null)) == pytest.approx(0.1)  # twice too fast is as far as twice too slow
    assert significance(DIFFERENCE, -90.5, null) == pytest.approx(0.1)


def test_permutations_without_a_number_are_left_out_unless_most_are():
    null = np.concatenate([np.arange(1.0, 101.0), np.full(100, np.nan)])
    assert significance(DIVERGENCE, 90.5, null) == pytest.approx(0.1)
    assert np.isnan(significance(DIVERGENCE, 90.5, np.append(null, np.nan)))


def test_permutations_that_do_not_scatter():
    """Data that lack two fifths of what all permutations have are another law; what lacks a little may be chance."""
    assert significance(DIVERGENCE, 0.5, np.full(99, 0.5)) == 1.0
    assert significance(SHARE, 0.6, np.ones(200)) < 1e-4
    assert significance(SHARE, 0.6, np.ones(80)) < 1e-4
    assert significance(RATIO, 1e-3, np.ones(200)) < 1e-4
    assert 1e-3 < significance(SHARE, 0.999, np.ones(200)) < 1e-2
    assert significance(DIVERGENCE, 0.501, np.full(200, 0.5)) == pytest.approx(significance(SHARE, 0.999, np.ones(200)))


@pytest.mark.statistical
def test_interval_of_a_mean_covers_it_with_90_percent():
    """Law: Student's t for the mean of n = 8 normal blocks. 800 sets: s.e. √(0.9·0.1/800) = 1.1 %, the bootstrap's own 5 % of the
    width move it by less."""
    rng = np.random.default_rng(6)
    inside = 0
    for _ in range(800):
        blocks = rng.normal(5, 1, 8)
        resampled = blocks[rng.integers(8, size=(200, 8))].mean(axis=1)
        found = interval(DIFFERENCE, blocks.mean(), resampled, np.zeros(200), 8)
        inside += found.low <= 5 <= found.high
    assert abs(inside / 800 - 0.9) < 4 * 0.011


def test_interval_of_each_kind():
    rng = np.random.default_rng(7)
    drawn, n_blocks = rng.normal(0, 0.1, 500), 10
    reach = stats.t.ppf(0.95, 9) * np.sqrt(10 / 9) * drawn.std()

    difference = interval(DIFFERENCE, -0.2, drawn, drawn, n_blocks)
    assert (difference.low, difference.high) == pytest.approx((-0.2 - reach, -0.2 + reach))
    ratio = interval(RATIO, 2.0, 2 * np.exp(drawn), drawn, n_blocks)
    assert (ratio.low, ratio.high) == pytest.approx((2 * np.exp(-reach), 2 * np.exp(reach)))
    share = interval(SHARE, 0.9, drawn, drawn, n_blocks)
    assert (share.low, share.high) == pytest.approx((0.9 - reach, 1.0))
    assert interval(SHARE, 0.05, drawn, drawn, n_blocks).low == 0


@pytest.mark.parametrize("relaxations", [0.01, 1.0, 10.0])
def test_standard_errors_allow_for_blocks_that_go_with_their_neighbours(relaxations):
    """Exact: variances of the mean of a block and of a long series whose correlation is exp(-t), by quadrature over pairs."""
    times = (np.arange(1000) + 0.5) / 1000 * relaxations
    of_block = np.exp(-np.abs(times[:, None] - times)).mean()
    of_series = 2 / relaxations  # per block
    drawn = np.random.default_rng(1).normal(0, 0.1, 500)
    for figure in (DIFFERENCE, RATIO):
        logarithm = (lambda number: number) if figure is DIFFERENCE else np.log
        values = drawn if figure is DIFFERENCE else np.exp(drawn)
        found, independent = (interval(figure, 1.0, values, drawn, 30, length) for length in (relaxations, np.inf))
        widening = (logarithm(found.high) - logarithm(1.0)) / (logarithm(independent.high) - logarithm(1.0))
        assert widening**2 == pytest.approx(of_series / of_block, rel=1e-4)


@pytest.mark.statistical
def test_interval_of_the_mean_of_a_correlated_series_covers_it():
    """800 series of 30 blocks of two relaxation times: 90 % within ±4 s.e. of 1.1 %; less as independent ones."""
    rng = np.random.default_rng(11)
    memory = np.exp(-1 / 20)
    series = lfilter([np.sqrt(1 - memory**2)], [1.0, -memory], rng.standard_normal((800, 1000 + 30 * 40)), axis=1)[:, 1000:]
    held = {2.0: 0, np.inf: 0}
    for blocks in series.reshape(800, 30, 40).mean(axis=2):
        resampled = blocks[rng.integers(30, size=(200, 30))].mean(axis=1)
        for relaxations in held:
            found = interval(DIFFERENCE, blocks.mean(), resampled, np.zeros(200), 30, relaxations)
            held[relaxations] += found.low <= 0 <= found.high
    assert abs(held[2.0] / 800 - 0.9) < 4 * 0.011
    assert held[np.inf] / 800 < 0.9 - 4 * 0.011


@pytest.mark.statistical
@pytest.mark.parametrize(("freedom", "noncentrality"), [(2, 0.0), (30, 0.0), (2, 20.0), (30, 60.0)])
def test_interval_of_a_divergence_holds_the_mean_of_a_noncentral_chi_square(freedom, noncentrality):
    """400 draws, each with permutations of its noise: 90 % of the intervals, also where 0 is the least there is; ±4 s.e."""
    rng = np.random.default_rng(8)
    scale, mean = 0.01, 0.01 * (freedom + noncentrality)
    held = 0
    for value in scale * stats.ncx2.rvs(freedom, noncentrality, size=400, random_state=rng):
        null = scale * rng.chisquare(freedom, 2000)
        resampled = scale * stats.ncx2.rvs(freedom, value / scale, size=500, random_state=rng)  # noise upon what was found
        found = interval(DIVERGENCE, value, resampled, null, 10_000)
        held += found.low <= mean <= found.high
    assert abs(held / 400 - 0.9) < 4 * 0.015


@pytest.mark.statistical
@pytest.mark.parametrize("difference", [1.0, 3.0, 10.0])
def test_interval_of_a_divergence_whose_noise_is_largest_along_the_difference(difference):
    """One slow direction of unit variance and 400 of a 20th, as the populations of wells are among bins; the difference lies along
    the slow one. Of the 400 only the square of their length is drawn, a 20th of χ². 400 draws: 90 %, ±4 s.e. of 1.5 %."""
    rng = np.random.default_rng(12)
    mean, held = difference**2 + 1 + 400 / 20, 0
    for _ in range(400):
        slow, others = difference + rng.standard_normal(), rng.chisquare(400) / 20
        null = rng.standard_normal(500) ** 2 + rng.chisquare(400, 500) / 20
        resampled = (slow + rng.standard_normal(500)) ** 2 + rng.noncentral_chisquare(400, 20 * others, 500) / 20
        found = interval(DIVERGENCE, slow**2 + others, resampled, null, 10_000)
        held += found.low <= mean <= found.high
    assert abs(held / 400 - 0.9) < 4 * 0.015


@pytest.mark.parametrize(("observed", "low", "high"), [(0.0, 0.0, 1.64), (1.0, 0.0, 2.64), (2.0, 0.58, 3.64), (3.0, 1.37, 4.64)])
def test_unified_interval_of_a_normal_number_is_that_of_feldman_and_cousins(observed, low, high):
    """Table X of the paper, 90 %: a mean that is not negative, in standard deviations; the grid is good to 3 % of one."""
    assert _unified_interval(1e6 + observed, 1e6, 1.0, 1e-12) == pytest.approx((low, high), abs=0.03)


@pytest.mark.parametrize("excess", [0.0, 1.0, 30.0])
def test_noise_along_a_difference_is_the_largest_possible_until_it_shows_its_own(excess):
    """A null of mean 50 and variance 1, a bootstrap of the variance 3 + 4·0.2 |d|²: 0.2 along the difference, √½ at most."""
    shape = np.random.default_rng(14).normal(size=400)
    shape = (shape - shape.mean()) / shape.std()
    null, resampled = 50 + shape, 50 + excess + shape * np.sqrt(3 + 0.8 * excess)
    found = interval(DIVERGENCE, 50 + excess, resampled, null, 10**6)
    along = (excess**2 * 0.2 + np.sqrt(0.5)) / (excess**2 + 1)
    low, high = _unified_interval(50 + excess, 50.0, 1.0, along)
    assert (found.low, found.high) == pytest.approx((50 + low if low > 0 else 0, 50 + high), rel=1e-4)


@given(st.floats(0, 1e4), st.floats(0.01, 1e4), st.floats(1e-3, 1e3), st.integers(0, 100))
def test_interval_of_a_divergence_holds_the_number_whatever_the_resamples(value, shape, more, seed):
    rng = np.random.default_rng(seed)
    null, resampled = rng.gamma(shape, 1.0, 50), value + more * rng.gamma(shape, 1.0, 50)
    found = interval(DIVERGENCE, value, resampled, null, 5, 1.0)
    assert 0 <= found.low <= value <= found.high < np.inf


def test_data_closer_than_permutations_tell_no_more_than_those_at_their_mean():
    """So does a copy of the reference: equal laws are not rejected for it, and the upper end does not fall."""
    null = 10 + np.random.default_rng(13).normal(0, 0.01, 500)
    found, expected = (interval(DIVERGENCE, value, null, null, 50) for value in (0.0, float(null.mean())))
    assert found.low == expected.low == 0
    assert found.high == expected.high
    assert null.mean() + null.std() < found.high < null.mean() + 5 * null.std()


def test_interval_of_a_divergence_begins_at_0_where_permutations_explain_it():
    rng = np.random.default_rng(9)
    null, resampled = rng.chisquare(5, 500), 5 + rng.chisquare(10, 500)
    assert interval(DIVERGENCE, 5.0, resampled, null, 50).low == 0
    assert interval(DIVERGENCE, 50.0, resampled + 45, null, 50).low > 5
    assert interval(DIVERGENCE, 1e6, resampled + 1e6, null, 50).low > 9e5  # far beyond the tables of the distribution
    zeros = np.zeros(500)
    assert interval(DIVERGENCE, 0.0, zeros, zeros, 50) == Estimate(0.0, 0.0, 0.0)


def test_two_blocks_or_resamples_make_no_interval():
    drawn = np.random.default_rng(9).normal(size=100)
    for found in (
        interval(DIFFERENCE, 1.0, drawn, drawn, 2),
        interval(DIFFERENCE, 1.0, np.where(np.arange(100) < 2, drawn, np.nan), drawn, 10),
    ):
        assert found.value == 1.0
        assert np.isnan([found.low, found.high]).all()


@pytest.mark.parametrize(
    ("figure", "resampled", "null"), [(DIVERGENCE, np.ones(10), np.full(10, np.nan)), (RATIO, np.zeros(10), np.ones(10))]
)
def test_interval_without_usable_resamples_is_none(figure, resampled, null):
    found = interval(figure, 1.0, resampled, null, 5)
    assert np.isnan([found.low, found.high]).all()


def test_estimates_read_as_number_and_interval():
    assert str(Estimate(0.12345, 0.1, 0.2)) == "0.123 (0.1 to 0.2)"
