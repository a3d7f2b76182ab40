"""Is generated data as good as more MD? Distributions, dynamics and kinetics, each beside MD against MD.

The audit itself is `openmm_trajgan.analysis.audit.audit`, and pictures are in `openmm_trajgan.analysis.plots`; the functions
behind them stand here too, for use on their own. Names are resolved on first use, so that importing costs neither scipy nor
matplotlib.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from openmm_trajgan.analysis.audit import Audit
    from openmm_trajgan.analysis.distributions import free_energy_surface, jensen_shannon_divergence
    from openmm_trajgan.analysis.dynamics import autocorrelation, displacement_divergence, relaxation_time
    from openmm_trajgan.analysis.kinetics import ImpliedTimescales, Microstates, implied_timescales
    from openmm_trajgan.analysis.verdict import FigureOfMerit

__all__ = [
    "Audit",
    "FigureOfMerit",
    "ImpliedTimescales",
    "Microstates",
    "autocorrelation",
    "displacement_divergence",
    "free_energy_surface",
    "implied_timescales",
    "jensen_shannon_divergence",
    "relaxation_time",
]

_MODULES = {
    "Audit": "audit",
    "FigureOfMerit": "verdict",
    "ImpliedTimescales": "kinetics",
    "Microstates": "kinetics",
    "autocorrelation": "dynamics",
    "displacement_divergence": "dynamics",
    "free_energy_surface": "distributions",
    "implied_timescales": "kinetics",
    "jensen_shannon_divergence": "distributions",
    "relaxation_time": "dynamics",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
