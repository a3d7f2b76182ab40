"""Tetraalanine (AAAA with charged ends) in implicit water: 43 atoms, six backbone torsions, real force field, real time.

A small case of many torsions that move together: ψ 1, φ 2, ψ 2, φ 3, ψ 3 and φ 4. Ends are charged as in the tetrapeptides other
generators of trajectories are tried on. Force field and integrator are those of alanine dipeptide (`implicit_water`), 300 K.
Starting coordinates: made for this package from ideal geometry, minimised.
"""

from importlib.resources import as_file, files

import numpy as np
from numpy.typing import NDArray
from openmm import app, unit

from openmm_trajgan.errors import InputError
from openmm_trajgan.features.torsions import Torsions
from openmm_trajgan.systems.base import SimulatedSystem
from openmm_trajgan.systems.implicit_water import implicit_water_simulation

TEMPERATURE = 300.0  # K


def topology_and_positions() -> tuple[app.Topology, NDArray[np.float64]]:
    """Topology of AAAA and starting positions ``(43, 3)`` in nm."""
    with as_file(files("openmm_trajgan.systems") / "data" / "tetraalanine.pdb") as path:
        pdb = app.PDBFile(str(path))
    return pdb.topology, pdb.getPositions(asNumpy=True).value_in_unit(unit.nanometer)


def build(seed: int, n_replicas: int = 1) -> app.Simulation:
    """Return an equilibrated simulation at step 0.

    Parameters
    ----------
    seed
        Seeds velocities and thermostat noise; another seed is an independent replica.
    n_replicas
        Molecules in the context; one, since they would feel each other.

    Raises
    ------
    InputError
        If `n_replicas` is not 1.
    """
    if n_replicas != 1:
        raise InputError(f"tetraalanine runs one replica per simulation, found n_replicas={n_replicas}")
    return implicit_water_simulation(*topology_and_positions(), seed, TEMPERATURE)


def features() -> Torsions:
    """φ and ψ of the backbone, six torsions."""
    return Torsions.backbone(topology())


def topology() -> app.Topology:
    """Topology of one replica."""
    return topology_and_positions()[0]


SYSTEM = SimulatedSystem(
    name="tetraalanine",
    title="tetraalanine in implicit water, 300 K",
    build=build,
    features=features,
    report_interval=50,
    topology=topology,
)
