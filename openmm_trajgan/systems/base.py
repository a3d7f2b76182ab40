"""What every system of this package offers."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from openmm import app

from openmm_trajgan.features.base import Featurizer


@dataclass(frozen=True)
class SimulatedSystem:
    """A simulation that is ready to run, with what this package needs to learn from it.

    Parameters
    ----------
    name
        As on the command line.
    title
        One line for reports.
    build
        ``build(seed, n_replicas)`` returns an equilibrated ``openmm.app.Simulation`` at step 0 that holds `n_replicas` copies.
    features
        Positions of one replica to features.
    report_interval
        Steps between frames.
    replicas_per_context
        Independent copies that one simulation can hold.
    topology
        ``topology()`` returns the ``openmm.app.Topology`` of one replica for backmapping, or None if the features are coordinates.
    """

    name: str
    title: str
    build: Callable[[int, int], app.Simulation]
    features: Callable[[], Featurizer]
    report_interval: int
    replicas_per_context: int = 1
    topology: Callable[[], Any] = lambda: None
