"""Metric of the audit: how long features remember where they were."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from openmm_trajgan.analysis.blocks import Blocks
from openmm_trajgan.analysis.distributions import FloatArray
from openmm_trajgan.analysis.metric import Figure, Missing
from openmm_trajgan.schema import FeatureSchema

N_LAGS = 40
REACH = 3.0  # lags go so many times beyond the slowest relaxation of the reference


@dataclass(frozen=True, eq=False)
class Relaxation:
    """Ratios of relaxation times, the lags at which autocorrelations fall to 1/e.

    Autocorrelations are those of `openmm_trajgan.analysis.autocorrelation`, at some lags, between which the time of the crossing
    is interpolated.

    Parameters
    ----------
    schema
        What the features are.
    lags
        0 and further lags, frames, ``(n_lags,)``.
    center
        Means of the features in the reference, taken off to keep digits; 0 for angles, ``(n_features,)``.
    reference_times
        Relaxation times of the reference, ``(n_features,)``, frames; NaN where it has none.
    """

    schema: FeatureSchema
    lags: NDArray[np.int64]
    center: FloatArray
    reference_times: FloatArray

    @classmethod
    def fit(cls, reference: Blocks) -> "Relaxation":
        """Choose lags that reach three times beyond the slowest relaxation, at most half of the longest series."""
        schema = reference.schema
        center = np.where(schema.periodic, 0.0, reference.mean())
        longest = max(max(map(len, reference.series)) // 2, 1)
        everything = cls(schema, _lags(longest), center, np.full(schema.n_features, np.nan))
        times = everything.times(everything.tally(reference).sum(axis=0, keepdims=True))[0]
        slowest = np.nanmax(times) if np.isfinite(times).any() else longest
        lags = _lags(int(min(longest, np.ceil(REACH * slowest))))
        fitted = cls(schema, lags, center, times)
        return cls(schema, lags, center, fitted.times(fitted.tally(reference).sum(axis=0, keepdims=True))[0])

    @property
    def figures(self) -> tuple[Figure, ...]:
        """One ratio per feature that relaxes in the reference."""
        return tuple(
            Figure(
                f"relaxation time ratio, {name}",
                "dynamics",
                "ratio",
                f"Time in which {name} forgets where it was (autocorrelation 1/e), divided by that of held-out MD.",
            )
            for name in self.names
        )

    @property
    def names(self) -> list[str]:
        """Features that relax in the reference."""
        return [name for name, time in zip(self.schema.names, self.reference_times, strict=True) if np.isfinite(time)]

    def tally(self, blocks: Blocks) -> FloatArray:
        """Return numbers of pairs, sums of products at every lag, and sums of features, real and imaginary."""
        periodic = self.schema.periodic
        n_lags, n_features = len(self.lags), self.schema.n_features
        pairs = np.zeros((blocks.n_blocks, n_lags))
        products = np.zeros((blocks.n_blocks, n_lags, n_features))
        sums = np.zeros((blocks.n_blocks, n_features + int(periodic.sum())))
        points, others = self._points(blocks, 0, 0)
        for start, stop in blocks.chunks():
            size = stop - start
            more = self._points(blocks, start + len(points), stop + size)  # for lags within this chunk and the next
            points, others = np.concatenate([points, more[0]]), np.concatenate([others, more[1]])
            here, angles, remaining = points[:size], others[:size], blocks.remaining(start, stop)
            labels = blocks.labels(start, stop)
            firsts = np.concatenate([[0], np.flatnonzero(np.diff(labels)) + 1])
            which = labels[firsts]
            sums[which] += np.add.reduceat(np.concatenate([here, angles[:, periodic]], axis=1), firsts, axis=0, dtype=np.float64)
            for index, lag in enumerate(self.lags.tolist()):
                inside = remaining >= lag
                if not inside.any():
                    continue
                n_pairs = min(stop, blocks.n_frames - lag) - start
                nearby = points[lag : lag + n_pairs], others[lag : lag + n_pairs]
                later, turned = nearby if lag <= size else self._points(blocks, start + lag, start + lag + n_pairs)
                product = np.zeros_like(here)
                np.multiply(here[:n_pairs], later, out=product[:n_pairs])
                if periodic.any():
                    product[:n_pairs] += angles[:n_pairs] * turned
                product[~inside] = 0
                pairs[which, index] += np.add.reduceat(inside, firsts, dtype=np.float64)
                products[which, index] += np.add.reduceat(product, firsts, axis=0)
            points, others = points[size:], others[size:]
        return np.concatenate([pairs, products.reshape(blocks.n_blocks, -1), sums], axis=1)

    def _points(self, blocks: Blocks, first: int, last: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return angles of some frames as points on the circle and others about their mean: real and imaginary parts."""
        frames = blocks.read(first, last)
        turns = np.array([0.0 if period is None else 2 * np.pi / period for period in self.schema.periods], dtype=np.float32)
        angles = turns * frames
        return np.where(self.schema.periodic, np.cos(angles), frames - self.center.astype(np.float32)), np.sin(angles)

    def autocorrelations(self, sums: FloatArray) -> FloatArray:
        """Return the autocorrelations from sums of tallies, ``(n, n_lags, n_features)``; NaN where there are no pairs."""
        n_lags, n_features = len(self.lags), self.schema.n_features
        pairs = sums[:, :n_lags, None]
        products = sums[:, n_lags : n_lags * (1 + n_features)].reshape(len(sums), n_lags, n_features)
        means = sums[:, n_lags * (1 + n_features) :] / pairs[:, 0]
        baseline = means[:, :n_features] ** 2
        baseline[:, self.schema.periodic] += means[:, n_features:] ** 2
        with np.errstate(invalid="ignore", divide="ignore"):
            correlation = products / np.where(pairs > 0, pairs, np.nan)
            variance = correlation[:, :1] - baseline[:, None]
            return (correlation - baseline[:, None]) / np.where(variance > 1e-9 * correlation[:, :1], variance, np.nan)

    def times(self, sums: FloatArray) -> FloatArray:
        """Return the relaxation times from sums of tallies, ``(n, n_features)``, frames; NaN where none is seen."""
        values = self.autocorrelations(sums)
        with np.errstate(invalid="ignore"):
            relaxed = values <= np.exp(-1)
        after = relaxed.argmax(axis=1)
        before = np.maximum(after - 1, 0)
        rows, columns = np.ogrid[: values.shape[0], : values.shape[2]]
        high, low = values[rows, before, columns], values[rows, after, columns]
        with np.errstate(invalid="ignore", divide="ignore"):
            crossing = self.lags[before] + (high - np.exp(-1)) / (high - low) * (self.lags[after] - self.lags[before])
        return np.where(relaxed.any(axis=1), crossing, np.nan)

    def evaluate(self, reference: FloatArray, data: FloatArray) -> FloatArray:
        """Return the ratios, ``(n, n_figures)``."""
        found = np.isfinite(self.reference_times)
        return np.asarray(self.times(data)[:, found] / self.times(reference)[:, found])

    def missing(self, index: int, reference: FloatArray, data: FloatArray) -> Missing:
        """Say whether it is constant, or how long it is seen not to relax."""
        column = self.schema.names.index(self.names[index])
        values = self.autocorrelations(data[None])[0, :, column]
        if np.isnan(values[0]):
            return Missing("constant", conclusive=True)
        seen = int(self.lags[np.isfinite(values)].max())
        ratio = seen / float(self.times(reference[None])[0, column])
        return Missing(f"does not relax within {seen} frames, the longest lag looked at", bound=ratio if ratio > 1 else None)


def _lags(longest: int) -> NDArray[np.int64]:
    return np.unique(np.concatenate([[0], np.geomspace(1, longest, N_LAGS).round()])).astype(np.int64)
