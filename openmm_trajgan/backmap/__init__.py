"""Feature vectors back to particle positions, as an MDAnalysis Universe."""

from openmm_trajgan.backmap.base import Backmapper, Structures
from openmm_trajgan.backmap.decoder import Decoded
from openmm_trajgan.backmap.distance_geometry import DistanceGeometry
from openmm_trajgan.backmap.identity import Identity
from openmm_trajgan.backmap.internal_coordinates import InternalCoordinates
from openmm_trajgan.backmap.nearest_frames import NearestFrames, PathSummary
from openmm_trajgan.backmap.universe import to_universe, write_universe

__all__ = [
    "Backmapper",
    "Decoded",
    "DistanceGeometry",
    "Identity",
    "InternalCoordinates",
    "NearestFrames",
    "PathSummary",
    "Structures",
    "to_universe",
    "write_universe",
]
