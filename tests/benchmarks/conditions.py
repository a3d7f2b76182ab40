"""Do trajectories drawn under conditions follow the law of MD? Bridges between wells, temporal upsampling, inpainting.

Run ``python tests/benchmarks/conditions.py --out conditions.json`` (about a quarter of an hour per seed). A model of
`deeptime.data.triple_well_2d` is asked for what was cut out of held-out trajectories:

- *Bridges*: all pieces of 129 frames that begin in the left well and end in the right one are drawn anew from their first and last
  frame. The time from leaving one well to reaching the other, where paths go, and their committor are compared with those of MD.
- *Upsampling*: of every piece each eighth frame is given. *Inpainting*: x is given, y is drawn.

Ranks: where the law is right, the true value is equally likely to be the smallest, second smallest … largest among 19 draws under
the same conditions. The excess is the mean absolute deviation of the 20 shares from 1/20, relative to 1/20; its noise is that of
as many uniform ranks. They are of all frames together, so that errors that cancel show in the joint density only. Divergences are
relative to those between two halves of MD, over 20 random halvings.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from cases import CASES
from deeptime.clustering import KMeans
from deeptime.markov.msm import MaximumLikelihoodMSM
from numpy.typing import NDArray
from scipy.spatial.distance import jensenshannon
from scipy.stats import ks_2samp

from openmm_trajgan.schema import FeatureTrajectories
from openmm_trajgan.training.config import TrainingConfig
from openmm_trajgan.workflows.estimator import TrajGAN

CASE = "triple_well_2d"
LENGTH = 129  # frames of a piece, the longest bridge
WELLS = np.array([[-1.0, 0.0], [1.0, 0.0]])
WELL_RADIUS = 0.3
EVERY = 8
N_PIECES, N_DRAWS, N_HALVINGS = 8000, 19, 20
GRID = np.linspace(-2, 2, 31)
Array = NDArray[np.floating]


def pieces(data: FeatureTrajectories) -> Array:
    """Cut all series into pieces that do not overlap, ``(n, LENGTH, 2)``."""
    return np.concatenate([series[: len(series) // LENGTH * LENGTH].reshape(-1, LENGTH, 2) for series in data])


def in_well(frames: Array, well: int) -> NDArray[np.bool_]:
    """Which frames are in the core of a well."""
    return np.linalg.norm(frames - WELLS[well], axis=-1) < WELL_RADIUS


def committor(data: FeatureTrajectories, seed: int) -> Any:
    """Return a function from frames to the probability to reach the right well before the left one, from a Markov state model."""
    frames = np.concatenate([series[::10] for series in data])
    clustering = KMeans(200, fixed_seed=seed, max_iter=500).fit_fetch(frames)
    model = MaximumLikelihoodMSM(lagtime=1).fit_fetch([clustering.transform(series) for series in data])
    centres = clustering.cluster_centers[model.count_model.state_symbols]
    left, right = (np.flatnonzero(in_well(centres, well)) for well in (0, 1))
    probabilities = np.zeros(clustering.n_clusters)
    probabilities[model.count_model.state_symbols] = model.committor_forward(left, right)
    return lambda points: probabilities[clustering.transform(points.reshape(-1, 2).astype(frames.dtype))].reshape(points.shape[:-1])


def transitions(paths: Array) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Duration of each transition, frames, and which frames belong to it: from the last one in the left well on."""
    arrival = in_well(paths, 1).argmax(axis=1)
    times = np.arange(paths.shape[1])
    before = times <= arrival[:, None]
    departure = np.where(in_well(paths, 0) & before, times, -1).max(axis=1)
    return arrival - departure, before & (times >= departure[:, None])


def density(points: Array) -> Array:
    """Histogram of x and y."""
    return np.histogram2d(*points.reshape(-1, 2).T, bins=(GRID, GRID))[0].ravel()


def relative_divergence(simulated: list[Array], generated: list[Array], rng: np.random.Generator) -> dict[str, float]:
    """JSD from generated histograms of half of the pieces to MD of the other half, over that of MD; mean and deviation."""
    ratios = []
    for _ in range(N_HALVINGS):
        one, other = np.array_split(rng.permutation(len(simulated)), 2)
        target = np.sum([simulated[i] for i in other], axis=0)
        ours, theirs = (jensenshannon(np.sum([source[i] for i in one], axis=0), target) ** 2 for source in (generated, simulated))
        ratios.append(ours / theirs)
    return {"mean": float(np.mean(ratios)), "deviation of halvings": float(np.std(ratios))}


def bridges(gan: TrajGAN, train: FeatureTrajectories, reference: FeatureTrajectories, seed: int) -> dict[str, Any]:
    """Draw the transitions of held-out MD anew from their ends."""
    rng = np.random.default_rng(seed)
    md = pieces(reference)
    md = md[in_well(md[:, 0], 0) & in_well(md[:, -1], 1)]
    drawn = gan.generate(LENGTH, len(md), start=md[:, :1], end=md[:, -1:], seed=seed)
    paths = [md, np.stack(list(drawn))]
    found = [transitions(one) for one in paths]
    durations = [one[0] for one in found]
    chance = committor(train, seed)
    progress = [chance(one) for one in paths]
    bins = np.linspace(0, 1, 21)
    maps = [
        [density(path[part]) for path, part in zip(one, parts, strict=True)] for one, (_, parts) in zip(paths, found, strict=True)
    ]
    along = [
        [np.histogram(each[part], bins)[0] for each, part in zip(one, parts, strict=True)]
        for one, (_, parts) in zip(progress, found, strict=True)
    ]
    return {
        "pieces": len(md),
        "median duration, frames": [float(np.median(one)) for one in durations],
        "mean duration, frames": [float(one.mean()) for one in durations],
        "standard error of a mean": float(durations[0].std() / np.sqrt(len(md))),
        "p of equal durations (Kolmogorov-Smirnov)": float(ks_2samp(*durations).pvalue),
        "JSD of path densities / MD": relative_divergence(*maps, rng),
        "JSD of committors / MD": relative_divergence(*along, rng),
    }


def ranks(gan: TrajGAN, reference: FeatureTrajectories, given: NDArray[np.bool_], seed: int) -> dict[str, Any]:
    """Rank the true values of one frame of each piece among draws that know of `given`, ``(LENGTH, 2)``."""
    rng = np.random.default_rng(seed)
    md = rng.permutation(pieces(reference))[:N_PIECES]
    known = np.where(given, md, np.nan)
    where = rng.choice(np.flatnonzero(~given.all(axis=1)), len(md))
    each = np.arange(len(md))
    draws = [np.stack(list(gan.generate(LENGTH, len(md), given=known, seed=seed + draw))) for draw in range(N_DRAWS)]
    result: dict[str, Any] = {"pieces": len(md)}
    for column in np.flatnonzero(~given.all(axis=0)):
        rank = sum((one[each, where, column] < md[each, where, column]).astype(int) for one in draws)
        noise = [excess(rng.integers(N_DRAWS + 1, size=len(md))) for _ in range(200)]
        result[f"excess of ranks, {'xy'[column]}"] = {
            "excess": excess(rank),
            "of uniform ranks": [float(np.mean(noise)), float(np.quantile(noise, 0.95))],
        }
    steps = [[np.histogram(np.diff(path, axis=0)[:, -1], np.linspace(-1.5, 1.5, 81))[0] for path in one] for one in (md, draws[0])]
    result["JSD of displacements of y / MD"] = relative_divergence(*steps, rng)
    maps = [[density(path) for path in one] for one in (md, draws[0])]
    result["JSD of x, y / MD"] = relative_divergence(*maps, rng)
    return result


def excess(rank: NDArray[np.integer]) -> float:
    """Mean absolute deviation of the shares of ranks from the uniform one, relative to it."""
    shares = np.bincount(rank, minlength=N_DRAWS + 1) / len(rank)
    return float(np.abs(shares * (N_DRAWS + 1) - 1).mean())


def main() -> None:
    """Train a model for each seed and write its figures as they come."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--steps", type=int, default=6000, help="of training, by likelihood")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    train, reference = CASES[CASE].training(1), CASES[CASE].reference()
    every_eighth = np.zeros((LENGTH, 2), bool)
    every_eighth[::EVERY] = True
    only_x = np.zeros((LENGTH, 2), bool)
    only_x[:, 0] = True
    results: dict[int, Any] = {}
    for seed in arguments.seeds:
        gan = TrajGAN(LENGTH - 1, training=TrainingConfig(likelihood_share=1.0))
        gan.fit(train, steps=arguments.steps, seed=seed, progress=False)
        results[seed] = {
            "bridges": bridges(gan, train, reference, seed),
            "upsampling": ranks(gan, reference, every_eighth, seed),
            "inpainting": ranks(gan, reference, only_x, seed),
        }
        arguments.out.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
