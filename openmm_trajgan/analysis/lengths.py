"""Pictures of what figures are worth: lengths of MD, and how MD falls off with its length."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from openmm_trajgan.analysis.axes import (
    GENERATED,
    MARK,
    REFERENCE,
    WIDTH,
    Curve,
    TimeAxis,
    draw_curve,
    finish,
    panel_grid,
    plain,
    plain_logarithms,
)
from openmm_trajgan.analysis.distributions import FloatArray
from openmm_trajgan.analysis.floor import QUANTILES
from openmm_trajgan.analysis.verdict import FigureOfMerit


@dataclass(frozen=True, eq=False)
class LengthPanel:
    """How one figure of MD falls off with its length, and where the generated data are.

    Parameters
    ----------
    title, label
        Of the panel and of its vertical axis.
    lengths
        Frames, ``(n_lengths,)``.
    curve
        Distance from the best value, of MD of these lengths.
    found
        Distance of the generated data.
    worth
        Length of MD that is as far off, frames; infinite if none can be told.
    """

    title: str
    label: str
    lengths: FloatArray
    curve: Curve
    found: float
    worth: float

    @classmethod
    def of(cls, one: FigureOfMerit, n_generated: int) -> "LengthPanel | None":
        """Return the panel of a figure for so many generated frames; None where there is nothing to draw."""
        if one.curve is None or one.estimate is None:
            return None
        figure, curve = one.figure, one.curve
        distances = figure.discrepancy(curve.values)
        supported = np.isfinite(distances).any(axis=1)
        found = float(figure.discrepancy(np.array([one.estimate.value]))[0])
        if not supported.any() or not found > 0:
            return None
        low, middle, high = np.nanquantile(distances[supported], QUANTILES, axis=1)
        lengths = curve.lengths[supported]
        worth = one.md_equivalent.value if one.md_equivalent is not None else float("nan")
        end = max([n_generated, lengths[-1], *([worth] if np.isfinite(worth) else [])])
        if end > lengths[-1]:  # as the law of floors says, see `FloorCurve`
            beyond = np.geomspace(lengths[-1], end, 20)[1:]
            factor = (1 / beyond + 1 / curve.n_reference) / (1 / lengths[-1] + 1 / curve.n_reference)
            low, middle, high = (np.concatenate([part, part[-1] * factor]) for part in (low, middle, high))
            lengths = np.concatenate([lengths, beyond])
        labels = {
            "divergence": f"divergence{f' / {figure.unit}' if figure.unit else ''}",
            "ratio": "|ln ratio| (0.1: 10 % off)",
            "difference": f"|difference|{f' / {figure.unit}' if figure.unit else ''}",
            "share": "missing share",
        }
        root = np.sqrt if figure.kind in ("ratio", "difference") else np.asarray
        positive = [np.where(part > 0, root(part), np.nan) for part in (middle, low, high)]
        if not np.isfinite(positive[0]).any():
            return None
        return cls(figure.name, labels[figure.kind], lengths, Curve(*positive), float(root(np.array(found))), worth)


def lengths(panels: Sequence[LengthPanel], n_generated: int, time: TimeAxis) -> Figure:
    """Draw how far MD is from MD against its length, with the generated data.

    Parameters
    ----------
    panels
        One per figure.
    n_generated
        Frames of the generated data.
    time
        Of the lengths.
    """
    figure, grid = panel_grid(len(panels), height=2.9)
    for axes, panel in zip(grid, panels, strict=True):
        x = panel.lengths * time.step
        draw_curve(axes, x, panel.curve, REFERENCE, "MD against MD")
        axes.axhline(panel.found, color=GENERATED, linewidth=1, linestyle=":")
        axes.plot(n_generated * time.step, panel.found, "s", color=GENERATED, label="generated", markersize=6)
        if np.isfinite(panel.worth):
            axes.axvline(panel.worth * time.step, color=GENERATED, linewidth=1, linestyle="--", label="worth so much MD")
        axes.set(xscale="log", yscale="log", xlabel=f"length / {time.unit}", ylabel=panel.label)
        axes.set_title(plain(panel.title), fontsize=9)
        plain_logarithms(axes)
    finish(figure, grid, "")
    return figure


@dataclass(frozen=True)
class Worth:
    """What one figure is worth: a row of `worths`.

    Parameters
    ----------
    name
        Of the figure.
    group
        Heading it stands under.
    value, low, high
        MD-equivalent length and its interval, frames; may be infinite.
    unlike
        Whether the figure is significantly unlike MD.
    """

    name: str
    group: str
    value: float
    low: float
    high: float
    unlike: bool


def worths(rows: Sequence[Worth], marks: Mapping[str, int], time: TimeAxis) -> Figure:
    """Draw the length of MD that each figure is worth, longest to the right.

    Parameters
    ----------
    rows
        From top to bottom.
    marks
        Name and frames of the data sets.
    time
        Of the lengths.
    """
    figure = Figure(figsize=(WIDTH, 1.1 + 0.24 * len(rows)), layout="constrained")
    axes = figure.subplots()
    ends = [end for row in rows for end in (row.value, row.low) if np.isfinite(end) and end > 0]
    right = 3 * max([*ends, *marks.values()]) * time.step
    left = min([*ends, *marks.values()]) / 2 * time.step
    for place, row in enumerate(rows):
        colour = GENERATED if row.unlike else REFERENCE
        low, value, high = (float(np.clip(end * time.step, left, right)) for end in (row.low, row.value, row.high))
        axes.plot([low, high], [place, place], color=colour, linewidth=2, alpha=0.45, solid_capstyle="butt")
        axes.plot(
            value, place, ">" if np.isinf(row.value) else "s" if row.unlike else "o", color=colour, markersize=6, clip_on=False
        )
    for place in range(1, len(rows)):
        if rows[place].group != rows[place - 1].group:
            axes.axhline(place - 0.5, color="0.85", linewidth=0.8)
    styles = ("-", "--", ":")
    for (name, n_frames), style in zip(marks.items(), styles, strict=False):
        axes.axvline(n_frames * time.step, color=MARK, linewidth=1, linestyle=style, label=name, zorder=0)
    axes.plot([], [], "o", color=REFERENCE, label="like MD")
    axes.plot([], [], "s", color=GENERATED, label="unlike MD")
    axes.set(xscale="log", xlim=(left, right), ylim=(len(rows) - 0.5, -0.5), xlabel=f"worth as much as MD of / {time.unit}")
    axes.set_yticks(range(len(rows)), [plain(row.name) for row in rows], fontsize=8)
    axes.grid(axis="y", color="0.93", linewidth=0.6)
    axes.set_axisbelow(True)
    plain_logarithms(axes, y=False)
    figure.legend(loc="outside upper center", ncols=5, frameon=False, fontsize=9)
    return figure
