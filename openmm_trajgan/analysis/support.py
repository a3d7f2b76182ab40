"""What the data could not support, as sentences."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from openmm_trajgan.analysis.markov import LEAST_EVENTS
from openmm_trajgan.analysis.verdict import FigureOfMerit
from openmm_trajgan.analysis.yardstick import Yardstick
from openmm_trajgan.schema import FeatureTrajectories

STRETCHED = 1.5  # a union range so many times wider than the reference makes its bins coarse
SHORTEST_BLOCK = 3.0  # times the slowest process; shorter blocks make errors too small


def data_warnings(yardstick: Yardstick, sets: Mapping[str, FeatureTrajectories]) -> Iterator[str]:
    """Say what the data sets cannot support, one sentence each."""
    reference, timescales = sets["reference"], yardstick.timescales
    if "train" not in sets:
        yield "No training MD (train=, --train) was given, so nothing says whether it was copied or what the model could know."
    length = yardstick.reference.n_frames / yardstick.slowest
    if yardstick.block_length < SHORTEST_BLOCK * yardstick.slowest:
        yield (
            f"The reference is only {length:.3g} times longer than its slowest process: errors are too small, "
            "and verdicts are rash; give longer MD."
        )
    row = timescales.plateau()
    if row is None:
        yield f"The reference supports no implied timescale: {EXPLAINED[str(timescales.reasons[0, 0])]}."
    elif row == len(timescales.lags) - 1 or not np.isfinite(timescales.values[row + 1, 0]):
        yield "The implied timescales of the reference do not level off: kinetics are read at the largest lag that it supports."
    markov = yardstick.markov
    if markov is not None:
        rare = [name for name, enough in zip(markov.names, markov.enough_events, strict=True) if not enough]
        if rare:
            yield (
                f"The reference enters or leaves state {listed(rare)} fewer than {LEAST_EVENTS} times for {markov.lag} frames or "
                "longer: its passage times are left out."
            )
    relaxing = {name for metric in yardstick.metrics for name in getattr(metric, "names", ())}
    still = [name for name in reference.schema.names if name not in relaxing]
    if still:
        yield (
            f"No relaxation time of {listed(still[:5])}: constant in the reference, or not relaxed within half of its longest "
            "series."
        )
    for index, name in enumerate(reference.schema.names):
        if reference.schema.periods[index] is None:
            spans = {label: _span(data, index) for label, data in sets.items()}
            if max(spans.values()) > STRETCHED * spans["reference"] > 0:
                yield (
                    f"{name} spans {spans['reference']:.3g} in the reference and {spans['generated']:.3g} in the generated data; "
                    "bins over the whole range are coarse and its divergences read too small."
                )


EXPLAINED = {
    "short": "its series are shorter than the lag",
    "disconnected": "it enters or leaves states that it never does again",
    "fast": "no process outlives the lag",
    "few": "it is less than ten times longer than the process",
}


def _span(data: FeatureTrajectories, index: int) -> float:
    return float(max(series[:, index].max() for series in data) - min(series[:, index].min() for series in data))


def missing_numbers(figures: Sequence[FigureOfMerit]) -> Iterator[str]:
    """Say which figures have no verdict and why, one sentence for each reason."""
    names: dict[str, list[str]] = {}
    for one in figures:
        if one.missing is not None:
            names.setdefault(one.missing.reason, []).append(f"“{one.figure.name}”")
    for reason, which in names.items():
        more = f" and {len(which) - 3} more" * (len(which) > 3)
        yield f"No verdict on {', '.join(which[:3])}{more}: {reason}."


def listed(words: Sequence[str]) -> str:
    """Join words as a sentence does."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
