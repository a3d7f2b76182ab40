import MDAnalysis
import numpy as np
import pytest

from openmm_trajgan.backmap import InternalCoordinates
from openmm_trajgan.backmap.hydrogens import number_alike


@pytest.fixture
def mixed(reference):
    """Every second frame with two hydrogens of CB exchanged, as if the hydrogens had been added anew."""
    frames = reference.copy()
    frames[1::2, [12, 13]] = frames[1::2, [13, 12]]
    return frames


def test_hydrogens_are_numbered_as_in_the_first_frame(md, mixed, reference):
    structures = np.ascontiguousarray(mixed.transpose(1, 2, 0), dtype=np.float64)
    number_alike(structures, md)
    np.testing.assert_array_equal(structures, reference.transpose(1, 2, 0))


def test_two_hydrogens_beside_two_other_atoms():
    """Of a CH2 group, the second frame exchanged; a planar NH2 group can turn and stays as it is."""
    group = MDAnalysis.Universe.empty(5, trajectory=True)
    group.add_TopologyAttr("elements", ["C", "H", "N", "H", "O"])
    group.add_TopologyAttr("bonds", [(0, 1), (0, 2), (0, 3), (0, 4)])
    frame = np.array([[0, 0, 0], [1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1.0]])
    structures = np.stack([frame, frame[[0, 3, 2, 1, 4]]], axis=2)
    number_alike(structures, group)
    np.testing.assert_array_equal(structures[..., 1], frame)
    planar = MDAnalysis.Universe.empty(4, trajectory=True)
    planar.add_TopologyAttr("elements", ["N", "H", "C", "H"])
    planar.add_TopologyAttr("bonds", [(0, 1), (0, 2), (0, 3)])
    structures = np.stack([frame[:4], frame[[0, 3, 2, 1]]], axis=2)
    number_alike(structures, planar)
    np.testing.assert_array_equal(structures[..., 1], frame[[0, 3, 2, 1]])


def test_structures_do_not_depend_on_it(topology, featurizer, md, mixed, angles):
    built = [
        InternalCoordinates("conditional").fit(featurizer, reference).backmap(angles, rng=np.random.default_rng(0)).positions
        for reference in (md, MDAnalysis.Universe(topology, 10 * mixed))
    ]
    np.testing.assert_allclose(*built, atol=1e-6)
