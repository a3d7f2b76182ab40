"""The simulations this package can run by name."""

from importlib import import_module

from openmm_trajgan.errors import InputError
from openmm_trajgan.systems.base import SimulatedSystem

NAMES = ("alanine_dipeptide", "triple_well")


def get_system(name: str) -> SimulatedSystem:
    """Return the system of that name.

    Raises
    ------
    InputError
        If there is none.
    """
    if name not in NAMES:
        raise InputError(f"no system named {name!r}; there are {', '.join(NAMES)}")
    system: SimulatedSystem = import_module(f"openmm_trajgan.systems.{name}").SYSTEM
    return system
