"""What generated torsions leave open: bond lengths, bond angles, improper and other torsions, as in molecular dynamics."""

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

Array = NDArray[np.float64]
STIFF = 0.32  # rad, 18°; a torsion that is told better than this has one value
_THIRD = 2 * np.pi / 3
_FOLDS = 5  # contiguous, since frames close in time are alike
_PENALTIES = 10.0 ** np.arange(-4.0, 2.0)  # per frame
_FEWEST_FRAMES = 50  # below, a regression is not even tried


def spherical(arms: Array) -> Array:
    """Bond lengths, bond angles and offsets of arms ``(n_rows, 3, n_frames)``, as ``(3, n_rows, n_frames)``."""
    aside = np.hypot(arms[:, 1], arms[:, 2])
    return np.stack([np.hypot(arms[:, 0], aside), np.arctan2(aside, arms[:, 0]), np.arctan2(arms[:, 2], arms[:, 1])])


def cartesian(coordinates: Array) -> Array:
    """Arms ``(n_rows, 3, n_frames)`` of such coordinates, the inverse of `spherical`."""
    lengths, angles, offsets = coordinates
    aside = lengths * np.sin(angles)
    return np.stack([lengths * np.cos(angles), aside * np.cos(offsets), aside * np.sin(offsets)], axis=1)


class Nearest:
    """The coordinates of the frame of molecular dynamics with the nearest generated torsions: thermal, and such as go with them.

    Bond angles open where a conformation is crowded, so that those of any other frame would clash: in alanine dipeptide with
    coordinates of frames unrelated to φ and ψ, 3.4 times as many van der Waals spheres overlap as in molecular dynamics, with
    those of the nearest 1.2 times. Methyl groups, whose hydrogens are alike, are turned by multiples of 120° to where they are in
    the consecutive frames `source`, so that they do not spin.

    Parameters
    ----------
    torsions, arms, inputs
        As in `Conditional`.
    methyl
        Pivots that turn three hydrogens and nothing else, ``(n_pivots,)``.
    """

    def __init__(self, torsions: Array, arms: Array, inputs: Array, methyl: NDArray[np.bool_]) -> None:
        self._torsions, self._arms = torsions, arms
        self._frames = cKDTree(_embedded(inputs))
        self._methyl = np.flatnonzero(methyl)

    def __call__(self, inputs: Array, source: NDArray[np.intp]) -> tuple[Array, Array]:
        """Torsions and arms for generated torsions ``(n_torsions, n_frames)``, methyl groups near those of the frames `source`."""
        nearest = self._frames.query(_embedded(inputs))[1]
        torsions = self._torsions.take(nearest, axis=1)  # in order in memory, unlike by an index in brackets
        apart = self._torsions[np.ix_(self._methyl, source)] - torsions[self._methyl]
        torsions[self._methyl] += _THIRD * np.round(apart / _THIRD)
        return torsions, self._arms.take(nearest, axis=2)


class Conditional:
    """The coordinates expected for the generated torsions: ridge regression on their sines and cosines.

    Each bond length, bond angle, offset and stiff torsion has its own penalty, chosen by cross-validation over contiguous blocks;
    where torsions do not help it is the mean, and nothing is extrapolated beyond what is expected for frames of the reference. A
    torsion is stiff if its mean, or the generated torsions, tell it within 18°, as those of a proline tell how its ring puckers.
    There is no thermal noise: in a peptide, noise that is independent of the fold adds up along the chain. Other torsions come from
    real frames: those that turn freely, such as methyl groups, from the consecutive frames `source`, the rest from the
    reference frame with the nearest generated torsions.

    Parameters
    ----------
    torsions
        Of all pivots, ``(n_pivots, n_reference)``, rad.
    arms
        ``(n_rows, 3, n_reference)``, nm.
    inputs
        Generated torsions in the reference, ``(n_torsions, n_reference)``, rad.
    is_free
        Pivots that turn hydrogen only, as those of methyl groups, ``(n_pivots,)``.
    is_set
        Pivots whose torsion is generated, ``(n_pivots,)``.

    Attributes
    ----------
    spreads : ndarray
        By how much bond lengths, nm, bond angles and offsets, rad, are off what is expected for frames held out, as root mean
        squares, ``(3 * n_rows,)``.
    turns : ndarray
        The same for torsions, rad, ``(n_pivots,)``: 0 where they are generated, 18° where they come from real frames.
    """

    def __init__(self, torsions: Array, arms: Array, inputs: Array, is_free: NDArray[np.bool_], is_set: NDArray[np.bool_]) -> None:
        n_rows = self._n_rows = len(arms)
        around = np.sqrt(-2 * np.log(np.clip(abs(np.exp(1j * torsions).mean(axis=1)), np.finfo(float).tiny, 1)))
        told = np.flatnonzero(~is_set & (~is_free | (around < STIFF)))
        lengths, angles, offsets = spherical(arms)
        turning = np.concatenate([offsets, torsions[told]])
        centres = np.angle(np.exp(1j * turning).mean(axis=1))[:, None]
        turning = centres + (turning - centres + np.pi) % (2 * np.pi) - np.pi
        self._torsions = torsions
        self._library = _embedded(inputs)
        targets = np.concatenate([lengths, angles, turning]).T
        weights, constant, errors = ridge(self._library, targets)
        stiff = (errors[3 * n_rows :] < STIFF) | (around[told] < STIFF)
        self._stiff, self._followed = told[stiff], told[~stiff]
        self.spreads, self.turns = errors[: 3 * n_rows], np.where(is_set, 0.0, STIFF)
        self.turns[self._stiff] = errors[3 * n_rows :][stiff]
        kept = np.append(np.ones(3 * n_rows, dtype=bool), stiff)
        self._weights, self._constant = weights[:, kept], constant[kept]
        fitted = self._library @ self._weights + self._constant
        self._range = fitted.min(axis=0)[:, None], fitted.max(axis=0)[:, None]

    def __call__(self, inputs: Array, source: NDArray[np.intp]) -> tuple[Array, Array]:
        """Torsions and arms for generated torsions ``(n_torsions, n_frames)``; other torsions begin with the frames `source`."""
        embedded = _embedded(inputs)
        values = np.clip(self._weights.T @ embedded.T + self._constant[:, None], *self._range)
        hard, stiff = np.split(values, [3 * self._n_rows])
        torsions = self._torsions.take(source, axis=1)
        torsions[self._stiff] = stiff
        if len(self._followed):
            library = self._library
            nearest = ((library**2).sum(axis=1) / 2 - embedded @ library.T).argmin(axis=1)
            torsions[self._followed] = self._torsions[np.ix_(self._followed, nearest)]
        return torsions, cartesian(hard.reshape(3, self._n_rows, -1))


def ridge(inputs: Array, targets: Array) -> tuple[Array, Array, Array]:
    """Linear regression with a quadratic penalty for each target, chosen by cross-validation over contiguous blocks.

    Parameters
    ----------
    inputs
        ``(n_frames, n_inputs)``.
    targets
        ``(n_frames, n_targets)``.

    Returns
    -------
    tuple of ndarray
        Weights ``(n_inputs, n_targets)``, zero where the mean predicts best; constants ``(n_targets,)``; and root mean square
        errors in the blocks held out, ``(n_targets,)``, or about the mean where there are too few frames to hold any out.
    """
    centre, mean = inputs.mean(axis=0), targets.mean(axis=0)
    weights = np.zeros((inputs.shape[1], targets.shape[1]))
    missing = targets.std(axis=0)
    if len(inputs) >= _FEWEST_FRAMES:
        errors = np.zeros((len(_PENALTIES) + 1, targets.shape[1]))
        for held_out in np.array_split(np.arange(len(inputs)), _FOLDS):
            kept = np.delete(np.arange(len(inputs)), held_out)
            middle, average = inputs[kept].mean(axis=0), targets[kept].mean(axis=0)
            missed = targets[held_out] - average
            errors[-1] += (missed**2).sum(axis=0)
            basis, scores, projected = _spectrum(inputs[kept] - middle, targets[kept] - average)
            rotated = (inputs[held_out] - middle) @ basis
            for index, penalty in enumerate(_PENALTIES):
                shrunk = projected / (scores + penalty * len(kept))[:, None]
                errors[index] += ((missed - rotated @ shrunk) ** 2).sum(axis=0)
        best = errors.argmin(axis=0)
        missing = np.sqrt(errors.min(axis=0) / len(inputs))
        basis, scores, projected = _spectrum(inputs - centre, targets - mean)
        penalties = np.append(_PENALTIES, np.inf)[best] * len(inputs)
        weights = basis @ (projected / (scores[:, None] + penalties))
    return weights, mean - centre @ weights, missing


def _spectrum(inputs: Array, targets: Array) -> tuple[Array, Array, Array]:
    scores, basis = np.linalg.eigh(inputs.T @ inputs)
    return basis, np.maximum(scores, 0), basis.T @ (inputs.T @ targets)


def _embedded(torsions: Array) -> Array:
    """Sines and cosines, ``(n_frames, 2 n_torsions)``."""
    return np.concatenate([np.sin(torsions), np.cos(torsions)]).T
