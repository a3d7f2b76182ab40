"""How fast the engine trains and generates, and how much memory it takes: windows up to 40,000 frames, up to 256 features.

Run ``python tests/benchmarks/engine_speed.py --out speed.json`` (about ten minutes). Each case runs in a process of its own, on
one thread, on random walks between walls; times are CPU seconds. At the end, frames per CPU second beside one frame after the other
(MDN-AR 1), by how many trajectories are drawn at once.
"""

import argparse
import json
import resource
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from rivals import MixtureDensityNetwork

from openmm_trajgan.schema import FeatureSchema, FeatureTrajectories
from openmm_trajgan.workflows.estimator import TrajGAN

N_SERIES = 4
CASES = {  # window length, features, frames of a series, trajectories drawn, frames of each
    "64 frames, 2 features": (64, 2, 20_000, 1000, 1025),
    "256 frames, 2 features": (256, 2, 20_000, 500, 2049),
    "40,000 frames, 2 features": (40_000, 2, 45_000, 8, 40_001),
    "64 frames, 64 features": (64, 64, 20_000, 100, 1025),
    "64 frames, 256 features": (64, 256, 5_000, 50, 513),
}

AT_ONCE = (1, 10, 100, 1000)  # trajectories


def walk(n_features: int, n_frames: int) -> FeatureTrajectories:
    """Series that return."""
    rng = np.random.default_rng(0)
    series = np.sin(np.cumsum(0.05 * rng.standard_normal((N_SERIES, n_frames, n_features)), axis=1))
    series += 0.02 * rng.standard_normal(series.shape)
    names = tuple(f"x{number}" for number in range(n_features))
    schema = FeatureSchema(names=names, units=("",) * n_features, periods=(None,) * n_features, frame_interval=1.0)
    return FeatureTrajectories(series, schema)


def measured(case: str, n_steps: int) -> dict[str, float]:
    """Train a few steps, most of them by likelihood, and generate."""
    length, n_features, n_frames, n_trajectories, n_drawn = CASES[case]
    data = walk(n_features, n_frames)
    start = time.process_time()
    gan = TrajGAN(length).fit(data, steps=n_steps, seed=1, progress=False)
    trained = time.process_time() - start
    start = time.process_time()
    generated = gan.generate(n_drawn, n_trajectories, seed=2)
    drawn = time.process_time() - start
    return {
        "parameters": sum(parameter.numel() for parameter in gan.bundle.generator.parameters()),
        "training_steps_per_cpu_second": round(n_steps / trained, 2),
        "frames_per_cpu_second": round(generated.n_frames / drawn),
        "peak_memory_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
    }


def beside_single_frames(n_steps: int) -> dict[str, dict[str, float]]:
    """Frames per CPU second in windows of 128 frames and frame by frame, in turn."""
    data = walk(2, 20_000)
    models: dict[str, Any] = {"TrajGAN": TrajGAN(128).fit(data, steps=n_steps, seed=1, progress=False)}
    models["MDN-AR 1"] = MixtureDensityNetwork(1, 10 * n_steps).fit(data, 1)
    found: dict[str, dict[str, float]] = {}
    for n_trajectories in AT_ONCE:
        n_frames, rates = 1 + 128 * (16 if n_trajectories < 100 else 4), {}
        for name, model in models.items():
            start = time.process_time()
            drawn = model.generate(n_frames, n_trajectories, seed=2)
            rates[name] = drawn.n_frames / (time.process_time() - start)
        found[f"{n_trajectories} trajectories"] = {name: round(rate) for name, rate in rates.items()} | {
            "ratio": round(rates["TrajGAN"] / rates["MDN-AR 1"], 2)
        }
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--repetitions", type=int, default=3)
    arguments = parser.parse_args()
    tasks = {case: (measured, case) for case in CASES} | {"beside MDN-AR 1": (beside_single_frames,)}
    results: dict[str, list[Any]] = {name: [] for name in tasks}
    for name, (task, *values) in tasks.items():
        for _ in range(arguments.repetitions):
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
                results[name].append(pool.submit(task, *values, arguments.steps).result())
            arguments.out.write_text(json.dumps(results, indent=1) + "\n")
