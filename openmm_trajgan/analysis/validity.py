"""Are generated structures physical? Every figure beside that of molecular dynamics, in one pass over all frames."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from MDAnalysis.analysis.results import ResultsGroup
from numpy.typing import NDArray

from openmm_trajgan.analysis.frame_blocks import BlockAnalysis
from openmm_trajgan.analysis.structure import (
    Energy,
    Observables,
    StructureGeometry,
    energies_of,
    evenly_spaced,
    require_same_atoms,
    template_of,
)
from openmm_trajgan.analysis.validity_report import FloatArray, Measured, Norm, report_of, values_of
from openmm_trajgan.errors import InputError

# BioEmu's filter of unphysical frames: longest distance of adjacent alpha carbons and longest peptide bond
ALPHA_GAP, PEPTIDE_BOND = 0.45, 0.2  # nm
_ANGSTROM = 10.0  # per nm
_FEWEST_TO_SUPERPOSE = 4  # atoms; fewer have no orientation that is theirs alone

Tally = dict[str, Any]


class StructureValidity(BlockAnalysis):
    """Geometry of generated structures beside that of molecular dynamics, as an MDAnalysis analysis that may run in processes.

    There are no thresholds to pass: clashes and bad frames happen in molecular dynamics too, and what counts is the ratio. Pass
    rates by the criteria of BioEmu and Str2Str are there for comparison with the literature.

    Parameters
    ----------
    atomgroup
        The structures, whole in every frame: an AtomGroup or a Universe. Features, and where one trajectory ends and the next
        begins, are read from ``ts.data["features"]`` and ``ts.data["trajectory"]`` where these are.
    reference
        The same atoms in molecular dynamics; None for the figures of `atomgroup` alone. Its bonds, names and elements are used,
        unless only `atomgroup` has bonds. Its frames are measured once.
    featurizer
        That of the model: called with positions ``(n_frames, n_atoms, 3)`` in nm and box vectors, with the attribute ``schema``.
        With it, features of the structures are compared with those generated.
    energy
        Potential energy of positions ``(n_frames, n_atoms, 3)`` in nm, ``(n_frames,)`` in kJ/mol.
    n_energies
        At most so many energies, of frames evenly spaced.
    reference_frames
        Frames of the reference to measure, ascending; default all.
    keep_observables
        Whether to keep what was measured in each frame.
    verbose
        Whether to show progress.

    Attributes
    ----------
    results.report : ValidityReport
        The figures.
    results.bad : ndarray
        Frames with heavy atoms closer than 0.2 nm or any closer than 0.12 nm, more than three bonds apart, ``(n_frames,)``.
    results.jumps : ndarray
        Root mean square distance of heavy atoms from the frame before, after superposition, nm, ``(n_frames,)``; NaN in the
        first frame of a trajectory, and where the frame before is further away than others are.
    results.feature_errors : ndarray
        Root mean square over the features of generated value less that of the structure, in standard deviations of the
        reference, ``(n_frames,)``; features that never change there are left out. NaN without features, featurizer or reference.
    results.observables : dict
        What was measured in each frame, see `StructureGeometry.measure`; empty without `keep_observables`.
    reference_observables : dict
        The same of the frames of the reference.

    Raises
    ------
    InputError
        If the atoms differ; from `run`, if there is no frame, a position is not finite or the periodic box cuts the molecule.

    Examples
    --------
    >>> import MDAnalysis
    >>> molecule = MDAnalysis.Universe.empty(3, trajectory=True)
    >>> molecule.add_TopologyAttr("bonds", [(0, 1), (1, 2)])
    >>> bent = np.array([[1, 0, 0], [0, 0, 0], [0, 1.5, 0]], dtype=np.float32)
    >>> md = molecule.load_new(np.stack([bent, 1.02 * bent, 0.98 * bent]))
    >>> generated = md.copy().load_new(np.stack([bent, 1.04 * bent, 0.96 * bent]))
    >>> report = StructureValidity(generated, md).run().results.report
    >>> round(report["bond deviation"].ratio, 3), round(report["bond variance"].ratio, 3)
    (2.0, 4.0)
    """

    _analysis_algorithm_is_parallelizable = True

    @classmethod
    def get_supported_backends(cls) -> tuple[str, ...]:
        """Return the names of MDAnalysis' backends that this analysis runs with."""
        return "serial", "multiprocessing", "dask"

    def __init__(
        self,
        atomgroup: Any,
        reference: Any = None,
        *,
        featurizer: Any = None,
        energy: Energy | None = None,
        n_energies: int = 200,
        reference_frames: NDArray[np.integer[Any]] | None = None,
        keep_observables: bool = False,
        verbose: bool = False,
    ) -> None:
        self._reference = None if reference is None else reference.atoms
        if self._reference is not None:
            require_same_atoms(self._reference, atomgroup.atoms)
        template = atomgroup.atoms if self._reference is None else template_of(self._reference, atomgroup.atoms)
        super().__init__(atomgroup, StructureGeometry(template), verbose=verbose)
        first = self.geometry.measure(template.positions[None])
        self._origin: dict[str, FloatArray] = {
            key: first[key][0].astype(np.float64) for key in ("bond_lengths", "angles") if key in first
        }
        self._featurizer, self._energy, self._n_energies = featurizer, energy, n_energies
        self._reference_frames, self._keep = reference_frames, keep_observables
        self.reads_features = featurizer is not None
        self._md: Measured | None = None
        self.reference_observables: Observables = {}

    def __getstate__(self) -> dict[str, Any]:
        without: dict[str, Any] = {
            "_reference": None,
            "_energy": None,
            "reference_observables": {},
        }  # used before and after the processes run
        return self.__dict__ | without

    def run(self, *arguments: Any, **options: Any) -> "StructureValidity":
        """Measure the reference, then the structures; arguments are those of MDAnalysis' analyses."""
        if self._reference is not None and self._md is None:
            md = StructureValidity(
                self._reference,
                featurizer=self._featurizer,
                energy=self._energy,
                n_energies=self._n_energies,
                keep_observables=self._keep,
            )
            md.geometry, md._origin = self.geometry, self._origin
            self._md = md.run(frames=self._reference_frames)._measured
            self.reference_observables = md.results.observables
        super().run(*arguments, **options)
        return self

    def _prepare(self) -> None:
        super()._prepare()
        self._before: tuple[int, NDArray[np.float32]] | None = None
        self.results.tally, self.results.observables = {"n_frames": 0}, []
        for name in ("bad", "bioemu", "alpha_clashes"):
            self.results[name] = np.zeros(self.n_frames, dtype=bool)
        for name in ("alpha_gaps", "jumps", "feature_errors"):
            self.results[name] = np.full(self.n_frames, np.nan, dtype=np.float32)

    def _measure(
        self, rows: slice, positions: NDArray[np.float32], features: NDArray[np.float32] | None, boxes: FloatArray | None
    ) -> None:
        """Measure ``(n_frames, n_atoms, 3)``, Å, with generated features ``(n_frames, n_features)`` and box vectors in nm."""
        results = self.results
        found = self.geometry.measure(positions)
        tally: Tally = {"n_frames": len(positions)}
        if self._keep:
            results.observables.append(found)
        for key, origin in self._origin.items():
            deviations = found[key] - origin
            tally[key] = np.stack([deviations.sum(axis=0), np.einsum("ij,ij->j", deviations, deviations)])
        if "clashing" in found:
            tally["overlaps"] = found["overlaps"].sum()
            results.bad[rows] = found["clashing"]
            results.alpha_clashes[rows] = found["alpha_clashes"] > 0
            results.bioemu[rows] = self._passes_bioemu(found)
        if "alpha_distances" in found:
            results.alpha_gaps[rows] = found["alpha_distances"].max(axis=1)
        if "handedness" in found:
            tally["handedness"] = found["handedness"].sum(axis=0)
        if "omega" in found:
            tally["cis"] = (abs(found["omega"]) < np.pi / 2).sum(axis=0)
        results.jumps[rows] = self._jumps(positions, results.series[rows])
        if self._featurizer is not None:
            tally |= self._compare_features(rows, positions, features, boxes)
        results.tally = _merged([results.tally, tally])

    def _passes_bioemu(self, found: dict[str, NDArray[Any]]) -> NDArray[np.bool_]:
        passes: NDArray[np.bool_] = found["far_clashes"] == 0
        if "alpha_distances" in found:
            passes &= (found["alpha_distances"] < ALPHA_GAP).all(axis=1)
        if "bond_lengths" in found:
            passes &= (found["bond_lengths"][:, self.geometry.peptide_bonds] < PEPTIDE_BOND).all(axis=1)
        return passes

    def _jumps(self, positions: NDArray[np.float32], series: NDArray[np.intp]) -> NDArray[np.float32]:
        """Distances from the frame before in the same trajectory, nm, ``(n_frames,)``; NaN for the first."""
        heavy = positions[:, self.geometry.heavy] if self.geometry.heavy.any() else positions
        if self._before is not None:
            series, heavy = np.append(self._before[0], series), np.concatenate([self._before[1][None], heavy])
        jumps = _distances_of_neighbours(heavy) / _ANGSTROM
        jumps[np.diff(series) != 0] = np.nan
        if self._before is None:
            jumps = np.append(np.nan, jumps)
        self._before = int(series[-1]), heavy[-1].copy()
        return jumps.astype(np.float32)

    def _compare_features(
        self, rows: slice, positions: NDArray[np.float32], features: NDArray[np.float32] | None, boxes: FloatArray | None
    ) -> Tally:
        """Moments of the features of the structures, and differences from those generated."""
        schema = self._featurizer.schema
        periods = np.array([period or np.inf for period in schema.periods])
        own = self._featurizer(positions / np.float32(_ANGSTROM), boxes)
        turns = 2j * np.pi * own / periods
        tally = {
            "features": np.stack([own.sum(axis=0, dtype=np.float64), (own.astype(np.float64) ** 2).sum(axis=0)]),
            "turns": np.exp(turns).sum(axis=0),
        }
        if features is not None:
            errors = abs(schema.wrap(features - own))
            tally |= {"errors": errors.sum(axis=0, dtype=np.float64), "n_errors": len(errors), "largest error": errors.max(axis=0)}
            if self._md is not None and self._md.norm.spreads is not None:
                changing = np.isfinite(self._md.norm.spreads)
                scaled = errors[:, changing] / self._md.norm.spreads[changing]
                if changing.any():
                    self.results.feature_errors[rows] = np.sqrt((scaled**2).mean(axis=1))
        return tally

    def _conclude(self) -> None:
        if not self.n_frames:
            raise InputError("expected at least one frame to measure, found none; choose other frames")
        parts = self.results.observables
        self.results.observables = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]} if parts else {}
        steps = np.abs(np.diff(self.frames))
        step = int(steps.min()) if len(steps) else 0
        self.results.jumps[1:][steps != step] = np.nan
        self._fill_jumps(steps == step)
        own = Norm.of(self.results, self._origin, self._featurizer)
        values = values_of(self.geometry, self.results, own, own if self._md is None else self._md.norm)
        if self._energy is not None:
            chosen = np.asarray(self.frames)[evenly_spaced(self.n_frames, min(self.n_frames, self._n_energies))]
            energies = energies_of(self._energy, self.atoms, chosen)
            if np.isfinite(energies).any():
                low, middle, high = np.percentile(energies[np.isfinite(energies)], (25, 50, 75)).tolist()
                values |= {"energy": middle, "energy spread": high - low}
        self._measured = Measured(own, values, self.n_frames, step * float(self._trajectory.dt) if step else None)
        self.results.report = report_of(self.geometry, self._measured, self._md, self._feature_table())

    def _feature_table(self) -> dict[str, dict[str, Any]]:
        tally = self.results.tally
        if "errors" not in tally:
            return {}
        schema = self._featurizer.schema
        columns = zip(schema.names, schema.units, tally["errors"] / tally["n_errors"], tally["largest error"], strict=True)
        return {name: {"unit": unit, "mean": float(mean), "largest": float(most)} for name, unit, mean, most in columns}

    def _fill_jumps(self, neighbours: NDArray[np.bool_]) -> None:
        """Measure the jumps between neighbours, ``(n_frames - 1,)``, that different processes have read."""
        jumps, series = self.results.jumps, self.results.series
        for row in (np.flatnonzero(np.isnan(jumps[1:]) & (np.diff(series) == 0) & neighbours) + 1).tolist():
            pair = np.stack([self.atoms.positions for _ in self._trajectory[[int(self.frames[row - 1]), int(self.frames[row])]]])
            heavy = pair[:, self.geometry.heavy] if self.geometry.heavy.any() else pair
            jumps[row] = _distances_of_neighbours(heavy)[0] / _ANGSTROM

    def _get_aggregator(self) -> ResultsGroup:
        frames = ("bad", "bioemu", "alpha_clashes", "series", "alpha_gaps", "jumps", "feature_errors")
        return ResultsGroup(
            lookup={
                "tally": _merged,
                "observables": ResultsGroup.flatten_sequence,
                **dict.fromkeys(frames, ResultsGroup.ndarray_hstack),
            }
        )


def _merged(tallies: Sequence[Tally]) -> Tally:
    """Add up what was counted in several sets of frames; of what is the largest, keep the larger."""
    total: Tally = {}
    for tally in tallies:
        for key, value in tally.items():
            if key not in total:
                total[key] = value
            else:
                total[key] = np.maximum(total[key], value) if key.startswith("largest") else total[key] + value
    return total


def _distances_of_neighbours(frames: NDArray[np.float32]) -> FloatArray:
    """Root mean square distance of each frame but the first from the one before, superposed, ``(n_frames - 1,)``.

    The singular values of the covariance give it without the rotation (Kabsch, Acta Cryst. A 32, 922 (1976)).
    """
    points = frames.astype(np.float64)
    n_atoms = points.shape[1]
    if n_atoms < _FEWEST_TO_SUPERPOSE:
        return np.asarray(np.sqrt(((points[1:] - points[:-1]) ** 2).sum(axis=2).mean(axis=1)))
    points -= points.mean(axis=1, keepdims=True)
    squares = np.einsum("fai,fai->f", points, points)
    covariances = points[:-1].transpose(0, 2, 1) @ points[1:]
    stretches = np.linalg.svd(covariances, compute_uv=False)
    stretches[:, 2] *= np.sign(np.linalg.det(covariances))
    rest = squares[:-1] + squares[1:] - 2 * stretches.sum(axis=1)
    return np.asarray(np.sqrt(np.maximum(rest, 0) / n_atoms))
