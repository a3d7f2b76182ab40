"""The report of an audit: its pictures, and one HTML page that holds them, without script and without anything from the network."""

import base64
import io
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import matplotlib
import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.figure import Figure, FigureBase
from numpy.typing import NDArray

from openmm_trajgan.analysis import plots
from openmm_trajgan.analysis.blocks import Blocks
from openmm_trajgan.analysis.densities import Densities, Observable
from openmm_trajgan.analysis.displacements import Displacements
from openmm_trajgan.analysis.distributions import FloatArray, columns
from openmm_trajgan.analysis.floor import QUANTILES
from openmm_trajgan.analysis.kinetics import LEAST_CONNECTED, LEAST_RELAXATIONS
from openmm_trajgan.analysis.markov import timescales_of, transition_matrix
from openmm_trajgan.analysis.metric import NOUNS, Group, Metric
from openmm_trajgan.analysis.novelty import NearestTrainingWindow
from openmm_trajgan.analysis.plots import Coordinate, Curve, LengthPanel, TimeAxis, Worth
from openmm_trajgan.analysis.relaxation import Relaxation
from openmm_trajgan.analysis.tables import (
    Words,
    mean_of,
    number,
    percent,
    reference_of,
    severity,
    state_means,
    tables,
    write_tables,
)
from openmm_trajgan.analysis.uncertainty import CONFIDENCE
from openmm_trajgan.analysis.verdict import FigureOfMerit
from openmm_trajgan.schema import FeatureSchema, FeatureTrajectories
from openmm_trajgan.storage import replacing

if TYPE_CHECKING:
    from openmm_trajgan.analysis.audit import Audit

DPI = 130
MOST_PANELS = 6
MOST_SERIES = 3
MOST_WORTHS = 30
STRETCH_RELAXATIONS = 20  # a stretch of time series is so many times the slowest process long, and at least 1000 frames
N_RESAMPLES = 100  # for bands
N_MODELS = 30  # the same for implied timescales, each of which costs a Markov state model
MOST_PROCESSES = 3
N_QUERIES = 5000  # windows in the histogram of nearest training windows
MERGED_BINS = 2  # of that histogram, into one

M = TypeVar("M", bound=Metric)
Evaluate = Callable[[FloatArray], FloatArray]


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
    def source(self) -> str:
        """The picture as a data URI."""
        return f"data:image/png;base64,{base64.b64encode(self.png).decode()}"

    @property
    def wide(self) -> bool:
        """Whether it holds several panels beside each other."""
        assert isinstance(self.figure, Figure)
        return float(self.figure.get_figwidth()) >= plots.WIDTH


def pictures(audit: "Audit") -> Iterator[Picture]:
    """Draw the pictures of an audit, those that the data allow."""
    drawn = _Drawing(audit)
    for draw in (
        drawn.worths,
        drawn.surfaces,
        drawn.profiles,
        drawn.time_series,
        drawn.autocorrelations,
        drawn.displacements,
        drawn.timescales,
        drawn.nearest_windows,
        drawn.lengths,
    ):
        yield from draw()


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
        for kind, content in (("png", picture.png), ("svg", _image(picture.figure, "svg"))):
            paths.append(folder / f"{picture.name}.{kind}")
            with replacing(paths[-1]) as file:
                file.write(content)
    return paths


def write_report(audit: "Audit", folder: Path | str, name: str = "audit.html", structures: Sequence[FigureBase] = ()) -> Path:
    """Write the page, ``figures/*.png`` and ``*.svg``, and ``tables/*.csv`` into a folder, and return the path of the page."""
    folder = Path(folder)
    drawn = list(pictures(audit))
    write_pictures(audit, folder / "figures", [*drawn, *_structures(structures)])
    write_tables(audit, folder / "tables")
    with replacing(folder / name) as file:
        file.write(render(audit, structures, drawn).encode())
    return folder / name


def render(audit: "Audit", structures: Sequence[FigureBase] = (), drawn: Iterable[Picture] | None = None) -> str:
    """Return the page of an audit as HTML text; everything that comes from the data is escaped.

    Parameters
    ----------
    audit
        What to show.
    structures
        Rendered frames of generated structures, for example from `openmm_trajgan.analysis.structure.sketch`.
    drawn
        From `pictures`, if they are drawn already.
    """
    environment = Environment(
        loader=PackageLoader("openmm_trajgan.analysis", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": number, "percent": percent}
    shown = [*(pictures(audit) if drawn is None else drawn), *_structures(structures)]
    return environment.get_template("report.html").render(
        audit=audit,
        nouns=NOUNS,
        words=Words(audit),
        mean_of=mean_of,
        tables=tables(audit),
        schema=audit.reference.schema,
        coordinates=[Coordinate.of(audit.reference.schema, name) for name in audit.reference.schema.names[:MOST_PANELS]],
        pictures=shown,
        provenance=_provenance(audit),
    )


class _Drawing:
    """The pictures of one audit."""

    def __init__(self, audit: "Audit") -> None:
        self.audit = audit
        self.yardstick = audit.yardstick
        schema = audit.reference.schema
        self.schema = schema
        self.shown = schema.names[:MOST_PANELS]
        self.generated = Blocks.cut(audit.generated, self.yardstick.block_length)

    def metric(self, kind: type[M]) -> M | None:
        """Return the metric of a kind, if there is one."""
        return next((one for one in self.yardstick.metrics if isinstance(one, kind)), None)

    def curve(self, tally: FloatArray, evaluate: Evaluate, n_resamples: int = N_RESAMPLES) -> Curve:
        """Return a function of summed tallies with its band."""
        values = evaluate(tally.sum(axis=0, keepdims=True))[0]
        if len(tally) < 3:
            nothing = np.full_like(values, np.nan)
            return Curve(values, nothing, nothing)
        rng = np.random.default_rng(self.yardstick.seed)
        weights = rng.multinomial(len(tally), np.full(len(tally), 1 / len(tally)), n_resamples).astype(np.float64)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # nothing but NaN gives NaN
            low, high = np.nanquantile(evaluate(weights @ tally), ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2), axis=0)
        return Curve(values, low, high)

    def sets(self, metric: Metric) -> dict[str, Blocks]:
        """Return the blocks of both sets, of the reference those that a metric compares with."""
        return {"held-out MD": reference_of(self.yardstick, metric), "generated": self.generated}

    def observables(self, names: Iterable[str]) -> list[tuple[Observable, dict[str, Blocks]]]:
        """Return observables by name, each with the blocks of both sets."""
        wanted = set(names)
        densities = [one for one in self.yardstick.metrics if isinstance(one, Densities)]
        return [(one, self.sets(metric)) for metric in densities for one in metric.observables if one.name in wanted]

    def worths(self) -> Iterator[Picture]:
        """Draw what every figure is worth."""
        figures = [one for one in self.audit.figures if one.md_equivalent is not None and one.verdict != "not judged"]
        if not figures:
            return
        kept = sorted(figures, key=severity)[:MOST_WORTHS]
        rows = []
        for one in (one for group in NOUNS for one in figures if one.figure.group == group and one in kept):
            assert one.md_equivalent is not None
            length = one.md_equivalent
            rows.append(Worth(one.figure.name, one.figure.group, length.value, length.low, length.high, one.verdict == "unlike MD"))
        marks = {"generated": self.audit.generated.n_frames}
        marks |= {"training MD": self.audit.train.n_frames} if self.audit.train is not None else {}
        most = f" The {len(kept)} of {len(figures)} figures that are worth least are shown." if len(kept) < len(figures) else ""
        yield Picture(
            "worth",
            "What each figure is worth",
            "The length of independent MD whose figure is typically as far from held-out MD, with its 90 % interval. Points at or "
            "right of the full line: as good as MD of the generated length. A triangle at the edge: more than the reference can "
            f"tell. Squares mark figures that are significantly unlike MD.{most}",
            plots.worths(rows, marks, self._time(max(marks.values()))),
        )

    def surfaces(self) -> Iterator[Picture]:
        """Draw free-energy surfaces and their difference."""
        pairs = [", ".join(pair) for pair in self.yardstick.pairs]
        slow = ["TICA-0,1"] if self.schema.n_features > 2 else []
        for index, (one, sets) in enumerate(self.observables([*pairs, *slow])):
            names = self.yardstick.pairs[pairs.index(one.name)] if one.name in pairs else ("TICA-0", "TICA-1")
            surfaces = self._surfaces(one, sets)
            marks = self._marks(names) if one.name in pairs else {}
            letters = " Letters: means of the metastable states." if marks else ""
            yield Picture(
                f"surface_{index + 1}",
                f"Free-energy surface of {names[0]} and {names[1]}",
                "Dark is low free energy, where the system spends its time; grey was never visited. Difference, generated minus "
                "held-out MD: red is visited too rarely, blue too often, white equally; single bins at the rim scatter by 1 kT "
                f"and more, look at whole wells and at the passes between them.{letters}",
                plots.free_energy_surfaces(surfaces, one.edges, self._coordinates(names), marks),
                "distribution",
            )

    def _surfaces(self, observable: Observable, sets: dict[str, Blocks]) -> dict[str, FloatArray]:
        """Free energies above the deepest point of the reference, ``(bins, bins)``, kT."""
        counts = {name: np.bincount(observable.bins(one.frames), minlength=observable.n_bins) for name, one in sets.items()}
        shape = tuple(len(edges) - 1 for edges in observable.edges)
        deepest = np.log((counts["held-out MD"] / counts["held-out MD"].sum()).max())
        with np.errstate(divide="ignore"):
            return {name: (deepest - np.log(found / found.sum())).reshape(shape) for name, found in counts.items()}

    def _marks(self, names: Sequence[str]) -> dict[str, tuple[float, float]]:
        markov = self.yardstick.markov
        if markov is None:
            return {}
        x, y = (self.schema.names.index(name) for name in names)
        return {
            letter: (float(mean[x]), float(mean[y])) for letter, mean in zip(markov.names, state_means(self.audit), strict=True)
        }

    def _coordinates(self, names: Sequence[str]) -> tuple[Coordinate, Coordinate]:
        one, other = (Coordinate.of(self.schema, name) for name in names)
        return one, other

    def profiles(self) -> Iterator[Picture]:
        """Draw free energies along single coordinates."""
        slow = ["TICA-0"] if self.schema.n_features > 2 else []
        found = self.observables([*self.shown, *slow])
        if not found:
            return
        curves: dict[str, dict[str, Curve]] = {"held-out MD": {}, "generated": {}}
        for one, sets in found:
            for name, blocks in sets.items():
                curves[name][one.name] = self.curve(blocks.tally(one.bins(blocks.frames), one.n_bins), _shares)
        of_many = _of_many(len(self.shown), self.schema.n_features)
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
                {one.name: Coordinate.of(self.schema, one.name) for one, _ in found},
            ),
            "distribution",
        )

    def time_series(self) -> Iterator[Picture]:
        """Draw a stretch of the longest series of either set."""
        names = self.schema.names[:MOST_SERIES]
        series = self._series(names)
        of_many = _of_many(len(names), self.schema.n_features)
        yield Picture(
            "time_series",
            "Sample trajectories",
            "The beginning of the longest series of each, the same number of frames on the same scales. Look for the same states, "
            f"the same noise within them and as many jumps between them.{of_many}",
            plots.time_series(series, [Coordinate.of(self.schema, name) for name in names], self._time(len(series["generated"]))),
            "dynamics",
        )

    def _series(self, names: Sequence[str]) -> dict[str, NDArray[np.floating]]:
        sets = {"held-out MD": self.audit.reference, "generated": self.audit.generated}
        longest = [max(map(len, data)) for data in sets.values()]
        stretch = min(*longest, max(1000, int(STRETCH_RELAXATIONS * self.yardstick.slowest)))
        return {
            title: columns(FeatureTrajectories([max(data, key=len)[:stretch]], self.schema), list(names))
            for title, data in sets.items()
        }

    def autocorrelations(self) -> Iterator[Picture]:
        """Draw autocorrelations of the features that relax."""
        everything = self.metric(Relaxation)
        if everything is None:
            return
        names = everything.names[:MOST_PANELS]
        chosen = [self.schema.names.index(name) for name in names]
        metric = Relaxation(
            _schema(self.schema, chosen), everything.lags, everything.center[chosen], everything.reference_times[chosen]
        )
        curves = {
            name: self.curve(metric.tally(_part(blocks, chosen)), metric.autocorrelations)
            for name, blocks in self.sets(everything).items()
        }
        of_many = _of_many(len(names), len(everything.names), " that relax")
        yield Picture(
            "autocorrelations",
            "Autocorrelation",
            "How fast a feature forgets where it was; it is relaxed where the line crosses the dotted 1/e. Above the band of "
            f"held-out MD the generated dynamics are too slow, below it too fast.{of_many}",
            plots.autocorrelations(curves, metric.lags, names, self._time(int(metric.lags[-1]))),
            "dynamics",
        )

    def displacements(self) -> Iterator[Picture]:
        """Draw distributions of displacements."""
        metric = self.metric(Displacements)
        if metric is None:
            return
        names = self.schema.names[:MOST_SERIES]
        chosen = list(range(len(names)))
        edges = {steps: list(grid[chosen]) for steps, grid in metric.edges.items()}
        curves: dict[str, dict[tuple[int, int], Curve]] = {}
        for name, blocks in self.sets(metric).items():
            part = _part(blocks, chosen)
            curves[name] = {}
            for steps, grid in edges.items():
                tally = Displacements({steps: np.array(grid)}).tally(part)[:, 2:]
                for row, counts in enumerate(np.split(tally, len(chosen), axis=1)):
                    curves[name][steps, row] = self.curve(counts, _shares)
        of_many = _of_many(len(names), self.schema.n_features)
        yield Picture(
            "displacements",
            "How far features move",
            "Distributions of the change over some numbers of frames, on a logarithmic scale so that rare jumps show. The middle "
            f"is noise within a state, side peaks are jumps between states.{of_many}",
            plots.displacements(curves, edges, [Coordinate.of(self.schema, name) for name in names], self._time(1)),
            "dynamics",
        )

    def timescales(self) -> Iterator[Picture]:
        """Draw implied timescales of both sets at every lag, with bands."""
        lags = self.yardstick.timescales.lags
        markov = self.yardstick.markov
        n_processes = 2 if markov is None else int(np.clip(markov.n_states - 1, 2, MOST_PROCESSES))
        sets = self.sets(self.yardstick.metrics[-1])  # coverage, which is always there and on microstates too
        curves = {name: self._timescales(blocks, lags, n_processes) for name, blocks in sets.items()}
        if not any(np.isfinite(one.values).any() for one in curves.values()):
            return
        finite = [one.values[np.isfinite(one.values)] for one in curves.values()]
        yield Picture(
            "implied_timescales",
            "Implied timescales",
            "Times of the slowest processes in Markov state models of increasing lag. They should level off, and there agree; "
            "the dashed line is the lag compared at. Bands hold 90 % of what resampled blocks give. In the grey area a process "
            "is faster than the lag and cannot be timed; a missing point is a number the data do not support.",
            plots.implied_timescales(curves, lags, self._time(float(np.concatenate(finite).max())), self.yardstick.lag),
            "kinetics",
        )

    def _timescales(self, blocks: Blocks, lags: NDArray[np.int64], n_processes: int) -> Curve:
        microstates = self.yardstick.microstates
        n_micro, labels = microstates.n_states, microstates.label(blocks.frames)
        parts = []
        for lag in lags.tolist():
            starts = blocks.starts(lag)
            tally = blocks.tally(labels[starts] * n_micro + labels[starts + lag], n_micro**2, starts)

            def evaluate(sums: FloatArray, lag: int = lag) -> FloatArray:
                return np.stack([_implied(one.reshape(n_micro, n_micro), lag, blocks.n_frames, n_processes) for one in sums])

            supported = np.isfinite(evaluate(tally.sum(axis=0, keepdims=True))).any()
            parts.append(self.curve(tally if supported else tally[:1], evaluate, N_MODELS))
        values, low, high = (np.stack([getattr(one, part) for one in parts]) for part in ("values", "low", "high"))
        found = np.isfinite(values)
        # a process that is seen again after it was faster than the lag is noise
        noise = np.maximum.accumulate(~found & np.maximum.accumulate(found, axis=0), axis=0)
        return Curve(*(np.where(noise | ~found, np.nan, part) for part in (values, low, high)))

    def nearest_windows(self) -> Iterator[Picture]:
        """Draw histograms of distances to the nearest training window."""
        metric = self.metric(NearestTrainingWindow)
        if metric is None:
            return
        shares = {}
        for name, data in (("held-out MD", self.audit.reference), ("generated", self.audit.generated)):
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

    def lengths(self) -> Iterator[Picture]:
        """Draw how the worst figure of each group falls off with the length of MD."""
        panels = []
        n_generated = self.audit.generated.n_frames
        for group in NOUNS:
            figures = [
                one for one in self.audit.of_group(group) if one.verdict != "not judged" and one.curve is not None and one.estimate
            ]
            for one in sorted(figures, key=severity)[:1]:
                panel = _panel(one, n_generated)
                panels += [] if panel is None else [panel]
        if panels:
            yield Picture(
                "lengths",
                "How many frames of MD are that good",
                "The figure of each group that is worth least. The falling line: how far MD of a length is from held-out MD, with "
                "the range of 90 %. The square: the generated data, at their own length. Where its dotted line meets the falling "
                "one is the length of MD they are worth; above the band they are unlike MD.",
                plots.lengths(panels, n_generated, self._time(max(panels[0].lengths))),
            )

    def _time(self, n_frames: float) -> TimeAxis:
        return TimeAxis.up_to(n_frames, self.audit.frame_interval)


def overview(audit: "Audit") -> Figure:
    """Draw held-out MD and generated in one picture: free energy of the first pair of features and a stretch of the last of them.

    With a single feature, its free energy alone stands beside the stretch.
    """
    drawn = _Drawing(audit)
    figure = Figure(figsize=(1.4 * plots.WIDTH, 0.4 * plots.WIDTH), layout="constrained")
    halves: Any = figure.subfigures(1, 2, width_ratios=(1.25, 1))
    names = audit.yardstick.pairs[0] if audit.yardstick.pairs else drawn.schema.names[:1]
    one, sets = drawn.observables([", ".join(names)])[0]
    if len(names) == 2:
        plots.free_energy_surfaces(
            drawn._surfaces(one, sets), one.edges, drawn._coordinates(names), None, halves[0], difference=False
        )
    else:
        axes, middles = halves[0].subplots(), (one.edges[0][1:] + one.edges[0][:-1]) / 2
        coordinate = Coordinate.of(drawn.schema, names[0])
        for (title, blocks), colour in zip(sets.items(), (plots.REFERENCE, plots.GENERATED), strict=True):
            shares = np.bincount(one.bins(blocks.frames), minlength=one.n_bins) / blocks.n_frames
            axes.plot(
                middles * coordinate.factor, -np.log(np.where(shares > 0, shares / shares.max(), np.nan)), color=colour, label=title
            )
        axes.set(xlabel=coordinate.label, ylabel="free energy / kT")
        axes.legend(frameon=False)
    series = drawn._series(names[-1:])
    plots.time_series(series, [Coordinate.of(drawn.schema, names[-1])], drawn._time(len(series["generated"])), halves[1])
    return figure


def _panel(one: FigureOfMerit, n_generated: int) -> LengthPanel | None:
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
    return LengthPanel(figure.name, labels[figure.kind], lengths, Curve(*positive), float(root(np.array(found))), worth)


def _implied(counts: FloatArray, lag: int, n_frames: int, n_processes: int) -> FloatArray:
    """Implied timescales by the rules of `implied_timescales`, ``(n_processes,)``, frames."""
    found = np.full(n_processes, np.nan)
    if not counts.any():
        return found
    matrix, stationary, connected = transition_matrix(counts)
    if counts[np.ix_(connected, connected)].sum() < LEAST_CONNECTED * counts.sum():
        return found
    times = timescales_of(matrix, stationary, lag)[:n_processes]
    found[: len(times)] = np.where((times >= lag) & (LEAST_RELAXATIONS * times <= n_frames), times, np.nan)
    return found


def _shares(sums: FloatArray) -> FloatArray:
    with np.errstate(invalid="ignore"):
        return np.asarray(sums / sums.sum(axis=1, keepdims=True))


def _schema(schema: FeatureSchema, chosen: Sequence[int]) -> FeatureSchema:
    parts = {key: [getattr(schema, key)[index] for index in chosen] for key in ("names", "units", "periods")}
    return FeatureSchema.model_validate({**parts, "frame_interval": schema.frame_interval})


def _part(blocks: Blocks, chosen: Sequence[int]) -> Blocks:
    """Return the same blocks of some features."""
    data = blocks.trajectories
    part = FeatureTrajectories([series[:, chosen] for series in data], _schema(data.schema, chosen), data.replicas)
    return replace(blocks, trajectories=part, frames=np.ascontiguousarray(blocks.frames[:, chosen]))


def _of_many(n_shown: int, n_features: int, which: str = "") -> str:
    return f" The first {n_shown} of {n_features} features{which} are shown." if n_shown < n_features else ""


def _structures(figures: Sequence[FigureBase]) -> list[Picture]:
    return [
        Picture(
            f"structure_{index + 1}",
            f"Generated structure {index + 1}",
            "Balls and sticks from two sides, fainter with distance: carbon grey, nitrogen blue, oxygen red, sulphur yellow, "
            "hydrogen white.",
            figure,
        )
        for index, figure in enumerate(figures)
    ]


def _provenance(audit: "Audit") -> dict[str, list[tuple[str, str]]]:
    from openmm_trajgan.analysis.audit import digest

    packages = ("openmm-trajgan", "numpy", "scipy", "deeptime", "matplotlib")
    schema = audit.reference.schema
    found = {
        "This report": [
            *((name, version(name)) for name in packages),
            ("Python", ".".join(map(str, sys.version_info[:3]))),
            ("seed", str(audit.yardstick.seed)),
            ("features", f"{', '.join(schema.names[:8])}{f', … {schema.n_features} in all' * (schema.n_features > 8)}"),
            ("schema", schema.digest),
        ]
    }
    for name, data in audit.sets().items():
        found[name] = [("SHA-256 of the values", digest(data)), *sorted(data.provenance.items())]
    return found


def _image(figure: FigureBase, kind: str) -> bytes:
    """Return a picture in bytes that are the same for the same picture."""
    assert isinstance(figure, Figure)
    buffer = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "openmm-trajgan"}), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # letters that the font lacks
        figure.savefig(buffer, format=kind, dpi=DPI, metadata={"Date": None} if kind == "svg" else {"Software": None})
    return buffer.getvalue()
