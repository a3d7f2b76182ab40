"""Large buffers: 10⁸ frames × 4 features, 10⁴ streams, 1 to 4,096 features.

Run ``python tests/faults/load.py --out load.json``. Shards are full of holes, so that 3.2 GB take no room on the disk; zeros are
read as any other frames. Every case runs in a process of its own, whose largest resident size counts. A batch is 128 windows of 81
frames, or the fewer that training draws at once where there are many features. Times are given by the clock, and by the clock
without the waiting for a processor that other jobs have, which Linux tells; the limits are for the latter.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from openmm_trajgan import FeatureSchema, WindowBuffer
from openmm_trajgan.buffer.base import frame_dtype
from openmm_trajgan.buffer.shards import BYTES_PER_SHARD

LENGTH, BATCH = 81, 128
MOST_VALUES, FEWEST_WINDOWS = 2**19, 4  # of one batch in training
CASES = {  # streams, frames per stream, features
    "100 million frames in one stream": (1, 100_000_000, 4),
    "10 thousand streams": (10_000, 10_000, 4),
    "10 thousand short streams": (10_000, 200, 4),
    "1 feature": (4, 1_000_000, 1),
    "64 features": (4, 1_000_000, 64),
    "4096 features": (4, 100_000, 4096),
}
LIMITS = {"open_seconds_without_waiting": 2.0, "sample_ms_without_waiting": 10.0, "resident_MB": 500.0}


def schema(n_features: int) -> FeatureSchema:
    """Lengths without a name."""
    names = tuple(f"x{index}" for index in range(n_features))
    return FeatureSchema(names=names, units=("nm",) * n_features, periods=(None,) * n_features, frame_interval=1.0)


def write(path: Path, n_streams: int, n_frames: int, n_features: int) -> None:
    """Sealed shards as appending frame by frame leaves them, with holes for frames."""
    WindowBuffer(path, schema(n_features)).close()
    dtype, size = frame_dtype(n_features), BYTES_PER_SHARD // frame_dtype(n_features).itemsize
    for stream in range(n_streams):
        folder = path / "streams" / f"s{stream:05d}"
        folder.mkdir(parents=True)
        for first in range(0, n_frames, size):
            n = min(size, n_frames - first)
            with (folder / f"000000-{first:012d}.npy").open("wb") as file:
                header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": (n,)}
                np.lib.format.write_array_header_1_0(file, header)
                file.truncate(file.tell() + n * dtype.itemsize)


def waited() -> float:
    """Milliseconds for which this process was ready to run and had no processor; 0 where the system does not tell."""
    told = Path("/proc/self/schedstat")
    return int(told.read_text().split()[1]) / 1e6 if told.exists() else 0.0


def measure(path: Path, n_batches: int) -> dict[str, float]:
    """Seconds until windows can be drawn, milliseconds for a batch, megabytes at most, with what importing alone takes."""
    imported = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    start, waited_before, before = time.perf_counter(), waited(), os.times()
    windows = WindowBuffer(path).windows(LENGTH)
    opened, after = time.perf_counter() - start, os.times()
    opened_alone = opened - (waited() - waited_before) / 1e3
    batch = min(BATCH, max(MOST_VALUES // (LENGTH * windows.n_features), FEWEST_WINDOWS))
    rng, times, alone, processor_times = np.random.default_rng(1), [], [], []
    for _ in range(n_batches):
        start, waited_before, processor_start = time.perf_counter(), waited(), time.process_time()
        windows.sample(batch, rng)
        processor_times.append(1e3 * (time.process_time() - processor_start))
        times.append(1e3 * (time.perf_counter() - start))
        alone.append(times[-1] - (waited() - waited_before))
    return {
        "windows": len(windows),
        "batch": batch,
        "open_seconds": round(opened, 3),
        "open_seconds_without_waiting": round(opened_alone, 3),
        "open_processor_seconds": round(after.user - before.user + after.system - before.system, 3),
        "of_it_in_the_system": round(after.system - before.system, 3),
        "sample_ms": round(statistics.median(times), 2),
        "sample_ms_without_waiting": round(statistics.median(alone), 2),
        "sample_processor_ms": round(statistics.median(processor_times), 2),
        "sample_ms_90_percent": round(statistics.quantiles(alone, n=10)[-1], 2),
        "resident_MB": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
        "resident_MB_after_import": round(imported, 1),
    }


def main(n_batches: int, cases: list[str]) -> dict[str, dict[str, object]]:
    """Measure every case."""
    results = {}
    for name in cases:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "buffer"
            write(path, *CASES[name])
            command = [sys.executable, __file__, "--measure", str(path), "--batches", str(n_batches)]
            figures = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        kept = all(figures[figure] < limit for figure, limit in LIMITS.items())
        results[name] = dict(zip(("streams", "frames_per_stream", "features"), CASES[name], strict=True)) | figures | {"kept": kept}
    return results


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, help="JSON file to write")
    parser.add_argument("--batches", type=int, default=200)
    parser.add_argument("--cases", nargs="+", default=list(CASES))
    parser.add_argument("--measure", type=Path, help="measure this buffer only (what the processes are told)")
    arguments = parser.parse_args()
    if arguments.measure:
        sys.stdout.write(json.dumps(measure(arguments.measure, arguments.batches)))
    else:
        found = {"window": LENGTH, "limits": LIMITS, "cases": main(arguments.batches, arguments.cases)}
        arguments.out.write_text(json.dumps(found, indent=1) + "\n")
