import numpy as np
import pytest

from openmm_trajgan.analysis.blocks import Blocks
from openmm_trajgan.analysis.dynamics import autocorrelation, relaxation_time
from openmm_trajgan.analysis.relaxation import Relaxation
from openmm_trajgan.schema import FeatureSchema, FeatureTrajectories

MIXED = FeatureSchema(names=("d", "phi", "e"), units=("nm", "rad", "nm"), periods=(None, 2 * np.pi, None))


def mixed(ou, seed, relaxation=12.0, mean=50.0, lengths=(3000, 800, 2200)):
    """A distance far from 0, an angle across the seam and a faster distance, in series of several lengths."""
    series = []
    for number, length in enumerate(lengths):
        slow, angle, fast = (
            ou(100 * seed + 10 * number + k, n_frames=length, relaxation=tau).values[0][:, 0]
            for k, tau in enumerate((relaxation, 2 * relaxation, relaxation / 4))
        )
        series.append(np.stack([mean + slow, np.pi + angle, fast], axis=1))
    return FeatureTrajectories(series, MIXED)


def total(metric, data, length=300):
    return metric.tally(Blocks.cut(data, length)).sum(axis=0, keepdims=True)


def test_autocorrelations_are_those_of_all_pairs_whatever_the_blocks(ou):
    data = mixed(ou, 1)
    metric = Relaxation.fit(Blocks.cut(data, 300))
    expected = autocorrelation(data, int(metric.lags[-1]))[metric.lags]
    for length in (3000, 300, 50):
        np.testing.assert_allclose(metric.autocorrelations(total(metric, data, length))[0], expected, atol=2e-5)


def test_relaxation_times_are_interpolated_between_lags(ou):
    """The first lag at most 1/e lies at most one frame later than the crossing, where lags are one frame apart, 3 % where not."""
    data = mixed(ou, 2)
    metric = Relaxation.fit(Blocks.cut(data, 300))
    curve = autocorrelation(data, int(metric.lags[-1]))
    after = relaxation_time(curve).astype(int)
    high, low = (curve[after - 1 + step, np.arange(3)] for step in (0, 1))
    crossing = after - 1 + (high - np.exp(-1)) / (high - low)
    np.testing.assert_allclose(metric.times(total(metric, data))[0], crossing, rtol=0.03)
    np.testing.assert_allclose(metric.reference_times, crossing, rtol=0.03)


def test_crossing_of_a_straight_line():
    """Autocorrelations 1, 0.5, 0 at lags 0, 1, 2 cross 1/e at 1 + (0.5 - 1/e)/0.5."""
    schema = FeatureSchema(names=("x",), units=("",), periods=(None,))
    metric = Relaxation(schema, np.array([0, 1, 2]), np.zeros(1), np.ones(1))
    sums = np.array([[100.0, 100, 100, 100, 50, 0, 0]])
    assert metric.times(sums)[0, 0] == pytest.approx(1 + (0.5 - np.exp(-1)) / 0.5)


@pytest.mark.statistical
def test_ratio_of_two_ornstein_uhlenbeck_processes(ou):
    """Law: 10/20. N = 4 × 10⁵ frames: s.e. of the curve √(2τ/N) ≤ 0.01, times e for that of ln τ: 0.027 and 0.019; between lags
    interpolated as a chord, within 3 %."""
    reference, data = ou(1, 8, 50_000, 20.0), ou(2, 8, 50_000, 10.0)
    metric = Relaxation.fit(Blocks.cut(reference, 5000))
    ratio = metric.evaluate(total(metric, reference, 5000), total(metric, data, 5000))[0, 0]
    assert np.log(ratio / 0.5) == pytest.approx(0, abs=4 * np.hypot(0.027, 0.019))
    assert metric.reference_times[0] == pytest.approx(20, rel=4 * 0.027)


def test_lags_reach_three_times_beyond_the_slowest_and_no_further_than_half_of_the_longest_series(ou):
    metric = Relaxation.fit(Blocks.cut(mixed(ou, 1), 300))
    assert 3 * metric.reference_times.max() <= metric.lags[-1] + 2
    assert metric.lags[-1] <= 4 * metric.reference_times.max()
    assert metric.lags[0] == 0
    assert (np.diff(metric.lags) > 0).all()
    slow = Relaxation.fit(Blocks.cut(ou(1, n_frames=400, relaxation=80.0), 100))
    assert slow.lags[-1] <= 200


def test_features_that_do_not_relax_in_the_reference_have_no_figure(ou):
    data = mixed(ou, 3)
    drifting = FeatureTrajectories([one + np.arange(len(one))[:, None] * [[0, 0, 1]] for one in data], MIXED)
    constant = FeatureTrajectories([one * [[1, 0, 1]] for one in data], MIXED)
    for other, names in ((drifting, ["d", "phi", "e"]), (constant, ["d", "e"])):
        metric = Relaxation.fit(Blocks.cut(other, 300))
        assert set(metric.names) <= set(names)
        assert [figure.name for figure in metric.figures] == [f"relaxation time ratio, {name}" for name in metric.names]
        sums = total(metric, other)
        np.testing.assert_allclose(metric.evaluate(sums, sums), np.ones((1, len(metric.names))))
    assert Relaxation.fit(Blocks.cut(constant, 300)).names == ["d", "e"]


def test_why_a_number_is_missing(ou):
    reference = mixed(ou, 4)
    metric = Relaxation.fit(Blocks.cut(reference, 300))
    here = total(metric, reference)
    frozen = FeatureTrajectories([np.full((1000, 3), 0.3)], MIXED)
    slow = FeatureTrajectories([np.linspace(0, 1, 1000)[:, None] * [[1, 1, 1]]], MIXED)
    short = FeatureTrajectories([part for one in reference for part in np.split(one, len(one) // 4)], MIXED)
    beyond = metric.lags[-1] / metric.reference_times[0]
    for data, reason, conclusive, bound in (
        (frozen, "constant", True, None),
        (slow, f"does not relax within {metric.lags[-1]} frames", False, beyond),
        (short, "does not relax within 3 frames", False, None),  # nor does the reference
    ):
        there = total(metric, data)
        assert np.isnan(metric.evaluate(here, there)[0, 0])
        missing = metric.missing(0, here[0], there[0])
        assert missing.reason.startswith(reason)
        assert bool(missing.conclusive) is conclusive
        assert missing.bound == (None if bound is None else pytest.approx(bound))


@pytest.mark.parametrize("n_frames", [90, 110, 150])
def test_data_shorter_than_the_lags_are_too_short(ou, n_frames):
    reference = ou(1, n_frames=20_000, relaxation=60.0)
    metric = Relaxation.fit(Blocks.cut(reference, 2000))
    assert metric.lags[-1] > 150
    data = ou(2, n_frames=n_frames, relaxation=60.0)
    assert np.isfinite(metric.tally(Blocks.cut(data, 50))).all()


def test_images_of_an_angle_make_no_difference(ou):
    data = mixed(ou, 5)
    wrapped = FeatureTrajectories(
        [np.stack([d, (phi + np.pi) % (2 * np.pi) - np.pi, e], axis=1) for d, phi, e in (s.T for s in data)], MIXED
    )
    metric = Relaxation.fit(Blocks.cut(data, 300))
    np.testing.assert_allclose(metric.evaluate(total(metric, data), total(metric, wrapped)), 1.0, rtol=1e-4)


def test_sums_of_weighted_blocks_are_those_of_repeated_blocks(ou):
    data = ou(1, n_replicas=4, n_frames=500)
    metric = Relaxation.fit(Blocks.cut(data, 500))
    repeated = FeatureTrajectories([data.values[i] for i in (0, 0, 2, 3, 3, 3)], data.schema)
    weighted = np.array([[2.0, 0, 1, 3]]) @ metric.tally(Blocks.cut(data, 500))
    np.testing.assert_allclose(metric.times(weighted), metric.times(total(metric, repeated, 500)))
