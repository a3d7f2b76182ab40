"""A particle in a two-dimensional potential with three wells on a diagonal, 100 replicas in one context.

The potential was fitted to the Brownian trajectory published with the method's origin, "Fast Generation of Temporal MD
Trajectories using GANs": V/kT and the product of diffusion constant and frame interval (0.1 of a squared length) are what that
trajectory fixes. Here the unit of length is 1 nm, kT = 1 kJ/mol and D = kT/(mγ) = 1 nm²/ps by choice, so that a frame is 0.1 ps:
lengths, energies and times are those of a model, not of a molecule.

The origin's generator made windows of 40,000 frames in one shot; its 50 training files are overlapping pieces of one trajectory of
100,000 frames. The set-up without the overlap is ``trajgan collect triple_well --frames 40000 --replicas 100``: 100 independent
windows of `ORIGIN_WINDOW` frames from one simulation.
"""

import numpy as np
from openmm import app

from openmm_trajgan.features.cartesian import Coordinates
from openmm_trajgan.systems.base import SimulatedSystem
from openmm_trajgan.systems.brownian import TEMPERATURE, build_particles

N_REPLICAS = 100
ORIGIN_WINDOW = 40_000  # frames
POTENTIAL = (
    "-9.44*exp(-(x^2+y^2)/(2*0.789^2))"
    "-8.52*exp(-((x-1.474)^2+(y-1.474)^2)/(2*0.781^2))"
    "-8.55*exp(-((x+1.475)^2+(y+1.475)^2)/(2*0.784^2))"
    "-0.30*(x^2+y^2)+0.045*(x^4+y^4)+5*z^2"
)
_WELLS = np.array([[-1.475, -1.475, 0.0], [0.0, 0.0, 0.0], [1.474, 1.474, 0.0]])  # nm
_EQUILIBRATION_STEPS = 20_000  # 100 ps, several times the slowest relaxation


def build(seed: int, n_replicas: int = N_REPLICAS) -> app.Simulation:
    """Return an equilibrated simulation of `n_replicas` independent particles at step 0.

    Parameters
    ----------
    seed
        Seeds the noise; particles start in the three wells in turn.
    n_replicas
        Particles, which do not interact.
    """
    return build_particles(POTENTIAL, _WELLS[np.arange(n_replicas) % len(_WELLS)], _EQUILIBRATION_STEPS, seed)


def features() -> Coordinates:
    """X and y of the particle."""
    return Coordinates([0], axes="xy")


SYSTEM = SimulatedSystem(
    name="triple_well",
    title="particle in a two-dimensional triple well",
    build=build,
    features=features,
    report_interval=20,
    replicas_per_context=N_REPLICAS,
    temperature=TEMPERATURE,
)
