"""Folding of Trp-cage at a temperature that was never simulated for training.

A model learns from simulations at 285, 300, 330 and 345 K, with the temperature as its condition. It is then asked for
trajectories at 315 K, which are compared with simulations at 315 K that it has not seen, and for folding and unfolding on demand.
About ten minutes on two cores; `trp_cage.png` shows the result. How the system is made, and what is a model about it:
`openmm_trajgan/systems/trp_cage.py`.
"""

from pathlib import Path

import matplotlib
import numpy as np

import openmm_trajgan as tg
from openmm_trajgan.analysis import TwoStates, two_state_kinetics
from openmm_trajgan.systems import trp_cage
from openmm_trajgan.workflows.collect import collect_system

matplotlib.use("Agg")
import matplotlib.pyplot as plt

LEFT_OUT = 315.0  # K
TRAINED = [temperature for temperature in trp_cage.TEMPERATURES if temperature != LEFT_OUT]
N_FRAMES = 4000  # per replica, one every 6 ps
WINDOW = 32  # frames, and so the longest path between two given ends; for longer ones, simulate more
FOLDED, UNFOLDED = 0.8, 0.35  # fraction of native contacts, from which on the molecule counts as one or the other


def folding(trajectories: tg.FeatureTrajectories, temperature: float) -> TwoStates:
    """Folded and unfolded: their populations and the mean times between them, with standard errors."""
    return two_state_kinetics(trajectories, trajectories.schema.names[0], (FOLDED, UNFOLDED), temperature=temperature)


def main() -> None:
    """Simulate, learn, generate, compare."""
    # Three simulations at each temperature to learn from, twelve at the one left out to judge by: as many frames as are generated,
    # since fewer do not tell how often it is folded. Every simulation has a random number of its own, so all of them are
    # independent. The buffer keeps the temperature of each.
    train = collect_system(
        "trp_cage", Path("train.windows"), n_frames=N_FRAMES, n_replicas=3 * len(TRAINED), labels=TRAINED, seed=1
    )
    unseen = collect_system("trp_cage", Path("unseen.windows"), n_frames=N_FRAMES, n_replicas=12, labels=[LEFT_OUT], seed=2)

    # The temperatures are the labels of the trajectories; being numbers, they can be interpolated. The number of frames decides how
    # many steps the training takes, so that the seeds give one result.
    gan = tg.TrajGAN(window_length=WINDOW).fit(train, labels=train.labels, seed=3)
    gan.save("trp_cage.trajgan")

    # Four times as much as was simulated, at each temperature and at the one in between.
    generated = {
        temperature: gan.generate(n_frames=N_FRAMES, n_trajectories=12, label=temperature, seed=4)
        for temperature in trp_cage.TEMPERATURES
    }
    simulated = {
        temperature: train.trajectories([stream for stream, label in train.labels.items() if label == temperature])
        for temperature in TRAINED
    }
    simulated[LEFT_OUT] = unseen.trajectories()

    print("temperature     folded fraction: MD, generated     time to fold, ns     time to unfold, ns     (± standard error)")
    for temperature in trp_cage.TEMPERATURES:
        both = [folding(source[temperature], temperature) for source in (simulated, generated)]
        columns = [", ".join(f"{states.fraction:.2f} ± {states.fraction_error:.2f}" for states in both)]
        for direction in (1, 0):  # times go from folded to unfolded, and back
            columns.append(
                ", ".join(f"{states.times[direction] / 1000:.2f} ± {states.time_errors[direction] / 1000:.2f}" for states in both)
            )
        note = "   never trained on" if temperature == LEFT_OUT else ""
        print(f"{temperature:g} K     {'     '.join(columns)}{note}")

    # Folding on demand: begin with an unfolded frame of the simulation, end with a folded one, and draw what lies between.
    frames = np.concatenate(list(simulated[LEFT_OUT]))
    unfolded, folded = frames[frames[:, 0] < UNFOLDED][0], frames[frames[:, 0] > FOLDED][0]
    paths = gan.generate(n_frames=WINDOW, n_trajectories=20, start=unfolded, end=folded, label=LEFT_OUT, seed=5)

    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(12, 3.6), layout="constrained")
    for name, source, style in (("simulated", simulated, "o-"), ("generated", generated, "s--")):
        states = [folding(source[temperature], temperature) for temperature in trp_cage.TEMPERATURES]
        energies, errors = [each.free_energy for each in states], [each.free_energy_error for each in states]
        left.errorbar(trp_cage.TEMPERATURES, energies, errors, fmt=style, capsize=3, label=name)
        for direction, process, color in ((1, "folding", "tab:green"), (0, "unfolding", "tab:red")):
            times, errors = (
                np.array([getattr(each, key)[direction] for each in states]) / 1000 for key in ("times", "time_errors")
            )
            middle.errorbar(trp_cage.TEMPERATURES, times, errors, fmt=style, capsize=3, color=color, label=f"{process}, {name}")
    left.set(xlabel="temperature, K", ylabel="folding free energy, kJ/mol", title=f"{LEFT_OUT:g} K was left out of the training")
    middle.set(xlabel="temperature, K", ylabel="mean time, ns of the model", yscale="log")
    for axes in (left, middle):
        axes.axvline(LEFT_OUT, color="0.8", zorder=0)
    left.legend()
    middle.legend(ncols=2, loc="lower center", bbox_to_anchor=(0.5, 1.0), fontsize="small")  # above the curves, which fill the axes
    times = np.arange(WINDOW) * paths.schema.frame_interval / 1000
    right.plot(times, np.stack([path[:, 0] for path in paths]).T, color="tab:orange", alpha=0.4)
    right.set(xlabel="time, ns of the model", ylabel="fraction of native contacts", title=f"folding on demand at {LEFT_OUT:g} K")
    figure.savefig("trp_cage.png", dpi=80)


if __name__ == "__main__":
    main()
