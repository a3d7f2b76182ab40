"""Generated structures beside those of MD: figures with errors, each beside MD against MD."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import bootstrap, norm

from openmm_trajgan.analysis.bonding import IntArray
from openmm_trajgan.analysis.distributions import BINS, FloatArray, divergence, uniform_edges
from openmm_trajgan.analysis.structure import (
    CLASH,
    HEAVY_CLASH,
    Energy,
    Observables,
    energies_of,
    evenly_spaced,
    require_same_atoms,
)
from openmm_trajgan.analysis.uncertainty import CONFIDENCE
from openmm_trajgan.analysis.validity import StructureValidity
from openmm_trajgan.analysis.validity_report import ValidityReport
from openmm_trajgan.errors import InputError

BLOCKS = 20  # contiguous blocks of frames, drawn again for the uncertainty
RESAMPLES = 200
LN_2 = float(np.log(2))  # the largest divergence
MD_FACTOR = 3.0  # a figure is like MD up to so many times that of MD against MD, plus the resolution
RESOLUTION = {"nm": 0.001, "rad": 0.01, "nat": 0.01}  # that of a share is one frame
ENERGY_REACH = 3.0  # interquartile ranges beyond the quartiles of MD that energies are resolved in

Verdict = Literal["like MD", "unlike MD", "not judged"]
StructureUnit = Literal["nm", "rad", "nat", "share of frames"]


@dataclass(frozen=True)
class StructureFigure:
    """One figure of the generated structures beside the same of MD against MD.

    Parameters
    ----------
    name, unit, meaning
        What is measured, against MD; 0 is best.
    generated, md
        Of the generated structures against the reference, and of the second half of the reference against the first; None where
        there is no number.
    interval, md_interval
        Their 90 % intervals: ±1.645 standard errors by the bootstrap over 20 contiguous blocks of frames of both sides.
    verdict
        ``"like MD"`` up to three times `md` plus a resolution (0.001 nm, 0.01 rad, 0.01 nat, one frame).
    reason
        Why there is no number or no verdict.
    """

    name: str
    unit: StructureUnit
    meaning: str
    generated: float | None = None
    md: float | None = None
    interval: tuple[float, float] | None = None
    md_interval: tuple[float, float] | None = None
    verdict: Verdict = "not judged"
    reason: str = ""

    @property
    def estimate(self) -> tuple[float, float, float] | None:
        """The generated value, and the lower and upper end of its interval."""
        return None if self.generated is None or self.interval is None else (self.generated, *self.interval)


@dataclass(frozen=True)
class EnergySummary:
    """Potential energies: lower quartile, median and upper quartile of the finite ones, kJ/mol, and how many are not finite.

    Parameters
    ----------
    generated, md
        Three numbers each; None if no energy is finite.
    generated_not_finite, md_not_finite
        Frames.
    """

    generated: tuple[float, float, float] | None
    md: tuple[float, float, float]
    generated_not_finite: int
    md_not_finite: int


@dataclass(frozen=True)
class StructureComparison:
    """Generated structures judged beside MD.

    Parameters
    ----------
    figures
        Always the same, in the same order; the divergence of potential energy comes last, where there is an energy.
    n_frames
        Frames on each side of every figure.
    validity
        What the structures are like, beside MD: `StructureValidity` of these frames and the next of each.
    energies
        None without an energy function.
    """

    figures: tuple[StructureFigure, ...]
    n_frames: int
    validity: ValidityReport
    energies: EnergySummary | None = None

    def __getitem__(self, name: str) -> StructureFigure:
        return next(figure for figure in self.figures if figure.name == name)

    @property
    def unlike_md(self) -> tuple[str, ...]:
        """Names of the figures that tell the structures from MD."""
        return tuple(figure.name for figure in self.figures if figure.verdict == "unlike MD")

    @property
    def sentence(self) -> str:
        """The verdict in words."""
        judged = [figure for figure in self.figures if figure.verdict != "not judged"]
        if not judged:
            return "Structure: not judged; there are too few frames."
        if not self.unlike_md:
            return f"Structure: like MD in {len(judged)} of {len(judged)} figures."
        return f"Structure: unlike MD in {', '.join(self.unlike_md)} ({len(self.unlike_md)} of {len(judged)} figures)."


def compare_structures(
    reference: Any,
    generated: Any,
    *,
    featurizer: Any = None,
    energy: Energy | None = None,
    n_frames: int = 2000,
    seed: int = 0,
) -> StructureComparison:
    """Compare generated structures with those of MD, and MD with MD by the same figures.

    MD against MD is the second half of the reference against the first. The generated structures stand against every other
    of 40 blocks of the reference, so that all figures rest on equally many frames, evenly spaced. Both Universes are left at
    their first frame.

    Parameters
    ----------
    reference, generated
        Universes or AtomGroups of the same atoms in the same order, whole in every frame. Bonds, names and masses are those of
        the reference, unless only the generated have bonds.
    featurizer
        As for `StructureValidity`.
    energy
        Potential energy of positions ``(n_frames, n_atoms, 3)`` in nm, ``(n_frames,)`` in kJ/mol. Its distribution is compared
        in 100 bins: 98 equal ones up to three interquartile ranges beyond the quartiles of MD, and two open ones; energies
        that are not finite belong to the upper one.
    n_frames
        At most so many generated frames, and so many of each half of the reference; rounded down to a multiple of 20.
    seed
        Of the bootstrap.

    Raises
    ------
    InputError
        If the atoms differ, there are less than 20 generated or 40 reference frames, or a frame is not finite or not whole.
    """
    md_atoms, atoms = reference.atoms, generated.atoms
    require_same_atoms(md_atoms, atoms)
    n_generated, n_reference = len(atoms.universe.trajectory), len(md_atoms.universe.trajectory)
    n_used = min(n_frames, n_generated, n_reference // 2) // BLOCKS * BLOCKS
    if n_used < BLOCKS:
        raise InputError(
            f"expected at least {BLOCKS} generated and {2 * BLOCKS} reference frames and n_frames of {BLOCKS} or more, "
            f"found {n_generated}, {n_reference} and n_frames={n_frames}; give longer trajectories"
        )
    md_frames, frames = evenly_spaced(n_reference, 2 * n_used), evenly_spaced(n_generated, n_used)
    md_measured, measured = _with_next(md_frames, n_reference), _with_next(frames, n_generated)
    validity = StructureValidity(atoms, md_atoms, featurizer=featurizer, reference_frames=md_measured, keep_observables=True)
    validity.run(frames=measured)
    md = _rows(validity.reference_observables, np.searchsorted(md_measured, md_frames))
    made = _rows(validity.results.observables, np.searchsorted(measured, frames))
    reasons = validity.geometry.reasons
    rng = np.random.default_rng(seed)
    figures = [
        StructureFigure(measure.name, measure.unit, measure.meaning, reason=reasons[measure.key])
        if measure.key in reasons
        else measure.judge(md[measure.key], made[measure.key], n_used, rng)
        for measure in _measures(md, made)
    ]
    energies = None
    if energy is not None:
        md_energies, own_energies = energies_of(energy, md_atoms, md_frames), energies_of(energy, atoms, frames)
        energies = _summary(md_energies, own_energies)
        figures.append(_energy_measure(energies.md).judge(md_energies, own_energies, n_used, rng))
    for universe in (md_atoms.universe, atoms.universe):
        universe.trajectory[0]
    return StructureComparison(tuple(figures), n_used, validity.results.report, energies)


def _with_next(frames: IntArray, n_there: int) -> IntArray:
    """Frames and the next of each, which tells how far structures jump."""
    both = np.unique(np.concatenate([frames, frames + 1]))
    return both[both < n_there]


def _rows(observables: Observables, rows: IntArray) -> Observables:
    return {key: values[rows] for key, values in observables.items()}


@dataclass(frozen=True)
class _Measure:
    """A figure to be: a distance between the averages of two sets over their frames.

    Parameters
    ----------
    name, unit, meaning
        As in `StructureFigure`.
    key
        The observable it is made of.
    averages
        Values ``(n_blocks, block_length, …)`` to averages over each block, ``(n_blocks, n_averages)``.
    distance
        Of two such averages over all frames, first those of MD.
    largest
        The largest distance there is.
    """

    name: str
    unit: StructureUnit
    meaning: str
    key: str
    averages: Callable[[NDArray[Any]], FloatArray]
    distance: Callable[[FloatArray, FloatArray], float]
    largest: float = np.inf

    def judge(self, md: NDArray[Any], generated: NDArray[Any], n_frames: int, rng: np.random.Generator) -> StructureFigure:
        """Compare ``(n_frames, …)`` generated values with ``(2 n_frames, …)`` of MD, and these among themselves."""
        blocks, made = (self.averages(values.reshape(-1, n_frames // BLOCKS, *values.shape[1:])) for values in (md, generated))
        figure = StructureFigure(self.name, self.unit, self.meaning)
        baseline, md_interval = self._estimate(blocks[:BLOCKS], blocks[BLOCKS:], rng)
        if not np.isfinite(baseline):
            return replace(figure, reason="undefined in some frames of MD: atoms lie on top of each other")
        figure = replace(figure, md=baseline, md_interval=md_interval)
        value, interval = self._estimate(blocks[::2], made, rng)
        if not np.isfinite(value):
            reason = "undefined in some generated frames: atoms lie on top of each other"
            return replace(figure, verdict="unlike MD", reason=reason)
        figure = replace(figure, generated=value, interval=interval)
        limit = MD_FACTOR * baseline + RESOLUTION.get(self.unit, 1 / n_frames)
        if limit >= self.largest:
            return replace(
                figure,
                reason="the two halves of MD differ so much, by few frames or slow changes, that nothing could be told from them",
            )
        return replace(figure, verdict="like MD" if value <= limit * (1 + 1e-9) else "unlike MD")  # one frame may round up

    def _estimate(self, md: FloatArray, other: FloatArray, rng: np.random.Generator) -> tuple[float, tuple[float, float]]:
        def distance(md_blocks: IntArray, other_blocks: IntArray) -> float:
            counts = (np.bincount(drawn, minlength=BLOCKS) for drawn in (md_blocks, other_blocks))
            return self.distance(*(count @ averages / BLOCKS for count, averages in zip(counts, (md, other), strict=True)))

        every = np.arange(BLOCKS)
        value = distance(every, every)
        if not np.isfinite(value):
            return np.nan, (np.nan, np.nan)
        resampled = bootstrap((every, every), distance, vectorized=False, n_resamples=RESAMPLES, method="percentile", rng=rng)
        # Not the percentiles: resampling adds noise, and noise adds to a distance, so that they lie above the value
        reach = float(norm.ppf((1 + CONFIDENCE) / 2) * resampled.standard_error)
        return value, (max(value - reach, 0.0), min(value + reach, self.largest))


def _measures(md: Observables, made: Observables) -> list[_Measure]:
    def moments(key: str) -> Callable[[NDArray[Any]], FloatArray]:
        def averages(blocks: NDArray[Any]) -> FloatArray:
            deviations = blocks - md[key].mean(axis=0)  # about the mean of MD, so that the squares keep their digits
            powers = [(deviations**power).mean(axis=1, dtype=np.float64) for power in (1, 2)]
            return np.concatenate(powers, axis=1)

        return averages

    def sizes(blocks: NDArray[Any]) -> FloatArray:
        return _histograms(blocks, uniform_edges((md["radius_of_gyration"], made["radius_of_gyration"]), BINS[1]))

    def inverted(blocks: NDArray[Any]) -> FloatArray:
        return _shares((blocks != np.sign(md["handedness"].sum(axis=0))).any(axis=2))

    def visits(blocks: NDArray[Any]) -> FloatArray:
        return _visits(blocks, np.unique(np.concatenate([_ramachandran_cells(results["phi_psi"]) for results in (md, made)])))

    md_like = "How far {} are from those of MD, root mean square."
    too_close = f"Frames with heavy atoms closer than {HEAVY_CLASH} nm or any closer than {CLASH} nm, more than three bonds apart."
    mirrored = "Frames in which an alpha carbon has not the handedness that it mostly has in MD."
    backbone = "How far the joint distribution of φ and ψ is from that of MD, mean over residues (0 same, 0.69 nothing in common)."
    size = "How far the distribution of the radius of gyration is from that of MD (0 same, 0.69 nothing in common)."
    figures: list[_Measure] = []
    kinds: tuple[tuple[str, StructureUnit, str], ...] = (("bond length", "nm", "bond_lengths"), ("angle", "rad", "angles"))
    for name, unit, key in kinds:
        figures += [
            _Measure(f"{name}s", unit, md_like.format(f"mean {name}s"), key, moments(key), _mean_deviation),
            _Measure(
                f"{name} spread", unit, md_like.format(f"standard deviations of {name}s"), key, moments(key), _spread_deviation
            ),
        ]
    return [
        *figures,
        _Measure("clashing frames", "share of frames", too_close, "clashing", _shares, _share_of_other, 1.0),
        _Measure("inverted centres", "share of frames", mirrored, "handedness", inverted, _share_of_other, 1.0),
        _Measure("Ramachandran JSD", "nat", backbone, "phi_psi", visits, divergence, LN_2),
        _Measure("radius of gyration JSD", "nat", size, "radius_of_gyration", sizes, divergence, LN_2),
    ]


def _mean_deviation(md: FloatArray, other: FloatArray) -> float:
    return _root_mean_square(np.split(other, 2)[0] - np.split(md, 2)[0])


def _spread_deviation(md: FloatArray, other: FloatArray) -> float:
    spreads = [np.sqrt(np.maximum(square - mean**2, 0)) for mean, square in (np.split(md, 2), np.split(other, 2))]
    return _root_mean_square(spreads[1] - spreads[0])


def _root_mean_square(differences: FloatArray) -> float:
    return float(np.sqrt(np.mean(differences**2)))


def _shares(blocks: NDArray[Any]) -> FloatArray:
    return np.asarray(blocks.mean(axis=1, dtype=np.float64)[:, None])


def _share_of_other(md: FloatArray, other: FloatArray) -> float:
    return float(other[0])


def _histograms(blocks: NDArray[Any], edges: FloatArray) -> FloatArray:
    """Share of the values in each bin, ``(n_blocks, n_bins)``."""
    return np.asarray(np.stack([np.histogram(values, edges)[0] for values in blocks]) / blocks.shape[1])


def _ramachandran_cells(phi_psi: NDArray[Any]) -> IntArray:
    """Which of 50 × 50 cells, counted on from residue to residue, ``(…, n_residues)``."""
    bins, n_residues = BINS[2], phi_psi.shape[-2]
    cells = np.clip((np.nan_to_num(phi_psi) + np.pi) / (2 * np.pi) * bins, 0, bins - 1).astype(np.intp)
    return np.asarray((np.arange(n_residues) * bins + cells[..., 0]) * bins + cells[..., 1])


def _visits(blocks: NDArray[Any], cells: IntArray) -> FloatArray:
    """Share of φ, ψ in each cell; as residues have equal shares, a divergence of these is the mean over the residues."""
    codes = np.searchsorted(cells, _ramachandran_cells(blocks)).reshape(len(blocks), -1)
    shares: FloatArray = np.stack([np.bincount(code, minlength=len(cells)) for code in codes]) / codes.shape[1]
    shares[np.isnan(blocks).any(axis=(1, 2, 3))] = np.nan
    return shares


def _summary(md: FloatArray, generated: FloatArray) -> EnergySummary:
    quartiles = []
    for energies in (md, generated):
        finite = energies[np.isfinite(energies)]
        quartiles.append(tuple(np.percentile(finite, (25, 50, 75)).tolist()) if finite.size else None)
    if quartiles[0] is None:
        raise InputError("energy: not finite in any frame of the reference; check its units, nm, and the order of the atoms")
    return EnergySummary(quartiles[1], quartiles[0], *(int((~np.isfinite(energies)).sum()) for energies in (generated, md)))


def _energy_measure(md_quartiles: tuple[float, float, float]) -> _Measure:
    low, _, high = md_quartiles
    reach = ENERGY_REACH * (high - low) or 0.5
    edges = np.array([-np.inf, *np.linspace(low - reach, high + reach, BINS[1] - 1), np.inf])
    meaning = "How far the distribution of the potential energy is from that of MD (0 same, 0.69 nothing in common)."

    def shares(blocks: NDArray[Any]) -> FloatArray:
        return _histograms(np.where(np.isfinite(blocks), blocks, np.inf), edges)

    return _Measure("potential energy JSD", "nat", meaning, "energy", shares, divergence, LN_2)
