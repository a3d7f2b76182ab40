"""Is the MD-equivalent length right? Independent MD of known length, judged as if it were generated.

Run ``python tests/statistical/audit_lengths.py --out lengths.json`` (100 repetitions of five lengths over two decades on two
systems; about half an hour on two cores). Printed: the median over repetitions of estimated by true length for each group and each
figure with the order statistics between which the median of the law is with 95 %, how many are too short, and how often the
90 % interval holds the true length.

The lengths are right in the median if half of them are too short; how sharp a median is depends on the figure. A divergence of many
bins is. A ratio or a free energy is one normal number, whose square MD of one length scatters over decades, and a group of such
numbers that go together is worth little more than one. Beyond the length of the reference its own noise hides much of the
difference, and half of the lengths of a single number are infinite. So are those of what has been seen completely, such as
microstates visited.
"""

import argparse
import json
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from processes import PROCESSES
from scipy.stats import binom
from tqdm import tqdm

from openmm_trajgan.analysis import yardstick as settings
from openmm_trajgan.analysis.metric import NOUNS
from openmm_trajgan.analysis.verdict import group_verdict
from openmm_trajgan.analysis.yardstick import Yardstick

N_REFERENCE = N_TRAIN = 400_000
LENGTHS = (4_000, 12_000, 40_000, 120_000, 400_000)
N_REPLICAS = 20
GROUPS = tuple(group for group in NOUNS if group != "copying")  # which has no lengths

Result = dict[str, tuple[float, float, float]]  # name of group or figure to value, low and high by true length


def repetition(system: str, number: int, groups: Sequence[str]) -> dict[int, Result]:
    """Judge fresh MD of all lengths by the same reference and training data in some groups of figures."""
    rng = np.random.default_rng([number, list(PROCESSES).index(system)])
    reference, train, *sets = (
        PROCESSES[system](n_replicas, n_frames // n_replicas, rng=rng)
        for n_frames in (N_REFERENCE, N_TRAIN, *LENGTHS)
        for n_replicas in (min(N_REPLICAS, n_frames // 4000),)
    )
    settings.N_RESAMPLES = 4  # of error bars and p-values, which are not looked at here; this process does nothing else
    yardstick = Yardstick.fit(reference, sets, train)
    pairs = zip(yardstick.metrics, yardstick.references, strict=True)
    kept = [(metric, part) for metric, part in pairs if metric.figures[0].group in groups]
    yardstick = replace(yardstick, metrics=tuple(metric for metric, _ in kept), references=tuple(part for _, part in kept))
    results = {}
    for length, data in zip(LENGTHS, sets, strict=True):
        figures = yardstick.measure(data)
        found = {one.figure.name: one.md_equivalent for one in figures if one.figure.judged}
        for group in groups:
            members = [one for one in figures if one.figure.group == group]
            verdict = group_verdict(group, members, {"generated": length, "given": N_TRAIN}, None)
            found[f"group {group}"] = verdict.md_equivalent
        results[length] = {
            name: (one.value / length, one.low / length, one.high / length) for name, one in found.items() if one is not None
        }
    return results


def main() -> None:
    """Run the study and print its table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=100)
    parser.add_argument("--systems", nargs="+", default=list(PROCESSES), choices=list(PROCESSES))
    parser.add_argument("--groups", nargs="+", default=GROUPS, choices=GROUPS)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    tables: dict[str, dict[str, dict[int, list[tuple[float, float, float]]]]] = {
        system: defaultdict(lambda: defaultdict(list)) for system in arguments.systems
    }
    with ProcessPoolExecutor(arguments.processes, mp_context=get_context("spawn")) as pool:
        jobs = {
            pool.submit(repetition, system, number, arguments.groups): system
            for number in range(arguments.repetitions)
            for system in arguments.systems
        }
        for job in tqdm(as_completed(jobs), total=len(jobs), unit="repetition"):
            for length, result in job.result().items():
                for name, estimate in result.items():
                    tables[jobs[job]][name][length].append(estimate)
            arguments.out.write_text(json.dumps(tables, indent=1))
    for system, table in tables.items():
        print(f"\n{system}: median of estimated by true length (95 % of it; share too short; of intervals that hold the truth)")
        print(f"{'':36s}" + "".join(f"{length:>32,d}" for length in LENGTHS))
        for name, by_length in sorted(table.items(), key=lambda item: not item[0].startswith("group")):
            print(f"{name:36s}" + "".join(f"{_cell(np.array(by_length[length]).reshape(-1, 3)):>32s}" for length in LENGTHS))


def _cell(rows: NDArray[np.float64]) -> str:
    """Say what rows of value, low and high, in units of the truth, are worth."""
    if not len(rows):
        return "–"
    found = np.sort(rows[:, 0])
    first, last = (int(rank) for rank in binom.interval(0.95, len(found), 0.5))
    held = ((rows[:, 1] <= 1) & (rows[:, 2] >= 1)).mean()
    middle = found[[(len(found) - 1) // 2, len(found) // 2]].mean()
    low, high = found[max(first - 1, 0)], found[min(last, len(found) - 1)]
    return f"{middle:.2f} ({low:.2f}–{high:.2f}; {(found < 1).mean():.0%}; {held:.0%})"


if __name__ == "__main__":
    main()
