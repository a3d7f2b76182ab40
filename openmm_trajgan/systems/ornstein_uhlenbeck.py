"""A particle in a harmonic well, 100 replicas in one context: the Ornstein-Uhlenbeck process, whose law is known.

With kT = 1 kJ/mol and a diffusion constant D = 1 nm²/ps, the coordinate of an axis with the force constant kT/(Dτ) relaxes with the
time τ and has the variance Dτ (Uhlenbeck & Ornstein, Phys. Rev. 36, 823, 1930). Whatever a model generates can be judged by that
instead of by more simulation. Lengths, energies and times are those of a model, not of a molecule.
"""

import numpy as np
from openmm import app

from openmm_trajgan.features.cartesian import Coordinates
from openmm_trajgan.systems.base import SimulatedSystem, openmm_seed
from openmm_trajgan.systems.brownian import TEMPERATURE, build_particles

N_REPLICAS = 100
RELAXATION_TIMES = (5.0, 1.0)  # ps, of x and y
_EQUILIBRATION_STEPS = 5000  # five times the longer one


def build(seed: int, n_replicas: int = N_REPLICAS) -> app.Simulation:
    """Return an equilibrated simulation of `n_replicas` independent particles at step 0.

    Parameters
    ----------
    seed
        Seeds the noise and the starts, which are drawn from the law of equilibrium.
    n_replicas
        Particles, which do not interact.
    """
    slow, fast = RELAXATION_TIMES
    deviations = np.sqrt([slow, fast, fast])
    starts = deviations * np.random.default_rng(openmm_seed(seed)).standard_normal((n_replicas, 3))
    return build_particles(f"x^2/(2*{slow})+(y^2+z^2)/(2*{fast})", starts, _EQUILIBRATION_STEPS, seed)


def features() -> Coordinates:
    """X and y of the particle."""
    return Coordinates([0], axes="xy")


SYSTEM = SimulatedSystem(
    name="ornstein_uhlenbeck",
    title="particle in a harmonic well",
    build=build,
    features=features,
    report_interval=20,
    replicas_per_context=N_REPLICAS,
    temperature=TEMPERATURE,
)
