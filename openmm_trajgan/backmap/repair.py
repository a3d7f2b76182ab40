"""Frames with clashes repaired, the rest as they are."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from openmm_trajgan.backmap.base import FloatArray, Structures
from openmm_trajgan.backmap.frames import POSITIONS_AT_ONCE, Frame, FrameSource
from openmm_trajgan.backmap.relax import Relax
from openmm_trajgan.schema import FeatureSchema


class RepairedFrames:
    """Frames of another source, some of them replaced.

    Parameters
    ----------
    source
        Where the other frames come from.
    frames
        Which are replaced, ascending, ``(n_repaired,)``.
    positions
        By what, ``(n_repaired, n_atoms, 3)`` float32, nm.
    flags
        Of all frames by name, each ``(n_frames,)``.
    """

    def __init__(
        self, source: FrameSource, frames: NDArray[np.intp], positions: FloatArray, flags: dict[str, NDArray[Any]]
    ) -> None:
        self._source, self._frames, self._positions = source, frames, positions
        self.flags, self.periodic = flags, source.periodic

    @property
    def n_atoms(self) -> int:
        """Atoms in each frame."""
        return self._source.n_atoms

    def frame(self, frame: int) -> Frame:
        """Return positions, flags and box of one frame."""
        positions, _, box = self._source.frame(frame)
        row = int(np.searchsorted(self._frames, frame))
        if row < len(self._frames) and self._frames[row] == frame:
            positions = self._positions[row]
        return positions, {name: values[frame] for name, values in self.flags.items()}, box

    def block(self, start: int, stop: int) -> Structures:
        """Return consecutive frames."""
        made = self._source.block(start, stop)
        assert made.positions is not None
        positions = made.positions.copy()
        rows = slice(*np.searchsorted(self._frames, (start, stop)).tolist())
        positions[self._frames[rows] - start] = self._positions[rows]
        return Structures(positions, None, {name: values[start:stop] for name, values in self.flags.items()})


def repair(source: FrameSource, n_frames: int, relax: Relax, schema: FeatureSchema) -> tuple[RepairedFrames, dict[str, Any]]:
    """Minimise the frames with flag ``"clash"`` and say what moved.

    Parameters
    ----------
    source
        Frames with that flag.
    n_frames
        All there are.
    relax
        What minimises.
    schema
        Of the features.

    Returns
    -------
    RepairedFrames
        All frames, with the flags ``"clash"``, whether a frame clashes now, ``"repaired"``, whether it was minimised, and
        ``"moved"``, root mean square distance of its atoms from where they were, superposed, nm.
    dict
        For provenance: numbers of frames, how far they and their features moved.
    """
    length = max(1, POSITIONS_AT_ONCE // source.n_atoms)
    flags: dict[str, list[NDArray[Any]]] = {}
    frames, positions, changes = [], [], []
    for start in range(0, n_frames, length):
        made = source.block(start, min(start + length, n_frames))
        assert made.positions is not None
        done = relax(made.positions, made.flags["clash"])
        clash, moved = np.zeros(len(made.positions), dtype=bool), np.zeros(len(made.positions), dtype=np.float32)
        clash[done.frames], moved[done.frames] = done.still_clashing, done.rmsd
        for name, values in (made.flags | {"clash": clash, "repaired": made.flags["clash"], "moved": moved}).items():
            flags.setdefault(name, []).append(values)
        frames.append(start + done.frames)
        positions.append(done.positions[done.frames])
        changes.append(np.abs(done.feature_change))
    known = {name: np.concatenate(values) for name, values in flags.items()}
    repaired = RepairedFrames(source, np.concatenate(frames), np.concatenate(positions), known)
    return repaired, _summary(known, np.concatenate(changes), schema)


def _summary(flags: dict[str, NDArray[Any]], changes: NDArray[np.floating[Any]], schema: FeatureSchema) -> dict[str, Any]:
    moved = flags["moved"][flags["repaired"]]
    summary: dict[str, Any] = {
        "frames": len(flags["clash"]),
        "repaired": len(moved),
        "still clashing": int(flags["clash"].sum()),
    }
    if len(moved):
        columns = zip(schema.names, schema.units, changes.mean(axis=0), changes.max(axis=0), strict=True)
        summary["moved, nm"] = {"median": float(np.median(moved)), "largest": float(moved.max())}
        summary["features moved"] = {
            name: {"unit": unit, "mean": float(mean), "largest": float(largest)} for name, unit, mean, largest in columns
        }
    return summary
