"""Feature vectors back to particle positions, as an MDAnalysis Universe.

Importing this makes the format ``"TRAJGAN"`` known to MDAnalysis.
"""

from openmm_trajgan.backmap.base import Backmapper, Structures
from openmm_trajgan.backmap.decoder import Decoded
from openmm_trajgan.backmap.distance_geometry import DistanceGeometry
from openmm_trajgan.backmap.export import write_universe
from openmm_trajgan.backmap.force_field import force_field_system
from openmm_trajgan.backmap.fragments import Fragments
from openmm_trajgan.backmap.identity import Identity
from openmm_trajgan.backmap.internal_coordinates import InternalCoordinates
from openmm_trajgan.backmap.nearest_frames import NearestFrames, PathSummary
from openmm_trajgan.backmap.reader import GeneratedReader
from openmm_trajgan.backmap.relax import Relax, Relaxed
from openmm_trajgan.backmap.universe import to_universe

__all__ = [
    "Backmapper",
    "Decoded",
    "DistanceGeometry",
    "Fragments",
    "GeneratedReader",
    "Identity",
    "InternalCoordinates",
    "NearestFrames",
    "PathSummary",
    "Relax",
    "Relaxed",
    "Structures",
    "force_field_system",
    "to_universe",
    "write_universe",
]
