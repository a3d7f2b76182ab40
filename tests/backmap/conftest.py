import MDAnalysis
import numpy as np
import pytest
from numpy.typing import NDArray
from openmm import app, unit

from openmm_trajgan.features.torsions import Torsions
from openmm_trajgan.schema import FeatureSchema
from openmm_trajgan.systems import alanine_dipeptide

N_REFERENCE = 200


@pytest.fixture(scope="session")
def topology() -> app.Topology:
    return alanine_dipeptide.topology()


@pytest.fixture(scope="session")
def reference() -> NDArray[np.float32]:
    """Frames of molecular dynamics every 0.2 ps, (200, 22, 3), nm."""
    simulation = alanine_dipeptide.build(seed=7)
    frames = np.empty((N_REFERENCE, 22, 3), dtype=np.float32)
    for frame in frames:
        simulation.step(50)
        state = simulation.context.getState(positions=True)
        frame[:] = state.getPositions(asNumpy=True).value_in_unit(unit.nanometer)
    return frames


@pytest.fixture(scope="session")
def md(topology: app.Topology, reference: NDArray[np.float32]) -> MDAnalysis.Universe:
    """The frames of molecular dynamics as a Universe."""
    return MDAnalysis.Universe(topology, 10 * reference)


@pytest.fixture(scope="session")
def featurizer(topology: app.Topology) -> Torsions:
    """φ and ψ."""
    return Torsions.backbone(topology)


@pytest.fixture(scope="session")
def schema(featurizer: Torsions) -> FeatureSchema:
    return featurizer.schema.with_frame_interval(0.2)


@pytest.fixture(scope="session")
def angles() -> NDArray[np.float32]:
    """φ and ψ over the whole circle, most of them far from any reference frame, (500, 2), rad."""
    return np.random.default_rng(3).uniform(-np.pi, np.pi, (500, 2)).astype(np.float32)
