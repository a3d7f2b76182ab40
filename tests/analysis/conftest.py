"""Processes whose law is known exactly, as feature trajectories."""

from collections.abc import Callable
from contextlib import AbstractContextManager

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.signal import lfilter, lfiltic

from openmm_trajgan.analysis.audit import Audit, audit
from openmm_trajgan.schema import FeatureSchema, FeatureTrajectories

TWO_PI = 2 * np.pi
Process = Callable[..., FeatureTrajectories]


@pytest.fixture(scope="session")
def line() -> FeatureSchema:
    return FeatureSchema(names=("x",), units=("nm",), periods=(None,), frame_interval=0.5)


@pytest.fixture(scope="session")
def torsions() -> FeatureSchema:
    return FeatureSchema(names=("phi", "psi"), units=("rad", "rad"), periods=(TWO_PI, TWO_PI), frame_interval=0.5)


def ornstein_uhlenbeck(n_frames: int, relaxation: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Exact samples of dx = -x dt/τ + √(2/τ) dW, one frame per unit of time: law N(0, 1), autocorrelation exp(-k/τ)."""
    decay = np.exp(-1 / relaxation)
    state = lfiltic([1.0], [1.0, -decay], y=[rng.normal()])
    return lfilter([1.0], [1.0, -decay], np.sqrt(1 - decay**2) * rng.normal(size=n_frames), zi=state)[0]


@pytest.fixture(scope="session")
def ou(line: FeatureSchema) -> Process:
    """Replicas of the Ornstein-Uhlenbeck process."""

    def make(
        seed: int, n_replicas: int = 1, n_frames: int = 10_000, relaxation: float = 20.0, mean: float = 0.0
    ) -> FeatureTrajectories:
        rng = np.random.default_rng(seed)
        series = [mean + ornstein_uhlenbeck(n_frames, relaxation, rng)[:, None] for _ in range(n_replicas)]
        return FeatureTrajectories(series, line)

    return make


@pytest.fixture(scope="session")
def wells(torsions: FeatureSchema) -> Process:
    """Two states at ±120° of phi, left with probability `rate` per frame: t2 = -1/ln(1 - 2 rate), with noise; psi is noise."""

    def make(
        seed: int, n_replicas: int = 1, n_frames: int = 10_000, rate: float = 0.01, noise: float = 0.25, shift: float = 0.0
    ) -> FeatureTrajectories:
        rng = np.random.default_rng(seed)
        series = []
        for _ in range(n_replicas):
            states = (np.cumsum(rng.random(n_frames) < rate) + rng.integers(2)) % 2
            phi = np.where(states == 0, -1, 1) * TWO_PI / 3 + shift + noise * rng.normal(size=n_frames)
            psi = np.pi + ornstein_uhlenbeck(n_frames, 5.0, rng)  # straddles the seam
            angles = np.stack([phi, psi], axis=1)
            series.append((angles + np.pi) % TWO_PI - np.pi)
        return FeatureTrajectories(series, torsions)

    return make


@pytest.fixture(scope="session")
def wells_audit(wells: Process, coarse_errors: Callable[[], AbstractContextManager[None]]) -> Audit:
    """An audit with training data and baselines; the generated data change state twice as often, and all texts are nasty."""
    schema = FeatureSchema(names=("<script>", "$psi$ & co"), units=("rad", "rad"), periods=(TWO_PI, TWO_PI), frame_interval=0.5)
    sets = [
        FeatureTrajectories(wells(seed, 2, 2000, rate=rate).values, schema, None, {"note": "<img src=x onerror=alert(1)>"})
        for seed, rate in ((1, 0.02), (2, 0.06), (3, 0.02))
    ]
    with coarse_errors():
        return audit(*sets, baselines=True)
