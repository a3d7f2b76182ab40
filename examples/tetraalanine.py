"""Many torsions that move together: tetraalanine, from a simulation to all-atom structures.

Six backbone torsions of a peptide with charged ends (`openmm_trajgan/systems/tetraalanine.py`: all atoms, implicit water) are
learned jointly. Three of them, the ψ of residues 1 to 3, jump between α and extended, which makes eight conformations. Their
populations and the mean times of the jumps are compared with simulations that the model has not seen. Then torsions become
structures: the distance between the ends of the chain depends on all six at once, so that it comes out right only if they go
together as in MD. About ten minutes on two cores; `tetraalanine.png` shows the result.

To change it: `tg.Torsions.backbone(topology)` are the features of any peptide, and `from_universe` reads simulations you have.
"""

from pathlib import Path

import matplotlib
import numpy as np
from numpy.typing import NDArray

import openmm_trajgan as tg
from openmm_trajgan.analysis import two_state_kinetics
from openmm_trajgan.systems import tetraalanine
from openmm_trajgan.workflows.collect import collect_system

matplotlib.use("Agg")
import matplotlib.pyplot as plt

N_FRAMES = 6000  # per replica, one every 0.2 ps
N_TRAIN, N_UNSEEN = 6, 3  # replicas
ALPHA = -0.5  # rad, the middle of α along ψ
CORES = 1.0, 2.0  # rad from it, where α ends and extended begins: what is between belongs to the one visited last


def from_alpha(trajectories: tg.FeatureTrajectories) -> tg.FeatureTrajectories:
    """How far each ψ is from the middle of α, rad: a number on the line, 0 to π."""
    columns = [trajectories.schema.names.index(f"psi {residue}") for residue in (1, 2, 3)]
    schema = tg.FeatureSchema(
        names=("psi 1", "psi 2", "psi 3"),
        units=("rad",) * 3,
        periods=(None,) * 3,
        frame_interval=trajectories.schema.frame_interval,
    )
    return tg.FeatureTrajectories([abs(np.angle(np.exp(1j * (each[:, columns] - ALPHA)))) for each in trajectories], schema)


def populations(trajectories: tg.FeatureTrajectories) -> NDArray[np.floating]:
    """Shares of the eight conformations in each trajectory, ``(n_trajectories, 8)``, from all extended to all α."""
    middle = sum(CORES) / 2
    words = [(each < middle) @ [4, 2, 1] for each in from_alpha(trajectories)]
    return np.stack([np.bincount(word, minlength=8) / len(word) for word in words])


def ends(positions: NDArray[np.floating]) -> NDArray[np.floating]:
    """Distance between the first N and the last C of structures ``(n_frames, n_atoms, 3)``."""
    backbone = [atom.index for atom in tetraalanine.topology().atoms() if atom.name in ("N", "C")]
    return np.linalg.norm(positions[:, backbone[0]] - positions[:, backbone[-1]], axis=1)


def main() -> None:
    """Simulate, learn, generate, compare, build structures."""
    keep = {"n_frames": N_FRAMES, "n_structures": N_FRAMES}  # all positions too, for structures
    train = collect_system("tetraalanine", Path("train.windows"), n_replicas=N_TRAIN, seed=1, **keep)
    unseen = collect_system("tetraalanine", Path("unseen.windows"), n_replicas=N_UNSEEN, seed=2, **keep)

    # The data decide the length of windows and how many steps the training takes, so that the seeds give one result.
    gan = tg.TrajGAN().fit(train, seed=3)
    gan.save("tetraalanine.trajgan")
    generated = gan.generate(n_frames=N_FRAMES, n_trajectories=4 * N_TRAIN, seed=4)

    sets = {"training MD": train.trajectories(), "unseen MD": unseen.trajectories(), "generated": generated}
    names = ["".join("α" if word & bit else "β" for bit in (4, 2, 1)) for word in range(8)]
    print("populations, residues 1 to 3, β for extended (± standard error from the trajectories)")
    print(" " * 12, "  ".join(f"{name:^13}" for name in names))
    shares, errors = {}, {}
    for name, data in sets.items():
        each = populations(data)
        shares[name], errors[name] = each.mean(axis=0), each.std(axis=0, ddof=1) / len(each) ** 0.5
        print(f"{name:12}", "  ".join(f"{s:.3f} ± {e:.3f}" for s, e in zip(shares[name], errors[name], strict=True)))

    print("mean time of ψ in α / extended, ps (± standard error of a two-state Markov process)")
    for name, data in sets.items():
        columns = []
        for residue in (1, 2, 3):
            states = two_state_kinetics(from_alpha(data), f"psi {residue}", CORES)
            both = zip(states.times, states.time_errors, strict=True)
            columns.append(" / ".join(f"{time:.3g} ± {error:.2g}" for time, error in both))
        print(f"{name:12}", "     ".join(columns))

    # Every generated frame becomes a structure that has the generated torsions, and bonds and angles of the training simulations.
    topology = tetraalanine.topology()
    universes = [tg.to_universe(generated, topology, train, trajectory=index) for index in range(len(generated))]
    tg.write_universe(universes[0], "tetraalanine.xtc", overwrite=True)
    distances = {name: ends(buffer.structures()) for name, buffer in (("training MD", train), ("unseen MD", unseen))}
    positions = np.concatenate([universe.trajectory.timeseries(order="fac") for universe in universes])
    distances["generated"] = ends(positions / 10)  # Å to nm
    print("distance between the ends, nm: mean, standard deviation")
    for name, values in distances.items():
        print(f"{name:12} {values.mean():.3f}, {values.std():.3f}")

    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    for shift, name in ((-0.2, "unseen MD"), (0.2, "generated")):
        left.bar(np.arange(8) + shift, shares[name], 0.4, yerr=errors[name], capsize=2, label=name)
    left.set(xticks=range(8), xticklabels=names, ylabel="population", title="ψ of residues 1 to 3, β is extended")
    left.legend()
    for name in ("unseen MD", "generated"):
        right.hist(distances[name], 50, density=True, histtype="step", label=name)
    right.set(xlabel="distance between the ends, nm", ylabel="density, 1/nm", title="structures of all atoms")
    right.legend()
    figure.savefig("tetraalanine.png", dpi=100)


if __name__ == "__main__":
    main()
