"""What generated trajectories are worth, for our engine and its rivals on the same data, with their cost.

Run ``python tests/benchmarks/engine.py --out engine.json`` (hours for everything; ``--cases``, ``--models``, ``--seeds`` and
``--minutes`` choose). A seed is that of the simulations learned from and of the training. Every figure is the audit's, against
held-out series that no model saw: its value, the error in units of that of the training data, and the MD-equivalent length in units
of the training length. Times are CPU seconds on one thread.

Four times as many frames are generated as there were to learn from, a million at least: of as many as the training data, the noise
of generating alone would halve what a model is worth that has learned the training data perfectly.
"""

import argparse
import json
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from cases import CASES, ou_law
from rivals import FlatGAN, MixtureDensityNetwork

from openmm_trajgan.analysis.baselines import BASELINES
from openmm_trajgan.analysis.yardstick import Yardstick
from openmm_trajgan.schema import FeatureTrajectories
from openmm_trajgan.training.config import TrainingConfig
from openmm_trajgan.workflows.estimator import TrajGAN

GENERATED_SERIES, GENERATED_SHARE, FEWEST_GENERATED = 100, 4, 1_000_000
Generate = Callable[[int, int, int], FeatureTrajectories]


def fitted(model: str, train: FeatureTrajectories, arguments: Any, seed: int) -> Generate:
    """Train a model, on the training data alone, and return what draws from it: frames, trajectories, seed."""
    if model.startswith("TrajGAN"):
        config = TrainingConfig(likelihood_share=1.0) if model.endswith("likelihood") else TrainingConfig()
        gan = TrajGAN(arguments.window_length, training=config)
        gan.fit(train, minutes=arguments.minutes, steps=arguments.steps, seed=seed, progress=False)
        return lambda n_frames, n, draw: gan.generate(n_frames, n, seed=draw)
    if model.startswith("MDN"):
        return MixtureDensityNetwork(int(model.split()[-1]), arguments.rival_steps).fit(train, seed).generate
    if model == "flat MLP":
        return FlatGAN(64, arguments.rival_steps // 4).fit(train, seed).generate
    baseline = BASELINES[model]
    return lambda n_frames, n, draw: baseline(train, n_frames, n, rng=np.random.default_rng([seed, draw]))


def measured(
    case: str,
    train: FeatureTrajectories,
    reference: FeatureTrajectories,
    model: str,
    arguments: Any,
    seed: int,
) -> dict[str, Any]:
    """Train, generate and judge."""
    start = time.process_time()
    generate = fitted(model, train, arguments, seed)
    trained = time.process_time() - start
    start = time.process_time()
    n_frames = max(GENERATED_SHARE * train.n_frames, FEWEST_GENERATED)
    generated = generate(n_frames // GENERATED_SERIES, GENERATED_SERIES, seed + 1)
    drawn = time.process_time() - start
    figures = Yardstick.fit(reference, [generated], train).measure(generated)
    result = {
        "training_cpu_seconds": round(trained, 1),
        "frames_per_cpu_second": round(generated.n_frames / drawn),
        "peak_memory_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
        "figures": {
            one.figure.name: {
                "value": one.value,
                "error by that of training data": one.information_ratio,
                "worth by training length": None if one.md_equivalent is None else one.md_equivalent.value / train.n_frames,
            }
            for one in figures
            if one.value is not None
        },
    }
    if case.startswith("ornstein_uhlenbeck"):
        result["closed form"] = against_law(generated)
    return result


def against_law(generated: FeatureTrajectories) -> dict[str, float]:
    """Largest relative error of the variances and of the relaxation times of all modes."""
    rotation, times, deviations = ou_law(generated.schema.n_features)
    modes = [series.astype(np.float64) @ rotation / deviations for series in generated]
    variances = np.mean([(one**2).mean(axis=0) for one in modes], axis=0)
    lags = np.maximum(np.rint(times / 2).astype(int), 1)
    found = []
    for mode, lag in enumerate(lags):
        product = np.mean([(one[lag:, mode] * one[:-lag, mode]).mean() for one in modes]) / variances[mode]
        found.append(-lag / np.log(product) / times[mode])
    covariance = np.mean([one.T @ one / len(one) for one in modes], axis=0)
    off = np.abs(covariance - np.diag(np.diag(covariance))).max()
    return {
        "largest error of a variance": float(np.abs(variances - 1).max()),
        "largest error of a relaxation time": float(np.abs(np.array(found) - 1).max()),
        "largest correlation of two modes": float(off),
    }


def main() -> None:
    """Run the benchmark and write its results as they come."""
    models = ["TrajGAN", "TrajGAN, likelihood", "MDN-AR 1", "MDN-AR 16", "flat MLP", *BASELINES]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=list(CASES))
    parser.add_argument("--models", nargs="+", default=models, choices=models)
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--minutes", type=float, default=None, help="training of TrajGAN; else by the amount of data")
    parser.add_argument("--steps", type=int, default=None, help="training steps of TrajGAN instead")
    parser.add_argument("--window-length", type=int, default=None, help="frames, instead of what TrajGAN chooses")
    parser.add_argument("--rival-steps", type=int, default=8000, help="of the mixture density networks; a quarter for the flat MLP")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    results: dict[str, Any] = {}
    for case in arguments.cases:
        reference = CASES[case].reference()
        for seed in arguments.seeds:
            train = CASES[case].training(seed)
            for model in arguments.models:
                results.setdefault(case, {}).setdefault(model, {})[seed] = measured(case, train, reference, model, arguments, seed)
                arguments.out.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
