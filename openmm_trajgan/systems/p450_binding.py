"""A ligand that binds to and leaves a cytochrome P450.

The structure is human CYP2C9 (369 residues, with the gaps of its source, and the haem iron); the ligand is a model, a row of three
beads 0.6 nm long that begins 0.5 nm above the iron in the widest part of the cavity. Another structure, such as P450cam and camphor
(PDB entry 2CPP, which is downloaded) or any PDB file with a bound ligand, takes its place with `with_structure`; the depth of the
wells stays what suits CYP2C9, so binding may then be stronger or weaker.

The model, and what is physical about it: `openmm_trajgan.systems.binding`. A frame is 8 ps of the time of the model. Coordinates:
``data/README.md``.
"""

from functools import cache

from openmm_trajgan.systems.base import SimulatedSystem
from openmm_trajgan.systems.binding import BindingModel, binding_system, binding_system_of
from openmm_trajgan.systems.bound_complex import packaged_complex

DEPTH = 22.0  # kJ/mol
REACH = 2.0  # nm


@cache
def model() -> BindingModel:
    """CYP2C9 with the model ligand."""
    return BindingModel(packaged_complex("cyp2c9"), DEPTH, REACH)


def with_structure(structure: str) -> SimulatedSystem:
    """Return the same system made of a PDB entry or file, ``"2CPP"``, ``"2CPP:CAM"`` or ``"complex.pdb:LIG"``.

    Raises
    ------
    InputError
        If there is no such file or ligand, or the entry cannot be downloaded.
    """
    return binding_system_of("p450_binding", structure, DEPTH, REACH)


SYSTEM = binding_system("p450_binding", "a ligand and cytochrome P450 2C9, a Cα elastic network", model, with_structure)
