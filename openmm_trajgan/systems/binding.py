"""Binding and unbinding of a ligand, as p450_binding and t4_lysozyme share it: an elastic network with a structure-based pocket.

Every Cα bead is tied by springs to its ten nearest neighbours in the crystal structure (an elastic network, Tirion 1996), so the
protein breathes about its native shape and never unfolds. The beads of the ligand are repelled by all beads of the protein, and
attracted by those they touch when bound, with Gaussian wells at the native distances whose depths add up to `BindingModel.depth`.
A wall of springs keeps the ligand within `BindingModel.reach` of the pocket: the volume that stands for the concentration.

What is physical: the geometry. What is tuned: the depth, so that bound and unbound are about equally likely and both are left many
times in minutes; pathways and rates are those of the model. Time is that of the model, in OpenMM's ps.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import openmm
from numpy.typing import NDArray
from openmm import app

from openmm_trajgan.errors import InputError
from openmm_trajgan.features.concatenate import Concatenate
from openmm_trajgan.features.contacts import NativeContacts
from openmm_trajgan.features.ligand import CentroidDistance, LigandDisplacement
from openmm_trajgan.systems.base import SimulatedSystem, StatePair, openmm_seed
from openmm_trajgan.systems.bound_complex import BoundComplex, complex_of

TEMPERATURE = 300.0  # K
FRICTION = 0.1  # 1/ps
STEP_SIZE = 0.04  # ps
N_NEIGHBOURS = 10  # of each bead in the elastic network
CONTACT_CUTOFF = 0.8  # nm, between a Cα and a ligand bead in contact when bound
CONTACT_WIDTH = 0.15  # nm
STATES = StatePair("ligand displacement", (0.3, 1.2), ("bound", "unbound"))  # nm; the barrier lies about 1 nm out
_SPRING, _CHAIN, _LIGAND_BOND, _WALL = 800.0, 4000.0, 4000.0, 500.0  # kJ/mol/nm²
_MASS, _LIGAND_MASS = 100.0, 50.0  # amu
_DIAMETER, _REPULSION = 0.42, 1.0  # nm, kJ/mol
_FARTHEST = 1.0  # nm beyond the wall; protein beads farther away cannot meet the ligand
_CLEARANCE = 0.7  # nm, of a ligand that is put outside
_EQUILIBRATION_STEPS = 10_000  # 400 ps: settles protein and ligand where they are; bound or unbound is drawn


@dataclass(frozen=True)
class BindingModel:
    """Forces, start and features of a complex.

    Parameters
    ----------
    complex
        Protein and ligand.
    depth
        Energy of all native contacts together, kJ/mol.
    reach
        Farthest distance of the ligand from the pocket before the wall pushes it back, nm.
    """

    complex: BoundComplex
    depth: float
    reach: float

    @property
    def native_pairs(self) -> NDArray[np.intp]:
        """Protein and ligand beads in contact when bound, ``(n_pairs, 2)``."""
        return self.complex.native_pairs(CONTACT_CUTOFF)

    @property
    def pocket(self) -> NDArray[np.intp]:
        """Protein beads in contact with the ligand when bound, ``(n_pocket,)``."""
        return np.unique(self.native_pairs[:, 0])

    def potential(self) -> openmm.System:
        """Return the forces of the model."""
        native, protein, ligand = self.complex.positions, self.complex.protein, self.complex.ligand
        distances = np.linalg.norm(native[:, None] - native[None], axis=-1)
        system = openmm.System()
        for bead in range(len(native)):
            system.addParticle(_MASS if bead < len(protein) else _LIGAND_MASS)

        springs = openmm.HarmonicBondForce()
        chain = {tuple(sorted((first.index, second.index))) for first, second in self.complex.topology.bonds()}
        for i, j in _network(distances[: len(protein), : len(protein)], N_NEIGHBOURS).tolist():
            springs.addBond(i, j, distances[i, j], _CHAIN if (i, j) in chain else _SPRING)
        for i, j in zip(*np.triu_indices(len(ligand), 1), strict=True):
            springs.addBond(int(ligand[i]), int(ligand[j]), distances[ligand[i], ligand[j]], _LIGAND_BOND)

        pairs = self.native_pairs
        wells = openmm.CustomBondForce(f"-{self.depth / len(pairs)} * exp(-(r - native)^2 / {2 * CONTACT_WIDTH**2})")
        wells.addPerBondParameter("native")
        for i, j in pairs.tolist():
            wells.addBond(i, j, [distances[i, j]])

        repulsion = openmm.CustomBondForce(f"{_REPULSION} * (sigma / r)^12")
        repulsion.addPerBondParameter("sigma")
        near = np.linalg.norm(native[protein] - native[self.pocket].mean(axis=0), axis=1) < self.reach + _FARTHEST
        for j in ligand.tolist():
            for i in protein[near].tolist():
                repulsion.addBond(i, j, [min(_DIAMETER, 0.85 * distances[i, j])])

        wall = openmm.CustomCentroidBondForce(2, f"{_WALL / 2} * max(0, distance(g1, g2) - {self.reach})^2")
        for group in (self.pocket, ligand):
            wall.addGroup(group.tolist())
        wall.addBond([0, 1], [])

        for force in (springs, wells, repulsion, wall, openmm.CMMotionRemover(1)):
            system.addForce(force)
        return system

    def build(self, seed: int, n_replicas: int = 1) -> app.Simulation:
        """Return an equilibrated simulation at step 0, which starts bound or unbound, as the seed decides with even odds.

        Parameters
        ----------
        seed
            Seeds start, velocities and thermostat noise; another seed is an independent replica.
        n_replicas
            Complexes in the context; one.

        Raises
        ------
        InputError
            If `n_replicas` is not 1.
        """
        if n_replicas != 1:
            raise InputError(f"a complex runs one replica per simulation, found n_replicas={n_replicas}")
        integrator = openmm.LangevinMiddleIntegrator(TEMPERATURE, FRICTION, STEP_SIZE)
        integrator.setRandomNumberSeed(openmm_seed(seed))
        platform = openmm.Platform.getPlatformByName("Reference")
        simulation = app.Simulation(self.complex.topology, self.potential(), integrator, platform)
        simulation.context.setPositions(self.start(np.random.default_rng(seed)))
        simulation.context.setVelocitiesToTemperature(TEMPERATURE, seed)
        simulation.step(_EQUILIBRATION_STEPS)
        simulation.currentStep = 0
        simulation.context.setTime(0.0)
        return simulation

    def start(self, rng: np.random.Generator) -> NDArray[np.float64]:
        """Positions with the ligand bound or, with even odds, outside, ``(n_beads, 3)``, nm."""
        return self.complex.positions if rng.random() < 0.5 else self.unbound(rng)

    def unbound(self, rng: np.random.Generator) -> NDArray[np.float64]:
        """Positions with the ligand somewhere outside the protein and inside the wall, ``(n_beads, 3)``, nm."""
        positions, ligand = self.complex.positions.copy(), self.complex.ligand
        protein, pocket = positions[self.complex.protein], positions[self.pocket].mean(axis=0)
        shape = positions[ligand] - positions[ligand].mean(axis=0)
        while True:
            place = pocket + rng.uniform(-self.reach, self.reach, 3)
            room = np.linalg.norm(protein[:, None] - (place + shape)[None], axis=-1).min()
            if np.linalg.norm(place - pocket) < self.reach and room > _CLEARANCE:
                positions[ligand] = place + shape
                return positions

    def features(self) -> Concatenate:
        """Distance from the pocket, displacement from the bound place in the frame of the protein, fraction of native contacts."""
        positions, pairs = self.complex.positions, self.native_pairs
        lengths = np.linalg.norm(positions[pairs[:, 0]] - positions[pairs[:, 1]], axis=1)
        return Concatenate(
            [
                CentroidDistance(self.complex.ligand, self.pocket, "pocket distance"),
                LigandDisplacement(positions, self.complex.ligand, self.complex.protein),
                NativeContacts(pairs, lengths, steepness=20.0, tolerance=1.2),
            ]
        )


def binding_system(
    name: str, title: str, model: Callable[[], BindingModel], with_structure: Callable[[str], SimulatedSystem] | None = None
) -> SimulatedSystem:
    """Offer a model under a name; it is built when asked for, since that reads files."""
    return SimulatedSystem(
        name=name,
        title=title,
        build=lambda seed, n_replicas=1: model().build(seed, n_replicas),
        features=lambda: model().features(),
        report_interval=200,
        topology=lambda: model().complex.topology,
        with_structure=with_structure,
        temperature=TEMPERATURE,
        states=STATES,
    )


def binding_system_of(name: str, structure: str, depth: float, reach: float) -> SimulatedSystem:
    """Offer the model of another structure under the name of a system; the file is read once."""
    model = BindingModel(complex_of(structure), depth, reach)
    return binding_system(name, f"binding to {structure}, a Cα elastic network", lambda: model)


def _network(distances: NDArray[np.float64], n_neighbours: int) -> NDArray[np.intp]:
    """Pairs ``(n_pairs, 2)`` of which one is among the nearest of the other; ``distances`` is ``(n, n)``."""
    rank = distances.argsort(axis=1).argsort(axis=1)
    near = (rank >= 1) & (rank <= n_neighbours)
    return np.argwhere(np.triu(near | near.T, 1))
