"""Feature vectors back to particle positions, as an MDAnalysis Universe."""

from openmm_trajgan.backmap.base import Backmapper, Structures
from openmm_trajgan.backmap.identity import Identity
from openmm_trajgan.backmap.internal_coordinates import InternalCoordinates
from openmm_trajgan.backmap.relax import Relax, Relaxed
from openmm_trajgan.backmap.universe import to_universe, write_universe

__all__ = ["Backmapper", "Identity", "InternalCoordinates", "Relax", "Relaxed", "Structures", "to_universe", "write_universe"]
