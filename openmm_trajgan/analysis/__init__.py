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
    from openmm_trajgan.analysis.radius_of_gyration import ChainSize, chain_size, radii_of_gyration
    from openmm_trajgan.analysis.structure import StructureGeometry
    from openmm_trajgan.analysis.structure_comparison import compare_structures
    from openmm_trajgan.analysis.structure_sketch import sketch
    from openmm_trajgan.analysis.two_states import TwoStates, last_core, two_state_kinetics
    from openmm_trajgan.analysis.uncertainty import Estimate
    from openmm_trajgan.analysis.validity import StructureValidity
    from openmm_trajgan.analysis.validity_report import ValidityFigure, ValidityReport
    from openmm_trajgan.analysis.verdict import FigureOfMerit, GroupVerdict

__all__ = [
    "Audit",
    "ChainSize",
    "Estimate",
    "FigureOfMerit",
    "GroupVerdict",
    "ImpliedTimescales",
    "Microstates",
    "StructureGeometry",
    "StructureValidity",
    "TwoStates",
    "ValidityFigure",
    "ValidityReport",
    "autocorrelation",
    "chain_size",
    "compare_structures",
    "displacement_divergence",
    "free_energy_surface",
    "implied_timescales",
    "jensen_shannon_divergence",
    "last_core",
    "mdgen_figures",
    "nearest_window_distances",
    "radii_of_gyration",
    "relaxation_time",
    "sketch",
    "two_state_kinetics",
]

_MODULES = {
    "Audit": "audit",
    "ChainSize": "radius_of_gyration",
    "Estimate": "uncertainty",
    "FigureOfMerit": "verdict",
    "GroupVerdict": "verdict",
    "ImpliedTimescales": "kinetics",
    "Microstates": "kinetics",
    "StructureGeometry": "structure",
    "StructureValidity": "validity",
    "TwoStates": "two_states",
    "ValidityFigure": "validity_report",
    "ValidityReport": "validity_report",
    "autocorrelation": "dynamics",
    "chain_size": "radius_of_gyration",
    "compare_structures": "structure_comparison",
    "displacement_divergence": "dynamics",
    "free_energy_surface": "distributions",
    "implied_timescales": "kinetics",
    "jensen_shannon_divergence": "distributions",
    "last_core": "two_states",
    "mdgen_figures": "literature",
    "nearest_window_distances": "novelty",
    "radii_of_gyration": "radius_of_gyration",
    "relaxation_time": "dynamics",
    "sketch": "structure_sketch",
    "two_state_kinetics": "two_states",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
