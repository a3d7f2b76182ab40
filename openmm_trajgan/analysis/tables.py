"""The tables of an audit as CSV files, and the same numbers as the page writes them."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from openmm_trajgan.analysis.blocks import Blocks
from openmm_trajgan.analysis.distributions import FloatArray
from openmm_trajgan.analysis.floor import LONGEST
from openmm_trajgan.analysis.markov import MarkovModels
from openmm_trajgan.analysis.metric import NOUNS, Group, Metric
from openmm_trajgan.analysis.uncertainty import Estimate
from openmm_trajgan.analysis.verdict import FigureOfMerit, GroupVerdict, group_verdict, is_nearer, length_in_words, threshold
from openmm_trajgan.analysis.yardstick import Yardstick
from openmm_trajgan.storage import replacing

if TYPE_CHECKING:
    from openmm_trajgan.analysis.audit import Audit

OPEN_ROWS, FEWEST_FOLDED = 12, 4  # longer tables are folded
IN_COMPARISON = ("bad frames", "energy", "energy spread")  # figures that the table of structures has under names of its own
LEAST_P = 1e-6  # smaller probabilities are not worth their digits

Row = dict[str, str | float | int | bool | None]


def tables(audit: "Audit") -> dict[str, list[Row]]:
    """Return every table of an audit by name, those that have rows.

    Parameters
    ----------
    audit
        The result of `openmm_trajgan.analysis.audit.audit`.

    Returns
    -------
    dict
        ``figures`` and ``groups`` always; ``timescales``, ``passage_times`` and ``states`` of the Markov state model;
        ``baselines``, ``literature``, ``structure`` and ``validity`` if the audit has them. All rows of a table have the same
        keys. Lengths and times are in the unit of their key, a time interval that is not known leaves frames; None is a missing
        number.
    """
    markov = audit.yardstick.markov
    found = {
        "figures": _figures(audit),
        "groups": _groups(audit),
        **({} if markov is None else _kinetics(audit, markov)),
        "baselines": _baselines(audit),
        "literature": [asdict(one) for one in audit.literature],
        "structure": _structure(audit),
        "validity": _validity(audit),
    }
    return {name: rows for name, rows in found.items() if rows}


def write_tables(audit: "Audit", folder: Path | str, filled: Mapping[str, list[Row]] | None = None) -> list[Path]:
    """Write every table to ``folder/<name>.csv`` and return the paths; the same audit gives the same bytes.

    Numbers have six significant digits, missing ones are empty, infinite ones are ``inf``.

    Parameters
    ----------
    audit
        What to write.
    folder
        Made if it is not there.
    filled
        From `tables`, if they are filled already.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, rows in (tables(audit) if filled is None else filled).items():
        text = io.StringIO()
        writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows({key: _cell(value) for key, value in row.items()} for row in rows)
        paths.append(folder / f"{name}.csv")
        with replacing(paths[-1]) as file:
            file.write(text.getvalue().encode())
    return paths


def reference_of(yardstick: Yardstick, metric: Metric) -> Blocks:
    """Return the part of the reference that a metric compares with."""
    return next(part for one, part in zip(yardstick.metrics, yardstick.references, strict=True) if one is metric)


def state_means(audit: "Audit") -> FloatArray:
    """Return the means of the features in each metastable state of held-out MD, ``(n_states, n_features)``; circular for angles."""
    yardstick, markov = audit.yardstick, audit.yardstick.markov
    schema = audit.reference.schema
    if markov is None:
        return np.empty((0, schema.n_features))
    blocks = reference_of(yardstick, markov)
    turns = np.array([np.nan if period is None else 2 * np.pi / period for period in schema.periods])
    periodic = schema.periodic
    sums = np.zeros((markov.n_states, 2 * schema.n_features + 1))  # numbers and cosines, sines, frames
    for first, last in blocks.chunks():
        frames = blocks.read(first, last)
        labels = markov.states[markov.microstates.label(frames)]
        angles = frames * turns
        cosines, sines = np.where(periodic, np.cos(angles), frames), np.where(periodic, np.sin(angles), 0)
        for column, values in enumerate((*cosines.T, *sines.T, np.ones(len(frames)))):
            sums[:, column] += np.bincount(labels, values, minlength=markov.n_states)
    cosines, sines = np.split(sums[:, :-1] / sums[:, -1:], 2, axis=1)
    return np.where(periodic, np.arctan2(sines, cosines) / turns, cosines)


def mean_of(name: str, unit: str) -> str:
    """Return the column of a feature in the table of states."""
    return f"mean {name} / {unit}" if unit else f"mean {name}"


def _figures(audit: "Audit") -> list[Row]:
    rivals = {name: {one.figure.name: one for one in figures} for name, figures in audit.baselines.items()}
    rows = []
    for one in audit.figures:
        row = _figure(one, audit.frame_interval)
        for name, found in rivals.items():
            row[f"{name} value"] = found[one.figure.name].value
            row[f"{name} verdict"] = found[one.figure.name].verdict
        rows.append(row)
    return rows


def _groups(audit: "Audit") -> list[Row]:
    return [
        {
            "group": one.group,
            "standing": one.standing,
            **_length("worth", one.md_equivalent, audit.frame_interval),
            "sentence": one.sentence,
        }
        for one in audit.groups
    ]


def _baselines(audit: "Audit") -> list[Row]:
    return [{"baseline": name, **_figure(one, audit.frame_interval)} for name, rows in audit.baselines.items() for one in rows]


def _kinetics(audit: "Audit", markov: MarkovModels) -> dict[str, list[Row]]:
    """Return times of slow processes and between metastable states, and populations and places of these."""
    models = {}
    sets = {**audit.sets(), "reference": reference_of(audit.yardstick, markov).trajectories}
    for name, data in sets.items():
        blocks = Blocks.cut(data, max(map(len, data)))
        models[name] = markov.summary(markov.tally(blocks).sum(axis=0))
    factor, unit = audit.frame_interval or 1.0, "frames" if audit.frame_interval is None else "ps"
    schema, means = audit.reference.schema, state_means(audit)
    labels = [mean_of(name, unit) for name, unit in zip(schema.names, schema.units, strict=True)]
    return {
        "timescales": [
            {
                "process": f"t{process + 2}",
                **{f"{name} / {unit}": factor * float(one.timescales[process]) for name, one in models.items()},
                **_ratio(audit, f"timescale ratio t{process + 2}"),
            }
            for process in range(markov.n_processes)
        ],
        "passage_times": [
            {
                "from": markov.names[a],
                "to": markov.names[b],
                **{f"{name} / {unit}": factor * float(one.passage[a, b]) for name, one in models.items()},
                **_ratio(audit, f"MFPT ratio, {markov.names[a]} to {markov.names[b]}"),
            }
            for a, b in markov.passages
        ],
        "states": [
            {
                "state": letter,
                **{f"share in {name}": float(one.populations[state]) for name, one in models.items()},
                **dict(zip(labels, means[state].tolist(), strict=True)),
            }
            for state, letter in enumerate(markov.names)
        ],
    }


def _structure(audit: "Audit") -> list[Row]:
    rows: list[Row] = []
    for one in () if audit.structure is None else audit.structure.figures:
        row: Row = {"name": one.name, "meaning": one.meaning, "unit": one.unit, "value": one.generated}
        row["low"], row["high"] = one.interval or (None, None)
        row["MD against MD"] = one.md
        row["MD against MD, low"], row["MD against MD, high"] = one.md_interval or (None, None)
        rows.append(row | {"verdict": one.verdict, "missing": one.reason})
    return rows


def _validity(audit: "Audit") -> list[Row]:
    """Figures of the structures that the table of their comparison does not have already."""
    return [
        {"name": one.name, "meaning": one.meaning, "unit": one.unit, "value": one.value, "MD": one.md, "ratio": one.ratio}
        | {"missing": one.reason}
        for one in (() if audit.structure is None else audit.structure.validity.figures)
        if one.name not in IN_COMPARISON
    ]


def _figure(one: FigureOfMerit, frame_interval: float | None) -> Row:
    figure = one.figure
    return {
        "group": figure.group,
        "name": figure.name,
        "meaning": figure.meaning,
        "kind": figure.kind,
        "unit": figure.unit,
        **_parts("", one.estimate),
        **_parts("MD of that length, ", one.floor),
        "training data": one.information,
        "error over training error": one.information_ratio,
        **_length("worth", one.md_equivalent, frame_interval),
        "p": one.p_value,
        "verdict": one.verdict,
        "missing": one.missing.reason if one.missing else "",
    }


def _parts(prefix: str, estimate: Estimate | None) -> Row:
    keys = ("value", "low", "high") if not prefix else (f"{prefix}median", f"{prefix}low", f"{prefix}high")
    values = (None,) * 3 if estimate is None else (estimate.value, estimate.low, estimate.high)
    return dict(zip(keys, values, strict=True))


def _length(name: str, estimate: Estimate | None, frame_interval: float | None) -> Row:
    unit, factor = ("frames", 1.0) if frame_interval is None else ("ps", frame_interval)
    keys = (f"{name} / {unit}", f"{name}, low / {unit}", f"{name}, high / {unit}")
    values = (None,) * 3 if estimate is None else (factor * end for end in (estimate.value, estimate.low, estimate.high))
    return dict(zip(keys, values, strict=True))


def _ratio(audit: "Audit", name: str) -> Row:
    one = next(one for one in audit.figures if one.figure.name == name)
    estimate = _parts("", one.estimate)
    return {
        "ratio": estimate["value"],
        "ratio, low": estimate["low"],
        "ratio, high": estimate["high"],
        **_parts("MD of that length, ", one.floor),
        "verdict": one.verdict,
    }


def _cell(value: str | float | int | bool | None) -> str:
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def number(value: float | None) -> str:
    """Return a number with three significant digits as people write it.

    Examples
    --------
    >>> number(0.01234), number(123456.0), number(3.21e-6), number(float("inf")), number(None)
    ('0.0123', '123,000', '3.21·10⁻⁶', '∞', '–')
    """
    if value is None or np.isnan(value):
        return "–"
    if np.isinf(value):
        return "∞" if value > 0 else "−∞"
    if value != 0 and abs(value) < 1e-4:
        mantissa, exponent = f"{value:.2e}".split("e")
        power = "10" + str(int(exponent)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
        sign = "−" if value < 0 else ""
        return sign + (power if abs(float(mantissa)) == 1 else f"{abs(float(mantissa)):g}·{power}")
    rounded = float(f"{value:.3g}")
    text = f"{rounded:,.0f}" if abs(rounded) >= 100 else f"{rounded:.3g}"
    return text.replace("-", "−")


def percent(value: float | None) -> str:
    """Return a share in percent."""
    return "–" if value is None or np.isnan(value) else f"{100 * value:.3g} %"


def severity(one: FigureOfMerit) -> tuple[bool, float]:
    """Return what figures are sorted by, those furthest from MD first."""
    worth = float("inf") if one.md_equivalent is None else one.md_equivalent.value
    return one.verdict != "unlike MD", worth


class Words:
    """Numbers, lengths and verdicts of one audit as the page says them."""

    def __init__(self, audit: "Audit") -> None:
        self.audit = audit
        self.lengths = {"generated": audit.generated.n_frames, "given": (audit.train or audit.reference).n_frames}
        self.rivals = {name: {group: self._judge(group, figures) for group in NOUNS} for name, figures in audit.baselines.items()}

    def _judge(self, group: Group, figures: Sequence[FigureOfMerit]) -> GroupVerdict:
        return group_verdict(group, self.audit.of_group(group, figures), self.lengths, self.audit.frame_interval)

    def threshold(self) -> float:
        """Return the probability below which a figure is unlike MD."""
        return threshold(self.audit.figures)

    def time(self, value: float | None) -> str:
        """Return a time in the unit of the tables, ps or frames."""
        if value is None or np.isnan(value):
            return "–"
        if self.audit.frame_interval is None:
            return f"{number(value)} frames"
        unit, factor = next((unit, factor) for unit, factor in (("µs", 1e6), ("ns", 1e3), ("ps", 0.0)) if value >= factor)
        return f"{number(value / (factor or 1.0))} {unit}"

    def worth(self, estimate: Estimate | None) -> str:
        """Return a length of MD in words."""
        interval = self.audit.frame_interval
        if estimate is None or np.isnan(estimate.value):
            return "–"
        if np.isfinite(estimate.value):
            return length_in_words(estimate.value, interval)
        if np.isinf(estimate.low):
            return "more than can be told"
        shortest = min(part.n_frames for part in self.audit.yardstick.references)
        return f"over {length_in_words(LONGEST * shortest, interval)}"

    def worth_range(self, estimate: Estimate | None) -> str:
        """Return the interval of a length in words."""
        interval = self.audit.frame_interval
        if estimate is None or not np.isfinite(estimate.low):
            return ""
        low = length_in_words(estimate.low, interval)
        return f"{low} or more" if np.isinf(estimate.high) else f"{low} to {length_in_words(estimate.high, interval)}"

    def span(self, estimate: Estimate | None) -> str:
        """Return the interval of a number."""
        if estimate is None or np.isnan(estimate.low):
            return ""
        return f"{number(estimate.low)} to {number(estimate.high)}"

    def probability(self, p_value: float) -> str:
        """Return the probability of being as far off by chance."""
        return f"p = {number(float(f'{p_value:.2g}'))}" if p_value >= LEAST_P else f"p < {number(LEAST_P)}"

    def sentence(self, one: GroupVerdict) -> str:
        """Return the sentence of a group without its name in front."""
        said = one.sentence.partition(": ")[2] or one.sentence
        return said[0].upper() + said[1:]

    def sorted(self, figures: Sequence[FigureOfMerit]) -> list[FigureOfMerit]:
        """Return them as they are, or furthest from MD first if the table is long."""
        return sorted(figures, key=severity) if self.n_open(figures) < len(figures) else list(figures)

    def n_open(self, figures: Sequence[FigureOfMerit]) -> int:
        """Return how many rows are not folded."""
        return len(figures) if len(figures) <= OPEN_ROWS + FEWEST_FOLDED else OPEN_ROWS

    def against(self) -> list[str]:
        """Say whether the generated data beat what could be used instead."""
        sentences = []
        if "MSM" in self.rivals:
            own, rival = self.audit.group("kinetics"), self.rivals["MSM"]["kinetics"]
            sentences.append(f"Kinetics: {self._against(own, rival, 'the Markov state model (MSM)')}.")
        if "bootstrap" in self.rivals:
            sets = self.audit.figures, self.audit.baselines["bootstrap"]
            here, there = (_copies(self.audit.of_group("copying", figures)) for figures in sets)
            said = {
                (False, True): "the generated data beat the bootstrap: they show no sign of copying, it repeats training data",
                (True, True): "the generated data do not beat the bootstrap: both repeat training data",
                (True, False): "the generated data do not beat the bootstrap: they repeat training data, it shows no sign of it",
                (False, False): "neither the generated data nor the bootstrap shows signs of copying",
            }
            sentences.append(f"Nearness to the training data: {said[here, there]}.")
        return sentences

    def _against(self, own: GroupVerdict, rival: GroupVerdict, name: str) -> str:
        order = ("fails", "worth less than MD", "indistinguishable from MD")
        if "not judged" in (own.standing, rival.standing):
            return f"whether the generated data beat {name} cannot be told, since one of them is not judged"
        here, there = order.index(own.standing), order.index(rival.standing)
        if here != there:
            they = ("fail", "are worth less than MD", "cannot be told from MD")[here]
            it = ("fails", "is worth less than MD", "cannot be told from MD")[there]
            return f"the generated data {'beat' if here > there else 'do not beat'} {name}: they {they}, it {it}"
        if own.standing == order[-1]:
            return f"the generated data do not beat {name}: neither can be told from MD"
        fate, (ours, theirs) = "fail" if here == 0 else "are worth less than MD", (own.md_equivalent, rival.md_equivalent)
        if ours is None or theirs is None:
            return f"the generated data and {name} both {fate}"
        lengths = f"they are worth {self.worth(ours)} of MD, it {self.worth(theirs)}"
        if ours.low > theirs.high or ours.high < theirs.low:
            won = "beat" if ours.low > theirs.high else "do not beat"
            return f"the generated data {won} {name}, though both {fate}: {lengths}"
        return f"the generated data and {name} both {fate}; {lengths}"


def _copies(figures: Sequence[FigureOfMerit]) -> bool:
    """Whether a figure says that windows are significantly nearer to the training data than those of held-out MD."""
    return any(one.verdict == "unlike MD" and is_nearer(one) for one in figures)
