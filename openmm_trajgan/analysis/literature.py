"""Figures in the conventions of MDGen, for comparison with published tables; they enter no verdict of the audit.

Source: Jing, Stärk, Jaakkola & Berger, “Generative Modeling of Molecular Dynamics Trajectories”, NeurIPS 2024, arXiv 2409.17808.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from openmm_trajgan.analysis.blocks import Blocks
from openmm_trajgan.analysis.densities import Observable
from openmm_trajgan.analysis.distributions import BINS, FloatArray
from openmm_trajgan.analysis.dynamics import autocorrelations, relaxation_time
from openmm_trajgan.analysis.inputs import Source, as_trajectories
from openmm_trajgan.analysis.mdgen_states import LAG, MetastableStates, SlowSpace, distance, lag_in_frames
from openmm_trajgan.analysis.metric import Missing
from openmm_trajgan.schema import FeatureSchema, FeatureTrajectories

LONGEST_RELAXATION = 10_000.0  # ps
COLUMNS_AT_ONCE = 4  # autocorrelations of so many torsions share the memory of a Fourier transform

_NAME = re.compile(r"(phi|psi|omega|chi[1-5]?|φ|ψ|ω|χ[1-5₁-₅]?)(?![a-z])(.*)", re.IGNORECASE | re.DOTALL)
_GREEK = {"φ": "phi", "ψ": "psi", "ω": "omega", "χ": "chi"}


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
    reference: Source, generated: Source, train: Source | None = None, *, seed: int = 0
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
    reference, generated = as_trajectories(reference, "reference"), as_trajectories(generated, "generated")
    sets = {"generated": generated}
    if train is not None:
        sets["training"] = train = as_trajectories(train, "train")
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
    in_radians = np.allclose(turns, 1, rtol=1e-12)
    angles = FeatureSchema(
        names=tuple(schema.names[column] for column in kept),
        units=("rad",) * len(kept),
        periods=(2 * math.pi,) * len(kept),
        kinds=tuple(schema.kinds[column] for column in kept),
        frame_interval=schema.frame_interval,
    )
    filled = [series for series in data if len(series)] or data.values[:1]
    if not schema.periodic.all():
        filled = [series[:, kept] for series in filled]
    return FeatureTrajectories(filled if in_radians else [series * turns.astype(np.float32) for series in filled], angles)


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
    torsions: Blocks
    singles: FloatArray  # histograms of every torsion, (n_torsions, bins)
    maps: FloatArray  # of φ and ψ of every residue, (n_residues, bins²)
    space: SlowSpace | Missing
    states: MetastableStates | Missing
    times: FloatArray  # relaxation times, (n_torsions,), frames
    longest: int | None  # lag of autocorrelations, frames

    @classmethod
    def fit(cls, reference: FeatureTrajectories, interval: float | None, seed: int) -> "_Reference":
        torsions, lag = Blocks.whole(reference), lag_in_frames(interval)
        space = lag if isinstance(lag, Missing) else SlowSpace.fit(torsions, lag)
        states = space if isinstance(space, Missing) else MetastableStates.fit(torsions, space, seed)
        longest = None if interval is None else max(round(LONGEST_RELAXATION / interval), 1)
        parts = tuple(map(_part, reference.schema.names, reference.schema.kinds))
        histograms = _histograms(torsions, _pairs(parts))
        return cls(parts, torsions, *histograms, space, states, _relaxation_times(torsions, longest), longest)

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
        return _pairs(self.parts)

    def compare(self, trajectories: FeatureTrajectories) -> list[float | Missing]:
        """Return the figures of a data set, in the order of `descriptions`."""
        data = Blocks.whole(trajectories)
        if not (data.n_frames and self.torsions.n_frames):
            reason = "has no frames" if self.torsions.n_frames else "the reference has no frames"
            return [Missing(reason)] * len(self.descriptions())
        singles, maps = _histograms(data, self.pairs)
        distances = np.array([distance(*both) for both in zip(self.singles, singles, strict=True)])
        marginals: list[float | Missing] = [float(distances[columns].mean()) for _, _, columns in self.kinds]
        if self.pairs:
            marginals.append(float(np.mean([distance(*both) for both in zip(self.maps, maps, strict=True)])))
        return [*marginals, *self._slow(data), *self._states(data), *self._relaxation(data)]

    def _slow(self, data: Blocks) -> list[float | Missing]:
        if isinstance(self.space, Missing):
            return [self.space] * 2
        distances = []
        for n_coordinates in range(1, min(self.space.vectors.shape[1], 2) + 1):
            project = partial(self.space.project, n_coordinates=n_coordinates)
            observable = Observable.over("TICA", project, (self.torsions, data))
            distances.append(distance(*(observable.tally(one)[0] for one in (self.torsions, data))))
        if len(distances) < 2:
            return [*distances, Missing("the torsions of the reference have one TICA coordinate only")]
        return [*distances]

    def _states(self, data: Blocks) -> list[float | Missing]:
        if isinstance(self.space, Missing) or isinstance(self.states, Missing):
            return [self.states if isinstance(self.states, Missing) else Missing("no TICA coordinates")] * 3
        return self.states.compare(self.space, data)

    def _relaxation(self, data: Blocks) -> list[float | Missing]:
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


def _pairs(parts: Sequence[tuple[str, str]]) -> list[tuple[int, int]]:
    """Columns of φ and ψ of the same residue."""
    columns = {part: column for column, part in enumerate(parts)}
    return [
        (column, columns["psi", residue])
        for (part, residue), column in columns.items()
        if part == "phi" and ("psi", residue) in columns
    ]


def _histograms(data: Blocks, pairs: Sequence[tuple[int, int]]) -> tuple[FloatArray, FloatArray]:
    """Return how often each bin on [-π, π] occurs, ``(n_torsions, bins)``, and of pairs of torsions, ``(n_pairs, bins²)``."""
    singles, maps = np.zeros((data.schema.n_features, BINS[1])), np.zeros((len(pairs), BINS[2] ** 2))
    for first, last in data.chunks():
        turns = data.read(first, last).astype(np.float64) / (2 * np.pi) + 0.5
        bins = np.floor(turns * BINS[1]).astype(np.int64) % BINS[1]
        coarse = bins // (BINS[1] // BINS[2])
        for column, counts in enumerate(singles):
            counts += np.bincount(bins[:, column], minlength=len(counts))
        for (phi, psi), counts in zip(pairs, maps, strict=True):
            counts += np.bincount(coarse[:, phi] * BINS[2] + coarse[:, psi], minlength=len(counts))
    return singles, maps


def _relaxation_times(data: Blocks, longest: int | None) -> FloatArray:
    """Return the relaxation time of every torsion, ``(n_torsions,)``, frames; NaN where none is seen."""
    half = max(map(len, data.series), default=0) // 2
    max_lag = half if longest is None else min(half, longest)
    columns = np.arange(data.schema.n_features)
    times = []
    for some in np.array_split(columns, -(-len(columns) // COLUMNS_AT_ONCE)):
        found, begun = np.full(len(some), np.nan), 0
        for part in autocorrelations(data.part(some.tolist()), max_lag) if data.n_frames else ():
            found = np.where(np.isnan(found), begun + relaxation_time(part), found)
            begun += len(part)
            if np.isfinite(found).all():
                break
        times.append(found)
    return np.concatenate(times)
