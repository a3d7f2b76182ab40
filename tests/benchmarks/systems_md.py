"""MD checked before it is learned from: Trp-cage at its temperatures, binding to CYP2C9 and T4 lysozyme, peptides, α-synuclein.

Run ``OMP_NUM_THREADS=1 python tests/benchmarks/systems_md.py --out systems.json`` (some ten minutes on one core; ``--systems``,
``--labels``, ``--frames`` and ``--replicas`` choose). For every system and condition, from independent replicas:

* temperature from the kinetic energy, with its standard error, and how many of those it is off (of velocities at right angles to
  constraints and without that of the centre: the integrator leaves some of its noise in both, which are no degrees of freedom);
* drift: potential energy of the second half less that of the first, with the standard error of that from the replicas and how
  likely so large a one is by chance (Student's t, which a few replicas leave wide);
* whether replicas agree: χ² per degree of freedom of their means of the first feature, each with the standard error that its
  statistical inefficiency leaves;
* populations of the two states with the spread of the replicas, events between their cores, times between events, steps per CPU s;
* for α-synuclein, which has no states, radius of gyration and end-to-end distance (mean, standard deviation, relaxation time) and
  the lengths of its bonds instead;
* for the triple well, 100 windows as long as the origin's: mean square displacements and crossings between wells, mean and spread
  over the windows, and the origin's figure.
"""

import argparse
import json
import sys
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import openmm
from numpy.typing import NDArray
from openmm import unit
from scipy.stats import ttest_1samp

from openmm_trajgan.features import RadiusOfGyration
from openmm_trajgan.systems import alpha_synuclein, binding, get_system, triple_well, trp_cage

KILOJOULE_PER_KELVIN = unit.MOLAR_GAS_CONSTANT_R.value_in_unit(unit.kilojoule_per_mole / unit.kelvin)
FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class States:
    """Two states of a feature: their cores, and the value between them."""

    column: int
    names: tuple[str, str]
    cores: tuple[float, float]
    border: float
    temperature: float | None
    centre: float | None = None  # rad: the feature is an angle, and the states lie near to and far from this one

    def coordinate(self, features: FloatArray) -> FloatArray:
        """The number that tells the states apart, of ``(n_frames, n_features)``."""
        values = features[:, self.column]
        return values if self.centre is None else abs(np.angle(np.exp(1j * (values - self.centre))))

    def first(self, values: FloatArray, limit: float) -> NDArray[np.bool_]:
        """Which values lie on the side of the first state."""
        return values > limit if self.cores[0] > self.cores[1] else values < limit


STATES = {
    "trp_cage": States(0, trp_cage.SYSTEM.states.names, trp_cage.SYSTEM.states.cores, 0.6, None),
    "p450_binding": States(1, binding.STATES.names, binding.STATES.cores, 0.9, binding.TEMPERATURE),
    "t4_lysozyme": States(1, binding.STATES.names, binding.STATES.cores, 0.9, binding.TEMPERATURE),
    "alanine_dipeptide": States(1, ("alpha", "extended"), (1.0, 2.0), 1.57, 300.0, centre=-0.5),
    "alanine_dipeptide_500K": States(0, ("left", "right"), (0.7, 2.0), 1.2, 500.0, centre=1.05),
    "tetraalanine": States(2, ("alpha", "extended"), (1.0, 2.0), 1.57, 300.0, centre=-0.5),
}
CHECKED = [*STATES, "alpha_synuclein", "triple_well"]
# of the trajectory of 100,000 frames published with the origin, per dimension, by lag in frames; and between cores of 0.5 nm
ORIGIN_DISPLACEMENTS = {1: 0.144, 2: 0.221, 5: 0.376, 10: 0.589, 20: 0.945, 50: 1.667, 100: 2.234}
ORIGIN_CROSSINGS = 2453


def replica(name: str, label: float | None, seed: int, n_frames: int) -> tuple[FloatArray, FloatArray, float, int, float]:
    """Features, kinetic and potential energy (kJ/mol), each of ``n_frames``; CPU s, degrees of freedom, ps per frame."""
    system = get_system(name)
    simulation, features = system.simulation(seed, 1, label), system.features()
    n_particles = simulation.system.getNumParticles()
    n_degrees = 3 * n_particles - simulation.system.getNumConstraints() - 3
    masses = np.array([simulation.system.getParticleMass(index)._value for index in range(n_particles)])
    start, rows, energies = time.process_time(), [], []
    for _ in range(n_frames):
        simulation.step(system.report_interval)
        state = simulation.context.getState(positions=True, energy=True)
        rows.append(features(state.getPositions(asNumpy=True)._value))
        energies.append((kinetic_energy(simulation.context, masses), state.getPotentialEnergy()._value))
    cpu = time.process_time() - start
    interval = system.report_interval * simulation.integrator.getStepSize()._value
    return np.array(rows, dtype=np.float64), np.array(energies), cpu, n_degrees, interval


def kinetic_energy(context: openmm.Context, masses: FloatArray) -> float:
    """Of velocities that keep constraints and centre of mass, kJ/mol; `masses` are in amu, the context stays as it is."""
    before = context.getState(velocities=True).getVelocities(asNumpy=True)
    context.applyVelocityConstraints(1e-6)
    velocities = context.getState(velocities=True).getVelocities(asNumpy=True)._value
    context.setVelocities(before)
    velocities = velocities - masses @ velocities / masses.sum()
    return float(masses @ np.square(velocities).sum(axis=1) / 2)


def inefficiency(series: FloatArray) -> float:
    """Frames per independent frame: 1 + 2 Σ autocorrelation, up to where it falls below 0.05."""
    n_frames = len(series)
    deviations = series - series.mean()
    spectrum = np.fft.rfft(deviations, 2 * n_frames)
    correlation = np.fft.irfft(spectrum * spectrum.conj())[:n_frames]
    correlation /= correlation[0]
    end = int(np.argmax(correlation < 0.05)) or n_frames
    return float(1 + 2 * correlation[1:end].sum())


def events(values: FloatArray, states: States) -> tuple[int, int, int, int]:
    """Departures from the first and the second state, and frames whose last core is that of the first and the second."""
    marks = np.where(states.first(values, states.cores[0]), 1, np.where(states.first(values, states.cores[1]), 0, -1))
    cores = np.flatnonzero(marks != 0)
    last = np.zeros(len(values), dtype=np.intp)
    if len(cores):
        last[cores[0] :] = marks[cores[np.searchsorted(cores, np.arange(cores[0], len(values)), side="right") - 1]]
    steps = np.diff(last[last != 0])
    return int((steps == -2).sum()), int((steps == 2).sum()), int((last == 1).sum()), int((last == -1).sum())


def measure(name: str, label: float | None, n_replicas: int, n_frames: int) -> dict[str, object]:
    """Figures of one system at one condition."""
    system, states = get_system(name), STATES[name]
    runs = [replica(name, label, seed, n_frames) for seed in range(1, n_replicas + 1)]
    features = [states.coordinate(run[0]) for run in runs]
    energies = np.array([run[1] for run in runs])
    cpu, n_degrees = sum(run[2] for run in runs), runs[0][3]
    temperatures = 2 * energies[:, :, 0] / (n_degrees * KILOJOULE_PER_KELVIN)
    wanted = states.temperature if label is None else label
    temperature, error = temperatures.mean(), np.mean([t.var() * inefficiency(t) / n_frames for t in temperatures]) ** 0.5
    error /= n_replicas**0.5
    halves = energies[:, n_frames // 2 :, 1].mean(axis=1) - energies[:, : n_frames // 2, 1].mean(axis=1)
    means, errors = (
        np.array([f.mean() for f in features]),
        np.array([(f.var() * inefficiency(f) / n_frames) ** 0.5 for f in features]),
    )
    weights = errors**-2
    chi_square = float((weights * (means - (weights * means).sum() / weights.sum()) ** 2).sum() / (n_replicas - 1))
    left, came, stayed, away = np.sum([events(f, states) for f in features], axis=0).tolist()
    population = np.array([states.first(f, states.border).mean() for f in features])
    interval = runs[0][4]
    first, second = states.names
    return {
        "system": name,
        **({"label": label} if label is not None else {}),
        "replicas": n_replicas,
        "frames": n_frames,
        "frame_interval_ps": round(interval, 6),
        "steps_per_cpu_s": round(n_replicas * n_frames * system.report_interval / cpu),
        "finite": bool(np.isfinite(energies).all() and all(np.isfinite(run[0]).all() for run in runs)),
        "temperature_K": round(float(temperature), 2),
        "temperature_error_K": round(float(error), 2),
        "temperature_off_in_errors": round(float((temperature - wanted) / error), 2),
        "drift_kJ_per_mol": round(float(halves.mean()), 2),
        "drift_error_kJ_per_mol": round(float(halves.std(ddof=1) / n_replicas**0.5), 2),
        "drift_p": round(float(ttest_1samp(halves, 0.0).pvalue), 3),
        "replicas_chi_square": round(chi_square, 2),
        f"{first}_fraction": round(float(population.mean()), 3),
        f"{first}_fraction_error": round(float(population.std(ddof=1) / n_replicas**0.5), 3),
        f"{first}_core_fraction": round(float(np.mean([states.first(f, states.cores[0]).mean() for f in features])), 3),
        f"{second}_core_fraction": round(float(np.mean([(~states.first(f, states.cores[1])).mean() for f in features])), 3),
        "events": left + came,
        "events_per_100_cpu_s": round(100 * (left + came) / cpu),
        f"{first}_time_ps": round(stayed * interval / left) if left else None,
        f"{second}_time_ps": round(away * interval / came) if came else None,
    }


def chain(n_replicas: int, n_frames: int) -> dict[str, object]:
    """Figures of α-synuclein, from frames after the equilibration of `build`."""
    system = get_system("alpha_synuclein")
    masses = alpha_synuclein.bead_parameters()[0]
    size, cpu = RadiusOfGyration(np.arange(len(masses)), masses), 0.0
    sizes, ends, temperatures, potentials, bonds = ([] for _ in range(5))
    for seed in range(1, n_replicas + 1):
        simulation = system.build(seed, 1)
        start, frames, energies = time.process_time(), [], []
        for _ in range(n_frames):
            simulation.step(system.report_interval)
            state = simulation.context.getState(positions=True, energy=True)
            frames.append(state.getPositions(asNumpy=True)._value)
            energies.append((state.getKineticEnergy()._value, state.getPotentialEnergy()._value))
        cpu += time.process_time() - start
        positions, (kinetic, potential) = np.array(frames), np.array(energies).T
        sizes.append(size(positions)[:, 0].astype(float))
        ends.append(np.linalg.norm(positions[:, -1] - positions[:, 0], axis=1))
        temperatures.append(2 * kinetic / (3 * len(masses) * KILOJOULE_PER_KELVIN))
        potentials.append(potential)
        bonds.append(np.linalg.norm(np.diff(positions, axis=1), axis=2))
    interval = system.report_interval * alpha_synuclein.STEP_SIZE
    figures: dict[str, object] = {
        "system": "alpha_synuclein",
        "replicas": n_replicas,
        "frames": n_frames,
        "frame_interval_ps": interval,
        "steps_per_cpu_s": round(n_replicas * n_frames * system.report_interval / cpu),
        "finite": bool(np.isfinite(potentials).all()),
        "bond_nm": [round(float(np.mean(bonds)), 4), round(float(np.std(bonds)), 4)],
    }
    series = {
        "radius_of_gyration_nm": sizes,
        "end_to_end_nm": ends,
        "temperature_K": temperatures,
        "potential_kJ_per_mol": potentials,
    }
    for name, runs in series.items():
        # about the mean of all replicas: one replica is too short to know its own
        centred = [run - np.mean(runs) for run in runs]
        slow = float(np.mean([inefficiency(run) for run in runs]))
        error = (np.mean(np.square(centred)) * slow / (n_frames * n_replicas)) ** 0.5
        means = np.mean(runs, axis=1)
        halves = [run[n_frames // 2 :].mean() - run[: n_frames // 2].mean() for run in runs]
        figures[name] = {
            "mean": round(float(np.mean(runs)), 3),
            "error": round(float(error), 3),
            "error_from_replicas": round(float(means.std(ddof=1) / n_replicas**0.5), 3),
            "sd": round(float(np.std(runs)), 3),
            "sd_error_from_replicas": round(float(np.std(runs, axis=1).std(ddof=1) / n_replicas**0.5), 3),
            "independent_frames": round(n_frames * n_replicas / slow),
            "statistical_inefficiency_ps": round(slow * interval, 1),
            "drift": round(float(np.mean(halves)), 3),
            "drift_error": round(float(np.std(halves, ddof=1) / n_replicas**0.5), 3),
            "drift_p": round(float(ttest_1samp(halves, 0.0).pvalue), 3),
            "replicas_chi_square": round(
                float(((means - means.mean()) ** 2).sum() / (n_replicas - 1) / (error**2 * n_replicas)), 2
            ),
        }
    return figures


def wells() -> dict[str, object]:
    """Figures of 100 windows of the triple well as long as the origin's, beside those of the trajectory published with it."""
    system = get_system("triple_well")
    simulation = system.build(1, triple_well.N_REPLICAS)
    start, path = time.process_time(), np.empty((triple_well.ORIGIN_WINDOW, triple_well.N_REPLICAS, 2), dtype=np.float32)
    for frame in range(len(path)):
        simulation.step(system.report_interval)
        path[frame] = simulation.context.getState(positions=True).getPositions(asNumpy=True)._value[:, :2]
    cpu = time.process_time() - start
    displacements = [[float(np.square(p[lag:] - p[:-lag]).mean()) for p in path.swapaxes(0, 1)] for lag in ORIGIN_DISPLACEMENTS]
    centres = np.array([[-1.45, -1.45], [0.05, 0.05], [1.45, 1.45]])
    crossings = []
    for window in path.swapaxes(0, 1):
        distances = np.linalg.norm(window[:, None] - centres, axis=2)
        visits = distances.argmin(axis=1)[distances.min(axis=1) < 0.5]
        crossings.append(int((np.diff(visits) != 0).sum()) * 100_000 / len(window))
    return {
        "system": "triple_well",
        "replicas": triple_well.N_REPLICAS,
        "frames": triple_well.ORIGIN_WINDOW,
        "cpu_s": round(cpu, 1),
        "finite": bool(np.isfinite(path).all()),
        "mean_square_displacement": {
            lag: [round(float(np.mean(d)), 4), round(float(np.std(d, ddof=1)), 4), origin]
            for (lag, origin), d in zip(ORIGIN_DISPLACEMENTS.items(), displacements, strict=True)
        },
        "crossings_per_100k_frames": [round(float(np.mean(crossings))), round(float(np.std(crossings, ddof=1))), ORIGIN_CROSSINGS],
    }


def main(systems: list[str], labels: list[float] | None, n_replicas: int, n_frames: int, out: Path | None) -> None:
    """Measure, print one JSON line each, and write all of them; `labels` chooses among the conditions of the systems."""
    results = []
    others = {"alpha_synuclein": partial(chain, n_replicas, n_frames), "triple_well": wells}
    for name in systems:
        conditions = get_system(name).labels or (None,)
        for label in conditions if labels is None else [one for one in conditions if one in labels]:
            figures = others[name]() if name in others else measure(name, label, n_replicas, n_frames)
            results.append(figures)
            sys.stdout.write(json.dumps(results[-1]) + "\n")
            sys.stdout.flush()
    if out is not None:
        out.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--systems", nargs="+", choices=CHECKED, default=CHECKED)
    parser.add_argument("--labels", nargs="+", type=float, help="conditions, such as temperatures in K; default all")
    parser.add_argument("--replicas", type=int, default=4)
    parser.add_argument("--frames", type=int, default=3000, help="per replica")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    main(arguments.systems, arguments.labels, arguments.replicas, arguments.frames, arguments.out)
