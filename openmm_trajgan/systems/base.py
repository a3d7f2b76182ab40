"""What every system of this package offers."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from openmm import app

from openmm_trajgan.errors import InputError
from openmm_trajgan.features.base import Featurizer

LARGEST_SEED = 2**31 - 1
TEMPERATURE_LABEL = "temperature, K"


def openmm_seed(seed: int) -> int:
    """Check a seed for OpenMM, which would draw one of its own for 0.

    Raises
    ------
    InputError
        If it is not from 1 to 2³¹ - 1.
    """
    if not 1 <= seed <= LARGEST_SEED:
        raise InputError(
            f"seed: expected an integer from 1 to {LARGEST_SEED}, found {seed}; for 0 OpenMM would draw one of its own"
        )
    return seed


@dataclass(frozen=True)
class StatePair:
    """Two states of a system, such as bound and unbound, that `openmm_trajgan.analysis.two_state_kinetics` tells apart.

    Parameters
    ----------
    feature
        Name of the feature.
    cores
        Where the core of the first and of the second state begin, in its unit.
    names
        Of the states.
    """

    feature: str
    cores: tuple[float, float]
    names: tuple[str, str]


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
        ``build(seed, n_replicas)`` returns an equilibrated ``openmm.app.Simulation`` at step 0 that holds `n_replicas` copies;
        ``build(seed, n_replicas, label)`` does so at one of the conditions, if the system has `labels`.
    features
        Positions of one replica to features.
    report_interval
        Steps between frames.
    replicas_per_context
        Independent copies that one simulation can hold.
    topology
        ``topology()`` returns the ``openmm.app.Topology`` of one replica for backmapping, or None if the features are coordinates.
    labels
        Conditions to learn from, such as temperatures, for replicas in turn; empty for a system with one condition. A simulation
        is at one of them.
    label_name
        What the labels are, with the unit, for example `TEMPERATURE_LABEL`.
    with_structure
        ``with_structure(text)`` returns the same system made of another structure, a PDB entry or file; None if there is one only.
    temperature
        K, at which it is simulated unless labels say otherwise.
    states
        The two states between which it jumps, if these are what it is simulated for.
    """

    name: str
    title: str
    build: Callable[..., app.Simulation]
    features: Callable[[], Featurizer]
    report_interval: int
    replicas_per_context: int = 1
    topology: Callable[[], Any] = lambda: None
    labels: tuple[float, ...] = ()
    label_name: str = ""
    with_structure: Callable[[str], "SimulatedSystem"] | None = None
    temperature: float = 300.0
    states: StatePair | None = None

    def simulation(self, seed: int, n_replicas: int = 1, label: float | None = None) -> app.Simulation:
        """Build a simulation, at the condition `label` or, without, at the one that the system has by default."""
        return self.build(seed, n_replicas) if label is None else self.build(seed, n_replicas, label)

    def temperature_at(self, label: float | None = None) -> float:
        """Return the temperature, K: the label if labels are temperatures, else that of the system."""
        return label if label is not None and self.label_name == TEMPERATURE_LABEL else self.temperature
