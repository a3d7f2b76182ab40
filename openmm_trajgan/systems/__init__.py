"""The simulations this package can run by name."""

from importlib import import_module

from openmm_trajgan.errors import InputError
from openmm_trajgan.systems.base import SimulatedSystem

NAMES = (
    "alanine_dipeptide",
    "alanine_dipeptide_500K",
    "alpha_synuclein",
    "ornstein_uhlenbeck",
    "p450_binding",
    "t4_lysozyme",
    "tetraalanine",
    "triple_well",
    "trp_cage",
)


def get_system(name: str, structure: str | None = None) -> SimulatedSystem:
    """Return the system of that name.

    Parameters
    ----------
    name
        One of `NAMES`.
    structure
        PDB entry or file that takes the place of the structure in the package, for systems that know how.

    Raises
    ------
    InputError
        If there is none, or it is made of one structure only, or the structure does not fit.
    """
    if name not in NAMES:
        raise InputError(f"no system named {name!r}; there are {', '.join(NAMES)}")
    system: SimulatedSystem = import_module(f"openmm_trajgan.systems.{name}").SYSTEM
    if structure is None:
        return system
    if system.with_structure is None:
        raise InputError(f"structure: {name} is made of one structure only, found {structure!r}; leave it out")
    return system.with_structure(structure)
