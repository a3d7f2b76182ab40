"""A disordered protein of 140 residues in two numbers: generated in a latent space, and decoded to coordinates.

α-Synuclein has no states between which it jumps; it is a coil that changes its size and shape (`openmm_trajgan/systems/
alpha_synuclein.py`: one bead per residue, published parameters). Its 378 distances are projected onto two numbers by principal
components, by an autoencoder and by TICA, all fitted to the training replicas only. A model learns and generates in the plane of
the principal components. What it generates becomes coordinates in two ways: distances are decoded and turned into points, which
averages over all that two numbers do not hold; or frames of the training simulations stand for the generated points, as a path.
Sizes of both are compared with simulations that nothing was fitted to. Some fifteen minutes on two cores, most of it
simulation; `alpha_synuclein.png` shows the result.
"""

from pathlib import Path

import deeptime
import matplotlib
import numpy as np

import openmm_trajgan as tg
from openmm_trajgan.analysis import chain_size, radii_of_gyration
from openmm_trajgan.systems import alpha_synuclein
from openmm_trajgan.workflows.collect import collect_system

matplotlib.use("Agg")
import matplotlib.pyplot as plt

N_FRAMES = 2500  # per replica, one every 3 ps
N_TRAIN, N_UNSEEN, N_GENERATED = 4, 2, 8  # trajectories
LAG = 20  # frames, for TICA and relaxation times


def unexplained(latent: tg.Latent, distances: tg.FeatureTrajectories) -> float:
    """Share of the variance of distances that does not come back from the latent."""
    frames = np.concatenate(list(distances))
    return float(np.square(frames - latent.decode(latent.transform(frames))).sum() / np.square(frames - frames.mean(axis=0)).sum())


def relaxation(latent: tg.Latent, distances: tg.FeatureTrajectories) -> float:
    """Relaxation time of the first number of the latent, ps, from its autocorrelation at `LAG`."""
    first = [series[:, :1] for series in latent.transform_trajectories(distances)]
    frames = deeptime.decomposition.TICA(lagtime=LAG).fit(first).fetch_model().timescales()[0]
    return float(frames * distances.schema.frame_interval)


def outside(data: tg.FeatureTrajectories, train: tg.FeatureTrajectories) -> float:
    """Share of frames that lie more than a tenth of its width beyond the rectangle of the training data."""
    known, frames = np.concatenate(list(train)), np.concatenate(list(data))
    margin = 0.1 * np.ptp(known, axis=0)
    return float(((frames < known.min(axis=0) - margin) | (frames > known.max(axis=0) + margin)).any(axis=1).mean())


def main() -> None:
    """Simulate, project, learn, generate, decode, compare."""
    # All positions are kept, for structures; every simulation starts from a random coil of its own.
    keep = {"n_frames": N_FRAMES, "n_structures": N_FRAMES}
    train = collect_system("alpha_synuclein", Path("train.windows"), n_replicas=N_TRAIN, seed=1, **keep)
    unseen = collect_system("alpha_synuclein", Path("unseen.windows"), n_replicas=N_UNSEEN, seed=2, **keep)
    features, distances = alpha_synuclein.features(), train.trajectories()

    pca = tg.PCA.fit(features, distances, 2)
    encoder = tg.Autoencoder.fit(features, distances, 2, seed=3)
    tica = tg.TICA.fit(features, distances, 2, lag=LAG)
    print("variance of unseen distances that two numbers do not hold:")
    print(f"  principal components {unexplained(pca, unseen.trajectories()):.2f}")
    print(f"  autoencoder          {unexplained(encoder, unseen.trajectories()):.2f}")
    print("TICA has no way back, but orders by slowness. Relaxation of the first coordinate in unseen MD, ps:")
    print(f"  principal components {relaxation(pca, unseen.trajectories()):.0f}")
    print(f"  TICA                 {relaxation(tica, unseen.trajectories()):.0f}")

    # The model knows nothing but the plane of the principal components. The data decide the length of windows and how many steps
    # the training takes, so that the seeds give one result.
    plane = pca.transform_trajectories(distances)
    gan = tg.TrajGAN().fit(plane, seed=4)
    gan.save("alpha_synuclein.trajgan")
    pca.save("alpha_synuclein.latent")
    generated = gan.generate(n_frames=N_FRAMES, n_trajectories=N_GENERATED, seed=5)
    held_out = pca.transform_trajectories(unseen.trajectories())
    print("share of frames more than a tenth of its width outside the region that the training data cover:")
    for name, data in (("unseen MD", held_out), ("generated", generated)):
        print(f"  {name:10} {outside(data, plane):.4f}")

    # Back to coordinates. The first way gives the 28 beads between which distances are features, the second all 140.
    topology, library = alpha_synuclein.topology(), train.structures()
    beads = np.unique(np.array(features.schema.atoms))
    structures = {
        "training MD": [train.structures([name]) for name in train.streams],
        "unseen MD": [unseen.structures([name]) for name in unseen.streams],
    }
    for name, method in (("decoded", "distance_geometry"), ("nearest frames", "nearest_frames")):
        universes = [
            tg.to_universe(generated, topology, library, featurizer=pca, method=method, trajectory=index)
            for index in range(len(generated))
        ]
        structures[name] = [universe.trajectory.timeseries(order="fac") / 10 for universe in universes]  # Å to nm
    tg.write_universe(universes[0], "alpha_synuclein.xtc", overwrite=True)

    print("radius of gyration       mean, nm       standard deviation, nm    relaxation, ps")
    for name, trajectories in structures.items():
        for n_beads in (len(beads), 140):
            if trajectories[0].shape[1] >= n_beads:
                chosen = [each if each.shape[1] == n_beads else each[:, beads] for each in trajectories]
                size = chain_size(chosen, frame_interval=generated.schema.frame_interval)
                figures = "      ".join(f"{value:7.3f} ± {error:.3f}" for value, error in (size.mean, size.deviation))
                print(f"{name:14} {n_beads:3} beads  {figures}     {size.relaxation[0]:5.0f} ± {size.relaxation[1]:.0f}")

    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    for name, data in (("generated", generated), ("training MD", plane)):
        left.plot(*np.concatenate(list(data)).T, ".", ms=1, alpha=0.3, label=name)
    left.set(xlabel="principal component 1, nm", ylabel="principal component 2, nm", title="the plane that was learned")
    left.legend(markerscale=8)
    for name, trajectories in structures.items():
        shown = [each if each.shape[1] == len(beads) else each[:, beads] for each in trajectories]
        right.hist(np.concatenate([radii_of_gyration(each) for each in shown]), 40, density=True, histtype="step", label=name)
    right.set(xlabel=f"radius of gyration of {len(beads)} beads, nm", ylabel="density, 1/nm", title="after decoding")
    right.legend()
    figure.savefig("alpha_synuclein.png", dpi=100)


if __name__ == "__main__":
    main()
