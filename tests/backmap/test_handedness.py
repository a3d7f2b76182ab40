import numpy as np
import pytest

from openmm_trajgan.backmap.handedness import Handedness

CHAIN = np.zeros(12, dtype=np.intp)
MIRROR = np.array([1.0, 1.0, -1.0])


def curves(n_frames, twist, seed, noise=0.03):
    """Helices of 12 beads, right-handed for a positive twist and flat for none, (n_frames, 12, 3), nm, centred."""
    beads = np.arange(12)
    curve = np.stack([0.23 * np.cos(1.75 * beads), 0.23 * np.sin(1.75 * beads), twist * beads], axis=1)
    points = curve + np.random.default_rng(seed).normal(0, noise, (n_frames, 12, 3))
    return points - points.mean(axis=1, keepdims=True)


@pytest.fixture(scope="module")
def helices():
    return Handedness(curves(200, 0.15, seed=1), CHAIN)


def test_helices_are_chiral_and_their_mirror_images_turned_back(helices):
    assert helices.chiral
    points = curves(100, 0.15, seed=2)
    flipped = points * np.where(np.random.default_rng(3).random(100) < 0.5, 1.0, -1.0)[:, None, None] ** np.array([0, 0, 1])
    oriented, margins, ambiguous = helices.orient(flipped)
    np.testing.assert_allclose(oriented, points)
    assert not ambiguous.any()
    assert margins.min() > 3


def test_dihedrals_of_both_signs_tell_the_hand_by_the_bends_around_them():
    """Tight helices, turning to the right, and wide ones, turning to the left, by the same dihedral, in equal shares."""

    def helices(n_frames, seed):
        rng = np.random.default_rng(seed)
        wide = rng.random((n_frames, 1, 1)) < 0.5
        turn, radius, rise = np.where(wide, -1.2, 1.75), np.where(wide, 0.3, 0.2), 0.15
        beads = np.arange(12)[:, None]
        curve = np.concatenate([radius * np.cos(turn * beads), radius * np.sin(turn * beads), rise * beads + 0 * turn], axis=2)
        points = curve + rng.normal(0, 0.02, (n_frames, 12, 3))
        return points - points.mean(axis=1, keepdims=True)

    hand, points = Handedness(helices(200, seed=1), CHAIN), helices(100, seed=2)
    assert hand.chiral
    signs = np.sign(hand._signs(points)[:, 0])
    assert 30 < (signs > 0).sum() < 70  # of the sines of the dihedrals alone
    oriented, _, _ = hand.orient(points * np.where(np.arange(100) % 3 == 0, 1.0, -1.0)[:, None, None] ** np.array([0, 0, 1]))
    np.testing.assert_allclose(oriented, points)


def test_a_series_without_a_decided_frame_has_the_hand_of_the_least_undecided(helices):
    flat = curves(20, 0.02, seed=12, noise=0.02)
    oriented, margins, ambiguous = helices.orient(flat)
    assert ambiguous.all()
    assert margins[np.abs(margins).argmax()] > 0
    np.testing.assert_allclose(helices.orient(flat * MIRROR)[0], oriented)


def test_random_chains_are_achiral():
    rng = np.random.default_rng(4)
    assert not Handedness(np.cumsum(rng.normal(size=(400, 12, 3)), axis=1), CHAIN).chiral


@pytest.mark.parametrize("n_beads", [2, 3])
def test_beads_without_a_dihedral_are_achiral(n_beads):
    hand = Handedness(np.random.default_rng(5).normal(size=(10, n_beads, 3)), CHAIN[:n_beads])
    oriented, margins, ambiguous = hand.orient(np.random.default_rng(6).normal(size=(4, n_beads, 3)))
    assert not hand.chiral
    assert ambiguous.all()
    assert oriented.shape == (4, n_beads, 3)
    np.testing.assert_array_equal(margins, 0)


def test_undecided_frames_follow_the_decided_ones(helices):
    """A helix one half of which turns left-handed and back: while the halves disagree, a frame takes the hand of its neighbours."""
    right = curves(1, 0.15, seed=7, noise=0.0)
    half_left = right.copy()
    half_left[:, :, 2] = 0.15 * np.abs(np.arange(12) - 5.5)
    shares = np.concatenate([np.linspace(0.0, 1.0, 20), np.linspace(1.0, 0.0, 20), np.linspace(0.0, 1.0, 20)])[:, None, None]
    points = shares * right + (1 - shares) * half_left
    points -= points.mean(axis=1, keepdims=True)
    signs = np.where(np.random.default_rng(9).random(60) < 0.5, 1.0, -1.0)
    oriented, _, ambiguous = helices.orient(points * signs[:, None, None] ** np.array([0, 0, 1]))
    assert 0 < ambiguous.sum() < 60
    assert ambiguous[0]
    np.testing.assert_allclose(oriented, points)


def test_one_structure_as_reference():
    hand = Handedness(curves(1, 0.15, seed=10), CHAIN)
    points = curves(20, 0.15, seed=11)
    oriented, _, _ = hand.orient(points * MIRROR)
    np.testing.assert_allclose(oriented, points)
