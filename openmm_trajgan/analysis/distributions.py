"""Where features are: histograms over a common range, Jensen-Shannon divergences and free-energy surfaces."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import entr, rel_entr

from openmm_trajgan.analysis.inputs import Source, as_trajectories
from openmm_trajgan.errors import InputError
from openmm_trajgan.schema import FeatureTrajectories

FloatArray = NDArray[np.float64]
Edges = tuple[FloatArray, ...]

BINS = {1: 100, 2: 50}  # bins per feature for one feature, for a pair


def columns(trajectories: FeatureTrajectories, features: str | Sequence[str]) -> FloatArray:
    """Return the values of some features over all frames, periodic ones wrapped to [-period/2, period/2].

    Parameters
    ----------
    trajectories
        The data.
    features
        One name or several.

    Returns
    -------
    ndarray
        Shape ``(n_frames, len(features))``, units of the schema.

    Raises
    ------
    InputError
        If the schema has no such feature.
    """
    names = (features,) if isinstance(features, str) else tuple(features)
    schema = trajectories.schema
    unknown = [name for name in names if name not in schema.names]
    if unknown:
        raise InputError(f"no feature named {', '.join(unknown)}; there are {', '.join(schema.names)}")
    indices = [schema.names.index(name) for name in names]
    values = np.concatenate([series[:, indices] for series in trajectories]).astype(np.float64)
    for column, index in enumerate(indices):
        period = schema.periods[index]
        if period is not None:
            values[:, column] = (values[:, column] + period / 2) % period - period / 2
    return values


def uniform_edges(samples: Iterable[NDArray[np.floating]], bins: int) -> FloatArray:
    """Return the edges of equal bins over the union range of several one-dimensional samples, shape ``(bins + 1,)``."""
    extremes = [extreme for sample in samples if sample.size for extreme in (sample.min(), sample.max())]
    low, high = float(min(extremes)), float(max(extremes))
    if low == high:
        low, high = low - 0.5, high + 0.5
    return np.linspace(low, high, bins + 1)


def bin_edges(sets: Iterable[FeatureTrajectories], features: str | Sequence[str], bins: int | None = None) -> Edges:
    """Return the edges of equal bins over the union range of several data sets, so that nothing is left out.

    Parameters
    ----------
    sets
        The data sets that will be compared.
    features
        One name, or a pair.
    bins
        Bins per feature; None for 100 with one feature and 50 with a pair.

    Returns
    -------
    tuple of ndarray
        One array ``(bins + 1,)`` per feature, units of the schema.

    Raises
    ------
    InputError
        If there are more than two features, or none.
    """
    names = (features,) if isinstance(features, str) else tuple(features)
    if len(names) not in BINS:
        raise InputError(f"expected one feature or a pair, found {len(names)}; name one or two")
    if bins is not None and bins < 2:
        raise InputError(f"expected at least 2 bins, found {bins}")
    samples = [columns(trajectories, names) for trajectories in sets]
    return tuple(uniform_edges((sample[:, column] for sample in samples), bins or BINS[len(names)]) for column in range(len(names)))


def histogram(trajectories: FeatureTrajectories, features: str | Sequence[str], edges: Edges) -> FloatArray:
    """Return the share of frames in each bin, shape ``(bins,)`` or ``(bins, bins)``; frames beyond the edges are not counted."""
    counts, _ = np.histogramdd(columns(trajectories, features), bins=list(edges))
    return np.asarray(counts / counts.sum())


def divergence(p: FloatArray, q: FloatArray) -> float:
    """Jensen-Shannon divergence of two distributions over the same bins, nats.

    JSD = ½ KL(p‖m) + ½ KL(q‖m) with m = (p + q)/2 and the natural logarithm: 0 for equal ones, ln 2 for disjoint ones
    (J. Lin, IEEE Trans. Inf. Theory 37, 145, 1991).

    Examples
    --------
    >>> round(divergence(np.array([1.0, 0.0]), np.array([0.0, 1.0])), 6)
    0.693147
    """
    middle = (p + q) / 2
    return float(max(rel_entr(p, middle).sum() + rel_entr(q, middle).sum(), 0.0) / 2)


def divergences(p: FloatArray, q: FloatArray) -> FloatArray:
    """Jensen-Shannon divergence of each row of counts, nats.

    Parameters
    ----------
    p, q
        Counts, ``(n, bins)`` each or one of them ``(1, bins)``; rows need not sum to one.

    Returns
    -------
    ndarray
        Shape ``(n,)``; NaN for a row without counts.

    Examples
    --------
    >>> divergences(np.array([[1.0, 1.0], [2.0, 0.0]]), np.array([[0.0, 3.0]])).round(3).tolist()
    [0.216, 0.693]
    """
    with np.errstate(invalid="ignore"):
        p, q = (counts / counts.sum(axis=-1, keepdims=True) for counts in (p, q))
    mixed = entr((p + q) / 2).sum(axis=-1) - (entr(p).sum(axis=-1) + entr(q).sum(axis=-1)) / 2
    return np.asarray(np.maximum(mixed, 0.0))


def jensen_shannon_divergence(
    reference: Source,
    other: Source,
    features: str | Sequence[str],
    *,
    bins: int | None = None,
    edges: Edges | None = None,
) -> float:
    """Jensen-Shannon divergence between the distributions of one feature or of a pair, natural logarithm.

    Parameters
    ----------
    reference, other
        The data sets: trajectories, a buffer, arrays or Universes. Periodic features are wrapped, so it does not matter which image
        they are in.
    features
        One name, or a pair.
    bins
        Bins per feature over the union range of both sets; None for 100 with one feature and 50 with a pair.
    edges
        From `bin_edges`, where several comparisons must share their bins.

    Returns
    -------
    float
        0 (same) … ln 2 ≈ 0.693 (nothing in common), nats.

    Raises
    ------
    SchemaMismatchError
        If the sets hold other features.
    InputError
        If a feature is unknown or there are more than two.

    Examples
    --------
    >>> from openmm_trajgan.schema import FeatureSchema
    >>> schema = FeatureSchema(names=("x",), units=("nm",), periods=(None,))
    >>> rng = np.random.default_rng(1)
    >>> near, far = (FeatureTrajectories([rng.normal(mean, 1, (5000, 1))], schema) for mean in (0, 3))
    >>> jensen_shannon_divergence(near, near, "x"), jensen_shannon_divergence(near, far, "x") > 0.4
    (0.0, True)
    """
    reference, other = as_trajectories(reference, "reference"), as_trajectories(other, "other")
    reference.schema.require_same(other.schema, "the reference", "the other set")
    if edges is None:
        edges = bin_edges((reference, other), features, bins)
    return divergence(histogram(reference, features, edges), histogram(other, features, edges))


def free_energy_surface(
    trajectories: Source,
    features: str | Sequence[str],
    *,
    bins: int | None = None,
    edges: Edges | None = None,
) -> tuple[FloatArray, Edges]:
    """Free energy -ln p of one feature or of a pair, in kT above the most populated bin.

    Parameters
    ----------
    trajectories
        The data: trajectories, a buffer, arrays or a Universe.
    features
        One name, or a pair.
    bins
        Bins per feature; None for 100 with one feature and 50 with a pair.
    edges
        From `bin_edges`, to see several sets on the same grid.

    Returns
    -------
    free_energy
        Shape ``(bins,)`` or ``(bins, bins)`` (first feature first), kT; infinite where there is no frame.
    edges
        One array ``(bins + 1,)`` per feature.

    Raises
    ------
    InputError
        If a feature is unknown or there are more than two.
    """
    trajectories = as_trajectories(trajectories)
    if edges is None:
        edges = bin_edges((trajectories,), features, bins)
    probabilities = histogram(trajectories, features, edges)
    with np.errstate(divide="ignore"):
        return -np.log(probabilities / probabilities.max()), edges
