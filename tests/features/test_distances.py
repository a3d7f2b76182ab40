import mdtraj
import numpy as np
import pytest

from openmm_trajgan.errors import InputError
from openmm_trajgan.features import Distances

ANGLES = {"orthorhombic": (90.0, 90.0, 90.0), "triclinic": (75.0, 80.0, 85.0)}


def test_distances_equal_those_of_mdtraj(positions):
    pairs = np.stack(np.triu_indices(16, 1), axis=1)
    expected = mdtraj.compute_distances(mdtraj.Trajectory(positions, None), pairs, opt=False)
    np.testing.assert_allclose(Distances(pairs)(positions), expected, atol=1e-6)


@pytest.mark.parametrize("angles", ANGLES.values(), ids=ANGLES.keys())
def test_nearest_images_equal_those_of_mdtraj(angles, positions):
    pairs = np.stack(np.triu_indices(16, 1), axis=1)
    trajectory = mdtraj.Trajectory(
        positions, None, unitcell_lengths=np.tile([1.2, 1.3, 1.4], (7, 1)), unitcell_angles=np.tile(angles, (7, 1))
    )
    expected = mdtraj.compute_distances(trajectory, pairs, opt=False)
    distances = Distances(pairs)
    np.testing.assert_allclose(distances(positions, trajectory.unitcell_vectors), expected, atol=2e-6)
    assert (distances(positions) - expected).max() > 0.5


def test_the_schema_says_lengths():
    schema = Distances([[4, 2]]).schema
    assert (schema.names, schema.units, schema.periods) == (("distance 4-2",), ("nm",), (None,))
    assert (schema.kinds, schema.atoms) == (("distance",), ((4, 2),))


def test_every_pair_between_two_selections_stands_once(two_chains):
    distances = Distances.between(two_chains, "chainid 0 and name CA and resid < 3", [1, 5, 6])
    assert distances.schema.atoms == ((1, 5), (1, 6), (1, 15), (5, 6), (5, 15), (6, 15))
    assert distances.schema.names[:2] == ("distance 10:CA-11:N", "distance 10:CA-11:CA")


def test_alpha_carbons_are_apart_in_a_chain_and_all_between_chains(two_chains):
    schema = Distances.alpha_carbons(two_chains, min_separation=3).schema
    assert schema.names[:3] == ("distance A:10:CA-A:13:CA", "distance A:10:CA-A:14:CA", "distance A:10:CA-B:10:CA")
    assert schema.n_features == 3 + 3 + 25  # two chains of five residues, and all between them; no calcium
    assert all(two_chains.atom(atom).residue.name != "CA" for pair in schema.atoms for atom in pair)


def test_a_small_peptide_has_no_distant_alpha_carbons(dipeptide):
    with pytest.raises(InputError, match="at least 3 residues apart, found no such pair among 1"):
        Distances.alpha_carbons(dipeptide)


def test_atoms_with_the_same_name_are_named_by_index():
    topology = mdtraj.Topology()
    residue = topology.add_residue("LIG", topology.add_chain())
    for _ in range(3):
        topology.add_atom("C", mdtraj.element.carbon, residue)
    assert Distances.between(topology, [0], "index > 0").schema.names == ("distance 0-1", "distance 0-2")


@pytest.mark.parametrize(
    ("selection", "message"),
    [
        ("name XX", "'name XX': expected at least one atom, found none"),
        ("nonsense (", "expected the selection language of mdtraj"),
        ([99], "expected atom indices below 16, found 99"),
        ([5], "expected two different atoms, found only atom 5"),
    ],
)
def test_wrong_selections_are_refused(selection, message, dipeptide):
    with pytest.raises(InputError, match=message):
        Distances.between(dipeptide, [5], selection)
