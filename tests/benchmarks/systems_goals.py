"""What was promised of Trp-cage, binding and α-synuclein, beside long MD that the models never saw, for several seeds.

Run ``OMP_NUM_THREADS=1 python tests/benchmarks/systems_goals.py --folder demonstrations --seeds 1 2 3 --out goals.json`` in the
folder where ``systems_results.py`` left its demonstrations, whose simulations and models it takes; ``--systems`` chooses. For each
seed it prints a figure, the same of MD, and whether the goal is held:

* ``trp_cage``: a model learns from the training replicas of the demonstration but those at 315 K (minutes), and generates at 315 K.
  MD there is that of all seeds. Goals: folded fraction within 0.05, times to fold and unfold within 25 %, and all three nearer than
  MD at either neighbouring temperature that was trained at. Beside it stands what the same training replicas give without a model:
  times between the neighbouring temperatures by Arrhenius' law, the fraction from these.
* ``p450_binding``, ``t4_lysozyme``: generated trajectories beside MD of all seeds but the training replicas of this one (with one
  seed, the held-out replicas). Goals: mean times in both states within 25 %, free energy within 1 kJ/mol.
* ``alpha_synuclein``: generated trajectories, made coordinates of all 140 beads through nearest frames of the training replicas,
  beside MD as for binding. Goals: mean and standard deviation of the radius of gyration within the standard
  error of MD as long as the training data, which is the error of what the model was given; its relaxation time within 25 %.
  Distances decoded and turned into points, which gives 28 beads, are shown too, beside the same beads of MD.

Of every model five times as many trajectories are drawn as in its demonstration, so that goals are held or missed by what it has
learned and not by what was drawn. ± is a standard error: of two states that of a two-state Markov process, of sizes that of the
jackknife over blocks.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from openmm_trajgan import FeatureTrajectories, TrajGAN, WindowBuffer, to_universe
from openmm_trajgan.analysis import chain_size, two_state_kinetics
from openmm_trajgan.analysis.two_states import TwoStates, measured
from openmm_trajgan.features.latent import PCA
from openmm_trajgan.systems import alpha_synuclein, get_system
from openmm_trajgan.workflows.demo_protocols import PROTOCOLS

LEFT_OUT, NEIGHBOURS = 315.0, (300.0, 330.0)  # K
TIMES_AS_MANY = 5  # trajectories as the demonstration draws
FRACTION, TIMES, ENERGY = 0.05, 0.25, 1.0  # goals: difference, relative difference, kJ/mol


def replicas(folder: Path, system: str, seed: int) -> tuple[WindowBuffer, list[str], list[str]]:
    """Return the simulations of a demonstration, and the names of those it learned from and of those held out."""
    buffer, n_held_out = WindowBuffer(folder / f"{system}-{seed}" / "md.windows"), PROTOCOLS[system].n_held_out
    return buffer, list(buffer.streams[:-n_held_out]), list(buffer.streams[-n_held_out:])


def joined(parts: list[FeatureTrajectories]) -> FeatureTrajectories:
    """Return trajectories of several buffers as one set."""
    return FeatureTrajectories([series for part in parts for series in part], parts[0].schema)


def unseen(folder: Path, system: str, seed: int, seeds: list[int]) -> list[tuple[WindowBuffer, list[str]]]:
    """Return the replicas of all seeds but those that this one learned from."""
    found = []
    for other in seeds:
        buffer, train, held_out = replicas(folder, system, other)
        found.append((buffer, held_out if other == seed else train + held_out))
    return found


def drawn(system: str, model: Path, seed: int, label: float | None = None) -> FeatureTrajectories:
    """Return trajectories of a stored model."""
    protocol = PROTOCOLS[system]
    n_trajectories = TIMES_AS_MANY * protocol.n_generated
    return TrajGAN.load(model).generate(protocol.n_generated_frames, n_trajectories, label=label, seed=seed)


def states(system: str, data: FeatureTrajectories, temperature: float) -> TwoStates:
    """Return populations of and times in the two states of a system."""
    pair = get_system(system).states
    assert pair is not None
    return two_state_kinetics(data, pair.feature, pair.cores, temperature=temperature)


def row(system: str, seed: int, figure: str, value: Any, md: Any, off: float, goal: float, **more: Any) -> dict[str, Any]:
    """Return a figure of one seed, ``(number, error)`` each, with how far it is off in the terms of the goal."""
    return {
        "system": system,
        "seed": seed,
        "figure": figure,
        "generated": list(value),
        "md": list(md),
        "off": off,
        "goal": goal,
        "held": abs(off) <= goal,
        **more,
    }


def figures_of(one: TwoStates) -> dict[str, tuple[float, float]]:
    """Return what the goals about two states are about, each with its error."""
    return {
        "fraction of the first state": (one.fraction, one.fraction_error),
        "time in the first state, ps": (one.times[0], one.time_errors[0]),
        "time in the second state, ps": (one.times[1], one.time_errors[1]),
        "free energy of the first state, kJ/mol": (one.free_energy, one.free_energy_error),
    }


def left_out(folder: Path, seed: int, seeds: list[int]) -> list[dict[str, Any]]:
    """Learn Trp-cage without 315 K, and compare there."""
    buffer, shown, _ = replicas(folder, "trp_cage", seed)
    kept = [name for name in shown if buffer.labels[name] != LEFT_OUT]
    path = folder / f"trp_cage-{seed}-left-out.trajgan"
    if not path.exists():
        train = buffer.trajectories(kept)
        TrajGAN().fit(train, labels={name: buffer.labels[name] for name in kept}, seed=seed).save(path)
    generated = drawn("trp_cage", path, seed, LEFT_OUT)
    made = figures_of(states("trp_cage", generated, LEFT_OUT))
    md = {}
    for temperature in (LEFT_OUT, *NEIGHBOURS):
        parts = []
        for other in seeds:
            everything, train_names, held_out = replicas(folder, "trp_cage", other)
            names = [name for name in train_names + held_out if everything.labels[name] == temperature]
            parts.append(everything.trajectories(names))
        md[temperature] = figures_of(states("trp_cage", joined(parts), temperature))
    neighbours = []
    for temperature in NEIGHBOURS:
        names = [name for name in kept if buffer.labels[name] == temperature]
        neighbours.append(states("trp_cage", buffer.trajectories(names), temperature).times)
    times = arrhenius(np.array(neighbours))
    by_law = (times[0] / sum(times), *times)
    found = []
    for index, name in enumerate(list(made)[:3]):
        there = md[LEFT_OUT][name][0]

        def off(value: float, there: float = there, index: int = index) -> float:
            return value - there if index == 0 else value / there - 1

        nearest = min((md[temperature][name][0] for temperature in NEIGHBOURS), key=lambda value: abs(off(value)))
        result = row("trp_cage", seed, name, made[name], md[LEFT_OUT][name], off(made[name][0]), TIMES if index else FRACTION)
        result["held"] = result["held"] and abs(result["off"]) < abs(off(nearest))
        found.append(
            result
            | {"nearest_trained_temperature": nearest, "nearest_off": off(nearest)}
            | {"by_arrhenius": by_law[index], "by_arrhenius_off": off(by_law[index])}
        )
    return found


def arrhenius(times: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return times at the temperature left out, their logarithm linear in 1/T, from those at its neighbours, ``(2, n_times)``."""
    low, high = (1 / temperature for temperature in NEIGHBOURS)
    share = (1 / LEFT_OUT - high) / (low - high)
    return np.asarray(np.exp(share * np.log(times[0]) + (1 - share) * np.log(times[1])))


def binding(system: str, folder: Path, seed: int, seeds: list[int]) -> list[dict[str, Any]]:
    """Compare rates and free energy of binding."""
    temperature = get_system(system).temperature_at(None)
    generated = drawn(system, folder / f"{system}-{seed}" / "model.trajgan", seed)
    made = figures_of(states(system, generated, temperature))
    parts = [buffer.trajectories(names) for buffer, names in unseen(folder, system, seed, seeds)]
    md = figures_of(states(system, joined(parts), temperature))
    found = []
    for name in list(made)[1:]:
        value, there = made[name][0], md[name][0]
        energy = "energy" in name
        off = value - there if energy else value / there - 1
        found.append(row(system, seed, name, made[name], md[name], off, ENERGY if energy else TIMES))
    return found


def chain(folder: Path, seed: int, seeds: list[int]) -> list[dict[str, Any]]:
    """Compare sizes of α-synuclein after its way back to coordinates."""
    name = "alpha_synuclein"
    buffer, shown, _ = replicas(folder, name, seed)
    out, topology, features = folder / f"{name}-{seed}", alpha_synuclein.topology(), alpha_synuclein.features()
    generated, latent = drawn(name, out / "model.trajgan", seed), PCA.load(out / "latent.npz", features)
    interval = generated.schema.frame_interval
    train = [buffer.structures([one]) for one in shown]
    library = np.concatenate(train)
    md = [other.structures([one]) for other, names in unseen(folder, name, seed, seeds) for one in names]
    beads = np.unique(np.array(features.schema.atoms))
    found = []
    for method, n_beads in (("nearest_frames", 140), ("distance_geometry", len(beads))):
        made = []
        for index in range(len(generated)):
            universe = to_universe(generated, topology, library, featurizer=latent, method=method, trajectory=index)
            made.append(universe.trajectory.timeseries(order="fac") / 10)  # Å to nm
        size, reference, given = (
            chain_size([one if one.shape[1] == n_beads else one[:, beads] for one in positions], frame_interval=interval)
            for positions in (made, md, train)
        )
        for figure, goal in (("mean", given.mean[1]), ("deviation", given.deviation[1]), ("relaxation", TIMES)):
            value, there = getattr(size, figure), getattr(reference, figure)
            off = value[0] / there[0] - 1 if figure == "relaxation" else value[0] - there[0]
            unit = "ps" if figure == "relaxation" else "nm"
            words = f"{figure} of Rg, {n_beads} beads by {method.replace('_', ' ')}, {unit}"
            found.append(row(name, seed, words, value, there, off, goal, training_md=list(getattr(given, figure))))
    return found


def table(results: list[dict[str, Any]]) -> str:
    """Return a line for each figure and seed."""
    lines = [
        "| system | figure | seed | generated | MD never seen | off | goal | nearest temperature, off | Arrhenius, off | held |",
        f"|{10 * '---|'}",
    ]
    for one in sorted(results, key=lambda one: (one["system"], one["figure"], one["seed"])):
        others = " | ".join(f"{one[name]:+.2g}" if name in one else "" for name in ("nearest_off", "by_arrhenius_off"))
        lines.append(
            f"| {one['system']} | {one['figure']} | {one['seed']} | {measured(*one['generated'])} | {measured(*one['md'])} | "
            f"{one['off']:+.2g} | {one['goal']:.2g} | {others} | {'yes' if one['held'] else 'no'} |"
        )
    return "\n".join(lines) + "\n"


def main(systems: list[str], seeds: list[int], folder: Path, out: Path) -> None:
    """Compare, write after each seed, and print the table."""
    results: list[dict[str, Any]] = []
    for system in systems:
        for seed in seeds:
            if system == "trp_cage":
                results += left_out(folder, seed, seeds)
            elif system == "alpha_synuclein":
                results += chain(folder, seed, seeds)
            else:
                results += binding(system, folder, seed, seeds)
            out.write_text(json.dumps(results, indent=1) + "\n")
    sys.stdout.write(table(results))


if __name__ == "__main__":
    names = ["trp_cage", "p450_binding", "t4_lysozyme", "alpha_synuclein"]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--systems", nargs="+", choices=names, default=names)
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--folder", type=Path, default=Path("demonstrations"))
    parser.add_argument("--out", type=Path, default=Path("goals.json"))
    arguments = parser.parse_args()
    main(arguments.systems, arguments.seeds, arguments.folder, arguments.out)
