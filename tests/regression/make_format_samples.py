"""Small files of every format that this package writes, kept so that later versions still read them.

Run ``python tests/regression/make_format_samples.py`` when ``FORMAT_VERSION`` has changed: it writes the folder
``tests/regression/formats/<version>``, which `test_formats` reads from then on; older folders stay as they are. Samples of
a format that has been released are never made again.
"""

import shutil
import sys
import warnings
from pathlib import Path

import numpy as np
import torch

from openmm_trajgan import PCA, FeatureSchema, FeatureTrajectories, WindowBuffer, to_universe
from openmm_trajgan.backmap import write_universe
from openmm_trajgan.features import Coordinates
from openmm_trajgan.models.bundle import ModelBundle
from openmm_trajgan.models.coarse_to_fine import GeneratorConfig
from openmm_trajgan.models.critic import MultiScaleCritic
from openmm_trajgan.models.encoding import FeatureEncoding
from openmm_trajgan.models.generator import WindowGenerator
from openmm_trajgan.models.scales import typical_spreads
from openmm_trajgan.schema import FORMAT_VERSION
from openmm_trajgan.systems import alanine_dipeptide
from openmm_trajgan.training.checkpoint import save_checkpoint
from openmm_trajgan.training.config import TrainingConfig
from openmm_trajgan.training.trainer import Trainer

FORMATS = Path(__file__).parent / "formats"
N_FRAMES = 60


def schema() -> FeatureSchema:
    """φ and ψ of alanine dipeptide."""
    return alanine_dipeptide.features().schema.with_frame_interval(0.2)


def series() -> np.ndarray:
    """Two trajectories that can be made again, ``(2, N_FRAMES, 2)``, rad."""
    time = np.arange(N_FRAMES)
    return np.stack([np.stack([np.sin(0.1 * time + k), 2 * np.cos(0.07 * time - k)], axis=1) for k in (0, 1)]).astype(np.float32)


def frames() -> np.ndarray:
    """Positions of one atom, ``(N_FRAMES, 1, 3)``, nm."""
    return np.concatenate([series()[0], series()[1, :, :1]], axis=1)[:, None]


def small_trainer(data: FeatureTrajectories) -> Trainer:
    """A trainer of the smallest networks, before its first step."""
    buffer = WindowBuffer.from_trajectories(data)
    windows, stretches = buffer.windows(4 + 1 + 8), buffer.windows(4 + 1 + 2 * 8)
    config = GeneratorConfig(window_length=8, context_length=4, hidden=4, n_components=1)
    sample = torch.from_numpy(windows.sample(64, np.random.default_rng(0)))
    encoding = FeatureEncoding(schema(), sample.flatten(0, 1))
    reduced = encoding.reduce(sample)
    torch.manual_seed(1)
    generator = WindowGenerator(encoding, config, typical_spreads(encoding, config, reduced))
    critic = MultiScaleCritic(encoding, reduced, hidden=4)
    small = TrainingConfig(
        likelihood_share=0.75, likelihood_windows=8, likelihood_frames=16, adversarial_windows=4, patches_per_window=2
    )
    trainer = Trainer(generator, critic, windows, stretches, seed=1, config=small)
    trainer.plan_steps(8)
    return trainer


def make(folder: Path) -> None:
    """Write every format into a new folder."""
    data = FeatureTrajectories(series(), schema(), ["a", "b"], {"seed": "1"})
    data.save(folder / "generated.npz")
    with WindowBuffer(folder / "buffer", schema()) as buffer:
        for step, row in enumerate(data.values[0]):
            buffer.append(["a"], step=step, time=0.2 * step, segment=0, features=row[None])
        buffer.keep_structures("a", alanine_dipeptide.topology_and_positions()[1][None].astype(np.float32))
        buffer.set_labels({"a": 300.0})
    with WindowBuffer(folder / "buffer") as buffer:  # and an open shard, as a process that died leaves it
        for step, row in enumerate(data.values[1]):
            buffer.append(["b"], step=step, time=0.2 * step, segment=0, features=row[None])
        shutil.copytree(folder / "buffer/streams/b", folder / "open")
    shutil.rmtree(folder / "buffer/streams/b")
    (folder / "open").rename(folder / "buffer/streams/b")
    (folder / "buffer/.lock").unlink(missing_ok=True)
    trainer = small_trainer(data)
    trainer.run(until=7)
    save_checkpoint(folder / "checkpoint", trainer.state(), {"seed": 1})
    ModelBundle(trainer.selected, schema(), None, {"seed": 1}).save(folder / "model")
    PCA.fit(Coordinates([0]), [Coordinates([0])(frames())], n_components=2).save(folder / "latent.npz")
    topology, positions = alanine_dipeptide.topology_and_positions()
    universe = to_universe(data, topology, positions[None], trajectory=0)
    write_universe(universe, folder / "structures.trajgan")


if __name__ == "__main__":
    target = FORMATS / str(FORMAT_VERSION)
    if target.exists():
        sys.exit(f"{target}: exists; remove it only if no version with this format has been released")
    target.mkdir(parents=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        make(target)
