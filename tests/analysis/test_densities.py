from functools import partial

import numpy as np
import pytest

from openmm_trajgan.analysis.blocks import Blocks
from openmm_trajgan.analysis.densities import Densities, Observable, equal_bins
from openmm_trajgan.analysis.distributions import columns, jensen_shannon_divergence
from openmm_trajgan.schema import FeatureTrajectories


def picked(schema, names, frames):
    return columns(FeatureTrajectories([frames], schema), names)


def densities(sets, choices):
    """Densities of features or pairs over the range of all sets."""
    blocks, schema = [Blocks.whole(data) for data in sets], sets[0].schema
    return Densities(tuple(Observable.over(", ".join(names), partial(picked, schema, names), blocks) for names in choices))


def total(metric, data, length=500):
    return metric.tally(Blocks.cut(data, length)).sum(axis=0, keepdims=True)


def test_divergences_are_those_of_the_histograms(wells):
    reference, data = wells(1, n_frames=3000), wells(2, n_frames=2000, shift=0.3)
    choices = [("phi",), ("psi",), ("phi", "psi"), ("psi", "phi")]
    metric = densities((reference, data), choices)
    found = metric.evaluate(total(metric, reference), total(metric, data))[0]
    expected = [jensen_shannon_divergence(reference, data, names if len(names) > 1 else names[0]) for names in choices]
    np.testing.assert_allclose(found, expected, atol=2e-4)  # a frame on an edge may round to either bin
    assert min(expected[:1] + expected[2:]) > 0.05


def test_bins_of_a_pair_and_of_one_coordinate_agree(wells):
    """Summed over the other coordinate, the joint histogram is that of 50 bins of either."""
    data = wells(1, n_frames=2000)
    metric = densities((data,), [("phi", "psi")])
    (joint,) = total(metric, data)
    joint = joint.reshape(50, 50)
    for axis, name in ((1, "phi"), (0, "psi")):
        expected = np.histogram(columns(data, name), bins=50)[0]
        assert np.abs(joint.sum(axis=axis) - expected).sum() <= 4


def test_every_frame_of_every_block_is_counted(wells):
    data = wells(1, n_frames=2000)
    metric = densities((data,), [("phi",), ("phi", "psi")])
    tally = metric.tally(Blocks.cut(data, 300))
    assert tally.shape == (6, 100 + 2500)
    sizes = Blocks.cut(data, 300).sizes
    np.testing.assert_array_equal(tally[:, :100].sum(axis=1), sizes)
    np.testing.assert_array_equal(tally[:, 100:].sum(axis=1), sizes)


def test_bins_span_the_union_range(ou):
    one, other = ou(1), ou(2, mean=5.0)
    (observable,) = densities((one, other), [("x",)]).observables
    everything = np.concatenate([*one.values, *other.values])
    assert (observable.edges[0][0], observable.edges[0][-1]) == (everything.min(), everything.max())
    assert observable.n_bins == 100


def test_images_of_an_angle_are_the_same_to_all_bins(wells):
    data = wells(1, n_frames=2000)
    moved = FeatureTrajectories([data.values[0] + np.float32(2 * np.pi)], data.schema)
    metric = densities((data,), [("phi",), ("psi",), ("phi", "psi")])
    assert metric.evaluate(total(metric, data), total(metric, moved)).max() < 1e-3


def test_equal_bins_are_those_of_numpy_and_the_outermost_are_open():
    edges = np.linspace(-1.0, 3.0, 101)
    values = np.random.default_rng(1).uniform(-1, 3, 5000)
    np.testing.assert_array_equal(equal_bins(values, edges), np.searchsorted(edges, values, side="right") - 1)
    assert equal_bins(np.array([-1.0, 3.0, -9.0, 9.0]), edges).tolist() == [0, 99, 0, 99]
    assert equal_bins(np.float32(values), edges).dtype == np.int64


def test_different_and_equal_distributions_read_ln2_and_0(ou):
    near, far = ou(1), ou(2, mean=100.0)
    metric = densities((near, far), [("x",)])
    assert metric.evaluate(total(metric, near), total(metric, far))[0, 0] == pytest.approx(np.log(2))
    assert metric.evaluate(total(metric, near), total(metric, near))[0, 0] == 0


def test_figures_are_named_after_the_observables(wells):
    one, pair = densities((wells(1),), [("phi",), ("phi", "psi")]).figures
    assert (one.name, pair.name) == ("JSD phi", "JSD phi, psi")
    assert "joint" in pair.meaning
    assert "joint" not in one.meaning
    assert {one.group, pair.group} == {"distribution"}
