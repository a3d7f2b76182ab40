import MDAnalysis
import numpy as np
import pytest
from MDAnalysis.lib.distances import calc_angles, calc_bonds, calc_dihedrals
from openmm import app

from openmm_trajgan.backmap.z_matrix import ZMatrix
from openmm_trajgan.errors import InputError


def chain_of_residues(*residues, bonds=True):
    """A topology of named residues with the given atom names, one chain."""
    topology = app.Topology()
    chain = topology.addChain("A")
    for name, atoms in residues:
        residue = topology.addResidue(name, chain)
        for atom in atoms.split():
            topology.addAtom(atom, app.Element.getBySymbol(atom[0]), residue)
    if bonds:
        topology.createStandardBonds()
    return topology


def universe_of(topology):
    return MDAnalysis.Universe(topology, np.zeros((1, topology.getNumAtoms(), 3), dtype=np.float32))


ACE, NME = ("ACE", "H1 CH3 H2 H3 C O"), ("NME", "N H C H1 H2 H3")
ALA, PRO = ("ALA", "N H CA HA CB HB1 HB2 HB3 C O"), ("PRO", "N CA CB CG CD C O")


@pytest.fixture
def torsions(schema):
    return dict(zip(schema.names, schema.atoms, strict=True))


@pytest.fixture
def frames(reference):
    return np.ascontiguousarray(reference.transpose(1, 2, 0), dtype=np.float64)


def bond_angles(topology):
    neighbours = [[] for _ in range(topology.getNumAtoms())]
    for bond in topology.bonds():
        neighbours[bond[0].index].append(bond[1].index)
        neighbours[bond[1].index].append(bond[0].index)
    return [(a, centre, b) for centre, around in enumerate(neighbours) for a in around for b in around if a < b]


def test_every_atom_is_placed_once_and_after_its_references(topology, torsions):
    z_matrix = ZMatrix.from_universe(universe_of(topology), torsions)
    placed = set(z_matrix.root.tolist())
    for atoms in z_matrix.levels:
        assert set(z_matrix.references[atoms].ravel().tolist()) <= placed
        assert not placed & set(atoms.tolist())
        placed |= set(atoms.tolist())
    assert placed == set(range(22))


def test_round_trip_of_md_frames(topology, torsions, frames):
    z_matrix = ZMatrix.from_universe(universe_of(topology), torsions)
    np.testing.assert_allclose(z_matrix.place(z_matrix.measure(frames)), frames, rtol=0, atol=1e-6)  # 1e-6 nm = 1e-5 Å


def test_turning_sets_the_torsions_and_nothing_else(topology, torsions, frames):
    z_matrix = ZMatrix.from_universe(universe_of(topology), torsions)
    internal = z_matrix.measure(frames)
    wanted = np.random.default_rng(0).uniform(-np.pi, np.pi, (2, frames.shape[-1]))
    z_matrix.turn(internal, wanted)
    turned = z_matrix.place(internal)

    def over_frames(function, positions, atoms):
        return function(*(np.ascontiguousarray(positions[atom].T) for atom in atoms))

    for quadruple, values in zip(torsions.values(), wanted, strict=True):
        np.testing.assert_allclose(over_frames(calc_dihedrals, turned, quadruple), values, atol=1e-6)
    for bond in topology.bonds():
        pair = bond[0].index, bond[1].index
        np.testing.assert_allclose(over_frames(calc_bonds, turned, pair), over_frames(calc_bonds, frames, pair), atol=1e-6)
    for triple in bond_angles(topology):
        np.testing.assert_allclose(over_frames(calc_angles, turned, triple), over_frames(calc_angles, frames, triple), atol=1e-6)
    omega = (8, 14, 16, 18)
    np.testing.assert_allclose(over_frames(calc_dihedrals, turned, omega), over_frames(calc_dihedrals, frames, omega), atol=1e-6)


def test_torsions_may_be_given_from_either_end(topology, torsions, frames):
    forward = ZMatrix.from_universe(universe_of(topology), torsions)
    backward = ZMatrix.from_universe(universe_of(topology), {name: atoms[::-1] for name, atoms in torsions.items()})
    np.testing.assert_array_equal(forward.references, backward.references)
    np.testing.assert_array_equal(forward.placed_by, backward.placed_by)


def test_molecule_without_end_atoms():
    """Two triangles joined by a bond, whose torsion starts and ends inside the rings."""
    topology = chain_of_residues(("X", "C1 C2 C3 C4 C5 C6"), bonds=False)
    atoms = list(topology.atoms())
    for one, two in ((0, 1), (1, 2), (0, 2), (2, 3), (3, 4), (4, 5), (3, 5)):
        topology.addBond(atoms[one], atoms[two])
    positions = np.random.default_rng(0).normal(size=(6, 3, 4))
    z_matrix = ZMatrix.from_universe(universe_of(topology), {"twist": (0, 2, 3, 4)})
    internal = z_matrix.measure(positions)
    z_matrix.turn(internal, np.full((1, 4), 0.7))
    turned = z_matrix.place(internal)
    np.testing.assert_allclose(calc_dihedrals(*(np.ascontiguousarray(turned[a].T) for a in (0, 2, 3, 4))), 0.7, atol=1e-6)
    closure = np.linalg.norm(positions[4] - positions[5], axis=0)
    np.testing.assert_allclose(np.linalg.norm(turned[4] - turned[5], axis=0), closure)


def test_no_bonds_at_all():
    topology = chain_of_residues(ACE, ALA, NME, bonds=False)
    with pytest.raises(InputError, match=r"bonds of 22 atoms.*found none; call topology\.createStandardBonds\(\) in OpenMM"):
        ZMatrix.from_universe(universe_of(topology), {"phi": (4, 6, 8, 14)})


def test_bonds_missing_inside_a_residue():
    topology = chain_of_residues(("LIG", "C1 C2 C3 C4"), ALA)
    with pytest.raises(InputError, match=r"missing inside residue LIG1 .*createStandardBonds\(\)"):
        ZMatrix.from_universe(universe_of(topology), {"twist": (0, 1, 2, 3)})


def test_two_molecules():
    topology = chain_of_residues(ACE, ALA, NME, ACE, ALA, NME)
    with pytest.raises(InputError, match=r"expected one molecule, found 2 fragments .*22, 22.*one molecule at a time"):
        ZMatrix.from_universe(universe_of(topology), {"phi": (4, 6, 8, 14)})


def test_torsion_about_a_ring_bond():
    topology = chain_of_residues(ACE, PRO, NME)
    with pytest.raises(InputError, match=r"'phi 2' turns about the bond PRO2-N to PRO2-CA, which is part of a ring"):
        ZMatrix.from_universe(universe_of(topology), {"phi 2": (4, 6, 7, 11)})
    assert ZMatrix.from_universe(universe_of(topology), {"psi 2": (6, 7, 11, 13)}).placed_by.size == 1


def test_torsion_that_does_not_follow_bonds(topology):
    with pytest.raises(InputError, match=r"four atoms bonded in a row, found no bond ACE1-C to ALA2-CA"):
        ZMatrix.from_universe(universe_of(topology), {"odd": (4, 8, 14, 16)})


@pytest.mark.parametrize("atoms", [(4, 6, 8), (4, 6, 8, 22), (-1, 6, 8, 14)])
def test_atoms_that_do_not_exist(topology, atoms):
    with pytest.raises(InputError, match=r"'phi': expected four atoms between 0 and 21, found"):
        ZMatrix.from_universe(universe_of(topology), {"phi": atoms})
