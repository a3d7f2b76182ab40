"""The pictures of a report: data in, matplotlib figures out, without pyplot or any global state."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, FigureBase
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from numpy.typing import NDArray

from openmm_trajgan.analysis.distributions import Edges, FloatArray, columns
from openmm_trajgan.schema import FeatureSchema, FeatureTrajectories

REFERENCE, GENERATED, SPREAD = "#1f3b57", "#d55e00", "#8fb3d1"
HIGHEST_FREE_ENERGY = 8.0  # kT; higher regions are visited too rarely to have a free energy
LONGEST_STRETCH = 2000  # points of a time series that can be told apart
WIDTH = 9.0  # inches


def free_energy_surfaces(
    surfaces: Mapping[str, FloatArray],
    edges: Edges,
    features: Sequence[str],
    schema: FeatureSchema,
    figure: FigureBase | None = None,
) -> FigureBase:
    """Draw free-energy surfaces of the same pair of features side by side on one colour scale.

    Parameters
    ----------
    surfaces
        Title and free energy, ``(bins, bins)``, first feature first, kT, infinite where nothing is.
    edges
        Bin edges of both features.
    features
        Names of both features.
    schema
        Where they come from; torsions are shown in degrees.
    figure
        Where to draw; None makes a figure.
    """
    if figure is None:
        figure = Figure(figsize=(WIDTH, 0.34 * WIDTH if len(surfaces) > 2 else 0.45 * WIDTH), layout="constrained")
    panels = figure.subplots(1, len(surfaces), sharex=True, sharey=True, squeeze=False)[0]
    x_factor, y_factor = (_factor(schema, name) for name in features)
    for axes, (title, surface) in zip(panels, surfaces.items(), strict=True):
        mesh = axes.pcolormesh(
            edges[0] * x_factor,
            edges[1] * y_factor,
            np.ma.masked_invalid(surface.T),
            cmap="viridis",
            vmin=0,
            vmax=HIGHEST_FREE_ENERGY,
            rasterized=True,
        )
        axes.set(title=title, xlabel=_label(schema, features[0]))
        _angle_axis(axes, schema, features[0], "x")
        _angle_axis(axes, schema, features[1], "y")
    panels[0].set_ylabel(_label(schema, features[1]))
    figure.colorbar(mesh, ax=panels, label="free energy / kT", extend="max", shrink=0.9, pad=0.01)
    return figure


def free_energy_profiles(
    reference: Mapping[str, FloatArray],
    generated: Mapping[str, FloatArray],
    md: Sequence[Mapping[str, FloatArray]],
    edges: Mapping[str, FloatArray],
    schema: FeatureSchema,
) -> Figure:
    """Draw the free energy along single features, with the range of independent MD as a band.

    Parameters
    ----------
    reference, generated
        Feature name and free energy ``(bins,)``, kT.
    md
        The same of every group of independent MD.
    edges
        Feature name and bin edges ``(bins + 1,)``.
    schema
        Where the features come from.
    """
    figure, panels = _grid(len(reference), height=2.5)
    for axes, name in zip(panels, reference, strict=True):
        x = (edges[name][1:] + edges[name][:-1]) / 2 * _factor(schema, name)
        _band(axes, x, [np.where(np.isinf(one[name]), 2 * HIGHEST_FREE_ENERGY, one[name]) for one in md])
        axes.plot(x, _finite(reference[name]), color=REFERENCE, label="held-out MD")
        axes.plot(x, _finite(generated[name]), color=GENERATED, label="generated")
        axes.set(xlabel=_label(schema, name), ylim=(-0.3, HIGHEST_FREE_ENERGY))
        _angle_axis(axes, schema, name, "x")
    _finish(figure, panels, "free energy / kT")
    return figure


def time_series(
    series: Mapping[str, NDArray[np.float32]],
    features: Sequence[str],
    schema: FeatureSchema,
    figure: FigureBase | None = None,
) -> FigureBase:
    """Draw a stretch of several data sets above each other on the same scales.

    Parameters
    ----------
    series
        Title and consecutive frames, ``(n_frames, n_features)``.
    features
        Names of the features to show.
    schema
        Names, units and periods of all features.
    figure
        Where to draw; None makes a figure.
    """
    if figure is None:
        figure = Figure(figsize=(WIDTH, 0.5 + 1.25 * len(series) * len(features)), layout="constrained")
    panels = figure.subplots(len(series) * len(features), 1, sharex=True, squeeze=False)[:, 0]
    colours = (REFERENCE, GENERATED)
    unit, step = _time(schema)
    for row, name in enumerate(features):
        shown = {
            title: columns(FeatureTrajectories([frames], schema), name)[:, 0] * _factor(schema, name)
            for title, frames in series.items()
        }
        low, high = min(values.min() for values in shown.values()), max(values.max() for values in shown.values())
        margin = 0.05 * (high - low) or 0.5
        group = panels[row * len(series) : (row + 1) * len(series)]
        for axes, colour, (title, values) in zip(group, colours, shown.items(), strict=True):
            stride = -(-len(values) // LONGEST_STRETCH)
            times = np.arange(len(values))[::stride] * step
            periodic = schema.periodic[schema.names.index(name)]
            style = {"linestyle": "none", "marker": ".", "markersize": 2} if periodic else {"linewidth": 0.7}
            axes.plot(times, values[::stride], color=colour, **style)
            axes.set(ylim=(low - margin, high + margin), ylabel=_label(schema, name))
            _angle_axis(axes, schema, name, "y")
            axes.set_title(title, loc="left", fontsize=9, color=colour, pad=2)
            axes.margins(x=0.005)
    panels[-1].set_xlabel(f"time / {unit}")
    return figure


def autocorrelations(
    reference: FloatArray, generated: FloatArray, md: Sequence[FloatArray], features: Sequence[str], schema: FeatureSchema
) -> Figure:
    """Draw autocorrelations with the range of independent MD as a band.

    Parameters
    ----------
    reference, generated
        Shape ``(n_lags, n_features)``, all features of the schema.
    md
        The same of every group of independent MD.
    features
        Names of the features to show.
    schema
        Names of all features, frame interval.
    """
    figure, panels = _grid(len(features), height=2.5)
    unit, step = _time(schema)
    times = np.arange(len(reference)) * step
    for axes, name in zip(panels, features, strict=True):
        column = schema.names.index(name)
        axes.axhline(np.exp(-1), color="0.6", linewidth=0.8, linestyle=":")
        _band(axes, times, [one[:, column] for one in md])
        axes.plot(times, reference[:, column], color=REFERENCE, label="held-out MD")
        axes.plot(times, generated[:, column], color=GENERATED, label="generated")
        axes.set(title=_plain(name), xlabel=f"lag / {unit}", xlim=(0, times[-1] or 1), ylim=(min(-0.15, axes.get_ylim()[0]), 1.02))
    _finish(figure, panels, "autocorrelation")
    return figure


def implied_timescales(
    lags: NDArray[np.int64],
    reference: FloatArray,
    generated: FloatArray,
    md: Sequence[FloatArray],
    schema: FeatureSchema,
    lag: int | None = None,
) -> Figure:
    """Draw implied timescales against the lag, with the range of independent MD as a band.

    Parameters
    ----------
    lags
        Shape ``(n_lags,)``, frames.
    reference, generated
        Shape ``(n_lags, n_processes)``, frames; NaN where there is none.
    md
        The same of every group of independent MD.
    schema
        For the frame interval.
    lag
        Where the timescales are compared, marked.
    """
    figure, panels = _grid(reference.shape[1], height=3.2)
    unit, step = _time(schema)
    everything = np.stack([reference, generated, *md])
    n_shown = min(int(np.flatnonzero(np.isfinite(everything).any(axis=(0, 2))).max(initial=0)) + 2, len(lags))
    for process, axes in enumerate(panels):
        axes.fill_between(lags * step, lags * step, 1e-3 * lags[0] * step, color="0.85", linewidth=0, zorder=0)
        _band(axes, lags * step, [one[:, process] * step for one in md])
        for one in md:  # a number at a single lag has no band
            axes.plot(lags * step, one[:, process] * step, ".", color=SPREAD, markersize=4)
        axes.plot(lags * step, reference[:, process] * step, "o-", color=REFERENCE, markersize=4, label="held-out MD")
        axes.plot(lags * step, generated[:, process] * step, "s-", color=GENERATED, markersize=4, label="generated")
        if lag is not None:
            axes.axvline(lag * step, color="0.4", linewidth=0.8, linestyle="--")
        axes.set(xscale="log", yscale="log", title=f"t{process + 2}", xlabel=f"lag / {unit}")
        found = everything[:, :, process][np.isfinite(everything[:, :, process])]
        found = found if found.size else lags
        axes.set(xlim=(lags[0] * step / 1.3, lags[n_shown - 1] * step * 1.3), ylim=(found.min() * step / 3, found.max() * step * 3))
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=8))
            axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axis.set_minor_formatter(NullFormatter())
    _finish(figure, panels, f"implied timescale / {unit}")
    return figure


def _grid(n_panels: int, height: float) -> tuple[Figure, list[Axes]]:
    n_columns = 2 if n_panels in (2, 4) else min(n_panels, 3)
    n_rows = -(-n_panels // n_columns)
    figure = Figure(figsize=(WIDTH if n_columns > 1 else 0.65 * WIDTH, 0.4 + height * n_rows), layout="constrained")
    panels = figure.subplots(n_rows, n_columns, squeeze=False).ravel()
    for axes in panels[n_panels:]:
        axes.remove()
    return figure, list(panels[:n_panels])


def _finish(figure: Figure, panels: Sequence[Axes], label: str) -> None:
    figure.supylabel(label, fontsize=10)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=3, frameon=False)


def _band(axes: Axes, x: NDArray[np.floating], curves: Sequence[FloatArray]) -> None:
    if curves:
        with np.errstate(invalid="ignore"):
            low, high = np.fmin.reduce(curves), np.fmax.reduce(curves)
        axes.fill_between(x, low, high, color=SPREAD, alpha=0.6, linewidth=0, label="range of MD against MD")


def _finite(free_energy: FloatArray) -> FloatArray:
    return np.where(np.isinf(free_energy), np.nan, free_energy)


def _factor(schema: FeatureSchema, name: str) -> float:
    return 180 / np.pi if _in_degrees(schema, name) else 1.0


def _in_degrees(schema: FeatureSchema, name: str) -> bool:
    index = schema.names.index(name)
    return bool(schema.periodic[index]) and schema.units[index] == "rad"


def _label(schema: FeatureSchema, name: str) -> str:
    unit = "°" if _in_degrees(schema, name) else schema.units[schema.names.index(name)]
    return _plain(f"{name} / {unit}" if unit else name)


def _plain(text: str) -> str:
    return text.replace("$", r"\$")  # a name is no formula


def _time(schema: FeatureSchema) -> tuple[str, float]:
    return ("frames", 1.0) if schema.frame_interval is None else ("ps", schema.frame_interval)


def _angle_axis(axes: Axes, schema: FeatureSchema, name: str, which: str) -> None:
    if _in_degrees(schema, name):
        axes.set(**{f"{which}lim": (-180, 180), f"{which}ticks": (-180, -90, 0, 90, 180)})
