import mdtraj
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from openmm_trajgan.errors import InputError
from openmm_trajgan.features import AlignedCartesian

REFERENCE = np.random.default_rng(0).normal((3.0, -2.0, 5.0), 0.5, size=(16, 3))


def test_rotation_and_translation_are_undone(positions):
    rotations = Rotation.random(7, rng=np.random.default_rng(1)).as_matrix()
    moved = REFERENCE @ rotations + np.random.default_rng(2).normal(scale=10, size=(7, 1, 3))
    np.testing.assert_allclose(AlignedCartesian(REFERENCE)(moved).reshape(7, 16, 3), np.tile(REFERENCE, (7, 1, 1)), atol=1e-5)


def test_positions_equal_those_superposed_by_mdtraj(positions):
    atoms = [1, 5, 6, 9, 12]
    superposed = mdtraj.Trajectory(positions, None).superpose(mdtraj.Trajectory(REFERENCE, None), atom_indices=atoms)
    expected = superposed.xyz[:, atoms].reshape(7, -1)
    np.testing.assert_allclose(AlignedCartesian(REFERENCE, atoms)(positions), expected, atol=1e-5)


def test_a_mirror_image_is_not_mirrored_back():
    mirrored = REFERENCE * [1, 1, -1]
    aligned = AlignedCartesian(REFERENCE)(mirrored).reshape(16, 3)
    handedness = [np.linalg.det(frame[1:4] - frame[0]) for frame in (mirrored, aligned.astype(np.float64))]
    assert handedness[0] == pytest.approx(handedness[1], abs=1e-5)
    assert abs(aligned - REFERENCE).max() > 0.1


def test_flat_molecules_are_rotated_not_reflected():
    flat = REFERENCE[:4] * [1, 1, 0]
    aligned = AlignedCartesian(flat)(flat[:, [1, 0, 2]] + 1).reshape(4, 3)
    np.testing.assert_allclose(aligned, flat, atol=1e-5)


def test_columns_are_named_by_axis_and_atom():
    schema = AlignedCartesian(REFERENCE, [5, 2, 9]).schema
    assert schema.names[:4] == ("x 5", "y 5", "z 5", "x 2")
    assert schema.atoms[:4] == ((5,), (5,), (5,), (2,))
    assert (set(schema.kinds), set(schema.units), set(schema.periods)) == ({"cartesian"}, {"nm"}, {None})


def test_the_reference_is_copied(positions):
    reference = REFERENCE.copy()
    aligned = AlignedCartesian(reference)
    before = aligned(positions)
    reference += 1
    np.testing.assert_array_equal(aligned(positions), before)


def test_atoms_must_fit_the_reference():
    with pytest.raises(InputError, match="atoms: index 16 is needed, found 16 atoms in the reference positions"):
        AlignedCartesian(REFERENCE, [0, 1, 16])
    with pytest.raises(InputError, match="expected at least 3 to fix a rotation, found 2"):
        AlignedCartesian(REFERENCE, [0, 1])
