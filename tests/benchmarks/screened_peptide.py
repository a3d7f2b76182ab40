"""Molecular dynamics of a ten-residue peptide, to backmap and to judge by: the first residues of adenylate kinase on their own."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import MDAnalysis
import numpy as np
import openmm
from MDAnalysis.coordinates.memory import MemoryReader
from MDAnalysisTests.datafiles import DCD, PSF
from numpy.typing import NDArray
from openmm import app, unit

N_RESIDUES = 10  # MRIILLGAPG
TEMPERATURE = 400.0  # K; unfolds in nanoseconds
DIELECTRIC = 4.0
FRAME_INTERVAL = 0.6  # ps
_STEPS_PER_FRAME = 150  # of 4 fs
_EQUILIBRATION_STEPS = 25_000


def simulations(seeds: Sequence[int], n_frames: int, folder: Path | None) -> tuple[app.Topology, list[NDArray[np.float32]]]:
    """Topology, and frames of one simulation for each seed; a folder keeps them for the next time."""
    frames = []
    for seed in seeds:
        path = None if folder is None else folder / f"screened_{seed}.npy"
        if path is not None and path.is_file():
            frames.append(np.load(path)[:n_frames])
            continue
        frames.append(simulate(n_frames, seed)[1])
        if path is not None:
            np.save(path, frames[-1])
    return _with_hydrogens().topology, frames


def simulate(n_frames: int, seed: int) -> tuple[app.Topology, NDArray[np.float32]]:
    """Topology and frames every 0.6 ps, ``(n_frames, n_atoms, 3)`` in nm; amber14, a dielectric constant of 4, 400 K.

    Implicit water would cost ten times the rest and changes nothing about what is measured: how well real structures of a
    flexible peptide are found again.
    """
    modeller = _with_hydrogens()
    system = app.ForceField("amber14-all.xml").createSystem(
        modeller.topology, nonbondedMethod=app.NoCutoff, constraints=app.HBonds, hydrogenMass=3.0 * unit.amu
    )
    _screen(next(force for force in system.getForces() if isinstance(force, openmm.NonbondedForce)))
    integrator = openmm.LangevinMiddleIntegrator(TEMPERATURE * unit.kelvin, 1 / unit.picosecond, 4 * unit.femtosecond)
    integrator.setRandomNumberSeed(seed)
    platform = openmm.Platform.getPlatformByName("CPU")
    simulation = app.Simulation(modeller.topology, system, integrator, platform, {"Threads": "1"})
    simulation.context.setPositions(modeller.positions)
    simulation.minimizeEnergy()
    simulation.context.setVelocitiesToTemperature(TEMPERATURE * unit.kelvin, seed)
    simulation.step(_EQUILIBRATION_STEPS)
    frames = np.empty((n_frames, modeller.topology.getNumAtoms(), 3), dtype=np.float32)
    for frame in frames:
        simulation.step(_STEPS_PER_FRAME)
        frame[:] = simulation.context.getState(positions=True).getPositions(asNumpy=True).value_in_unit(unit.nanometer)
    return modeller.topology, frames


def universe(topology: Any, frames: NDArray[np.float32]) -> MDAnalysis.Universe:
    """The frames as MDAnalysis has them, Å."""
    return MDAnalysis.Universe(topology, 10 * frames, format=MemoryReader, dt=FRAME_INTERVAL)


def _screen(force: openmm.NonbondedForce) -> None:
    """Divide all charges by the root of the dielectric constant."""
    for index in range(force.getNumParticles()):
        charge, sigma, epsilon = force.getParticleParameters(index)
        force.setParticleParameters(index, charge / np.sqrt(DIELECTRIC), sigma, epsilon)
    for index in range(force.getNumExceptions()):
        one, two, product, sigma, epsilon = force.getExceptionParameters(index)
        force.setExceptionParameters(index, one, two, product / DIELECTRIC, sigma, epsilon)


def _with_hydrogens() -> app.Modeller:
    """Heavy atoms of the first residues, named as in the PDB, with hydrogens of this force field added."""
    source = MDAnalysis.Universe(PSF, DCD)
    heavy = source.select_atoms(f"resid 1:{N_RESIDUES} and not name H*")
    heavy.select_atoms("resname ILE and name CD").names = "CD1"  # CHARMM's name
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "peptide.pdb"
        heavy.write(str(path))
        pdb = app.PDBFile(str(path))
    modeller = app.Modeller(pdb.topology, pdb.positions)
    last = list(modeller.topology.residues())[-1]
    carbon, oxygen, alpha = ({atom.name: atom for atom in last.atoms()}[name] for name in ("C", "O", "CA"))
    positions = np.asarray(modeller.positions.value_in_unit(unit.nanometer))
    toward = [positions[atom.index] - positions[carbon.index] for atom in (oxygen, alpha)]
    bisector = sum(vector / np.linalg.norm(vector) for vector in toward)
    end = positions[carbon.index] - 0.125 * bisector / np.linalg.norm(bisector)
    terminus = app.Topology()  # the chain ends here with a carboxylate
    chain = terminus.addChain()
    atoms = []
    for residue in modeller.topology.residues():
        copy = terminus.addResidue(residue.name, chain)
        atoms += [terminus.addAtom(atom.name, atom.element, copy) for atom in residue.atoms()]
    for one, two in modeller.topology.bonds():
        terminus.addBond(atoms[one.index], atoms[two.index])
    terminus.addBond(atoms[carbon.index], terminus.addAtom("OXT", oxygen.element, copy))
    modeller = app.Modeller(terminus, np.vstack([positions, end]) * unit.nanometer)
    modeller.addHydrogens(app.ForceField("amber14-all.xml"))
    return modeller
