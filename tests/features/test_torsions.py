import math

import mdtraj
import numpy as np
import pytest

from openmm_trajgan.errors import InputError
from openmm_trajgan.features import Torsions


@pytest.mark.parametrize("lengths", [None, (1.0, 1.2, 1.4)], ids=["no box", "box"])
def test_angles_equal_those_of_mdtraj(lengths, positions):
    indices = np.random.default_rng(2).permuted(np.tile(np.arange(16), (20, 1)), axis=1)[:, :4]
    trajectory = mdtraj.Trajectory(positions, None)
    if lengths:
        trajectory.unitcell_lengths, trajectory.unitcell_angles = np.tile(lengths, (7, 1)), np.full((7, 3), 90.0)
    expected = mdtraj.compute_dihedrals(trajectory, indices, opt=False)
    difference = Torsions(indices)(positions, np.diag(lengths) if lengths else None) - expected
    np.testing.assert_allclose(np.sin(difference / 2), 0, atol=5e-5)


@pytest.mark.parametrize("angle", [-3.0, -1.0, 0.0, 0.5, 2.0, np.pi])
def test_the_sign_is_that_of_iupac(angle):
    # looking along +z from the second to the third atom, the bond to the fourth is turned clockwise by the angle
    atoms = [[1.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 1.0], [math.cos(angle), math.sin(angle), 1.0]]
    assert Torsions([[0, 1, 2, 3]])(atoms)[0] == pytest.approx(angle, abs=1e-6)


def test_trans_is_plus_pi():
    minus_pi = -np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [1.0, -1.0, 0.0]])
    assert Torsions([[0, 1, 2, 3]])(minus_pi)[0] == np.float32(np.pi)


def test_atoms_on_a_line_have_no_torsion():
    line = np.arange(4.0)[:, None] * [0.1, 0.0, 0.0]
    assert np.isnan(Torsions([[0, 1, 2, 3]])(line)[0])


def test_the_schema_says_angles():
    schema = Torsions([[0, 1, 2, 3]], names=["hinge"]).schema
    assert (schema.names, schema.units, schema.kinds, schema.atoms) == (("hinge",), ("rad",), ("torsion",), ((0, 1, 2, 3),))
    assert schema.periods == (2 * math.pi,)


def test_the_same_torsion_twice_is_refused():
    with pytest.raises(InputError, match="found 'torsion 0-1-2-3' more than once"):
        Torsions([[0, 1, 2, 3], [0, 1, 2, 3]])


def test_backbone_of_an_openmm_topology(dipeptide):
    schema = Torsions.backbone(dipeptide).schema
    assert schema.names == ("phi 2", "psi 2")
    assert schema.atoms == ((1, 3, 5, 8), (3, 5, 8, 10))  # C-N-CA-C and N-CA-C-N


def test_backbone_runs_by_residue_then_phi_psi_omega(two_chains):
    one_chain = two_chains.subset(range(27))
    names = Torsions.backbone(one_chain, omega=True).schema.names
    assert names[:5] == ("psi 10", "omega 10", "phi 11", "psi 11", "omega 11")
    assert names[-1] == "phi 14"
    omega = Torsions.backbone(one_chain, omega=True).schema.atoms[1]
    assert [str(one_chain.atom(atom)) for atom in omega] == ["ALA10-CA", "ALA10-C", "LYS11-N", "LYS11-CA"]


def test_chains_are_named_where_numbers_clash(two_chains):
    names = Torsions.backbone(two_chains).schema.names
    assert names[:3] == ("psi A:10", "phi A:11", "psi A:11")
    assert len(names) == 16


def test_all_side_chain_torsions(two_chains):
    schema = Torsions.chi(two_chains).schema
    assert schema.names == tuple(f"chi{order} {chain}:11" for chain in "AB" for order in (1, 2, 3, 4))
    assert [two_chains.atom(atom).name for atom in schema.atoms[3]] == ["CG", "CD", "CE", "NZ"]


def test_a_system_without_peptide_is_refused(two_chains, dipeptide):
    with pytest.raises(InputError, match="expected phi, psi torsions of a peptide, found none in 1 residues"):
        Torsions.backbone(two_chains.subset([two_chains.n_atoms - 1]))
    with pytest.raises(InputError, match=r"chi1, .* give the atoms yourself, Torsions\(\[\[i, j, k, l\], \.\.\.\]\)"):
        Torsions.chi(dipeptide)
