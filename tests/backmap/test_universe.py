import json
import pickle
import re
from pathlib import Path

import MDAnalysis
import mdtraj
import numpy as np
import pytest
from MDAnalysis.analysis.dihedrals import Dihedral, Ramachandran
from MDAnalysis.lib.distances import calc_dihedrals
from MDAnalysis.transformations import translate
from openmm import app

from openmm_trajgan.backmap import to_universe, write_universe
from openmm_trajgan.backmap.frames import BuiltFrames, StoredFrames
from openmm_trajgan.errors import InputError
from openmm_trajgan.schema import FeatureSchema, FeatureTrajectories

XTC_ANGSTROM = 0.0051  # XTC rounds coordinates to 0.01 Å
XTC_DEGREES = 1.5  # what that rounding makes of torsions, at most; measured 1.42 in 40,000 frames


@pytest.fixture
def generated(schema, angles):
    return FeatureTrajectories([angles[:120], angles[120:200]], schema)


@pytest.fixture
def universe(generated, topology, reference):
    return to_universe(generated, topology, reference)


@pytest.fixture
def pdb_file(topology, reference, tmp_path):
    path = tmp_path / "start.pdb"
    with path.open("w") as file:
        app.PDBFile.writeFile(topology, 10 * reference[0].astype(float), file, keepIds=True)
    return path


def torsions(positions, schema):
    return np.stack([calc_dihedrals(*(positions[:, atom] for atom in atoms)) for atoms in schema.atoms], axis=1)


def all_positions(universe):
    return np.array([ts.positions.copy() for ts in universe.trajectory])


def largest_difference(one, other):
    """Largest difference of angles in rad, as degrees."""
    return np.degrees(abs((one - other + np.pi) % (2 * np.pi) - np.pi)).max()


def test_the_window_of_every_frame(generated, topology, reference, tmp_path):
    """Two trajectories of 120 and 80 frames in windows of 50 after their first three frames."""
    expected = np.concatenate([np.where(np.arange(n) < 3, 0, (np.arange(n) - 3) // 50 + 1) for n in (120, 80)])
    told = FeatureTrajectories(generated.values, generated.schema, provenance={"window length": "50", "first window": "3"})
    universe = to_universe(told, topology, reference)
    assert [ts.data["window"] for ts in universe.trajectory] == expected.tolist()
    write_universe(universe, tmp_path / "generated.trajgan")
    read = MDAnalysis.Universe(tmp_path / "generated.pdb", tmp_path / "generated.trajgan")
    assert [ts.data["window"] for ts in read.trajectory] == expected.tolist()
    second = to_universe(told, topology, reference, trajectory=1)
    assert [ts.data["window"] for ts in second.trajectory] == expected[120:].tolist()
    for unknown in (
        {},
        {"window length": "50"},
        {"window length": "0", "first window": "3"},
        {"window length": "x", "first window": "3"},
    ):
        without = FeatureTrajectories(generated.values, generated.schema, provenance=unknown)
        assert "window" not in to_universe(without, topology, reference).trajectory[5].data


def test_features_and_time_of_every_frame(universe, generated, schema, angles):
    assert universe.trajectory.dt == 0.2
    assert len(universe.trajectory) == 200
    assert largest_difference(torsions(all_positions(universe), schema), angles[:200]) < 1e-3
    for frame, ts in enumerate(universe.trajectory):
        np.testing.assert_array_equal(ts.data["features"], angles[frame])
        assert ts.data["trajectory"] == (frame >= 120)
        assert ts.time == pytest.approx(0.2 * frame)
        assert universe.dimensions is None


def test_molecule_is_that_of_the_topology(universe, topology):
    atoms = list(topology.atoms())
    assert universe.atoms.names.tolist() == [atom.name for atom in atoms]
    assert universe.atoms.elements.tolist() == [atom.element.symbol for atom in atoms]
    np.testing.assert_allclose(universe.atoms.masses, [atom.element.mass._value for atom in atoms])
    assert universe.residues.resnames.tolist() == ["ACE", "ALA", "NME"]
    bonds = {frozenset((bond[0].index, bond[1].index)) for bond in topology.bonds()}
    assert {frozenset(pair) for pair in universe.bonds.indices.tolist()} == bonds
    assert universe.select_atoms("protein and name CA").n_atoms == 1
    assert universe.atoms.positions.dtype == np.float32


def renumbered(topology, ids, chain):
    """Return the same molecule with other residue ids and chain."""
    twin = app.Topology()
    new_chain = twin.addChain(chain)
    atoms = {}
    for residue, identifier in zip(topology.residues(), ids, strict=True):
        new = twin.addResidue(residue.name, new_chain, identifier)
        for atom in residue.atoms():
            atoms[atom.index] = twin.addAtom(atom.name, atom.element, new)
    for bond in topology.bonds():
        twin.addBond(atoms[bond[0].index], atoms[bond[1].index])
    return twin


def test_residue_ids_and_chains_survive(generated, topology, reference, tmp_path):
    universe = to_universe(generated, renumbered(topology, ("101", "105", "7"), "B"), reference)
    write_universe(universe, tmp_path / "out.xtc")
    again = MDAnalysis.Universe(tmp_path / "out.pdb", tmp_path / "out.xtc")
    for each in (universe, again):
        assert each.residues.resids.tolist() == [101, 105, 7]
        assert each.residues.resnums.tolist() == [101, 105, 7]
        assert each.segments.segids.tolist() == ["B"]
        assert set(each.atoms.chainIDs) == {"B"}


def test_residue_ids_that_are_no_integers(generated, topology, reference):
    with pytest.warns(UserWarning, match="residue ids such as 'A000' are not all integers"):
        universe = to_universe(generated, renumbered(topology, ("A000", "A001", "A002"), "A"), reference)
    assert universe.residues.resids.tolist() == [1, 2, 3]


def test_one_trajectory_alone_is_what_it_is_among_all(universe, generated, topology, reference):
    second = to_universe(generated, topology, reference, trajectory=1)
    assert len(second.trajectory) == 80
    np.testing.assert_array_equal(all_positions(second), all_positions(universe)[120:])
    assert {ts.data["trajectory"] for ts in second.trajectory} == {1}


def test_seed(universe, generated, topology, reference):
    np.testing.assert_array_equal(all_positions(to_universe(generated, topology, reference, seed=0)), all_positions(universe))
    assert not np.allclose(all_positions(to_universe(generated, topology, reference, seed=1)), all_positions(universe), atol=1e-3)


def test_each_trajectory_gets_its_own_piece_of_the_reference(schema, angles, topology, reference):
    twins = all_positions(to_universe(FeatureTrajectories([angles[:50]] * 2, schema), topology, reference))
    assert not np.allclose(twins[:50], twins[50:], atol=1e-3)


class Structures:
    def __init__(self, positions):
        self._positions = positions

    def structures(self):
        return self._positions


def test_every_kind_of_reference_gives_the_same(universe, generated, topology, reference):
    from_buffer = to_universe(generated, topology, Structures(reference))
    np.testing.assert_array_equal(all_positions(from_buffer), all_positions(universe))
    stored = MDAnalysis.Universe(topology, 10 * reference, dt=0.2)
    np.testing.assert_allclose(all_positions(to_universe(generated, topology, stored)), all_positions(universe), atol=1e-4)


def test_pdb_file_is_topology_and_structure(generated, pdb_file, schema, angles):
    for path in (pdb_file, str(pdb_file)):
        universe = to_universe(generated, path)
        assert largest_difference(torsions(all_positions(universe), schema), angles[:200]) < 1e-3


def test_universe_pickles_copies_and_is_analysed_in_processes(universe, angles):
    expected = np.degrees(angles[:200])
    for each in (universe, universe.copy(), pickle.loads(pickle.dumps(universe))):
        residue = each.residues[1]
        found = Dihedral([residue.phi_selection(), residue.psi_selection()]).run(backend="multiprocessing", n_workers=2)
        assert largest_difference(np.radians(found.results.angles), np.radians(expected)) < 1e-3
        assert each.residues.resids.tolist() == [1, 2, 3]
    rama = Ramachandran(universe.select_atoms("resname ALA")).run().results.angles[:, 0]
    assert largest_difference(np.radians(rama), angles[:200]) < 1e-3


def test_written_files_are_read_by_mdanalysis(universe, schema, angles, tmp_path):
    write_universe(universe, tmp_path / "out.xtc")
    again = MDAnalysis.Universe(tmp_path / "out.pdb", tmp_path / "out.xtc")
    np.testing.assert_allclose([ts.time for ts in again.trajectory], 0.2 * np.arange(200), rtol=1e-6)
    assert [ts.data["step"] for ts in again.trajectory] == list(range(200))
    np.testing.assert_allclose(all_positions(again), all_positions(universe), atol=XTC_ANGSTROM)
    assert largest_difference(torsions(all_positions(again), schema), angles[:200]) < XTC_DEGREES
    assert again.dimensions is None
    assert again.atoms.elements.tolist() == universe.atoms.elements.tolist()
    np.testing.assert_allclose(again.atoms.masses, universe.atoms.masses, atol=0.01)
    assert sorted(again.bonds.indices.tolist()) == sorted(universe.bonds.indices.tolist())
    assert {path.name for path in tmp_path.glob("[!.]*")} == {"out.xtc", "out.pdb", "out.features.npz", "out.provenance.json"}
    assert not list(tmp_path.glob("*.tmp*"))


def test_written_files_are_read_by_mdtraj(universe, angles, tmp_path):
    write_universe(universe, tmp_path / "out.xtc")
    again = mdtraj.load(tmp_path / "out.xtc", top=tmp_path / "out.pdb")
    assert again.timestep == pytest.approx(0.2)
    assert again.unitcell_lengths is None
    assert [residue.resSeq for residue in again.topology.residues] == [1, 2, 3]
    assert again.topology.n_bonds == 21
    np.testing.assert_allclose(again.xyz * 10, all_positions(universe), atol=XTC_ANGSTROM)
    found = np.hstack([mdtraj.compute_phi(again)[1], mdtraj.compute_psi(again)[1]])
    assert largest_difference(found, angles[:200]) < XTC_DEGREES


def test_pdb_file_has_no_made_up_box(universe, tmp_path):
    write_universe(universe, tmp_path / "out.xtc")
    pdb = app.PDBFile(str(tmp_path / "out.pdb"))
    assert pdb.topology.getPeriodicBoxVectors() is None
    assert pdb.topology.getNumBonds() == 21
    assert "UNITARY" not in (tmp_path / "out.pdb").read_text()


@pytest.mark.filterwarnings("ignore:DCDReader currently makes independent timesteps:DeprecationWarning")
@pytest.mark.parametrize("ending", [".dcd", ".trr", ".nc", ".h5md"])
def test_other_endings_keep_time_and_positions(universe, tmp_path, ending):
    write_universe(universe, tmp_path / f"out{ending}")
    again = MDAnalysis.Universe(tmp_path / "out.pdb", tmp_path / f"out{ending}")
    assert [ts.time for ts in again.trajectory] == pytest.approx([0.2 * ts.frame for ts in universe.trajectory], rel=1e-5)
    np.testing.assert_allclose(all_positions(again), all_positions(universe), atol=1e-5)


def test_nothing_half_written(universe, tmp_path, monkeypatch):
    def broken(_, path):
        Path(path).write_text("half")
        raise OSError("disk full")

    (tmp_path / "out.xtc").write_text("old")
    monkeypatch.setattr(MDAnalysis.AtomGroup, "write", broken)
    with pytest.raises(OSError, match="disk full"):
        write_universe(universe, tmp_path / "out.xtc", overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["out.xtc"]
    assert (tmp_path / "out.xtc").read_text() == "old"


@pytest.mark.parametrize("name", ["out.xtc", "out.pdb"])
def test_files_that_are_there_stay(universe, tmp_path, name):
    (tmp_path / name).write_text("old")
    with pytest.raises(InputError, match=f"{name}: exists already; choose another name, or pass overwrite=True"):
        write_universe(universe, tmp_path / "out.xtc")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("out.pdb", "give an ending for trajectories such as .xtc"),
        ("out.foo", "MDAnalysis writes no trajectories with this ending; use .xtc"),
        ("missing/out.xtc", "there is no folder"),
    ],
)
def test_file_names_that_cannot_be(universe, tmp_path, name, message):
    with pytest.raises(InputError, match=message):
        write_universe(universe, tmp_path / name)
    assert not list(tmp_path.iterdir())


def particle(values):
    schema = FeatureSchema(
        names=("x", "y"), units=("nm", "nm"), periods=(None, None), kinds=("cartesian", "cartesian"), frame_interval=0.1
    )
    return FeatureTrajectories(values, schema)


@pytest.mark.filterwarnings("ignore:Element information is missing:UserWarning", "ignore:Unknown masses:PendingDeprecationWarning")
def test_one_particle(tmp_path):
    values = np.random.default_rng(0).normal(size=(50, 2)).astype(np.float32)
    universe = to_universe(particle([values]))
    np.testing.assert_allclose(all_positions(universe)[:, 0, :2], 10 * values, rtol=1e-6)
    assert not all_positions(universe)[:, 0, 2].any()
    write_universe(universe, tmp_path / "well.xtc")
    again = MDAnalysis.Universe(tmp_path / "well.pdb", tmp_path / "well.xtc")
    np.testing.assert_allclose(all_positions(again), all_positions(universe), atol=XTC_ANGSTROM)
    assert mdtraj.load(tmp_path / "well.xtc", top=tmp_path / "well.pdb").n_frames == 50


def test_one_particle_with_a_topology(topology):
    values = np.ones((3, 2), dtype=np.float32)
    one = app.Topology()
    one.addAtom("X", app.Element.getBySymbol("Ar"), one.addResidue("X", one.addChain()))
    assert to_universe(particle([values]), one).atoms.names.tolist() == ["X"]
    with pytest.raises(InputError, match="the reference has 22 atoms; leave out reference and topology"):
        to_universe(particle([values]), topology)


def test_frame_interval_is_needed(angles, featurizer, topology, reference):
    unknown = FeatureTrajectories([angles], featurizer.schema)
    with pytest.raises(InputError, match=r"frame interval of the features is unknown; set it with schema\.with_frame_interval"):
        to_universe(unknown, topology, reference)


@pytest.mark.parametrize("trajectory", [2, -1])
def test_no_such_trajectory(generated, topology, reference, trajectory):
    with pytest.raises(InputError, match=f"expected a trajectory between 0 and 1, found {trajectory}"):
        to_universe(generated, topology, reference, trajectory=trajectory)


def test_arrays_are_not_taken_for_trajectories(angles, topology, reference):
    with pytest.raises(InputError, match=r"expected FeatureTrajectories, found ndarray; .* FeatureTrajectories\(arrays, schema\)"):
        to_universe(angles, topology, reference)


def test_no_frames():
    with pytest.raises(InputError, match="expected at least one generated frame"):
        to_universe(particle([np.empty((0, 2))]))


def test_topology_without_reference(generated, topology):
    with pytest.raises(InputError, match=r"expected reference structures .* give reference= or --reference"):
        to_universe(generated, topology)


@pytest.mark.parametrize("shape", [(22, 3), (200, 21, 3), (0, 22, 3)])
def test_reference_of_other_shape(generated, topology, shape):
    with pytest.raises(InputError, match=re.escape(f"expected reference positions (n_reference, 22, 3) in nm, found {shape}")):
        to_universe(generated, topology, np.zeros(shape))


def test_neither_topology_nor_path(generated, reference):
    with pytest.raises(InputError, match=r"Universe or the path of a PDB file, found NoneType"):
        to_universe(generated, None, reference)


def test_missing_pdb_file(generated, tmp_path):
    with pytest.raises(InputError, match=r"missing\.pdb: no such file"):
        to_universe(generated, tmp_path / "missing.pdb")


def test_frames_that_are_built_when_asked_for_are_the_same(generated, topology, reference, monkeypatch):
    expected = to_universe(generated, topology, reference)
    monkeypatch.setattr("openmm_trajgan.backmap.universe.IN_MEMORY", 0)
    monkeypatch.setattr("openmm_trajgan.backmap.frames.POSITIONS_AT_ONCE", 22 * 7)  # blocks of seven frames
    lazy = to_universe(generated, topology, reference)
    assert isinstance(lazy.trajectory.frames.source, BuiltFrames)
    assert isinstance(expected.trajectory.frames.source, StoredFrames)
    for frame in (150, 3, 119, 120, 199, 0):
        np.testing.assert_allclose(lazy.trajectory[frame].positions, expected.trajectory[frame].positions, atol=1e-5)
    np.testing.assert_allclose(all_positions(lazy), all_positions(expected), atol=1e-5)
    restored = pickle.loads(pickle.dumps(lazy))
    np.testing.assert_allclose(restored.trajectory[130].positions, expected.trajectory[130].positions, atol=1e-5)
    selections = [lazy.residues[1].phi_selection()]
    several = Dihedral(selections).run(backend="multiprocessing", n_workers=2).results.angles
    np.testing.assert_allclose(several, Dihedral(selections).run().results.angles, atol=1e-4)


@pytest.mark.parametrize("method", ["internal_coordinates", "nearest_frames"])
def test_one_file_brings_everything_back(generated, topology, reference, tmp_path, method):
    universe = to_universe(generated, topology, reference, method=method, seed=4)
    write_universe(universe, tmp_path / "out.trajgan")
    assert {path.name for path in tmp_path.iterdir()} == {"out.trajgan", "out.pdb"}
    for again in (
        MDAnalysis.Universe(tmp_path / "out.pdb", tmp_path / "out.trajgan"),
        MDAnalysis.Universe(tmp_path / "out.pdb", tmp_path / "out.trajgan", format="TRAJGAN"),
    ):
        assert again.trajectory.schema == generated.schema
        assert again.trajectory.provenance == universe.trajectory.provenance
        assert again.trajectory.dt == 0.2
        for mine, theirs in zip(again.trajectory, universe.trajectory, strict=True):
            np.testing.assert_allclose(mine.positions, theirs.positions, atol=1e-5)
            assert mine.data.keys() == theirs.data.keys()
            assert all(np.array_equal(mine.data[name], theirs.data[name]) for name in mine.data)
    write_universe(again, tmp_path / "again.trajgan")
    third = MDAnalysis.Universe(tmp_path / "again.pdb", tmp_path / "again.trajgan")
    np.testing.assert_array_equal(all_positions(third), all_positions(again))


def test_provenance_tells_how_and_from_what(universe, generated):
    provenance = universe.trajectory.provenance
    assert provenance["method"] == "internal_coordinates"
    assert provenance["reason"] == "the features hold torsions of one molecule that is short enough to be rebuilt"
    assert provenance["reference"] == "200 structures of 22 atoms"
    assert provenance["schema digest"] == generated.schema.digest
    assert provenance["synthetic"] is True
    assert json.loads(json.dumps(provenance)) == provenance


def test_features_beside_a_trajectory_are_those_generated(universe, generated, tmp_path):
    write_universe(universe, tmp_path / "out.xtc")
    again = FeatureTrajectories.load(tmp_path / "out.features.npz")
    assert again.schema == generated.schema
    for mine, theirs in zip(again, generated, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert json.loads((tmp_path / "out.provenance.json").read_text()) == universe.trajectory.provenance


def test_only_generated_frames_as_they_are_become_a_file_of_their_own(universe, topology, reference, tmp_path):
    ordinary = MDAnalysis.Universe(topology, 10 * reference)
    universe.trajectory.add_transformations(translate([1, 0, 0]))
    for each in (ordinary, universe):
        with pytest.raises(InputError, match=r"out\.trajgan: expected a Universe of to_universe without transformations"):
            write_universe(each, tmp_path / "out.trajgan")
    assert not list(tmp_path.iterdir())
    write_universe(universe, tmp_path / "out.xtc")  # with the transformation
    again = MDAnalysis.Universe(tmp_path / "out.pdb", tmp_path / "out.xtc")
    np.testing.assert_allclose(all_positions(again), all_positions(universe), atol=XTC_ANGSTROM)
