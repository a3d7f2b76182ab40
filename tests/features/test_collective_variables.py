import math

import mdtraj
import numpy as np
import pytest

from openmm_trajgan.errors import InputError
from openmm_trajgan.features import RMSD, CollectiveVariable, RadiusOfGyration

REFERENCE = np.random.default_rng(0).normal(scale=0.5, size=(16, 3))


def test_rmsd_equals_that_of_mdtraj(positions):
    atoms = [0, 3, 4, 9, 15]
    expected = mdtraj.rmsd(mdtraj.Trajectory(positions, None), mdtraj.Trajectory(REFERENCE, None), atom_indices=atoms)
    rmsd = RMSD(REFERENCE, atoms)
    np.testing.assert_allclose(rmsd(positions)[:, 0], expected, atol=1e-5)
    assert rmsd(REFERENCE + 5)[0] == pytest.approx(0, abs=1e-6)
    assert (rmsd.schema.names, rmsd.schema.atoms) == (("rmsd",), ((0, 3, 4, 9, 15),))
    assert RMSD(REFERENCE, name="ligand rmsd").schema.names == ("ligand rmsd",)


def test_radius_of_gyration_equals_that_of_mdtraj_for_equal_masses(positions):
    expected = mdtraj.compute_rg(mdtraj.Trajectory(positions, None))
    np.testing.assert_allclose(RadiusOfGyration(range(16))(positions)[:, 0], expected, rtol=1e-5)


def test_radius_of_gyration_is_taken_about_the_centre_of_mass(positions):
    # mdtraj weighs by mass but measures from the geometric centre, so the reference is the identity over pairs of atoms
    masses = np.random.default_rng(1).uniform(1, 32, 16)
    squares = np.square(positions[:, :, None] - positions[:, None]).sum(axis=-1)
    expected = np.sqrt((masses[:, None] * masses * squares).sum(axis=(1, 2)) / 2) / masses.sum()
    np.testing.assert_allclose(RadiusOfGyration(range(16), masses)(positions)[:, 0], expected, rtol=1e-6)


def test_masses_count_relative_to_each_other(positions):
    masses = np.arange(1.0, 17)
    np.testing.assert_allclose(
        RadiusOfGyration(range(16), masses)(positions), RadiusOfGyration(range(16), 7 * masses)(positions), rtol=1e-6
    )


@pytest.mark.parametrize(("masses", "found"), [([1.0], r"shape \(1,\)"), ([1.0, 0.0], "0 among them"), ([1.0, -1.0], "-1 among")])
def test_one_positive_mass_per_atom(masses, found):
    with pytest.raises(InputError, match=f"masses: expected 2 positive numbers, found {found}"):
        RadiusOfGyration([0, 1], masses)


def test_a_function_sees_each_frame_and_its_box(positions):
    seen = []

    def volume(frame, box):
        seen.append((frame, box))
        return 0.0 if box is None else np.linalg.det(box)

    variable = CollectiveVariable(volume, ["volume"], ["nm^3"])
    boxes = np.eye(3) * np.arange(1, 8)[:, None, None]
    np.testing.assert_allclose(variable(positions, boxes)[:, 0], np.arange(1, 8) ** 3, rtol=1e-6)
    assert variable(positions[0])[0] == 0
    assert seen[3][0].shape == (16, 3)
    np.testing.assert_array_equal(seen[3][0], positions[3])
    np.testing.assert_array_equal(seen[3][1], boxes[3])
    assert seen[-1][1] is None


def test_periods_reach_the_schema():
    schema = CollectiveVariable(lambda frame, box: (0.0, 1.0), ["a", "b"], ["rad", ""], [2 * math.pi, None]).schema
    assert (schema.periods, schema.units, schema.kinds) == ((2 * math.pi, None), ("rad", ""), ("custom", "custom"))


def test_a_function_that_returns_another_shape_is_named(positions):
    def three_numbers(frame, box):
        return frame[0]

    with pytest.raises(InputError, match=r"three_numbers: expected to return shape \(2,\), one number per name, found \(3,\)"):
        CollectiveVariable(three_numbers, ["a", "b"], ["", ""])(positions)
    with pytest.raises(InputError, match=r"expected to return shape \(1,\), one number per name, found \(3,\)"):
        CollectiveVariable(three_numbers, ["a"], [""])(positions)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((None, ["a"], [""]), "function: expected a callable of positions and box, found NoneType"),
        ((max, ["a", "b"], [""]), "found 2 names, 1 units and 2 periods"),
        ((max, ["a"], [""], [None, None]), "found 1 names, 1 units and 2 periods"),
        ((max, [], []), "found 0 names"),
        ((max, ["a"], "nm"), "units: expected one text per feature, found the single text 'nm'"),
        ((max, ["a"], ["rad"], [0.0]), "periods: expected positive numbers or None"),
    ],
)
def test_wrong_descriptions_are_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        CollectiveVariable(*arguments)
