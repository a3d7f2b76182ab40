"""Generated data against held-out MD, every figure beside MD against MD."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from openmm_trajgan.analysis.distributions import columns
from openmm_trajgan.analysis.dynamics import constant_features
from openmm_trajgan.analysis.report import render
from openmm_trajgan.analysis.verdict import FigureOfMerit, judge
from openmm_trajgan.analysis.yardstick import NOUNS, Group, Measurement, Score, Yardstick
from openmm_trajgan.errors import InputError
from openmm_trajgan.schema import FeatureTrajectories
from openmm_trajgan.storage import replacing

FORMAT_VERSION = 1
MOST_GROUPS = 8
CHANCE_EXCESS = 1.5  # a figure outside the spread by less than this factor may be so by chance
STRETCHED = 1.5  # a union range so many times wider than the reference makes its bins coarse


class HasTrajectories(Protocol):
    """Anything that gives its content as trajectories, such as a buffer."""

    def trajectories(self) -> FeatureTrajectories:
        """Return the content."""
        ...


@dataclass(frozen=True, eq=False)
class Audit:
    """The result of `audit`.

    Parameters
    ----------
    figures
        Every figure, by group.
    warnings
        What the data could not support, as sentences.
    yardstick
        The reference and what was fitted on it.
    generated
        Scores and curves of the generated data.
    md
        The same of every group of independent MD.
    train
        The same of all training data together, None without.
    seed
        Seed of k-means.
    """

    figures: tuple[FigureOfMerit, ...]
    warnings: tuple[str, ...]
    yardstick: Yardstick
    generated: Measurement
    md: tuple[Measurement, ...]
    train: Measurement | None
    seed: int

    @property
    def package(self) -> str:
        """Version of this package."""
        return version("openmm-trajgan")

    @property
    def frame_interval(self) -> float | None:
        """Time between frames, ps; None if no data set knows it."""
        known = (data.schema.frame_interval for data in (self.yardstick.reference, self.generated.data))
        return next((interval for interval in known if interval is not None), None)

    def of_group(self, group: Group) -> list[FigureOfMerit]:
        """Return the figures of one group."""
        return [figure for figure in self.figures if figure.group == group]

    def standing(self, group: Group) -> Literal["like MD", "mostly like MD", "unlike MD", "not judged"]:
        """Judge a group by its figures.

        One figure in twenty of independent MD lies outside its spread by chance. One in ten, or a single one, is therefore let
        pass as "mostly like MD" while it is outside by less than a factor of 1.5.
        """
        judged = [figure for figure in self.of_group(group) if figure.verdict != "not judged"]
        outside = [figure.excess for figure in judged if figure.verdict == "outside"]
        if not judged:
            return "not judged"
        if not outside:
            return "like MD"
        by_chance = len(outside) <= max(1, len(judged) // 10) and max(outside) < CHANCE_EXCESS
        return "mostly like MD" if by_chance else "unlike MD"

    def headline(self) -> str:
        """Return the verdict in one or two sentences."""
        standings = {NOUNS[group]: self.standing(group) for group in NOUNS}
        alike = [noun for noun, standing in standings.items() if standing in ("like MD", "mostly like MD")]
        unlike = [noun for noun, standing in standings.items() if standing == "unlike MD"]
        unknown = [noun for noun, standing in standings.items() if standing == "not judged"]
        sentences = []
        if unlike:
            sentences.append(f"The generated data differ from MD in their {_listed(unlike)}.")
        if alike:
            subject = "they" if unlike else "the generated data"
            sentences.append(f"In their {_listed(alike)} {subject} are about as close to held-out MD as further MD would be.")
        if unknown:
            sentences.append(f"The {_listed(unknown)} could not be judged.")
        return " ".join(sentences)

    def lengths(self) -> dict[str, str]:
        """Say how long each data set is."""
        sets = {"held-out MD": self.yardstick.reference, "generated": self.generated.data}
        sets |= {"training MD": self.train.data} if self.train else {}
        lengths = {name: _length(data, self.frame_interval) for name, data in sets.items()}
        if self.md:
            frames = sorted({measured.data.n_frames for measured in self.md})
            span = f"{frames[0]:,}" if len(frames) == 1 else f"{frames[0]:,} to {frames[-1]:,}"
            lengths["MD against MD"] = f"{len(self.md)} group{'s' * (len(self.md) > 1)} of {span} frames, from the training MD"
        return lengths

    def findings(self) -> list[str]:
        """Return one line per group: how many figures are within MD's own spread, and which is furthest off."""
        lines = []
        for group, noun in NOUNS.items():
            figures = self.of_group(group)
            judged = [figure for figure in figures if figure.verdict != "not judged"]
            line = f"{noun.capitalize()}: "
            line += f"{sum(figure.verdict == 'within' for figure in judged)} of {len(judged)} figures within MD's own spread"
            line += f", {len(figures) - len(judged)} not judged" if len(figures) > len(judged) else ""
            worst = max(figures, key=lambda figure: figure.excess)
            if worst.spread is not None and worst.verdict == "outside":
                found = f"{worst.generated:.3g}" if worst.generated is not None else f"no number, it {worst.remark}"
                expected = "up" if worst.unit == "nat" else f"{worst.spread[0]:.2g}"
                line += f"; furthest off: {worst.name}, {found} (MD {expected} to {worst.spread[1]:.2g})"
            lines.append(line + ".")
        return lines

    def summary(self) -> str:
        """Return a few plain lines."""
        lengths = self.lengths()
        groups = f"{len(self.md)} group{'s' * (len(self.md) > 1)} of other MD as the yardstick" if self.md else "without other MD"
        compared = f"Compared: generated, {lengths['generated']}, with held-out MD, {lengths['held-out MD']}; {groups}."
        lines = [self.headline(), compared, *self.findings()]
        if self.warnings:
            lines.append(f"{len(self.warnings)} warning{'s' * (len(self.warnings) > 1)}, the first: {self.warnings[0]}")
        return "\n".join(lines)

    def to_json(self, path: Path | str) -> None:
        """Write all figures to a JSON file; the same data and seed give the same bytes."""
        yardstick, schema = self.yardstick, self.yardstick.reference.schema
        curves = {"reference": yardstick.timescales, "generated": self.generated.timescales}
        curves |= {f"md {number}": measured.timescales for number, measured in enumerate(self.md, 1)}
        content = {
            "format": "openmm-trajgan audit",
            "version": FORMAT_VERSION,
            "package": self.package,
            "seed": self.seed,
            "schema": {"digest": schema.digest, "names": schema.names, "units": schema.units},
            "frame_interval_ps": self.frame_interval,
            "lengths": self.lengths(),
            "verdict": self.headline(),
            "standing": {group: self.standing(group) for group in NOUNS},
            "figures": [asdict(figure) for figure in self.figures],
            "lag_frames": yardstick.lag,
            "n_microstates": yardstick.microstates.n_states,
            "implied_timescales_frames": {
                "lags": yardstick.timescales.lags.tolist(),
                **{name: curve.values.tolist() for name, curve in curves.items()},
            },
            "warnings": self.warnings,
            "provenance": dict(self.generated.data.provenance),
        }
        text = json.dumps(_rounded(content), indent=1, ensure_ascii=False, allow_nan=False)
        with replacing(Path(path)) as file:
            file.write(text.encode() + b"\n")

    def to_html(self, path: Path | str) -> None:
        """Write the report, one HTML file that needs nothing else."""
        with replacing(Path(path)) as file:
            file.write(render(self).encode())


def audit(
    reference: FeatureTrajectories | HasTrajectories,
    generated: FeatureTrajectories | HasTrajectories,
    train: FeatureTrajectories | HasTrajectories | None = None,
    *,
    pairs: Sequence[tuple[str, str]] | None = None,
    seed: int = 0,
) -> Audit:
    """Compare generated data with held-out MD, and MD with MD by the same functions.

    The training data are partitioned into groups of whole replicas about as long as the reference; each group is measured against
    the reference exactly as the generated data are. Their scatter says what difference between two MD runs is to be expected.

    Parameters
    ----------
    reference
        Held-out MD that neither training nor model selection has seen; trajectories or a buffer.
    generated
        The generated data, used as they are.
    train
        The MD the model was trained on, several independent replicas; None leaves every figure without a yardstick.
    pairs
        Pairs of feature names to compare jointly; None for the first three pairs of consecutive features.
    seed
        Seed of k-means, in [0, 2³²).

    Returns
    -------
    Audit
        Figures, verdicts, warnings; `Audit.summary`, `Audit.to_json`, `Audit.to_html`.

    Raises
    ------
    SchemaMismatchError
        If the sets hold other features.
    InputError
        If a set has no series of two frames, the reference does not move or is part of the training data, or an argument is of
        another kind.

    Examples
    --------
    >>> from openmm_trajgan.schema import FeatureSchema
    >>> schema = FeatureSchema(names=("x",), units=("nm",), periods=(None,), frame_interval=1.0)
    >>> rng = np.random.default_rng(1)
    >>> flips = [rng.random((5000, 1)) < 0.05 for _ in range(6)]
    >>> runs = [np.cumsum(flip, axis=0) % 2 + rng.normal(0, 0.1, flip.shape) for flip in flips]
    >>> md, held_out = FeatureTrajectories(runs[:5], schema), FeatureTrajectories(runs[5:], schema)
    >>> shuffled = FeatureTrajectories([rng.permutation(held_out.values[0])], schema)
    >>> print(audit(held_out, shuffled, md).headline())
    The generated data differ from MD in their dynamics and kinetics. In their distributions they are about as close to
    held-out MD as further MD would be.
    """
    sets = {"reference": _trajectories(reference, "reference"), "generated": _trajectories(generated, "generated")}
    if train is not None:
        sets["train"] = _trajectories(train, "train")
    if not (isinstance(seed, int) and 0 <= seed < 2**32):
        raise InputError(f"seed: expected an integer in [0, 2³²), found {seed!r}")
    held_out = sets["reference"]
    for label, data in sets.items():
        held_out.schema.require_same(data.schema, "reference", label)
        if max(len(series) for series in data) < 2:
            raise InputError(f"{label}: expected series of at least 2 frames, found 1; give a trajectory")
    _require_held_out(held_out, sets.get("train"))
    if constant_features(held_out).all():
        raise InputError("reference: expected features that change, found one value in all frames; give a longer trajectory")
    groups = md_groups(sets["train"], held_out.n_frames) if "train" in sets else []
    yardstick = Yardstick.fit(held_out, [data for label, data in sets.items() if label != "reference"], pairs, seed=seed)
    measured = {label: yardstick.measure(data) for label, data in sets.items() if label != "reference"}
    md = tuple(yardstick.measure(group) for group in groups)
    all_scores = {"generated": measured["generated"].scores}
    all_scores |= {f"MD group {number}": one.scores for number, one in enumerate(md, 1)}
    all_scores |= {"training MD": measured["train"].scores} if "train" in measured else {}
    figures = [
        judge(score, [one.scores[index] for one in md], measured["train"].scores[index] if "train" in measured else None)
        for index, score in enumerate(measured["generated"].scores)
    ]
    warnings = (*_data_warnings(yardstick, sets, groups), *_missing_numbers(all_scores))
    return Audit(tuple(figures), warnings, yardstick, measured["generated"], md, measured.get("train"), seed)


def md_groups(train: FeatureTrajectories, n_frames: int) -> list[FeatureTrajectories]:
    """Partition into at most eight groups of whole replicas, each about `n_frames` long.

    Replicas are taken in their order; a group is closed when a further replica would bring it further from `n_frames`, and a rest
    of less than half of that is left out.

    Examples
    --------
    >>> from openmm_trajgan.schema import FeatureSchema
    >>> schema = FeatureSchema(names=("x",), units=("nm",), periods=(None,))
    >>> train = FeatureTrajectories([np.zeros((length, 1)) for length in (60, 50, 100, 90, 30)], schema)
    >>> [group.replica_names for group in md_groups(train, 100)]
    [('0', '1'), ('2',), ('3',)]
    """
    lengths = dict.fromkeys(train.replica_names, 0)
    for name, series in zip(train.replicas, train.values, strict=True):
        lengths[name] += len(series)
    groups: list[list[str]] = [[]]
    filled = 0
    for name, length in lengths.items():
        if groups[-1] and abs(filled + length - n_frames) > abs(filled - n_frames):
            groups.append([])
            filled = 0
        groups[-1].append(name)
        filled += length
    if len(groups) > 1 and 2 * filled < n_frames:
        groups.pop()
    return [train.select(names) for names in groups[:MOST_GROUPS]]


def _trajectories(source: Any, label: str) -> FeatureTrajectories:
    data = source if isinstance(source, FeatureTrajectories) else getattr(source, "trajectories", lambda: None)()
    if not isinstance(data, FeatureTrajectories):
        raise InputError(
            f"{label}: expected FeatureTrajectories or a buffer, found {type(source).__name__}; "
            "wrap arrays as FeatureTrajectories(arrays, schema)"
        )
    return data


def _require_held_out(reference: FeatureTrajectories, train: FeatureTrajectories | None) -> None:
    digests = {hashlib.sha256(series.tobytes()).digest() for series in train or ()}
    for name, series in zip(reference.replicas, reference, strict=True):
        if hashlib.sha256(series.tobytes()).digest() in digests:
            raise InputError(f"reference: series {name!r} is in the training data too; judge by trajectories the model never saw")


def _data_warnings(yardstick: Yardstick, sets: dict[str, FeatureTrajectories], groups: list[FeatureTrajectories]) -> Iterable[str]:
    reference = yardstick.reference
    if "train" not in sets:
        yield "No training MD was given, so nothing says how far apart two MD runs are; pass train=."
    elif len(groups) == 1:
        yield "There is only one group of MD, so its spread is unknown and a factor of two stands in; give more replicas."
    if 2 * sets["generated"].n_frames < reference.n_frames:
        yield "The generated data are less than half as long as the reference, which alone makes divergences larger."
    for number, group in enumerate(groups, 1):
        if not 0.5 <= group.n_frames / reference.n_frames <= 2:
            yield f"MD group {number} has {group.n_frames} frames and the reference {reference.n_frames}; make them about equal."
    for name in reference.schema.names:
        if reference.schema.periods[reference.schema.names.index(name)] is None:
            spans = {label: float(np.ptp(columns(data, name))) for label, data in sets.items()}
            union = float(np.ptp(yardstick.edges[(name,)][0]))
            if union > STRETCHED * spans["reference"] > 0:
                yield (
                    f"{name} spans {spans['reference']:.3g} in the reference and {spans['generated']:.3g} in the generated data; "
                    "bins over the whole range are coarse and its divergences read too small."
                )


def _missing_numbers(all_scores: dict[str, tuple[Score, ...]]) -> Iterable[str]:
    names: dict[str, list[str]] = {}
    labels: dict[str, list[str]] = {}
    for label, scores in all_scores.items():
        for score in scores:
            if score.value is None:
                names.setdefault(score.reason, []).append(score.name)
                labels.setdefault(score.reason, []).append(label)
    for reason, which in names.items():
        different = list(dict.fromkeys(which))
        shown = ", ".join(f"“{name}”" for name in different[:3]) + (f" and {len(different) - 3} more" * (len(different) > 3))
        yield f"No number for {shown} ({', '.join(dict.fromkeys(labels[reason]))}): {reason}."


def _length(data: FeatureTrajectories, frame_interval: float | None) -> str:
    text = f"{data.n_frames:,} frames"
    if frame_interval is not None:
        text += f" ({data.n_frames * frame_interval / 1000:.4g} ns)"
    return f"{text} in {len(data)} series" if len(data) > 1 else f"{text} in one series"


def _listed(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _rounded(content: Any) -> Any:
    """Six significant digits, and None for a number that is not finite."""
    if isinstance(content, float):
        return float(f"{content:.6g}") if np.isfinite(content) else None
    if isinstance(content, dict):
        return {key: _rounded(value) for key, value in content.items()}
    return [_rounded(value) for value in content] if isinstance(content, list | tuple) else content
