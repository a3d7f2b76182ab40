"""The page of an audit: one HTML file with its pictures inside, no script, nothing from the network."""

import base64
import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.figure import Figure, FigureBase

from openmm_trajgan.analysis import plots
from openmm_trajgan.analysis.distributions import FloatArray, free_energy_surface
from openmm_trajgan.analysis.dynamics import autocorrelation
from openmm_trajgan.analysis.yardstick import NOUNS
from openmm_trajgan.schema import FeatureTrajectories

if TYPE_CHECKING:
    from openmm_trajgan.analysis.audit import Audit

DPI = 130
MOST_PANELS = 6
MOST_SERIES = 3
OPEN_ROWS = 12  # longer tables are folded
STRETCH_RELAXATIONS = 20  # a stretch of time series is so many relaxation times long, and at least 1000 frames


@dataclass(frozen=True)
class Picture:
    """A picture of the report.

    Parameters
    ----------
    title
        Heading.
    reading
        How to read it.
    source
        The picture as a data URI.
    """

    title: str
    reading: str
    source: str


def render(audit: "Audit") -> str:
    """Return the page of an audit as HTML text; everything that comes from the data is escaped."""
    environment = Environment(
        loader=PackageLoader("openmm_trajgan.analysis", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["figure"] = _number
    return environment.get_template("report.html").render(
        audit=audit,
        nouns=NOUNS,
        pictures=list(_pictures(audit)),
        open_rows=OPEN_ROWS,
        provenance=sorted(audit.generated.data.provenance.items()),
    )


def _number(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.2f}" if abs(value) >= 0.1 else f"{value:.4f}" if abs(value) >= 1e-4 or value == 0 else f"{value:.0e}"


def _pictures(audit: "Audit") -> Iterator[Picture]:
    yardstick = audit.yardstick
    reference, generated, md = yardstick.reference, audit.generated, audit.md
    schema = reference.schema
    if audit.frame_interval is not None:
        schema = schema.with_frame_interval(audit.frame_interval)
    shown = schema.names[:MOST_PANELS]
    of_many = f" The first {len(shown)} of {schema.n_features} features are shown." if len(shown) < schema.n_features else ""

    sets = {"held-out MD": reference, "generated": generated.data, **({"other MD": md[0].data} if md else {})}
    for pair in yardstick.pairs:
        edges = yardstick.edges[pair]
        surfaces = {title: free_energy_surface(data, pair, edges=edges)[0] for title, data in sets.items()}
        yield Picture(
            f"Free-energy surface of {pair[0]} and {pair[1]}",
            "Dark is low free energy, where the system spends its time; white was never visited. Longer data reach further up "
            "the rim: look at wells and passes between them. The panels should differ no more than two runs of MD do"
            + (": compare the first with the last." if md else "."),
            _data_uri(plots.free_energy_surfaces(surfaces, edges, pair, schema)),
        )

    def profiles(data: FeatureTrajectories) -> dict[str, FloatArray]:
        return {name: free_energy_surface(data, name, edges=yardstick.edges[(name,)])[0] for name in shown}

    grids = {name: yardstick.edges[(name,)][0] for name in shown}
    yield Picture(
        "Free energy along single features",
        "Wells are states, the heights between them barriers as populations show them. The generated line should stay in or near "
        f"the band that independent MD runs span.{of_many}",
        _data_uri(
            plots.free_energy_profiles(
                profiles(reference), profiles(generated.data), [profiles(one.data) for one in md], grids, schema
            )
        ),
    )
    stretch = _stretch(audit)
    frames = {
        title: max(data, key=len)[:stretch] for title, data in (("held-out MD", reference), ("generated", generated.data))
    }  # the longest series of each from its beginning
    yield Picture(
        "Time series",
        "The same number of frames of both, on the same scales. Look for the same states, the same noise within them and as many "
        "jumps between them.",
        _data_uri(plots.time_series(frames, schema.names[:MOST_SERIES], schema)),
    )
    correlation = autocorrelation(reference, len(generated.autocorrelations) - 1)
    yield Picture(
        "Autocorrelation",
        "How fast a feature forgets where it was; it is relaxed where the line crosses the dotted 1/e. Above the band the "
        f"generated dynamics are too slow, below it too fast.{of_many}",
        _data_uri(
            plots.autocorrelations(correlation, generated.autocorrelations, [one.autocorrelations for one in md], shown, schema)
        ),
    )
    yield Picture(
        "Implied timescales",
        "Times of the slowest processes in Markov state models of increasing lag. They should level off, and there agree; the "
        "dashed line is the lag compared at. In the grey area a process is faster than the lag and cannot be timed; a missing "
        "point is a number the data do not support.",
        _data_uri(
            plots.implied_timescales(
                yardstick.timescales.lags,
                yardstick.timescales.values,
                generated.timescales.values,
                [one.timescales.values for one in md],
                schema,
                yardstick.lag,
            )
        ),
    )


def overview(audit: "Audit") -> Figure:
    """Draw one picture of held-out MD and generated: free energy of the first pair of features, a stretch of the last of them."""
    reference, generated = audit.yardstick.reference, audit.generated.data
    schema, sets = reference.schema, {"held-out MD": reference, "generated": generated}
    pair = audit.yardstick.pairs[0]
    edges = audit.yardstick.edges[pair]
    stretch = _stretch(audit)
    figure = Figure(figsize=(1.4 * plots.WIDTH, 0.36 * plots.WIDTH), layout="constrained")
    halves: Any = figure.subfigures(1, 2, width_ratios=(1.25, 1))
    left, right = halves
    surfaces = {title: free_energy_surface(data, pair, edges=edges)[0] for title, data in sets.items()}
    plots.free_energy_surfaces(surfaces, edges, pair, schema, left)
    plots.time_series({title: max(data, key=len)[:stretch] for title, data in sets.items()}, pair[-1:], schema, right)
    return figure


def _stretch(audit: "Audit") -> int:
    relaxation = audit.yardstick.relaxation
    slowest = np.nanmax(relaxation) if np.isfinite(relaxation).any() else 0
    longest = [max(len(series) for series in data) for data in (audit.yardstick.reference, audit.generated.data)]
    return min(*longest, max(1000, int(STRETCH_RELAXATIONS * slowest)))


def _data_uri(figure: FigureBase) -> str:
    buffer = io.BytesIO()
    assert isinstance(figure, Figure)
    figure.savefig(buffer, format="png", dpi=DPI)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
