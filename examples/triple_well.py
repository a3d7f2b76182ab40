"""Windows of 40,000 frames in one shot: the set-up with which the idea of generating whole trajectories was first shown.

A particle diffuses in a plane with three wells on a diagonal (`openmm_trajgan/systems/triple_well.py`). The origin of the method
trained on windows of 40,000 frames of two coordinates and drew such windows at once; its 50 files were overlapping pieces of one
trajectory. Here 100 independent particles give 100 windows, 80 to learn from and 20 to judge by. About four minutes on two cores;
`triple_well.png` shows the result.

To change it: so long a window leaves time for few training steps. `WINDOW = None` chooses windows about as long as the slowest
process takes; they are chained to trajectories of any length.
"""

from pathlib import Path

import matplotlib
import numpy as np
from numpy.typing import NDArray

import openmm_trajgan as tg
from openmm_trajgan.systems import triple_well
from openmm_trajgan.workflows.collect import collect_system

matplotlib.use("Agg")
import matplotlib.pyplot as plt

N_FRAMES = triple_well.ORIGIN_WINDOW  # per particle, one every 0.1 ps
N_REPLICAS, N_UNSEEN = triple_well.N_REPLICAS, 20
WINDOW = N_FRAMES - 1  # frames: a trajectory of 40,000 is one frame and a window after it
STEPS = 500  # of training, with six windows each
WELLS = np.array([[-1.475, -1.475], [0.0, 0.0], [1.474, 1.474]])  # nm
CORE = 0.5  # nm about the middle of a well


def summary(trajectories: tg.FeatureTrajectories) -> tuple[NDArray[np.floating], float]:
    """Return populations of the wells, and crossings between their cores per 100,000 frames."""
    crossings, frames = 0, np.concatenate(list(trajectories))
    for series in trajectories:
        distances = np.linalg.norm(series[:, None] - WELLS, axis=2)
        visits = distances.argmin(axis=1)[distances.min(axis=1) < CORE]
        crossings += int((np.diff(visits) != 0).sum())
    nearest = np.linalg.norm(frames[:, None] - WELLS, axis=2).argmin(axis=1)
    return np.bincount(nearest, minlength=3) / len(frames), 100_000 * crossings / len(frames)


def main() -> None:
    """Simulate, learn, generate, compare."""
    # 100 particles that do not feel each other, in one simulation.
    buffer = collect_system("triple_well", Path("triple_well.windows"), n_frames=N_FRAMES, n_replicas=N_REPLICAS, seed=1)
    train, unseen = buffer.trajectories(buffer.streams[:-N_UNSEEN]), buffer.trajectories(buffer.streams[-N_UNSEEN:])

    gan = tg.TrajGAN(window_length=WINDOW).fit(train, steps=STEPS, seed=2)
    gan.save("triple_well.trajgan")
    generated = gan.generate(n_frames=N_FRAMES, n_trajectories=N_UNSEEN, seed=3)

    print("               populations of the wells   crossings per 100,000 frames")
    sets = {"training MD": train, "unseen MD": unseen, "generated": generated}
    for name, data in sets.items():
        populations, crossings = summary(data)
        print(f"{name:13}  {'  '.join(f'{share:.3f}' for share in populations)}      {crossings:8.0f}")

    figure, axes = plt.subplots(2, 1, figsize=(9, 4.5), layout="constrained", sharex=True, sharey=True)
    times = np.arange(N_FRAMES) * unseen.schema.frame_interval / 1000
    for row, (name, data) in zip(axes, list(sets.items())[1:], strict=True):
        row.plot(times, data.values[0][:, 0], lw=0.2, color="black" if data is unseen else "tab:orange")
        row.set(ylabel="x, nm", title=f"{name}: {N_FRAMES} frames")
    axes[1].set(xlabel="time, ns of the model")
    figure.savefig("triple_well.png", dpi=90)


if __name__ == "__main__":
    main()
