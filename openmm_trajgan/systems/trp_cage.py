"""Trp-cage that folds and unfolds: 20 Cα beads of a cooperative structure-based model, at five temperatures.

The geometry is that of the miniprotein (PDB entry 1L2Y, Neidigh, Fesinmeyer & Andersen 2002); energies are a model. Bonds, angles
and dihedrals have their minima at the native values, beads repel each other, and the 42 native contacts pull together with the
many-body energy -A Qᵖ, p = 2, where Q is the mean of Gaussians of the native distances: a sum over pairs (Clementi, Nymeyer &
Onuchic 2000) has no barrier for a protein this small, a term that grows faster than linearly in Q has (Eastwood & Wolynes 2001).

What is physical: the native structure and its contact map. What is tuned: the depth A, so that half is folded near 310 K, where
the real molecule melts. Time is that of the model, in OpenMM's ps: beads of 100 amu at a friction of 0.2/ps fold within about a ns,
the real molecule within microseconds. A frame is 6 ps.

The label is the temperature in K. Coordinates and contacts: ``data/README.md``.
"""

import math
from importlib.resources import as_file, files
from itertools import pairwise
from typing import Any

import numpy as np
import openmm
from numpy.typing import NDArray
from openmm import app, unit

from openmm_trajgan.errors import InputError
from openmm_trajgan.features.collective_variables import RMSD, RadiusOfGyration
from openmm_trajgan.features.concatenate import Concatenate
from openmm_trajgan.features.contacts import NativeContacts
from openmm_trajgan.systems.base import TEMPERATURE_LABEL, SimulatedSystem, StatePair, openmm_seed

TEMPERATURES = (285.0, 300.0, 315.0, 330.0, 345.0)  # K
STEP_SIZE = 0.03  # ps
FRICTION = 0.2  # 1/ps
EPSILON = 2.5  # kJ/mol
CONTACT_DEPTH = 1.38 * EPSILON  # kJ/mol per native contact
COOPERATIVITY = 2  # exponent of the fraction of native contacts
CONTACT_WIDTH = 0.06  # nm
_MASS = 100.0  # amu
_BOND, _ANGLE, _DIHEDRAL = 8000 * EPSILON, 20 * EPSILON, (0.3 * EPSILON, 0.15 * EPSILON)  # kJ/mol/nm², kJ/mol/rad², kJ/mol
_DIAMETER = 0.4  # nm
_EQUILIBRATION_STEPS = 60_000  # 1.8 ns, four times the slowest relaxation


def topology_and_positions() -> tuple[app.Topology, NDArray[np.float64]]:
    """Topology of the chain of Cα beads and their native positions ``(20, 3)``, nm."""
    with as_file(files("openmm_trajgan.systems") / "data" / "trp_cage.pdb") as path:
        pdb = app.PDBFile(str(path))
    for first, second in pairwise(list(pdb.topology.atoms())):
        pdb.topology.addBond(first, second)
    return pdb.topology, pdb.getPositions(asNumpy=True).value_in_unit(unit.nanometer)


def native_contacts() -> NDArray[np.intp]:
    """Pairs of residues in native contact, counted from 0, ``(42, 2)``."""
    with as_file(files("openmm_trajgan.systems") / "data" / "trp_cage_contacts.txt") as path:
        return np.loadtxt(path, dtype=np.intp)


def potential(native: NDArray[np.float64], contacts: NDArray[np.intp]) -> openmm.System:
    """Return the forces of the model.

    Parameters
    ----------
    native
        Positions of the native structure ``(n_beads, 3)``, nm.
    contacts
        Pairs in native contact ``(n_contacts, 2)``.
    """
    n_beads = len(native)
    distances = np.linalg.norm(native[:, None] - native[None], axis=-1)
    system = openmm.System()
    bonds, angles, dihedrals = openmm.HarmonicBondForce(), openmm.HarmonicAngleForce(), openmm.PeriodicTorsionForce()
    for _ in range(n_beads):
        system.addParticle(_MASS)
    for i in range(n_beads - 1):
        bonds.addBond(i, i + 1, distances[i, i + 1], _BOND)
    for i in range(n_beads - 2):
        angles.addAngle(i, i + 1, i + 2, _angle(native[i : i + 3]), _ANGLE)
    for i in range(n_beads - 3):
        dihedral = _dihedral(native[i : i + 4])
        for periodicity, strength in zip((1, 3), _DIHEDRAL, strict=True):
            dihedrals.addTorsion(i, i + 1, i + 2, i + 3, periodicity, periodicity * dihedral + math.pi, strength)

    repulsion = openmm.CustomBondForce(f"{EPSILON} * (sigma / r)^12")
    repulsion.addPerBondParameter("sigma")
    in_contact = {(i, j) for i, j in contacts.tolist()}
    for i, j in np.argwhere(np.tri(n_beads, k=-3).T).tolist():
        repulsion.addBond(i, j, [min(_DIAMETER, 0.8 * distances[i, j]) if (i, j) in in_contact else _DIAMETER])

    formed = openmm.CustomBondForce(f"exp(-(r - native)^2 / {2 * CONTACT_WIDTH**2})")
    formed.addPerBondParameter("native")
    for i, j in contacts.tolist():
        formed.addBond(i, j, [distances[i, j]])
    cooperative = openmm.CustomCVForce(f"-{CONTACT_DEPTH * len(contacts)} * (formed / {len(contacts)})^{COOPERATIVITY}")
    cooperative.addCollectiveVariable("formed", formed)

    for force in (bonds, angles, dihedrals, repulsion, cooperative, openmm.CMMotionRemover(1)):
        system.addForce(force)
    return system


def build(seed: int, n_replicas: int = 1, temperature: float = 315.0) -> app.Simulation:
    """Return an equilibrated simulation at step 0.

    Parameters
    ----------
    seed
        Seeds velocities and thermostat noise; another seed is an independent replica.
    n_replicas
        Molecules in the context; one, since each has a collective variable of its own.
    temperature
        K.

    Raises
    ------
    InputError
        If `n_replicas` is not 1, or the temperature not positive.
    """
    if n_replicas != 1:
        raise InputError(f"Trp-cage runs one replica per simulation, found n_replicas={n_replicas}")
    if not 0 < temperature < math.inf:
        raise InputError(f"temperature: expected a positive number of K, found {temperature!r}; the model is made for 285 to 345")
    topology, native = topology_and_positions()
    integrator = openmm.LangevinMiddleIntegrator(temperature, FRICTION, STEP_SIZE)
    integrator.setRandomNumberSeed(openmm_seed(seed))
    platform = openmm.Platform.getPlatformByName("Reference")
    simulation = app.Simulation(topology, potential(native, native_contacts()), integrator, platform)
    simulation.context.setPositions(native)
    simulation.context.setVelocitiesToTemperature(temperature, seed)
    simulation.step(_EQUILIBRATION_STEPS)
    simulation.currentStep = 0
    simulation.context.setTime(0.0)
    return simulation


def features() -> Concatenate:
    """Fraction of native contacts Q, Cα RMSD from the native structure, radius of gyration."""
    _, native = topology_and_positions()
    contacts = native_contacts()
    lengths = np.linalg.norm(native[contacts[:, 0]] - native[contacts[:, 1]], axis=1)
    return Concatenate(
        [
            NativeContacts(contacts, lengths, tolerance=1.2),
            RMSD(native),
            RadiusOfGyration(np.arange(len(native))),
        ]
    )


def topology() -> Any:
    """Topology of one replica."""
    return topology_and_positions()[0]


def _angle(points: NDArray[np.float64]) -> float:
    first, second = points[0] - points[1], points[2] - points[1]
    return math.acos(first @ second / (np.linalg.norm(first) * np.linalg.norm(second)))


def _dihedral(points: NDArray[np.float64]) -> float:
    first, axis, last = np.diff(points, axis=0)
    normals = np.cross(first, axis), np.cross(axis, last)
    return math.atan2(np.linalg.norm(axis) * first @ normals[1], normals[0] @ normals[1])


SYSTEM = SimulatedSystem(
    name="trp_cage",
    title="Trp-cage, a cooperative Cα model, 285 to 345 K",
    build=build,
    features=features,
    report_interval=200,
    topology=topology,
    labels=TEMPERATURES,
    label_name=TEMPERATURE_LABEL,
    states=StatePair("native contacts", (0.8, 0.35), ("folded", "unfolded")),
)
