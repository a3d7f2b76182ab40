import MDAnalysis
import numpy as np
import pytest
from MDAnalysis.analysis.rms import rmsd

from openmm_trajgan.analysis.validity import StructureValidity
from openmm_trajgan.backmap import Backmapper, Fragments, to_universe
from openmm_trajgan.backmap.clashes import Clashes
from openmm_trajgan.errors import InputError
from openmm_trajgan.features import Distances
from openmm_trajgan.schema import FeatureTrajectories
from openmm_trajgan.systems import tetraalanine

TOPOLOGY, START = tetraalanine.topology_and_positions()
ALPHA = [atom.index for atom in TOPOLOGY.atoms() if atom.name == "CA"]
RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def frames():
    """Tetraalanine that bends more and more, at random, (40, 43, 3), nm."""
    rng = np.random.default_rng(1)
    bends = np.cumsum(rng.normal(0, 0.1, (40, 3, 3)), axis=0)
    return (START + np.sin(3 * START) @ bends * 0.3).astype(np.float32)


@pytest.fixture(scope="module")
def calm(frames):
    """The same, bent by a quarter, so that no atoms clash."""
    return START.astype(np.float32) + (frames - START.astype(np.float32)) / 4


@pytest.fixture(scope="module")
def md(frames):
    return MDAnalysis.Universe(TOPOLOGY, 10 * frames, dt=0.2)


@pytest.fixture(scope="module")
def distances():
    """Between the α carbons and, so that there are more than four beads, the carbonyl carbons."""
    beads = sorted(ALPHA + [atom.index for atom in TOPOLOGY.atoms() if atom.name == "C"])
    return Distances([[one, other] for place, one in enumerate(beads) for other in beads[place + 1 :]])


def test_frames_of_the_reference_without_clash_come_back_whole(distances, calm):
    frames, md = calm, MDAnalysis.Universe(TOPOLOGY, 10 * calm, dt=0.2)
    fragments = Fragments().fit(distances, md)
    assert isinstance(fragments, Backmapper)
    np.testing.assert_array_equal(fragments.atoms, np.arange(43))
    structures = fragments.backmap(distances(frames), rng=RNG)
    assert structures.positions.dtype == np.float32
    assert max(rmsd(one, other, superposition=True) for one, other in zip(structures.positions, frames, strict=True)) < 1e-4
    assert structures.flags["fragment_distance"].max() < 1e-4
    assert not Clashes(md)(frames).any()
    assert not structures.flags["clash"].any()


def test_beads_are_where_distances_put_them_and_each_atom_as_near_its_bead_as_in_the_reference(distances, calm):
    """New conformations, halfway between frames of the reference."""
    frames, md = calm, MDAnalysis.Universe(TOPOLOGY, 10 * calm, dt=0.2)
    between = (frames[1:] + frames[:-1]) / 2
    structures = Fragments().fit(distances, md).backmap(distances(between), rng=RNG)
    np.testing.assert_allclose(distances(structures.positions), distances(between), atol=1e-4)
    assert structures.flags["fragment_distance"].min() > 1e-4
    names = np.array([atom.name for atom in TOPOLOGY.atoms()])
    residues = np.array([atom.residue.index for atom in TOPOLOGY.atoms()])
    for one, other in (("CA", "CB"), ("CA", "HA"), ("C", "O")):  # within one fragment, or with its bead
        pairs = [(i, j) for i in np.flatnonzero(names == one) for j in np.flatnonzero(names == other) if residues[i] == residues[j]]
        lengths = Distances(pairs)
        known = lengths(frames)
        built = lengths(structures.positions)
        assert (built >= known.min(axis=0) - 1e-4).all()
        assert (built <= known.max(axis=0) + 1e-4).all()
    assert max(rmsd(*pair, superposition=True) for pair in zip(structures.positions, between, strict=True)) < 0.05


def test_the_hand_of_every_residue_and_every_peptide_bond_are_kept(distances, calm):
    bent = calm
    md = MDAnalysis.Universe(TOPOLOGY, 10 * bent, dt=0.2)
    alpha = Distances([[one, other] for place, one in enumerate(ALPHA) for other in ALPHA[place + 1 :]])
    between = (bent[1:] + bent[:-1]) / 2
    for features in (distances, alpha):
        made = Fragments().fit(features, md).backmap(features(between), rng=RNG).positions
        report = StructureValidity(MDAnalysis.Universe(TOPOLOGY, 10 * made, dt=0.2), md).run().results.report
        for name in ("inverted centres", "cis peptide bonds"):
            assert report[name].value == report[name].md == 0


def test_side_chains_make_room(distances, md, frames, monkeypatch):
    """Of this reference nearly half the frames clash themselves."""
    between = (frames[1:] + frames[:-1]) / 2
    made = Fragments().fit(distances, md).backmap(distances(between), rng=RNG)
    monkeypatch.setattr("openmm_trajgan.backmap.fragments._CROWDING", 0.0)
    regardless = Fragments().fit(distances, md).backmap(distances(between), rng=RNG)
    assert made.flags["clash"].sum() < regardless.flags["clash"].sum()


def test_side_chains_stay_where_they_are_unless_the_trace_demands_it(distances, md, frames):
    """Frames of the reference that differ in one methyl group only: any of them would do, and one of them is kept."""
    names = [atom.name for atom in TOPOLOGY.atoms()]
    methyl = [names.index(name) for name in ("HB1", "HB2", "HB3")]
    turned = frames[[0] * 8 + [20]].copy()
    turned[1:8:2, methyl] = turned[0, np.roll(methyl, 1)]
    wanted = distances(turned[:1] + np.random.default_rng(0).normal(0, 1e-4, (30, 43, 3)).astype(np.float32))
    made = Fragments().fit(distances, MDAnalysis.Universe(TOPOLOGY, 10 * turned, dt=0.2)).backmap(wanted, rng=RNG).positions
    assert np.linalg.norm(np.diff(made[:, methyl], axis=0), axis=2).max() < 0.01


def test_all_atoms_of_a_universe_and_their_repair(distances, md, frames):
    apart = distances((frames[1:] + frames[:-1]) / 2)
    generated = FeatureTrajectories([apart * np.float32(0.9)], distances.schema.with_frame_interval(0.2))  # too close
    plain, relaxed = (to_universe(generated, TOPOLOGY, md, method="fragments", relax=relax) for relax in (False, True))
    for universe in (plain, relaxed):
        assert (len(universe.atoms), len(universe.trajectory)) == (43, 39)
        assert universe.trajectory.provenance["atoms"] is None
    clashed = [bool(ts.data["clash"]) for ts in plain.trajectory]
    assert any(clashed)
    assert relaxed.trajectory.provenance["relaxed"]["repaired"] == sum(clashed)
    assert not any(ts.data["clash"] for ts in relaxed.trajectory)


def test_what_cannot_be_cut_into_fragments(distances, md):
    with pytest.raises(InputError, match="call fit"):
        Fragments().backmap(np.ones((1, 28)), rng=RNG)
    with pytest.raises(InputError, match="found 2 fragments"):
        Fragments().fit(distances, MDAnalysis.Merge(md.atoms, md.atoms))
    with pytest.raises(InputError, match="expected the bonds of 43 atoms"):
        Fragments().fit(distances, MDAnalysis.Universe.empty(43, trajectory=True))
