"""The table of results in README: ``trajgan demo`` of every system with several seeds, in numbers.

Run ``OMP_NUM_THREADS=1 python tests/benchmarks/systems_results.py --out results.json`` (hours for all systems and three seeds;
``--systems`` and ``--seeds`` choose, ``--quick`` only shows that it works). Demonstrations go to ``--folder``; one that is complete
there is not run again. The JSON file holds a row for each system, condition and seed; the tables, a row for each system and
condition with the median over the seeds and their range in brackets, go to standard output (``--table`` reads such files).

Columns: frames of MD, steps and seconds of wall time it learned from and for; Jensen-Shannon divergence of the first two
features jointly, from held-out MD, generated and of the training data; slowest implied timescale divided by that of held-out MD,
generated and of the training data; the length of MD that the generated trajectories are worth by the least of distributions,
dynamics and kinetics, in units of the training data (> where the noise of held-out MD hides any difference); what is said of
copying; simulated time per CPU second on one thread, generated over MD (integration and features; one replica); and minutes of
wall and of CPU time of whole demonstrations, simulation and report included, if they were not interrupted.

A second table is for systems with two states (bound and unbound, folded and unfolded): mean times in each and the free energy of
the first, of the generated trajectories (of several seeds median and range) and of all MD of all seeds, ± the standard error of a
two-state Markov process; a seed learned from its own training replicas among them.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from scipy.constants import R

from openmm_trajgan import FeatureTrajectories, TrajGAN, WindowBuffer
from openmm_trajgan.analysis import two_state_kinetics
from openmm_trajgan.analysis.two_states import measured
from openmm_trajgan.systems import NAMES, get_system
from openmm_trajgan.workflows.demo_protocols import PROTOCOLS, QUICK

SECONDS = 5.0  # of CPU time that speeds are measured for


def demonstrate(system: str, seed: int, folder: Path, quick: bool) -> Path:
    """Run the demonstration, unless it is there, and return its folder."""
    out = folder / f"{system}-{seed}{'-quick' if quick else ''}"
    if not (out / "complete").exists():
        command = [sys.executable, "-m", "openmm_trajgan", "demo", system, "--seed", str(seed), "--out", str(out)]
        command += ["--quick"] * quick + ["--resume"] * out.exists()
        whole, start, used = not out.exists(), time.perf_counter(), children_seconds()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        times = f"{time.perf_counter() - start:.1f} {children_seconds() - used:.1f}\n"
        (out / "complete").write_text(times if whole else "")
    return out


def children_seconds() -> float:
    """CPU time of all processes that this one started and that have ended, s."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def simulated_per_second(name: str) -> float:
    """Time that MD covers in a second of CPU time, ps."""
    system = get_system(name)
    simulation, features = system.simulation(1, 1, system.labels[0] if system.labels else None), system.features()
    interval, start, n_frames = system.report_interval * simulation.integrator.getStepSize()._value, time.process_time(), 0
    while time.process_time() - start < SECONDS:
        simulation.step(system.report_interval)
        features(simulation.context.getState(positions=True).getPositions(asNumpy=True)._value)
        n_frames += 1
    return float(n_frames * interval / (time.process_time() - start))


def generated_per_second(gan: TrajGAN, label: float | None) -> float:
    """Time that generated trajectories cover in a second of CPU time, ps."""
    interval, start, n_frames = gan.schema.frame_interval or 0.0, time.process_time(), 0
    while time.process_time() - start < SECONDS:
        n_frames += gan.generate(2000, 20, label=label, seed=1).n_frames
    return float(n_frames * interval / (time.process_time() - start))


def rows(system: str, seed: int, out: Path, simulated: float) -> list[dict[str, Any]]:
    """Figures of one demonstration, a row for each condition."""
    gan = TrajGAN.load(out / "model.trajgan")
    times = [float(one) for one in (out / "complete").read_text().split()]
    found = []
    for label in get_system(system).labels or (None,):
        audit = json.loads((out / f"audit{'' if label is None else f'-{label:g}'}.json").read_text())
        joint = next(one for one in audit["figures"] if one["name"].startswith("JSD ") and ", " in one["name"])
        slowest = next((one for one in audit["figures"] if one["name"] == "timescale ratio t2"), None)
        groups = {one["group"]: one for one in audit["groups"]}
        worth, frames = audit["worth"], audit["n_frames"]
        found.append(
            {
                "system": system,
                "label": label,
                "seed": seed,
                "training_frames": frames["train"],
                "held_out_frames": frames["reference"],
                "generated_frames": frames["generated"],
                "training_seconds": gan.training_record["seconds"],
                "training_steps": gan.training_record["n_likelihood_steps"] + gan.training_record["n_adversarial_steps"],
                "seconds": times[0] if times else None,
                "cpu_seconds": times[1] if times else None,
                "jsd": joint["estimate"]["value"],
                "jsd_of_training_md": joint["information_floor"],
                "t2_ratio": None if slowest is None or slowest["estimate"] is None else slowest["estimate"]["value"],
                "t2_ratio_of_training_md": None if slowest is None else slowest["information_floor"],
                "worth_over_training": None if worth is None else worth * frames["generated"] / frames["train"],
                "standings": {name: one["standing"] for name, one in groups.items()},
                "copying": copying(groups["copying"]),
                "two_states": two_states(system, label, out),
                "structure_unlike_md": [
                    one["name"] for one in (audit["structure"] or {"figures": []})["figures"] if one["verdict"] == "unlike MD"
                ],
                "speed_up": generated_per_second(gan, label) / simulated,
            }
        )
    return found


def two_states(name: str, label: float | None, out: Path) -> dict[str, dict[str, Any]] | None:
    """Times in both states and departures from them, in MD of all replicas, in that held out, and generated."""
    system = get_system(name)
    if system.states is None:
        return None
    buffer = WindowBuffer(out / "md.windows")
    streams = [one for one in buffer.streams if label is None or buffer.labels[one] == label]
    protocol = (QUICK if out.name.endswith("-quick") else PROTOCOLS)[name]
    kept = [one for one in buffer.streams[-protocol.n_held_out :] if one in streams]
    data = {
        "md": buffer.trajectories(streams),
        "held_out": buffer.trajectories(kept),
        "generated": FeatureTrajectories.load(out / f"generated{'' if label is None else f'-{label:g}'}.npz"),
    }
    return {
        source: asdict(
            two_state_kinetics(series, system.states.feature, system.states.cores, temperature=system.temperature_at(label))
        )
        for source, series in data.items()
    }


def copying(group: dict[str, Any]) -> str:
    """Say in a word or two whether windows were copied."""
    if group["standing"] != "fails":
        return {"indistinguishable from MD": "none"}.get(group["standing"], str(group["standing"]))
    return "none, but unlike MD" if "no sign of copying" in group["sentence"] else "nearer than MD"


def table(results: list[dict[str, Any]]) -> str:
    """Return the rows of README, median over the seeds and their range."""
    lines = [
        "| system | training frames | steps | training, s | JSD | of training data | t₂ ratio | of training data | "
        "worth, in training lengths | copying | speed-up | minutes, of CPU | seeds |",
        f"|{13 * '---|'}",
    ]
    for system, label in dict.fromkeys((one["system"], one["label"]) for one in results):
        here = [one for one in results if (one["system"], one["label"]) == (system, label)]
        numbers = [
            spread([unlimited if one[name] is None else one[name] for one in here], digits)
            for name, digits, unlimited in (
                ("jsd", 2, None),
                ("jsd_of_training_md", 2, None),
                ("t2_ratio", 3, None),
                ("t2_ratio_of_training_md", 3, None),
                ("worth_over_training", 2, np.inf),
                ("speed_up", 2, None),
            )
        ]
        lines.append(
            f"| {system}{'' if label is None else f', {label:g} K'} | {here[0]['training_frames']} | "
            f"{here[0]['training_steps']} | {spread([one['training_seconds'] for one in here], 3)} | {' | '.join(numbers[:-1])} | "
            f"{', '.join(sorted({one['copying'] for one in here}))} | {numbers[-1]} | {minutes(here)} | {len(here)} |"
        )
    return "\n".join(lines)


def minutes(results: list[dict[str, Any]]) -> str:
    """Wall and CPU time of the demonstrations that ran without interruption."""
    whole = [one for one in results if one["seconds"] is not None]
    if not whole:
        return "–"
    return ", ".join(spread([one[name] / 60 for one in whole], 2) for name in ("seconds", "cpu_seconds"))


def rates_table(results: list[dict[str, Any]]) -> str:
    """Return the rows about the two states, of all MD and of the generated trajectories of the seeds; none if no system has two."""
    known = [one for one in results if one["two_states"] is not None]
    if not known:
        return ""
    lines = [
        "| system | | fraction of the first state | its free energy, kJ/mol | time in it, ps | time in the second, ps | events |",
        "|---|---|---|---|---|---|---|",
    ]
    for system, label in dict.fromkeys((one["system"], one["label"]) for one in known):
        here = [one["two_states"] for one in known if (one["system"], one["label"]) == (system, label)]
        name = f"{system}{'' if label is None else f', {label:g} K'}: {' / '.join(get_system(system).states.names)}"
        events = np.sum([one["md"]["n_events"] for one in here], axis=0)
        stays = np.sum([np.multiply(one["md"]["n_events"], one["md"]["times"]) for one in here], axis=0)
        share, error = stays[0] / stays.sum(), (1 / events).sum() ** 0.5
        kt = R / 1000 * get_system(system).temperature_at(label)  # kJ/mol
        figures = [(share, share * (1 - share) * error), (-kt * np.log(stays[0] / stays[1]), kt * error)]
        figures += [(stay / n, stay / n / n**0.5) for stay, n in zip(stays, events, strict=True)]
        lines.append(f"| {name} | MD | {' | '.join(measured(*figure) for figure in figures)} | {events.sum()} |")
        made = [one["generated"] for one in here]
        values = [[one["fraction"], one["free_energy"], *one["times"]] for one in made]
        errors = [made[0]["fraction_error"], made[0]["free_energy_error"], *made[0]["time_errors"]]
        if len(made) == 1:
            shown = " | ".join(map(measured, values[0], errors))
        else:
            shown = " | ".join(spread(list(column), 3) for column in zip(*values, strict=True))
        seeds, n_events = f", {len(made)} seeds" if len(made) > 1 else "", sum(sum(one["n_events"]) for one in made)
        lines.append(f"| | generated{seeds} | {shown} | {n_events} |")
    return "\n".join(lines)


def tables(results: list[dict[str, Any]]) -> str:
    """Return both tables."""
    return "\n\n".join(filter(None, (table(results), rates_table(results)))) + "\n"


def spread(values: list[float | None], digits: int) -> str:
    """Median and range; infinity is more than can be told, values that are None are left out and counted."""
    known = [value for value in values if value is not None]
    if not known:
        return "–"
    middle, low, high = (
        f"{float(f'{one:.{digits}g}'):g}" if np.isfinite(one) else "> any"  # no exponents
        for one in (np.median(known), min(known), max(known))
    )
    missing = f", {len(values) - len(known)} without" if len(known) < len(values) else ""
    return f"{middle} ({low} – {high}{missing})" if len(values) > 1 else middle


def main(systems: list[str], seeds: list[int], folder: Path, out: Path, quick: bool) -> None:
    """Run, write after each demonstration, and print the table."""
    folder.mkdir(parents=True, exist_ok=True)
    results: list[dict[str, Any]] = []
    for system in systems:
        simulated = simulated_per_second(system)
        for seed in seeds:
            results += rows(system, seed, demonstrate(system, seed, folder, quick), simulated)
            out.write_text(json.dumps(results, indent=1) + "\n")
    sys.stdout.write(tables(results))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--systems", nargs="+", choices=NAMES, default=list(NAMES))
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--folder", type=Path, default=Path("demonstrations"))
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--table", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, default=Path("results.json"))
    arguments = parser.parse_args()
    if arguments.table is not None:
        sys.stdout.write(tables([one for path in arguments.table for one in json.loads(path.read_text())]))
    else:
        main(arguments.systems, arguments.seeds, arguments.folder, arguments.out, arguments.quick)
