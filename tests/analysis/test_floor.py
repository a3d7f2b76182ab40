import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from openmm_trajgan.analysis.floor import LONGEST, FloorCurve, floor_curves
from openmm_trajgan.analysis.metric import Figure

DIVERGENCE, RATIO, DIFFERENCE, SHARE = FIGURES = tuple(
    Figure(kind, "dynamics", kind, "Meaning.") for kind in ("divergence", "ratio", "difference", "share")
)
N_REFERENCE = 10_000
LENGTHS = np.geomspace(100, 10_000, 7)
ids = {"ids": lambda figure: figure.kind}


def of_discrepancy(figure, discrepancy):
    """The value of a figure that is so far off."""
    root = np.sqrt(discrepancy)
    return {"divergence": discrepancy, "ratio": np.exp(root), "difference": -root, "share": 1 - discrepancy}[figure.kind]


def law(n_frames, n_reference=N_REFERENCE, scale=3.0):
    return scale * (1 / n_frames + 1 / n_reference)


def exact(figure, lengths=LENGTHS):
    values = of_discrepancy(figure, law(lengths))
    return FloorCurve(figure, lengths, np.repeat(values[:, None], 40, axis=1), N_REFERENCE)


@pytest.mark.parametrize("figure", FIGURES, **ids)
@pytest.mark.parametrize("n_frames", [17, 100, 147, 1000, 7000, 50_000])
def test_floor_of_a_length_is_that_of_the_law(figure, n_frames):
    found = exact(figure).at(n_frames)
    assert [found.low, found.value, found.high] == pytest.approx([of_discrepancy(figure, law(n_frames))] * 3, rel=1e-9)


def test_floor_is_the_median_and_the_range_of_90_percent():
    values = np.random.default_rng(1).gamma(3, 1, (7, 41))
    found = FloorCurve(DIVERGENCE, LENGTHS, values, N_REFERENCE).at(10_000)
    assert [found.low, found.value, found.high] == pytest.approx(np.quantile(values[-1], [0.05, 0.5, 0.95]))


@pytest.mark.parametrize("figure", FIGURES, **ids)
def test_md_is_worth_its_own_length(figure):
    """Exact at the lengths of the curve and beyond them; within 4 % between lengths that differ by a factor of 2.15."""
    curve = exact(figure)
    for n_frames in (*LENGTHS, 13, 60, 15_000, 80_000):
        found = curve.md_equivalent(float(of_discrepancy(figure, law(n_frames))))
        assert [found.low, found.value, found.high] == pytest.approx([n_frames] * 3, rel=1e-6)
    for n_frames in np.sqrt(LENGTHS[1:] * LENGTHS[:-1]):
        assert curve.md_equivalent(float(of_discrepancy(figure, law(n_frames)))).value == pytest.approx(n_frames, rel=0.04)


@pytest.mark.parametrize("figure", FIGURES, **ids)
def test_a_difference_below_the_noise_of_the_reference_cannot_be_told(figure):
    curve = exact(figure)
    assert curve.md_equivalent(float(of_discrepancy(figure, 0.99 * law(np.inf)))).value == np.inf
    assert curve.md_equivalent(float(of_discrepancy(figure, 0.0))).value == np.inf
    assert curve.md_equivalent(float(of_discrepancy(figure, law(1.01 * LONGEST * N_REFERENCE)))).value == np.inf
    assert curve.md_equivalent(float(of_discrepancy(figure, law(0.99 * LONGEST * N_REFERENCE)))).value < np.inf


def test_ratios_and_differences_count_the_same_in_both_directions():
    assert exact(RATIO).md_equivalent(2.0).value == pytest.approx(exact(RATIO).md_equivalent(0.5).value)
    assert exact(DIFFERENCE).md_equivalent(0.1).value == pytest.approx(exact(DIFFERENCE).md_equivalent(-0.1).value)


def noisy(seed, n_draws=40):
    rng = np.random.default_rng(seed)
    return FloorCurve(DIVERGENCE, LENGTHS, law(LENGTHS)[:, None] * rng.gamma(2, 0.5, (7, n_draws)), N_REFERENCE)


@given(st.integers(0, 1000), st.floats(1e-6, 1), st.floats(1.0, 10))
def test_what_is_further_off_is_never_worth_more(seed, value, factor):
    curve = noisy(seed)
    near, far = curve.md_equivalent(value), curve.md_equivalent(factor * value)
    assert near.value >= far.value
    assert near.low >= far.low
    assert near.high >= far.high


def test_a_bump_in_the_curve_does_not_make_worse_data_worth_more():
    curve = FloorCurve(DIVERGENCE, LENGTHS[:4], np.repeat([[1.0], [0.2], [0.4], [0.05]], 40, axis=1), N_REFERENCE)
    found = [curve.md_equivalent(value).value for value in np.geomspace(0.06, 0.9, 30)]
    assert (np.diff(found) <= 0).all()
    assert curve.md_equivalent(0.3).value < LENGTHS[1]


@given(st.integers(0, 1000), st.floats(1e-6, 1))
def test_the_interval_holds_the_number(seed, value):
    found = noisy(seed).md_equivalent(value)
    assert found.low <= found.value <= found.high


def test_the_interval_holds_the_number_where_some_md_is_not_off_at_all():
    values = law(LENGTHS)[:, None] * np.repeat([0.0, 1.0], [5, 35])
    found = FloorCurve(DIVERGENCE, LENGTHS, values, N_REFERENCE).md_equivalent(0.3)
    assert found.value == pytest.approx(10, rel=0.01)
    assert found.low <= found.value <= found.high


@pytest.mark.statistical
def test_the_interval_of_independent_md_covers_its_length_with_90_percent():
    """Law: discrepancies are χ² with 3 degrees of freedom times 1/n + 1/N. 2000 sets: s.e. √(0.09/2000) = 0.7 %; quantiles of 500
    draws are wrong by √(0.05·0.95/500) = 1 % on either side."""
    rng = np.random.default_rng(1)
    curve = FloorCurve(DIVERGENCE, LENGTHS, law(LENGTHS)[:, None] * rng.chisquare(3, (7, 500)), N_REFERENCE)
    found = [curve.md_equivalent(law(1000) * draw) for draw in rng.chisquare(3, 2000)]
    assert abs(np.mean([one.low <= 1000 <= one.high for one in found]) - 0.9) < 4 * (0.007 + 0.014)
    assert abs(np.mean([one.value < 1000 for one in found]) - 0.5) < 4 * (0.011 + 0.022)


def test_lengths_at_which_md_gives_no_number_are_left_out():
    curve = exact(DIVERGENCE)
    values = curve.values.copy()
    values[:3, 1:] = np.nan
    curve = FloorCurve(DIVERGENCE, LENGTHS, values, N_REFERENCE)
    assert curve.at(150) is None
    assert curve.at(10_000).value == pytest.approx(law(10_000))
    assert curve.md_equivalent(law(LENGTHS[4])).value == pytest.approx(LENGTHS[4])
    assert curve.md_equivalent(law(200)).value == pytest.approx(200)
    nothing = FloorCurve(DIVERGENCE, LENGTHS, np.full_like(values, np.nan), N_REFERENCE)
    assert nothing.at(1000) is None
    assert nothing.md_equivalent(0.1) is None


def test_figures_that_are_never_off_in_md():
    curve = FloorCurve(SHARE, LENGTHS, np.ones((7, 40)), N_REFERENCE)
    assert curve.md_equivalent(1.0).value == np.inf
    assert curve.md_equivalent(0.5).value <= LENGTHS[0]


class Parts:
    """Evaluate the law for the lengths of both parts, which must be disjoint."""

    def __init__(self, figures, sizes):
        self.figures, self.sizes = figures, sizes

    def __call__(self, reference, data):
        assert set(np.unique(np.concatenate([reference, data]))) == {0.0, 1.0}
        assert (reference + data).max() == 1
        self.reference, self.data = reference, data
        n_reference, n_data = (weights.sum(axis=1) * self.sizes.mean() for weights in (reference, data))
        return np.stack([of_discrepancy(figure, law(n_data, n_reference)) for figure in self.figures], axis=1)


@pytest.mark.parametrize(("n_blocks", "n_reference"), [(60, 2000), (20, 2000), (2, 200), (300, 2000)])
@pytest.mark.parametrize("n_data", [50, 1234, 10**6])
def test_curves_of_md_are_those_against_the_full_reference(n_blocks, n_reference, n_data):
    sizes = np.full(n_blocks, 100.0)
    evaluate = Parts(FIGURES, sizes)
    curves = floor_curves(FIGURES, evaluate, sizes, n_reference, n_data, 30, np.random.default_rng(1))
    for figure, curve in zip(FIGURES, curves, strict=True):
        assert curve.figure is figure
        assert curve.values.shape == (len(curve.lengths), 30)
        assert (np.diff(curve.lengths) > 0).all()
        expected = of_discrepancy(figure, law(curve.lengths, n_reference))
        np.testing.assert_allclose(curve.values, np.repeat(expected[:, None], 30, axis=1))
    lengths = evaluate.data.sum(axis=1).reshape(-1, 30)
    np.testing.assert_array_equal(lengths * 100, np.repeat(curves[0].lengths[:, None], 30, axis=1))
    assert curves[0].lengths[0] == 100
    assert curves[0].lengths[-1] == 100 * max(n_blocks - n_reference // 100, n_blocks // 2)
    others = evaluate.reference.sum(axis=1).reshape(-1, 30)[:, 0]
    np.testing.assert_array_equal(others, np.minimum(n_reference // 100, n_blocks - lengths[:, 0]))


def test_the_length_of_the_data_is_one_of_the_curve():
    sizes = np.full(200, 100.0)
    curve = floor_curves(FIGURES[:1], Parts(FIGURES[:1], sizes), sizes, 5000, 3700, 5, np.random.default_rng(1))[0]
    assert 3700 in curve.lengths


def test_divisions_are_random_and_repeat_for_the_same_generator():
    sizes = np.full(30, 10.0)
    weights = []
    for seed in (1, 1, 2):
        evaluate = Parts(FIGURES[:1], sizes)
        floor_curves(FIGURES[:1], evaluate, sizes, 150, 100, 20, np.random.default_rng(seed))
        weights.append(evaluate.data)
    np.testing.assert_array_equal(weights[0], weights[1])
    assert not np.array_equal(weights[0], weights[2])
    assert len(np.unique(weights[0][-20:], axis=0)) == 20


@pytest.mark.statistical
@pytest.mark.parametrize("n_data", [2, 12, 40])
def test_lengths_of_independent_md_are_right_in_the_median(n_data):
    """Up to twice the reference: 20 blocks of it and 40 more make the curve, the squared distance of means of five numbers is the
    figure. 400 repetitions with fresh blocks: s.e. of the share that is too short 2.5 %, of the coverage 1.5 % and, from 80 draws,
    √2·√(0.05·0.95/80) = 3.4 % for each curve, whose mean over repetitions is low by less than 1/80 at either end."""
    rng = np.random.default_rng(2)
    short, held = 0, 0
    for _ in range(400):
        pool, data = rng.standard_normal((60, 5)), rng.standard_normal((n_data, 5))

        def evaluate(reference, data, pool=pool):
            here, there = (weights @ pool / weights.sum(axis=1, keepdims=True) for weights in (reference, data))
            return ((here - there) ** 2).sum(axis=1, keepdims=True)

        curve = floor_curves((DIVERGENCE,), evaluate, np.full(60, 100.0), 2000, 100 * n_data, 80, rng)[0]
        found = curve.md_equivalent(float(((data.mean(axis=0) - pool[:20].mean(axis=0)) ** 2).sum()))
        short += found.value < 100 * n_data
        held += found.low <= 100 * n_data <= found.high
    assert abs(short / 400 - 0.5) < 4 * 0.025
    assert 0.9 - 4 * 0.015 - 2 / 80 < held / 400 < 0.9 + 4 * 0.015
