import dataclasses

import mdtraj
import numpy as np
import openmm.unit
import pytest

from openmm_trajgan.errors import InputError
from openmm_trajgan.features import Distances
from openmm_trajgan.features.base import feature_names, index_array, reference_array
from openmm_trajgan.features.topology import as_mdtraj, residue_labels


def test_positions_with_a_unit_are_refused_rather_than_read_as_nm():
    positions = openmm.unit.Quantity(np.zeros((2, 3)), openmm.unit.angstrom)
    with pytest.raises(InputError, match=r"found a quantity; pass \.value_in_unit\(unit\.nanometer\)"):
        Distances([[0, 1]])(positions)
    with pytest.raises(InputError, match="box: expected plain numbers"):
        Distances([[0, 1]])(np.zeros((2, 3)), openmm.unit.Quantity(np.eye(3), openmm.unit.angstrom))


@pytest.mark.parametrize(
    "box",
    [
        np.zeros((3, 3)),
        -np.eye(3),
        np.full((3, 3), np.nan),
        np.diag([1.0, np.inf, 1.0]),
        [[0.0, 3.0, 0.0], [3.0, 0.0, 0.0], [0.0, 0.0, 3.0]],
        [[3.0, 1.0, 0.0], [0.0, 3.0, 0.0], [0.0, 0.0, 3.0]],
    ],
    ids=["zero", "negative", "nan", "infinite", "left-handed", "rotated"],
)
def test_a_box_that_openmm_could_not_have_is_refused(box):
    with pytest.raises(InputError, match=r"a along x, b in the xy plane .* pass None for a system without periodic boundaries"):
        Distances([[0, 1]])(np.zeros((2, 3)), box)


def test_a_box_with_the_rounding_of_a_trajectory_file_is_accepted():
    box = np.array([[3, 1e-7, -1e-7], [0.5, 3, 1e-7], [0.5, 0.5, 3]], dtype=np.float32)
    assert Distances([[0, 1]])([[0.0, 0.0, 0.0], [0.5, 0.5, 3.1]], box)[0] == pytest.approx(0.1, abs=1e-5)


def test_what_a_featurizer_is_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Distances([[0, 1]]).schema = None


@pytest.mark.parametrize(
    ("atoms", "message"),
    [
        ([0, 1], r"expected shape \(n_pairs, 2\) with at least one row, found \(2,\)"),
        ([[0, 1, 2]], r"found \(1, 3\)"),
        ([[0, 1], [0]], "found rows of different lengths"),
        (np.empty((0, 2), dtype=int), r"found \(0, 2\)"),
        ([[0.0, 1.0]], "expected integers counted from 0, found float64"),
        ([[True, False]], "expected integers counted from 0, found bool"),
        ([[0, -1]], "expected numbers counted from 0, found -1"),
        ([[0, 1], [7, 7]], r"found one twice in \[7, 7\]"),
    ],
)
def test_wrong_indices_are_refused(atoms, message):
    with pytest.raises(InputError, match=message):
        index_array(atoms, "(n_pairs, 2)", 2)


def test_an_atom_named_twice_in_a_list_is_refused():
    with pytest.raises(InputError, match="one twice in 5"):
        index_array([5, 3, 5], "(n_atoms,)")


def test_one_name_per_feature_and_each_once():
    with pytest.raises(InputError, match="expected one text per feature, found the single text 'phi'"):
        feature_names("phi")
    with pytest.raises(InputError, match="found 'a' more than once"):
        feature_names(["a", "b", "a"])
    with pytest.raises(InputError, match="found 2 names for 1 features"):
        Distances([[0, 1]], names=["a", "b"])


def test_a_reference_must_be_one_finite_structure():
    with pytest.raises(InputError, match=r"found \(1, 4, 3\)"):
        reference_array(np.zeros((1, 4, 3)))
    with pytest.raises(InputError, match="expected finite numbers, found nan"):
        reference_array([[0.0, 0.0, np.nan]])


def test_topologies_of_both_libraries_are_understood(dipeptide, two_chains):
    assert as_mdtraj(two_chains) is two_chains
    assert as_mdtraj(dipeptide).n_atoms == 16
    with pytest.raises(InputError, match=r"found Trajectory; pass its \.topology if it has one"):
        as_mdtraj(mdtraj.Trajectory(np.zeros((1, two_chains.n_atoms, 3)), two_chains))


def test_labels_say_no_more_than_they_must(two_chains):
    residues = list(two_chains.residues)
    assert residue_labels(residues[:2]) == ["10", "11"]
    assert residue_labels([residues[0], residues[0]]) == ["10", "10"]
    assert residue_labels([residues[0], residues[5]]) == ["A:10", "B:10"]
    residues[1].resSeq = 10  # as an insertion code, which mdtraj does not keep
    assert residue_labels(residues[:2]) == ["#0", "#1"]
    for chain in two_chains.chains:
        chain.chain_id = None
    assert residue_labels([residues[0], residues[5]]) == ["0:10", "1:10"]
