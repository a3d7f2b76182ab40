"""Does the data go everywhere that the reference goes? Microstates visited, and transitions between them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from openmm_trajgan.analysis.blocks import Blocks
from openmm_trajgan.analysis.kinetics import Microstates, transitions
from openmm_trajgan.analysis.metric import Figure, FloatArray, Missing
from openmm_trajgan.errors import InputError

FIGURES = (
    Figure("microstates visited", "coverage", "share", "Share of the frames of held-out MD whose microstate the data visit."),
    Figure("transitions seen", "coverage", "share", "Share of the transitions of held-out MD that the data make too."),
)


@dataclass(frozen=True, eq=False)
class Coverage:
    """What part of the reference the data reach, in microstates and in transitions from one to another.

    Microstates and transitions count as much as they occur in the reference, so that what MD itself hardly ever does weighs little.
    More data reach more: compare with MD of equal length.

    Parameters
    ----------
    microstates
        Fitted on the reference.
    lag
        Time of a transition, frames.

    Raises
    ------
    InputError
        If the lag is not positive.

    Examples
    --------
    >>> from openmm_trajgan.schema import FeatureSchema, FeatureTrajectories
    >>> schema = FeatureSchema(names=("x",), units=("nm",), periods=(None,))
    >>> reference = FeatureTrajectories([np.repeat([0.0, 1, 2, 1], 10)[:, None]], schema)
    >>> coverage = Coverage(Microstates.fit(reference, 3), lag=1)
    >>> half = FeatureTrajectories([reference.values[0][:20]], schema)
    >>> sums = [coverage.tally(Blocks.cut(data, 10)).sum(axis=0, keepdims=True) for data in (reference, half)]
    >>> print(coverage.evaluate(*sums).round(2))             # the first half of 0 → 1 → 2 → 1
    [[0.75 0.33]]
    """

    microstates: Microstates
    lag: int

    def __post_init__(self) -> None:
        if self.lag < 1:
            raise InputError(f"expected a lag of at least 1 frame, found {self.lag}")

    @property
    def figures(self) -> tuple[Figure, ...]:
        """What is measured."""
        return FIGURES

    def tally(self, blocks: Blocks, states: NDArray[np.integer] | None = None) -> FloatArray:
        """Count microstates and pairs of them a lag apart.

        Parameters
        ----------
        blocks
            The data.
        states
            Microstate of every frame of `blocks`, ``(n_frames,)``; None to assign them.

        Returns
        -------
        ndarray
            Shape ``(n_blocks, n_states + n_states²)``.
        """
        n_states = self.microstates.n_states
        if states is None:
            states = self.microstates.labels(blocks)
        visits = blocks.tally(lambda first, last: states[first:last], n_states)
        return np.concatenate([visits, transitions(blocks, states, n_states, self.lag)], axis=1)

    def evaluate(self, reference: FloatArray, data: FloatArray) -> FloatArray:
        """Return the figures, ``(n, 2)``, as `Metric.evaluate` says."""
        n_states = self.microstates.n_states
        seen = data > 0
        moves = np.ones(n_states**2, dtype=bool)
        moves[:: n_states + 1] = False
        with np.errstate(divide="ignore", invalid="ignore"):
            expected, found = reference[:, :n_states], seen[:, :n_states]
            visited = (expected * found).sum(axis=1) / expected.sum(axis=1)
            expected, found = reference[:, n_states:][:, moves], seen[:, n_states:][:, moves]
            made = (expected * found).sum(axis=1) / expected.sum(axis=1)
        made = np.where(seen[:, n_states:].any(axis=1), made, np.nan)  # no pair of frames to make one
        return np.stack([visited, made], axis=1)

    def missing(self, index: int, reference: FloatArray, data: FloatArray) -> Missing:
        """Say why figure `index` is NaN for one pair of sums, ``(n_statistics,)`` each."""
        if not data[self.microstates.n_states :].any():
            return Missing(f"has no series longer than the lag of {self.lag} frames")
        return Missing(f"the reference makes no transition between microstates at the lag of {self.lag} frames")
