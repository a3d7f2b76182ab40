import numpy as np
import pytest

from openmm_trajgan.backmap.embedding import between, classical_scaling, majorised, stress


def clouds(n_frames, n, seed):
    return np.random.default_rng(seed).normal(size=(n_frames, n, 3))


def noisy(points, size, seed):
    """Symmetric distances with relative errors of that size."""
    n = points.shape[1]
    errors = np.triu(np.random.default_rng(seed).normal(0, size, (len(points), n, n)), 1)
    distances = np.linalg.norm(points[:, :, None] - points[:, None], axis=-1)
    return distances * (1 + errors + errors.transpose(0, 2, 1))


@pytest.mark.parametrize("size", [0.0, 0.05, 0.2, 0.8])
def test_subspace_iteration_agrees_with_the_full_spectrum(size):
    """70 points go by iteration; whatever the errors, the points fit the distances as those of all eigenvectors do."""
    distances = noisy(clouds(10, 70, seed=1), size, seed=2)
    points, not_3d = classical_scaling(distances)
    squares = np.square(distances)
    centring = np.eye(70) - 1 / 70
    values, vectors = np.linalg.eigh(-0.5 * centring @ squares @ centring)
    best = vectors[:, :, -3:] * np.sqrt(np.maximum(values[:, None, -3:], 0))
    np.testing.assert_allclose(
        points @ points.transpose(0, 2, 1), best @ best.transpose(0, 2, 1), atol=0.02 * values.max() * size + 1e-9
    )
    beyond = np.abs(values[:, :-3]).sum(axis=1) / np.abs(values).sum(axis=1)
    np.testing.assert_allclose(not_3d, beyond, rtol=0.15, atol=1e-5)


def test_points_on_a_line_or_all_in_one_place():
    line = np.zeros((1, 70, 3))
    line[0, :, 0] = np.arange(70)
    for points in (line, line[:, :8], 0 * line, 0 * line[:, :8]):
        found, not_3d = classical_scaling(noisy(points, 0.0, seed=0))
        np.testing.assert_allclose(noisy(found, 0.0, seed=0), noisy(points, 0.0, seed=0), atol=1e-5)
        assert np.isfinite(not_3d).all()


def test_stress_falls_to_none_for_distances_of_points():
    points = clouds(5, 12, seed=3)
    weights = 1.0 - np.eye(12)
    start = points + 0.3 * clouds(5, 12, seed=4)
    found = majorised(start, noisy(points, 0.0, seed=0), weights)
    before, after = (stress(guess, noisy(points, 0.0, seed=0), weights) for guess in (start, found))
    assert (after < 0.02 * before).all()


def test_stress_never_rises():
    points = clouds(20, 15, seed=5)
    targets, weights = noisy(points, 0.3, seed=6), np.triu(np.random.default_rng(7).random((15, 15)), 1)
    weights += weights.T
    assert (stress(majorised(points, targets, weights), targets, weights) <= stress(points, targets, weights) + 1e-6).all()


def test_distances_between():
    points = clouds(3, 9, seed=8)
    np.testing.assert_allclose(between(points), np.maximum(noisy(points, 0.0, seed=0), 1e-5), atol=1e-6)
