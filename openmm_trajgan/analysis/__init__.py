"""Is generated data as good as more MD? Distributions, dynamics, kinetics, structures, and whether training data were copied.

The audit itself is `openmm_trajgan.analysis.audit.audit`, its pictures are in `openmm_trajgan.analysis.pictures`; the functions
behind them stand here too, for use on their own with trajectories, buffers, arrays or Universes. Names are resolved on first use,
so that importing costs neither scipy nor matplotlib.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from openmm_trajgan.analysis.audit import Audit
    from openmm_trajgan.analysis.distributions import free_energy_surface, jensen_shannon_divergence
    from openmm_trajgan.analysis.dynamics import autocorrelation, displacement_divergence, relaxation_time
    from openmm_trajgan.analysis.kinetics import ImpliedTimescales, Microstates, implied_timescales
    from openmm_trajgan.analysis.literature import mdgen_figures
    from openmm_trajgan.analysis.novelty import nearest_window_distances
    from openmm_trajgan.analysis.sketch import sketch
    from openmm_trajgan.analysis.structure import StructureGeometry
    from openmm_trajgan.analysis.structure_comparison import compare_structures
    from openmm_trajgan.analysis.uncertainty import Estimate
    from openmm_trajgan.analysis.validity import StructureValidity
    from openmm_trajgan.analysis.validity_report import ValidityFigure, ValidityReport
    from openmm_trajgan.analysis.verdict import FigureOfMerit, GroupVerdict

__all__ = [
    "Audit",
    "Estimate",
    "FigureOfMerit",
    "GroupVerdict",
    "ImpliedTimescales",
    "Microstates",
    "StructureGeometry",
    "StructureValidity",
    "ValidityFigure",
    "ValidityReport",
    "autocorrelation",
    "compare_structures",
    "displacement_divergence",
    "free_energy_surface",
    "implied_timescales",
    "jensen_shannon_divergence",
    "mdgen_figures",
    "nearest_window_distances",
    "relaxation_time",
    "sketch",
]

_MODULES = {
    "Audit": "audit",
    "Estimate": "uncertainty",
    "FigureOfMerit": "verdict",
    "GroupVerdict": "verdict",
    "ImpliedTimescales": "kinetics",
    "Microstates": "kinetics",
    "StructureGeometry": "structure",
    "StructureValidity": "validity",
    "ValidityFigure": "validity_report",
    "ValidityReport": "validity_report",
    "autocorrelation": "dynamics",
    "compare_structures": "structure_comparison",
    "displacement_divergence": "dynamics",
    "free_energy_surface": "distributions",
    "implied_timescales": "kinetics",
    "jensen_shannon_divergence": "distributions",
    "mdgen_figures": "literature",
    "nearest_window_distances": "novelty",
    "relaxation_time": "dynamics",
    "sketch": "sketch",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
