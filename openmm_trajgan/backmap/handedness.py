"""Which of two mirror images a chain is: by its dihedral angles, or by the frame before."""

from typing import Self

import numpy as np
from numpy.typing import NDArray

from openmm_trajgan.features.torsions import Torsions

_N_BINS = 36  # of 10°
_PRIOR = 10.0  # frames that the angles of the whole chain count for at each position
_DECIDED = 3.0  # nats; odds of 20 : 1
_RELIABLE = 0.9  # share of reference frames whose hand is told rightly


class Handedness:
    """Likelihood of the two mirror images of a chain under the dihedral angles of consecutive beads in a reference.

    α carbons of proteins tell their hand: right-handed helices and twisted strands have other pseudo-dihedrals than their mirror
    images. Chains without dihedral energies do not; `chiral` says which kind the reference is, judged by telling the hand of each
    half of its frames with the angles of the other half.

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
        self._dihedrals = Torsions(starts[:, None] + np.arange(4)) if len(starts) else None
        self._first = structures[0] - structures[0].mean(axis=0)
        self.chiral = False
        if self._dihedrals is None:
            return
        bins = self._bins(structures)
        half = (len(bins) + 1) // 2
        told = np.concatenate(
            [
                self._learn(bins[:half])._scores(bins[half:]),
                self._learn(bins[half:] if len(bins) > 1 else bins)._scores(bins[:half]),
            ]
        )
        self.chiral = bool((told > 0).mean() >= _RELIABLE)
        self._learn(bins)

    def orient(self, points: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
        """Replace frames of a time series by their mirror images where these are likelier.

        A frame whose odds are below 20 : 1, and every frame if the reference is achiral, has the hand of the nearest frame before
        that was decided, carried on from frame to frame by which image is closer. Where none is decided the hand is
        arbitrary: the first frame has the one closer to the first reference frame.

        Parameters
        ----------
        points
            Consecutive in time, centred, ``(n_frames, n_beads, 3)``.

        Returns
        -------
        oriented : NDArray[np.float64]
            ``(n_frames, n_beads, 3)``.
        margins : NDArray[np.float64]
            Log-likelihood of the image chosen minus that of the other, nats; 0 for an achiral reference, ``(n_frames,)``.
        ambiguous : NDArray[np.bool_]
            Frames decided by the frame before, ``(n_frames,)``.
        """
        scores = self._scores(self._bins(points)) if self.chiral else np.zeros(len(points))
        decided = np.abs(scores) > _DECIDED
        anchors = np.where(scores < 0, -1.0, 1.0)
        if not decided.any():
            anchors[0] = _same_hand(points[:1], self._first[None])[0]
        # Hands relative to the first frame, by continuity alone
        relative = np.cumprod(np.concatenate([[1.0], _same_hand(points[1:], points[:-1])]))
        frames = np.arange(len(points))
        anchor = np.maximum.accumulate(np.where(decided, frames, -1))
        anchor[anchor < 0] = decided.argmax()  # frames before the first decided one follow it backwards
        hands = anchors[anchor] * relative[anchor] * relative
        oriented = points * np.stack([np.ones_like(hands), np.ones_like(hands), hands], axis=1)[:, None]
        return oriented, hands * scores, ~decided

    def _bins(self, points: NDArray[np.float64]) -> NDArray[np.intp]:
        assert self._dihedrals is not None
        angles = np.nan_to_num(self._dihedrals(points))  # beads on a line have none
        bins: NDArray[np.intp] = np.floor((angles / (2 * np.pi) + 0.5) * _N_BINS).astype(np.intp)
        return np.clip(bins, 0, _N_BINS - 1)

    def _learn(self, bins: NDArray[np.intp]) -> Self:
        """Make the table of log-odds of an angle against its mirror image, ``(n_dihedrals, _N_BINS)``."""
        counts = np.stack([np.bincount(column, minlength=_N_BINS) for column in bins.T]).astype(float)
        counts = 0.5 * counts + 0.25 * (np.roll(counts, 1, axis=1) + np.roll(counts, -1, axis=1))
        everywhere = (counts.sum(axis=0) + 1) / (counts.sum() + _N_BINS)
        logarithms = np.log(counts + _PRIOR * everywhere)
        self._odds = logarithms - logarithms[:, ::-1]
        return self

    def _scores(self, bins: NDArray[np.intp]) -> NDArray[np.float64]:
        scores: NDArray[np.float64] = self._odds[np.arange(bins.shape[1]), bins].sum(axis=1)
        return scores


def _same_hand(points: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """1 where points superpose better than their mirror image on others, else -1; both centred, ``(n_frames,)``.

    The two sums of squared deviations differ by four times the least singular value of the covariance, with the sign of its
    determinant.
    """
    return np.where(np.linalg.det(points.transpose(0, 2, 1) @ others) < 0, -1.0, 1.0)
