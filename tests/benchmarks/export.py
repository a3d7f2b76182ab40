"""Generated features of alanine dipeptide to a trajectory file with validity report: frames per second, and memory of a million.

Run ``OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python tests/benchmarks/export.py --out export.json``. Times are CPU time of one
core, of five repetitions; memory is the peak of a process of its own.
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
from typing import Any

import MDAnalysis
import numpy as np
from openmm import unit

from openmm_trajgan.analysis.validity import StructureValidity
from openmm_trajgan.backmap import to_universe, write_universe
from openmm_trajgan.features import Distances, Featurizer
from openmm_trajgan.schema import FeatureTrajectories
from openmm_trajgan.systems import alanine_dipeptide

N_REFERENCE, N_REPEATS = 5000, 5
N_SHORT, N_LONG, N_BEADS = 40_000, 1_000_000, 13
CASES = (
    ("internal_coordinates", N_SHORT, ".xtc", N_REPEATS),
    ("internal_coordinates", N_LONG, ".xtc", 1),
    ("internal_coordinates", N_LONG, ".trajgan", 1),
    ("distance_geometry", N_LONG, ".xtc", 1),
    ("nearest_frames", N_LONG, ".xtc", 1),
)


def reference() -> MDAnalysis.Universe:
    """Molecular dynamics, a frame every 0.2 ps."""
    simulation = alanine_dipeptide.build(seed=3)
    frames = np.empty((N_REFERENCE, 22, 3), dtype=np.float32)
    for frame in frames:
        simulation.step(50)
        state = simulation.context.getState(positions=True)
        frame[:] = state.getPositions(asNumpy=True).value_in_unit(unit.angstrom)
    return MDAnalysis.Universe(alanine_dipeptide.topology(), frames, dt=0.2)


def features_like(md: MDAnalysis.Universe, n_frames: int, method: str) -> FeatureTrajectories:
    """Torsions of molecular dynamics, over and over, with 5° of noise, or distances of the first 13 atoms as they are."""
    featurizer = featurizer_for(method)
    values = featurizer(md.trajectory.timeseries(order="fac") / 10)
    features = np.resize(values, (n_frames, values.shape[1]))
    if method != "distance_geometry":
        features += np.random.default_rng(0).normal(0, np.radians(5), features.shape).astype(np.float32)
        features = (features + np.pi) % (2 * np.pi) - np.pi
    return FeatureTrajectories([features], featurizer.schema.with_frame_interval(0.2))


def featurizer_for(method: str) -> Featurizer:
    """What is generated."""
    if method == "distance_geometry":
        return Distances(np.stack(np.triu_indices(N_BEADS, 1), axis=1))
    return alanine_dipeptide.features()


def exported(md: MDAnalysis.Universe, method: str, n_frames: int, ending: str, repeats: int) -> dict[str, Any]:
    """Build, measure and write; CPU seconds of each repetition, frames per second of the whole, peak memory, the report."""
    generated, topology = features_like(md, n_frames, method), alanine_dipeptide.topology()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    seconds: dict[str, list[float]] = {"build": [], "validity": [], "write": []}

    def timed(name: str, work: Callable[[], Any]) -> Any:
        started = time.process_time()
        result = work()
        seconds[name].append(time.process_time() - started)
        return result

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"generated{ending}"
        for _ in range(repeats):
            universe = timed("build", lambda: to_universe(generated, topology, md, method=method))
            analysis = StructureValidity(universe, md.atoms[: len(universe.atoms)], featurizer=featurizer_for(method))
            report = timed("validity", lambda run=analysis.run: run().results.report)
            timed("write", lambda made=universe: write_universe(made, path, overwrite=True))
        size = path.stat().st_size
    speeds = n_frames / np.sum(list(seconds.values()), axis=0)
    return {
        "frames": n_frames,
        "positions": type(universe.trajectory.frames.source).__name__,
        **{f"{name}, CPU s": [round(each, 2) for each in taken] for name, taken in seconds.items()},
        "frames/s, median": round(float(np.median(speeds))),
        "frames/s, range": [round(float(speeds.min())), round(float(speeds.max()))],
        "peak memory, GB": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, 2),
        "of it before, GB": round(before, 2),
        "file, bytes per frame": round(size / n_frames),
        "report": report.sentence,
    }


def main() -> None:
    """Measure, each case in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--methods", nargs="+", default=sorted({method for method, *_ in CASES}))
    arguments = parser.parse_args()
    md = reference()
    results = {}
    for method, n_frames, ending, repeats in CASES:
        if method in arguments.methods:
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
                done = pool.submit(exported, md, method, n_frames, ending, repeats)
                results[f"{method}, {n_frames} frames to {ending}"] = done.result()
            arguments.out.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")
    sys.stdout.write(arguments.out.read_text())


if __name__ == "__main__":
    main()
