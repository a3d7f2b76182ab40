import mdtraj
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from openmm_trajgan.errors import InputError
from openmm_trajgan.features import CentroidDistance, LigandDisplacement

REFERENCE = np.random.default_rng(0).normal((3.0, -2.0, 5.0), 0.5, size=(16, 3))
LIGAND, PROTEIN = [3, 8], [0, 1, 2, 5, 9, 15]


def test_distance_is_that_of_the_means(positions):
    expected = np.linalg.norm(positions[:, [1, 4, 7]].mean(axis=1) - positions[:, [2, 3]].mean(axis=1), axis=1)
    np.testing.assert_allclose(CentroidDistance([1, 4, 7], [2, 3])(positions)[:, 0], expected, rtol=1e-5)


def test_motion_of_the_whole_is_no_displacement():
    rotations = Rotation.random(7, rng=np.random.default_rng(1)).as_matrix()
    moved = REFERENCE @ rotations + np.random.default_rng(2).normal(scale=10, size=(7, 1, 3))
    np.testing.assert_allclose(LigandDisplacement(REFERENCE, LIGAND, PROTEIN)(moved), 0, atol=1e-5)


def test_displacement_is_measured_in_the_frame_of_the_protein(positions):
    superposed = mdtraj.Trajectory(positions, None).superpose(mdtraj.Trajectory(REFERENCE, None), atom_indices=PROTEIN).xyz
    expected = np.linalg.norm(superposed[:, LIGAND].mean(axis=1) - REFERENCE[LIGAND].mean(axis=0), axis=1)
    np.testing.assert_allclose(LigandDisplacement(REFERENCE, LIGAND, PROTEIN)(positions)[:, 0], expected, atol=1e-5)


def test_schema_names_the_atoms():
    schema = LigandDisplacement(REFERENCE, LIGAND, PROTEIN, name="away").schema
    assert (schema.names, schema.units, schema.kinds) == (("away",), ("nm",), ("ligand_displacement",))
    assert schema.atoms == ((*LIGAND, *PROTEIN),)
    assert CentroidDistance([4], [2, 1]).schema.atoms == ((4, 2, 1),)


def test_atoms_must_fit():
    with pytest.raises(InputError, match="ligand: index 16 is needed, found 16 atoms in the reference positions"):
        LigandDisplacement(REFERENCE, [16], PROTEIN)
    with pytest.raises(InputError, match="expected different atoms, found 5 in both"):
        LigandDisplacement(REFERENCE, [3, 5], PROTEIN)
