"""Metric of the audit: how far features move within some numbers of frames."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from openmm_trajgan.analysis.blocks import Blocks
from openmm_trajgan.analysis.densities import equal_bins
from openmm_trajgan.analysis.distributions import BINS, FloatArray, divergences, uniform_edges
from openmm_trajgan.analysis.metric import Figure, Missing

STEPS = (1, 4, 16, 64)
LEAST_PAIRS = 0.5  # share of the frames that must have a partner, else seams decide which displacements are seen


@dataclass(frozen=True, eq=False)
class Displacements:
    """Jensen-Shannon divergences between distributions of displacements, mean over features.

    Parameters
    ----------
    edges
        For each number of frames the bins of every feature, ``(n_features, 101)``, over the union range of all data.
    """

    edges: dict[int, FloatArray]

    @classmethod
    def fit(cls, reference: Blocks, sets: tuple[Blocks, ...]) -> "Displacements":
        """Lay bins over 1, 4, 16 and 64 frames, as far as the series of the reference are long enough."""
        edges = {}
        for steps in STEPS:
            if reference.n_starts(steps) < LEAST_PAIRS * reference.n_frames:
                continue
            extremes = np.concatenate([_extremes(blocks, steps) for blocks in sets])
            edges[steps] = np.array([uniform_edges([values], BINS[1]) for values in extremes.T])
        return cls(edges)

    @property
    def figures(self) -> tuple[Figure, ...]:
        """One divergence per number of frames."""
        return tuple(
            Figure(
                f"displacement JSD, k = {steps}",
                "dynamics",
                "divergence",
                f"How far the distribution of changes over {steps} frame{'s' * (steps > 1)} is off, mean over features.",
                "nat",
            )
            for steps in self.edges
        )

    def tally(self, blocks: Blocks) -> FloatArray:
        """Return for each number of frames the number of possible starts, of displacements, and the histograms."""
        columns: list[FloatArray] = []
        for steps, edges in self.edges.items():

            def bins(starts: NDArray[np.int64], steps: int = steps, edges: FloatArray = edges) -> NDArray[np.int64]:
                moved = _moved(blocks, starts, steps).T
                return np.stack([equal_bins(values, edge) for values, edge in zip(moved, edges, strict=True)], axis=1)

            columns.append(np.stack([blocks.sizes, blocks.pairs(steps)], axis=1))
            columns.append(blocks.tally_pairs(bins, BINS[1], steps, len(edges)))
        return np.concatenate(columns, axis=1)

    def evaluate(self, reference: FloatArray, data: FloatArray) -> FloatArray:
        """Return the divergence of each number of frames, ``(n, n_figures)``, nats."""
        figures = []
        for index in range(len(self.edges)):
            (_, _, p), (frames, pairs, q) = self._parts(reference, index), self._parts(data, index)
            values = np.mean([divergences(one, other) for one, other in zip(p, q, strict=True)], axis=0)
            figures.append(np.where(pairs >= LEAST_PAIRS * frames, values, np.nan))
        return np.stack(figures, axis=1)

    def missing(self, index: int, reference: FloatArray, data: FloatArray) -> Missing:
        """Its series are too short."""
        return Missing(f"its series are shorter than {round(list(self.edges)[index] / LEAST_PAIRS)} frames")

    def _parts(self, sums: FloatArray, index: int) -> tuple[FloatArray, FloatArray, list[FloatArray]]:
        n_features = len(next(iter(self.edges.values())))
        width = 2 + n_features * BINS[1]
        part = sums[:, index * width : (index + 1) * width]
        return part[:, 0], part[:, 1], np.split(part[:, 2:], n_features, axis=1)


def _moved(blocks: Blocks, starts: NDArray[np.int64], steps: int) -> NDArray[np.float32]:
    """Return the changes over some frames, periodic features by the nearest image, ``(n_pairs, n_features)``."""
    return blocks.schema.wrap(blocks.take(starts + steps) - blocks.take(starts))


def _extremes(blocks: Blocks, steps: int) -> NDArray[np.float32]:
    """Return smallest and largest changes in parts of the data, ``(n, n_features)``."""
    found = [np.empty((0, blocks.schema.n_features), dtype=np.float32)]
    for chunk in blocks.chunks():
        starts = blocks.starts(steps, *chunk)
        if starts.size:
            moved = _moved(blocks, starts, steps)
            found.append(np.stack([moved.min(axis=0), moved.max(axis=0)]))
    return np.concatenate(found)
