import MDAnalysis
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openmm_trajgan.backmap.base import Backmapper
from openmm_trajgan.backmap.distance_geometry import DistanceGeometry
from openmm_trajgan.errors import InputError
from openmm_trajgan.features import Distances, Torsions

RNG = np.random.default_rng(0)
BOND = 0.38  # nm


def chain(n_frames, n_beads, seed, dihedral=None):
    """Chains of bonds of 0.38 nm, (n_frames, n_beads, 3): wanders, or helices whose dihedrals scatter by 0.3 about one value."""
    rng = np.random.default_rng(seed)
    if dihedral is None:
        steps = rng.normal(size=(n_frames, n_beads, 3))
        for bead in range(1, n_beads):
            steps[:, bead] = 0.6 * steps[:, bead - 1] + 0.8 * steps[:, bead]
        steps *= BOND / np.linalg.norm(steps, axis=-1, keepdims=True)
        return np.cumsum(steps, axis=1)
    beads = np.zeros((n_frames, n_beads, 3))
    beads[:, 1] = [BOND, 0, 0]
    beads[:, 2] = beads[:, 1] + BOND * np.array([np.cos(1.5), np.sin(1.5), 0])
    for bead in range(3, n_beads):
        angles = dihedral + 0.3 * rng.normal(size=n_frames)
        a, b, c = (beads[:, bead - back] for back in (3, 2, 1))
        along = (c - b) / BOND
        normal = np.cross(b - a, along)
        normal /= np.linalg.norm(normal, axis=1, keepdims=True)
        local = np.stack([np.full(n_frames, np.cos(1.5)), np.sin(1.5) * np.cos(angles), np.sin(1.5) * np.sin(angles)], axis=1)
        axes = np.stack([along, np.cross(normal, along), normal], axis=1)
        beads[:, bead] = c + BOND * np.einsum("fk,fkc->fc", local, axes)
    return beads


def universe_of(beads, dimensions=None):
    n = beads.shape[1]
    universe = MDAnalysis.Universe.empty(n, n_residues=n, atom_resindex=np.arange(n), trajectory=True)
    return universe.load_new(10 * beads.astype(np.float32), dimensions=dimensions)


def apart(n_beads, least=1):
    """Distances of all beads at least so far apart along the chain."""
    return Distances(np.stack(np.triu_indices(n_beads, least), axis=1))


def exact(pairs, beads):
    first, second = np.array(pairs.schema.atoms).T
    return np.linalg.norm(beads[:, first] - beads[:, second], axis=-1)


def deviations(one, two):
    """RMSD without reflection of each frame, nm."""
    one, two = (points.astype(float) - points.astype(float).mean(axis=1, keepdims=True) for points in (one, two))
    covariance = one.transpose(0, 2, 1) @ two
    values = np.linalg.svd(covariance, compute_uv=False)
    overlap = values[:, 0] + values[:, 1] + np.sign(np.linalg.det(covariance)) * values[:, 2]
    squares = np.square(one).sum(axis=(1, 2)) + np.square(two).sum(axis=(1, 2)) - 2 * overlap
    return np.sqrt(np.maximum(squares, 0) / one.shape[1])


@pytest.mark.parametrize("n_beads", [4, 10, 64, 65, 140])
def test_exact_distances_give_the_points_back(n_beads):
    """To 1e-5 Å, whichever mirror image: 65 beads are the first to go by subspace iteration."""
    beads = chain(20, n_beads, seed=1)
    pairs = apart(n_beads)
    geometry = DistanceGeometry().fit(pairs, universe_of(chain(20, n_beads, seed=2)))
    structures = geometry.backmap(exact(pairs, beads), rng=RNG)
    assert isinstance(geometry, Backmapper)
    np.testing.assert_array_equal(geometry.atoms, np.arange(n_beads))
    assert structures.positions.dtype == np.float32
    assert structures.reference_frames is None
    errors = np.minimum(deviations(structures.positions, beads), deviations(structures.positions, beads * [1, 1, -1]))
    assert errors.max() < 1e-6
    assert structures.flags["not_3d"].max() < 1e-5
    assert structures.flags["stress"].max() < 1e-5


@given(seed=st.integers(0, 10_000), n_beads=st.integers(4, 12))
@settings(max_examples=20, deadline=None)
def test_distances_of_the_structures_are_those_asked_for(seed, n_beads):
    pairs = apart(n_beads)
    wanted = pairs(chain(5, n_beads, seed=seed))
    geometry = DistanceGeometry().fit(pairs, universe_of(chain(5, n_beads, seed=seed + 1)))
    np.testing.assert_allclose(pairs(geometry.backmap(wanted, rng=RNG).positions), wanted, atol=1e-5)


def test_beads_among_other_atoms():
    """Distances between some atoms of a molecule; the structures hold these atoms only."""
    beads = chain(10, 24, seed=3)
    chosen = np.arange(1, 24, 3)
    pairs = Distances(chosen[np.stack(np.triu_indices(len(chosen), 1), axis=1)])
    geometry = DistanceGeometry().fit(pairs, universe_of(beads))
    np.testing.assert_array_equal(geometry.atoms, chosen)
    structures = geometry.backmap(exact(pairs, beads), rng=RNG)
    np.testing.assert_allclose(apart(len(chosen))(structures.positions), exact(pairs, beads), atol=1e-5)


def test_the_mirror_image_of_a_chiral_chain_is_put_right():
    """Distances are blind to the hand; helices with dihedrals of 0.87 rad, as α carbons have, come out right-handed."""
    pairs, dihedrals = apart(10), Torsions(np.arange(7)[:, None] + np.arange(4))
    geometry = DistanceGeometry().fit(pairs, universe_of(chain(100, 10, seed=4, dihedral=0.87)))
    assert geometry.chiral
    new = chain(200, 10, seed=5, dihedral=0.87)
    structures = geometry.backmap(exact(pairs, new), rng=RNG)
    assert deviations(structures.positions, new).max() < 1e-5
    assert np.median(dihedrals(structures.positions)) > 0
    assert structures.flags["hand_margin"][~structures.flags["ambiguous"]].min() > 0
    left = DistanceGeometry().fit(pairs, universe_of(chain(100, 10, seed=4, dihedral=-0.87)))
    assert np.median(dihedrals(left.backmap(exact(pairs, new), rng=RNG).positions)) < 0


def test_an_achiral_chain_keeps_its_hand_from_frame_to_frame():
    """Frames that differ by 0.05 nm while their mirror image is ten times as far: no switch."""
    steps = np.random.default_rng(6).normal(0, 0.01, (400, 20, 3))
    beads = chain(1, 20, seed=7) + np.cumsum(steps, axis=0)
    pairs = apart(20)
    geometry = DistanceGeometry().fit(pairs, universe_of(chain(500, 20, seed=8)))
    assert not geometry.chiral
    structures = geometry.backmap(exact(pairs, beads), rng=RNG)
    assert structures.flags["ambiguous"].all()
    hands = deviations(structures.positions, beads) < deviations(structures.positions, beads * [1, 1, -1])
    assert hands.all() or not hands.any()


def test_contradicting_distances_are_refined_with_bonds_held():
    """Each distance off by 0.1 nm at random; points of least stress fit better than the mean error, bonds to a tenth of it."""
    beads, rng = chain(10, 30, seed=9), np.random.default_rng(10)
    pairs = apart(30)
    noisy = np.abs(exact(pairs, beads) + rng.normal(0, 0.1, (10, len(pairs.schema.names))))
    structures = DistanceGeometry().fit(pairs, universe_of(chain(50, 30, seed=11))).backmap(noisy, rng=RNG)
    assert structures.flags["not_3d"].min() > 0.05
    positions = structures.positions
    errors = np.minimum(deviations(positions, beads), deviations(positions, beads * [1, 1, -1]))
    assert errors.mean() < 0.1
    bonds = np.linalg.norm(np.diff(positions, axis=1), axis=-1)
    assert np.sqrt(np.square(bonds - BOND).mean()) < 0.01
    relative = np.sqrt(np.square(exact(pairs, positions) - noisy).sum(axis=1) / np.square(noisy).sum(axis=1))
    np.testing.assert_allclose(structures.flags["stress"], relative, rtol=1e-3)


def test_distances_of_neighbors_may_be_missing():
    """`Distances.alpha_carbons` leaves out the two nearest neighbours; bonds come from the reference."""
    beads = chain(10, 40, seed=12)
    pairs = apart(40, least=3)
    structures = DistanceGeometry().fit(pairs, universe_of(chain(50, 40, seed=13))).backmap(exact(pairs, beads), rng=RNG)
    positions = structures.positions
    errors = np.minimum(deviations(positions, beads), deviations(positions, beads * [1, 1, -1]))
    assert np.median(errors) < 0.01
    np.testing.assert_allclose(np.linalg.norm(np.diff(positions, axis=1), axis=-1), BOND, atol=0.05)


def test_a_third_of_the_distances_is_enough():
    beads, rng = chain(4, 60, seed=14), np.random.default_rng(15)
    everything = np.stack(np.triu_indices(60, 1), axis=1)
    known = Distances(everything[rng.random(len(everything)) < 0.33])
    structures = DistanceGeometry().fit(known, universe_of(chain(50, 60, seed=16))).backmap(exact(known, beads), rng=RNG)
    positions = structures.positions
    assert np.abs(exact(known, positions) - exact(known, beads)).mean() < 0.02
    errors = np.minimum(deviations(positions, beads), deviations(positions, beads * [1, 1, -1]))
    assert np.median(errors) < 0.1


def test_two_chains():
    """Distances within and between; dihedrals and bonds do not reach from one chain to the other."""
    beads = np.concatenate(
        [chain(30, 8, seed=17, dihedral=0.87), chain(30, 8, seed=18, dihedral=0.87) + np.array([0.0, 0.0, 2.0])], axis=1
    )
    universe = MDAnalysis.Universe.empty(
        16, n_residues=16, n_segments=2, atom_resindex=np.arange(16), residue_segindex=np.repeat([0, 1], 8), trajectory=True
    ).load_new(10 * beads.astype(np.float32))
    pairs = apart(16)
    structures = DistanceGeometry().fit(pairs, universe).backmap(exact(pairs, beads), rng=RNG)
    assert deviations(structures.positions, beads).max() < 1e-5


def test_frames_do_not_depend_on_how_many_come_together():
    """More than one block, and one frame alone; the hand of helices needs no frame before."""
    beads = chain(60, 100, seed=19, dihedral=0.87)
    pairs = apart(100)
    geometry = DistanceGeometry().fit(pairs, universe_of(chain(100, 100, seed=20, dihedral=0.87)))
    features = exact(pairs, beads)
    all_together, last = geometry.backmap(features, rng=RNG), geometry.backmap(features[-1:], rng=RNG)
    np.testing.assert_allclose(last.positions[0], all_together.positions[-1], atol=1e-5)
    np.testing.assert_allclose(last.flags["hand_margin"], all_together.flags["hand_margin"][-1:])


def test_distances_through_the_box_are_refused():
    beads = np.array([[[0.1, 0.5, 0.5], [2.9, 0.5, 0.5], [2.5, 0.8, 0.5], [2.5, 0.5, 0.9]]])
    box = np.array([[30.0, 30.0, 30.0, 90.0, 90.0, 90.0]], dtype=np.float32)
    with pytest.raises(InputError, match=r"reach through its periodic box \(by up to 2\..* nm\)"):
        DistanceGeometry().fit(apart(4), universe_of(beads, dimensions=box))


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        (Torsions([[0, 1, 2, 3]]), "expected distances in nm, found features of kind torsion in rad; use method nearest_frames"),
        (Distances([[0, 1]]), "1 distances between 2 atoms do not fix a structure"),
        (Distances([[0, 1], [2, 3], [4, 5]]), "3 distances between 6 atoms do not fix a structure: .* use method nearest_frames"),
    ],
)
def test_features_that_fix_no_structure(pairs, message):
    beads = np.random.default_rng(21).normal(size=(20, 6, 3))
    with pytest.raises(InputError, match=message):
        DistanceGeometry().fit(pairs, universe_of(beads))


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (np.ones(6), r"expected features \(n_frames, 6\) with at least one frame, found \(6,\)"),
        (np.ones((0, 6)), r"with at least one frame, found \(0, 6\)"),
        ([[1.0] * 6, [1.0] * 5 + [np.nan]], "frame 1 has a distance that is negative or not finite"),
        ([[1.0] * 5 + [-0.1]], "frame 0 has a distance that is negative or not finite"),
    ],
)
def test_features_that_cannot_be_used(features, message):
    geometry = DistanceGeometry().fit(apart(4), universe_of(chain(5, 4, seed=22)))
    with pytest.raises(InputError, match=message):
        geometry.backmap(features, rng=RNG)


def test_before_fit():
    with pytest.raises(InputError, match=r"call fit\(featurizer, reference\) first"):
        DistanceGeometry().backmap([[1.0]], rng=RNG)
