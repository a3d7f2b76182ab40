"""What a report costs: `WindowReporter` into a buffer on disk against `openmm.app.DCDReporter`, at 22 and at 2000 atoms.

Run ``python tests/benchmarks/reporter_cost.py --out cost.json`` on a quiet machine. The two reporters take turns, and so do the
simulations with and without one, so that a slow moment of the machine hits all alike. Processor time is compared.
"""

import argparse
import json
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import openmm
from openmm import app, unit

from openmm_trajgan.buffer import WindowBuffer
from openmm_trajgan.features import Distances, Torsions
from openmm_trajgan.features.base import Featurizer
from openmm_trajgan.systems import alanine_dipeptide
from openmm_trajgan.windows.reporter import WindowReporter

N_PARTICLES = 2197  # 13³
N_FEATURES = 300
REPORTS = 50  # per measurement of the cost of a report


def argon() -> app.Simulation:
    """Particles on a lattice in a periodic box, without forces, so that stepping costs little beside reporting."""
    system, topology = openmm.System(), app.Topology()
    chain = topology.addChain()
    for _ in range(N_PARTICLES):
        system.addParticle(39.9)
        topology.addAtom("Ar", app.Element.getBySymbol("Ar"), topology.addResidue("Ar", chain))
    box = 13 * 0.4
    system.setDefaultPeriodicBoxVectors(*(openmm.Vec3(*row) for row in box * np.eye(3)))
    force = openmm.NonbondedForce()  # makes the system periodic
    force.setNonbondedMethod(openmm.NonbondedForce.CutoffPeriodic)
    force.setCutoffDistance(0.1)
    for _ in range(N_PARTICLES):
        force.addParticle(0.0, 0.1, 0.0)
    system.addForce(force)
    topology.setPeriodicBoxVectors(box * np.eye(3) * unit.nanometer)
    simulation = app.Simulation(topology, system, openmm.VerletIntegrator(0.001), openmm.Platform.getPlatformByName("Reference"))
    simulation.context.setPositions(np.argwhere(np.ones((13, 13, 13))) * 0.4)
    return simulation


def random_groups(n_atoms_each: int) -> np.ndarray:
    """Atoms of `N_FEATURES` features of `n_atoms_each` different atoms."""
    rng = np.random.default_rng(1)
    return np.array([rng.choice(N_PARTICLES, n_atoms_each, replace=False) for _ in range(N_FEATURES)])


def costs_of_reports(simulation: app.Simulation, reporters: dict[str, Any], interval: int) -> dict[str, float]:
    """Median processor time in µs of getState and report, called as `Simulation` calls them; the steps between are not timed."""
    seconds: dict[str, list[float]] = {name: [] for name in reporters}
    for count in range(REPORTS):
        due = {name: reporter.describeNextReport(simulation) for name, reporter in reporters.items()}
        simulation.integrator.step(interval)
        for name in sorted(reporters, reverse=bool(count % 2)):
            report = due[name]
            periodic = report["periodic"] if report["periodic"] is not None else simulation.system.usesPeriodicBoundaryConditions()
            wanted = dict.fromkeys(report["include"], True)
            start = time.process_time()
            state = simulation.context.getState(enforcePeriodicBox=periodic, parameters=True, **wanted)
            reporters[name].report(simulation, state)
            seconds[name].append(time.process_time() - start)
    return {name: statistics.median(values) * 1e6 for name, values in seconds.items()}


def slowdowns(simulations: dict[str, app.Simulation], n_steps: int, repetitions: int) -> dict[str, list[float]]:
    """Extra processor time in % of `n_steps` steps against the first of some equal simulations.

    They take turns; each repetition compares the fastest of ten, since what else runs on the machine only ever adds time.
    """
    first, *others = simulations
    found: dict[str, list[float]] = {name: [] for name in others}
    for _ in range(repetitions):
        seconds: dict[str, list[float]] = {name: [] for name in simulations}
        for turn in range(10):
            for name in sorted(simulations, reverse=bool(turn % 2)):
                start = time.process_time()
                simulations[name].step(n_steps)
                seconds[name].append(time.process_time() - start)
        for name in others:
            found[name].append((min(seconds[name]) / min(seconds[first]) - 1) * 100)
    return found


def summary(values: list[float]) -> dict[str, float]:
    """Median and quartiles."""
    low, middle, high = statistics.quantiles(values, n=4)
    return {"median": round(middle, 3), "lower_quartile": round(low, 3), "upper_quartile": round(high, 3)}


def main(folder: Path, repetitions: int) -> dict[str, Any]:
    """Measure all cases."""

    def window_reporter(name: str, features: Featurizer, interval: int) -> WindowReporter:
        return WindowReporter(WindowBuffer(folder / name, features.schema), interval, features)

    small, large = alanine_dipeptide.build(1), argon()
    cases: dict[str, tuple[app.Simulation, Featurizer]] = {
        "22 atoms, 2 torsions": (small, alanine_dipeptide.features()),
        f"{N_PARTICLES} atoms, {N_FEATURES} torsions": (large, Torsions(random_groups(4))),
        f"{N_PARTICLES} atoms, {N_FEATURES} distances": (large, Distances(random_groups(2))),
    }
    result: dict[str, Any] = {"openmm": openmm.version.version, "repetitions": repetitions, "per_report": {}}
    for name, (simulation, features) in cases.items():
        interval = 50 if simulation is small else 1
        costs: dict[str, list[float]] = {"WindowReporter": [], "DCDReporter": []}
        for repetition in range(repetitions + 1):  # the first warms up
            reporters = {
                "WindowReporter": window_reporter(f"{name} {repetition}", features, interval),
                "DCDReporter": app.DCDReporter(str(folder / "run.dcd"), interval),
            }
            for which, cost in costs_of_reports(simulation, reporters, interval).items():
                if repetition:
                    costs[which].append(cost)
        ratios = [window / dcd for window, dcd in zip(costs["WindowReporter"], costs["DCDReporter"], strict=True)]
        result["per_report"][name] = {f"{which}_us": summary(values) for which, values in costs.items()}
        result["per_report"][name]["ratio"] = summary(ratios)
    simulations = {name: alanine_dipeptide.build(1) for name in ("none", "WindowReporter", "DCDReporter")}
    simulations["WindowReporter"].reporters.append(window_reporter("slowdown", alanine_dipeptide.features(), 50))
    simulations["DCDReporter"].reporters.append(app.DCDReporter(str(folder / "slowdown.dcd"), 50))
    losses = slowdowns(simulations, 2_500, repetitions)
    result["alanine_dipeptide_slowdown_percent"] = {name: summary(values) for name, values in losses.items()}
    return result


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--repetitions", type=int, default=10)
    arguments = parser.parse_args()
    temporary = Path(tempfile.mkdtemp())
    try:
        arguments.out.write_text(json.dumps(main(temporary, arguments.repetitions), indent=1) + "\n")
    finally:
        shutil.rmtree(temporary)
