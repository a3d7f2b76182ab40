"""Alanine dipeptide (ACE-ALA-NME) in implicit water: 22 atoms, real force field, real time.

Force field amber99sb-ildn (Lindorff-Larsen et al. 2010) with the OBC generalized Born model (Onufriev, Bashford & Case 2004) as an
OpenMM ``GBSAOBCForce``; 300 K, LangevinMiddle at 1/ps, 4 fs with hydrogens of 3 amu and constrained bonds to hydrogen. The
``Reference`` platform is the fastest for so few atoms. ψ crosses between its α and β/PII basins about 25 times per ns; φ > 0 is not
reached in nanoseconds at 300 K: ``alanine_dipeptide_500K`` is the same molecule where φ crosses too. Starting coordinates: made for
this package from ideal geometry, minimised.
"""

from importlib.resources import as_file, files
from typing import Any

import numpy as np
from numpy.typing import NDArray
from openmm import app, unit

from openmm_trajgan.errors import InputError
from openmm_trajgan.features.torsions import Torsions
from openmm_trajgan.systems.base import SimulatedSystem
from openmm_trajgan.systems.implicit_water import implicit_water_simulation

TEMPERATURE = 300.0  # K


def topology_and_positions() -> tuple[app.Topology, NDArray[np.float64]]:
    """Topology of ACE-ALA-NME and starting positions ``(22, 3)`` in nm."""
    with as_file(files("openmm_trajgan.systems") / "data" / "alanine_dipeptide.pdb") as path:
        pdb = app.PDBFile(str(path))
    return pdb.topology, pdb.getPositions(asNumpy=True).value_in_unit(unit.nanometer)


def build(seed: int, n_replicas: int = 1, temperature: float = TEMPERATURE) -> app.Simulation:
    """Return an equilibrated simulation at step 0.

    Parameters
    ----------
    seed
        Seeds velocities and thermostat noise; another seed is an independent replica.
    n_replicas
        Molecules in the context; one, since they would feel each other.
    temperature
        K.

    Raises
    ------
    InputError
        If `n_replicas` is not 1.
    """
    if n_replicas != 1:
        raise InputError(f"alanine dipeptide runs one replica per simulation, found n_replicas={n_replicas}")
    return implicit_water_simulation(*topology_and_positions(), seed, temperature)


def features() -> Torsions:
    """φ and ψ of the alanine."""
    return Torsions.backbone(topology_and_positions()[0])


def topology() -> Any:
    """Topology of one replica."""
    return topology_and_positions()[0]


SYSTEM = SimulatedSystem(
    name="alanine_dipeptide",
    title="alanine dipeptide in implicit water, 300 K",
    build=build,
    features=features,
    report_interval=50,
    topology=topology,
)
