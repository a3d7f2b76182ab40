"""Fit and generate: the model as one object."""

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self

import torch
from numpy.typing import ArrayLike

from openmm_trajgan.analysis.inputs import as_trajectories
from openmm_trajgan.arguments import require_positive, whole_number
from openmm_trajgan.buffer import WindowBuffer
from openmm_trajgan.errors import InputError, first_line
from openmm_trajgan.generation.given import given_frames
from openmm_trajgan.generation.sampler import generate_trajectories
from openmm_trajgan.models.bundle import CONTRADICTIONS, ModelBundle
from openmm_trajgan.models.conditioning import Label, LabelEncoding
from openmm_trajgan.schema import FeatureSchema, FeatureTrajectories, require_trajectories
from openmm_trajgan.seeding import Seeds
from openmm_trajgan.training.checkpoint import contradiction, load_checkpoint, require_same_run, save_checkpoint, seed_of
from openmm_trajgan.training.config import TrainingConfig
from openmm_trajgan.training.trainer import Trainer
from openmm_trajgan.workflows.choices import choose_steps, choose_window_length
from openmm_trajgan.workflows.continuation import Continuation, about_generation
from openmm_trajgan.workflows.labels import encoded_labels, labels_by_replica, labels_of_validation
from openmm_trajgan.workflows.preparation import prepared_trainer
from openmm_trajgan.workflows.progress import progress_bar

_CONTEXT_LENGTH = 64


@contextmanager
def _one_thread() -> Iterator[None]:
    """Run PyTorch on one core: networks this small gain nothing from more, and sums come out the same on every machine size."""
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(n_threads)


class TrajGAN:
    """Learns the joint law of whole windows of a time series and generates trajectories of any length.

    Parameters
    ----------
    window_length
        Frames drawn in one shot, at least 4. None chooses about the time of the slowest process of the data, 16 to 512 frames, but
        more than 32 only if the data would hold ten thousand of them end to end; `training_record` says what and why.
    context_length
        How many frames before the newest one the continuation may depend on; fewer where the trajectories are short.
    training
        How to train; see `openmm_trajgan.training.config.TrainingConfig`.
    device
        Where to train and generate, as PyTorch spells it.

    Raises
    ------
    InputError
        If `window_length` is no whole number from 4 on, `context_length` none from 0 on, or the device not available.

    Examples
    --------
    >>> import numpy as np
    >>> from openmm_trajgan import FeatureSchema, FeatureTrajectories
    >>> schema = FeatureSchema(names=("x",), units=("nm",), periods=(None,), frame_interval=1.0)
    >>> walk = np.cumsum(np.random.default_rng(0).normal(size=(500, 1)), axis=0)
    >>> data = FeatureTrajectories([walk - 0.05 * np.arange(500)[:, None]], schema)
    >>> gan = TrajGAN(window_length=8).fit(data, steps=4, seed=1, progress=False)
    >>> gan.generate(n_frames=20, n_trajectories=2, seed=2).n_frames
    40
    """

    def __init__(
        self,
        window_length: int | None = None,
        *,
        context_length: int = _CONTEXT_LENGTH,
        training: TrainingConfig | None = None,
        device: str = "cpu",
    ) -> None:
        self.window_length = None if window_length is None else whole_number(window_length, "window_length", 4)
        self.context_length = whole_number(context_length, "context_length", 0)
        _require_device(device)
        self.training = training or TrainingConfig()
        self.device = device
        self._bundle: ModelBundle | None = None

    @_one_thread()
    def fit(
        self,
        data: FeatureTrajectories | WindowBuffer,
        *,
        labels: Mapping[str, Label] | Sequence[Label] | None = None,
        validation: FeatureTrajectories | WindowBuffer | None = None,
        validation_labels: Mapping[str, Label] | Sequence[Label] | None = None,
        minutes: float | None = None,
        steps: int | None = None,
        seed: int | None = None,
        checkpoint: Path | str | None = None,
        resume: bool = False,
        progress: bool = True,
    ) -> Self:
        """Train on every trajectory of `data`; keep those you want to judge the model with out of it.

        Parameters
        ----------
        data
            Time series, or the buffer that holds them.
        labels
            Condition that every replica was simulated under, by name or in their order (a buffer sorts names): a number, such as a
            temperature, between whose values `generate` interpolates, or a text. None trains without.
        validation
            Other trajectories of the same features, used to choose between the models of several stages of the training; neither
            train nor judge with them. None keeps the last model.
        validation_labels
            Conditions of the validation replicas, as `labels`. None takes what `labels` says of them by name, or else their buffer.
        minutes
            How long to train, instead of `steps`; it is turned into a number of steps by timing a few, so two runs differ by that
            number: `training_record` tells it, and `steps` repeats it exactly.
        steps
            Number of training steps. With neither, the number of frames decides: 2000 steps for 50,000 frames, at most 6000.
        seed
            Root seed; None draws one and records it.
        checkpoint
            File for the state of the training, written every half minute and when interrupted.
        resume
            Continue from `checkpoint`; the result is what the uninterrupted training would have given.
        progress
            Whether to show a progress bar.

        Raises
        ------
        InputError
            If arguments cannot be, no trajectory is as long as a window, or the checkpoint belongs to another training.
        NonFiniteError
            If the training diverges.
        """
        trajectories = require_trajectories(data.trajectories() if isinstance(data, WindowBuffer) else data)
        if minutes is not None and steps is not None:
            raise InputError(f"expected minutes or steps, found both, {minutes} and {steps}; leave one out")
        if minutes is not None:
            require_positive(minutes, "minutes", "minutes")
        steps = None if steps is None else whole_number(steps, "steps", 2)
        path = None if checkpoint is None else Path(checkpoint)
        begun = load_checkpoint(path) if resume and path is not None and path.exists() else None
        begun_with = None if begun is None or path is None else seed_of(path, begun[1])
        root = Seeds(begun_with if seed is None else seed).root
        by_replica = labels_by_replica(labels, trajectories.replica_names)
        stored = validation.labels if isinstance(validation, WindowBuffer) else {}
        validation = None if validation is None else as_trajectories(validation, "validation")
        asked = labels_of_validation(validation, validation_labels, labels, stored)
        if self.window_length is None:
            window_length, choice = choose_window_length(trajectories)
        else:
            window_length, choice = self.window_length, f"windows of {self.window_length} frames, as asked"
        trainer = prepared_trainer(
            trajectories,
            window_length=window_length,
            context_length=self.context_length,
            labels=by_replica,
            validation=validation,
            validation_labels=asked,
            config=self.training,
            seed=root,
            device=self.device,
        )
        run = {
            "seed": root,
            "steps": steps,
            "window_length": window_length,
            "context_length": trainer.generator.config.context_length,
            "config": trainer.config.as_dict(),
            "features": trajectories.schema.digest,
            "data": trajectories.digest[:16],
            "labels": by_replica,
            "validation": None if validation is None else validation.digest[:16],
            "validation_labels": asked,
        }
        if begun is not None and path is not None:
            state, about = begun
            require_same_run(path, about, run, "training")
            _continue(trainer, path, state)
        elif steps is not None or minutes is None:
            trainer.plan_steps(steps or choose_steps(trajectories.n_frames))
        else:
            trainer.plan_seconds(60 * minutes)
        of_data = f"for {trajectories.n_frames} frames"
        why = "as asked" if steps is not None else of_data if minutes is None else f"in {minutes:g} minutes"
        choice = f"{choice}; {trainer.n_steps} steps, {why}"
        start = time.perf_counter()
        with progress_bar(trainer.n_steps, "training", "step", done=trainer.step, shown=progress) as bar:
            if progress:
                bar.write(choice, file=sys.stderr)

            def show(step: int, n_steps: int, figures: dict[str, float]) -> None:
                bar.set_postfix({name: f"{value:.3f}" for name, value in figures.items()}, refresh=False)
                bar.update()

            save = None if path is None else lambda: save_checkpoint(path, trainer.state(), run)
            trainer.run(progress=show, checkpoint=save)
        shortest = trainer.generator.config.n_frames  # others are left out
        used = [pair for pair in zip(trajectories.replicas, trajectories, strict=True) if len(pair[1]) >= shortest]
        record = {
            **run,
            "choice": choice,
            "n_frames": sum(len(series) for _, series in used),
            "n_likelihood_steps": trainer.n_likelihood_steps,
            "n_adversarial_steps": trainer.n_adversarial_steps,
            "seconds": round(time.perf_counter() - start, 1),
            "replicas": sorted({name for name, _ in used}),
            "history": trainer.history,
            "scores": trainer.scores,
            "n_skipped": trainer.n_skipped,
            "versions": {name: version(name) for name in ("openmm-trajgan", "torch", "numpy")},
        }
        encoding = None if by_replica is None else LabelEncoding.of(list(by_replica.values()))
        self._bundle = ModelBundle(trainer.selected, trajectories.schema, encoding, record)
        return self

    @property
    def bundle(self) -> ModelBundle:
        """The trained model.

        Raises
        ------
        InputError
            If there is none yet.
        """
        if self._bundle is None:
            raise InputError("this TrajGAN has not been trained; call fit(data) or TrajGAN.load(path) first")
        return self._bundle

    @property
    def schema(self) -> FeatureSchema:
        """What the features are."""
        return self.bundle.schema

    @property
    def training_record(self) -> dict[str, Any]:
        """How the model was trained: seed, steps, seconds, replicas, learning curve, versions."""
        return self.bundle.training

    @_one_thread()
    def generate(
        self,
        n_frames: int,
        n_trajectories: int = 1,
        *,
        start: ArrayLike | None = None,
        end: ArrayLike | None = None,
        given: ArrayLike | None = None,
        label: Label | Sequence[Label] | None = None,
        seed: int | None = None,
        checkpoint: Path | str | None = None,
        resume: bool = False,
        progress: bool = False,
    ) -> FeatureTrajectories:
        """Draw independent trajectories at the frame interval of the training data.

        Parameters
        ----------
        n_frames, n_trajectories
            Frames per trajectory and number of trajectories.
        start
            First frame or frames, physical units: ``(n_features,)`` or ``(k, n_features)`` for all trajectories, or
            ``(n_trajectories, k, n_features)``. They are the first frames of what is returned.
        end
            Last frame or frames, likewise; with `start` too, trajectories are bridges. `n_frames` may be as long as a window and
            the frames before it, so that all that is drawn knows of the end.
        given
            Anything else that must come out as it is: ``(n_frames, n_features)`` or ``(n_trajectories, n_frames, n_features)`` with
            NaN for what is to be drawn, for example every tenth frame of a trajectory, or some of the features.
        label
            Condition, for all trajectories or one for each, if the model was trained with labels.
        seed
            Root seed; None draws one and records it in the provenance.
        checkpoint
            File for what is done so far, written every half minute and when interrupted.
        resume
            Continue from `checkpoint`; the result is what the uninterrupted generation would have given.
        progress
            Whether to show a progress bar.

        Returns
        -------
        FeatureTrajectories
            `n_trajectories` series ``(n_frames, n_features)``, physical units.

        Raises
        ------
        InputError
            If a number or shape does not fit, the end is too far away, labels are missing or unknown, or the checkpoint belongs to
            another generation.
        """
        n_frames, n_trajectories = whole_number(n_frames, "n_frames"), whole_number(n_trajectories, "n_trajectories")
        labels = encoded_labels(self.bundle.labels, label, n_trajectories)
        shape = (n_trajectories, n_frames, self.schema.n_features)
        frames = given_frames(shape, self.bundle.generator.config.window_length, start=start, end=end, given=given)
        path = None if checkpoint is None else Path(checkpoint)
        about = about_generation(self.bundle, shape, frames, labels)
        run = Continuation(path, about, seed=seed, resume=resume, device=self.device)
        with progress_bar(n_frames, "generating", "frame", done=run.done, shown=progress) as bar, run.saving() as save:
            return generate_trajectories(
                self.bundle.generator,
                self.schema,
                n_frames=n_frames,
                n_trajectories=n_trajectories,
                given=frames,
                labels=labels,
                seed=run.seed,
                progress=lambda done: bar.update(done - bar.n),
                state=run.state,
                checkpoint=save,
            )

    def save(self, path: Path | str) -> None:
        """Write the trained model to one file that holds no pickle."""
        self.bundle.save(path)

    @classmethod
    def load(cls, path: Path | str, device: str = "cpu") -> "TrajGAN":
        """Read a model written by `save`.

        Raises
        ------
        InputError
            If the file is missing, truncated, of another kind or of a newer format.
        """
        _require_device(device)
        bundle = ModelBundle.load(path, device)
        config = bundle.generator.config
        gan = cls(config.window_length, context_length=config.context_length, device=device)
        gan._bundle = bundle
        return gan


def _require_device(device: str) -> None:
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"device {device!r} is not available here ({first_line(error)}); use 'cpu'") from error


def _continue(trainer: Trainer, path: Path, state: dict[str, Any]) -> None:
    """Take up a training that was stopped."""
    try:
        trainer.restore(state)
    except CONTRADICTIONS as error:
        raise contradiction(path, error) from error
