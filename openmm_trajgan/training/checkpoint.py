"""Exact resume: the whole state of a trainer in one file of tensors and JSON."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save

from openmm_trajgan.errors import InputError
from openmm_trajgan.models.bundle import CONTRADICTIONS, read_safetensors
from openmm_trajgan.schema import FORMAT_VERSION, written_by
from openmm_trajgan.storage import replacing
from openmm_trajgan.untrusted import parse_json

_FORMAT = "openmm-trajgan checkpoint"


def save_checkpoint(path: Path, state: Mapping[str, Any], about: Mapping[str, Any]) -> None:
    """Write `state` of a `Trainer`, and what the run is about, to `path`, complete or not at all.

    Parameters
    ----------
    path
        The file.
    state
        What `Trainer.state` returned.
    about
        Plain values that `load_checkpoint` gives back, for example the configuration of the run.
    """
    tensors: dict[str, torch.Tensor] = {}
    plain: dict[str, Any] = {}
    for key, value in state.items():
        if isinstance(value, torch.Tensor):
            tensors[key] = value.cpu().contiguous()
        elif isinstance(value, dict) and all(isinstance(item, torch.Tensor) for item in value.values()):
            plain[key] = {}  # keeps the key when there is no tensor in it
            tensors.update({f"{key}/{name}": tensor.cpu().contiguous() for name, tensor in value.items()})
        else:
            plain[key] = value
    metadata = {
        "format": _FORMAT,
        "version": str(FORMAT_VERSION),
        "package": written_by(),
        "state": json.dumps(plain),
        "about": json.dumps(dict(about)),
    }
    with replacing(path) as file:
        file.write(save(tensors, metadata))


def load_checkpoint(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read back the state and the plain values of `save_checkpoint`.

    Raises
    ------
    InputError
        If the file is missing, not complete or of another kind.
    """
    metadata, tensors = read_safetensors(path, _FORMAT)
    try:
        state = parse_json(metadata["state"])
        for name, tensor in tensors.items():
            group, _, inner = name.partition("/")
            if inner:
                state[group][inner] = tensor
            else:
                state[group] = tensor
        return state, parse_json(metadata["about"])
    except CONTRADICTIONS as error:
        raise contradiction(path, error) from error


def seed_of(path: Path, about: Mapping[str, Any]) -> int:
    """Return the root seed of what was stopped, from the plain values of its checkpoint.

    Raises
    ------
    InputError
        If it is no seed.
    """
    seed = about.get("seed")
    if type(seed) is not int or seed < 0:
        raise contradiction(path, ValueError(f"seed: expected 0 or more, found {seed!r}"))
    return seed


def require_same_run(path: Path, about: Mapping[str, Any], asked: Mapping[str, Any], what: str) -> None:
    """Refuse to go on with something else than was stopped.

    Parameters
    ----------
    path
        Checkpoint.
    about
        Its plain values.
    asked
        Those of what is asked for now.
    what
        ``"training"`` or ``"generation"``.

    Raises
    ------
    InputError
        Naming the first value that differs.
    """
    for name, value in asked.items():
        if about.get(name) != value:
            raise InputError(f"{path}: belongs to a {what} with {name} {about.get(name)}, found {value}; begin anew without resume")


def contradiction(path: Path, error: Exception) -> InputError:
    """Return the error to raise for a checkpoint that a trainer cannot be set to."""
    reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
    return InputError(f"{path}: the checkpoint contradicts itself ({reason}); begin anew without resume")
