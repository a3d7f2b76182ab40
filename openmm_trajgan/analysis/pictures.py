"""The pictures of an audit: what is drawn, its title and how to read it."""

import base64
import io
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure, FigureBase
from matplotlib.ticker import FixedLocator

from openmm_trajgan.analysis import plots
from openmm_trajgan.analysis.axes import GENERATED, REFERENCE, WIDTH, Coordinate, Curve
from openmm_trajgan.analysis.blocks import Blocks
from openmm_trajgan.analysis.comparison import Comparison, shares_of
from openmm_trajgan.analysis.displacements import Displacements
from openmm_trajgan.analysis.lengths import LengthPanel, Worth, lengths, worths
from openmm_trajgan.analysis.metric import NOUNS, Group
from openmm_trajgan.analysis.novelty import NearestTrainingWindow
from openmm_trajgan.analysis.relaxation import Relaxation
from openmm_trajgan.analysis.tables import severity
from openmm_trajgan.storage import replacing

if TYPE_CHECKING:
    from openmm_trajgan.analysis.audit import Audit

DPI = 130
MOST_PANELS = 6
MOST_SERIES = 3
MOST_WORTHS = 30
MOST_PROCESSES = 3
N_QUERIES = 2000  # windows in the histogram of nearest training windows
MERGED_BINS = 2  # of that histogram, into one


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture of the report.

    Parameters
    ----------
    name
        Of its files.
    title
        Heading.
    reading
        How to read it.
    figure
        The picture.
    group
        Group of figures that it belongs to; None for all.
    """

    name: str
    title: str
    reading: str
    figure: FigureBase
    group: Group | None = None

    @cached_property
    def png(self) -> bytes:
        """The picture as PNG."""
        return _image(self.figure, "png")

    @property
    def svg(self) -> bytes:
        """The picture as SVG."""
        return _image(self.figure, "svg")

    @property
    def source(self) -> str:
        """The picture as a data URI."""
        return f"data:image/png;base64,{base64.b64encode(self.png).decode()}"

    @property
    def wide(self) -> bool:
        """Whether it holds several panels beside each other."""
        assert isinstance(self.figure, Figure)
        return float(self.figure.get_figwidth()) >= WIDTH


def pictures(audit: "Audit") -> Iterator[Picture]:
    """Draw the pictures of an audit, those that the data allow."""
    both = Comparison(audit)
    for draw in (
        _worths,
        _surfaces,
        _profiles,
        _time_series,
        _autocorrelations,
        _displacements,
        _timescales,
        _nearest_windows,
        _lengths,
    ):
        yield from draw(both)


def write_pictures(audit: "Audit", folder: Path | str, drawn: Iterable[Picture] | None = None) -> list[Path]:
    """Write every picture to ``folder/<name>.png`` and ``folder/<name>.svg`` and return the paths; same audit, same bytes.

    Parameters
    ----------
    audit
        What to draw.
    folder
        Made if it is not there.
    drawn
        From `pictures`, if they are drawn already.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for picture in pictures(audit) if drawn is None else drawn:
        for kind, content in (("png", picture.png), ("svg", picture.svg)):
            paths.append(folder / f"{picture.name}.{kind}")
            with replacing(paths[-1]) as file:
                file.write(content)
    return paths


def overview(audit: "Audit") -> Figure:
    """Draw held-out MD and generated in one picture: free energy of the first pair of features and a stretch of the last of them.

    With a single feature, its free energy alone stands beside the stretch.
    """
    both = Comparison(audit)
    figure = Figure(figsize=(1.4 * WIDTH, 0.4 * WIDTH), layout="constrained")
    halves: Any = figure.subfigures(1, 2, width_ratios=(1.25, 1))
    names = audit.yardstick.pairs[0] if audit.yardstick.pairs else both.schema.names[:1]
    one, sets = both.observables([", ".join(names)])[0]
    if len(names) == 2:
        plots.free_energy_surfaces(both.surfaces(one, sets), one.edges, both.coordinates(names), None, halves[0], difference=False)
    else:
        axes, middles = halves[0].subplots(), (one.edges[0][1:] + one.edges[0][:-1]) / 2
        coordinate = Coordinate.of(both.schema, names[0])
        for (title, blocks), colour in zip(sets.items(), (REFERENCE, GENERATED), strict=True):
            shares = one.tally(blocks).sum(axis=0) / blocks.n_frames
            axes.plot(
                middles * coordinate.factor, -np.log(np.where(shares > 0, shares / shares.max(), np.nan)), color=colour, label=title
            )
        axes.set(xlabel=coordinate.label, ylabel="free energy / kT")
        axes.legend(frameon=False)
    series = both.series(names[-1:])
    plots.time_series(series, [Coordinate.of(both.schema, names[-1])], both.time(len(series["generated"])), halves[1])
    return figure


def _worths(both: Comparison) -> Iterator[Picture]:
    """Draw what every figure is worth."""
    figures = [one for one in both.audit.figures if one.md_equivalent is not None and one.verdict != "not judged"]
    if not figures:
        return
    kept = sorted(figures, key=severity)[:MOST_WORTHS]
    rows = []
    for one in (one for group in NOUNS for one in figures if one.figure.group == group and one in kept):
        assert one.md_equivalent is not None
        length = one.md_equivalent
        rows.append(Worth(one.figure.name, one.figure.group, length.value, length.low, length.high, one.verdict == "unlike MD"))
    marks = {"generated": both.audit.generated.n_frames}
    marks |= {"training MD": both.audit.train.n_frames} if both.audit.train is not None else {}
    most = f" The {len(kept)} of {len(figures)} figures that are worth least are shown." if len(kept) < len(figures) else ""
    yield Picture(
        "worth",
        "What each figure is worth",
        "The length of independent MD whose figure is typically as far from held-out MD, with its 90 % interval. Points at or "
        "right of the full line: as good as MD of the generated length. A triangle at the edge: more than the reference can "
        f"tell. Squares mark figures that are significantly unlike MD.{most}",
        worths(rows, marks, both.time(max(marks.values()))),
    )


def _surfaces(both: Comparison) -> Iterator[Picture]:
    """Draw free-energy surfaces and their difference."""
    pairs = [", ".join(pair) for pair in both.yardstick.pairs]
    slow = ["TICA-0,1"] if both.schema.n_features > 2 else []
    for index, (one, sets) in enumerate(both.observables([*pairs, *slow])):
        names = both.yardstick.pairs[pairs.index(one.name)] if one.name in pairs else ("TICA-0", "TICA-1")
        surfaces = both.surfaces(one, sets)
        marks = both.marks(names) if one.name in pairs else {}
        letters = " Letters: means of the metastable states." if marks else ""
        yield Picture(
            f"surface_{index + 1}",
            f"Free-energy surface of {names[0]} and {names[1]}",
            "Dark is low free energy, where the system spends its time; grey was never visited. Difference, generated minus "
            "held-out MD: red is visited too rarely, blue too often, white equally; single bins at the rim scatter by 1 kT "
            f"and more, look at whole wells and at the passes between them.{letters}",
            plots.free_energy_surfaces(surfaces, one.edges, both.coordinates(names), marks),
            "distribution",
        )


def _profiles(both: Comparison) -> Iterator[Picture]:
    """Draw free energies along single coordinates."""
    names = both.schema.names[:MOST_PANELS]
    slow = ["TICA-0"] if both.schema.n_features > 2 else []
    found = both.observables([*names, *slow])
    if not found:
        return
    curves: dict[str, dict[str, Curve]] = {"held-out MD": {}, "generated": {}}
    for one, sets in found:
        for name, blocks in sets.items():
            curves[name][one.name] = both.curve(one.tally(blocks), shares_of)
    of_many = _of_many(len(names), both.schema.n_features)
    energies = {}
    for name, shares in curves.items():
        zeros = {one: curves["held-out MD"][one].values.max() for one in shares}
        with np.errstate(divide="ignore"):  # the most frequent is the lowest, so that low and high change places
            energies[name] = {
                one: Curve(*(-np.log(part / zeros[one]) for part in (curve.values, curve.high, curve.low)))
                for one, curve in shares.items()
            }
    yield Picture(
        "profiles",
        "Free energy along single features",
        "Wells are states, the heights between them barriers as populations show them. Bands hold 90 % of what resampled "
        f"blocks of the same data give; where the two bands part, the data differ.{of_many}",
        plots.free_energy_profiles(
            energies,
            {one.name: one.edges[0] for one, _ in found},
            {one.name: Coordinate.of(both.schema, one.name) for one, _ in found},
        ),
        "distribution",
    )


def _time_series(both: Comparison) -> Iterator[Picture]:
    """Draw a stretch of the longest series of either set."""
    names = both.schema.names[:MOST_SERIES]
    series = both.series(names)
    of_many = _of_many(len(names), both.schema.n_features)
    yield Picture(
        "time_series",
        "Sample trajectories",
        "The beginning of the longest series of each, the same number of frames on the same scales. Look for the same states, "
        f"the same noise within them and as many jumps between them.{of_many}",
        plots.time_series(series, [Coordinate.of(both.schema, name) for name in names], both.time(len(series["generated"]))),
        "dynamics",
    )


def _autocorrelations(both: Comparison) -> Iterator[Picture]:
    """Draw autocorrelations of the features that relax."""
    everything = both.metric(Relaxation)
    if everything is None:
        return
    names = everything.names[:MOST_PANELS]
    chosen = [both.schema.names.index(name) for name in names]
    parts = {name: blocks.part(chosen) for name, blocks in both.sets(everything).items()}
    metric = Relaxation(parts["generated"].schema, everything.lags, everything.center[chosen], everything.reference_times[chosen])
    curves = {name: both.curve(metric.tally(part), metric.autocorrelations) for name, part in parts.items()}
    of_many = _of_many(len(names), len(everything.names), " that relax")
    yield Picture(
        "autocorrelations",
        "Autocorrelation",
        "How fast a feature forgets where it was; it is relaxed where the line crosses the dotted 1/e. Above the band of "
        f"held-out MD the generated dynamics are too slow, below it too fast.{of_many}",
        plots.autocorrelations(curves, metric.lags, names, both.time(int(metric.lags[-1]))),
        "dynamics",
    )


def _displacements(both: Comparison) -> Iterator[Picture]:
    """Draw distributions of displacements."""
    metric = both.metric(Displacements)
    if metric is None:
        return
    names = both.schema.names[:MOST_SERIES]
    chosen = list(range(len(names)))
    edges = {steps: list(grid[chosen]) for steps, grid in metric.edges.items()}
    curves: dict[str, dict[tuple[int, int], Curve]] = {}
    for name, blocks in both.sets(metric).items():
        part = blocks.part(chosen)
        curves[name] = {}
        for steps, grid in edges.items():
            tally = Displacements({steps: np.array(grid)}).tally(part)[:, 2:]
            for row, counts in enumerate(np.split(tally, len(chosen), axis=1)):
                curves[name][steps, row] = both.curve(counts, shares_of)
    of_many = _of_many(len(names), both.schema.n_features)
    yield Picture(
        "displacements",
        "How far features move",
        "Distributions of the change over some numbers of frames, on a logarithmic scale so that rare jumps show. The middle "
        f"is noise within a state, side peaks are jumps between states.{of_many}",
        plots.displacements(curves, edges, [Coordinate.of(both.schema, name) for name in names], both.time(1)),
        "dynamics",
    )


def _timescales(both: Comparison) -> Iterator[Picture]:
    """Draw implied timescales of both sets at every lag, with bands."""
    lags = both.yardstick.timescales.lags
    markov = both.yardstick.markov
    n_processes = 2 if markov is None else int(np.clip(markov.n_states - 1, 2, MOST_PROCESSES))
    sets = both.sets(both.yardstick.metrics[-1])  # coverage, which is always there and on microstates too
    curves = {name: both.timescales(blocks, lags, n_processes) for name, blocks in sets.items()}
    if not any(np.isfinite(one.values).any() for one in curves.values()):
        return
    finite = [one.values[np.isfinite(one.values)] for one in curves.values()]
    yield Picture(
        "implied_timescales",
        "Implied timescales",
        "Times of the slowest processes in Markov state models of increasing lag. They should level off, and there agree; "
        "the dashed line is the lag compared at. Bands hold 90 % of what resampled blocks give. In the grey area a process "
        "is faster than the lag and cannot be timed; a missing point is a number the data do not support.",
        plots.implied_timescales(curves, lags, both.time(float(np.concatenate(finite).max())), both.yardstick.lag),
        "kinetics",
    )


def _nearest_windows(both: Comparison) -> Iterator[Picture]:
    """Draw histograms of distances to the nearest training window."""
    metric = both.metric(NearestTrainingWindow)
    if metric is None:
        return
    shares = {}
    for name, data in (("held-out MD", both.audit.reference), ("generated", both.audit.generated)):
        blocks = Blocks.cut(data, max(map(len, data)))
        few = replace(metric, queries_per_block=-(-N_QUERIES // blocks.n_blocks))
        found = metric.histogram(few.tally(blocks).sum(axis=0, keepdims=True))[0]
        shares[name] = np.concatenate([found[:1], found[1:-1].reshape(-1, MERGED_BINS).sum(axis=1)])
    if not all(np.isfinite(one).all() for one in shares.values()):
        return
    yield Picture(
        "novelty",
        "Distance to the nearest training window",
        f"Windows of {metric.training.n_frames} frames, each with the most similar window of the training data. Held-out MD is "
        "as near as new MD comes by chance. Generated data further left repeat training data, further right they look like "
        "none.",
        plots.nearest_windows(shares, metric.edges[::MERGED_BINS]),
        "copying",
    )


def _lengths(both: Comparison) -> Iterator[Picture]:
    """Draw how the worst figure of each group falls off with the length of MD."""
    panels = []
    n_generated = both.audit.generated.n_frames
    for group in NOUNS:
        figures = [
            one for one in both.audit.of_group(group) if one.verdict != "not judged" and one.curve is not None and one.estimate
        ]
        for one in sorted(figures, key=severity)[:1]:
            panel = LengthPanel.of(one, n_generated)
            panels += [] if panel is None else [panel]
    if panels:
        yield Picture(
            "lengths",
            "How many frames of MD are that good",
            "The figure of each group that is worth least. The falling line: how far MD of a length is from held-out MD, with "
            "the range of 90 %. The square: the generated data, at their own length. Where its dotted line meets the falling "
            "one is the length of MD they are worth; above the band they are unlike MD.",
            lengths(panels, n_generated, both.time(max(panels[0].lengths))),
        )


def _of_many(n_shown: int, n_features: int, which: str = "") -> str:
    return f" The first {n_shown} of {n_features} features{which} are shown." if n_shown < n_features else ""


def _image(figure: FigureBase, kind: str) -> bytes:
    """Return a picture in bytes that are the same for the same picture."""
    assert isinstance(figure, Figure)
    buffer = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "openmm-trajgan"}), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # letters that the font lacks
        _arrange(figure)
        figure.savefig(buffer, format=kind, dpi=DPI, metadata={"Date": None} if kind == "svg" else {"Software": None})
    return buffer.getvalue()


def _arrange(figure: Figure) -> None:
    """Find places for everything once, and not again in each format, which takes as long as drawing.

    Ticks stay as they are before: new ones would need other room than was found for them.
    """
    engine = figure.get_layout_engine()
    if engine is not None:
        figure.set_dpi(DPI)
        for axis in (axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)):
            axis.set_major_locator(FixedLocator(axis.get_majorticklocs().tolist()))
        engine.execute(figure)
        figure.set_layout_engine(None)
