import MDAnalysis
import numpy as np
import pytest
from openmm import app, unit

from openmm_trajgan.analysis.inputs import as_trajectories, is_universe
from openmm_trajgan.errors import InputError
from openmm_trajgan.features import Torsions
from openmm_trajgan.systems import alanine_dipeptide

TOPOLOGY, START = alanine_dipeptide.topology_and_positions()


@pytest.fixture
def frames():
    """Distorted structures, (6, 22, 3), nm."""
    return START + np.random.default_rng(1).normal(0, 0.02, (6, *START.shape))


def universe(frames, **options):
    return MDAnalysis.Universe(TOPOLOGY, np.asarray(frames, dtype=np.float32) * 10, dt=0.5, **options)


def test_trajectories_and_buffers_are_taken_as_they_are(ou):
    data = ou(1)

    class Buffer:
        def trajectories(self):
            return data

    assert as_trajectories(data) is data
    assert as_trajectories(Buffer()) is data


@pytest.mark.parametrize("container", [list, tuple])
def test_arrays_are_series_of_numbered_features(container):
    rng = np.random.default_rng(1)
    one, three = rng.normal(size=(50, 2)), rng.normal(size=(3, 20, 2))
    ragged = container([one, one[:7]])
    for source, lengths in ((one, [50]), (three, [20, 20, 20]), (ragged, [50, 7]), (container(three), [20, 20, 20])):
        found = as_trajectories(source)
        assert [len(series) for series in found] == lengths
        np.testing.assert_array_equal(found.values[0], np.float32(one if lengths[0] == 50 else three[0]))
        assert found.schema.names == ("feature 0", "feature 1")
        assert found.schema.periods == (None, None)
        assert found.schema.frame_interval is None


@pytest.mark.parametrize(
    ("source", "found"),
    [
        (np.zeros(10), r"found shapes \[\(10,\)\]"),
        (np.zeros((2, 3, 4, 5)), r"found shapes \[\(3, 4, 5\)"),
        (np.zeros((0, 10, 2)), r"found shapes \[\]"),
        (np.zeros((0, 2)), r"found shapes \[\(0, 2\)\]"),
        ([np.zeros((5, 2)), np.zeros((5, 3))], r"found shapes \[\(5, 2\), \(5, 3\)\]"),
        ([], "found list"),
        ([[1.0, 2.0]], "found list"),
        ("traj.npy", "found str"),
        (None, "found NoneType"),
    ],
)
def test_what_is_no_data_is_said_with_its_label(source, found):
    with pytest.raises(InputError, match=f"^the reference: expected .*{found}"):
        as_trajectories(source, "the reference")


@pytest.mark.parametrize("source", [np.array(1.0), np.zeros((5, 0))])
def test_nothing_to_take_is_said(source):
    with pytest.raises(InputError, match="^data: expected"):
        as_trajectories(source)


def test_values_that_are_not_finite_are_refused():
    with pytest.raises(InputError, match=r"frame 3 of feature 'feature 1' is nan"):
        as_trajectories(np.where(np.arange(10).reshape(5, 2) == 7, np.nan, 0.0))


def test_a_universe_is_its_backbone_torsions(frames):
    source = universe(frames)
    expected = Torsions.backbone(TOPOLOGY)(frames)
    for given in (source, source.atoms, source.select_atoms("protein")):
        assert is_universe(given)
        found = as_trajectories(given)
        np.testing.assert_allclose(found.schema.wrap(found.values[0] - expected), 0, atol=2e-4)
        assert found.schema == Torsions.backbone(TOPOLOGY).schema.with_frame_interval(0.5)
    assert source.trajectory.frame == 0


def test_torsions_of_wrapped_frames_are_those_of_whole_molecules(frames):
    expected = as_trajectories(universe(frames))
    corner = frames[0].mean(axis=0)
    found = as_trajectories(universe((frames - corner) % 2.0, dimensions=[20, 20, 20, 90, 90, 90]))
    np.testing.assert_allclose(found.schema.wrap(found.values[0] - expected.values[0]), 0, atol=2e-3)


def test_sides_of_length_zero_are_no_box(frames):
    expected, found = as_trajectories(universe(frames)), as_trajectories(universe(frames, dimensions=[0, 0, 0, 90, 90, 90]))
    np.testing.assert_array_equal(found.values[0], expected.values[0])


def test_one_structure_has_no_frame_interval(frames):
    found = as_trajectories(universe(frames[:1]))
    assert found.n_frames == 1
    assert found.schema.frame_interval is None


def test_chains_with_the_same_numbers_are_named_as_by_torsions(frames, tmp_path):
    atoms = universe(frames).atoms
    assert as_trajectories(MDAnalysis.Merge(atoms, atoms)).schema.names == ("phi #1", "psi #1", "phi #4", "psi #4")
    chains = app.Modeller(TOPOLOGY, START * unit.nanometer)
    chains.add(TOPOLOGY, START * unit.nanometer)
    with (tmp_path / "chains.pdb").open("w") as file:
        app.PDBFile.writeFile(chains.topology, chains.positions, file)
    found = as_trajectories(MDAnalysis.Universe(tmp_path / "chains.pdb")).schema
    assert found == Torsions.backbone(app.PDBFile(str(tmp_path / "chains.pdb")).topology).schema
    assert found.names == ("phi A:2", "psi A:2", "phi B:2", "psi B:2")


def test_a_universe_without_protein_is_refused():
    water = MDAnalysis.Universe.empty(3, n_residues=1, atom_resindex=[0, 0, 0], trajectory=True)
    water.add_TopologyAttr("names", ["O", "H1", "H2"])
    water.add_TopologyAttr("resnames", ["HOH"])
    water.add_TopologyAttr("resids", [1])
    with pytest.raises(InputError, match="generated: expected a protein with backbone torsions, found none"):
        as_trajectories(water, "generated")


def test_arrays_and_trajectories_are_no_universe(ou):
    assert not is_universe(np.zeros((3, 2)))
    assert not is_universe(ou(1))
