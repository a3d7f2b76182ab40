import MDAnalysis
import numpy as np
import pytest
from MDAnalysis.analysis.rms import rmsd
from MDAnalysis.lib.distances import calc_angles, calc_bonds, calc_dihedrals
from openmm import app

from openmm_trajgan.backmap.z_matrix import ZMatrix, bond_graph, ring_bonds
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
ALA = ("ALA", "N H CA HA CB HB1 HB2 HB3 C O")


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
    n_placed, n_pivots = 3, 0
    for level in z_matrix.levels:
        assert np.max(level.references) < n_placed
        assert level.pivots.start == n_pivots
        n_pivots = level.pivots.stop
        for rows in level.siblings:
            assert rows.start == n_placed
            n_placed = rows.stop
    assert sorted(z_matrix.rows.tolist()) == list(range(22))
    assert n_placed == 22
    assert n_pivots == len(z_matrix.pivots)


def superposed(built, frames):
    """Largest RMSD of frames (n_atoms, 3, n_frames), nm."""
    pairs = zip(built.transpose(2, 0, 1), frames.transpose(2, 0, 1), strict=True)
    return max(rmsd(one, other, superposition=True) for one, other in pairs)


def test_round_trip_of_md_frames(topology, torsions, frames):
    z_matrix = ZMatrix.from_universe(universe_of(topology), torsions)
    assert superposed(z_matrix.place(*z_matrix.measure(frames)), frames) < 1e-6  # nm; that is 1e-5 Å


def test_a_mirror_image_stays_one(topology, torsions, frames):
    z_matrix = ZMatrix.from_universe(universe_of(topology), torsions)
    mirrored = frames * np.array([-1.0, 1.0, 1.0])[:, None]
    built = z_matrix.place(*z_matrix.measure(mirrored))
    assert superposed(built, mirrored) < 1e-6
    assert superposed(built, frames) > 0.01


def test_turning_sets_the_torsions_and_nothing_else(topology, torsions, frames):
    z_matrix = ZMatrix.from_universe(universe_of(topology), torsions)
    measured, arms = z_matrix.measure(frames)
    wanted = np.random.default_rng(0).uniform(-np.pi, np.pi, (2, frames.shape[-1]))
    measured[z_matrix.pivot_of_torsion] = wanted
    turned = z_matrix.place(measured, arms)

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


def test_torsions_of_pivots_are_torsions(topology, torsions, frames):
    z_matrix = ZMatrix.from_universe(universe_of(topology), torsions)
    measured, _ = z_matrix.measure(frames)
    for pivot, values in enumerate(measured):
        atoms = [*z_matrix.pivots[pivot], z_matrix.rows[z_matrix.primary[pivot]]]
        expected = calc_dihedrals(*(np.ascontiguousarray(frames[atom].T) for atom in atoms))
        np.testing.assert_allclose(np.exp(1j * values), np.exp(1j * expected), atol=1e-6)


def test_torsions_may_be_given_from_either_end(topology, torsions, frames):
    forward = ZMatrix.from_universe(universe_of(topology), torsions)
    backward = ZMatrix.from_universe(universe_of(topology), {name: atoms[::-1] for name, atoms in torsions.items()})
    np.testing.assert_array_equal(forward.pivots, backward.pivots)
    np.testing.assert_array_equal(forward.rows, backward.rows)


def bonded(*bonds, n_atoms):
    universe = MDAnalysis.Universe.empty(n_atoms, trajectory=True)
    universe.add_TopologyAttr("bonds", list(bonds))
    return universe


TRIANGLES = ((0, 1), (1, 2), (0, 2), (2, 3), (3, 4), (4, 5), (3, 5))


def test_molecule_without_end_atoms():
    """Two triangles joined by a bond, whose torsion starts and ends inside the rings."""
    positions = np.random.default_rng(0).normal(size=(6, 3, 4))
    z_matrix = ZMatrix.from_universe(bonded(*TRIANGLES, n_atoms=6), {"twist": (0, 2, 3, 4)})
    measured, arms = z_matrix.measure(positions)
    measured[z_matrix.pivot_of_torsion] = 0.7
    turned = z_matrix.place(measured, arms)
    np.testing.assert_allclose(calc_dihedrals(*(np.ascontiguousarray(turned[a].T) for a in (0, 2, 3, 4))), 0.7, atol=1e-6)
    closure = np.linalg.norm(positions[4] - positions[5], axis=0)
    np.testing.assert_allclose(np.linalg.norm(turned[4] - turned[5], axis=0), closure)


def test_ring_bonds_are_those_that_are_no_bridges():
    def pairs(*bonds, n_atoms):
        return {tuple(sorted(pair)) for pair in ring_bonds(bond_graph(bonded(*bonds, n_atoms=n_atoms)))}

    assert pairs(*TRIANGLES, n_atoms=6) == {(0, 1), (1, 2), (0, 2), (3, 4), (4, 5), (3, 5)}
    assert pairs((0, 1), (1, 2), (2, 3), n_atoms=4) == set()
    fused = [(0, 1), (1, 2), (2, 3), (3, 0), (2, 4), (4, 5), (5, 3), (5, 6)]  # two squares with a common edge, and a tail
    assert pairs(*fused, n_atoms=7) == {tuple(sorted(bond)) for bond in fused[:-1]}


@pytest.mark.parametrize("seed", range(5))
def test_any_tree_makes_a_round_trip(seed):
    """Random trees of 30 atoms with random positions: order of atoms, branching and depth do not matter."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(30)
    bonds = [(order[atom], order[rng.integers(max(0, atom - 4), atom)]) for atom in range(1, 30)]
    positions = rng.normal(size=(30, 3, 8))
    z_matrix = ZMatrix.from_universe(bonded(*bonds, n_atoms=30), {})
    assert superposed(z_matrix.place(*z_matrix.measure(positions)), positions) < 1e-6


def test_too_small():
    with pytest.raises(InputError, match="at least four atoms, found 3"):
        ZMatrix.from_universe(bonded((0, 1), (1, 2), n_atoms=3), {})


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
    with pytest.raises(
        InputError,
        match=r"expected one molecule, found 2 fragments .*22, 22.*as with several chains, a ligand or water",
    ):
        ZMatrix.from_universe(universe_of(topology), {"phi": (4, 6, 8, 14)})


def test_gradient_is_pulled_back_to_the_arms(topology, torsions, frames):
    """Against differences of a function of positions, quadratic and different in every coordinate."""
    z_matrix = ZMatrix.from_universe(universe_of(topology), torsions)
    angles, arms = z_matrix.measure(frames[..., :3])
    z_matrix.turn(arms, angles)
    rng = np.random.default_rng(5)
    weights, centres, direction = rng.normal(size=(3, *arms.shape))

    def function(moved):
        return (weights * (z_matrix.placed(moved) - centres) ** 2).sum(axis=(0, 1))

    positions = z_matrix.placed(arms)
    slopes = z_matrix.pulled_back(2 * weights * (positions - centres), positions, arms)
    step = 1e-6
    differences = (function(arms + step * direction) - function(arms - step * direction)) / (2 * step)
    np.testing.assert_allclose((slopes * direction).sum(axis=(0, 1)), differences, rtol=1e-5)
