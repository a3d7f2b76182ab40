import MDAnalysis
import numpy as np
import pytest

from openmm_trajgan.backmap import Backmapper, Identity
from openmm_trajgan.errors import InputError
from openmm_trajgan.schema import FeatureSchema


class Features:
    """As much of a featurizer as a backmapper of coordinates needs."""

    def __init__(self, schema):
        self.schema = schema


def coordinates(*names, kind="position", units="nm", atoms=()):
    n = len(names)
    return Features(FeatureSchema(names=names, units=(units,) * n, periods=(None,) * n, kinds=(kind,) * n, atoms=atoms))


@pytest.mark.parametrize("kind", ["position", "cartesian"])
def test_axis_by_name(kind):
    identity = Identity().fit(coordinates("z 1", "x 1", kind=kind, atoms=((0,), (0,))))
    assert isinstance(identity, Backmapper)
    positions = identity.backmap([[3.0, 1.0], [6.0, 4.0]], rng=np.random.default_rng(0)).positions
    np.testing.assert_array_equal(positions, np.array([[[1.0, 0.0, 3.0]], [[4.0, 0.0, 6.0]]], dtype=np.float32))
    assert positions.dtype == np.float32


@pytest.mark.parametrize(
    "features",
    [
        coordinates("q"),
        coordinates("x 1", "x 2"),
        coordinates("x 1", "y 2", atoms=((0,), (1,))),
        coordinates("x", "y", kind="distance"),
    ],
)
def test_not_one_particle(features):
    with pytest.raises(InputError, match="expected the coordinates x, y, z of one particle, found"):
        Identity().fit(features)


def test_other_units():
    with pytest.raises(InputError, match="expected coordinates in nm, found A; convert"):
        Identity().fit(coordinates("x", units="A"))


def test_reference_of_more_atoms(md):
    with pytest.raises(InputError, match="the reference has 22 atoms; leave out reference and topology, or"):
        Identity().fit(coordinates("x"), md)
    Identity().fit(coordinates("x"), MDAnalysis.Universe.empty(1))


def test_wrong_number_of_features():
    with pytest.raises(InputError, match=r"expected features \(n_frames, 2\), found \(2,\)"):
        Identity().fit(coordinates("x", "y")).backmap([1.0, 2.0], rng=np.random.default_rng(0))
