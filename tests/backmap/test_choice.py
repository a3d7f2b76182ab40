"""Which method is chosen, and that systems of several molecules, with ligands or periodic boxes come out right or are refused."""

import logging

import MDAnalysis
import numpy as np
import pytest

from openmm_trajgan.backmap import to_universe
from openmm_trajgan.errors import InputError
from openmm_trajgan.features import CollectiveVariable, Distances, Torsions
from openmm_trajgan.schema import FeatureTrajectories

N_FRAMES = 30
N_ATOMS = 22
BOX = np.array([40, 41, 42, 90, 90, 90], dtype=np.float32)


def made_of(featurizer, positions):
    """Features of some frames, nm, as if they had been generated."""
    return FeatureTrajectories([featurizer(positions)], featurizer.schema.with_frame_interval(0.2))


@pytest.fixture(scope="module")
def molecule(topology, reference):
    universe = MDAnalysis.Universe(topology, 10 * reference, dt=0.2)
    universe.add_TopologyAttr("charges", np.linspace(-0.5, 0.5, N_ATOMS))
    return universe


@pytest.fixture(scope="module")
def dimer(molecule, reference):
    """Two molecules, the second going the other way in time beside the first."""
    both = MDAnalysis.Merge(molecule.atoms, molecule.atoms)
    both.add_TopologyAttr("chainIDs", ["A"] * N_ATOMS + ["B"] * N_ATOMS)
    return both.load_new(10 * np.concatenate([reference, reference[::-1] + np.float32(1)], axis=1), dt=0.2)


@pytest.fixture(scope="module")
def beads():
    """A helix of twelve alpha carbons that breathes, numbered from 101."""
    turns = np.radians(100) * np.arange(12)
    helix = np.column_stack([2.3 * np.cos(turns), 2.3 * np.sin(turns), 1.5 * np.arange(12)])
    frames = helix * (1 + 0.05 * np.sin(np.arange(N_FRAMES))[:, None, None])
    universe = MDAnalysis.Universe.empty(12, 12, atom_resindex=np.arange(12), trajectory=True)
    universe.add_TopologyAttr("names", ["CA"] * 12)
    universe.add_TopologyAttr("resids", np.arange(101, 113))
    return universe.load_new(frames.astype(np.float32), dt=0.2)


def test_torsions_of_a_short_molecule_are_set(molecule, reference, featurizer, caplog):
    with caplog.at_level(logging.INFO, logger="openmm_trajgan"):
        universe = to_universe(made_of(featurizer, reference[:N_FRAMES]), molecule)
    assert "backmapping by internal_coordinates: the features hold torsions of one molecule" in caplog.text
    assert universe.trajectory.provenance["method"] == "internal_coordinates"
    assert universe.atoms.charges.tolist() == molecule.atoms.charges.tolist()
    np.testing.assert_allclose(featurizer(universe.trajectory.timeseries() / 10), featurizer(reference[:N_FRAMES]), atol=1e-4)


def test_several_molecules_are_frames_of_md(dimer, reference, featurizer):
    universe = to_universe(made_of(featurizer, reference[:N_FRAMES]), dimer)
    provenance = universe.trajectory.provenance
    assert provenance["method"] == "nearest_frames"
    assert "torsions do not say how 2 molecules lie to each other" in provenance["reason"]
    assert universe.atoms.chainIDs.tolist() == dimer.atoms.chainIDs.tolist()
    for ts in universe.trajectory:
        np.testing.assert_allclose(ts.positions, dimer.trajectory[ts.data["reference_frame"]].positions, atol=1e-5)


def test_several_molecules_without_md_are_refused(dimer, reference, featurizer):
    one = dimer.copy().load_new(dimer.trajectory[0].positions)
    with pytest.raises(InputError, match=r"torsions do not say how 2 molecules lie .* reference= or --reference .*are 1 now"):
        to_universe(made_of(featurizer, reference[:N_FRAMES]), one)
    with pytest.raises(InputError, match=r"one molecule|fragments"):
        to_universe(made_of(featurizer, reference[:N_FRAMES]), one, method="internal_coordinates")


def test_a_ligand_stays_where_it_was(molecule, reference, featurizer):
    argon = MDAnalysis.Universe.empty(1, trajectory=True)
    for name, value in (
        ("names", "AR"),
        ("elements", "Ar"),
        ("types", "AR"),
        ("resnames", "LIG"),
        ("masses", 39.9),
        ("charges", 0),
    ):
        argon.add_TopologyAttr(name, [value])
    argon.add_TopologyAttr("bonds", [])
    system = MDAnalysis.Merge(molecule.atoms, argon.atoms)
    path = np.linspace([0.5, 0, 0], [1.5, 0, 0], len(reference))[:, None]
    system.load_new(np.float32(10) * np.concatenate([reference, path], axis=1).astype(np.float32), dt=0.2)
    universe = to_universe(made_of(featurizer, reference[:N_FRAMES]), system)
    ligand = universe.select_atoms("resname LIG")
    for ts in universe.trajectory:
        np.testing.assert_allclose(ligand.positions, 10 * path[ts.data["reference_frame"]], atol=1e-4)


def test_boxes_are_those_of_md(molecule, reference, featurizer):
    growing = (BOX + np.outer(np.arange(len(reference)), [0.1, 0.1, 0.1, 0, 0, 0])).astype(np.float32)
    periodic = molecule.copy().load_new(10 * reference, dimensions=growing, dt=0.2)
    generated = made_of(featurizer, reference[:N_FRAMES])
    retrieved = to_universe(generated, periodic, method="nearest_frames")
    for ts in retrieved.trajectory:
        np.testing.assert_allclose(ts.dimensions, growing[ts.data["reference_frame"]], rtol=1e-6)
    assert all(ts.dimensions is None for ts in to_universe(generated, periodic).trajectory)


@pytest.mark.parametrize("method", ["internal_coordinates", "nearest_frames"])
def test_molecules_cut_by_the_box_are_refused(molecule, reference, featurizer, method):
    positions = 10 * reference.copy()
    positions[5, 11:] += [40, 0, 0]
    periodic = molecule.copy().load_new(positions, dimensions=BOX, dt=0.2)
    with pytest.raises(InputError, match=r"frame 5.*whole"):
        to_universe(made_of(featurizer, reference[:N_FRAMES]), periodic, method=method)


@pytest.mark.parametrize("method", ["distance_geometry", "fragments"])
def test_structures_built_by_a_periodic_reference_have_no_box_and_a_cut_one_is_refused(molecule, reference, method):
    heavy = molecule.select_atoms("not name H*").indices.tolist()
    distances = Distances([(one, other) for place, one in enumerate(heavy) for other in heavy[place + 1 :]])
    generated = made_of(distances, reference[:N_FRAMES])
    periodic = molecule.copy().load_new(10 * reference, dimensions=BOX, dt=0.2)
    universe = to_universe(generated, periodic, method=method)
    assert all(ts.dimensions is None for ts in universe.trajectory)
    found = universe.select_atoms("not name H*").indices.tolist()
    apart = Distances([(one, other) for place, one in enumerate(found) for other in found[place + 1 :]])
    np.testing.assert_allclose(apart(universe.trajectory.timeseries() / 10), generated.values[0], atol=2e-4)
    positions = 10 * reference.copy()
    positions[5, 11:] += [40, 0, 0]
    with pytest.raises(InputError, match=r"frame 5.*whole"):
        to_universe(generated, molecule.copy().load_new(positions, dimensions=BOX, dt=0.2), method=method)


def test_most_distances_become_the_atoms_they_are_between(beads):
    pairs = [(one, other) for one in range(12) for other in range(one + 1, 12)]
    distances = Distances(pairs)
    generated = made_of(distances, beads.trajectory.timeseries() / 10)
    universe = to_universe(generated, beads)
    assert universe.trajectory.provenance["method"] == "distance_geometry"
    assert universe.residues.resids.tolist() == list(range(101, 113))
    np.testing.assert_allclose(distances(universe.trajectory.timeseries() / 10), generated.values[0], atol=1e-4)


def test_some_of_the_atoms_keep_their_names(molecule, reference):
    heavy = molecule.select_atoms("not name H*").indices.tolist()
    distances = Distances([(one, other) for place, one in enumerate(heavy) for other in heavy[place + 1 :]])
    universe = to_universe(made_of(distances, reference[:N_FRAMES]), molecule)
    assert universe.atoms.names.tolist() == molecule.atoms[heavy].names.tolist()
    assert universe.trajectory.provenance["atoms"] == heavy
    assert universe.residues.resnames.tolist() == ["ACE", "ALA", "NME"]


def test_few_distances_are_frames_of_md(molecule, reference):
    universe = to_universe(made_of(Distances([(0, 21), (4, 16)]), reference[:N_FRAMES]), molecule)
    provenance = universe.trajectory.provenance
    assert provenance["method"] == "nearest_frames"
    assert "they are neither torsions nor most distances" in provenance["reason"]


def test_torsions_of_a_long_chain_are_frames_of_md():
    n_residues = 61
    rng = np.random.default_rng(0)
    chain = MDAnalysis.Universe.empty(n_residues, n_residues, atom_resindex=np.arange(n_residues), trajectory=True)
    chain.add_TopologyAttr("bonds", [(atom, atom + 1) for atom in range(n_residues - 1)])
    chain.load_new(np.cumsum(rng.normal(size=(N_FRAMES, n_residues, 3)), axis=1).astype(np.float32), dt=0.2)
    generated = made_of(Torsions([(0, 1, 2, 3)]), chain.trajectory.timeseries() / 10)
    universe = to_universe(generated, chain)
    assert "errors of torsions add up along 61 residues" in universe.trajectory.provenance["reason"]


def test_features_without_a_recipe_need_their_featurizer(molecule, reference):
    size = CollectiveVariable(lambda positions, box: [np.linalg.norm(positions[0] - positions[21])], ["size"], ["nm"])
    generated = made_of(size, reference[:N_FRAMES])
    with pytest.raises(InputError, match="give what computed it, featurizer=, --system or --latent"):
        to_universe(generated, molecule)
    universe = to_universe(generated, molecule, featurizer=size)
    assert universe.trajectory.provenance["method"] == "nearest_frames"
    found = [size(ts.positions / 10)[0] for ts in universe.trajectory]
    np.testing.assert_allclose(found, generated.values[0][:, 0], atol=0.1 * generated.values[0].std())


def test_another_featurizer_is_refused(molecule, reference, featurizer):
    with pytest.raises(InputError, match="the featurizer has other features than the generated data"):
        to_universe(made_of(featurizer, reference[:N_FRAMES]), molecule, featurizer=Distances([(0, 21)]))


def test_unknown_methods_are_refused(molecule, reference, featurizer):
    with pytest.raises(InputError, match="method: expected one of identity, internal_coordinates, .* found 'magic'"):
        to_universe(made_of(featurizer, reference[:N_FRAMES]), molecule, method="magic")
