"""A ligand that binds to a cytochrome P450 and leaves it: rates and free energy from generated trajectories.

A model learns from simulations of CYP2C9 and a small ligand (an elastic network of Cα beads with a structure-based pocket; what is
physical about it and what is a model: `openmm_trajgan/systems/binding.py`). From what it generates come the rates of binding and
unbinding and the free energy, beside those of simulations that it has not seen. Then whole binding events are drawn on demand, and
one of them is turned into structures. About ten minutes on two cores; `p450_binding.png` shows the result.

`python p450_binding.py t4_lysozyme` does the same for p-xylene and the cavity of T4 lysozyme L99A, where both states last longer.
To change it: `STRUCTURE = "my.pdb"` takes a complex of your own.
"""

import sys
from pathlib import Path

import matplotlib
import numpy as np

import openmm_trajgan as tg
from openmm_trajgan.analysis import two_state_kinetics
from openmm_trajgan.systems import get_system
from openmm_trajgan.workflows.collect import collect_system

matplotlib.use("Agg")
import matplotlib.pyplot as plt

SYSTEM = sys.argv[1] if len(sys.argv) > 1 else "p450_binding"
STRUCTURE = None  # or a PDB file of a complex of your own, or the entry of one to be downloaded
N_FRAMES = 6000 if SYSTEM == "t4_lysozyme" else 3000  # per replica, one every 8 ps
N_TRAIN, N_UNSEEN = 6, 3  # replicas
WINDOW = 32  # frames, a quarter of a ns, in which the ligand can come all the way in
DISPLACEMENT = "ligand displacement"  # nm, from the place where the ligand is bound
BOUND, UNBOUND = 0.3, 1.2  # nm, where the cores of the two states begin: what is between belongs to the one visited last


def main() -> None:
    """Simulate, learn, generate, compare."""
    # Every simulation has a random number of its own and starts bound or unbound by even odds, so all of them are independent.
    each = {"n_frames": N_FRAMES, "structure": STRUCTURE}
    train = collect_system(SYSTEM, Path("train.windows"), n_replicas=N_TRAIN, n_structures=N_FRAMES, seed=1, **each)
    unseen = collect_system(SYSTEM, Path("unseen.windows"), n_replicas=N_UNSEEN, seed=2, **each)

    # The number of frames decides how many steps the training takes, so that the seeds give one result.
    gan = tg.TrajGAN(window_length=WINDOW).fit(train, seed=3)
    gan.save(f"{SYSTEM}.trajgan")

    # Ten times as much as was simulated for training.
    generated = gan.generate(n_frames=10 * N_FRAMES, n_trajectories=N_TRAIN, seed=4)

    print("               bound fraction   free energy, kJ/mol   time until unbinding, ps   until binding, ps   events")
    for name, data in (("training MD", train), ("unseen MD", unseen), ("generated", generated)):
        states = two_state_kinetics(data, DISPLACEMENT, (BOUND, UNBOUND), temperature=300.0)
        (unbinding, binding), (unbinding_error, binding_error) = states.times, states.time_errors
        print(
            f"{name:12}  {states.fraction:6.3f} ± {states.fraction_error:.3f}  {states.free_energy:8.2f} ± "
            f"{states.free_energy_error:.2f}        {unbinding:8.0f} ± {unbinding_error:3.0f}           "
            f"{binding:8.0f} ± {binding_error:3.0f}   {sum(states.n_events):6d}"
        )

    # Binding on demand: begin with a frame of MD in which the ligand is outside, end with one in which it is bound, and draw the
    # whole event in one shot.
    frames, column = np.concatenate(list(train.trajectories())), train.schema.names.index(DISPLACEMENT)
    outside, inside = frames[frames[:, column] > UNBOUND][0], frames[frames[:, column] < BOUND][0]
    events = gan.generate(n_frames=WINDOW, n_trajectories=20, start=outside, end=inside, seed=5)

    # Structures: three numbers do not say where every bead is, so frames of the training simulations that have these numbers, and
    # follow one another as in a simulation, stand for them.
    system = get_system(SYSTEM, STRUCTURE)
    structures = train.structures()
    universe = tg.to_universe(events, system.topology(), structures, featurizer=system.features(), trajectory=0)
    tg.write_universe(universe, "binding.xtc", overwrite=True)

    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    edges = np.linspace(0, frames[:, column].max(), 41)
    for name, data, style in (("unseen MD", unseen.trajectories(), "-"), ("generated", generated, "--")):
        counts = np.histogram(np.concatenate(list(data))[:, column], edges, density=True)[0]
        left.plot((edges[1:] + edges[:-1]) / 2, -np.log(np.where(counts > 0, counts, np.nan)), style, label=name)
    left.set(xlabel="displacement of the ligand, nm", ylabel="−ln density", title="bound (left) and unbound (right)")
    left.legend()
    times = np.arange(WINDOW) * events.schema.frame_interval
    right.plot(times, np.stack([event[:, column] for event in events]).T, color="tab:orange", alpha=0.4)
    right.set(xlabel="time, ps of the model", ylabel="displacement of the ligand, nm", title="binding on demand")
    figure.savefig(f"{SYSTEM}.png", dpi=100)


if __name__ == "__main__":
    main()
