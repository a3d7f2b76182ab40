"""Brownian particles in an external potential, in units where kT is 1 kJ/mol and the diffusion constant is 1 nm²/ps."""

import numpy as np
import openmm
from numpy.typing import NDArray
from openmm import app, unit

from openmm_trajgan.systems.base import openmm_seed

TEMPERATURE = 1.0 / unit.MOLAR_GAS_CONSTANT_R.value_in_unit(unit.kilojoule_per_mole / unit.kelvin)  # K, where kT = 1 kJ/mol
STEP_SIZE = 0.005  # ps


def build_particles(potential: str, starts: NDArray[np.float64], n_equilibration_steps: int, seed: int) -> app.Simulation:
    """Return an equilibrated simulation of particles that do not interact, at step 0.

    Parameters
    ----------
    potential
        Energy of a particle at x, y, z, nm, in kJ/mol, as OpenMM writes it.
    starts
        Where each begins, ``(n_particles, 3)``, nm.
    n_equilibration_steps
        Steps of `STEP_SIZE` before step 0.
    seed
        Seeds the noise.
    """
    system = openmm.System()
    topology = app.Topology()
    chain = topology.addChain()
    force = openmm.CustomExternalForce(potential)
    for particle in range(len(starts)):
        system.addParticle(1.0)
        force.addParticle(particle, [])
        topology.addAtom("X", None, topology.addResidue("X", chain))
    system.addForce(force)
    integrator = openmm.BrownianIntegrator(TEMPERATURE, 1.0, STEP_SIZE)
    integrator.setRandomNumberSeed(openmm_seed(seed))
    simulation = app.Simulation(topology, system, integrator, openmm.Platform.getPlatformByName("Reference"))
    simulation.context.setPositions(starts)
    simulation.step(n_equilibration_steps)
    simulation.currentStep = 0
    simulation.context.setTime(0.0)
    return simulation
