"""How well and how fast features become structures by nearest frames, by distance geometry and by fragments.

Run ``OMP_NUM_THREADS=1 python tests/benchmarks/backmapping.py --out backmapping.json``; some ten minutes, most of them molecular
dynamics of a peptide (three simulations of 3000 frames to learn from, three of 1000 to find again), which ``--simulations
FOLDER`` keeps for the next time. Needs MDAnalysisTests. Times are CPU time of one core.
"""

import argparse
import json
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import MDAnalysis
import numpy as np
import screened_peptide
from deeptime.decomposition import TICA
from MDAnalysisTests.datafiles import DCD, PSF
from numpy.typing import NDArray

from openmm_trajgan.analysis.validity import StructureValidity
from openmm_trajgan.backmap import DistanceGeometry, Fragments, NearestFrames, Relax, force_field_system
from openmm_trajgan.features import Distances, RadiusOfGyration
from openmm_trajgan.schema import FeatureSchema

N_TRAIN, N_TEST = 3000, 1000
APART, WITHIN = 100, 99  # frames; percentile
N_REPAIRED = 200
TIMES_OVER = 20  # the test frames are repeated for the speed of a long series
N_BEADS, N_CHAINS, BOND = 140, 1000, 0.38
RNG = np.random.default_rng(0)


class SlowComponents:
    """Two TICA components of the distances between α carbons, fitted to given simulations."""

    schema = FeatureSchema(names=("TICA 1", "TICA 2"), units=("", ""), periods=(None, None))

    def __init__(self, distances: Distances, simulations: list[NDArray[np.float32]], lag: int = 10) -> None:
        self.distances = distances
        self.model = TICA(lagtime=lag, dim=2).fit([distances(frames) for frames in simulations]).fetch_model()

    def __call__(self, positions: Any, box: Any = None) -> NDArray[np.float32]:
        """Compute both components."""
        return self.model.transform(self.distances(positions, box)).astype(np.float32)


def superposed_deviations(one: NDArray[Any], two: NDArray[Any]) -> NDArray[np.float64]:
    """RMSD of each frame after the best superposition without reflection, nm."""
    one, two = (points.astype(float) - points.astype(float).mean(axis=1, keepdims=True) for points in (one, two))
    covariance = one.transpose(0, 2, 1) @ two
    values = np.linalg.svd(covariance, compute_uv=False)
    overlap = values[:, 0] + values[:, 1] + np.sign(np.linalg.det(covariance)) * values[:, 2]
    squares = np.square(one).sum(axis=(1, 2)) + np.square(two).sum(axis=(1, 2)) - 2 * overlap
    return np.sqrt(np.maximum(squares, 0) / one.shape[1])


def timed(backmapper: Any, features: NDArray[Any]) -> tuple[Any, float]:
    """Structures, and frames per second of CPU time."""
    start = time.process_time()
    structures = backmapper.backmap(features, rng=RNG)
    return structures, len(features) / (time.process_time() - start)


def retrieval(
    topology: Any, libraries: dict[str, list[NDArray[np.float32]]], held_out: list[NDArray[np.float32]]
) -> dict[str, Any]:
    """Features of held-out simulations found again among frames of one simulation and among those of several, median and range."""
    alpha = [atom.index for atom in topology.atoms() if atom.name == "CA"]
    between = Distances([[i, j] for place, i in enumerate(alpha) for j in alpha[place + 1 :]])
    results: dict[str, Any] = {}
    for label, simulations in libraries.items():
        cases = {
            "end-to-end distance": Distances([[alpha[0], alpha[-1]]]),
            "radius of gyration": RadiusOfGyration(alpha),
            "two TICA components": SlowComponents(between, simulations),
        }
        for name, features in cases.items():
            nearest = NearestFrames().fit(features, screened_peptide.universe(topology, np.concatenate(simulations)))
            rows = [found_again(nearest, features, topology, simulations, test) for test in held_out]
            results[f"{name}, {label}"] = {
                figure: [float(pick([row[figure] for row in rows])) for pick in (np.median, np.min, np.max)] for figure in rows[0]
            }
    return results


def found_again(
    nearest: NearestFrames, features: Any, topology: Any, simulations: list[NDArray[np.float32]], test: NDArray[np.float32]
) -> dict[str, float]:
    """One held-out simulation; errors also apart for frames within and beyond what the library has visited.

    A frame is within if it is no further from the nearest library frame than 99 % of the library's frames are from the nearest
    one at least 100 frames away in time, in standard deviations of the features.
    """
    heavy = [atom.index for atom in topology.atoms() if atom.element.symbol != "H"]
    train = np.concatenate(simulations)
    jump = np.concatenate([superposed_deviations(frames[1:, heavy], frames[:-1, heavy]) for frames in simulations])
    wanted, known = features(test), features(train)
    spread = known.std(axis=0)
    structures = nearest.backmap(wanted, rng=RNG)
    summary = nearest.summary
    _, rate = timed(nearest, np.tile(wanted, (TIMES_OVER, 1)))
    found = train[structures.reference_frames]
    steps = superposed_deviations(found[1:, heavy], found[:-1, heavy])
    distances = np.linalg.norm((wanted[:, None] - known) / spread, axis=2)
    reach = np.percentile(np.concatenate([_to_nearest_apart(known / spread, row) for row in range(0, len(known), 10)]), WITHIN)
    within = distances.min(axis=1) <= reach
    errors = (np.abs(features(found) - wanted) / spread).mean(axis=1)
    smooth = within[1:] & within[:-1]
    closest = train[distances.argmin(axis=1)][:, heavy]
    return {
        "jump ratio, mean": steps.mean() / jump.mean(),
        "jump ratio within": steps[smooth].mean() / jump.mean(),
        "jump ratio of single nearest frames": superposed_deviations(closest[1:], closest[:-1]).mean() / jump.mean(),
        "feature error, SD": errors.mean(),
        "share of frames within": within.mean(),
        "feature error within, SD": errors[within].mean(),
        "feature error beyond, SD": errors[~within].mean() if (~within).any() else np.nan,
        "feature error of single nearest frames, SD": (np.abs(known[distances.argmin(axis=1)] - wanted) / spread).mean(),
        "unique share": summary.unique_share,
        "frames/s": rate,
    }


def _to_nearest_apart(points: NDArray[np.floating], row: int) -> NDArray[np.float64]:
    """Distance of one point from the nearest one at least 100 rows away, ``(1,)``."""
    away = abs(np.arange(len(points)) - row) >= APART
    return np.linalg.norm(points[away] - points[row], axis=1).min(keepdims=True)


def wandering(n_frames: int, seed: int) -> NDArray[np.float64]:
    """Chains of 140 beads whose directions persist, nm."""
    steps = np.random.default_rng(seed).normal(size=(n_frames, N_BEADS, 3))
    for bead in range(1, N_BEADS):
        steps[:, bead] = 0.6 * steps[:, bead - 1] + 0.8 * steps[:, bead]
    return np.cumsum(BOND * steps / np.linalg.norm(steps, axis=-1, keepdims=True), axis=1)


def recovery() -> dict[str, Any]:
    """Distances of chains of 140 beads, exact and with errors, back to positions."""
    first, second = np.triu_indices(N_BEADS, 1)
    reference = MDAnalysis.Universe.empty(N_BEADS, n_residues=N_BEADS, atom_resindex=np.arange(N_BEADS), trajectory=True)
    reference.load_new(10 * wandering(50, seed=0).astype(np.float32))
    geometry = DistanceGeometry().fit(Distances(np.stack([first, second], axis=1)), reference)
    chains = wandering(N_CHAINS, seed=1)
    exact = np.linalg.norm(chains[:, first] - chains[:, second], axis=-1)
    results = {}
    for label, error, n_frames in (("exact", 0.0, N_CHAINS), ("error 0.02 nm", 0.02, 100), ("error 0.1 nm", 0.1, 100)):
        distances = np.abs(exact[:n_frames] + np.random.default_rng(2).normal(0, 1, (n_frames, exact.shape[1])) * error)
        structures, rate = timed(geometry, distances)
        pair = [superposed_deviations(structures.positions, mirror * chains[:n_frames]) for mirror in (1, np.array([1, 1, -1]))]
        bonds = np.linalg.norm(np.diff(structures.positions, axis=1), axis=-1)
        results[label] = {
            "RMSD to the truth up to the mirror, mean, A": 10 * np.minimum(*pair).mean(),
            "RMSD to the truth up to the mirror, largest, A": 10 * np.minimum(*pair).max(),
            "bonds, RMS deviation, A": 10 * np.sqrt(np.square(bonds - BOND).mean()),
            "share of eigenvalues beyond three": structures.flags["not_3d"].mean(),
            "frames/s": rate,
        }
    return results


def hands() -> dict[str, Any]:
    """Fragments of adenylate kinase in odd frames, with the hand learnt from even frames or from other fragments.

    Odd frames lie between even ones, so "same fragment" is easier than a new simulation would be.
    """
    alpha = MDAnalysis.Universe(PSF, DCD).select_atoms("name CA")
    frames = np.stack([alpha.positions.copy() for _ in alpha.universe.trajectory])
    results = {}
    for length in (10, 20, 50):
        pairs = Distances(np.stack(np.triu_indices(length, 1), axis=1))
        starts = range(0, frames.shape[1] - length + 1, length // 2)
        right = {"same fragment": [], "other fragments": []}
        for start in starts:
            away = [other for other in starts if abs(other - start) >= length]
            test = frames[1::2, start : start + length] / 10
            train = frames[::2, start : start + length]
            others = np.concatenate([frames[:98:12, other : other + length] for other in away])
            for label, reference in (("same fragment", train), ("other fragments", others)):
                universe = MDAnalysis.Universe.empty(length, n_residues=length, atom_resindex=np.arange(length), trajectory=True)
                geometry = DistanceGeometry().fit(pairs, universe.load_new(reference))
                # One frame at a time: no help from the frame before
                found = np.concatenate([geometry.backmap(pairs(frame[None]), rng=RNG).positions for frame in test])
                right[label].append(superposed_deviations(found, test) < superposed_deviations(found, test * [1, 1, -1]))
        results[f"{length} residues"] = {label: np.concatenate(told).mean() for label, told in right.items()}
        results[f"{length} residues"]["fragments x frames"] = int(sum(map(len, right["same fragment"])))
    return results


def hands_of_a_peptide(
    topology: Any, libraries: dict[str, list[NDArray[np.float32]]], held_out: list[NDArray[np.float32]]
) -> dict[str, Any]:
    """Ten alpha carbons in held-out simulations, with the hand learnt from one simulation and from several; median and range."""
    alpha = [atom.index for atom in topology.atoms() if atom.name == "CA"]
    pairs = Distances(np.stack(np.triu_indices(len(alpha), 1), axis=1))
    results: dict[str, Any] = {}
    for name, library in libraries.items():
        universe = MDAnalysis.Universe.empty(
            len(alpha), n_residues=len(alpha), atom_resindex=np.arange(len(alpha)), trajectory=True
        )
        geometry = DistanceGeometry().fit(pairs, universe.load_new(10 * np.concatenate(library)[:, alpha]))
        right: dict[str, list[float]] = {"one by one": [], "in time": []}
        for test in held_out:
            truth = test[:, alpha]
            alone = np.concatenate([geometry.backmap(pairs(frame[None]), rng=RNG).positions for frame in truth])
            for label, found in {"one by one": alone, "in time": geometry.backmap(pairs(truth), rng=RNG).positions}.items():
                same = superposed_deviations(found, truth) < superposed_deviations(found, truth * [1, 1, -1])
                right[label].append(float(same.mean()))
        results[name] = {label: [float(pick(shares)) for pick in (np.median, np.min, np.max)] for label, shares in right.items()}
    return results | {"frames of each held-out simulation": len(held_out[0])}


def all_atoms(topology: Any, train: NDArray[np.float32], test: NDArray[np.float32]) -> dict[str, Any]:
    """Distances of alpha carbons in another simulation to all atoms by fragments of three, before and after repair of clashes."""
    reference = screened_peptide.universe(topology, train)
    alpha = reference.select_atoms("name CA").indices
    pairs = Distances(alpha[np.stack(np.triu_indices(len(alpha), 1), axis=1)])
    fragments = Fragments().fit(pairs, reference)
    structures, rate = timed(fragments, pairs(test))
    relax = Relax(force_field_system(topology), pairs, reference)
    start = time.process_time()
    relaxed = relax(structures.positions[:N_REPAIRED], structures.flags["clash"][:N_REPAIRED])
    seconds = time.process_time() - start
    backbone, heavy = (reference.select_atoms(chosen).indices for chosen in ("name N CA C", "not name H*"))
    md = screened_peptide.universe(topology, test)
    results: dict[str, Any] = {
        "ms/frame": 1000 / rate,
        "repair, ms per repaired frame": 1000 * seconds / max(len(relaxed.frames), 1),
    }
    for label, found in (("built", structures.positions), ("repaired", relaxed.positions)):
        report = StructureValidity(screened_peptide.universe(topology, found), md).run().results.report
        results[label] = {
            "backbone RMSD, A": 10 * superposed_deviations(found[:, backbone], test[: len(found), backbone]).mean(),
            "heavy RMSD, A": 10 * superposed_deviations(found[:, heavy], test[: len(found), heavy]).mean(),
            "clashing frames": fragments.clashes(found).mean(),
            **{name: report[name].value for name in ("bad frames", "cis peptide bonds", "inverted centres")},
            **{f"{name}, ratio to MD": report[name].ratio for name in ("bond deviation", "angle deviation", "clashes", "jump")},
        }
    return results


def main() -> None:
    """Measure all, print and write."""
    warnings.simplefilter("ignore")  # of MDAnalysis about its own test files
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=1, help="of the first of six simulations")
    parser.add_argument("--simulations", type=Path, help="folder of the frames of the peptide, made where absent")
    parser.add_argument("--more", type=int, nargs="+", default=[], help="seeds of more simulations for a larger library of frames")
    parser.add_argument("--only", help="one part, such as 'nearest frames'")
    arguments = parser.parse_args()
    seeds = [range(arguments.seed + first, arguments.seed + first + 6, 2) for first in (0, 1)]
    topology, training = screened_peptide.simulations(seeds[0], N_TRAIN, arguments.simulations)
    _, held_out = screened_peptide.simulations(seeds[1], N_TEST, arguments.simulations)
    libraries = {"one simulation": training[:1], "three simulations": training}
    if arguments.more:
        _, more = screened_peptide.simulations(arguments.more, N_TRAIN, arguments.simulations)
        libraries[f"{len(training + more)} simulations"] = training + more
    parts = {
        "distance geometry, 140 beads": recovery,
        "handedness": lambda: hands() | {"10 residues of a peptide": hands_of_a_peptide(topology, libraries, held_out)},
        "alpha carbons to all atoms": lambda: {
            f"simulation with seed {seed}": all_atoms(topology, np.concatenate(training), frames)
            for seed, frames in zip(seeds[1], held_out, strict=True)
        },
        "nearest frames": lambda: retrieval(topology, libraries, held_out),
    }
    if arguments.only not in (None, *parts):
        parser.error(f"--only: expected one of {', '.join(map(repr, parts))}, found {arguments.only!r}")
    results = {name: measure() for name, measure in parts.items() if arguments.only in (None, name)}
    text = json.dumps(results, indent=1, default=float)
    arguments.out.write_text(text)
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    main()
