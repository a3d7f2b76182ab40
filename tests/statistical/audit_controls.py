"""Does the audit judge controls right? Confusion table over repetitions with fresh randomness.

Run ``python tests/statistical/audit_controls.py --out controls.json`` (20 repetitions of 12 controls on two systems; about an hour
on two cores).
"""

import argparse
import json
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from controls import CONTROLS, PROCESS_CONTROLS
from processes import PROCESSES, defects
from tqdm import tqdm

from openmm_trajgan.analysis.audit import audit
from openmm_trajgan.analysis.metric import NOUNS
from openmm_trajgan.schema import FeatureTrajectories

N_REPLICAS = 20
EXPECTED = {**{name: control.flagged_by for name, control in CONTROLS.items()}, **PROCESS_CONTROLS}


def standings(reference: FeatureTrajectories, generated: FeatureTrajectories, train: FeatureTrajectories) -> dict[str, str]:
    """Audit one control; standing of every group, and the least p-value with its figure."""
    result = audit(reference, generated, train)
    least = min((one for one in result.figures if one.p_value is not None and one.figure.judged), key=lambda one: one.p_value or 0)
    return {
        **{one.group: one.standing for one in result.groups},
        "least p": f"{least.p_value:.2g}",
        "figure": least.figure.name,
    }


def repetition(system: str, number: int, n_frames: int, names: list[str]) -> dict[str, dict[str, str]]:
    """Simulate reference, training data and independent MD anew and judge every control made of them."""
    rng = np.random.default_rng([number, list(PROCESSES).index(system)])
    process = PROCESSES[system]

    def simulate(**arguments: float) -> FeatureTrajectories:
        return process(N_REPLICAS, n_frames // N_REPLICAS, rng=rng, **arguments)

    reference, train, md = simulate(), simulate(), simulate()
    made = {
        name: simulate(**defects(process)[name]) if name in PROCESS_CONTROLS else CONTROLS[name].make(md, train, rng)
        for name in names
    }
    return {name: standings(reference, data, train) for name, data in made.items()}


def confusion(repetitions: list[dict[str, dict[str, str]]]) -> dict[str, dict[str, int]]:
    """Count for every control how often each group flagged it."""
    table: dict[str, Counter[str]] = {name: Counter() for name in repetitions[0]}
    for judged in repetitions:
        for name, groups in judged.items():
            table[name].update(group for group in NOUNS if groups[group] in ("fails", "worth less than MD"))
    return {name: {group: counts[group] for group in NOUNS} for name, counts in table.items()}


def main() -> None:
    """Run the study and print the confusion table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=20)
    parser.add_argument("--first", type=int, default=0, help="number of the first repetition, which is its seed")
    parser.add_argument("--frames", type=int, default=400_000)
    parser.add_argument("--systems", nargs="+", default=list(PROCESSES), choices=list(PROCESSES))
    parser.add_argument("--controls", nargs="+", default=list(EXPECTED), choices=list(EXPECTED))
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    results: dict[str, list[dict[str, dict[str, str]]]] = {system: [] for system in arguments.systems}
    numbers = range(arguments.first, arguments.first + arguments.repetitions)
    with ProcessPoolExecutor(arguments.processes, mp_context=get_context("spawn")) as pool:
        jobs = {
            pool.submit(repetition, system, number, arguments.frames, arguments.controls): system
            for number in numbers
            for system in arguments.systems
        }
        for job in tqdm(as_completed(jobs), total=len(jobs), unit="repetition"):
            results[jobs[job]].append(job.result())
            tables = {system: confusion(done) for system, done in results.items() if done}
            content = {"frames": arguments.frames, "confusion": tables, "repetitions": results}
            arguments.out.write_text(json.dumps(content, indent=1))
    for system, table in tables.items():
        print(f"\n{system}: how often of {len(results[system])} each group flagged a control (* must)")
        print(f"{'':24s}" + "".join(f"{group:>14s}" for group in NOUNS))
        for name, counts in table.items():
            cells = [f"{counts[group]}{'*' if group in EXPECTED[name] else ' '}" for group in NOUNS]
            print(f"{name:24s}" + "".join(f"{cell:>14s}" for cell in cells))


if __name__ == "__main__":
    main()
