"""How features move: autocorrelations, relaxation times and displacements, never across the seam between two series."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from openmm_trajgan.analysis.blocks import Blocks
from openmm_trajgan.analysis.distributions import BINS, divergences, uniform_edges
from openmm_trajgan.analysis.inputs import Source, as_trajectories
from openmm_trajgan.errors import InputError
from openmm_trajgan.schema import FeatureTrajectories

FloatArray = NDArray[np.float64]

LEAST_LAGS, MOST_LAGS = 2**14, 2**18  # that a Fourier transform gives at once, of at least as many frames


def autocorrelation(trajectories: Source, max_lag: int) -> FloatArray:
    """Normalised autocorrelation of every feature, pooled over the series.

    For a feature on the line ⟨δx(t) δx(t+k)⟩ / ⟨δx²⟩ with δx the deviation from the mean of all frames. For an angle
    (C(k) − b) / (1 − b) with C(k) = ⟨cos(x(t+k) − x(t))⟩ and b = ⟨sin x⟩² + ⟨cos x⟩², so that the image does not matter.

    Parameters
    ----------
    trajectories
        Trajectories, a buffer, arrays or a Universe; series of any lengths. All pairs of frames `k` apart within a series count the
        same.
    max_lag
        Longest lag, frames.

    Returns
    -------
    ndarray
        Shape ``(max_lag + 1, n_features)``; NaN at lags that no series is long enough for, and for a constant feature.

    Raises
    ------
    InputError
        If `max_lag` is negative.

    Examples
    --------
    >>> from openmm_trajgan.schema import FeatureSchema
    >>> schema = FeatureSchema(names=("x",), units=("nm",), periods=(None,))
    >>> steps = FeatureTrajectories([np.tile([[1.0], [-1.0]], (50, 1))], schema)
    >>> autocorrelation(steps, 2).ravel().round(6).tolist()
    [1.0, -1.0, 1.0]
    """
    trajectories = as_trajectories(trajectories)
    if max_lag < 0:
        raise InputError(f"expected max_lag ≥ 0 frames, found {max_lag}")
    if not trajectories.n_frames:
        return np.full((max_lag + 1, trajectories.schema.n_features), np.nan)
    return np.concatenate(list(autocorrelations(Blocks.whole(trajectories), max_lag)))


def autocorrelations(blocks: Blocks, max_lag: int) -> Iterator[FloatArray]:
    """Give `autocorrelation` in stretches of lags, so that no more need be computed than are looked at."""
    schema, center = blocks.schema, blocks.mean()
    turns = np.array([0.0 if period is None else 2 * np.pi / period for period in schema.periods])

    def points(frames: NDArray[np.float32]) -> NDArray[np.complex128]:  # angles on the unit circle, others about their mean
        return np.where(schema.periodic, np.exp(1j * turns * frames), frames - center)

    mean = sum(points(blocks.read(*chunk)).sum(axis=0) for chunk in blocks.chunks()) / blocks.n_frames
    baseline = np.where(schema.periodic, np.abs(mean) ** 2, 0)
    low, high = blocks.extremes(lambda frames: frames)
    variance: FloatArray | None = None
    first, n_lags = 0, LEAST_LAGS
    while first <= max_lag:
        n_lags = min(n_lags, max_lag + 1 - first)
        products, pairs = np.zeros((n_lags, schema.n_features)), np.zeros((n_lags, 1))
        n_frames = max(4 * LEAST_LAGS, n_lags)
        for series in blocks.series:
            reach = min(n_lags, len(series) - first)
            for start in range(0, len(series) - first, n_frames):
                here = points(blocks.chosen(series[start : min(start + n_frames, len(series) - first)]))
                later = points(blocks.chosen(series[start + first : start + first + n_frames + reach]))
                length = fft.next_fast_len(len(here) + reach)
                product = fft.fft(later, n=length, axis=0) * fft.fft(here, n=length, axis=0).conj()
                products[:reach] += fft.ifft(product, axis=0)[:reach].real
            pairs[:, 0] += np.maximum(len(series) - first - np.arange(n_lags), 0)
        with np.errstate(invalid="ignore", divide="ignore"):
            correlation = np.where(pairs > 0, products / pairs, np.nan) - baseline
            variance = correlation[0] if variance is None else variance
            yield np.where(low == high, np.nan, correlation / variance)
        first, n_lags = first + n_lags, min(2 * n_lags, MOST_LAGS)


def relaxation_time(autocorrelations: FloatArray) -> FloatArray:
    """First lag at which an autocorrelation is at most 1/e.

    Parameters
    ----------
    autocorrelations
        From `autocorrelation`, shape ``(n_lags, n_features)``.

    Returns
    -------
    ndarray
        Shape ``(n_features,)``, frames; NaN where the autocorrelation does not fall that far.
    """
    with np.errstate(invalid="ignore"):
        relaxed = autocorrelations <= np.exp(-1)
    return np.where(relaxed.any(axis=0), relaxed.argmax(axis=0), np.nan)


def displacements(trajectories: FeatureTrajectories, steps: int) -> NDArray[np.float32]:
    """Return the changes over a number of frames, periodic features by the nearest image, ``(n_pairs, n_features)``."""
    if steps < 1:
        raise InputError(f"expected a displacement over at least 1 frame, found {steps}")
    changes = [series[steps:] - series[:-steps] for series in trajectories if len(series) > steps]
    if not changes:
        return np.empty((0, trajectories.schema.n_features), dtype=np.float32)
    return trajectories.schema.wrap(np.concatenate(changes))


def displacement_divergence(reference: Source, other: Source, steps: int, *, bins: int = BINS[1]) -> FloatArray:
    """Jensen-Shannon divergence between the distributions of displacements over `steps` frames, natural logarithm.

    Parameters
    ----------
    reference, other
        The data sets: trajectories, a buffer, arrays or Universes.
    steps
        Frames between the two ends of a displacement.
    bins
        Equal bins over the union range of both sets.

    Returns
    -------
    ndarray
        Shape ``(n_features,)``, 0 … ln 2, nats.

    Raises
    ------
    SchemaMismatchError
        If the sets hold other features.
    InputError
        If every series of a set is too short for one displacement.
    """
    reference, other = as_trajectories(reference, "reference"), as_trajectories(other, "other")
    reference.schema.require_same(other.schema, "the reference", "the other set")
    here, there = displacements(reference, steps), displacements(other, steps)
    for label, sample in (("the reference", here), ("the other set", there)):
        if not len(sample):
            raise InputError(f"{label} has no series longer than {steps} frames; use fewer steps")
    edges = [uniform_edges((a, b), bins) for a, b in zip(here.T, there.T, strict=True)]
    counts = [
        np.array([np.histogram(column, bins=edge)[0] for column, edge in zip(sample.T, edges, strict=True)], dtype=np.float64)
        for sample in (here, there)
    ]
    return divergences(*counts)
