"""Data to learn from and to judge by: processes whose length is not limited by the machine."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from deeptime.data import triple_well_2d
from scipy.signal import lfilter

from openmm_trajgan.buffer import WindowBuffer
from openmm_trajgan.schema import FeatureSchema, FeatureTrajectories
from openmm_trajgan.systems import alanine_dipeptide, triple_well
from openmm_trajgan.windows.reporter import WindowReporter

BURN_IN = 300  # frames of deeptime's triple well


@dataclass(frozen=True)
class Case:
    """A process: data from the number of series, their length and a seed, and how many series to judge by."""

    simulate: Callable[[int, int, int], FeatureTrajectories]
    n_series: int
    n_frames: int
    n_reference: int

    def training(self, seed: int) -> FeatureTrajectories:
        """Series to learn from."""
        return self.simulate(self.n_series, self.n_frames, 10 * seed - 9)

    def reference(self) -> FeatureTrajectories:
        """Series to judge by, the same for every seed."""
        return self.simulate(self.n_reference, self.n_frames, 2)


def deeptime_triple_well(columns: tuple[int, ...], n_steps: int = 100) -> Callable[[int, int, int], FeatureTrajectories]:
    """x and y, or only some of them, of `deeptime.data.triple_well_2d(h=1e-3)` with `n_steps` steps per frame."""

    def simulate(n_series: int, n_frames: int, seed: int) -> FeatureTrajectories:
        system = triple_well_2d(h=1e-3, n_steps=n_steps)
        starts = np.random.default_rng(seed).uniform([-1.2, -0.3], [1.2, 0.3], (n_series, 2))
        series = [
            np.asarray(system.trajectory(start[None], BURN_IN + n_frames, seed=1000 * seed + number))[BURN_IN:, columns]
            for number, start in enumerate(starts)
        ]
        names = tuple("xy"[column] for column in columns)
        return FeatureTrajectories(series, FeatureSchema(names=names, units=("",) * len(names), periods=(None,) * len(names)))

    return simulate


def fitted_triple_well(diagonal: bool) -> Callable[[int, int, int], FeatureTrajectories]:
    """The triple well fitted to the origin, with OpenMM; x and y, or (x + y)/√2 alone."""

    def simulate(n_series: int, n_frames: int, seed: int) -> FeatureTrajectories:
        simulation = triple_well.build(seed, n_series)
        features = triple_well.features()
        buffer = WindowBuffer(schema=features.schema)
        simulation.reporters.append(WindowReporter(buffer, 20, features, stream="replica", n_replicas=n_series))
        simulation.step(20 * n_frames)
        data = buffer.trajectories()
        if not diagonal:
            return data
        schema = FeatureSchema(names=("diagonal",), units=("nm",), periods=(None,), frame_interval=data.schema.frame_interval)
        return FeatureTrajectories([series.sum(axis=1, keepdims=True) / np.sqrt(2) for series in data], schema)

    return simulate


def ornstein_uhlenbeck(n_features: int) -> Callable[[int, int, int], FeatureTrajectories]:
    """Rotated Ornstein-Uhlenbeck processes with relaxation times from 5 to 50 frames and variances from 1 to 4."""

    def simulate(n_series: int, n_frames: int, seed: int) -> FeatureTrajectories:
        rotation, times, deviations = ou_law(n_features)
        noise = np.random.default_rng(seed).standard_normal((n_series, n_frames, n_features))
        memory = np.exp(-1 / times)
        noise[:, 1:] *= np.sqrt(1 - memory**2)
        modes = np.stack([lfilter([1.0], [1.0, -m], noise[..., k], axis=1) for k, m in enumerate(memory)], axis=-1)
        names = tuple(f"x{number}" for number in range(n_features))
        schema = FeatureSchema(names=names, units=("",) * n_features, periods=(None,) * n_features)
        return FeatureTrajectories((modes * deviations) @ rotation.T, schema)

    return simulate


def ou_law(n_features: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rotation ``(n, n)`` from modes to features, relaxation times of modes, frames, and their standard deviations."""
    rotation = np.linalg.qr(np.random.default_rng(64).standard_normal((n_features, n_features)))[0]
    return rotation, np.geomspace(5, 50, n_features), np.linspace(1, 2, n_features)


def dipeptide(n_series: int, n_frames: int, seed: int) -> FeatureTrajectories:
    """φ and ψ of alanine dipeptide every 0.1 ps, at which inertia is visible."""
    features = alanine_dipeptide.features()
    buffer = WindowBuffer(schema=features.schema)
    for number in range(n_series):
        simulation = alanine_dipeptide.build(1000 * seed + number + 1)
        simulation.reporters.append(WindowReporter(buffer, 25, features, stream=f"{number:03d}"))
        simulation.step(25 * n_frames)
    return buffer.trajectories()


CASES = {
    "triple_well_2d": Case(deeptime_triple_well((0, 1)), 25, 20_000, 100),
    "triple_well_2d, 20k frames": Case(deeptime_triple_well((0, 1)), 1, 20_000, 100),
    "triple_well_2d, slow": Case(deeptime_triple_well((0, 1), n_steps=10), 25, 40_000, 100),
    "x of triple_well_2d": Case(deeptime_triple_well((0,)), 25, 20_000, 100),
    "x of triple_well_2d, 60k frames": Case(deeptime_triple_well((0,)), 3, 20_000, 100),
    "triple_well": Case(fitted_triple_well(False), 100, 5_000, 400),
    "diagonal of triple_well": Case(fitted_triple_well(True), 100, 5_000, 400),
    "alanine_dipeptide, 0.1 ps": Case(dipeptide, 5, 20_000, 20),
    "ornstein_uhlenbeck 1": Case(ornstein_uhlenbeck(1), 25, 20_000, 100),
    "ornstein_uhlenbeck 8": Case(ornstein_uhlenbeck(8), 25, 20_000, 100),
    "ornstein_uhlenbeck 64": Case(ornstein_uhlenbeck(64), 25, 20_000, 100),
}
