"""A chain of four atoms on the Reference platform, cheap enough to be run in every test."""

import itertools

import numpy as np
import openmm
import pytest
from openmm import app, unit

from openmm_trajgan.buffer import WindowBuffer
from openmm_trajgan.features import Distances, Torsions
from openmm_trajgan.features.concatenate import Concatenate
from openmm_trajgan.windows.reporter import WindowReporter

CHAIN = np.array([[0.0, 0.0, 0.0], [0.15, 0.0, 0.0], [0.2, 0.14, 0.0], [0.35, 0.15, 0.05]])  # nm


def langevin(seed):
    integrator = openmm.LangevinMiddleIntegrator(300, 5.0, 0.002)
    integrator.setRandomNumberSeed(seed)
    return integrator


def build_chain(seed=1, n_copies=1, box=None, integrator=None):
    """Simulation of `n_copies` chains that do not feel each other; `box` is the edge of a periodic box, nm."""
    system, topology, bonds = openmm.System(), app.Topology(), openmm.HarmonicBondForce()
    carbon = app.Element.getBySymbol("C")
    for copy in range(n_copies):
        residue = topology.addResidue("CHN", topology.addChain())
        atoms = [topology.addAtom(f"C{k}", carbon, residue) for k in range(4)]
        for k in range(4):
            system.addParticle(12.0)
            for j in range(k):
                length = float(np.linalg.norm(CHAIN[k] - CHAIN[j]))
                bonds.addBond(4 * copy + j, 4 * copy + k, length, 2000.0 if k - j < 3 else 200.0)
        for first, second in itertools.pairwise(atoms):
            topology.addBond(first, second)
    if box is not None:
        vectors = [openmm.Vec3(*row) for row in box * np.eye(3)]
        system.setDefaultPeriodicBoxVectors(*vectors)
        topology.setPeriodicBoxVectors(vectors * unit.nanometer)
        bonds.setUsesPeriodicBoundaryConditions(True)
    system.addForce(bonds)
    integrator = integrator or langevin(seed)
    simulation = app.Simulation(topology, system, integrator, openmm.Platform.getPlatformByName("Reference"))
    simulation.context.setPositions(np.tile(CHAIN, (n_copies, 1)))
    simulation.context.setVelocitiesToTemperature(300, seed)
    return simulation


@pytest.fixture
def chain():
    """`build_chain`, which makes a simulation."""
    return build_chain


@pytest.fixture
def features():
    """Two distances and a torsion of one chain."""
    return Concatenate([Distances([[0, 2], [0, 3]]), Torsions([[0, 1, 2, 3]])])


@pytest.fixture
def die():
    """Do to a buffer on disk what ``kill -9`` does: the files stay as they are, the handles are gone."""

    def die(buffer):
        for shard in buffer._store._open.values():
            shard.file.close()

    return die


@pytest.fixture
def uninterrupted(chain, features):
    """Buffer in memory with the frames of steps 10 to 100."""
    simulation, buffer = chain(), WindowBuffer(schema=features.schema)
    simulation.reporters.append(WindowReporter(buffer, 10, features))
    simulation.step(100)
    return buffer
