"""How long each system is simulated, learned from and generated in its demonstration."""

from collections.abc import Callable
from dataclasses import dataclass

from openmm_trajgan.features.base import Featurizer
from openmm_trajgan.features.latent import PCA, Latent
from openmm_trajgan.schema import FeatureTrajectories


@dataclass(frozen=True)
class DemoProtocol:
    """What the demonstration of a system does, and for how long.

    Parameters
    ----------
    n_replicas, n_frames
        Independent simulations, and frames of each. Of a system with several conditions as many are at each, so that `n_replicas`
        and `n_held_out` are multiples of their number.
    n_held_out
        How many of the simulations the model never sees.
    n_generated, n_generated_frames
        Trajectories to generate under each condition, and frames of each.
    minutes
        Of training; None chooses its steps by the amount of data, so that a seed gives one result on any machine.
    latent
        Fits, to the training replicas, the projection in which the model learns and generates; None for the features themselves.
    """

    n_replicas: int
    n_held_out: int
    n_frames: int
    n_generated: int
    n_generated_frames: int
    minutes: float | None = None
    latent: Callable[[Featurizer, FeatureTrajectories], Latent] | None = None


# Lengths are such that the held-out replicas hold the slowest process a hundred times or more, and all ends within 15 minutes on
# two cores.
PROTOCOLS = {
    "alanine_dipeptide": DemoProtocol(n_replicas=6, n_held_out=1, n_frames=10_000, n_generated=4, n_generated_frames=50_000),
    "alanine_dipeptide_500K": DemoProtocol(n_replicas=10, n_held_out=4, n_frames=20_000, n_generated=8, n_generated_frames=50_000),
    "alpha_synuclein": DemoProtocol(
        n_replicas=9, n_held_out=3, n_frames=2500, n_generated=4, n_generated_frames=5000, latent=PCA.fit
    ),
    "ornstein_uhlenbeck": DemoProtocol(n_replicas=40, n_held_out=20, n_frames=2500, n_generated=20, n_generated_frames=10_000),
    "p450_binding": DemoProtocol(n_replicas=9, n_held_out=3, n_frames=3000, n_generated=6, n_generated_frames=5000),
    "t4_lysozyme": DemoProtocol(n_replicas=9, n_held_out=3, n_frames=6000, n_generated=6, n_generated_frames=10_000),
    "tetraalanine": DemoProtocol(n_replicas=9, n_held_out=3, n_frames=6000, n_generated=6, n_generated_frames=20_000),
    "triple_well": DemoProtocol(n_replicas=100, n_held_out=20, n_frames=2500, n_generated=20, n_generated_frames=10_000),
    "trp_cage": DemoProtocol(n_replicas=20, n_held_out=10, n_frames=5000, n_generated=4, n_generated_frames=5000),
}
_SHORT = DemoProtocol(n_replicas=3, n_held_out=1, n_frames=1000, minutes=0.2, n_generated=2, n_generated_frames=1000)
QUICK = {
    "alanine_dipeptide": DemoProtocol(
        n_replicas=3, n_held_out=1, n_frames=1000, minutes=0.2, n_generated=2, n_generated_frames=3000
    ),
    "alanine_dipeptide_500K": _SHORT,
    "alpha_synuclein": DemoProtocol(
        n_replicas=2, n_held_out=1, n_frames=200, minutes=0.1, n_generated=2, n_generated_frames=400, latent=PCA.fit
    ),
    "ornstein_uhlenbeck": _SHORT,
    "p450_binding": DemoProtocol(n_replicas=3, n_held_out=1, n_frames=250, minutes=0.1, n_generated=2, n_generated_frames=500),
    "t4_lysozyme": DemoProtocol(n_replicas=3, n_held_out=1, n_frames=500, minutes=0.1, n_generated=2, n_generated_frames=500),
    "tetraalanine": DemoProtocol(n_replicas=3, n_held_out=1, n_frames=500, minutes=0.15, n_generated=2, n_generated_frames=1000),
    "triple_well": DemoProtocol(n_replicas=20, n_held_out=5, n_frames=500, minutes=0.15, n_generated=4, n_generated_frames=2000),
    "trp_cage": DemoProtocol(n_replicas=10, n_held_out=5, n_frames=250, minutes=0.1, n_generated=2, n_generated_frames=250),
}
