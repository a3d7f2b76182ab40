"""What the figures mean: each beside MD against MD, each group in words."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from openmm_trajgan.analysis.floor import FloorCurve
from openmm_trajgan.analysis.metric import NOUNS, Figure, Group, Missing
from openmm_trajgan.analysis.uncertainty import Estimate

SIGNIFICANCE = 0.01  # probability that anything in the report is called unlike MD although the data are MD
FAILING = 0.1  # worth less than this share of the MD that the model was given, or of their own length, data fail

Verdict = Literal["like MD", "unlike MD", "not judged"]
Standing = Literal["indistinguishable from MD", "worth less than MD", "fails", "not judged"]


@dataclass(frozen=True, eq=False)
class FigureOfMerit:
    """One figure of the generated data against held-out MD, with everything it must be seen beside.

    Parameters
    ----------
    figure
        What is measured.
    estimate
        The figure; None where the data support no number.
    floor
        The same of MD of the generated length: median and the range of 90 %. None where MD supports no number.
    information
        The same of the training data: what the model was given. None without training data or a number.
    information_ratio
        Error of the generated data divided by that of the training data; below 1 the model is closer to MD than its data are.
    md_equivalent
        Length of independent MD that is typically as far off, frames.
    p_value
        Probability that data of the same law are at least as far off: the larger of that by permutations of blocks between data and
        reference and that by the scatter of MD of the generated length.
    verdict
        Whether `p_value` is significant after Bonferroni's correction for all figures of the report.
    missing
        Why there is no number.
    curve
        Where `floor` and `md_equivalent` are read off.
    """

    figure: Figure
    estimate: Estimate | None = None
    floor: Estimate | None = None
    information: float | None = None
    information_ratio: float | None = None
    md_equivalent: Estimate | None = None
    p_value: float | None = None
    verdict: Verdict = "not judged"
    missing: Missing | None = None
    curve: FloorCurve | None = None

    @property
    def value(self) -> float | None:
        """The number alone."""
        return None if self.estimate is None else self.estimate.value

    @property
    def nearest(self) -> float | None:
        """The number, or where there is none the bound beyond which it lies."""
        return self.value if self.missing is None or self.value is not None else self.missing.bound


@dataclass(frozen=True)
class GroupVerdict:
    """What the figures of one group say together.

    Parameters
    ----------
    group
        Which.
    standing
        Indistinguishable from MD if no figure is unlike MD. Otherwise the data fail if they are worth less than a tenth of the
        training data (without them, of the reference) or of their own length, whichever is shorter.
    md_equivalent
        Length of independent MD whose figures are typically as far off, averaged over the group, frames; the average is that of
        discrepancies in units of their scatter in MD, so that the worst figures and the sharpest ones weigh most. None for copying
        and where MD supports none.
    sentence
        In words.
    """

    group: Group
    standing: Standing
    md_equivalent: Estimate | None
    sentence: str


def threshold(figures: Sequence[FigureOfMerit]) -> float:
    """Return the probability below which one of some figures is unlike MD, by Bonferroni's correction for their number."""
    return SIGNIFICANCE / max(sum(one.figure.judged and one.p_value is not None for one in figures), 1)


def judged(figures: Sequence[FigureOfMerit]) -> tuple[FigureOfMerit, ...]:
    """Set the verdict of each figure by its p-value, corrected for their number."""
    significant = threshold(figures)

    def verdict(one: FigureOfMerit) -> Verdict:
        if one.p_value is None or not one.figure.judged:
            return "not judged"
        return "unlike MD" if one.p_value < significant else "like MD"

    return tuple(replace(one, verdict=verdict(one)) for one in figures)


def group_verdict(
    group: Group, figures: Sequence[FigureOfMerit], lengths: Mapping[str, int], frame_interval: float | None
) -> GroupVerdict:
    """Judge a group by its figures.

    Parameters
    ----------
    group
        Which.
    figures
        Its figures, with verdicts.
    lengths
        Frames of the ``"generated"`` and the ``"given"`` data, the latter those for training or else the reference.
    frame_interval
        Time between frames, ps, to say lengths as times.
    """
    noun = NOUNS[group].capitalize()
    tested = [one for one in figures if one.verdict != "not judged"]
    unlike = [one for one in tested if one.verdict == "unlike MD"]
    worth = _together([one for one in tested if one.curve is not None and one.nearest is not None])
    if any(one.value is None for one in unlike):
        worth = Estimate(0.0, 0.0, 0.0)
    if group == "copying":
        worth = None
    if not tested:
        why = next((one.missing.reason for one in figures if one.missing is not None), "the data support no figure")
        return GroupVerdict(group, "not judged", None, f"{noun}: not judged; {why}.")
    if not unlike:
        said = f"{noun}: indistinguishable from MD"
        if worth is not None and np.isfinite(worth.value):
            said += f"; the figures are those of about {length_in_words(worth.value, frame_interval)} of MD"
        return GroupVerdict(group, "indistinguishable from MD", worth, f"{said}.")
    because = ", ".join(_found(one) for one in sorted(unlike, key=_severity)[:2])
    if group == "copying":
        nearer = any(is_nearer(one) for one in unlike)
        why = "windows are nearer to the training data than those of MD" if nearer else "no sign of copying, but windows unlike MD"
        return GroupVerdict(group, "fails", None, f"{noun}: fails, {why}; {because}.")
    if worth is not None and worth.value >= FAILING * min(lengths["generated"], lengths["given"]):
        of = f"of {length_in_words(lengths['generated'], frame_interval)}"
        said = f"{noun}: worth {length_in_words(worth.value, frame_interval)} of MD {of}; {because}."
        return GroupVerdict(group, "worth less than MD", worth, said)
    return GroupVerdict(group, "fails", worth, f"{noun}: fails because {because}.")


def length_in_words(n_frames: float, frame_interval: float | None) -> str:
    """Return a length as time, or in frames without a frame interval.

    Examples
    --------
    >>> length_in_words(5000, 0.2), length_in_words(1234567, None), length_in_words(float("inf"), 0.2)
    ('1 ns', '1,200,000 frames', 'more than can be told')
    """
    if not np.isfinite(n_frames):
        return "more than can be told"
    if frame_interval is None:
        return f"{float(f'{n_frames:.2g}'):,.0f} frames"
    time = n_frames * frame_interval
    for unit, factor in (("µs", 1e6), ("ns", 1e3), ("ps", 1.0)):
        if time >= factor or unit == "ps":
            return f"{float(f'{time / factor:.2g}'):,g} {unit}"
    raise AssertionError


def _together(figures: Sequence[FigureOfMerit]) -> Estimate | None:
    """Return the MD-equivalent length of several figures together; the least of those that share a part of the reference."""
    shared: dict[tuple[int, ...], list[FigureOfMerit]] = {}
    for one in figures:
        assert one.curve is not None
        shared.setdefault((one.curve.n_reference, *one.curve.values.shape), []).append(one)
    found = [worth for worth in map(_mean_worth, shared.values()) if worth is not None]
    return min(found, key=lambda worth: worth.value) if found else None


def _mean_worth(figures: Sequence[FigureOfMerit]) -> Estimate | None:
    """Return the length of MD whose mean discrepancy, each in units of its scatter in MD, is typically as large."""
    parts, observed = [], []
    for one in figures:
        assert one.curve is not None
        discrepancies = one.figure.discrepancy(one.curve.values)
        unit = np.nanstd(discrepancies[-1]) if np.isfinite(discrepancies[-1]).any() else np.nan
        if unit > 0:
            parts.append(discrepancies / unit)
            observed.append(float(one.figure.discrepancy(np.array([one.nearest]))[0]) / unit)
    if not parts:
        return None
    supported = np.isfinite(np.stack(parts))
    values = np.where(supported, parts, 0).sum(axis=0) / np.maximum(supported.sum(axis=0), 1)
    values[~supported.any(axis=0)] = np.nan
    curve = figures[0].curve
    assert curve is not None
    mean = Figure("mean discrepancy", figures[0].figure.group, "divergence", "")
    return replace(curve, figure=mean, values=values).md_equivalent(float(np.mean(observed)))


def is_nearer(one: FigureOfMerit) -> bool:
    """Tell whether a figure of the copying group says that windows are nearer to the training data than they should be."""
    if one.value is None:
        return False
    return one.value < 1 if one.figure.kind == "ratio" else one.value < 0 if one.figure.kind == "difference" else one.value > 0


def _severity(one: FigureOfMerit) -> float:
    """Lowest first: how much MD the figure is worth."""
    return -1.0 if one.estimate is None else 0.0 if one.md_equivalent is None else one.md_equivalent.value


def _found(one: FigureOfMerit) -> str:
    if one.estimate is None:
        return f"{one.figure.name} has no number: it {one.missing.reason}" if one.missing else one.figure.name
    expected = f" (MD of that length {one.floor.low:.2g} to {one.floor.high:.2g})" if one.floor is not None else ""
    unit = f" {one.figure.unit}" if one.figure.unit not in ("", "nat", "probability") else ""
    return f"{one.figure.name} is {one.estimate.value:.3g}{unit}{expected}"
