"""Conditions of replicas: as a user gives them, as a buffer holds them, and as numbers for the networks."""

import re
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from openmm_trajgan.buffer import WindowBuffer
from openmm_trajgan.errors import InputError
from openmm_trajgan.models.conditioning import Label, LabelEncoding
from openmm_trajgan.schema import FeatureTrajectories


def parse_labels(texts: list[str]) -> list[str] | list[float]:
    """Return labels as numbers if all of them are."""
    try:
        return [float(text) for text in texts]
    except ValueError:
        return texts


def stored_labels(data: FeatureTrajectories | WindowBuffer) -> dict[str, str | float] | None:
    """Return the conditions that a buffer holds, if there is more than one to tell apart."""
    labels = data.labels if isinstance(data, WindowBuffer) else {}
    return labels if len(set(labels.values())) > 1 else None


def labels_by_replica(
    labels: Mapping[str, Label] | Sequence[Label] | None, replicas: Sequence[str], argument: str = "labels"
) -> dict[str, Label] | None:
    """Return labels by replica, as plain values; `argument` is what errors call them.

    Raises
    ------
    InputError
        If a replica has no label, or one that is neither a number nor a text, or the order of the replicas is not what one would
        expect.
    """
    if labels is None:
        return None
    if not isinstance(labels, Mapping):
        if len(labels) != len(replicas):
            raise InputError(f"{argument}: expected one for each of {len(replicas)} replicas, found {len(labels)}")
        if list(replicas) == sorted(replicas) != sorted(replicas, key=_by_number):
            raise InputError(
                f"{argument}: replicas are sorted as text, {', '.join(replicas[:4])} …; give labels by name, "
                f"{argument}={{{replicas[0]!r}: …}}, or number replicas with leading zeros"
            )
        labels = dict(zip(replicas, labels, strict=True))
    missing = [replica for replica in replicas if replica not in labels]
    if missing:
        raise InputError(f"{argument}: no label for {missing[0]!r}; give one for each of {', '.join(replicas)}")
    for replica in replicas:
        if not isinstance(labels[replica], str | int | float | np.number):
            raise InputError(f"{argument}: expected a number or a text for {replica!r}, found {labels[replica]!r}")
    return {replica: str(label) if isinstance(label := labels[replica], str) else float(label) for replica in replicas}


def labels_of_validation(
    validation: FeatureTrajectories | None,
    given: Mapping[str, Label] | Sequence[Label] | None,
    labels: Mapping[str, Label] | Sequence[Label] | None,
    stored: Mapping[str, Label],
) -> list[Label] | None:
    """Return the label of every validation series; None for a training without labels or validation data.

    Parameters
    ----------
    validation
        The data.
    given
        Their labels, by name or in the order of the replicas; None looks in the others.
    labels
        Those of the training, which may name validation replicas too.
    stored
        Those that a buffer of the validation data holds.

    Raises
    ------
    InputError
        If a replica has none, or there is nothing that they belong to.
    """
    if validation is None or labels is None:
        if given is not None:
            raise InputError("validation_labels: expected labels and validation data beside them; give both or leave this out")
        return None
    if given is None:
        given = {**stored, **(labels if isinstance(labels, Mapping) else {})}
    by_replica = labels_by_replica(given, validation.replica_names, "validation_labels") or {}
    return [by_replica[replica] for replica in validation.replicas]


def _by_number(name: str) -> list[str | int]:
    """Sort 2 before 10."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", name)]


def encoded_labels(
    encoding: LabelEncoding | None, label: Label | Sequence[Label] | None, n_trajectories: int
) -> NDArray[np.float32] | None:
    """Return the conditions asked for as numbers, ``(n_trajectories, n_labels)``; None for a model without."""
    if encoding is None:
        if label is not None:
            raise InputError(f"label: found {label!r}, but this model was trained without labels; leave it out")
        return None
    if label is None:
        known = f"{encoding.values[0]} to {encoding.values[-1]}" if encoding.continuous else ", ".join(map(str, encoding.values))
        raise InputError(f"label: this model was trained with labels and needs one; give one of {known}")
    asked = [label] * n_trajectories if isinstance(label, str | int | float | np.number) else list(label)
    if len(asked) != n_trajectories:
        raise InputError(f"label: expected one label or {n_trajectories}, found {len(asked)}")
    return encoding.encode(asked)
