"""A molecule's forces, from files of a force field."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import MDAnalysis
import numpy as np
import openmm
from numpy.typing import NDArray
from openmm import app

from openmm_trajgan.backmap.molecule import molecule_of
from openmm_trajgan.errors import InputError

FORCE_FIELD = ("amber14/protein.ff14SB.xml",)  # comes with OpenMM; proteins, with the caps ACE and NME
_MOST_OF_MESSAGE = 200  # characters


def force_field_system(topology: Any, files: Sequence[str | Path] = FORCE_FIELD) -> openmm.System:
    """Build the openmm.System of a molecule without cutoff, box and constraints.

    Parameters
    ----------
    topology
        An openmm.app.Topology, an MDAnalysis Universe with elements and bonds, or the path of a PDB file. All hydrogens must be
        there.
    files
        Of the force field: paths, or names that OpenMM knows.

    Raises
    ------
    InputError
        If a file is missing, or the force field has no template for a residue.

    Examples
    --------
    >>> from openmm_trajgan.systems import alanine_dipeptide
    >>> force_field_system(alanine_dipeptide.topology()).getNumParticles()
    22
    """
    try:
        force_field = app.ForceField(*map(str, files))
        return force_field.createSystem(_openmm_topology(molecule_of(topology)), nonbondedMethod=app.NoCutoff)
    except (ValueError, SyntaxError) as error:  # of templates, and of XML
        if isinstance(error, InputError):
            raise
        reason = " ".join(str(error).split())[:_MOST_OF_MESSAGE]
        raise InputError(f"force field {', '.join(map(str, files))}: {reason}; name files that know this molecule") from error


class PotentialEnergy:
    """Potential energy of positions by an openmm.System.

    Parameters
    ----------
    system
        Of all atoms.
    """

    def __init__(self, system: openmm.System) -> None:
        platform = openmm.Platform.getPlatformByName("CPU")
        self._context = openmm.Context(system, openmm.VerletIntegrator(0.001), platform, {"Threads": "1"})

    def __call__(self, positions: NDArray[np.float32]) -> NDArray[np.float64]:
        """Energies of ``(n_frames, n_atoms, 3)`` in nm, ``(n_frames,)`` in kJ/mol."""
        energies = np.empty(len(positions))
        for index, frame in enumerate(positions):
            self._context.setPositions(frame)
            energies[index] = self._context.getState(energy=True).getPotentialEnergy()._value
        return energies


def _openmm_topology(molecule: MDAnalysis.Universe) -> app.Topology:
    """Return the residues, elements and bonds of a Universe as templates are found by them."""
    if not hasattr(molecule.atoms, "elements") or not len(getattr(molecule, "bonds", [])):
        raise InputError("a force field needs the elements and bonds of the atoms; give a topology that has them")
    topology = app.Topology()
    chains = {segment.segindex: topology.addChain(segment.segid) for segment in molecule.segments}
    residues = {
        residue.resindex: topology.addResidue(residue.resname, chains[residue.segindex], str(residue.resid))
        for residue in molecule.residues
    }
    atoms = [
        topology.addAtom(atom.name, app.Element.getBySymbol(atom.element.capitalize()), residues[atom.resindex])
        for atom in molecule.atoms
    ]
    for one, other in molecule.bonds.indices.tolist():
        topology.addBond(atoms[one], atoms[other])
    return topology
