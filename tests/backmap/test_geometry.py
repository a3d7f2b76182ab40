import numpy as np
import pytest

from openmm_trajgan.backmap.geometry import Conditional, Nearest, ridge


@pytest.mark.statistical
def test_ridge_finds_what_is_there_and_nothing_else():
    """Targets: linear in the inputs with noise of 0.1, and noise alone.

    Law: with n = 2000 frames a weight has a standard error of 0.1/√n = 0.0022; 5 s.e. allowed. Pure noise must not be predicted
    better than by its mean: the variance explained in new data is at least −(number of inputs)/n = −0.002, 5 times that allowed.
    """
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(2000, 4))
    truth = np.array([1.0, -2.0, 0.0, 0.5])
    targets = np.stack([3 + inputs @ truth + 0.1 * rng.normal(size=2000), rng.normal(size=2000)], axis=1)
    weights, constant, errors = ridge(inputs, targets)
    # the spread of n squared deviations has a relative standard error of 1/√(2n) = 0.016
    np.testing.assert_allclose(errors, [0.1, 1.0], rtol=5 * 0.016)
    np.testing.assert_allclose(weights[:, 0], truth, atol=5 * 0.1 / np.sqrt(2000))
    assert constant[0] == pytest.approx(3, abs=5 * 0.1 / np.sqrt(2000))
    new = rng.normal(size=(2000, 4))
    assert (new @ weights[:, 1]).var() < 0.01


def test_ridge_of_few_frames_is_the_mean():
    targets = np.random.default_rng(0).normal(size=(10, 3))
    weights, constant, errors = ridge(np.random.default_rng(1).normal(size=(10, 2)), targets)
    assert not weights.any()
    np.testing.assert_allclose(errors, targets.std(axis=0))
    np.testing.assert_allclose(constant, targets.mean(axis=0))


def test_nearest_frames_but_for_the_turn_of_methyl_groups():
    """Pivot 0 is generated, at 0°, 80° and 170°; pivot 2 turns a methyl group."""
    generated = np.radians([0.0, 80.0, 170.0])
    torsions = np.stack([generated, np.arange(3.0), np.radians([20.0, 70.0, -170.0])])
    arms = np.arange(18.0).reshape(2, 3, 3)
    geometry = Nearest(torsions, arms, generated[None], np.array([False, False, True]))
    got, arms_got = geometry(np.radians([[-170.0, 30.0]]), np.array([1, 2]))  # across the seam
    np.testing.assert_array_equal(got[1], [2, 0])
    np.testing.assert_allclose(got[2], np.radians([70.0, -220.0]))  # -170° + 240° is at 70°, 20° - 240° near -170°
    np.testing.assert_array_equal(arms_got, arms[..., [2, 0]])


@pytest.fixture
def conditional():
    """Pivots: 0 generated, 1 stiff and linear in it, 2 soft and heavy, 3 soft and hydrogen; one arm whose angle follows pivot 0."""
    rng = np.random.default_rng(3)
    generated = rng.uniform(-np.pi, np.pi, 400)
    torsions = np.stack([generated, np.pi + 0.1 * np.sin(generated), generated + 1, rng.uniform(-np.pi, np.pi, 400)])
    angle = 1.9 + 0.1 * np.cos(generated)
    arms = 0.15 * np.stack([np.cos(angle), np.sin(angle), np.zeros(400)])[None]
    free, is_set = np.array([False, False, False, True]), np.array([True, False, False, False])
    return Conditional(torsions, arms, generated[None], free, is_set), torsions


def test_conditional_coordinates(conditional):
    geometry, torsions = conditional
    wanted = np.linspace(-3, 3, 30)
    source = np.arange(30)
    got, arms = geometry(wanted[None], source)
    np.testing.assert_allclose(np.cos(got[1] - np.pi - 0.1 * np.sin(wanted)), 1, atol=1e-6)  # across the seam at π
    np.testing.assert_array_equal(got[3], torsions[3, :30])
    nearest = np.cos(torsions[0][:, None] - wanted).argmax(axis=0)
    np.testing.assert_array_equal(got[2], torsions[2, nearest])
    np.testing.assert_allclose(np.linalg.norm(arms[0], axis=0), 0.15, atol=1e-6)
    np.testing.assert_allclose(np.arctan2(arms[0, 1], arms[0, 0]), 1.9 + 0.1 * np.cos(wanted), atol=1e-3)


def test_a_soft_torsion_that_the_generated_ones_tell_is_told():
    """As the pucker of a ring: between -50° and 50°, by the generated torsion; the other is of no use for it."""
    rng = np.random.default_rng(4)
    generated = rng.uniform(-np.pi, np.pi, (2, 400))
    torsions = np.stack([*generated, 0.9 * np.sin(generated[0])])
    is_set = np.array([True, True, False])
    geometry = Conditional(torsions, np.ones((1, 3, 400)), generated, np.zeros(3, dtype=bool), is_set)
    wanted = rng.uniform(-np.pi, np.pi, (2, 30))
    np.testing.assert_allclose(geometry(wanted, np.arange(30))[0][2], 0.9 * np.sin(wanted[0]), atol=0.01)


def test_nothing_is_extrapolated():
    """Trained where the angle rises with a torsion near 0, asked for a torsion near π/2."""
    generated = np.linspace(-0.3, 0.3, 200)
    angle = 1.9 + 0.1 * np.sin(generated)
    arms = 0.15 * np.stack([np.cos(angle), np.sin(angle), np.zeros(200)])[None]
    geometry = Conditional(generated[None], arms, generated[None], np.array([True]), np.array([True]))
    _, far = geometry(np.array([[1.5]]), np.zeros(1, dtype=int))
    assert np.arctan2(far[0, 1], far[0, 0]) == pytest.approx(angle.max(), abs=1e-3)


def test_torsions_of_one_frame_do_not_scatter():
    """Sines and cosines of some add up to a little more than 1, which has no real scatter."""
    torsions = np.linspace(-3, 3, 100)[:, None]
    assert (abs(np.exp(1j * torsions)) > 1).any()
    is_set = np.arange(100) == 0
    got, _ = Conditional(torsions, np.ones((1, 3, 1)), torsions[:1], ~is_set, is_set)(torsions[:1], np.zeros(1, dtype=int))
    np.testing.assert_allclose(got, torsions, atol=1e-12)


def test_conditional_coordinates_of_one_frame_are_its_own():
    torsions, arms = np.array([[1.0], [2.0]]), np.array([[[0.1], [0.05], [-0.02]]])
    got = Conditional(torsions, arms, torsions[:1], np.array([True, True]), np.array([True, False]))(
        np.zeros((1, 5)), np.zeros(5, int)
    )
    np.testing.assert_allclose(got[0][1], 2.0)
    np.testing.assert_allclose(got[1], np.repeat(arms, 5, axis=2))
