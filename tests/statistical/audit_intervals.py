"""Do the 90 % intervals of the audit hold the truth in 85 to 95 % of repetitions, where the truth is known?

Run ``python tests/statistical/audit_intervals.py --out intervals.json`` (100 repetitions of two processes; half an hour to
an hour on two cores). The truth of ratios is 1 for data of the same law, else that of exact timescales; of free energies it
follows from quadrature over the states of each repetition; of divergences it is their mean over all repetitions, since that of
finite samples is positive for any two laws. So says the interval: what samples of these lengths have on average, from 0 where equal
laws are not rejected.
"""

import argparse
import json
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor, as_completed
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from processes import PROCESSES, boltzmann, ornstein_uhlenbeck, timescales
from scipy.constants import R
from scipy.stats import binom
from tqdm import tqdm

from openmm_trajgan.analysis import yardstick as settings
from openmm_trajgan.analysis.markov import MarkovModels
from openmm_trajgan.analysis.yardstick import Yardstick
from openmm_trajgan.schema import FeatureTrajectories

N_REPLICAS = 10
N_FRAMES = {"ornstein_uhlenbeck": 20_000, "triple_well": 100_000}
RELAXATION, OTHER_RELAXATION, OTHER_MEAN = 20.0, 26.0, 0.2  # frames, and standard deviations
OTHER_TILT = 0.3  # kT

Result = dict[str, tuple[float, float, float, float | None]]  # value, low, high, truth


def simulate(system: str, same: bool, rng: np.random.Generator) -> FeatureTrajectories:
    """Make data of the law of the reference, or of another one."""
    n_frames = N_FRAMES[system] // N_REPLICAS
    if system == "ornstein_uhlenbeck":
        relaxation, mean = (RELAXATION, 0.0) if same else (OTHER_RELAXATION, OTHER_MEAN)
        return ornstein_uhlenbeck(N_REPLICAS, n_frames, relaxation, mean, rng=rng)
    return PROCESSES[system](N_REPLICAS, n_frames, rng=rng, tilt=0.0 if same else OTHER_TILT)


def repetition(system: str, number: int) -> dict[str, Result]:
    """Measure data of the same law and of another one."""
    settings.N_DRAWS = 2  # of floors, which are not looked at here; this process does nothing else
    rng = np.random.default_rng([number, list(N_FRAMES).index(system)])
    reference, *sets = (simulate(system, same, rng) for same in (True, True, False))
    yardstick = Yardstick.fit(reference, sets)
    results = {}
    for law, data in zip(("same law", "other law"), sets, strict=True):
        truth = truths(system, law, yardstick)
        results[law] = {
            one.figure.name: (one.estimate.value, one.estimate.low, one.estimate.high, truth.get(one.figure.name))
            for one in yardstick.measure(data)
            if one.estimate is not None and (one.figure.kind == "divergence" or one.figure.name in truth)
        }
    return results


def truths(system: str, law: str, yardstick: Yardstick) -> dict[str, float]:
    """Return what is known of ratios and free energies."""
    markov = yardstick.markov
    names = [figure.name for metric in yardstick.metrics for figure in metric.figures if figure.kind == "ratio"]
    energies = {} if markov is None or system == "ornstein_uhlenbeck" else free_energies(system, law, markov)
    if law == "same law":
        return {**dict.fromkeys(names, 1.0), **energies}
    if system == "ornstein_uhlenbeck":
        slower = OTHER_RELAXATION / RELAXATION
        return {name: slower for name in names if name.startswith(("relaxation", "timescale"))}
    ratios = timescales(PROCESSES[system], tilt=OTHER_TILT) / timescales(PROCESSES[system])
    return {**{f"timescale ratio t{order + 2}": float(ratio) for order, ratio in enumerate(ratios)}, **energies}


def free_energies(system: str, law: str, markov: MarkovModels) -> dict[str, float]:
    """Integrate over the metastable states of a repetition, kJ/mol."""
    energies = []
    for tilt in (0.0, 0.0 if law == "same law" else OTHER_TILT):
        midpoints, shares = boltzmann(PROCESSES[system], tilt=tilt)
        states = markov.states[markov.microstates.label(midpoints.reshape(2, -1).T.astype(np.float32))]
        populations = np.bincount(states, shares.ravel())
        energies.append(-R * markov.temperature / 1000 * np.diff(np.log(populations)))
    difference = energies[1] - energies[0]
    return {
        f"free energy, {state} to {other}": float(one)
        for (state, other), one in zip(pairwise(markov.names), difference, strict=True)
    }


def main() -> None:
    """Run the study and print the coverage of every interval."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=100)
    parser.add_argument("--systems", nargs="+", default=list(N_FRAMES), choices=list(N_FRAMES))
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    tables: dict[str, dict[str, list[tuple[float, float, float, float | None]]]] = defaultdict(lambda: defaultdict(list))
    with ProcessPoolExecutor(arguments.processes, mp_context=get_context("spawn")) as pool:
        jobs = {
            pool.submit(repetition, system, number): system
            for number in range(arguments.repetitions)
            for system in arguments.systems
        }
        for job in tqdm(as_completed(jobs), total=len(jobs), unit="repetition"):
            for law, result in job.result().items():
                for name, estimate in result.items():
                    tables[f"{jobs[job]}, {law}"][name].append(estimate)
            arguments.out.write_text(json.dumps(tables, indent=1))
    for title, table in sorted(tables.items()):
        print(f"\n{title}: mean, truth, share of 90 % intervals that hold it (2.5 to 97.5 % of its sampling error)")
        for name, rows in table.items():
            value, low, high = np.array([row[:3] for row in rows]).T
            truth = np.array([row[3] for row in rows], dtype=np.float64)
            truth = np.where(np.isnan(truth), value.mean(), truth)
            held = int(((low <= truth) & (truth <= high)).sum())
            ends = binom.interval(0.95, len(rows), held / len(rows))
            print(
                f"{name:32s}{value.mean():10.4g}{truth.mean():10.4g}{held / len(rows):8.1%}  ({ends[0] / len(rows):.0%} to "
                f"{ends[1] / len(rows):.0%} of {len(rows)})"
            )


if __name__ == "__main__":
    main()
