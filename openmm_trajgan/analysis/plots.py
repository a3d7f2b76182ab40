"""The pictures of a report: numbers in, matplotlib figures out, without pyplot or any global state."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, FigureBase
from matplotlib.ticker import NullLocator
from numpy.typing import NDArray

from openmm_trajgan.analysis.axes import (
    GENERATED,
    MARK,
    REFERENCE,
    WIDTH,
    Coordinate,
    Curve,
    TimeAxis,
    angle_axis,
    draw_curve,
    finish,
    panel_grid,
    plain,
    plain_logarithms,
)
from openmm_trajgan.analysis.distributions import Edges, FloatArray

NEVER = "0.9"  # where nothing was visited
HIGHEST_FREE_ENERGY = 8.0  # kT; higher regions are visited too rarely to have a free energy
LARGEST_DIFFERENCE = 3.0  # kT, ends of the colour scale
LONGEST_STRETCH = 2000  # points of a time series that can be told apart
LABEL_WIDTH = 18  # characters in a line beside a panel


def free_energy_surfaces(
    surfaces: Mapping[str, FloatArray],
    edges: Edges,
    coordinates: tuple[Coordinate, Coordinate],
    marks: Mapping[str, tuple[float, float]] | None = None,
    figure: FigureBase | None = None,
    *,
    difference: bool = True,
) -> FigureBase:
    """Draw two free-energy surfaces side by side on one colour scale, and how far the second is above the first.

    Parameters
    ----------
    surfaces
        Title and free energy, ``(bins, bins)``, first coordinate first, kT, infinite where nothing is; two of them.
    edges
        Bin edges of both coordinates.
    coordinates
        Both.
    marks
        Letters and where they stand on the first surface.
    figure
        Where to draw; None makes a figure.
    difference
        Whether to add the panel of the difference.
    """
    if figure is None:
        figure = Figure(figsize=(WIDTH, 0.36 * WIDTH), layout="constrained")
    panels = figure.subplots(1, len(surfaces) + difference, sharex=True, sharey=True, squeeze=False)[0]
    visited = np.any([np.isfinite(surface) for surface in surfaces.values()], axis=0)
    grid = (edges[0] * coordinates[0].factor, edges[1] * coordinates[1].factor)

    def mesh(axes: Axes, title: str, values: FloatArray, low: float, high: float, colours: str) -> Any:
        drawn = axes.pcolormesh(*grid, np.ma.masked_invalid(values.T), cmap=colours, vmin=low, vmax=high, rasterized=True)
        axes.set(title=title, xlabel=coordinates[0].label, facecolor=NEVER)
        axes.set(xlim=_reached(grid[0], visited.any(axis=1)), ylim=_reached(grid[1], visited.any(axis=0)))
        angle_axis(axes, coordinates[0], "x")
        angle_axis(axes, coordinates[1], "y")
        return drawn

    drawn = [
        mesh(axes, title, surface, 0, HIGHEST_FREE_ENERGY, "viridis")
        for axes, (title, surface) in zip(panels, surfaces.items(), strict=False)
    ]
    for letter, (x, y) in (marks or {}).items():
        panels[0].text(
            x * coordinates[0].factor,
            y * coordinates[1].factor,
            letter,
            color="black",
            ha="center",
            va="center",
            fontsize=9,
            fontweight="bold",
            bbox={"boxstyle": "circle,pad=0.15", "facecolor": "white", "edgecolor": "black", "alpha": 0.85},
            clip_on=True,
        )
    panels[0].set_ylabel(coordinates[1].label)
    place: dict[str, Any] = {"location": "bottom", "shrink": 0.7, "pad": 0.02, "aspect": 30}
    figure.colorbar(drawn[0], ax=list(panels[: len(surfaces)]), label="free energy / kT", extend="max", **place)
    if difference:
        first, second = surfaces.values()
        with np.errstate(invalid="ignore"):
            shift = mesh(panels[-1], "difference", second - first, -LARGEST_DIFFERENCE, LARGEST_DIFFERENCE, "RdBu_r")
        bar = figure.colorbar(
            shift, ax=panels[-1], label="difference / kT", extend="both", **{**place, "shrink": 0.9, "aspect": 20}
        )
        bar.set_ticks([-3, -2, -1, 0, 1, 2, 3])
    return figure


def free_energy_profiles(
    curves: Mapping[str, Mapping[str, Curve]], edges: Mapping[str, FloatArray], coordinates: Mapping[str, Coordinate]
) -> Figure:
    """Draw the free energy along single coordinates.

    Parameters
    ----------
    curves
        Data set, coordinate, and free energy ``(bins,)``, kT, infinite where nothing is.
    edges
        Bin edges of each coordinate, ``(bins + 1,)``.
    coordinates
        How each is shown.
    """
    figure, panels = panel_grid(len(edges), height=2.5)
    for axes, name in zip(panels, edges, strict=True):
        x = (edges[name][1:] + edges[name][:-1]) / 2 * coordinates[name].factor
        for (title, found), colour in zip(curves.items(), (REFERENCE, GENERATED), strict=True):
            draw_curve(axes, x, found[name], colour, title, ceiling=2 * HIGHEST_FREE_ENERGY)
        visited = np.any([np.isfinite(found[name].values) for found in curves.values()], axis=0)
        limits = _reached(edges[name] * coordinates[name].factor, visited)
        axes.set(xlabel=coordinates[name].label, ylim=(-0.5, HIGHEST_FREE_ENERGY), xlim=limits)
        angle_axis(axes, coordinates[name], "x")
    finish(figure, panels, "free energy / kT")
    return figure


def time_series(
    series: Mapping[str, NDArray[np.floating]], coordinates: Sequence[Coordinate], time: TimeAxis, figure: FigureBase | None = None
) -> FigureBase:
    """Draw a stretch of several data sets above each other on the same scales.

    Parameters
    ----------
    series
        Title and consecutive frames, ``(n_frames, n_coordinates)``, angles wrapped.
    coordinates
        Those to show.
    time
        Of the frames.
    figure
        Where to draw; None makes a figure.
    """
    n_panels = len(series) * len(coordinates)
    if figure is None:
        figure = Figure(figsize=(WIDTH, 0.5 + 1.25 * n_panels), layout="constrained")
    panels = figure.subplots(n_panels, 1, sharex=True, squeeze=False)[:, 0]
    for row, coordinate in enumerate(coordinates):
        shown = {title: frames[:, row] * coordinate.factor for title, frames in series.items()}
        low, high = min(values.min() for values in shown.values()), max(values.max() for values in shown.values())
        margin = 0.05 * (high - low) or 0.5
        group = panels[row * len(series) : (row + 1) * len(series)]
        for axes, colour, (title, values) in zip(group, (REFERENCE, GENERATED), shown.items(), strict=True):
            stride = -(-len(values) // LONGEST_STRETCH)
            times = np.arange(len(values))[::stride] * time.step
            style: dict[str, Any] = {"linewidth": 0.7}
            if coordinate.period is not None:
                style = {"linestyle": "none", "marker": ".", "markersize": 2, "rasterized": True}
            axes.plot(times, values[::stride], color=colour, **style)
            axes.set_ylim(low - margin, high + margin)
            axes.set_ylabel(_wrapped(coordinate.label), fontsize=8)
            angle_axis(axes, coordinate, "y")
            axes.set_title(title, loc="left", fontsize=9, color=colour, pad=2)
            axes.margins(x=0.005)
    panels[-1].set_xlabel(f"time / {time.unit}")
    return figure


def autocorrelations(curves: Mapping[str, Curve], lags: NDArray[np.int64], names: Sequence[str], time: TimeAxis) -> Figure:
    """Draw autocorrelations.

    Parameters
    ----------
    curves
        Data set and autocorrelations ``(n_lags, n_features)``.
    lags
        Shape ``(n_lags,)``, frames.
    names
        Of the features.
    time
        Of the lags.
    """
    figure, panels = panel_grid(len(names), height=2.5)
    times = lags * time.step
    for column, (axes, name) in enumerate(zip(panels, names, strict=True)):
        axes.axhline(np.exp(-1), color=MARK, linewidth=0.8, linestyle=":")
        for (title, curve), colour in zip(curves.items(), (REFERENCE, GENERATED), strict=True):
            one = Curve(curve.values[:, column], curve.low[:, column], curve.high[:, column])
            draw_curve(axes, times, one, colour, title)
        axes.set(title=plain(name), xlabel=f"lag / {time.unit}", xlim=(0, times[-1]), ylim=(min(-0.15, axes.get_ylim()[0]), 1.02))
    finish(figure, panels, "autocorrelation")
    return figure


def displacements(
    curves: Mapping[str, Mapping[tuple[int, int], Curve]],
    edges: Mapping[int, Sequence[FloatArray]],
    coordinates: Sequence[Coordinate],
    time: TimeAxis,
) -> Figure:
    """Draw distributions of changes over several numbers of frames.

    Parameters
    ----------
    curves
        Data set, and for each number of frames and index of a coordinate the share in each bin, ``(bins,)``.
    edges
        For each number of frames the bin edges of every coordinate, ``(bins + 1,)``.
    coordinates
        Those to show: a row each.
    time
        Of the frames.
    """
    size = (WIDTH if len(edges) > 1 else 0.65 * WIDTH, 0.5 + 2.1 * len(coordinates))
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(len(coordinates), len(edges), squeeze=False)
    for row, coordinate in enumerate(coordinates):
        for axes, steps in zip(panels[row], edges, strict=True):
            grid = edges[steps][row]
            x = (grid[1:] + grid[:-1]) / 2 * coordinate.factor
            shares = [curves[title][steps, row].values for title in curves]
            for title, colour, own in zip(curves, (REFERENCE, GENERATED), shares, strict=True):
                band = curves[title][steps, row]
                axes.fill_between(x, band.low, band.high, color=colour, alpha=0.25, linewidth=0, step="mid")
                axes.step(x, np.where(own > 0, own, np.nan), where="mid", color=colour, linewidth=1, label=title)
            visited = np.flatnonzero(np.sum(shares, axis=0) > 0)
            positive = np.concatenate([own[own > 0] for own in shares])
            axes.set(yscale="log", ylim=(positive.min() / 2, positive.max() * 2) if positive.size else (0.1, 1))
            axes.yaxis.set_minor_locator(NullLocator())
            if visited.size > 1:
                axes.set_xlim(x[visited[0]], x[visited[-1]])
            if row == 0:
                axes.set_title(_step_title(steps, time), fontsize=9)
            axes.set_xlabel(_wrapped(f"change of {coordinate.label}"), fontsize=8)
            axes.tick_params(labelsize=8)
    finish(figure, list(panels.ravel()), "share of frames")
    return figure


def implied_timescales(curves: Mapping[str, Curve], lags: NDArray[np.int64], time: TimeAxis, lag: int | None = None) -> Figure:
    """Draw implied timescales against the lag.

    Parameters
    ----------
    curves
        Data set and timescales ``(n_lags, n_processes)``, frames; NaN where there is none.
    lags
        Shape ``(n_lags,)``, frames.
    time
        Of lags and timescales.
    lag
        Where the timescales are compared, marked.
    """
    everything = np.stack([part for one in curves.values() for part in (one.values, one.low, one.high)])
    processes = np.flatnonzero(np.isfinite(everything).any(axis=(0, 1)))
    processes = processes if processes.size else np.array([0])
    figure, panels = panel_grid(len(processes), height=3.2)
    n_shown = min(int(np.flatnonzero(np.isfinite(everything).any(axis=(0, 2))).max(initial=0)) + 2, len(lags))
    x = lags * time.step
    for process, axes in zip(processes.tolist(), panels, strict=True):
        axes.fill_between(x, x, 1e-3 * x[0], color="0.88", linewidth=0, zorder=0)
        for (title, curve), colour, marker in zip(curves.items(), (REFERENCE, GENERATED), "os", strict=True):
            one = Curve(*(time.step * part[:, process] for part in (curve.values, curve.low, curve.high)))
            draw_curve(axes, x, one, colour, title, marker=marker, markersize=4)
        if lag is not None:
            axes.axvline(lag * time.step, color=MARK, linewidth=0.8, linestyle="--")
        axes.set(xscale="log", yscale="log", title=f"t{process + 2}", xlabel=f"lag / {time.unit}")
        found = everything[:, :, process][np.isfinite(everything[:, :, process])]
        found = found if found.size else lags.astype(np.float64)
        low, high = found.min() * time.step / 2, found.max() * time.step * 2
        axes.set(xlim=(x[0] / 1.3, x[n_shown - 1] * 1.3), ylim=(low, high))
        plain_logarithms(axes)
    finish(figure, panels, f"implied timescale / {time.unit}")
    return figure


def nearest_windows(shares: Mapping[str, FloatArray], edges: FloatArray) -> Figure:
    """Draw histograms of distances to the nearest window of the training data.

    Parameters
    ----------
    shares
        Data set and share of its windows: copies, then between `edges`, ``(1 + n_bins,)``.
    edges
        Of the bins, ``(n_bins + 1,)``.
    """
    figure, (axes,) = panel_grid(1, height=3.0)
    between = {title: values[1:] for title, values in shares.items()}
    found = np.flatnonzero(np.sum(list(between.values()), axis=0) > 0)
    first, last = (int(found[0]), int(found[-1]) + 1) if found.size else (0, len(edges) - 1)
    width = edges[1] / edges[0]
    copies = [one[0] for one in shares.values()]
    for (title, values), colour in zip(between.items(), (REFERENCE, GENERATED), strict=True):
        axes.stairs(values, edges, color=colour, fill=True, alpha=0.25)
        axes.stairs(values, edges, color=colour, linewidth=1.2, label=title)
    start = edges[first] / width
    if max(copies) > 0:  # as bars left of the smallest distance
        start = edges[first] / width**12
        bars = edges[first] / width ** np.array([10.0, 7.0])
        axes.bar(bars, copies, bars * (width**2.5 - 1), align="edge", color=(REFERENCE, GENERATED))
        axes.axvline(edges[first] / width**2, color=MARK, linewidth=0.8, linestyle=":")
        axes.text(
            edges[first] / width**7, 1.0, "copies", transform=axes.get_xaxis_transform(), ha="center", va="bottom", fontsize=9
        )
    label = "distance to the nearest training window / standard deviations"
    axes.set(xscale="log", xlim=(start, edges[last] * width), xlabel=label)
    plain_logarithms(axes, y=False)
    finish(figure, [axes], "share of windows")
    return figure


def _wrapped(label: str) -> str:
    """Return a label in lines that fit a small panel, its unit never alone in one."""
    return textwrap.fill(label.replace(" / ", "\N{NO-BREAK SPACE}/\N{NO-BREAK SPACE}"), LABEL_WIDTH)


def _reached(edges: FloatArray, visited: NDArray[np.bool_]) -> tuple[float, float]:
    """Return the ends of the visited bins, with one more on either side."""
    inside = np.flatnonzero(visited)
    return float(edges[max(inside[0] - 1, 0)]), float(edges[min(inside[-1] + 2, len(edges) - 1)])


def _step_title(steps: int, time: TimeAxis) -> str:
    frames = f"{steps} frame{'s' * (steps > 1)}"
    return frames if time.unit == "frames" else f"{frames} ({steps * time.step:.3g} {time.unit})"
