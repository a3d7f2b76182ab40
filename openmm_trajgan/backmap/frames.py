"""Generated frames and all that belongs to them: where their positions come from, features, flags, provenance."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from openmm_trajgan.backmap.base import FloatArray, PiecewiseBackmapper, Structures
from openmm_trajgan.schema import FeatureSchema
from openmm_trajgan.seeding import Seeds

POSITIONS_AT_ONCE = 2**17  # of atoms; blocks of so many stay in the processor's cache
_ANGSTROM = 10.0  # per nm

Frame = tuple[FloatArray, dict[str, Any], FloatArray | None]


class FrameSource(Protocol):
    """Where positions come from; every frame is the same whichever were read before."""

    @property
    def n_atoms(self) -> int:
        """Atoms in each frame."""
        ...

    @property
    def flags(self) -> Mapping[str, NDArray[Any]] | None:
        """Flags of all frames by name, each ``(n_frames,)``; None where they come with the positions."""
        ...

    @property
    def periodic(self) -> bool:
        """Whether frames have a box."""
        ...

    def frame(self, frame: int) -> Frame:
        """Positions ``(n_atoms, 3)`` in nm, flags by name, and box lengths in nm and angles in degrees, ``(6,)``, or None."""
        ...

    def block(self, start: int, stop: int) -> Structures:
        """Positions ``(stop - start, n_atoms, 3)`` in nm of consecutive frames, with their flags."""
        ...


class StoredFrames:
    """Positions in an array, in memory or mapped from a file.

    Parameters
    ----------
    positions
        ``(n_rows, n_atoms, 3)`` float32, nm.
    flags
        By name, each ``(n_frames,)``.
    rows
        Which row is which frame, ``(n_frames,)``; None where they are the same.
    boxes
        Lengths in nm and angles in degrees, ``(n_rows, 6)``; None without a box.
    """

    def __init__(
        self,
        positions: FloatArray,
        flags: Mapping[str, NDArray[Any]] | None = None,
        rows: NDArray[np.integer[Any]] | None = None,
        boxes: FloatArray | None = None,
    ) -> None:
        self._positions, self.rows, self._boxes = positions, rows, boxes
        self.flags, self.periodic = dict(flags or {}), boxes is not None

    @property
    def n_atoms(self) -> int:
        """Atoms in each frame."""
        return int(self._positions.shape[1])

    def frame(self, frame: int) -> Frame:
        """Return positions, flags and box of one frame."""
        row = frame if self.rows is None else self.rows[frame]
        flags = {name: values[frame] for name, values in self.flags.items()}
        return self._positions[row], flags, None if self._boxes is None else self._boxes[row]

    def block(self, start: int, stop: int) -> Structures:
        """Return consecutive frames."""
        rows = slice(start, stop) if self.rows is None else self.rows[start:stop]
        return Structures(self._positions[rows], None, {name: values[start:stop] for name, values in self.flags.items()})


class LibraryFrames:
    """Frames of a trajectory of molecular dynamics in another order; they are read where they are.

    Parameters
    ----------
    trajectory
        An MDAnalysis reader; a copy of it is read.
    rows
        Frame of that trajectory for each frame, ``(n_frames,)``.
    atoms
        Indices of the atoms to take, ``(n_atoms,)``.
    flags
        By name, each ``(n_frames,)``.
    """

    def __init__(
        self, trajectory: Any, rows: NDArray[np.integer[Any]], atoms: NDArray[np.intp], flags: Mapping[str, NDArray[Any]]
    ) -> None:
        self._trajectory, self.rows, self._atoms = trajectory.copy(), rows, atoms
        self.flags, self.periodic = dict(flags), self._trajectory[0].dimensions is not None

    @property
    def n_atoms(self) -> int:
        """Atoms in each frame."""
        return len(self._atoms)

    def frame(self, frame: int) -> Frame:
        """Return positions, flags and box of one frame."""
        ts = self._trajectory[int(self.rows[frame])]
        box = None
        if ts.dimensions is not None:
            box = ts.dimensions.copy()
            box[:3] /= _ANGSTROM
        flags = {name: values[frame] for name, values in self.flags.items()}
        return ts.positions[self._atoms] / np.float32(_ANGSTROM), flags, box

    def block(self, start: int, stop: int) -> Structures:
        """Return consecutive frames; a frame of the library that comes several times is read once."""
        wanted, where = np.unique(self.rows[start:stop], return_inverse=True)
        positions = np.empty((len(wanted), self.n_atoms, 3), dtype=np.float32)
        for place, ts in zip(positions, self._trajectory[wanted], strict=True):
            np.divide(ts.positions[self._atoms], np.float32(_ANGSTROM), out=place)
        return Structures(positions[where], None, {name: values[start:stop] for name, values in self.flags.items()})


class BuiltFrames:
    """Frames that a backmapper builds, a piece of a series at a time, when they are asked for; without a box.

    Where a piece follows from the one before, what the backmapper needs to go on is kept of every piece that was built once; the
    first time that a late frame is asked for, all before it in its series are built.

    Parameters
    ----------
    backmapper
        What builds; it has been fitted.
    features
        ``(n_frames, n_features)``, one series after the other.
    trajectories
        Index of the generated trajectory each frame belongs to, ``(n_frames,)``.
    seeds
        Give each trajectory its generator.
    """

    def __init__(
        self, backmapper: PiecewiseBackmapper, features: FloatArray, trajectories: NDArray[np.integer[Any]], seeds: Seeds
    ) -> None:
        self._backmapper, self._features, self._seeds = backmapper, features, seeds
        self.flags, self.periodic = None, False
        starts = np.flatnonzero(np.diff(trajectories, prepend=-1))
        self._starts, self._indices = starts, trajectories[starts]
        self._ends = np.append(starts[1:], len(trajectories))
        self._length = max(1, POSITIONS_AT_ONCE // self.n_atoms)
        self._memories: list[list[Any]] = [[None] for _ in starts]  # of each series, what its first, second … piece follows from
        self._cached: tuple[tuple[int, int], Structures] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_cached": None}

    @property
    def n_atoms(self) -> int:
        """Atoms in each frame."""
        return len(self._backmapper.atoms)

    def frame(self, frame: int) -> Frame:
        """Return positions and flags of one frame; its piece is kept for the next."""
        structures, place = self._piece_with(frame)
        assert structures.positions is not None
        return structures.positions[place], {name: values[place] for name, values in structures.flags.items()}, None

    def block(self, start: int, stop: int) -> Structures:
        """Return consecutive frames."""
        positions = np.empty((stop - start, self.n_atoms, 3), dtype=np.float32)
        flags: dict[str, list[NDArray[Any]]] = {}
        frame = start
        while frame < stop:
            piece, place = self._piece_with(frame)
            assert piece.positions is not None
            rows = slice(place, min(len(piece.positions), place + stop - frame))
            positions[frame - start : frame - start + rows.stop - place] = piece.positions[rows]
            for name, values in piece.flags.items():
                flags.setdefault(name, []).append(values[rows])
            frame += rows.stop - place
        return Structures(positions, None, {name: np.concatenate(values) for name, values in flags.items()})

    def _piece_with(self, frame: int) -> tuple[Structures, int]:
        """Return the piece that a frame belongs to, and the place of the frame in it."""
        series = int(np.searchsorted(self._ends, frame, side="right"))
        number, place = divmod(frame - int(self._starts[series]), self._length)
        if self._cached is None or self._cached[0] != (series, number):
            known = self._memories[series]
            if self._backmapper.pieces == "in order":
                for each in range(min(number, len(known) - 1), number + 1):
                    made = self._built(series, each, before=known[each])
                    if each + 1 == len(known):
                        known.append(made.memory)
            else:
                made = self._built(series, number, first=number * self._length)
            self._cached = (series, number), made
        return self._cached[1], place

    def _built(self, series: int, number: int, **place: Any) -> Structures:
        start = int(self._starts[series]) + number * self._length
        features = self._features[start : min(start + self._length, int(self._ends[series]))]
        return self._backmapper.backmap(features, rng=self._seeds.numpy(f"backmap {self._indices[series]}"), **place)


@dataclass(frozen=True)
class GeneratedFrames:
    """All that MDAnalysis is to know of a generated trajectory.

    Parameters
    ----------
    source
        Positions, flags and boxes.
    features
        ``(n_frames, n_features)`` float32, in the units of the schema.
    trajectories
        Index of the generated trajectory each frame belongs to, ``(n_frames,)``.
    schema
        What the features are; its frame interval is the time between frames, ps.
    reference_frames
        Which frame of the reference each frame is, ``(n_frames,)``; None where positions were built.
    provenance
        Where the frames come from, as JSON can hold it.
    """

    source: FrameSource
    features: FloatArray
    trajectories: NDArray[np.integer[Any]]
    schema: FeatureSchema
    reference_frames: NDArray[np.integer[Any]] | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @property
    def n_frames(self) -> int:
        """Frames in all trajectories together."""
        return len(self.features)

    @cached_property
    def windows(self) -> NDArray[np.intp] | None:
        """Number of the window each frame was drawn in, from 1 in every trajectory, 0 before the first; None if unknown."""
        generated = self.provenance.get("generated")
        told = [str(generated.get(name)) if isinstance(generated, Mapping) else "" for name in ("first window", "window length")]
        if not all(re.fullmatch(r"[1-9]\d{0,8}", text) for text in told):
            return None
        first, length = map(int, told)
        starts = np.flatnonzero(np.diff(self.trajectories, prepend=-1))
        places = np.arange(self.n_frames) - np.repeat(starts, np.diff(starts, append=self.n_frames))
        return np.where(places < first, 0, (places - first) // length + 1)
