"""Repair of structures with clashes: restrained minimisation of the frames that need it."""

from dataclasses import dataclass
from typing import Any

import MDAnalysis
import numpy as np
import openmm
from MDAnalysis.analysis.rms import rmsd
from numpy.typing import ArrayLike, NDArray

from openmm_trajgan.backmap.base import FloatArray
from openmm_trajgan.backmap.clashes import Clashes
from openmm_trajgan.errors import InputError
from openmm_trajgan.features.base import Featurizer

TORSION_STIFFNESS = 2000.0  # kJ/mol/rad²
POSITION_STIFFNESS = 5000.0  # kJ/mol/nm²
_SOFTER = 0.1  # what is left of the stiffness in each further round, where the restraints themselves keep a frame from repair
_CONSTRAINT_STIFFNESS = 3e5  # kJ/mol/nm², that of a bond to hydrogen
_GRADIENT = 10.0  # kJ/mol/nm, where minimisation stops; OpenMM's own default
_KEPT = (
    openmm.HarmonicBondForce,
    openmm.HarmonicAngleForce,
    openmm.PeriodicTorsionForce,
    openmm.RBTorsionForce,
    openmm.CMAPTorsionForce,
    openmm.CustomBondForce,
    openmm.CustomAngleForce,
    openmm.CustomTorsionForce,
)


@dataclass(frozen=True)
class Relaxed:
    """Repaired positions, and what the repair moved.

    Parameters
    ----------
    positions
        All frames, ``(n_frames, n_atoms, 3)`` float32, nm; frames without flag as they were given.
    frames
        Indices of the repaired frames, ``(n_repaired,)``.
    rmsd
        Between each repaired frame before and after, all atoms, superposed, ``(n_repaired,)``, nm.
    feature_change
        After minus before, periodic features as the nearest image, ``(n_repaired, n_features)``, in the units of the schema.
    still_clashing
        Repaired frames that clash even so, ``(n_repaired,)``.
    """

    positions: FloatArray
    frames: NDArray[np.intp]
    rmsd: NDArray[np.float64]
    feature_change: NDArray[np.floating]
    still_clashing: NDArray[np.bool_]


class Relax:
    """Minimises flagged frames under restraints that keep the features; no frame is dropped, since that would break the time axis.

    The energy is a light one: bonds, angles, torsions and Lennard-Jones of the force field; no charges, no solvent. Restraints hold
    the torsions among the features where they are, or the alpha carbons (all atoms without any) where no feature is a torsion.
    Minimisation takes the thermal motion out of a frame: a repair for what cannot be shown otherwise, not a finish for all frames.

    Parameters
    ----------
    system
        The openmm.System of the molecule alone; it is not changed. `force_field_system` makes one.
    featurizer
        Of the model.
    reference
        The same atoms with bonds and elements; positions are not used.
    iterations
        Of one round of minimisation; frames that still clash get up to `rounds`, under softer restraints each time.
    rounds
        At most.

    Raises
    ------
    InputError
        If `system` and `reference` have different atoms, or bonds or elements are missing.
    """

    def __init__(
        self,
        system: openmm.System,
        featurizer: Featurizer,
        reference: MDAnalysis.Universe,
        *,
        iterations: int = 30,
        rounds: int = 5,
    ) -> None:
        if system.getNumParticles() != len(reference.atoms):
            raise InputError(
                f"expected a system of the {len(reference.atoms)} atoms of the reference, found {system.getNumParticles()}; "
                "make it for the molecule alone, without water and ions"
            )
        if iterations < 1 or rounds < 1:
            raise InputError(f"expected at least one iteration and one round, found {iterations} and {rounds}")
        self._featurizer, self._iterations, self._rounds = featurizer, iterations, rounds
        self._clashes = Clashes(reference)
        schema = featurizer.schema
        torsions = [atoms for kind, atoms in zip(schema.kinds, schema.atoms, strict=True) if kind == "torsion"]
        self._torsion_columns = [column for column, kind in enumerate(schema.kinds) if kind == "torsion"]
        light = light_system(system)
        self._restraint: Any
        if torsions:
            self._restraint = openmm.CustomTorsionForce("0.5*k*min(d, 2*pi-d)^2; d=abs(theta-theta0); pi=3.141592653589793")
            self._stiffness = TORSION_STIFFNESS
            self._restraint.addGlobalParameter("k", self._stiffness)
            self._restraint.addPerTorsionParameter("theta0")
            for atoms in torsions:
                self._restraint.addTorsion(*atoms, [0.0])
        else:
            alpha = reference.select_atoms("name CA") if hasattr(reference.atoms, "names") else reference.atoms[[]]
            self._restraint = openmm.CustomExternalForce("0.5*k*((x-x0)^2+(y-y0)^2+(z-z0)^2)")
            self._stiffness = POSITION_STIFFNESS
            self._restraint.addGlobalParameter("k", self._stiffness)
            for axis in ("x0", "y0", "z0"):
                self._restraint.addPerParticleParameter(axis)
            for atom in (alpha if len(alpha) else reference.atoms).indices.tolist():
                self._restraint.addParticle(atom, [0.0, 0.0, 0.0])
        light.addForce(self._restraint)
        # A molecule of some hundred atoms gains nothing from threads, and the Reference platform takes ten times as long
        platform = openmm.Platform.getPlatformByName("CPU")
        self._context = openmm.Context(light, openmm.VerletIntegrator(0.001), platform, {"Threads": "1"})

    def __call__(self, positions: ArrayLike, flagged: ArrayLike) -> Relaxed:
        """Repair flagged frames.

        Parameters
        ----------
        positions
            ``(n_frames, n_atoms, 3)``, nm.
        flagged
            Which frames to repair, ``(n_frames,)`` bool.

        Raises
        ------
        InputError
            If a shape is wrong or a flagged frame is not finite.
        """
        relaxed = np.array(positions, dtype=np.float32)
        flags = np.asarray(flagged)
        n_atoms = self._context.getSystem().getNumParticles()
        if relaxed.ndim != 3 or relaxed.shape[1:] != (n_atoms, 3):
            raise InputError(f"expected positions (n_frames, {n_atoms}, 3) in nm, found {relaxed.shape}")
        if flags.dtype != bool or flags.shape != (len(relaxed),):
            raise InputError(
                f"expected a flag, true or false, for each of {len(relaxed)} frames, found {flags.dtype} {flags.shape}"
            )
        frames = np.flatnonzero(flags)
        before = relaxed[frames]
        broken = frames[~np.isfinite(before).all(axis=(1, 2))]
        if len(broken):
            raise InputError(f"frame {broken[0]} has a position that is not finite; nothing can be repaired there")
        features = self._featurizer(before)
        after = np.array([self._minimised(*each) for each in zip(before, features, strict=True)], dtype=np.float32)
        after = after.reshape(before.shape)
        relaxed[frames] = after
        return Relaxed(
            positions=relaxed,
            frames=frames,
            rmsd=np.array(
                [rmsd(one, other, superposition=True) for one, other in zip(before, after, strict=True)], dtype=np.float64
            ),
            feature_change=self._featurizer.schema.wrap(self._featurizer(after) - features),
            still_clashing=self._clashes(after),
        )

    def _minimised(self, frame: FloatArray, features: FloatArray) -> FloatArray:
        if isinstance(self._restraint, openmm.CustomTorsionForce):
            for index, column in enumerate(self._torsion_columns):
                *atoms, _ = self._restraint.getTorsionParameters(index)
                self._restraint.setTorsionParameters(index, *atoms, [float(features[column])])
        else:
            for index in range(self._restraint.getNumParticles()):
                atom, _ = self._restraint.getParticleParameters(index)
                self._restraint.setParticleParameters(index, atom, frame[atom].tolist())
        self._restraint.updateParametersInContext(self._context)
        self._context.setPositions(frame)
        for number in range(self._rounds):
            self._context.setParameter("k", self._stiffness * _SOFTER**number)
            openmm.LocalEnergyMinimizer.minimize(self._context, _GRADIENT, self._iterations)
            state = self._context.getState(positions=True)
            minimised: FloatArray = state.getPositions(asNumpy=True)._value.astype(np.float32)
            if not self._clashes(minimised[None])[0]:
                break
        return minimised


def light_system(system: openmm.System) -> openmm.System:
    """Copy of a system with the bonded terms and Lennard-Jones only; constraints become stiff bonds."""
    light = openmm.System()
    for particle in range(system.getNumParticles()):
        light.addParticle(system.getParticleMass(particle))
    bonds = openmm.HarmonicBondForce()
    for constraint in range(system.getNumConstraints()):
        one, two, length = system.getConstraintParameters(constraint)
        bonds.addBond(one, two, length, _CONSTRAINT_STIFFNESS)
    light.addForce(bonds)
    for force in system.getForces():
        if isinstance(force, openmm.NonbondedForce):
            light.addForce(_without_charges(force))
        elif isinstance(force, _KEPT):
            light.addForce(openmm.XmlSerializer.clone(force))
    return light


def _without_charges(force: openmm.NonbondedForce) -> openmm.NonbondedForce:
    uncharged = openmm.NonbondedForce()
    for particle in range(force.getNumParticles()):
        _, sigma, epsilon = force.getParticleParameters(particle)
        uncharged.addParticle(0.0, sigma, epsilon)
    for exception in range(force.getNumExceptions()):
        one, two, _, sigma, epsilon = force.getExceptionParameters(exception)
        uncharged.addException(one, two, 0.0, sigma, epsilon)
    return uncharged
