"""A generation that was interrupted goes on where it stood, and gives what it would have given."""

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray

from openmm_trajgan.models.bundle import CONTRADICTIONS, ModelBundle
from openmm_trajgan.seeding import Seeds
from openmm_trajgan.training.checkpoint import contradiction, load_checkpoint, require_same_run, save_checkpoint, seed_of
from openmm_trajgan.training.interrupt import deferred_interrupt

_SECONDS = 30.0
State = Callable[[], dict[str, torch.Tensor]]


class Continuation:
    """State of an unfinished generation in a file.

    Parameters
    ----------
    path
        The file, written about every half minute and when Ctrl-C or SIGTERM stops the generation; None keeps no file.
    about
        Plain values that the result depends on, besides the seed.
    seed
        Root seed; None draws one, or takes that of the file.
    resume
        Begin with what the file holds, if it exists.
    device
        Where noise is drawn.

    Attributes
    ----------
    state : dict or None
        What to go on from.
    seed : int
        Root seed.

    Raises
    ------
    InputError
        If the file belongs to another generation.
    """

    def __init__(self, path: Path | None, about: Mapping[str, Any], *, seed: int | None, resume: bool, device: str = "cpu") -> None:
        self._path = path
        self.state: dict[str, torch.Tensor] | None = None
        if path is None or not (resume and path.exists()):
            self.seed = Seeds(seed).root
            self._about = {**about, "seed": self.seed}
            return
        state, found = load_checkpoint(path)
        begun_with = seed_of(path, found)
        self.seed = begun_with if seed is None else seed
        self._about = {**about, "seed": self.seed}
        require_same_run(path, found, self._about, "generation")
        try:
            frames: torch.Tensor = state["frames"]
            noise: torch.Tensor = state["noise"]
            n_done = frames.shape[1]
            if frames.dtype != torch.float32 or frames.shape != (about["trajectories"], n_done, about["features"]):
                raise ValueError(f"frames: found {frames.dtype} of shape {tuple(frames.shape)}")
            if n_done > about["frames"]:
                raise ValueError(f"frames: expected at most {about['frames']}, found {n_done}")
            torch.Generator(device).set_state(noise)
        except CONTRADICTIONS as error:
            raise contradiction(path, error) from error
        self.state = {"frames": frames, "noise": noise}

    @property
    def done(self) -> int:
        """Frames of every trajectory that are there already."""
        return 0 if self.state is None else self.state["frames"].shape[1]

    @contextmanager
    def saving(self) -> Iterator[Callable[[State], None] | None]:
        """Yield what `generate_trajectories` calls after every window; None without a file.

        Raises
        ------
        KeyboardInterrupt
            After Ctrl-C or SIGTERM, with the file written.
        """
        if self._path is None:
            yield None
            return
        path, last = self._path, time.monotonic()
        with deferred_interrupt() as interrupted:

            def after_window(state: State) -> None:
                nonlocal last
                if interrupted() or time.monotonic() - last > _SECONDS:
                    save_checkpoint(path, state(), self._about)
                    last = time.monotonic()
                if interrupted():
                    raise KeyboardInterrupt

            yield after_window


def about_generation(
    bundle: ModelBundle, shape: tuple[int, int, int], given: NDArray[Any] | None, labels: NDArray[Any] | None
) -> dict[str, Any]:
    """Return what a generation of `shape` ``(n_trajectories, n_frames, n_features)`` depends on, as plain values."""
    weights = hashlib.sha256()
    for name, tensor in sorted(bundle.generator.state_dict().items()):
        weights.update(name.encode() + tensor.cpu().numpy().tobytes())
    return {
        "trajectories": shape[0],
        "frames": shape[1],
        "features": shape[2],
        "model": weights.hexdigest()[:16],
        "given": None if given is None else hashlib.sha256(given.tobytes()).hexdigest()[:16],
        "labels": None if labels is None else labels.tolist(),
    }
