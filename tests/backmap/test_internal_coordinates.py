from itertools import pairwise

import MDAnalysis
import numpy as np
import pytest
from MDAnalysis.analysis.rms import rmsd
from MDAnalysis.lib.distances import calc_dihedrals
from openmm import app

from openmm_trajgan.backmap import Backmapper, InternalCoordinates
from openmm_trajgan.backmap.clashes import Clashes
from openmm_trajgan.backmap.internal_coordinates import _turn_freely
from openmm_trajgan.backmap.z_matrix import ZMatrix, bond_graph
from openmm_trajgan.errors import InputError
from openmm_trajgan.features import Concatenate, Distances, Torsions
from openmm_trajgan.schema import FeatureSchema

N, CA, CB, C = 6, 8, 10, 14


def torsions(**atoms):
    return Torsions(list(atoms.values()), list(atoms))


def molecule(topology, frames):
    """Frames (n_frames, n_atoms, 3) in nm as a Universe."""
    return MDAnalysis.Universe(topology, 10 * np.asarray(frames, dtype=np.float32))


def zigzag(n_atoms):
    """A chain of residues with one atom each, one frame."""
    universe = MDAnalysis.Universe.empty(
        n_atoms, n_residues=n_atoms, atom_resindex=np.arange(n_atoms), residue_segindex=[0] * n_atoms, trajectory=True
    )
    universe.add_TopologyAttr("bonds", list(pairwise(range(n_atoms))))
    universe.add_TopologyAttr("elements", ["C"] * n_atoms)
    index = np.arange(n_atoms)
    universe.atoms.positions = np.stack([1.2 * index, 0.8 * (index % 2), np.zeros(n_atoms)], axis=1)
    return universe


def bond_lengths(topology, positions):
    first, second = np.array([(bond[0].index, bond[1].index) for bond in topology.bonds()]).T
    return np.linalg.norm(positions[:, first] - positions[:, second], axis=-1)


@pytest.fixture
def backmapper(featurizer, md):
    return InternalCoordinates().fit(featurizer, md)


@pytest.fixture
def positions(backmapper, angles):
    return backmapper.backmap(angles, rng=np.random.default_rng(5)).positions


def test_is_a_backmapper(backmapper, positions):
    assert isinstance(backmapper, Backmapper)
    assert positions.shape == (500, 22, 3)
    assert positions.dtype == np.float32


def test_nothing_is_said_of_torsions_not_set_where_all_are(featurizer, md, angles):
    structures = InternalCoordinates().fit(featurizer, md).backmap(angles[:2], rng=np.random.default_rng(0))
    assert list(structures.flags) == ["clash"]


def test_torsions_come_out_as_wanted(positions, schema, angles):
    for column, atoms in enumerate(schema.atoms):
        measured = calc_dihedrals(*(positions[:, atom] for atom in atoms))
        errors = np.degrees((measured - angles[:, column] + np.pi) % (2 * np.pi) - np.pi)
        assert abs(errors).max() < 1e-3


def test_featurizer_returns_the_features(featurizer, positions, angles):
    assert abs(featurizer.schema.wrap(featurizer(positions) - angles)).max() < 1e-5


def test_hard_coordinates_are_those_of_the_frame_with_the_nearest_torsions(topology, featurizer, reference, positions, angles):
    md, built = bond_lengths(topology, reference), bond_lengths(topology, positions)
    chords = np.abs(np.exp(1j * angles[:, None]) - np.exp(1j * featurizer(reference)[None]))
    nearest = np.square(chords).sum(axis=2).argmin(axis=1)
    np.testing.assert_allclose(built, md[nearest], atol=1e-5)


def test_methyl_groups_turn_as_in_consecutive_frames_that_turn_back_at_the_end(reference, positions):
    """Torsions N-C-CH3-H of the acetyl and C-N-C-H of the methylamide group, but for the scatter within a third of a turn."""
    md, built = (
        np.stack([calc_dihedrals(*frames[:, atoms].transpose(1, 0, 2)) for atoms in ([6, 4, 1, 0], [14, 16, 18, 19])])
        for frames in (reference, positions)
    )
    there_and_back = np.concatenate([np.arange(200), np.arange(198, 0, -1)])
    apart = [
        abs(np.angle(np.exp(1j * (built - md[:, np.resize(np.roll(there_and_back, -start), 500)])))).max() for start in range(398)
    ]
    assert np.degrees(min(apart)) < 61
    assert np.sum(np.degrees(apart) < 61) < 20  # not any start would do


def test_angles_at_the_alpha_carbon_are_those_of_md(topology, reference, positions):
    def at_alpha_carbon(frames):
        arms = frames[:, [N, CB, C]] - frames[:, [CA]]
        arms /= np.linalg.norm(arms, axis=-1, keepdims=True)
        return arms @ arms.transpose(0, 2, 1)

    source = np.linalg.norm(bond_lengths(topology, positions)[:, None] - bond_lengths(topology, reference), axis=-1).argmin(axis=1)
    np.testing.assert_allclose(at_alpha_carbon(positions), at_alpha_carbon(reference)[source], atol=1e-5)


def test_alanine_stays_l(reference, positions):
    for frames in (reference, positions):
        n, c, cb = (frames[:, atom] - frames[:, CA] for atom in (N, C, CB))
        volumes = np.einsum("fi,fi->f", n, np.cross(c, cb))
        assert volumes.min() > 1.5e-3  # nm³; chiral volume of an L residue is about +2.5 Å³


def test_md_features_give_md_frames_back(topology, featurizer, reference):
    """With one reference frame and its own features, that frame."""
    frame = reference[40:41]
    built = (
        InternalCoordinates()
        .fit(featurizer, molecule(topology, frame))
        .backmap(featurizer(frame), rng=np.random.default_rng(0))
        .positions
    )
    assert rmsd(built[0], frame[0], superposition=True) < 1e-6


def test_one_reference_frame_serves_all(topology, featurizer, reference, angles):
    one = molecule(topology, reference[:1])
    built = InternalCoordinates().fit(featurizer, one).backmap(angles, rng=np.random.default_rng(0)).positions
    lengths = bond_lengths(topology, built)
    np.testing.assert_allclose(lengths, np.broadcast_to(bond_lengths(topology, reference[:1]), lengths.shape), atol=1e-6)


def test_frames_are_centred_and_superposed_on_the_first_reference_frame(reference, positions):
    np.testing.assert_allclose(positions.mean(axis=1), 0, atol=1e-6)
    target = reference[0] - reference[0].mean(axis=0)
    for frame in positions[::50]:
        as_it_is = rmsd(frame, target)
        assert as_it_is == pytest.approx(rmsd(frame, target, superposition=True), abs=1e-5)


def test_chunks_do_not_show(backmapper, positions, angles, monkeypatch):
    monkeypatch.setattr("openmm_trajgan.backmap.internal_coordinates._ATOMS_AT_ONCE", 0)
    np.testing.assert_allclose(backmapper.backmap(angles, rng=np.random.default_rng(5)).positions, positions, atol=1e-6)


def test_randomness_is_the_generator(backmapper, positions, angles):
    np.testing.assert_array_equal(backmapper.backmap(angles, rng=np.random.default_rng(5)).positions, positions)
    assert not np.allclose(backmapper.backmap(angles, rng=np.random.default_rng(6)).positions, positions, atol=1e-4)


def test_no_frames(backmapper):
    assert backmapper.backmap(np.empty((0, 2)), rng=np.random.default_rng(0)).positions.shape == (0, 22, 3)


def test_second_torsion_on_a_bond_is_dependent_and_said_so(md, angles):
    features = torsions(phi=(4, 6, 8, 14), other_phi=(7, 6, 8, 10), psi=(6, 8, 14, 16))
    with pytest.warns(UserWarning, match=r"not set, since they follow from the other coordinates: other_phi \(turns with phi\)"):
        backmapper = InternalCoordinates().fit(features, md)
    assert list(backmapper.dependent) == ["other_phi"]
    built = backmapper.backmap(np.insert(angles, 1, 0.0, axis=1), rng=np.random.default_rng(0)).positions
    np.testing.assert_allclose(np.cos(calc_dihedrals(*(built[:, a] for a in (4, 6, 8, 14))) - angles[:, 0]), 1, atol=1e-6)
    np.testing.assert_allclose(np.cos(calc_dihedrals(*(built[:, a] for a in (6, 8, 14, 16))) - angles[:, 1]), 1, atol=1e-6)


def test_other_features_are_dependent(featurizer, md, angles):
    mixed = Concatenate([Distances([[1, 18]], ["end to end"]), featurizer])
    with pytest.warns(UserWarning, match="end to end"):
        backmapper = InternalCoordinates().fit(mixed, md)
    built = backmapper.backmap(np.insert(angles, 0, 0.5, axis=1), rng=np.random.default_rng(0)).positions
    assert abs(featurizer.schema.wrap(featurizer(built) - angles)).max() < 1e-5


@pytest.fixture
def proline():
    """ACE-PRO-NME, heavy atoms only, in a random arrangement of 60 frames."""
    topology = app.Topology()
    chain = topology.addChain()
    for name, atoms in (("ACE", "CH3 C O"), ("PRO", "N CA CB CG CD C O"), ("NME", "N C")):
        residue = topology.addResidue(name, chain)
        for atom in atoms.split():
            topology.addAtom(atom, app.Element.getBySymbol(atom[0]), residue)
    topology.createStandardBonds()
    rng = np.random.default_rng(8)
    start = rng.uniform(-0.06, 0.06, (1, 12, 3))
    return molecule(topology, start + rng.normal(0, 0.002, (60, 12, 3)))


def test_phi_of_proline_is_dependent_and_said_so(proline):
    phi, psi, chi = (1, 3, 4, 8), (3, 4, 8, 10), (3, 4, 5, 6)
    features = torsions(phi=phi, psi=psi, chi1=chi)
    with pytest.warns(UserWarning, match=r"phi \(in a ring of PRO2-N\); chi1 \(in a ring of PRO2-CA\)"):
        backmapper = InternalCoordinates().fit(features, proline)
    assert list(backmapper.dependent) == ["phi", "chi1"]
    wanted = np.random.default_rng(0).uniform(-3, 3, (20, 3))
    structures = backmapper.backmap(wanted, rng=np.random.default_rng(0))
    missed = abs(features.schema.wrap(features(structures.positions) - wanted))
    np.testing.assert_allclose(missed[:, 1], 0, atol=1e-5)
    np.testing.assert_allclose(structures.flags["not_set_error"], missed[:, [0, 2]].max(axis=1), atol=1e-5)


def test_hydrogens_of_a_ring_do_not_turn_freely():
    topology = app.Topology()
    residue = topology.addResidue("PRO", topology.addChain())
    for atom in ["N", "H2", "H3", "CA", "HA", "CB", "HB2", "HB3", "CG", "HG2", "HG3", "CD", "HD2", "HD3", "C", "O", "OXT"]:
        topology.addAtom(atom, app.Element.getBySymbol(atom[0]), residue)
    topology.createStandardBonds()
    proline = molecule(topology, np.zeros((1, 17, 3)))
    z_matrix = ZMatrix.from_universe(proline, {})
    free = _turn_freely(z_matrix, proline, bond_graph(proline))
    turning = [topology_atom.name for topology_atom in topology.atoms() if topology_atom.index in z_matrix.pivots[free, 2]]
    assert not set(turning) & {"CB", "CG", "CD"}
    only_hydrogen = np.bincount(z_matrix.pivot_of_row, weights=proline.atoms.elements[z_matrix.rows[3:]] != "H") == 0
    assert (only_hydrogen & ~free).any()


def test_nothing_but_dependent_torsions(proline):
    with pytest.raises(InputError, match=r"that can be set, found none: phi \(in a ring of PRO2-N\); use another method"):
        InternalCoordinates().fit(torsions(phi=(1, 3, 4, 8)), proline)


def test_torsion_of_atoms_that_are_not_bonded_in_a_row(md, angles):
    features = torsions(phi=(4, 6, 8, 14), odd=(4, 8, 14, 16))
    with pytest.warns(UserWarning, match=r"odd \(its atoms are not bonded in a row\)"):
        assert InternalCoordinates().fit(features, md).dependent == {"odd": "its atoms are not bonded in a row"}


def test_atoms_that_do_not_exist(md):
    with pytest.raises(InputError, match=r"'phi': expected four atoms between 0 and 21, found \(4, 6, 8, 22\)"):
        InternalCoordinates().fit(torsions(phi=(4, 6, 8, 22)), md)


def test_two_molecules_are_refused(topology, md):
    both = MDAnalysis.Merge(md.atoms, md.atoms)
    with pytest.raises(InputError, match="found 2 fragments .* several chains, a ligand or water"):
        InternalCoordinates().fit(torsions(phi=(4, 6, 8, 14)), both)


def test_geometry_is_chosen_by_size(featurizer, md, angles):
    def lengths(geometry):
        positions = InternalCoordinates(geometry).fit(featurizer, md).backmap(angles[:50], rng=np.random.default_rng(0)).positions
        return np.linalg.norm(positions[:, CA] - positions[:, N], axis=1)

    np.testing.assert_array_equal(lengths("auto"), lengths("nearest"))
    assert lengths("nearest").std() > 1e-3
    assert lengths("conditional").std() < 0.3 * lengths("nearest").std()
    with pytest.raises(InputError, match="geometry: expected one of auto, nearest, conditional, found 'mean'"):
        InternalCoordinates("mean")


def test_conditional_geometry_of_alanine_dipeptide(topology, featurizer, md, reference, angles):
    backmapper = InternalCoordinates("conditional").fit(featurizer, md)
    built = backmapper.backmap(angles, rng=np.random.default_rng(0)).positions
    assert abs(featurizer.schema.wrap(featurizer(built) - angles)).max() < 1e-5
    means = bond_lengths(topology, reference).mean(axis=0)
    np.testing.assert_allclose(bond_lengths(topology, built).mean(axis=0), means, atol=0.002)
    assert bond_lengths(topology, built).std(axis=0).max() < bond_lengths(topology, reference).std(axis=0).max() / 2


def test_atoms_get_room_but_in_long_chains(featurizer, md, angles, monkeypatch):
    with_room = InternalCoordinates("conditional").fit(featurizer, md).backmap(angles, rng=np.random.default_rng(0))
    monkeypatch.setattr("openmm_trajgan.backmap.internal_coordinates.RESIDUES_WITHOUT_WARNING", 2)
    with pytest.warns(UserWarning, match="3 residues: errors of torsions grow"):
        backmapper = InternalCoordinates("conditional").fit(featurizer, md)
    without = backmapper.backmap(angles, rng=np.random.default_rng(0))
    assert with_room.flags["clash"].mean() < 0.5 * without.flags["clash"].mean()


def test_clash_is_flagged(featurizer, md, angles):
    structures = InternalCoordinates().fit(featurizer, md).backmap(angles, rng=np.random.default_rng(0))
    np.testing.assert_array_equal(structures.flags["clash"], Clashes(md)(structures.positions))
    assert 0 < structures.flags["clash"].mean() < 0.5  # uniform angles also visit the forbidden regions


def test_no_torsions(md):
    with pytest.raises(
        InputError, match=r"expected features of kind 'torsion' that can be set, found none: distance 0-5 \(a distance\)"
    ):
        InternalCoordinates().fit(Distances([[0, 5]]), md)


def test_torsions_in_degrees(md):
    class InDegrees:
        schema = FeatureSchema(names=("phi",), units=("deg",), periods=(360.0,), kinds=("torsion",), atoms=((4, 6, 8, 14),))

    with pytest.raises(InputError, match="'phi': expected unit 'rad', found 'deg'"):
        InternalCoordinates().fit(InDegrees(), md)


def test_lever_arm():
    twist = torsions(twist=(0, 1, 2, 3))
    with pytest.warns(UserWarning, match="31 residues: errors of torsions grow along the chain"):
        InternalCoordinates().fit(twist, zigzag(31))
    with pytest.raises(InputError, match=r"at most 60 residues, found 61.*insist with InternalCoordinates\(force=True\)"):
        InternalCoordinates().fit(twist, zigzag(61))
    with pytest.warns(UserWarning, match="61 residues"):
        InternalCoordinates(force=True).fit(twist, zigzag(61))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: 10 * x, "expected bonds below 0.3 nm"),
        (lambda x: np.where(np.arange(200)[:, None, None] == 17, np.nan, x), "reference frame 17 is not finite"),
    ],
)
def test_reference_that_does_not_fit(topology, featurizer, reference, change, message):
    with pytest.raises(InputError, match=message):
        InternalCoordinates().fit(featurizer, molecule(topology, change(reference)))


def test_molecule_cut_by_the_periodic_box(topology, featurizer, reference):
    cut = reference.copy()
    cut[3, 14:] += np.float32(2.5)
    with pytest.raises(
        InputError, match=r"reference frame 3: expected bonds below .* from ALA2-CA to ALA2-C|from ALA2-C to ALA2-CA"
    ):
        InternalCoordinates().fit(featurizer, molecule(topology, cut))


def test_atoms_in_a_line():
    line = zigzag(5)
    line.atoms.positions = [[0, 0, 0], [1.2, 0.8, 0], [2.4, 0.8, 0], [3.6, 0.8, 0], [4.8, 0, 0]]
    with pytest.raises(InputError, match="reference frame 0: atoms 1, 2 and 3 stand in a line"):
        InternalCoordinates().fit(torsions(twist=(0, 1, 2, 3)), line)


def test_features_that_do_not_fit(backmapper, angles):
    with pytest.raises(InputError, match=r"expected features \(n_frames, 2\), found \(500, 1\)"):
        backmapper.backmap(angles[:, :1], rng=np.random.default_rng(0))
    with pytest.raises(InputError, match="frame 1 has a feature that is not finite"):
        backmapper.backmap([[0.0, 0.0], [0.0, np.nan]], rng=np.random.default_rng(0))


def test_fit_comes_first(angles):
    with pytest.raises(InputError, match=r"call fit\(featurizer, reference\) first"):
        InternalCoordinates().backmap(angles, rng=np.random.default_rng(0))
