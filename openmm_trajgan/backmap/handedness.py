"""Which of two mirror images a chain is: by its dihedral angles and what is around them, or by the frame before."""

from typing import Self

import numpy as np
from numpy.typing import NDArray

from openmm_trajgan.features.torsions import Torsions

_HARMONICS = 4
_PENALTY = 1e-3  # of squared weights, against the loss per frame
_FOLDS = 5  # contiguous, since frames close in time are alike
_DECIDED = 3.0  # nats; odds of 20 : 1
_RELIABLE = 0.9  # share of reference frames whose hand is told rightly


class Handedness:
    """Which of the two mirror images of a chain is likelier, as learnt from a reference by logistic regression.

    The dihedral angle of four α carbons tells the hand of a protein together with what is around it: 50° between sharp bends is a
    right-handed helix, between blunt ones it is rare, and so is its mirror image. What is learnt holds all along the chain, so that
    it carries over to conformations that the reference has not visited. Chains without dihedral energies have no hand; `chiral`
    says which kind the reference is, judged by telling the hand of each fifth of its frames as learnt from the others.

    Parameters
    ----------
    structures
        Reference, ``(n_reference, n_beads, 3)``, nm.
    chains
        Number of the chain each bead belongs to, ``(n_beads,)``.

    Attributes
    ----------
    chiral : bool
        Whether the reference tells left from right.
    """

    def __init__(self, structures: NDArray[np.float64], chains: NDArray[np.intp]) -> None:
        starts = np.arange(max(len(chains) - 3, 0))
        starts = starts[chains[starts] == chains[starts + 3]] if len(starts) else starts
        self._starts = starts
        self._dihedrals = Torsions(starts[:, None] + np.arange(4)) if len(starts) else None
        self._first = structures[0] - structures[0].mean(axis=0)
        self.chiral = False
        if self._dihedrals is None:
            return
        signs = self._signs(structures)
        held_out = np.array_split(np.arange(len(signs)), min(_FOLDS, len(signs)))
        kept = [np.delete(np.arange(len(signs)), fold) if len(held_out) > 1 else fold for fold in held_out]
        told = [signs[fold] @ self._learn(signs[rest])._weights for fold, rest in zip(held_out, kept, strict=True)]
        self.chiral = bool((np.concatenate(told) > 0).mean() >= _RELIABLE)
        self._learn(signs)

    def orient(
        self, points: NDArray[np.float64], before: NDArray[np.float64] | None = None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
        """Replace frames of a time series by their mirror images where these are likelier.

        A frame whose odds are below 20 : 1, and every frame if the reference is achiral, has the hand of the nearest frame before
        that was decided, carried on from frame to frame by which image is closer. Where none is decided it is the hand of the
        least undecided frame, and for an achiral reference arbitrary: the first frame is the one closer to the first of those.

        Parameters
        ----------
        points
            Consecutive in time, centred, ``(n_frames, n_beads, 3)``.
        before
            The frame before them, centred and of known hand, ``(n_beads, 3)``; None at the beginning of the series.

        Returns
        -------
        oriented : NDArray[np.float64]
            ``(n_frames, n_beads, 3)``.
        margins : NDArray[np.float64]
            Log-likelihood of the image chosen minus that of the other, nats; 0 for an achiral reference, ``(n_frames,)``.
        ambiguous : NDArray[np.bool_]
            Frames decided by the frame before, ``(n_frames,)``.
        """
        scores = self._signs(points) @ self._weights if self.chiral else np.zeros(len(points))
        decided = np.abs(scores) > _DECIDED
        anchors, anchoring = np.where(scores < 0, -1.0, 1.0), decided.copy()
        if before is not None:
            anchoring[0] = True
            if not decided[0]:
                anchors[0] = _same_hand(points[:1], before[None])[0]
        elif not decided.any():
            anchoring[np.abs(scores).argmax()] = True  # the first frame of an achiral chain
            if not self.chiral:
                anchors[0] = _same_hand(points[:1], self._first[None])[0]
        # Hands relative to the first frame, by continuity alone
        relative = np.cumprod(np.concatenate([[1.0], _same_hand(points[1:], points[:-1])]))
        frames = np.arange(len(points))
        anchor = np.maximum.accumulate(np.where(anchoring, frames, -1))
        anchor[anchor < 0] = anchoring.argmax()  # frames before the first decided one follow it backwards
        hands = anchors[anchor] * relative[anchor] * relative
        oriented = points * np.stack([np.ones_like(hands), np.ones_like(hands), hands], axis=1)[:, None]
        return oriented, hands * scores, ~decided

    def _learn(self, signs: NDArray[np.float64]) -> Self:
        """Weigh `_signs` so that their sum is the log-odds of a structure against its mirror image, which has the opposite ones."""
        from sklearn.linear_model import LogisticRegression  # takes a second

        scale = np.sqrt(np.square(signs).mean()) + np.finfo(float).tiny
        both = np.concatenate([signs, -signs]) / scale
        model = LogisticRegression(C=1 / (4 * _PENALTY * len(signs)), fit_intercept=False, max_iter=1000)
        self._weights = model.fit(both, np.repeat([1, 0], len(signs))).coef_[0] / scale
        return self

    def _signs(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Functions that change sign in a mirror: sines of each dihedral times what its surroundings are, summed along the chain.

        The surroundings are the angles between bonds at both ends of the dihedral, and the dihedrals before and after it.
        """
        assert self._dihedrals is not None
        angles = np.nan_to_num(self._dihedrals(points)).astype(np.float64)  # beads on a line have none
        bonds = np.diff(points, axis=1)
        bonds /= np.maximum(np.linalg.norm(bonds, axis=-1, keepdims=True), np.finfo(float).tiny)
        bends = np.vecdot(bonds[:, 1:], bonds[:, :-1])
        left, right = bends[:, self._starts], bends[:, self._starts + 1]
        folds, linked = np.cos(angles), np.diff(self._starts) == 1
        before, after = np.zeros_like(folds), np.zeros_like(folds)
        before[:, 1:], after[:, :-1] = folds[:, :-1] * linked, folds[:, 1:] * linked
        surroundings = (np.ones_like(folds), left, right, left * right, before, after)
        sines = [np.sin(multiple * angles) for multiple in range(1, _HARMONICS + 1)]
        return np.stack([np.vecdot(sine, each) for sine in sines for each in surroundings], axis=1)


def _same_hand(points: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """1 where points superpose better than their mirror image on others, else -1; both centred, ``(n_frames,)``.

    The two sums of squared deviations differ by four times the least singular value of the covariance, with the sign of its
    determinant.
    """
    return np.where(np.linalg.det(points.transpose(0, 2, 1) @ others) < 0, -1.0, 1.0)
