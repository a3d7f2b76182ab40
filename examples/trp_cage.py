"""Folding of Trp-cage at a temperature that was never simulated for training.

A model learns from simulations at 285, 300, 330 and 345 K, with the temperature as its condition. It is then asked for
trajectories at 315 K, which are compared with simulations at 315 K that it has not seen, and for folding and unfolding on demand.
About ten minutes on two cores; `trp_cage.png` shows the result. How the system is made, and what is a model about it:
`openmm_trajgan/systems/trp_cage.py`.
"""

from pathlib import Path

import matplotlib
import numpy as np
from numpy.typing import NDArray

import openmm_trajgan as tg
from openmm_trajgan.systems import trp_cage
from openmm_trajgan.workflows.collect import collect_system

matplotlib.use("Agg")
import matplotlib.pyplot as plt

LEFT_OUT = 315.0  # K
TRAINED = [temperature for temperature in trp_cage.TEMPERATURES if temperature != LEFT_OUT]
N_FRAMES = 4000  # per replica, one every 6 ps
MINUTES = 4.0  # of training
WINDOW = 64  # frames, about the time in which the molecule forgets whether it was folded
FOLDED, UNFOLDED = 0.8, 0.35  # fraction of native contacts, from which on the molecule counts as one or the other


def last_core(fraction: NDArray[np.floating]) -> NDArray[np.intp]:
    """1 while a trajectory was last folded, 0 while it was last unfolded, -1 before either: a molecule between is not there yet."""
    cores = np.where(fraction > FOLDED, 1, np.where(fraction < UNFOLDED, 0, -1))
    newest = np.maximum.accumulate(np.where(cores >= 0, np.arange(len(cores)), -1))
    return np.where(newest >= 0, cores[newest], -1)


def summary(trajectories: tg.FeatureTrajectories) -> tuple[float, float, float]:
    """Folded fraction, and the mean times in ns that the molecule needs to fold and to unfold."""
    states = [last_core(series[:, 0]) for series in trajectories]
    pairs = np.concatenate([np.stack([series[:-1], series[1:]]) for series in states], axis=1)
    interval = trajectories.schema.frame_interval / 1000
    times = []
    for here, there in ((0, 1), (1, 0)):
        left = ((pairs[0] == here) & (pairs[1] == there)).sum()
        times.append((pairs[0] == here).sum() * interval / left if left else np.nan)
    folded = np.mean([np.mean(series[:, 0] > 0.6) for series in trajectories])
    return float(folded), times[0], times[1]


def main() -> None:
    """Simulate, learn, generate, compare."""
    # Three simulations at each temperature to learn from, three at the one left out to judge by. Every simulation has a random
    # number of its own, so all of them are independent. The buffer keeps the temperature of each.
    train = collect_system(
        "trp_cage", Path("train.windows"), n_frames=N_FRAMES, n_replicas=3 * len(TRAINED), labels=TRAINED, seed=1
    )
    unseen = collect_system("trp_cage", Path("unseen.windows"), n_frames=N_FRAMES, n_replicas=3, labels=[LEFT_OUT], seed=2)

    # The temperatures are the labels of the trajectories; being numbers, they can be interpolated.
    gan = tg.TrajGAN(window_length=WINDOW).fit(train, labels=train.labels, minutes=MINUTES, seed=3)
    gan.save("trp_cage.trajgan")

    # As much as was simulated, at each temperature and at the one in between.
    generated = {
        temperature: gan.generate(n_frames=N_FRAMES, n_trajectories=3, label=temperature, seed=4)
        for temperature in trp_cage.TEMPERATURES
    }
    simulated = {
        temperature: train.trajectories([stream for stream, label in train.labels.items() if label == temperature])
        for temperature in TRAINED
    }
    simulated[LEFT_OUT] = unseen.trajectories()

    print("temperature  folded (MD, generated)  folding time, ns  unfolding time, ns")
    for temperature in trp_cage.TEMPERATURES:
        (folded, folding, unfolding), (g_folded, g_folding, g_unfolding) = (
            summary(source[temperature]) for source in (simulated, generated)
        )
        note = "  never trained on" if temperature == LEFT_OUT else ""
        print(
            f"{temperature:6g} K     {folded:6.2f} {g_folded:6.2f}         {folding:5.2f} {g_folding:5.2f}      "
            f"{unfolding:5.2f} {g_unfolding:5.2f}{note}"
        )

    # Folding on demand: begin with an unfolded frame of the simulation, end with a folded one, and draw what lies between.
    frames = np.concatenate(list(simulated[LEFT_OUT]))
    unfolded, folded = frames[frames[:, 0] < UNFOLDED][0], frames[frames[:, 0] > FOLDED][0]
    paths = gan.generate(n_frames=WINDOW, n_trajectories=20, start=unfolded, end=folded, label=LEFT_OUT, seed=5)

    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    for name, source, style in (("simulated", simulated, "o-"), ("generated", generated, "s--")):
        left.plot(trp_cage.TEMPERATURES, [summary(source[t])[0] for t in trp_cage.TEMPERATURES], style, label=name)
    left.axvline(LEFT_OUT, color="0.8", zorder=0)
    left.set(xlabel="temperature, K", ylabel="folded fraction", title=f"{LEFT_OUT:g} K was left out of the training")
    left.legend()
    times = np.arange(WINDOW) * paths.schema.frame_interval / 1000
    right.plot(times, np.stack([path[:, 0] for path in paths]).T, color="tab:orange", alpha=0.4)
    right.set(xlabel="time, ns of the model", ylabel="fraction of native contacts", title=f"folding on demand at {LEFT_OUT:g} K")
    figure.savefig("trp_cage.png", dpi=150)


if __name__ == "__main__":
    main()
