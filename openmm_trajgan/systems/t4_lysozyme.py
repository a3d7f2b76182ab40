"""p-Xylene that binds to and leaves the cavity of T4 lysozyme L99A.

The ligand is two beads, the halves of the molecule. The model, and what is physical about it: `openmm_trajgan.systems.binding`.
A frame is 8 ps of the time of the model. Coordinates: ``data/README.md``.
"""

from functools import cache

from openmm_trajgan.systems.base import SimulatedSystem
from openmm_trajgan.systems.binding import BindingModel, binding_system, binding_system_of
from openmm_trajgan.systems.bound_complex import packaged_complex

DEPTH = 24.0  # kJ/mol
REACH = 1.8  # nm


@cache
def model() -> BindingModel:
    """T4 lysozyme L99A with p-xylene."""
    return BindingModel(packaged_complex("t4_lysozyme"), DEPTH, REACH)


def with_structure(structure: str) -> SimulatedSystem:
    """Return the same system made of a PDB entry or file, ``"complex.pdb"`` or ``"complex.pdb:LIG"``.

    Raises
    ------
    InputError
        If there is no such file or ligand, or the entry cannot be downloaded.
    """
    return binding_system_of("t4_lysozyme", structure, DEPTH, REACH)


SYSTEM = binding_system("t4_lysozyme", "p-xylene and T4 lysozyme L99A, a Cα elastic network", model, with_structure)
