"""How long an audit takes and how much memory it needs: three sets of 1 M frames of 2 features, and of 100 000 of 64.

Run ``OMP_NUM_THREADS=1 python tests/benchmarks/audit_speed.py --out speed.json``; the time is that of one core.
``--sizes 1000000x2 3000000x2 10000000x2`` measures others. Memory is the largest resident size of the process, and what of it came
after the data were there, which is the audit, its report and the packages that these load.
"""

import argparse
import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from scipy.signal import lfilter

from openmm_trajgan.analysis.audit import audit
from openmm_trajgan.schema import FeatureSchema, FeatureTrajectories

N_REPLICAS, RATE, DECAY = 20, 0.005, 0.9  # jumps per frame and feature, noise remembered from frame to frame


def made_up(n_frames: int, n_features: int, seed: int) -> FeatureTrajectories:
    """Angles that jump between two wells, each in its own time, with correlated noise within."""
    rng = np.random.default_rng(seed)
    shape = (n_frames // N_REPLICAS, n_features)
    replicas = []
    for _ in range(N_REPLICAS):
        wells = np.cumsum(rng.random(shape, dtype=np.float32) < RATE, axis=0) % 2
        noise = lfilter([0.3 * np.sqrt(1 - DECAY**2)], [1.0, -DECAY], rng.normal(size=shape), axis=0)
        replicas.append((2 * wells - 1 + noise).astype(np.float32))
    schema = FeatureSchema(
        names=tuple(f"angle {index}" for index in range(n_features)),
        units=("rad",) * n_features,
        periods=(2 * np.pi,) * n_features,
        frame_interval=1.0,
    )
    return FeatureTrajectories(replicas, schema)


def timed(n_frames: int, n_features: int) -> dict[str, float]:
    """Audit and write the report; seconds of each, and peak memory of the process."""
    reference, generated, train = (made_up(n_frames, n_features, seed) for seed in range(3))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    seconds: dict[str, float] = {}

    def measure(name: str, work: Callable[[], object]) -> object:
        start, started = time.perf_counter(), time.process_time()
        result = work()
        seconds[f"{name}, s"] = round(time.perf_counter() - start, 1)
        seconds[f"{name}, CPU s"] = round(time.process_time() - started, 1)
        return result

    result = measure("audit", lambda: audit(reference, generated, train))
    with tempfile.TemporaryDirectory() as folder:
        measure("report", lambda: result.to_folder(folder))  # type: ignore[attr-defined]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return {**seconds, "peak memory, GB": round(peak, 2), "after the data, GB": round(peak - before, 2)}


def main() -> None:
    """Measure both sizes, each in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--sizes", nargs="+", default=["1000000x2", "100000x64"], help="frames of each set x features")
    arguments = parser.parse_args()
    results = {}
    for size in arguments.sizes:
        n_frames, n_features = map(int, size.split("x"))
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            results[size] = pool.submit(timed, n_frames, n_features).result()
    text = json.dumps(results, indent=1)
    arguments.out.write_text(text)
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    main()
