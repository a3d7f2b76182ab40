"""Figures in the conventions of MDGen, for comparison with published tables; they enter no verdict of the audit.

Source: Jing, Stärk, Jaakkola & Berger, “Generative Modeling of Molecular Dynamics Trajectories”, NeurIPS 2024, arXiv 2409.17808.
"""

import math
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.vq import vq
from scipy.sparse.csgraph import connected_components
from scipy.spatial.distance import jensenshannon
from scipy.stats import spearmanr

from openmm_trajgan.analysis.distributions import BINS, FloatArray
from openmm_trajgan.analysis.dynamics import autocorrelation, relaxation_time
from openmm_trajgan.analysis.markov import transition_matrix
from openmm_trajgan.analysis.metric import Missing
from openmm_trajgan.schema import FeatureSchema, FeatureTrajectories

LAG = 100.0  # ps, of TICA and of the Markov state models
LAG_TOLERANCE = 0.1  # relative difference between a whole number of frames and that lag
LEAST_LAGS = 10  # pairs of frames a lag apart in the reference, over the lag in frames
KINETIC_VARIANCE = 0.95  # held by the TICA coordinates that are clustered, PyEMMA's default
N_CENTERS = 100
N_STATES = 10
LONGEST_RELAXATION = 10_000.0  # ps
FITTED_FRAMES = 20_000  # k-means is fitted on at most so many, evenly spaced
COLUMNS_AT_ONCE = 8  # autocorrelations of so many torsions share the memory of a Fourier transform

_NAME = re.compile(r"(phi|psi|omega|chi[1-5]?|φ|ψ|ω|χ[1-5₁-₅]?)(?![a-z])(.*)", re.IGNORECASE | re.DOTALL)
_GREEK = {"φ": "phi", "ψ": "psi", "ω": "omega", "χ": "chi"}
_FAILURES = (ValueError, ArithmeticError, RuntimeError, np.linalg.LinAlgError)


@dataclass(frozen=True)
class LiteratureFigure:
    """One number as published tables have it.

    Parameters
    ----------
    name
        As in tables.
    generated
        Of the generated data against the reference; None where there is no number.
    md
        Of training data cut to the number of generated frames; None where there are not so many.
    train
        Of all training data; None without them.
    meaning
        One sentence for the report.
    convention
        How it is computed, and where that departs from MDGen.
    missing
        Why a number is None; ``""`` where none is missing but for want of training data.
    """

    name: str
    generated: float | None
    md: float | None
    train: float | None
    meaning: str
    convention: str
    missing: str = ""


def mdgen_figures(
    reference: FeatureTrajectories, generated: FeatureTrajectories, train: FeatureTrajectories | None = None, *, seed: int = 0
) -> tuple[LiteratureFigure, ...]:
    """Compute the figures of the tables of MDGen.

    Parameters
    ----------
    reference
        MD; TICA, microstates and metastable states are fitted on it.
    generated
        What is compared.
    train
        MD that the model learned from, compared in the same way.
    seed
        Of k-means, in [0, 2³²).

    Returns
    -------
    tuple of LiteratureFigure
        Features that are no angles are left out; empty if no feature is an angle.

    Raises
    ------
    SchemaMismatchError
        If the sets hold other features.

    Examples
    --------
    >>> schema = FeatureSchema(names=("phi 2", "psi 2"), units=("rad", "rad"), periods=(2 * np.pi, 2 * np.pi))
    >>> rng = np.random.default_rng(1)
    >>> left, right = (FeatureTrajectories([rng.uniform(low, low + 1, (500, 2))], schema) for low in (-2, 1))
    >>> torsions = mdgen_figures(left, right)[0]
    >>> torsions.name, round(torsions.generated, 4), torsions.md
    ('JS distance, torsions', 0.8326, None)
    """
    sets = {"generated": generated} if train is None else {"generated": generated, "training": train}
    for label, data in sets.items():
        reference.schema.require_same(data.schema, "the reference", f"the {label} data")
    if not reference.schema.periodic.any():
        return ()
    intervals = [data.schema.frame_interval for data in (reference, *sets.values())]
    fitted = _Reference.fit(_torsions(reference), next((known for known in intervals if known is not None), None), seed)
    values = {label: fitted.compare(_torsions(data)) for label, data in sets.items()}
    cut = None if train is None or train.n_frames < generated.n_frames else generated.n_frames
    if train is not None and cut is not None:
        values["MD"] = values["training"] if cut == train.n_frames else fitted.compare(_torsions(_first(train, cut)))
    note = "" if train is None else f" MD: {_md_label(cut, train.n_frames)}."
    rows = []
    for row, (name, meaning, convention) in enumerate(fitted.descriptions()):
        found = {label: figures[row] for label, figures in values.items()}
        generated_value, md, training = (_number(found.get(label)) for label in ("generated", "MD", "training"))
        rows.append(LiteratureFigure(name, generated_value, md, training, meaning, convention + note, _reasons(found)))
    return tuple(rows)


def _md_label(cut: int | None, n_frames: int) -> str:
    if cut is None:
        return f"none, the training data have {n_frames} frames, fewer than were generated"
    return f"the first {cut} of {n_frames} training frames, as many as were generated"


def _number(value: float | Missing | None) -> float | None:
    return None if isinstance(value, Missing) else value


def _reasons(values: dict[str, float | Missing]) -> str:
    """One reason if all sets share it, else one per set that lacks a number."""
    reasons = {label: value.reason for label, value in values.items() if isinstance(value, Missing)}
    if len(reasons) == len(values) and len(set(reasons.values())) == 1:
        return next(iter(reasons.values()))
    return "; ".join(f"{label} data: {reason}" for label, reason in reasons.items())


def _torsions(data: FeatureTrajectories) -> FeatureTrajectories:
    """Return the periodic features only, rad, of the series that hold frames."""
    schema = data.schema
    kept = np.flatnonzero(schema.periodic)
    turns = np.array([2 * np.pi / period for period in schema.periods if period is not None])
    scale = np.float32(1) if np.allclose(turns, 1, rtol=1e-12) else turns.astype(np.float32)
    angles = FeatureSchema(
        names=tuple(schema.names[column] for column in kept),
        units=("rad",) * len(kept),
        periods=(2 * math.pi,) * len(kept),
        kinds=tuple(schema.kinds[column] for column in kept),
        frame_interval=schema.frame_interval,
    )
    filled = [series for series in data if len(series)] or data.values[:1]
    return FeatureTrajectories([series[:, kept] * scale for series in filled], angles)


def _first(data: FeatureTrajectories, n_frames: int) -> FeatureTrajectories:
    """Return the first frames, series after series."""
    starts = np.cumsum([0, *map(len, data)])[:-1]
    kept = [
        (name, series[: n_frames - start])
        for name, series, start in zip(data.replicas, data, starts, strict=True)
        if start < n_frames
    ]
    return FeatureTrajectories(
        [series for _, series in kept] or data.values[:1], data.schema, [name for name, _ in kept] or data.replicas[:1]
    )


def _part(name: str, kind: str) -> tuple[str, str]:
    """Which torsion of which residue this is: ``("phi", "2")`` for “phi 2”; ``("", name)`` where name and kind do not tell."""
    named, told = _NAME.match(name), _NAME.fullmatch(kind)
    match = named or told
    if match is None:
        return "", name
    part = match[1].lower()
    return _GREEK.get(part[0], part)[:3] if part[0] not in "o" else "omega", (named[2] if named else name).strip(" _-:")


@dataclass(frozen=True, eq=False)
class _Reference:
    """What is fitted on the reference."""

    parts: tuple[tuple[str, str], ...]
    bins: NDArray[np.uint8]  # of every torsion and frame, (n_torsions, n_frames)
    space: "_SlowSpace | Missing"
    states: "_States | Missing"
    points: FloatArray  # in TICA coordinates, (n_frames, 2)
    times: FloatArray  # relaxation times, (n_torsions,), frames
    longest: int | None  # lag of autocorrelations, frames

    @classmethod
    def fit(cls, reference: FeatureTrajectories, interval: float | None, seed: int) -> "_Reference":
        lag = _lag(interval)
        space = lag if isinstance(lag, Missing) else _SlowSpace.fit(reference, lag)
        states = space if isinstance(space, Missing) else _States.fit(reference, space, seed)
        longest = None if interval is None else max(round(LONGEST_RELAXATION / interval), 1)
        return cls(
            tuple(map(_part, reference.schema.names, reference.schema.kinds)),
            _bins(reference),
            space,
            states,
            np.empty((0, 2)) if isinstance(space, Missing) else np.concatenate(space.project(reference, 2)),
            _relaxation_times(reference, longest),
            longest,
        )

    @property
    def kinds(self) -> list[tuple[str, str, NDArray[np.intp]]]:
        """Name, description and columns of the groups of torsions whose JS distances are averaged."""
        parts = np.array([part for part, _ in self.parts])
        kinds = [
            ("torsions", "all torsions", np.arange(len(parts))),
            ("backbone torsions", "the torsions φ and ψ", np.flatnonzero(np.isin(parts, ("phi", "psi")))),
            ("side-chain torsions", "the torsions χ", np.flatnonzero(parts == "chi")),
        ]
        return [kind for kind in kinds if kind[2].size]

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """Columns of φ and ψ of the same residue."""
        columns = {part: column for column, part in enumerate(self.parts)}
        return [
            (column, columns["psi", residue])
            for (part, residue), column in columns.items()
            if part == "phi" and ("psi", residue) in columns
        ]

    def compare(self, data: FeatureTrajectories) -> list[float | Missing]:
        """Return the figures of a data set, in the order of `descriptions`."""
        bins = _bins(data)
        if not (bins.shape[1] and self.bins.shape[1]):
            reason = "has no frames" if self.bins.shape[1] else "the reference has no frames"
            return [Missing(reason)] * len(self.descriptions())
        distances = np.array([_distance(*(_counts(one, BINS[1]) for one in both)) for both in zip(self.bins, bins, strict=True)])
        marginals: list[float | Missing] = [float(distances[columns].mean()) for _, _, columns in self.kinds]
        if self.pairs:
            coarse = [one // (BINS[1] // BINS[2]) for one in (self.bins, bins)]
            maps = [_distance(*(_counts(one[[phi, psi]], BINS[2]) for one in coarse)) for phi, psi in self.pairs]
            marginals.append(float(np.mean(maps)))
        return [*marginals, *self._slow(data), *self._states(data), *self._relaxation(data)]

    def _slow(self, data: FeatureTrajectories) -> list[float | Missing]:
        if isinstance(self.space, Missing):
            return [self.space] * 2
        points = np.concatenate(self.space.project(data, 2))
        first = _distance(*_common_counts(self.points[:, :1], points[:, :1], BINS[1]))
        if points.shape[1] < 2:
            return [first, Missing("the torsions of the reference have one TICA coordinate only")]
        return [first, _distance(*_common_counts(self.points, points, BINS[2]))]

    def _states(self, data: FeatureTrajectories) -> list[float | Missing]:
        if isinstance(self.space, Missing) or isinstance(self.states, Missing):
            return [self.states if isinstance(self.states, Missing) else Missing("no TICA coordinates")] * 3
        return self.states.compare(self.space, data)

    def _relaxation(self, data: FeatureTrajectories) -> list[float | Missing]:
        times = _relaxation_times(data, self.longest)
        both = np.isfinite(times) & np.isfinite(self.times)
        share = float(both.mean())
        if not both.any():
            return [Missing("no torsion relaxes both here and in the reference"), share]
        return [float(np.median(times[both] / self.times[both])), share]

    def descriptions(self) -> list[tuple[str, str, str]]:
        """Name, meaning and convention of every figure."""
        js = "JS distance (square root of the divergence, natural logarithm; 0 same, 0.8326 nothing in common)"
        foreign = sum(part in ("", "omega") for part, _ in self.parts)
        extra = (
            f" MDGen has φ, ψ and χ; {foreign} of the {len(self.parts)} torsions here are others or not named so."
            if foreign
            else ""
        )
        rows = [
            (
                f"JS distance, {name}",
                f"How far distributions of single torsions are from those of the reference, mean over {words}.",
                f"{js}, {BINS[1]} bins on [-π, π], mean over {len(columns)} torsions.{extra if name == 'torsions' else ''}",
            )
            for name, words, columns in self.kinds
        ]
        if self.pairs:
            rows.append(
                (
                    "JS distance, Ramachandran maps",
                    "How far the joint distributions of φ and ψ of a residue are from those of the reference.",
                    f"{js}, {BINS[2]} × {BINS[2]} bins on [-π, π]², mean over {len(self.pairs)} residues.",
                )
            )
        slow = f"lag {LAG:g} ps" if isinstance(self.space, Missing) else self.space.description
        tica = f"TICA on sine and cosine of all torsions of the reference, {slow}, kinetic map; bins over the union range"
        states = f"MSM with a lag of {LAG:g} ps." if isinstance(self.states, Missing) else self.states.description
        longest = "half of the longest series" + ("" if self.longest is None else f", at most {LONGEST_RELAXATION / 1000:g} ns")
        relaxing = (
            f"First lag at which (C(k) - b)/(1 - b) ≤ 1/e, C(k) = ⟨cos(θ(t+k) - θ(t))⟩, b = ⟨sin θ⟩² + ⟨cos θ⟩²; lags to {longest}"
        )
        return [
            *rows,
            (
                "JS distance, TICA-0",
                "How far the distribution along the slowest coordinate is from that of the reference.",
                f"{js}; {tica}, {BINS[1]} bins.",
            ),
            (
                "JS distance, TICA-0,1",
                "How far the joint distribution of the two slowest coordinates is from that of the reference.",
                f"{js}; {tica}, {BINS[2]} × {BINS[2]} bins.",
            ),
            (
                "JS distance, MSM states",
                "How far the shares of the frames in metastable states are from those of the reference.",
                f"{js} of occupancies. {states}",
            ),
            (
                "JS distance, MSM states, stationary",
                "The same for the stationary distributions of Markov state models between the metastable states.",
                f"{js} of stationary vectors. {states}",
            ),
            (
                "Spearman correlation, fluxes",
                "Whether transitions between metastable states are ordered by frequency as in the reference (1 same order).",
                f"Spearman's ρ over all elements of the fluxes π_i T_ij, diagonal included. {states}",
            ),
            (
                "relaxation time ratio, torsions",
                "Time in which a torsion forgets where it was, divided by that of the reference, median over torsions (1 is best).",
                f"{relaxing}. Torsions that relax in both sets; MDGen shows these autocorrelations and tabulates no ratio.",
            ),
            (
                "share of torsions that relax",
                "Torsions whose autocorrelation falls to 1/e both in the data and in the reference.",
                f"{relaxing}. Share of {len(self.parts)} torsions.",
            ),
        ]


def _lag(interval: float | None) -> int | Missing:
    """Return the lag of MDGen in frames."""
    if interval is None:
        return Missing(f"the time between frames is not known, so neither is the lag of {LAG:g} ps in frames")
    lag = max(round(LAG / interval), 1)
    if abs(lag * interval - LAG) > LAG_TOLERANCE * LAG:
        return Missing(f"with a frame every {interval:g} ps no whole number of frames is near the lag of {LAG:g} ps")
    return lag


def _bins(data: FeatureTrajectories) -> NDArray[np.uint8]:
    """Return the bin of every torsion on [-π, π] in every frame, ``(n_torsions, n_frames)``."""
    bins = np.empty((data.schema.n_features, data.n_frames), dtype=np.uint8)
    for column, row in enumerate(bins):
        turns = np.concatenate([series[:, column] for series in data], dtype=np.float64) / (2 * np.pi) + 0.5
        row[:] = np.floor(turns * BINS[1]).astype(np.int64) % BINS[1]
    return bins


def _counts(bins: NDArray[np.integer], n_bins: int) -> FloatArray:
    """Return how often each bin occurs, for bins ``(n_frames,)`` or, of two variables, ``(2, n_frames)``."""
    pairs = np.atleast_2d(bins)
    flat = pairs[0].astype(np.int64) if len(pairs) == 1 else pairs[0].astype(np.int64) * n_bins + pairs[1]
    return np.bincount(flat, minlength=n_bins ** len(pairs)).astype(np.float64)


def _common_counts(reference: FloatArray, data: FloatArray, n_bins: int) -> tuple[FloatArray, FloatArray]:
    """Return counts of points ``(n_frames, 1 or 2)`` in equal bins over the union range of both sets."""
    low = np.minimum(reference.min(axis=0), data.min(axis=0))
    width = np.maximum(reference.max(axis=0), data.max(axis=0)) - low
    scale = n_bins / np.where(width > 0, width, 1)
    bins = [np.minimum(((points - low) * scale).astype(np.int64), n_bins - 1).T for points in (reference, data)]
    return _counts(bins[0], n_bins), _counts(bins[1], n_bins)


def _distance(p: FloatArray, q: FloatArray) -> float:
    """Return the Jensen-Shannon distance of counts; rounding below zero is zero."""
    with np.errstate(invalid="ignore"):
        return float(np.nan_to_num(jensenshannon(p, q)))


def _relaxation_times(data: FeatureTrajectories, longest: int | None) -> FloatArray:
    """Return the relaxation time of every torsion, ``(n_torsions,)``, frames; NaN where none is seen."""
    half = max(map(len, data)) // 2
    max_lag = half if longest is None else min(half, longest)
    columns = np.arange(data.schema.n_features)
    times = []
    for some in np.array_split(columns, -(-len(columns) // COLUMNS_AT_ONCE)):
        schema = FeatureSchema(names=tuple(map(str, some)), units=("rad",) * len(some), periods=(2 * math.pi,) * len(some))
        part = FeatureTrajectories([series[:, some] for series in data], schema)
        times.append(relaxation_time(autocorrelation(part, max_lag)))
    return np.concatenate(times)


@dataclass(frozen=True, eq=False)
class _SlowSpace:
    """TICA coordinates in the kinetic map, fitted on the reference."""

    mean: FloatArray
    vectors: FloatArray  # (2 n_torsions, n_coordinates)
    n_kept: int  # coordinates that are clustered
    lag: int  # frames
    correlation: float  # of the slowest coordinate at the lag

    @property
    def description(self) -> str:
        return f"lag {LAG:g} ps ({self.lag} frames), where TICA-0 of the reference has the autocorrelation {self.correlation:.2f}"

    @classmethod
    def fit(cls, reference: FeatureTrajectories, lag: int) -> "_SlowSpace | Missing":
        n_pairs = sum(max(len(series) - lag, 0) for series in reference)
        if n_pairs < LEAST_LAGS * lag:
            return Missing(f"the series of the reference are too short for the lag of {LAG:g} ps, {lag} frames")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # deeptime's import; degenerate spectra are judged below
            from deeptime.decomposition import TICA

            covariances = TICA.covariance_estimator(lag)
            for series in reference:
                if len(series) > lag:
                    points = _encode(series)
                    covariances.partial_fit((points[:-lag], points[lag:]))
            try:
                model = TICA(lagtime=lag, scaling="kinetic_map").fit_from_covariances(covariances).fetch_model()
            except _FAILURES:
                return Missing("the torsions of the reference do not move")
        variances = np.asarray(model.singular_values) ** 2
        kept = int(np.searchsorted(variances.cumsum() / variances.sum(), KINETIC_VARIANCE)) + 1
        vectors = np.asarray(model.instantaneous_coefficients)[:, : model.output_dimension]
        if not (vectors.size and np.isfinite(vectors).all()):
            return Missing("TICA finds no coordinate of the reference")
        return cls(np.asarray(model.mean_0), vectors, min(kept, vectors.shape[1]), lag, float(model.singular_values[0]))

    def project(self, data: FeatureTrajectories, n_coordinates: int) -> list[FloatArray]:
        """Return the first coordinates, one array ``(n_frames, n_coordinates)`` per series."""
        vectors = self.vectors[:, :n_coordinates]
        return [_encode(series) @ vectors - self.mean @ vectors for series in data]


def _encode(frames: NDArray[np.float32]) -> FloatArray:
    """Sine and cosine of torsions, ``(n_frames, 2 n_torsions)``."""
    return np.concatenate([np.sin(frames), np.cos(frames)], axis=1, dtype=np.float64)


@dataclass(frozen=True, eq=False)
class _States:
    """Metastable states of the reference, and the Markov state model between them."""

    centers: FloatArray  # in TICA coordinates, (n_centers, n_kept)
    states: NDArray[np.int64]  # metastable state of every centre, (n_centers,)
    occupancies: FloatArray  # of the reference, (n_states,)
    flux: FloatArray  # of the reference, (n_states, n_states)
    description: str

    @classmethod
    def fit(cls, reference: FeatureTrajectories, space: _SlowSpace, seed: int) -> "_States | Missing":
        points = space.project(reference, space.n_kept)
        pooled = np.concatenate(points)
        pooled = np.ascontiguousarray(pooled[:: -(-len(pooled) // FITTED_FRAMES)])
        n_centers = min(N_CENTERS, len(np.unique(pooled, axis=0)))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # deeptime's import, and k-means stopping before its last digits
            from deeptime.clustering import KMeans

            clusters = KMeans(n_centers, max_iter=100, fixed_seed=seed, n_jobs=1).fit_fetch(pooled)
        centers = np.asarray(clusters.cluster_centers, dtype=np.float64)
        labels = [vq(one, centers)[0] for one in points if len(one)]
        model = _model(_transitions(labels, space.lag, n_centers))
        if model is None:
            return Missing("the reference has too few transitions between microstates for a reversible Markov state model")
        matrix, stationary, connected = model
        states = _metastable(matrix, stationary)
        if states is None:
            return Missing("the reference has fewer than two metastable states between which it goes to and fro")
        nearest = connected[vq(centers, centers[connected])[0]] if len(connected) < n_centers else np.arange(n_centers)
        position = np.full(n_centers, -1)
        position[connected] = np.arange(len(connected))
        everywhere = states[position[nearest]]
        n_states = int(states.max()) + 1
        outside = n_centers - len(connected)
        description = (
            f"k-means with {n_centers} centres{_unlike(n_centers, N_CENTERS)}, fitted on {len(pooled)} frames of the reference in "
            f"{space.n_kept} TICA coordinates ({KINETIC_VARIANCE:.0%} of the kinetic variance); reversible MSM, "
            f"lag {space.lag} frames; "
            f"PCCA+ into {n_states} states{_unlike(n_states, N_STATES, ', empty ones are left out here')}."
            + (f" {outside} centres outside the connected set go with the nearest one inside." if outside else "")
        )
        whole = [everywhere[label] for label in labels]
        occupancies = np.bincount(np.concatenate(whole), minlength=n_states).astype(np.float64)
        flux = _flux(_transitions(whole, space.lag, n_states))
        if flux is None:
            return Missing("the reference has too few transitions between metastable states for a reversible Markov state model")
        return cls(centers, everywhere, occupancies, flux, description)

    def compare(self, space: _SlowSpace, data: FeatureTrajectories) -> list[float | Missing]:
        """Return JS distances of occupancies and of stationary vectors, and the rank correlation of the fluxes."""
        labels = [self.states[vq(points, self.centers)[0]] for points in space.project(data, space.n_kept) if len(points)]
        occupancies = np.bincount(np.concatenate(labels), minlength=len(self.occupancies)).astype(np.float64)
        counts = _transitions(labels, space.lag, len(self.occupancies))
        near = _distance(self.occupancies, occupancies)
        if not counts.any():
            return [near, *[Missing(f"has no series longer than the lag of {LAG:g} ps, {space.lag} frames")] * 2]
        flux = _flux(counts)
        if flux is None:
            return [near, *[Missing("has too few transitions for a reversible Markov state model")] * 2]
        stationary = _distance(self.flux.sum(axis=1), flux.sum(axis=1))
        if not (np.ptp(flux) and np.ptp(self.flux)):
            return [near, stationary, Missing("all fluxes are the same")]
        return [near, stationary, float(spearmanr(self.flux.ravel(), flux.ravel()).statistic)]


def _unlike(found: int, usual: int, remark: str = "") -> str:
    return "" if found == usual else f" (MDGen: {usual}{remark})"


def _transitions(labels: Sequence[NDArray[np.integer]], lag: int, n_states: int) -> FloatArray:
    """Count transitions in a sliding window within each series, ``(n_states, n_states)``."""
    pairs = [one[:-lag].astype(np.int64) * n_states + one[lag:] for one in labels if len(one) > lag]
    flat = np.concatenate(pairs) if pairs else np.empty(0, dtype=np.int64)
    return np.bincount(flat, minlength=n_states**2).reshape(n_states, n_states).astype(np.float64)


def _model(counts: FloatArray) -> tuple[FloatArray, FloatArray, NDArray[np.intp]] | None:
    """Estimate the reversible model on the connected set of most states, of several such on that with most transitions.

    None where a path that hardly ever returns drives stationary probabilities to zero.
    """
    _, components = connected_components(counts > 0, directed=True, connection="strong")
    sizes = np.bincount(components)
    inside = np.bincount(components, (counts * (components[:, None] == components)).sum(axis=1))
    best = max(np.flatnonzero(inside), key=lambda component: (sizes[component], inside[component]))
    members = np.flatnonzero(components == best)
    try:
        matrix, stationary, _ = transition_matrix(counts[np.ix_(members, members)])
    except _FAILURES:
        return None
    flux = stationary[:, None] * matrix
    flux = (flux + flux.T) / 2  # the estimate stops short of detailed balance by its precision, which PCCA+ would refuse
    stationary = flux.sum(axis=1)
    return flux / stationary[:, None], stationary, members


def _flux(counts: FloatArray) -> FloatArray | None:
    """Return the flux π_i T_ij of the model of transition counts, 0 outside its connected set; None where there is no model."""
    model = _model(counts)
    if model is None:
        return None
    matrix, stationary, connected = model
    flux = np.zeros_like(counts)
    flux[np.ix_(connected, connected)] = stationary[:, None] * matrix
    return flux


def _metastable(matrix: FloatArray, stationary: FloatArray) -> NDArray[np.int64] | None:
    """Return the PCCA+ state of every microstate, as many as MDGen has or as the model allows; None for fewer than two."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deeptime's import; a partition that does not exist is tried with fewer states
        from deeptime.markov import pcca

        for n_states in range(min(N_STATES, len(matrix)), 1, -1):
            try:
                model = pcca(matrix, n_states, stationary)
            except _FAILURES:
                continue
            found, states = np.unique(model.assignments, return_inverse=True)
            if np.isfinite(model.memberships).all() and len(found) > 1:
                return np.asarray(states, dtype=np.int64)
    return None
