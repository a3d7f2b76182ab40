"""Generated data against held-out MD, every figure beside MD against MD."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from openmm_trajgan.analysis.audit_json import json_text
from openmm_trajgan.analysis.baselines import BASELINES
from openmm_trajgan.analysis.blocks import still
from openmm_trajgan.analysis.held_out import require_held_out
from openmm_trajgan.analysis.inputs import Source, as_trajectories, is_universe
from openmm_trajgan.analysis.literature import LiteratureFigure, mdgen_figures
from openmm_trajgan.analysis.metric import NOUNS, Group
from openmm_trajgan.analysis.support import data_warnings, listed, missing_numbers
from openmm_trajgan.analysis.verdict import FAILING, SIGNIFICANCE, FigureOfMerit, GroupVerdict, group_verdict, length_in_words
from openmm_trajgan.analysis.yardstick import BLOCK_RELAXATIONS, Yardstick
from openmm_trajgan.arguments import require_positive, whole_number
from openmm_trajgan.errors import InputError
from openmm_trajgan.schema import FeatureTrajectories
from openmm_trajgan.storage import replacing

if TYPE_CHECKING:
    from openmm_trajgan.analysis.structure import Energy
    from openmm_trajgan.analysis.structure_comparison import StructureComparison

JUDGED_BY_LENGTH: tuple[Group, ...] = ("distribution", "dynamics", "kinetics")
N_SKETCHES = 3


@dataclass(frozen=True, eq=False)
class Audit:
    """The result of `audit`.

    Parameters
    ----------
    figures
        Every figure, by group.
    groups
        What the figures of each group say together.
    warnings
        What the data could not support, as sentences.
    yardstick
        The reference and what was fitted on it.
    generated
        The data that were judged.
    train
        The MD that the model was given, None without.
    baselines
        The same figures of what could be used instead of the model, by name.
    structure
        Comparison of structures, None without coordinates.
    universe
        Generated structures, None without coordinates.
    command
        How the audit was called, for its provenance.
    """

    figures: tuple[FigureOfMerit, ...]
    groups: tuple[GroupVerdict, ...]
    warnings: tuple[str, ...]
    yardstick: Yardstick
    generated: FeatureTrajectories
    train: FeatureTrajectories | None = None
    baselines: Mapping[str, tuple[FigureOfMerit, ...]] = field(default_factory=dict)
    structure: "StructureComparison | None" = None
    universe: Any = None
    command: str = ""

    @property
    def package(self) -> str:
        """Version of this package."""
        return version("openmm-trajgan")

    @cached_property
    def literature(self) -> tuple[LiteratureFigure, ...]:
        """Figures in the conventions of others, which enter no verdict; computed when first asked for."""
        return mdgen_figures(self.reference, self.generated, self.train, seed=self.yardstick.seed)

    @property
    def reference(self) -> FeatureTrajectories:
        """Held-out MD."""
        return self.yardstick.reference.trajectories

    @property
    def frame_interval(self) -> float | None:
        """Time between frames, ps; None if no data set knows it."""
        return _frame_interval(self.reference, self.generated)

    @property
    def worth(self) -> float:
        """MD-equivalent length divided by generated length, smallest of distributions, dynamics and kinetics.

        1 means: as good as MD of the generated length; infinite where the noise of the reference hides any difference; NaN where
        no group could be judged.
        """
        lengths = [
            one.md_equivalent.value for one in self.groups if one.group in JUDGED_BY_LENGTH and one.md_equivalent is not None
        ]
        return min(lengths) / self.generated.n_frames if lengths else float("nan")

    def of_group(self, group: Group, figures: Sequence[FigureOfMerit] | None = None) -> list[FigureOfMerit]:
        """Return the figures of one group, of the generated data or of others such as a baseline."""
        return [one for one in (self.figures if figures is None else figures) if one.figure.group == group]

    def group(self, group: Group) -> GroupVerdict:
        """Return the verdict on one group."""
        return next(one for one in self.groups if one.group == group)

    def headline(self) -> str:
        """Return the verdict in one or two sentences."""
        unlike = [NOUNS[one.group] for one in self.groups if one.standing in ("fails", "worth less than MD")]
        alike = [NOUNS[one.group] for one in self.groups if one.standing == "indistinguishable from MD"]
        unknown = [NOUNS[one.group] for one in self.groups if one.standing == "not judged"]
        sentences = []
        if unlike:
            sentences.append(f"The generated data differ from MD in their {listed(unlike)}.")
        if alike:
            subject = "they" if unlike else "the generated data"
            sentences.append(f"In their {listed(alike)} {subject} cannot be told from MD.")
        if unknown:
            sentences.append(f"Their {listed(unknown)} could not be judged.")
        return " ".join(sentences)

    def findings(self) -> list[str]:
        """Return one sentence per group."""
        structure = [self.structure.sentence] if self.structure is not None else []
        return [*(one.sentence for one in self.groups), *structure]

    def lengths(self) -> dict[str, str]:
        """Say how long each data set is."""
        sets = {"held-out MD": self.reference, "generated": self.generated}
        sets |= {"training MD": self.train} if self.train is not None else {}
        return {name: _length(data, self.frame_interval) for name, data in sets.items()}

    def choices(self) -> dict[str, str]:
        """Say what was chosen on the reference, and by which rule."""
        yardstick = self.yardstick
        row = yardstick.timescales.plateau()
        interval = self.frame_interval
        chosen = {
            "blocks": f"{yardstick.reference.n_blocks} of about {yardstick.block_length} frames "
            f"({yardstick.block_length / yardstick.slowest:.3g} times the slowest process); {BLOCK_RELAXATIONS} times if that "
            "leaves 20 to 200 of them",
            "microstates": f"{yardstick.microstates.n_states}: √(frames)/2, at most 30"
            + (
                "" if yardstick.together else "; fitted like slow coordinates on one half of the reference, compared with the other"
            ),
        }
        if row is not None:
            chosen["lag time"] = (
                f"{length_in_words(int(yardstick.timescales.lags[row]), interval)}: the smallest from which the slowest timescale "
                "changes by less than 10 % to the next lag, else the largest allowed"
            )
        markov = yardstick.markov
        if markov is not None:
            chosen["metastable states"] = (
                f"{markov.n_states}: one more than slow processes, those that outlive the lag and are twice as slow as the next"
            )
        tested = sum(one.verdict != "not judged" for one in self.figures)
        chosen["significance"] = f"{SIGNIFICANCE:.0%} for the report as a whole, divided by {tested} figures (Bonferroni)"
        chosen["fails"] = f"worth less than {FAILING:.0%} of the training data (else the reference) or of the generated length"
        return chosen

    def summary(self) -> str:
        """Return a few plain lines."""
        lengths = self.lengths()
        lines = [self.headline(), f"Compared: generated, {lengths['generated']}, with held-out MD, {lengths['held-out MD']}."]
        lines += self.findings()
        if self.warnings:
            lines.append(f"{len(self.warnings)} warning{'s' * (len(self.warnings) > 1)}, the first: {self.warnings[0]}")
        return "\n".join(lines)

    def to_json(self, path: Path | str) -> None:
        """Write everything to a JSON file; the same data and seed give the same bytes.

        Keys of version 2: ``verdict`` (text), ``worth`` (see `Audit.worth`), ``groups`` (list of ``group``, ``standing``,
        ``md_equivalent_frames``, ``sentence``), ``figures`` (list of ``name``, ``group``, ``kind``, ``unit``, ``meaning``,
        ``estimate``, ``sampling_floor``, ``information_floor``, ``information_ratio``, ``md_equivalent_frames``, ``p_value``,
        ``verdict``, ``missing``), ``baselines`` (name to such a list), ``literature``, ``structure``, ``choices``,
        ``warnings``, ``lengths``, ``n_frames``, ``frame_interval_ps``, ``implied_timescales_frames``, ``schema``,
        ``provenance``, ``package``, ``command``, ``seed``. An estimate is an object of ``value``, ``low``, ``high``; infinite
        and missing numbers are null.
        """
        text = json_text(self)
        with replacing(Path(path)) as file:
            file.write(text.encode() + b"\n")

    def sets(self) -> dict[str, FeatureTrajectories]:
        """Return the data sets by name."""
        sets = {"reference": self.reference, "generated": self.generated}
        return sets if self.train is None else {**sets, "train": self.train}

    def to_html(self, path: Path | str) -> None:
        """Write the report, one HTML file that needs nothing else."""
        from openmm_trajgan.analysis.report import render

        with replacing(Path(path)) as file:
            file.write(render(self, self.sketches()).encode())

    def to_folder(self, folder: Path | str) -> Path:
        """Write ``audit.json``, ``audit.html``, ``figures`` as PNG and SVG and ``tables`` as CSV; return the path of the page."""
        from openmm_trajgan.analysis.report import write_report

        Path(folder).mkdir(parents=True, exist_ok=True)
        self.to_json(Path(folder) / "audit.json")
        return write_report(self, folder, structures=self.sketches())

    def sketches(self) -> list[Any]:
        """Draw a few generated structures, evenly spaced; none without coordinates."""
        if self.universe is None:
            return []
        from openmm_trajgan.analysis.structure_sketch import sketch

        frames = np.linspace(0, len(self.universe.universe.trajectory) - 1, N_SKETCHES).round().astype(int)
        return [sketch(self.universe, int(frame)) for frame in dict.fromkeys(frames.tolist())]


def audit(
    reference: Source,
    generated: Source,
    train: Source | None = None,
    *,
    pairs: Sequence[tuple[str, str]] | None = None,
    temperature: float = 300.0,
    baselines: bool = False,
    structures: tuple[Any, Any] | None = None,
    featurizer: Any = None,
    energy: "Energy | None" = None,
    seed: int = 0,
    progress: Callable[[float], object] = lambda share: None,
) -> Audit:
    """Compare generated data with held-out MD, and MD with MD by the same functions.

    Every figure comes with a 90 % interval (bootstrap over blocks of consecutive frames), the same figure of MD of the generated
    length (sampling floor) and of the training data (information floor), the length of MD that it is worth, and the probability
    that data of the same law are as far off (permutation of blocks, and scatter of MD). Definitions: `openmm_trajgan.analysis`.

    Parameters
    ----------
    reference
        Held-out MD that neither training nor model selection has seen: trajectories, a buffer, arrays ``(n_frames, n_features)``
        or a Universe, which is seen through its backbone torsions.
    generated
        The generated data, used as they are.
    train
        The MD the model was trained on; None leaves copying and the information floor out.
    pairs
        Pairs of feature names to compare jointly; None for the first three pairs of consecutive features.
    temperature
        K, for free energies.
    baselines
        Also measure a Markov state model, a vector autoregression and a bootstrap of the training data.
    structures
        Universes or AtomGroups of the reference and of the generated data, to compare bonds, angles, clashes, chirality,
        Ramachandran plots and sizes too; None for `reference` and `generated` themselves if both are Universes.
    featurizer
        That of the model, to compare the features of the generated structures with those in ``ts.data["features"]``.
    energy
        Potential energy of positions ``(n_frames, n_atoms, 3)`` in nm, ``(n_frames,)`` in kJ/mol, to compare it too.
    seed
        Seed of k-means and of resampling, in [0, 2³²).
    progress
        Called now and then with the share of the work that was done since.

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
    >>> flips = [rng.random((20000, 1)) < 0.05 for _ in range(2)]
    >>> runs = [np.cumsum(flip, axis=0) % 2 + rng.normal(0, 0.1, flip.shape) for flip in flips]
    >>> held_out, further = (FeatureTrajectories([run], schema) for run in runs)
    >>> shuffled = FeatureTrajectories([rng.permutation(further.values[0])], schema)
    >>> print(audit(held_out, shuffled).headline())
    The generated data differ from MD in their dynamics and kinetics. In their distributions and coverage they cannot be told
    from MD. Their nearness to the training data could not be judged.
    """
    sets = {"reference": as_trajectories(reference, "reference"), "generated": as_trajectories(generated, "generated")}
    if train is not None:
        sets["train"] = as_trajectories(train, "train")
    seed = whole_number(seed, "seed", 0)
    if seed >= 2**32:
        raise InputError(f"seed: expected a whole number below 2³², found {seed}")
    require_positive(temperature, "temperature", "kelvin")
    if baselines and train is None:
        raise InputError("baselines: they are fitted on the training data; give it, train= or --train")
    held_out, judged, trained = sets["reference"], sets["generated"], sets.get("train")
    for label, data in sets.items():
        held_out.schema.require_same(data.schema, "reference", label)
        if max(len(series) for series in data) < 2:
            raise InputError(f"{label}: expected series of at least 2 frames, found 1; give a trajectory")
    require_held_out(held_out, trained)
    if still(held_out).all():
        raise InputError("reference: expected features that change, found one value in all frames; give a longer trajectory")
    rivals, without = {}, []
    if baselines and trained is not None:
        rng = np.random.default_rng(seed)
        for name, generate in BASELINES.items():
            try:
                rivals[name] = generate(trained, max(judged.n_frames // len(judged), 2), len(judged), rng=rng)
            except InputError as error:
                without.append(f"No baseline {name}: {error}.")
    yardstick = Yardstick.fit(held_out, [judged, *rivals.values()], trained, pairs, temperature=temperature, seed=seed)
    steps = len(yardstick.metrics) * (1 + len(rivals)) + 1
    progress(1 / steps)
    figures = yardstick.measure(judged, lambda: progress(1 / steps))
    lengths = {"generated": judged.n_frames, "given": (trained or held_out).n_frames}
    interval = _frame_interval(held_out, judged)
    groups = tuple(
        group_verdict(group, [one for one in figures if one.figure.group == group], lengths, interval) for group in NOUNS
    )
    warnings = (*data_warnings(yardstick, sets), *missing_numbers(figures), *without)
    measured = {name: yardstick.measure(data, lambda: progress(1 / steps)) for name, data in rivals.items()}
    if structures is None and is_universe(reference) and is_universe(generated):
        structures = (reference, generated)
    if structures is None:
        return Audit(figures, groups, warnings, yardstick, judged, trained, measured)
    from openmm_trajgan.analysis.structure_comparison import compare_structures

    compared = compare_structures(*structures, featurizer=featurizer, energy=energy, seed=seed)
    return Audit(figures, groups, warnings, yardstick, judged, trained, measured, compared, structures[1])


def _frame_interval(*sets: FeatureTrajectories) -> float | None:
    return next((data.schema.frame_interval for data in sets if data.schema.frame_interval is not None), None)


def _length(data: FeatureTrajectories, frame_interval: float | None) -> str:
    text = f"{data.n_frames:,} frames"
    if frame_interval is not None:
        text += f" ({data.n_frames * frame_interval / 1000:.4g} ns)"
    return f"{text} in {len(data)} series" if len(data) > 1 else f"{text} in one series"
