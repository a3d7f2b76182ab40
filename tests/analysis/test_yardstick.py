from dataclasses import replace

import numpy as np
import pytest
from processes import ornstein_uhlenbeck, triple_well

from openmm_trajgan.analysis import yardstick as module
from openmm_trajgan.analysis.blocks import Blocks
from openmm_trajgan.analysis.yardstick import BLOCK_RELAXATIONS, Yardstick
from openmm_trajgan.errors import InputError
from openmm_trajgan.schema import FeatureTrajectories


def process(seed, n_frames=2000, relaxation=4.0, n_replicas=1, mean=0.0):
    return ornstein_uhlenbeck(n_replicas, n_frames, relaxation, mean, rng=np.random.default_rng(seed))


@pytest.fixture(scope="module")
def md():
    """Reference, generated and training data of the same law."""
    return process(1), process(2, 1500), process(3, 3000)


@pytest.fixture(scope="module")
def yardstick(md):
    reference, generated, train = md
    return Yardstick.fit(reference, [generated], train)


@pytest.fixture(scope="module")
def measured(yardstick, md):
    return yardstick.measure(md[1])


def by_name(figures):
    return {one.figure.name: one for one in figures}


def test_independent_md_is_like_md_in_every_figure(measured):
    judged = [one for one in measured if one.figure.judged]
    assert {one.verdict for one in judged} == {"like MD"}
    assert {one.verdict for one in measured if not one.figure.judged} == {"not judged"}
    assert {one.figure.group for one in measured} == {"distribution", "dynamics", "kinetics", "copying", "coverage"}


def test_a_figure_stands_beside_its_error_and_floors(measured):
    for one in measured:
        assert one.estimate.low <= one.value <= one.estimate.high, one.figure.name
        assert 0 < one.p_value <= 1
        assert one.missing is None
        assert one.floor.low <= one.floor.value <= one.floor.high
        assert one.curve.n_reference == 2000
        copying = one.figure.group == "copying"
        assert (one.information is None) is copying
        assert (one.md_equivalent is None) is copying


@pytest.mark.statistical
def test_md_lies_in_the_range_of_md_of_its_length(yardstick, monkeypatch):
    """90 % of the figures of other MD of 1500 frames should; those of one set go together, so the error is that of ten sets."""
    monkeypatch.setattr(module, "N_RESAMPLES", 4)
    shares = []
    for seed in range(100, 110):
        measured = yardstick.measure(process(seed, 1500))
        inside = [one.floor.low <= one.value <= one.floor.high for one in measured if one.figure.group != "copying"]
        shares.append(np.mean(inside))
    assert abs(np.mean(shares) - 0.9) < 4 * np.std(shares, ddof=1) / np.sqrt(len(shares))


def test_intervals_widen_where_blocks_are_short_beside_the_slowest_process(yardstick, md, coarse):
    """Blocks of one relaxation time: variances by 1/(1 - (1 - 1/e)), beside a tenth more for blocks of ten."""
    slowest = (yardstick.block_length / relaxations for relaxations in (10.0, 1.0))
    measured = (by_name(replace(yardstick, slowest=time).measure(md[1])) for time in slowest)
    ten, one = (figures["relaxation time ratio, x"].estimate for figures in measured)
    widening = np.log(one.high / one.value) / np.log(ten.high / ten.value)
    assert widening**2 == pytest.approx(np.e * (1 - (1 - np.exp(-10)) / 10), rel=1e-6)


def test_values_are_those_of_all_frames(yardstick, measured, md):
    for metric in yardstick.metrics:
        sums = [metric.tally(Blocks.cut(data, yardstick.block_length)).sum(axis=0, keepdims=True) for data in md[:2]]
        expected = metric.evaluate(*sums)[0]
        found = [by_name(measured)[figure.name].value for figure in metric.figures]
        np.testing.assert_allclose(found, expected)


def test_the_same_seed_gives_the_same_and_another_not(md, coarse):
    reference, generated, train = md
    one, same, other = (Yardstick.fit(reference, [generated], train, seed=seed).measure(generated) for seed in (0, 0, 1))
    numbers = [[(figure.estimate, figure.p_value, figure.floor) for figure in figures] for figures in (one, same, other)]
    assert numbers[0] == numbers[1]
    assert numbers[0] != numbers[2]


def test_data_of_another_law_are_unlike_md(yardstick, md):
    """Shuffled frames keep the distribution and lose the dynamics; shifted ones the other way round."""
    generated = md[1]
    shuffled = FeatureTrajectories([np.random.default_rng(1).permutation(generated.values[0])], generated.schema)
    found = by_name(yardstick.measure(shuffled))
    assert found["JSD x"].verdict == "like MD"
    assert found["displacement JSD, k = 1"].verdict == "unlike MD"
    assert found["relaxation time ratio, x"].verdict == "unlike MD"
    shifted = by_name(yardstick.measure(FeatureTrajectories([generated.values[0] + 1], generated.schema)))
    assert shifted["JSD x"].verdict == "unlike MD"
    assert shifted["JSD x"].md_equivalent.value < 150
    assert shifted["displacement JSD, k = 1"].verdict == "like MD"


def test_the_error_of_the_training_data_is_one_in_its_own_unit(yardstick, md, coarse):
    found = [one for one in yardstick.measure(md[2]) if one.information_ratio is not None]
    assert len(found) > 8
    for one in found:
        assert one.value == pytest.approx(one.information)
        assert one.information_ratio == pytest.approx(1)


def test_error_ratios_are_in_the_unit_of_the_figure(measured):
    for one in measured:
        if one.information_ratio is not None:
            kind, value, given = one.figure.kind, one.value, one.information
            expected = {
                "divergence": lambda v, g: v / g,
                "ratio": lambda v, g: abs(np.log(v) / np.log(g)),
                "difference": lambda v, g: abs(v / g),
                "share": lambda v, g: (1 - v) / (1 - g),
            }[kind](value, given)
            assert one.information_ratio == pytest.approx(expected)


def test_a_copy_of_the_training_data_is_found(yardstick, md):
    found = by_name(yardstick.measure(md[2]))
    assert found["share of copied windows"].value == pytest.approx(1)
    assert found["C_T effect size"].verdict == found["share of copied windows"].verdict == "unlike MD"
    assert found["share of copied windows"].p_value < 1e-6


@pytest.mark.parametrize(("n_frames", "relaxation"), [(4000, 4.0), (20_000, 2.0), (2000, 60.0)])
def test_blocks_are_ten_relaxations_long_if_that_leaves_20_to_200(n_frames, relaxation):
    reference = process(1, n_frames, relaxation)
    yardstick = Yardstick.fit(reference, [reference])
    assert 0.5 * relaxation < yardstick.slowest < 2 * relaxation
    assert 20 <= yardstick.reference.n_blocks <= 200
    if 20 < yardstick.reference.n_blocks < 200:
        assert yardstick.block_length == pytest.approx(BLOCK_RELAXATIONS * yardstick.slowest, rel=0.05)
    else:
        assert yardstick.block_length == n_frames // yardstick.reference.n_blocks


def test_the_reference_keeps_its_blocks_beside_much_longer_data():
    reference, much = process(1, 1000, 2.0), process(2, 400_000, 2.0)
    assert Yardstick.fit(reference, [much]).reference.n_blocks >= 20


def test_without_training_data_nothing_is_said_about_copying(md, coarse):
    reference, generated, _ = md
    yardstick = Yardstick.fit(reference, [generated])
    figures = yardstick.measure(generated)
    assert yardstick.train is None
    assert "copying" not in {one.figure.group for one in figures}
    assert {one.information for one in figures} == {one.information_ratio for one in figures} == {None}


def test_pairs_are_the_first_consecutive_ones_or_those_asked_for():
    reference = triple_well(2, 500, rng=np.random.default_rng(1))
    assert Yardstick.fit(reference, []).pairs == (("x", "y"),)
    yardstick = Yardstick.fit(reference, [], pairs=[("y", "x")])
    assert yardstick.pairs == (("y", "x"),)
    assert "JSD y, x" in [figure.name for figure in yardstick.metrics[0].figures]
    assert Yardstick.fit(reference, [], pairs=[]).pairs == ()
    with pytest.raises(InputError, match=r"no feature named z; there are x, y"):
        Yardstick.fit(reference, [], pairs=[("x", "z")])
    for wrong in ("x", 3, ("x", "y", "x")):
        with pytest.raises(InputError, match=r"^pairs: expected pairs of feature names, \[\(name, name\), \.\.\.\], found"):
            Yardstick.fit(reference, [], pairs=[wrong])


def test_bins_span_everything_that_will_be_measured(md):
    reference, generated, _ = md
    far = FeatureTrajectories([generated.values[0] + 50], generated.schema)
    yardstick = Yardstick.fit(reference, [generated, far])
    assert yardstick.metrics[0].observables[0].edges[0][-1] == far.values[0].max()


def test_a_reference_without_memory_has_no_kinetics_but_all_the_rest(coarse):
    reference, generated = (
        FeatureTrajectories([np.random.default_rng(seed).normal(size=(3000, 1))], process(1, 10).schema) for seed in (1, 2)
    )
    yardstick = Yardstick.fit(reference, [generated])
    assert yardstick.markov is None
    assert yardstick.lag is None
    groups = {one.figure.group for one in yardstick.measure(generated)}
    assert {"distribution", "dynamics", "coverage"} <= groups
    assert "kinetics" not in groups


@pytest.mark.parametrize("n_frames", [1, 2, 30, 60, 250])
def test_data_of_a_few_frames_are_measured_as_far_as_they_go(yardstick, measured, n_frames, coarse):
    found = yardstick.measure(process(7, n_frames))
    assert len(found) == len(measured)
    for one in found:
        assert (one.verdict == "not judged") is (one.p_value is None or not one.figure.judged)
        assert one.p_value is not None or one.missing.reason


def test_data_of_short_series_are_not_condemned_for_it(yardstick):
    """Windows of 8 frames of MD."""
    windows = FeatureTrajectories(np.split(process(9, 2000).values[0], 250), process(1, 10).schema)
    found = by_name(yardstick.measure(windows))
    assert {name for name, one in found.items() if one.verdict == "unlike MD"} == set()
    assert found["displacement JSD, k = 64"].missing.reason == "its series are shorter than 128 frames"


@pytest.mark.parametrize(
    ("n_frames", "here", "there", "verdict"),
    [
        (2000, 100.0, 100.0, "like MD"),  # twenty relaxations in all: MD itself may not relax within three of them
        (20_000, 10.0, 1000.0, "unlike MD"),
    ],
)
def test_data_that_do_not_relax_within_the_lags_are_judged_by_how_far_md_of_their_length_is_off(n_frames, here, there, verdict):
    reference, data = process(100, n_frames, here), process(500, n_frames, there)
    one = by_name(Yardstick.fit(reference, [data]).measure(data))["relaxation time ratio, x"]
    assert one.value is None
    assert one.missing.bound > 3
    assert one.verdict == verdict
