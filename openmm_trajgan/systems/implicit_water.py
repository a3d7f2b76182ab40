"""Small peptides in implicit water, all atoms: one force field and one integrator for all of them.

Amber99sb-ildn (Lindorff-Larsen et al. 2010) with the OBC generalized Born model (Onufriev, Bashford & Case 2004), in the pair of
files that gives OpenMM's own ``GBSAOBCForce``, dozens of times faster than the custom force of other pairs.
"""

import numpy as np
import openmm
from numpy.typing import NDArray
from openmm import app, unit

from openmm_trajgan.systems.base import openmm_seed

_EQUILIBRATION_STEPS = 5000  # 20 ps


def implicit_water_simulation(
    topology: app.Topology, positions: NDArray[np.float64], seed: int, temperature: float
) -> app.Simulation:
    """Return an equilibrated simulation at step 0: LangevinMiddle at 1/ps, 4 fs, hydrogens of 3 amu on bonds of fixed length.

    Parameters
    ----------
    topology
        With all hydrogens.
    positions
        Start, ``(n_atoms, 3)``, nm; minimised first.
    seed
        Seeds velocities and thermostat noise.
    temperature
        K.
    """
    force_field = app.ForceField("amber99sbildn.xml", "amber99_obc.xml")
    system = force_field.createSystem(topology, nonbondedMethod=app.NoCutoff, constraints=app.HBonds, hydrogenMass=3.0 * unit.amu)
    integrator = openmm.LangevinMiddleIntegrator(temperature * unit.kelvin, 1 / unit.picosecond, 4 * unit.femtosecond)
    integrator.setRandomNumberSeed(openmm_seed(seed))
    simulation = app.Simulation(topology, system, integrator, openmm.Platform.getPlatformByName("Reference"))
    simulation.context.setPositions(positions)
    simulation.minimizeEnergy()
    simulation.context.setVelocitiesToTemperature(temperature * unit.kelvin, seed)
    simulation.step(_EQUILIBRATION_STEPS)
    simulation.currentStep = 0
    simulation.context.setTime(0.0)
    return simulation
