"""Learn from an OpenMM simulation while it runs, and generate more of it.

The names below are resolved when first used, so that importing the package costs neither torch nor MDAnalysis.
"""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from openmm_trajgan.analysis.audit import Audit, audit
    from openmm_trajgan.backmap import to_universe, write_universe
    from openmm_trajgan.buffer import WindowBuffer
    from openmm_trajgan.features import (
        PCA,
        RMSD,
        TICA,
        VAMP,
        AlignedCartesian,
        Autoencoder,
        CentroidDistance,
        CollectiveVariable,
        Concatenate,
        Contacts,
        Coordinates,
        Distances,
        Latent,
        LigandDisplacement,
        NativeContacts,
        RadiusOfGyration,
        Torsions,
    )
    from openmm_trajgan.schema import FeatureSchema, FeatureTrajectories
    from openmm_trajgan.windows.from_universe import from_universe
    from openmm_trajgan.windows.reporter import WindowReporter
    from openmm_trajgan.windows.sampler_adapter import ReplicaExchangeWindows
    from openmm_trajgan.workflows.estimator import TrajGAN

__version__ = version("openmm-trajgan")

_HOME = {
    "Audit": "analysis.audit",
    "audit": "analysis.audit",
    "to_universe": "backmap",
    "write_universe": "backmap",
    "WindowBuffer": "buffer",
    "AlignedCartesian": "features",
    "Autoencoder": "features",
    "CentroidDistance": "features",
    "CollectiveVariable": "features",
    "Concatenate": "features",
    "Contacts": "features",
    "Coordinates": "features",
    "Distances": "features",
    "Latent": "features",
    "LigandDisplacement": "features",
    "NativeContacts": "features",
    "PCA": "features",
    "RMSD": "features",
    "RadiusOfGyration": "features",
    "TICA": "features",
    "Torsions": "features",
    "VAMP": "features",
    "FeatureSchema": "schema",
    "FeatureTrajectories": "schema",
    "from_universe": "windows.from_universe",
    "WindowReporter": "windows.reporter",
    "ReplicaExchangeWindows": "windows.sampler_adapter",
    "TrajGAN": "workflows.estimator",
}
_STATIONS = (
    "analysis",
    "backmap",
    "buffer",
    "errors",
    "features",
    "generation",
    "models",
    "schema",
    "systems",
    "training",
    "windows",
)

__all__ = [
    "PCA",
    "RMSD",
    "TICA",
    "VAMP",
    "AlignedCartesian",
    "Audit",
    "Autoencoder",
    "CentroidDistance",
    "CollectiveVariable",
    "Concatenate",
    "Contacts",
    "Coordinates",
    "Distances",
    "FeatureSchema",
    "FeatureTrajectories",
    "Latent",
    "LigandDisplacement",
    "NativeContacts",
    "RadiusOfGyration",
    "ReplicaExchangeWindows",
    "Torsions",
    "TrajGAN",
    "WindowBuffer",
    "WindowReporter",
    "audit",
    "from_universe",
    "to_universe",
    "write_universe",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    if name in _STATIONS:
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, *_STATIONS, "__version__"])
