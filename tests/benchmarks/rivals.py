"""What else could be trained on the same data: a one-step mixture density network, and the flat WGAN-GP of the method's origin."""

from itertools import pairwise

import numpy as np
import torch
from torch import nn

from openmm_trajgan.buffer import WindowBuffer
from openmm_trajgan.models.encoding import FeatureEncoding, wrap_angles
from openmm_trajgan.models.mixture import ConditionalMixture
from openmm_trajgan.models.objective import critic_loss, generator_loss
from openmm_trajgan.schema import FeatureTrajectories

N_SCALES = 4096  # windows that set the scales of features


class MixtureDensityNetwork:
    """Autoregressive rival (MDN-AR): the next frame as a mixture of three Gaussians given the last `context` frames.

    Parameters
    ----------
    context
        Frames it reads: the newest as it is, the others as differences to it.
    steps
        Adam steps of 1024 windows, rate 2e-3 falling to zero.
    """

    def __init__(self, context: int, steps: int) -> None:
        self.context, self.steps = context, steps

    def fit(self, train: FeatureTrajectories, seed: int) -> "MixtureDensityNetwork":
        """Train by maximum likelihood."""
        rng = np.random.default_rng(seed)
        torch.manual_seed(seed)
        windows = WindowBuffer.from_trajectories(train).windows(self.context + 1)
        sample = torch.from_numpy(windows.sample(N_SCALES, rng))
        self.encoding = FeatureEncoding(train.schema, sample.flatten(0, 1))
        reduced = self.encoding.reduce(sample)
        self.spread = wrap_angles(reduced[:, -1] - reduced[:, -2], self.encoding.periodic).square().mean(dim=0).sqrt()
        n_inputs = self.encoding.n_embedded + (self.context - 1) * self.encoding.n_features
        self.network = ConditionalMixture(self.encoding.periodic, n_inputs, self.spread, n_components=3, hidden=96)
        optimizer = torch.optim.Adam(self.network.parameters())
        for step in range(self.steps):
            optimizer.param_groups[0]["lr"] = 2e-3 * (1 - step / self.steps)
            frames = self.encoding.reduce(torch.from_numpy(windows.sample(1024, rng)))
            loss = self.network.negative_log_likelihood(self._inputs(frames[:, :-1]), frames[:, -2].t(), frames[:, -1].t())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        self.starts, self.schema = windows, train.schema
        return self

    def _inputs(self, frames: torch.Tensor) -> torch.Tensor:
        newest = frames[:, -1]
        earlier = wrap_angles(frames[:, :-1] - newest[:, None], self.encoding.periodic) / self.spread
        return torch.cat([self.encoding.embed(newest.t()), earlier.flatten(1).t()])

    @torch.no_grad()
    def generate(self, n_frames: int, n_trajectories: int, seed: int) -> FeatureTrajectories:
        """Continue real contexts frame by frame."""
        noise = torch.Generator().manual_seed(seed)
        begun = torch.from_numpy(self.starts.sample(n_trajectories, np.random.default_rng(seed)))
        recent = self.encoding.reduce(begun[:, 1:])
        frames = np.empty((n_trajectories, n_frames, self.encoding.n_features), np.float32)
        for frame in range(n_frames):
            following = self.network.sample(self._inputs(recent), recent[:, -1].t(), noise).t()
            recent = torch.cat([recent[:, 1:], following[:, None]], dim=1)
            frames[:, frame] = self.encoding.restore(following).numpy()
        return FeatureTrajectories(frames, self.schema)


class FlatGAN:
    """The origin's generator at a feasible size: noise through wide dense layers to all frames of a window at once.

    As published: LeakyReLU layers that double in width, windows without scaling, WGAN-GP with weight 10, five critic steps per
    generator step, Adam 1e-4 with betas (0.5, 0.9), batches of 32. Here an eighth as wide, with windows of `length` frames.

    Parameters
    ----------
    length
        Frames of a window.
    steps
        Generator steps.
    """

    def __init__(self, length: int, steps: int) -> None:
        self.length, self.steps = length, steps

    def fit(self, train: FeatureTrajectories, seed: int) -> "FlatGAN":
        """Train adversarially."""
        rng = np.random.default_rng(seed)
        torch.manual_seed(seed)
        noise = torch.Generator().manual_seed(seed)
        self.schema = train.schema
        windows = WindowBuffer.from_trajectories(train).windows(self.length)
        n_outputs = self.length * train.schema.n_features
        self.generator = _dense([128, 256, 512, 1024, n_outputs])
        critic = _dense([n_outputs, 1024, 512, 256, 1])
        optimizers = [torch.optim.Adam(one.parameters(), 1e-4, betas=(0.5, 0.9)) for one in (self.generator, critic)]

        def score(rows: torch.Tensor) -> torch.Tensor:
            return critic(rows)[:, 0]

        for _ in range(self.steps):
            for _ in range(5):
                real = torch.from_numpy(windows.sample(32, rng)).flatten(1)
                with torch.no_grad():
                    fake = self.generator(torch.randn(32, 128, generator=noise))
                loss, _ = critic_loss(score, real, fake, 10.0, noise)
                optimizers[1].zero_grad()
                loss.backward()
                optimizers[1].step()
            loss = generator_loss(score(self.generator(torch.randn(32, 128, generator=noise))))
            optimizers[0].zero_grad()
            loss.backward()
            optimizers[0].step()
        return self

    @torch.no_grad()
    def generate(self, n_frames: int, n_trajectories: int, seed: int) -> FeatureTrajectories:
        """Draw windows, which is all it can: as many as hold the frames asked for, each a series of its own."""
        n_windows = n_frames * n_trajectories // self.length
        windows = self.generator(torch.randn(n_windows, 128, generator=torch.Generator().manual_seed(seed)))
        return FeatureTrajectories(windows.reshape(n_windows, self.length, -1).numpy(), self.schema)


def _dense(widths: list[int]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for one, other in pairwise(widths):
        layers += [nn.Linear(one, other), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers[:-1])
