"""The figures of the validity of structures, and what they are made of."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from openmm_trajgan.analysis.structure import StructureGeometry

FloatArray = NDArray[np.float64]
CONSTANT = 1e-4  # of a feature's own size; what varies less is rounding, and the tolerance of constraints


@dataclass(frozen=True)
class ValidityFigure:
    """One figure of generated structures beside the same of molecular dynamics.

    Parameters
    ----------
    name, unit, meaning
        What is measured.
    value, md
        Of the structures and of the reference; None where there is no number.
    reason
        Why there is none.
    """

    name: str
    unit: str
    meaning: str
    value: float | None = None
    md: float | None = None
    reason: str = ""

    @property
    def ratio(self) -> float | None:
        """Value over that of molecular dynamics; None where either is missing or that of molecular dynamics is 0."""
        return self.value / self.md if self.value is not None and self.md else None


@dataclass(frozen=True)
class ValidityReport:
    """What was found in the structures.

    Parameters
    ----------
    figures
        Always the same, in the same order.
    n_frames, n_md_frames
        Frames measured; of molecular dynamics 0 without a reference.
    features
        For each feature by name: unit, mean and largest difference between the generated value and that of the structure.
    """

    figures: tuple[ValidityFigure, ...]
    n_frames: int
    n_md_frames: int
    features: dict[str, dict[str, Any]]

    def __getitem__(self, name: str) -> ValidityFigure:
        return next(figure for figure in self.figures if figure.name == name)

    @property
    def sentence(self) -> str:
        """The main figures in one line."""
        shown = [
            f"{figure.name} {figure.ratio:.3g} × MD"
            for figure in self.figures
            if figure.ratio is not None and figure.name in ("bond deviation", "angle deviation", "clashes", "jump")
        ]
        bad, error = self["bad frames"], self["feature error"]
        if bad.value is not None:
            shown.append(f"bad frames {bad.value:.2%}" + ("" if bad.md is None else f" (MD {bad.md:.2%})"))
        if error.value is not None:
            shown.append(f"feature error {error.value:.2g} SD")
        return f"Validity: {', '.join(shown) or 'nothing to compare'}."

    def as_dict(self) -> dict[str, Any]:
        """Return everything as JSON can hold it."""
        figures = {
            figure.name: {
                "value": figure.value,
                "md": figure.md,
                "ratio": figure.ratio,
                "unit": figure.unit,
                "meaning": figure.meaning,
                **({"reason": figure.reason} if figure.reason else {}),
            }
            for figure in self.figures
        }
        return {"n_frames": self.n_frames, "n_md_frames": self.n_md_frames, "figures": figures, "features": self.features}


@dataclass(frozen=True)
class Norm:
    """What molecular dynamics is like, as far as other structures are measured by it.

    Parameters
    ----------
    means, variances
        Of bond lengths, nm, and angles, rad, each ``(n,)``.
    hands
        Usual handedness of each centre, ``(n_centres,)``; None without any.
    alpha_gap
        Longest distance of adjacent alpha carbons, nm.
    spreads
        Standard deviation of each feature, ``(n_features,)``; NaN for those that never change, such as constrained bonds; None
        without a featurizer.
    """

    means: dict[str, FloatArray]
    variances: dict[str, FloatArray]
    hands: FloatArray | None
    alpha_gap: float
    spreads: FloatArray | None

    @classmethod
    def of(cls, results: Any, origin: dict[str, FloatArray], featurizer: Any) -> "Norm":
        """Take it from the results of a run."""
        tally, n_frames = results.tally, results.tally["n_frames"]
        means, variances = {}, {}
        for key in origin:
            shift, square = tally[key] / n_frames
            means[key], variances[key] = origin[key] + shift, np.maximum(square - shift**2, 0)
        spreads = None
        if featurizer is not None:
            mean, square = tally["features"] / n_frames
            # of an angle, by the length of the mean vector on the circle (Mardia and Jupp, Directional Statistics, 2000)
            length = np.clip(abs(tally["turns"]) / n_frames, np.finfo(float).tiny, 1)
            angular = np.sqrt(-2 * np.log(length)) / (2 * np.pi)
            periods = [period or np.nan for period in featurizer.schema.periods]
            spreads = np.where(np.isnan(periods), np.sqrt(np.maximum(square - mean**2, 0)), angular * periods)
            spreads[spreads <= CONSTANT * np.sqrt(square)] = np.nan
        hands = np.sign(tally["handedness"]) if "handedness" in tally else None
        gaps = results.alpha_gaps
        return cls(means, variances, hands, float(gaps.max()) if len(gaps) else np.nan, spreads)


@dataclass(frozen=True)
class Measured:
    """A set of frames that has been measured: how it is, and its figures by name; ps between frames, None if that changes."""

    norm: Norm
    values: dict[str, float]
    n_frames: int
    interval: float | None


def values_of(geometry: StructureGeometry, results: Any, own: Norm, norm: Norm) -> dict[str, float]:
    """Return the figures that can be told, by name.

    Parameters
    ----------
    geometry
        What was measured.
    results
        Of a run of `StructureValidity`.
    own, norm
        Of these structures, and of molecular dynamics.
    """
    tally, n_frames = results.tally, results.tally["n_frames"]
    values: dict[str, float] = {}
    for kind, key in (("bond", "bond_lengths"), ("angle", "angles")):
        if key in own.means:
            squares = own.variances[key] + (own.means[key] - norm.means[key]) ** 2
            values[f"{kind} deviation"] = float(np.sqrt(squares.mean()))
            values[f"{kind} variance"] = float(own.variances[key].mean())
            if kind == "bond" and len(geometry.ring_bonds):
                values["ring closure"] = float(np.sqrt(squares[geometry.ring_bonds].mean()))
    if "overlaps" in tally:
        values["clashes"] = float(1000 * tally["overlaps"] / (n_frames * geometry.n_atoms))
        values["bad frames"] = float(results.bad.mean())
        values["BioEmu pass"] = float(results.bioemu.mean())
    if norm.hands is not None:
        values["inverted centres"] = float((1 - norm.hands * tally["handedness"] / n_frames).mean() / 2)
    if "cis" in tally:
        values["cis peptide bonds"] = float((tally["cis"] / n_frames).mean())
    if len(geometry.alphas):
        values["Str2Str no clash"] = float(1 - results.alpha_clashes.mean())
        values["Str2Str bonds"] = float((results.alpha_gaps <= norm.alpha_gap).mean())
    jumps = results.jumps[np.isfinite(results.jumps)]
    if len(jumps):
        values |= {"jump": float(jumps.mean()), "jump, 99th percentile": float(np.percentile(jumps, 99))}
    errors = results.feature_errors[np.isfinite(results.feature_errors)]
    if len(errors):
        values |= {"feature error": float(errors.mean()), "feature error, 99th percentile": float(np.percentile(errors, 99))}
    return values


_FIGURES = (
    ("bond deviation", "nm", "Root mean square deviation of bond lengths from the means of MD."),
    ("bond variance", "nm²", "Variance of bond lengths, mean over bonds."),
    ("angle deviation", "rad", "Root mean square deviation of bond angles from the means of MD."),
    ("angle variance", "rad²", "Variance of bond angles, mean over angles."),
    ("ring closure", "nm", "Root mean square deviation of bonds in rings from the means of MD."),
    ("clashes", "per 1000 atoms", "Pairs more than three bonds apart whose van der Waals spheres overlap by more than 0.04 nm."),
    ("bad frames", "share of frames", "Heavy atoms closer than 0.2 nm or any closer than 0.12 nm, more than three bonds apart."),
    ("inverted centres", "share of centres", "Alpha carbons that have not the handedness that they mostly have in MD."),
    ("cis peptide bonds", "share of bonds", "Peptide bonds with |ω| below 90°."),
    ("jump", "nm", "Root mean square distance of heavy atoms from the frame before, superposed, mean."),
    ("jump, 99th percentile", "nm", "The same, 99th percentile."),
    ("feature error", "SD", "Generated features less those of the structure, root mean square in SD of MD, mean over frames."),
    ("feature error, 99th percentile", "SD", "The same, 99th percentile."),
    ("energy", "kJ/mol", "Potential energy, median."),
    ("energy spread", "kJ/mol", "Potential energy, interquartile range."),
    ("BioEmu pass", "share of frames", "Frames that the filter of BioEmu would keep: gaps of chain, peptide bonds, far residues."),
    ("Str2Str no clash", "share of frames", "Frames without alpha carbons closer than 0.3 nm."),
    ("Str2Str bonds", "share of frames", "Frames whose adjacent alpha carbons are no further apart than the furthest in MD."),
)


def report_of(geometry: StructureGeometry, measured: Measured, md: Measured | None, features: dict[str, Any]) -> ValidityReport:
    """Set the figures beside those of molecular dynamics."""
    figures = []
    for name, unit, meaning in _FIGURES:
        value, of_md = measured.values.get(name), None if md is None else md.values.get(name)
        reason = ""
        if value is None:
            reason = _reason(geometry, name)
        elif md is not None and name.startswith("jump") and not _same(measured.interval, md.interval):
            times = ("unevenly" if each is None else f"every {each:g} ps" for each in (measured.interval, md.interval))
            of_md, reason = None, "frames come {}, those of MD {}".format(*times)
        figures.append(ValidityFigure(name, unit, meaning, value, of_md, reason))
    return ValidityReport(tuple(figures), measured.n_frames, 0 if md is None else md.n_frames, features)


def _same(one: float | None, other: float | None) -> bool:
    return one is not None and other is not None and bool(np.isclose(one, other, rtol=1e-3))


def _reason(geometry: StructureGeometry, name: str) -> str:
    keys = {
        "bond": "bond_lengths",
        "angle": "angles",
        "clashes": "clashing",
        "bad": "clashing",
        "BioEmu": "clashing",
        "inverted": "handedness",
        "cis": "omega",
        "Str2Str": "alpha_distances",
    }
    reasons = {
        "ring": "no ring",
        "jump": "no two frames of one trajectory",
        "feature": "no generated features, no featurizer, no reference, or none that changes",
        "energy": "no energy function, or no finite energy",
    }
    first = name.split()[0].strip(",")
    return reasons.get(first) or geometry.reasons.get(keys[first], "")
