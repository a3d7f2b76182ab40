"""10⁷ generated frames, killed and stopped again and again and resumed, beside the same frames without interruption.

Run ``python tests/faults/long_generation.py --out long_generation.json``. What is done is kept every second instead of every half
minute, so that a process that is killed has something to go on from.
"""

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from crash_rounds import SCHEMA, TRAINING, begun, timed

from openmm_trajgan import FeatureTrajectories, TrajGAN
from openmm_trajgan.training.checkpoint import load_checkpoint
from openmm_trajgan.workflows import continuation


def main(n_trajectories: int, n_frames: int, n_stops: int, seed: int) -> dict[str, object]:
    """Train a small model in a process of its own, generate with and without stops, and compare."""
    continuation._SECONDS = 1.0
    rng = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model, checkpoint = folder / "model", folder / "checkpoint"
        series = 0.1 * np.cumsum(np.random.default_rng(0).normal(size=(2, 400, 2)), axis=1)
        data = FeatureTrajectories(series, SCHEMA)
        timed(lambda: TrajGAN(64, training=TRAINING).fit(data, steps=20, seed=1, progress=False).save(model))

        def generate(out: Path, kept: Path | None) -> None:
            done = TrajGAN.load(model).generate(n_frames, n_trajectories, seed=2, checkpoint=kept, resume=True)
            done.save(out)

        seconds = timed(lambda: generate(folder / "whole", None))
        stops, done_at_stops = {"SIGKILL": 0, "SIGTERM": 0}, []
        for _ in range(n_stops):
            child = begun(lambda: generate(folder / "resumed", checkpoint))
            time.sleep(rng.uniform(0, 2 * seconds / n_stops))
            number = signal.SIGKILL if rng.random() < 0.5 else signal.SIGTERM
            os.kill(child, number)
            os.waitpid(child, 0)
            stops[number.name] += 1
            done_at_stops.append(int(load_checkpoint(checkpoint)[0]["frames"].shape[1]) if checkpoint.exists() else 0)
            if (folder / "resumed").exists():
                break
        if not (folder / "resumed").exists():
            timed(lambda: generate(folder / "resumed", checkpoint))
        whole, resumed = (FeatureTrajectories.load(folder / each) for each in ("whole", "resumed"))
        equal = all(np.array_equal(one, other) for one, other in zip(whole.values, resumed.values, strict=True))
        return {
            "frames": whole.n_frames,
            "trajectories": n_trajectories,
            "seconds_uninterrupted": round(seconds, 1),
            "stops": stops,
            "frames_of_each_trajectory_done_at_the_stops": done_at_stops,
            "equal_bit_for_bit": equal and whole.provenance == resumed.provenance,
        }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trajectories", type=int, default=1000)
    parser.add_argument("--frames", type=int, default=10_000)
    parser.add_argument("--stops", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    arguments = parser.parse_args()
    found = main(arguments.trajectories, arguments.frames, arguments.stops, arguments.seed)
    arguments.out.write_text(json.dumps(found, indent=1) + "\n")
    sys.exit(not found["equal_bit_for_bit"])
