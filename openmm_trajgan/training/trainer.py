"""The only place where an optimiser steps.

Training has two stages. The *likelihood* stage fits every step of the generator to real windows by maximum likelihood. The
*adversarial* stage is the Wasserstein GAN with gradient penalty: from real frames the generator writes several windows in a row,
each continuing its own last one, and the critic compares patches of every window, at strides from one frame to the window, with
what followed the same frames in the simulation at that time. So errors that only build up from window to window, such as those of
populations, are seen too, also in data that are not in equilibrium. The likelihood stays in the loss as an anchor.
"""

import copy
import math
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from openmm_trajgan.errors import NonFiniteError
from openmm_trajgan.models.critic import MultiScaleCritic
from openmm_trajgan.models.generator import WindowGenerator
from openmm_trajgan.models.objective import critic_loss, generator_loss
from openmm_trajgan.seeding import Seeds
from openmm_trajgan.training.averaging import exponential_average
from openmm_trajgan.training.config import TrainingConfig
from openmm_trajgan.training.given import draw_given
from openmm_trajgan.training.interrupt import deferred_interrupt

_HISTORY_POINTS = 200
_MOST_VALUES, _FEWEST_WINDOWS = 2**19, 4  # in one batch: long windows and many features come in smaller ones
_TIMED_STEPS = 12
_MOST_SKIPPED = 5
_CANDIDATES = 5  # of the adversarial stage, after the end of the likelihood stage


class WindowSource(Protocol):
    """Real windows to draw from; `openmm_trajgan.buffer.Windows` is one."""

    def draw(self, n: int, rng: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Draw `n` windows ``(n, n_frames, n_features)`` in physical units, and the number of the series each comes from."""
        ...


Score = Callable[[WindowGenerator], float]


class Trainer:
    """Trains a generator against a critic on real windows.

    Parameters
    ----------
    generator, critic
        The networks; trained in place.
    windows
        Real windows of ``generator.config.n_frames`` frames.
    stretches
        Real stretches as long as one or more such windows in a row, each beginning with the context of the first, from the same
        series.
    seed
        Root seed of the random numbers of training.
    labels
        Encoded label of every series of `windows`, ``(n_series, n_labels)``; None without.
    score
        Distance of what a generator draws from validation data, the lower the better. It is measured at the end of the likelihood
        stage and five times in the adversarial one, and `selected` is the average that was best. None keeps the last one.
    config
        How to train.

    Attributes
    ----------
    average : torch.optim.swa_utils.AveragedModel
        Running average of the generator.
    n_skipped : int
        Updates that were not made because a loss or gradient was not finite; each halves the learning rates.
    scores : list of dict
        Step and score of the candidates.
    chains : dict of torch.Tensor
        Of the adversarial stage: ``context``, the frames that the generator wrote last, ``real``, what followed in the simulation,
        and their ``labels``; empty where new ones are to begin.
    history : list of dict
        Learning curve: step, loss and, in the adversarial stage, Wasserstein distance.
    """

    def __init__(
        self,
        generator: WindowGenerator,
        critic: MultiScaleCritic,
        windows: WindowSource,
        stretches: WindowSource,
        *,
        seed: int,
        labels: Tensor | None = None,
        score: Score | None = None,
        config: TrainingConfig | None = None,
    ) -> None:
        self.config = config or TrainingConfig()
        self.generator, self.critic = generator, critic
        self.average = exponential_average(generator)
        self.history: list[dict[str, float]] = []
        self.step = 0
        self.n_likelihood_steps = self.n_adversarial_steps = 0
        self.n_skipped = 0
        self._refused = False
        self._score = score
        self.best: dict[str, Tensor] = {}
        self.scores: list[dict[str, float]] = []
        self.chains: dict[str, Tensor] = {}
        self._windows, self._stretches = windows, stretches
        self._labels = labels
        self._device = generator.encoding.mean.device
        seeds = Seeds(seed)
        self.rng = seeds.numpy("training windows")
        self.noise = seeds.torch("training noise", str(self._device))
        self.likelihood_optimizer = torch.optim.Adam(generator.parameters(), betas=(0.9, 0.99), fused=True)
        self.generator_optimizer = torch.optim.Adam(generator.parameters(), betas=(0.0, 0.9), fused=True)
        self.critic_optimizer = torch.optim.Adam(critic.parameters(), betas=(0.0, 0.9), fused=True)

    @property
    def n_steps(self) -> int:
        """Steps of both stages."""
        return self.n_likelihood_steps + self.n_adversarial_steps

    def plan_steps(self, n_steps: int) -> None:
        """Divide a number of steps between the stages."""
        self.n_likelihood_steps = round(n_steps * self.config.likelihood_share)
        self.n_adversarial_steps = n_steps - self.n_likelihood_steps

    def run(
        self,
        *,
        until: int | None = None,
        progress: Callable[[int, int, dict[str, float]], None] | None = None,
        checkpoint: Callable[[], None] | None = None,
        checkpoint_seconds: float = 30.0,
    ) -> None:
        """Train from where the trainer stands to the planned number of steps.

        Parameters
        ----------
        until
            Stop earlier, after this step.
        progress
            Called after every step with the step, the number of steps and the figures of the step.
        checkpoint
            Called about every `checkpoint_seconds`, and when Ctrl-C or SIGTERM stops the training, which they do between
            steps.

        Raises
        ------
        NonFiniteError
            If losses or gradients stay NaN or infinite although the learning rates were halved.
        KeyboardInterrupt
            After Ctrl-C or SIGTERM.
        """
        last_checkpoint = time.monotonic()
        with deferred_interrupt() as interrupted:
            while self.step < min(self.n_steps, until or self.n_steps) and not interrupted():
                figures = self.train_step()
                if progress is not None:
                    progress(self.step, self.n_steps, figures)
                if checkpoint is not None and time.monotonic() - last_checkpoint > checkpoint_seconds:
                    checkpoint()
                    last_checkpoint = time.monotonic()
            if interrupted():
                if checkpoint is not None:
                    checkpoint()
                raise KeyboardInterrupt

    def train_step(self) -> dict[str, float]:
        """Take the next step of whichever stage it belongs to."""
        self._refused = False
        if self.step < self.n_likelihood_steps:
            figures = self._likelihood_step(self.step / self.n_likelihood_steps)
        else:
            if self.step == self.n_likelihood_steps:
                self.generator.load_state_dict(self.average.module.state_dict())
            figures = self._adversarial_step((self.step - self.n_likelihood_steps) / self.n_adversarial_steps)
        self.step += 1
        self.average.update_parameters(self.generator)
        if self._refused or not all(np.isfinite(value) for value in figures.values()):
            self.n_skipped += 1
            if self.n_skipped > _MOST_SKIPPED:
                raise NonFiniteError(
                    f"training step {self.step}: the loss or its gradient is not finite ({figures}), although the learning rate "
                    f"was halved {_MOST_SKIPPED} times; "
                    "look for features that hardly vary or take few values, or lower likelihood_rate"
                )
        elif self.step % max(1, self.n_steps // _HISTORY_POINTS) == 0:
            self.history.append({"step": self.step, **figures})
        if self._score is not None and self.step in self._candidate_steps():
            self._judge(self._score)
        return figures

    def _candidate_steps(self) -> set[int]:
        first, n = self.n_likelihood_steps, self.n_adversarial_steps
        return {first + round(n * part / _CANDIDATES) for part in range(_CANDIDATES + 1)} if n else {first}

    def _judge(self, score: Score) -> None:
        found = score(self.selected)
        best = min((one["score"] for one in self.scores if math.isfinite(one["score"])), default=math.inf)
        self.scores.append({"step": self.step, "score": found})
        if found < best:
            self.best = _copied(self.average.module.state_dict())

    @property
    def selected(self) -> WindowGenerator:
        """The average of the weights: the best candidate once training has ended, before that the current one."""
        generator = copy.deepcopy(self.average.module)
        if self.step == self.n_steps and self.best and self.scores[-1]["step"] == self.step:
            generator.load_state_dict(self.best)
        assert isinstance(generator, WindowGenerator)
        return generator.eval()

    def _draw(self, n: int, source: WindowSource) -> tuple[Tensor, Tensor | None]:
        """Return real windows or stretches in reduced coordinates, and their labels."""
        n_values = self.generator.config.n_frames * self.generator.encoding.n_features
        most = max(_MOST_VALUES // n_values, _FEWEST_WINDOWS)
        values, series = source.draw(min(n, most), self.rng)
        windows = self.generator.encoding.reduce(torch.from_numpy(values).to(self._device))
        return windows, None if self._labels is None else self._labels[torch.from_numpy(series)]

    def _likelihood_of(self, windows: Tensor, labels: Tensor | None) -> Tensor:
        known = self.generator.config.context_length
        if self.rng.random() < self.config.partial_context_share:
            known = int(self.rng.integers(known + 1)) if self.rng.random() < 0.5 else 0
        given = None
        if self.rng.random() < self.config.given_share:
            given = torch.from_numpy(draw_given(windows.shape, self.generator.config.window_length, self.rng)).to(self._device)
        return self.generator.negative_log_likelihood(
            windows, known, self.config.likelihood_frames, self.noise, labels=labels, given=given
        )

    @property
    def _caution(self) -> float:
        """Factor of all learning rates."""
        return 0.5**self.n_skipped

    def _likelihood_step(self, done: float) -> dict[str, float]:
        loss = self._likelihood_of(*self._draw(self.config.likelihood_windows, self._windows))
        rate = self.config.likelihood_rate * max(0.02, 1 - done)
        self._descend(self.likelihood_optimizer, loss, rate * self._caution, clip=10.0)
        return {"loss": loss.item()}

    def _next_of_chains(self) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return real windows, the same with the frames in front of them as the generator wrote them, and their labels."""
        n_known = self.generator.config.context_length + 1
        if not self.chains:
            stretches, labels = self._draw(self.config.adversarial_windows, self._stretches)
            self.chains = {"real": stretches, "context": stretches[:, :n_known]} | ({} if labels is None else {"labels": labels})
        real = self.chains["real"][:, : self.generator.config.n_frames]
        return real, torch.cat([self.chains["context"], real[:, n_known:]], dim=1), self.chains.get("labels")

    def _go_on(self, written: Tensor) -> None:
        """Let the next windows continue these, unless the real stretches end here."""
        config = self.generator.config
        left = self.chains["real"][:, config.window_length :]
        if left.shape[1] < config.n_frames:
            self.chains = {}
        else:
            self.chains |= {"real": left, "context": written[:, config.window_length :]}

    def _adversarial_step(self, done: float) -> dict[str, float]:
        config, context_length = self.config, self.generator.config.context_length
        decay = min(1.0, max(0.02, 2 * (1 - done))) * self._caution
        real, begun, labels = self._next_of_chains()
        n_patches = config.patches_per_window * config.adversarial_windows // len(real)
        positions = self.critic.draw_positions(len(real), n_patches, context_length + 1, self.noise)
        critic_only = done < config.critic_head_start
        with torch.set_grad_enabled(not critic_only):
            fake = self.generator.sample(begun, context_length, self.noise, labels=labels, differentiable=True)
        self._go_on(fake.detach())
        fake_patches = self.critic.patches(fake, positions, labels)
        real_patches = self.critic.patches(real, positions, labels)
        loss = torch.zeros((), device=self._device)
        distance = torch.zeros((), device=self._device)
        for scale, (real_patch, fake_patch) in enumerate(zip(real_patches, fake_patches, strict=True)):
            scale_loss, scale_distance = critic_loss(
                partial(self.critic.score, scale),
                real_patch,
                fake_patch.detach(),
                config.penalty_weight,
                self.noise,
            )
            loss, distance = loss + scale_loss, distance + scale_distance
        self._descend(self.critic_optimizer, loss, config.critic_rate * decay)
        if not critic_only:
            self.critic.requires_grad_(False)
            scores = [self.critic.score(scale, patches) for scale, patches in enumerate(fake_patches)]
            anchor = self._likelihood_of(*self._draw(config.likelihood_windows, self._windows))
            adversarial = torch.stack([generator_loss(score) for score in scores]).sum()
            refined = adversarial + config.anchor_weight * anchor
            self._descend(self.generator_optimizer, refined, config.generator_rate * decay, clip=5.0)
            self.critic.requires_grad_(True)
        if self._refused:
            self.chains = {}
        return {"loss": loss.item(), "distance": distance.item()}

    def _descend(self, optimizer: torch.optim.Optimizer, loss: Tensor, rate: float, clip: float = math.inf) -> None:
        """Take a step down the gradient, unless it is not finite."""
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_([p for group in optimizer.param_groups for p in group["params"]], clip)
        if bool(torch.isfinite(norm)):
            optimizer.step()
        else:
            self._refused = True

    def time_steps(self) -> tuple[float, float]:
        """Seconds a step of each stage takes here; the trainer is left as it was."""
        state = self.state()
        counts = (self.n_likelihood_steps, self.n_adversarial_steps)
        seconds = []
        for likelihood, adversarial, head_start in ((10**9, 1, 0), (0, 10**9, 10**9 // 2)):
            self.n_likelihood_steps, self.n_adversarial_steps, self.step = likelihood, adversarial, head_start
            self.train_step()
            start = time.perf_counter()
            for _ in range(_TIMED_STEPS):
                self.train_step()
            seconds.append((time.perf_counter() - start) / _TIMED_STEPS)
        self.n_likelihood_steps, self.n_adversarial_steps = counts
        self.restore(state)
        return seconds[0], seconds[1]

    def plan_seconds(self, seconds: float) -> None:
        """Choose the number of steps that takes about `seconds` here, from the speed of a few trial steps."""
        likelihood, adversarial = self.time_steps()
        share = self.config.likelihood_share
        self.plan_steps(max(2, round(seconds / (share * likelihood + (1 - share) * adversarial))))

    def state(self) -> dict[str, Any]:
        """Everything training depends on, as nested dictionaries of tensors and plain values; a copy."""
        optimizers = {
            "likelihood_optimizer": self.likelihood_optimizer,
            "generator_optimizer": self.generator_optimizer,
            "critic_optimizer": self.critic_optimizer,
        }
        return {
            "step": self.step,
            "n_likelihood_steps": self.n_likelihood_steps,
            "n_adversarial_steps": self.n_adversarial_steps,
            "history": list(self.history),
            "n_skipped": self.n_skipped,
            "scores": list(self.scores),
            "best": _copied(self.best),
            "chains": _copied(self.chains),
            "rng": self.rng.bit_generator.state,
            "noise": self.noise.get_state().clone(),
            "generator": _copied(self.generator.state_dict()),
            "critic": _copied(self.critic.state_dict()),
            "average": _copied(self.average.state_dict()),
            **{name: _moments(optimizer) for name, optimizer in optimizers.items()},
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Set everything back to what `state` returned."""
        self.step = state["step"]
        self.n_likelihood_steps, self.n_adversarial_steps = state["n_likelihood_steps"], state["n_adversarial_steps"]
        self.history, self.n_skipped = list(state["history"]), state["n_skipped"]
        self.scores, self.best = list(state["scores"]), _copied(state["best"])
        self.chains = _copied(state["chains"])
        self.rng.bit_generator.state = state["rng"]
        self.noise.set_state(state["noise"].cpu())
        self.generator.load_state_dict(state["generator"])
        self.critic.load_state_dict(state["critic"])
        self.average.load_state_dict(state["average"])
        for name in ("likelihood_optimizer", "generator_optimizer", "critic_optimizer"):
            optimizer: torch.optim.Optimizer = getattr(self, name)
            groups = optimizer.state_dict()["param_groups"]
            moments: dict[int, dict[str, Tensor]] = {}
            for key, value in state[name].items():
                index, moment = key.split(".")
                moments.setdefault(int(index), {})[moment] = value.clone()
            optimizer.load_state_dict({"state": moments, "param_groups": groups})


def _copied(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in tensors.items()}


def _moments(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Adam's moments by parameter and name; learning rates are set anew at every step."""
    state = optimizer.state_dict()["state"]
    return {f"{index}.{name}": value.detach().clone() for index, moments in state.items() for name, value in moments.items()}
