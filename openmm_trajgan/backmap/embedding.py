"""Distances between points to points in space."""

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

_MOST_POINTS_OF_FULL_EIGH = 64
_SUBSPACE = 6  # vectors iterated for the three wanted: the others make it converge
_MOST_ITERATIONS = 8
_TOLERANCE = 1e-9  # of the largest eigenvalue
_SEMICIRCLE = 8 / (3 * np.pi)  # mean over root mean square of eigenvalues of random errors (Wigner)
_MOST_MAJORISATIONS = 300
_STRESS_GAIN = 1e-3  # stop when the stress falls by less than this share of itself in one round
_MAJORISATIONS_PER_ROUND = 10


def classical_scaling(distances: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Points whose distances are nearest to the given ones in the sense of classical multidimensional scaling.

    Torgerson, Psychometrika 17, 401 (1952), doi:10.1007/BF02288916. Beyond 64 points only the leading eigenvectors are computed, by
    subspace iteration; frames for which that does not converge are diagonalised completely.

    Parameters
    ----------
    distances
        Symmetric, with zeros on the diagonal, ``(n_frames, n, n)``.

    Returns
    -------
    points : FloatArray
        Centred, ``(n_frames, n, 3)``; mirror and rotation are arbitrary.
    not_3d : FloatArray
        Sum of the absolute eigenvalues beyond the third over that of all, ``(n_frames,)``: 0 for distances of points in space.
        Beyond 64 points it is estimated from the sum of their squares.

    Examples
    --------
    >>> corners = np.array([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    >>> distances = np.linalg.norm(corners[:, None] - corners, axis=-1)
    >>> points, not_3d = classical_scaling(distances[None])
    >>> np.allclose(np.linalg.norm(points[0][:, None] - points[0], axis=-1), distances), bool(not_3d[0] < 1e-12)
    (True, True)
    """
    squares = np.square(distances)
    if distances.shape[1] <= _MOST_POINTS_OF_FULL_EIGH:
        return _diagonalised(squares)
    points, not_3d, converged = _iterated(squares)
    if not converged.all():
        points[~converged], not_3d[~converged] = _diagonalised(squares[~converged])
    return points, not_3d


def _diagonalised(squares: FloatArray) -> tuple[FloatArray, FloatArray]:
    rows = squares.mean(axis=2)
    scalar_products = -0.5 * (squares - rows[:, :, None] - rows[:, None, :] + rows.mean(axis=1)[:, None, None])
    values, vectors = np.linalg.eigh(scalar_products)
    points = vectors[:, :, :-4:-1] * np.sqrt(np.maximum(values[:, None, :-4:-1], 0))
    sizes = np.abs(values)
    return points, sizes[:, :-3].sum(axis=1) / np.maximum(sizes.sum(axis=1), np.finfo(float).tiny)


def _iterated(squares: FloatArray) -> tuple[FloatArray, FloatArray, NDArray[np.bool_]]:
    """Leading eigenvectors of the centred scalar products, which are never formed: it is enough to centre products with vectors."""
    n_frames, n, _ = squares.shape
    rows = squares.mean(axis=2)
    square_sums = np.einsum("fij,fij->f", squares, squares)
    norms = 0.25 * (square_sums - 2 * n * np.square(rows).sum(axis=1) + np.square(n * rows.mean(axis=1)))
    # Slow waves along the chain: centred, and close to the shape of a polymer
    vectors = np.cos(np.pi * (np.arange(n)[:, None] + 0.5) * np.arange(1, _SUBSPACE + 1) / n)
    products = squares @ vectors
    converged = np.zeros(n_frames, dtype=bool)
    for _ in range(_MOST_ITERATIONS):
        products -= products.mean(axis=1, keepdims=True)
        basis = np.linalg.qr(products)[0]
        products = -0.5 * (squares @ basis)
        products -= products.mean(axis=1, keepdims=True)
        values, turn = np.linalg.eigh(basis.transpose(0, 2, 1) @ products)
        values, turn = values[:, :-4:-1], turn[:, :, :-4:-1]
        leading = basis @ turn
        residuals = np.linalg.norm(products @ turn - leading * values[:, None], axis=(1, 2))
        beyond = np.sqrt(np.maximum(norms - np.square(values).sum(axis=1), 0))
        rest = _SEMICIRCLE * np.sqrt(n - 3) * beyond
        # Where the distances are not those of points in space, the exact eigenvectors are no better than these
        converged = residuals <= _TOLERANCE * values[:, 0] + 0.01 * beyond
        if converged.all():
            break
    points = leading * np.sqrt(np.maximum(values[:, None], 0))
    return points, rest / np.maximum(rest + np.abs(values).sum(axis=1), np.finfo(float).tiny), converged


def majorised(points: FloatArray, targets: FloatArray, weights: FloatArray) -> FloatArray:
    """Move points until the weighted squared deviations from target distances no longer fall: SMACOF.

    de Leeuw, in Recent Developments in Statistics, 133 (1977); each step solves a quadratic that lies above the stress.

    Parameters
    ----------
    points
        Where to start, ``(n_frames, n, 3)``.
    targets
        Distances wanted, ``(n_frames, n, n)``.
    weights
        Of the pairs, the same in all frames, symmetric with zeros on the diagonal, ``(n, n)``; the pairs with a weight must
        connect all points.

    Returns
    -------
    FloatArray
        ``(n_frames, n, 3)``, centred.
    """
    n = len(weights)
    mean = np.full((n, n), 1 / n)
    inverse = np.linalg.inv(np.diag(weights.sum(axis=1)) - weights + mean) - mean
    inverse, wanted = inverse.astype(np.float32), (weights * targets).astype(np.float32)
    moved = points.astype(np.float32)
    active = np.arange(len(points))
    last = stress(moved, targets, weights)
    for _ in range(_MOST_MAJORISATIONS // _MAJORISATIONS_PER_ROUND):
        current, pull = moved[active], wanted[active]
        for _ in range(_MAJORISATIONS_PER_ROUND):
            forces = pull / between(current)
            current = inverse @ (forces.sum(axis=2, keepdims=True) * current - forces @ current)
        moved[active] = current
        now = stress(current, targets[active], weights)
        falling = now < (1 - _STRESS_GAIN) * last
        active, last = active[falling], now[falling]
        if not len(active):
            break
    return moved.astype(np.float64)


def between(points: NDArray[np.floating]) -> NDArray[np.floating]:
    """Distances between points ``(n_frames, n, 3)``, ``(n_frames, n, n)``; those below 1e-5, and of a point to itself, are 1e-5."""
    norms = np.einsum("fic,fic->fi", points, points)
    squares = points @ points.transpose(0, 2, 1)
    squares *= -2
    squares += norms[:, :, None]
    squares += norms[:, None, :]
    return np.sqrt(np.maximum(squares, 1e-10, out=squares), out=squares)


def stress(points: NDArray[np.floating], targets: FloatArray, weights: FloatArray) -> FloatArray:
    """Root of the weighted squared deviations over the weighted squared targets (Kruskal's stress 1), ``(n_frames,)``."""
    deviations = np.square(between(points) - targets)
    numerator = np.einsum("ij,fij->f", weights, deviations)
    denominator = np.einsum("ij,fij->f", weights, np.square(targets))
    ratio: FloatArray = np.sqrt(numerator / denominator)
    return ratio
