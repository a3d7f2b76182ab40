"""Structures from torsions: speed beside MDAnalysis, exactness, and how physical the structures are.

    OMP_NUM_THREADS=1 python tests/benchmarks/internal_coordinates.py --out internal_coordinates.json

needs the package MDAnalysisTests for its trajectory of adenylate kinase; with numba installed, its speed is measured too. A
decapeptide is simulated six times (some ten minutes); ``--simulations FOLDER`` keeps the frames and takes them from there the next
time. Times are CPU times of one thread.
"""

import argparse
import json
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import MDAnalysis
import numpy as np
import openmm
import screened_peptide
from MDAnalysis.analysis.bat import BAT
from MDAnalysis.analysis.rms import rmsd
from openmm import unit
from peptides import adenylate_kinase, capped_piece

from openmm_trajgan.analysis.validity import StructureValidity
from openmm_trajgan.backmap import InternalCoordinates, Relax, force_field_system
from openmm_trajgan.backmap.clashes import Clashes
from openmm_trajgan.backmap.placement import compiled
from openmm_trajgan.backmap.z_matrix import ZMatrix
from openmm_trajgan.features import Concatenate, Featurizer, Torsions
from openmm_trajgan.systems import alanine_dipeptide

N_SPEED, N_REPEATS = 20_000, 5  # frames
N_TRAINING = (400, 1000, 3000)  # frames to learn from, of one simulation, and at last all of all three
N_HELD_OUT = 200  # of each of three others
Array = np.ndarray


def cpu(function: Callable[[], Any]) -> tuple[float, Any]:
    """CPU seconds of a call, and what it returns."""
    start = time.process_time()
    result = function()
    return time.process_time() - start, result


def spread(values: Any) -> dict[str, float]:
    """Median and range."""
    return {"median": float(np.median(values)), "lowest": float(np.min(values)), "highest": float(np.max(values))}


def universe_of(topology: Any, frames: Array) -> MDAnalysis.Universe:
    """Frames in nm as a Universe."""
    return MDAnalysis.Universe(topology, (10 * frames).astype(np.float32))


def against_bat(universe: MDAnalysis.Universe, torsions: Torsions, n_bat: int, n_frames: int, bat: bool = True) -> dict[str, Any]:
    """Frames per second of internal coordinates to positions, ours with and without numba and BAT's in turn, and our errors."""
    schema = torsions.schema
    z_matrix = ZMatrix.from_universe(universe, dict(zip(schema.names, schema.atoms, strict=True)))
    frames = np.array([ts.positions.T for ts in universe.trajectory], dtype=np.float64).transpose(2, 1, 0) / 10
    values, arms = z_matrix.measure(np.ascontiguousarray(frames))
    chosen = np.arange(n_frames) % frames.shape[2]
    at_once = max(64, 30_000 // len(universe.atoms))

    def ours() -> None:
        for start in range(0, n_frames, at_once):
            block = chosen[start : start + at_once]
            z_matrix.place(values.take(block, axis=1), arms.take(block, axis=2))

    built = z_matrix.place(values.copy(), arms.copy()).transpose(2, 0, 1)
    errors = [rmsd(one, other, superposition=True) for one, other in zip(built, frames.transpose(2, 0, 1), strict=True)]
    wanted = np.random.default_rng(0).uniform(-np.pi, np.pi, (len(schema.names), frames.shape[2]))
    turned = values.copy()
    turned[z_matrix.pivot_of_torsion] = wanted
    again, _ = z_matrix.measure(z_matrix.place(turned, arms.copy()))
    missed = np.angle(np.exp(1j * (again[z_matrix.pivot_of_torsion] - wanted)))
    result = {
        "atoms": len(universe.atoms),
        "torsions set": len(schema.names),
        "round trip RMSD, Å": float(10 * max(errors)),
        "torsion error, degrees": float(np.degrees(abs(missed).max())),
    }
    placements = {"numpy": None} if compiled() is None else {"numpy": None, "numba": compiled()}
    rates: dict[str, list[float]] = {name: [] for name in [*placements, "BAT"]}
    rows: Any = None
    if bat:
        analysis = BAT(universe.atoms)
        analysis.run(stop=min(n_bat, frames.shape[2]))
        rows = analysis.results.bat
    for _ in range(N_REPEATS):
        for name, placement in placements.items():
            with patch("openmm_trajgan.backmap.z_matrix.compiled", return_value=placement):
                rates[name].append(n_frames / cpu(ours)[0])
        if bat:
            seconds, _ = cpu(lambda: [analysis.Cartesian(rows[frame % len(rows)]) for frame in range(n_bat)])
            rates["BAT"].append(n_bat / seconds)
    for name in placements:
        result[f"frames/s, {name}"] = spread(rates[name])
        if bat:
            result[f"ratio to BAT.Cartesian, {name}"] = spread(np.array(rates[name]) / np.array(rates["BAT"]))
    if bat:
        result["frames/s of BAT.Cartesian"] = spread(rates["BAT"])
    return result


def settable(featurizers: list[Torsions], universe: MDAnalysis.Universe) -> Torsions:
    """Torsions of several featurizers without the dependent ones."""
    both = Concatenate(featurizers)
    first = universe_of_first(universe)
    dependent = InternalCoordinates(force=True).fit(both, first).dependent
    kept = {name: atoms for name, atoms in zip(both.schema.names, both.schema.atoms, strict=True) if name not in dependent}
    return Torsions(list(kept.values()), list(kept))


def universe_of_first(universe: MDAnalysis.Universe) -> MDAnalysis.Universe:
    """The first frame alone."""
    first = MDAnalysis.Merge(universe.atoms)
    first.trajectory.ts.positions = universe.atoms.positions
    return first


def energies(system: openmm.System, frames: Array) -> Array:
    """Energies, kJ/mol."""
    context = openmm.Context(system, openmm.VerletIntegrator(0.001), openmm.Platform.getPlatformByName("Reference"))
    values = np.empty(len(frames))
    for index, frame in enumerate(frames):
        context.setPositions(frame.astype(float))
        values[index] = context.getState(energy=True).getPotentialEnergy().value_in_unit(unit.kilojoule_per_mole)
    return values


def hard(universe: MDAnalysis.Universe, frames: Array) -> tuple[Array, Array]:
    """Bond lengths in Å and bond angles in degrees, one column each."""
    bonds = universe.bonds.indices
    lengths = 10 * np.linalg.norm(frames[:, bonds[:, 0]] - frames[:, bonds[:, 1]], axis=-1)
    ends, centres, others = _angles(bonds, len(universe.atoms))
    one, two = frames[:, ends] - frames[:, centres], frames[:, others] - frames[:, centres]
    cosines = (one * two).sum(-1) / np.linalg.norm(one, axis=-1) / np.linalg.norm(two, axis=-1)
    return lengths, np.degrees(np.arccos(np.clip(cosines, -1, 1)))


def _angles(bonds: Array, n_atoms: int) -> tuple[Array, Array, Array]:
    around: list[list[int]] = [[] for _ in range(n_atoms)]
    for i, j in bonds.tolist():
        around[i].append(j)
        around[j].append(i)
    triples = [(a, centre, b) for centre, near in enumerate(around) for a in near for b in near if a < b]
    ends, centres, others = np.array(triples).T
    return ends, centres, others


def jump(frames: Array, heavy: Array) -> float:
    """Mean RMSD between consecutive frames, superposed, Å."""
    pairs = zip(frames[:-1, heavy], frames[1:, heavy], strict=True)
    return float(np.mean([10 * rmsd(one, other, superposition=True) for one, other in pairs]))


def compared(universe: MDAnalysis.Universe, train: Array, md: Array, built: Array) -> dict[str, Any]:
    """RMS deviation of bonds and angles from the mean of training MD, and jumps, as ratios to held-out MD."""
    means = [values.mean(axis=0) for values in hard(universe, train)]
    scatter = {
        name: [np.sqrt(((values - mean) ** 2).mean()) for values, mean in zip(hard(universe, frames), means, strict=True)]
        for name, frames in (("md", md), ("built", built))
    }
    heavy = np.flatnonzero(universe.atoms.elements != "H")
    return {
        "bond RMS, Å": float(scatter["built"][0]),
        "bond RMS ratio": float(scatter["built"][0] / scatter["md"][0]),
        "angle RMS, degrees": float(scatter["built"][1]),
        "angle RMS ratio": float(scatter["built"][1] / scatter["md"][1]),
        "jump ratio": jump(built, heavy) / jump(md, heavy),
        "clashing frames of MD": float(Clashes(universe)(md).mean()),
        "clashing frames": float(Clashes(universe)(built).mean()),
    }


def dipeptide(train: Array, test: Array) -> dict[str, Any]:
    """φ and ψ of alanine dipeptide in another simulation back to structures, beside that MD."""
    topology = alanine_dipeptide.topology()
    features = alanine_dipeptide.features()
    system = alanine_dipeptide.build(seed=1).system
    result = {"energy of MD, kJ/mol": _percentiles(energies(system, test))}
    universe = universe_of(topology, train)
    backmapper = InternalCoordinates().fit(features, universe)
    seconds, structures = cpu(lambda: backmapper.backmap(np.tile(features(test), (20, 1)), rng=np.random.default_rng(0)))
    result["backmap, frames/s with superposition and clash flag"] = 20 * len(test) / seconds
    built = structures.positions[: len(test)]
    result["energy, kJ/mol"] = _percentiles(energies(system, built))
    result["torsion error, degrees"] = float(np.degrees(abs(features.schema.wrap(features(built) - features(test))).max()))
    clashes = StructureValidity(universe_of(topology, built), universe_of(topology, test)).run().results.report["clashes"]
    result["overlapping pairs, ratio to MD"] = clashes.ratio
    return result | compared(universe, train, test, built)


def _percentiles(values: Array) -> dict[str, float]:
    low, median, high = np.percentile(values, [5, 50, 95])
    return {"5 %": float(low), "median": float(median), "95 %": float(high)}


def decapeptide(topology: Any, training: list[Array], held_out: list[Array], numbers: Sequence[int]) -> dict[str, Any]:
    """Exact φ, ψ, ω and χ of other simulations back to structures, for several numbers of frames to learn from."""
    results: dict[str, Any] = {"held-out simulations": len(held_out), "frames of each": N_HELD_OUT}
    features, system = peptide_features(topology), force_field_system(topology)
    for number in numbers:
        pairs = [rebuilt(topology, system, frames[:number], test, features) for frames in training for test in held_out]
        results[f"{number} frames of one simulation, {len(pairs)} pairs"] = spreads(pairs)
    every = np.concatenate(training)
    pairs = [rebuilt(topology, system, every, test, features) for test in held_out]
    return results | {f"{len(every)} frames of {len(training)} simulations": spreads(pairs)}


def spreads(rows: list[dict[str, float]]) -> dict[str, Any]:
    """Median and range of each figure."""
    return {name: spread([row[name] for row in rows]) for name in rows[0]}


def rebuilt(topology: Any, system: openmm.System, train: Array, test: Array, features: Featurizer) -> dict[str, float]:
    """One simulation rebuilt from its torsions with the geometry of another, before and after repair of the frames that clash."""
    universe = universe_of(topology, train)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit_seconds, backmapper = cpu(lambda: InternalCoordinates().fit(features, universe))
    seconds, structures = cpu(lambda: backmapper.backmap(features(test), rng=np.random.default_rng(0)))
    relax = Relax(system, features, universe)
    flagged = structures.flags["clash"]
    repair_seconds, relaxed = cpu(lambda: relax(structures.positions, flagged))
    backbone = universe.select_atoms("name N CA C").indices
    heavy = np.flatnonzero(universe.atoms.elements != "H")

    def error(positions: Array, atoms: Array) -> float:
        pairs = zip(positions[:, atoms], test[:, atoms], strict=True)
        return float(np.mean([10 * rmsd(one, other, superposition=True) for one, other in pairs]))

    set_columns = [column for column, name in enumerate(features.schema.names) if name not in backmapper.dependent]
    missed = features.schema.wrap(features(structures.positions) - features(test))
    angles = {name: _backbone_angles(universe, frames) for name, frames in (("train", train), ("test", test))}
    found = _backbone_angles(universe, structures.positions)
    return {
        "torsion error, degrees": float(np.degrees(abs(missed[:, set_columns]).max())),
        "error of dependent torsions, degrees": float(np.degrees(abs(np.delete(missed, set_columns, axis=1)).mean())),
        "backbone angles, RMS error, degrees": float(np.sqrt(((found - angles["test"]) ** 2).mean())),
        "the same of their means in training": float(np.sqrt(((angles["train"].mean(axis=0) - angles["test"]) ** 2).mean())),
        "the same of their own means": float(np.sqrt(angles["test"].var(axis=0).mean())),
        "all bond angles, RMS error, degrees": float(
            np.sqrt(np.mean((hard(universe, structures.positions)[1] - hard(universe, test)[1]) ** 2))
        ),
        "fit, s": fit_seconds,
        "backbone RMSD, Å": error(structures.positions, backbone),
        "heavy RMSD, Å": error(structures.positions, heavy),
        "backbone RMSD after repair, Å": error(relaxed.positions, backbone),
        "heavy RMSD after repair, Å": error(relaxed.positions, heavy),
        "bad frames before": float(flagged.mean()),
        "bad frames after": float(backmapper.clashes(relaxed.positions).mean()),
        "bad frames of MD": float(backmapper.clashes(test).mean()),
        "backmap, ms/frame": 1000 * seconds / len(test),
        "backmap and repair, ms/frame amortised": 1000 * (seconds + repair_seconds) / len(test),
        "torsion change in repaired frames, degrees": float(np.degrees(abs(relaxed.feature_change)).mean()),
    }


def _backbone_angles(universe: MDAnalysis.Universe, frames: Array) -> Array:
    """Bond angles at N, CA and C between backbone atoms, degrees."""
    ends, centres, others = _angles(universe.bonds.indices, len(universe.atoms))
    backbone = np.isin(universe.atoms.names, ("N", "CA", "C"))
    chosen = backbone[ends] & backbone[centres] & backbone[others]
    return hard(universe, frames)[1][:, chosen]


def alanine_frames(n_frames: int, seed: int) -> Array:
    """MD of alanine dipeptide every 0.2 ps, ``(n_frames, 22, 3)``, nm."""
    simulation = alanine_dipeptide.build(seed=seed)
    frames = np.empty((n_frames, 22, 3), dtype=np.float32)
    for frame in frames:
        simulation.step(50)
        frame[:] = simulation.context.getState(positions=True).getPositions(asNumpy=True).value_in_unit(unit.nanometer)
    return frames


def peptide_features(topology: Any) -> Featurizer:
    """φ, ψ, ω and χ."""
    return Concatenate([Torsions.backbone(topology, omega=True), Torsions.chi(topology)])


def parts(simulations: Path | None, seed: int, numbers: Sequence[int]) -> dict[str, Callable[[], dict[str, Any]]]:
    """What can be measured, by name."""
    return {
        "alanine dipeptide": lambda: dipeptide(alanine_frames(3000, seed), alanine_frames(1000, seed + 1)),
        "decapeptide": lambda: decapeptide(
            *screened_peptide.simulations(range(seed, seed + 6, 2), max(numbers), simulations),
            screened_peptide.simulations(range(seed + 1, seed + 7, 2), N_HELD_OUT, simulations)[1],
            numbers,
        ),
        "internal coordinates to positions": lambda: placing(simulations, seed),
        "adenylate kinase, backmap with force=True": kinase_fold,
    }


def placing(simulations: Path | None, seed: int) -> dict[str, Any]:
    """Speed and errors of internal coordinates to positions."""
    peptide, frames = screened_peptide.simulations([seed], max(N_TRAINING), simulations)
    alanines, start = capped_piece(64, 4, all_alanine=True)
    shaken = start + np.random.default_rng(0).normal(0, 0.002, (200, *start.shape))
    results = {}
    for name, universe, torsions, n_bat, n_frames in (
        ("alanine dipeptide", universe_of(alanine_dipeptide.topology(), alanine_frames(500, seed)), None, 300, N_SPEED),
        ("AAAA", universe_of(alanines, shaken), [Torsions.backbone(alanines, omega=True)], 100, 10_000),
        ("decapeptide", universe_of(peptide, frames[0][:100]), [peptide_features(peptide)], 30, 3000),
    ):
        wanted = alanine_dipeptide.features() if torsions is None else settable(torsions, universe)
        results[name] = against_bat(universe, wanted, n_bat, n_frames)
    kinase = adenylate_kinase()
    results["adenylate kinase"] = against_bat(kinase, kinase_backbone(kinase), 0, 98, bat=False)
    return results


def kinase_backbone(kinase: MDAnalysis.Universe) -> Torsions:
    """φ, ψ and ω."""
    return settable([Torsions.backbone(_openmm_like(kinase), omega=True)], kinase)


def kinase_fold() -> dict[str, Any]:
    """Exact φ, ψ and ω of every second frame with the geometry expected from the others: how much of the fold is left."""
    kinase = adenylate_kinase()
    features, frames = kinase_backbone(kinase), np.array([ts.positions for ts in kinase.trajectory]) / 10
    train = MDAnalysis.Merge(kinase.atoms).load_new(10 * frames[::2].astype(np.float32), order="fac")
    test = frames[1::2]
    built = InternalCoordinates(force=True).fit(features, train).backmap(features(test), rng=np.random.default_rng(0)).positions
    alpha = kinase.select_atoms("name CA").indices
    pairs = zip(built[:, alpha], test[:, alpha], strict=True)
    return {"alpha carbon RMSD, Å": spread([10 * rmsd(one, other, superposition=True) for one, other in pairs])}


def _openmm_like(universe: MDAnalysis.Universe) -> Any:
    """Topology of mdtraj, which featurizers read."""
    import mdtraj

    topology = mdtraj.Topology()
    chain = topology.add_chain()
    atoms = []
    for residue in universe.residues:
        made = topology.add_residue(residue.resname, chain, resSeq=int(residue.resid))
        atoms += [topology.add_atom(atom.name, mdtraj.element.get_by_symbol(atom.element), made) for atom in residue.atoms]
    for i, j in universe.bonds.indices.tolist():
        topology.add_bond(atoms[i], atoms[j])
    return topology


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--simulations", type=Path, help="folder of the frames of the decapeptide, made where absent")
    parser.add_argument("--seed", type=int, default=1, help="of molecular dynamics; five more simulations have the next")
    parser.add_argument("--training", type=int, nargs="+", default=N_TRAINING, help="frames that the decapeptide is learned from")
    parser.add_argument("--only", help="one part, such as 'decapeptide'")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    all_parts = parts(arguments.simulations, arguments.seed, arguments.training)
    if arguments.only not in (None, *all_parts):
        parser.error(f"--only: expected one of {', '.join(map(repr, all_parts))}, found {arguments.only!r}")
    results = {name: measure() for name, measure in all_parts.items() if arguments.only in (None, name)}
    arguments.out.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")
