"""What the pictures of a report have in common: coordinates, units of time, curves with bands, and how they are drawn."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator
from numpy.typing import NDArray

from openmm_trajgan.analysis.distributions import FloatArray
from openmm_trajgan.schema import FeatureSchema

REFERENCE, GENERATED, MARK = "#1f3b57", "#d55e00", "#6b7680"
WIDTH = 9.0  # inches


@dataclass(frozen=True)
class Coordinate:
    """A quantity and how it stands on an axis: angles given in radians in degrees.

    Parameters
    ----------
    name
        As on the axis.
    unit
        Of the values.
    period
        None on the line.

    Examples
    --------
    >>> Coordinate("phi", "rad", 2 * np.pi).label, Coordinate("d", "nm").label
    ('phi / °', 'd / nm')
    """

    name: str
    unit: str = ""
    period: float | None = None

    @classmethod
    def of(cls, schema: FeatureSchema, name: str) -> "Coordinate":
        """Return a feature of a schema; a name that is none is a coordinate without unit."""
        if name not in schema.names:
            return cls(name)
        index = schema.names.index(name)
        return cls(name, schema.units[index], schema.periods[index])

    @property
    def in_degrees(self) -> bool:
        """Whether it is an angle."""
        return self.period is not None and self.unit == "rad"

    @property
    def factor(self) -> float:
        """What values are multiplied by."""
        return 180 / np.pi if self.in_degrees else 1.0

    @property
    def text(self) -> str:
        """Name and unit."""
        unit = "°" if self.in_degrees else self.unit
        return f"{self.name} / {unit}" if unit else self.name

    @property
    def label(self) -> str:
        """Name and unit for matplotlib."""
        return plain(self.text)


@dataclass(frozen=True, eq=False)
class Curve:
    """Numbers with the band that holds 90 % of what resampled blocks give.

    Parameters
    ----------
    values, low, high
        Of one shape; NaN where there is no number.
    """

    values: FloatArray
    low: FloatArray
    high: FloatArray


@dataclass(frozen=True)
class TimeAxis:
    """Unit of times and how many of it a frame takes."""

    unit: str
    step: float

    @classmethod
    def up_to(cls, n_frames: float, frame_interval: float | None) -> "TimeAxis":
        """Choose the unit for times up to a number of frames.

        Examples
        --------
        >>> TimeAxis.up_to(50_000, 0.2), TimeAxis.up_to(10, None).unit
        (TimeAxis(unit='ns', step=0.0002), 'frames')
        """
        if frame_interval is None:
            return cls("frames", 1.0)
        longest = n_frames * frame_interval
        unit, factor = next((unit, factor) for unit, factor in (("µs", 1e6), ("ns", 1e3), ("ps", 0.0)) if longest >= factor)
        return cls(unit, frame_interval / (factor or 1.0))


def draw_curve(
    axes: Axes, x: NDArray[np.floating], curve: Curve, colour: str, label: str, ceiling: float = np.inf, **style: Any
) -> None:
    """Draw a line in its band; infinite values are left out, an infinite end of the band stands at `ceiling`."""
    low, high = (np.where(np.isposinf(end), ceiling, end) for end in (curve.low, curve.high))
    axes.fill_between(x, low, high, where=np.isfinite(low) & np.isfinite(high), color=colour, alpha=0.25, linewidth=0)
    axes.plot(x, np.where(np.isinf(curve.values), np.nan, curve.values), color=colour, label=label, linewidth=1.3, **style)


def panel_grid(n_panels: int, height: float) -> tuple[Figure, list[Axes]]:
    """Return a figure of so many panels, at most three beside each other, each `height` inches high."""
    n_columns = 2 if n_panels in (2, 4) else min(n_panels, 3)
    n_rows = -(-n_panels // n_columns)
    figure = Figure(figsize=(WIDTH if n_columns > 1 else 0.7 * WIDTH, 0.4 + height * n_rows), layout="constrained")
    panels = figure.subplots(n_rows, n_columns, squeeze=False).ravel()
    for axes in panels[n_panels:]:
        axes.remove()
    return figure, list(panels[:n_panels])


def finish(figure: Figure, panels: Sequence[Axes], label: str) -> None:
    """Write one vertical label and one legend for all panels."""
    figure.supylabel(label, fontsize=10)
    named = {text: handle for axes in panels for handle, text in zip(*axes.get_legend_handles_labels(), strict=True)}
    figure.legend(named.values(), named.keys(), loc="outside upper center", ncols=4, frameon=False)


def plain_logarithms(axes: Axes, *, y: bool = True) -> None:
    """Write the numbers of logarithmic axes as people do, without powers of ten."""
    for axis in (axes.xaxis, axes.yaxis)[: 1 + y]:
        low, high = sorted(axis.get_view_interval())
        decades = np.log10(high / low) if low > 0 else 0
        axis.set_major_locator(LogLocator(subs=(1, 2, 5) if decades < 2.2 else (1,), numticks=8))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_locator(NullLocator())  # hundreds of ticks take longer to place than all else takes to draw


def angle_axis(axes: Axes, coordinate: Coordinate, which: str) -> None:
    """Let an axis, ``"x"`` or ``"y"``, go once around where the coordinate is an angle."""
    if coordinate.in_degrees:
        axes.set(**{f"{which}lim": (-180, 180), f"{which}ticks": (-180, -90, 0, 90, 180)})


def plain(text: str) -> str:
    """Return a text that matplotlib does not take for a formula, without the fingerprints in names of fitted projections.

    Examples
    --------
    >>> plain("JSD PC 1 #3f2a23, PC 2 #3f2a23")
    'JSD PC 1, PC 2'
    """
    return re.sub(r" #[0-9a-f]{6}\b", "", text).replace("$", r"\$")
