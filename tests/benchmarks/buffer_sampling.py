"""How fast batches are drawn: 256 windows of 81 frames × 2 features from buffers in memory and on disk.

Run ``python tests/benchmarks/buffer_sampling.py --out sampling.json``.
"""

import argparse
import json
import math
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from openmm_trajgan.buffer import WindowBuffer
from openmm_trajgan.buffer.base import frame_dtype
from openmm_trajgan.buffer.shards import BYTES_PER_SHARD
from openmm_trajgan.schema import FeatureSchema, FeatureTrajectories

SCHEMA = FeatureSchema(names=("phi", "psi"), units=("rad", "rad"), periods=(2 * math.pi,) * 2, frame_interval=0.2)
N_STREAMS, BATCH, LENGTH = 4, 256, 81


def on_disk(path: Path, data: FeatureTrajectories) -> WindowBuffer:
    """Buffer with sealed shards as appending frame by frame leaves them, written at once."""
    buffer = WindowBuffer(path, data.schema)
    for stream, series in zip(data.replicas, data.values, strict=True):
        folder = path / "streams" / stream
        folder.mkdir(parents=True)
        rows = np.zeros(len(series), frame_dtype(data.schema.n_features))
        size = BYTES_PER_SHARD // rows.itemsize
        rows["step"], rows["features"] = np.arange(len(series)), series
        for first in range(0, len(rows), size):
            np.save(folder / f"000000-{first:012d}.npy", rows[first : first + size])
    return buffer


def milliseconds_per_batch(buffer: WindowBuffer, n_batches: int) -> dict[str, float]:
    """Median and quartiles over `n_batches` batches, after ten to warm up."""
    windows, rng, times = buffer.windows(LENGTH), np.random.default_rng(1), []
    for _ in range(n_batches + 10):
        start = time.perf_counter()
        windows.sample(BATCH, rng)
        times.append((time.perf_counter() - start) * 1e3)
    low, middle, high = statistics.quantiles(times[10:], n=4)
    return {"median": round(middle, 3), "lower_quartile": round(low, 3), "upper_quartile": round(high, 3)}


def main(n_batches: int) -> dict[str, dict[str, float]]:
    """Measure both kinds of buffer at both sizes."""
    result = {}
    rng = np.random.default_rng(0)
    for n_frames in (100_000, 1_000_000):
        series = rng.uniform(-math.pi, math.pi, (N_STREAMS, n_frames // N_STREAMS, 2))
        data = FeatureTrajectories(series, SCHEMA)
        with tempfile.TemporaryDirectory() as folder:
            buffers = {"memory": WindowBuffer.from_trajectories(data), "disk": on_disk(Path(folder) / "buffer", data)}
            for kind, buffer in buffers.items():
                times = milliseconds_per_batch(buffer, n_batches)
                name = f"{kind}, {n_frames} frames"
                result[name] = {"batches_per_second": round(1e3 / times["median"]), **{f"ms_{k}": v for k, v in times.items()}}
    return result


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--batches", type=int, default=300)
    arguments = parser.parse_args()
    arguments.out.write_text(json.dumps(main(arguments.batches), indent=1) + "\n")
