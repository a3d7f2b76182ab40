import numpy as np
import pytest

from openmm_trajgan.analysis.blocks import Blocks
from openmm_trajgan.analysis.displacements import STEPS, Displacements
from openmm_trajgan.analysis.dynamics import displacement_divergence, displacements
from openmm_trajgan.schema import FeatureTrajectories


def fitted(*sets, length=200):
    blocks = tuple(Blocks.cut(data, length) for data in sets)
    return Displacements.fit(blocks[0], blocks), [blocks_.trajectories for blocks_ in blocks]


def total(metric, data, length=200):
    return metric.tally(Blocks.cut(data, length)).sum(axis=0, keepdims=True)


def split(data, length):
    return FeatureTrajectories([part for series in data for part in np.split(series, len(series) // length)], data.schema)


def test_divergences_are_those_of_all_displacements_whatever_the_blocks(wells):
    reference, data = wells(1, n_frames=3000), wells(2, n_replicas=2, n_frames=1000, rate=0.05, noise=0.4)
    metric, _ = fitted(reference, data)
    found = metric.evaluate(total(metric, reference), total(metric, data))[0]
    expected = [displacement_divergence(reference, data, steps).mean() for steps in STEPS]
    np.testing.assert_allclose(found, expected, atol=2e-4)  # a displacement on an edge may round to either bin
    assert min(expected) > 0.003


def test_displacements_are_counted_once_with_their_first_frame(ou):
    data = ou(1, n_replicas=3, n_frames=1000)
    metric, _ = fitted(data)
    tally = metric.tally(Blocks.cut(data, 100)).reshape(30, 4, 102)
    for index, steps in enumerate(STEPS):
        assert tally[:, index, 2:].sum() == len(displacements(data, steps))
        np.testing.assert_array_equal(tally[:, index, 1], tally[:, index, 2:].sum(axis=1))
        np.testing.assert_array_equal(tally[:, index, 0], 100)
    assert tally[9, 0, 1] == 99  # the last block of a series
    assert tally[8, 3, 1] == 100  # pairs with the last 64 frames are counted in the block before


def test_steps_that_most_frames_of_the_reference_cannot_make_are_left_out(ou):
    reference = ou(1, n_frames=6200)
    assert list(fitted(reference)[0].edges) == [1, 4, 16, 64]
    assert list(fitted(split(reference, 124))[0].edges) == [1, 4, 16]
    assert list(fitted(split(reference, 31))[0].edges) == [1, 4]
    assert not fitted(split(reference, 1))[0].edges


def test_data_of_short_series_have_no_number_and_are_told_how_long_they_must_be(ou):
    reference = ou(1, n_frames=6400)
    short, enough = split(ou(2, n_frames=6400), 100), split(ou(2, n_frames=6400), 128)
    metric, _ = fitted(reference, short, enough)
    here, there, longer = (total(metric, data) for data in (reference, short, enough))
    np.testing.assert_array_equal(np.isnan(metric.evaluate(here, there)[0]), [False, False, False, True])
    assert np.isfinite(metric.evaluate(here, longer)).all()
    missing = metric.missing(3, here[0], there[0])
    assert missing.reason == "its series are shorter than 128 frames"
    assert not missing.conclusive
    np.testing.assert_array_equal(np.isnan(metric.evaluate(here, np.concatenate([there, here]))[:, 3]), [True, False])


def test_angles_move_the_short_way(torsions):
    """Steps of 0.5 rad across the seam read like those that do not cross it."""
    turning = (0.5 * np.arange(1000)[:, None] + [[0.0, 1.0]] + np.pi) % (2 * np.pi) - np.pi
    reference = FeatureTrajectories([turning], torsions)
    unwrapped = FeatureTrajectories([0.5 * np.arange(1000)[:, None] + [[0.0, 1.0]]], torsions)
    metric, _ = fitted(reference, unwrapped)
    assert max(abs(edges).max() for edges in metric.edges.values()) <= np.pi + 1e-3
    assert np.ptp(metric.edges[1]) < 1.01


@pytest.mark.parametrize("process", ["ou", "wells"])
def test_the_order_of_frames_matters(process, request):
    data = request.getfixturevalue(process)(1)
    shuffled = FeatureTrajectories([np.random.default_rng(1).permutation(data.values[0])], data.schema)
    metric, _ = fitted(data, shuffled)
    assert metric.evaluate(total(metric, data), total(metric, shuffled))[0, 0] > 0.05


def test_figures_say_the_number_of_frames(ou):
    figures = fitted(ou(1))[0].figures
    assert [figure.name for figure in figures] == [f"displacement JSD, k = {steps}" for steps in STEPS]
    assert "over 1 frame is" in figures[0].meaning
    assert "over 4 frames is" in figures[1].meaning
