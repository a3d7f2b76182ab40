"""Metric of the audit: distributions of features, pairs of features and slow coordinates."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from openmm_trajgan.analysis.blocks import Blocks
from openmm_trajgan.analysis.distributions import BINS, Edges, FloatArray, divergences, uniform_edges
from openmm_trajgan.analysis.metric import Figure, Missing


@dataclass(frozen=True, eq=False)
class Observable:
    """One or two coordinates whose joint distribution is looked at.

    Parameters
    ----------
    name
        In the table.
    coordinates
        From frames ``(n_frames, n_features)`` to coordinates ``(n_frames, 1 or 2)``.
    edges
        Equal bins of each coordinate over the union range of all data.
    """

    name: str
    coordinates: Callable[[NDArray[np.float32]], FloatArray]
    edges: Edges

    @classmethod
    def over(cls, name: str, coordinates: Callable[[NDArray[np.float32]], FloatArray], sets: Sequence[Blocks]) -> "Observable":
        """Lay bins over the union range of several data sets, 100 for one coordinate and 50 for each of two."""
        extremes = np.array([blocks.extremes(coordinates) for blocks in sets])
        n_coordinates = extremes.shape[2]
        return cls(name, coordinates, tuple(uniform_edges(one, BINS[n_coordinates]) for one in extremes.transpose(2, 0, 1)))

    @property
    def n_bins(self) -> int:
        """Bins of the joint histogram."""
        return int(np.prod([len(edges) - 1 for edges in self.edges]))

    def bins(self, frames: NDArray[np.float32]) -> NDArray[np.int64]:
        """Return the bin of each frame, ``(n_frames,)``, the last coordinate running fastest."""
        indices = [equal_bins(values, edges) for values, edges in zip(self.coordinates(frames).T, self.edges, strict=True)]
        return np.asarray(indices[0] if len(indices) == 1 else indices[0] * (len(self.edges[1]) - 1) + indices[1])

    def tally(self, blocks: Blocks) -> FloatArray:
        """Return the histogram of every block, ``(n_blocks, n_bins)``."""
        return blocks.tally(lambda first, last: self.bins(blocks.read(first, last)), self.n_bins)


def equal_bins(values: NDArray[np.floating], edges: FloatArray) -> NDArray[np.int64]:
    """Return the bin of each value among equal bins; those beyond the ends count to the outermost bins."""
    n_bins = len(edges) - 1
    positions = (values - edges[0]) * (n_bins / (edges[-1] - edges[0]))
    return np.asarray(np.clip(positions, 0, n_bins - 1), dtype=np.int64)


@dataclass(frozen=True, eq=False)
class Densities:
    """Jensen-Shannon divergences between the distributions of observables.

    Parameters
    ----------
    observables
        What is looked at.
    """

    observables: tuple[Observable, ...]

    @property
    def figures(self) -> tuple[Figure, ...]:
        """One divergence per observable."""
        return tuple(
            Figure(
                f"JSD {one.name}",
                "distribution",
                "divergence",
                f"How far the {'joint ' * (len(one.edges) > 1)}distribution of {one.name} is from that of held-out MD "
                "(0 same, 0.69 nothing in common).",
                "nat",
            )
            for one in self.observables
        )

    def tally(self, blocks: Blocks) -> FloatArray:
        """Return the histograms of every block, ``(n_blocks, total bins)``."""
        return np.concatenate([one.tally(blocks) for one in self.observables], axis=1)

    def evaluate(self, reference: FloatArray, data: FloatArray) -> FloatArray:
        """Return the divergence of each observable, ``(n, n_figures)``, nats."""
        ends = np.cumsum([one.n_bins for one in self.observables])[:-1]
        pairs = zip(np.split(reference, ends, axis=1), np.split(data, ends, axis=1), strict=True)
        return np.stack([divergences(p, q) for p, q in pairs], axis=1)

    def missing(self, index: int, reference: FloatArray, data: FloatArray) -> Missing:
        """Every frame is in a bin."""
        return Missing("there are no frames")
