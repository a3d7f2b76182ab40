import numpy as np
import pytest
from scipy.signal import lfilter

from openmm_trajgan.analysis.slowest import slowest_process
from openmm_trajgan.schema import FeatureSchema, FeatureTrajectories


def test_slowest_of_two_features():
    """A jump process of t2 = 50 frames beside fast noise."""
    rng = np.random.default_rng(1)
    jumps = rng.random((4, 20_000)) < (1 - np.exp(-1 / 50)) / 2
    wells = np.cumsum(jumps, axis=1) % 2
    fast = lfilter([1.0], [1.0, -0.1], rng.normal(size=wells.shape), axis=1)
    schema = FeatureSchema(names=("x", "y"), units=("", ""), periods=(None, None))
    both = FeatureTrajectories(np.stack([fast, wells + 0.1 * fast], axis=-1), schema)
    # 1600 relaxation times: a standard error of the time of some 3.5 %
    assert slowest_process(both) == pytest.approx(50, rel=0.12)


def test_nothing_relaxes_in_one_value():
    schema = FeatureSchema(names=("x",), units=("",), periods=(None,))
    assert slowest_process(FeatureTrajectories([np.zeros((100, 1))], schema)) is None
