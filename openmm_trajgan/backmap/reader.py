"""Generated frames as MDAnalysis reads them."""

from os import PathLike
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from MDAnalysis.coordinates.base import ReaderBase
from MDAnalysis.lib.util import store_init_arguments
from numpy.typing import NDArray

from openmm_trajgan.backmap.archive import load_frames, looks_like_frames
from openmm_trajgan.backmap.frames import POSITIONS_AT_ONCE, GeneratedFrames
from openmm_trajgan.schema import FeatureSchema


class GeneratedReader(ReaderBase):  # type: ignore[misc]  # MDAnalysis carries no types
    """MDAnalysis reader of generated frames, format ``"TRAJGAN"``.

    Reads files that `openmm_trajgan.write_universe` and ``trajgan backmap`` write with the ending ``.trajgan``, and the frames
    of `openmm_trajgan.to_universe`. MDAnalysis knows the format once ``openmm_trajgan.backmap`` has been imported, and then
    finds it by itself::

        import MDAnalysis
        import openmm_trajgan.backmap
        universe = MDAnalysis.Universe("generated.pdb", "generated.trajgan")

    Frames are read, or built, when they are asked for. Each has in ``ts.data``: ``"features"``, ``(n_features,)`` in the units of
    the schema; ``"trajectory"``, the index of its generated trajectory; ``"window"``, the number of the window it was drawn in,
    from 1 in every trajectory, 0 for frames before the first one, where the generator told; ``"reference_frame"``, where frames
    are those of molecular dynamics; and what the backmapper flagged, by name. Changes of a timestep last until another frame is
    read, as for trajectory files; ``universe.transfer_to_memory()`` makes an ordinary copy in memory, without ``ts.data``.

    Parameters
    ----------
    filename
        Path of a file, or a `GeneratedFrames`.
    **options
        Those of MDAnalysis' readers: ``dt`` in ps, default the frame interval of the features; ``convert_units``, default true;
        ``time_offset``.

    Attributes
    ----------
    schema : FeatureSchema
        What the features are.
    provenance : dict
        Where the frames come from: versions, seed, model, method of backmapping and why, reference.

    Raises
    ------
    InputError
        If the file is missing, incomplete or of another kind.

    Examples
    --------
    >>> from openmm_trajgan.backmap.frames import StoredFrames
    >>> schema = FeatureSchema(names=("x",), units=("nm",), periods=(None,), frame_interval=0.5)
    >>> positions, features = np.zeros((3, 1, 3), np.float32), np.array([[0.1], [0.2], [0.3]], np.float32)
    >>> reader = GeneratedReader(GeneratedFrames(StoredFrames(positions), features, np.array([0, 0, 1]), schema))
    >>> [(ts.time, round(float(ts.data["features"][0]), 3), ts.data["trajectory"]) for ts in reader[1:]]
    [(0.5, 0.2, 0), (1.0, 0.3, 1)]
    """

    format = "TRAJGAN"
    units: ClassVar[dict[str, str]] = {"time": "ps", "length": "nm"}

    @store_init_arguments  # type: ignore[untyped-decorator]
    def __init__(self, filename: str | PathLike[str] | GeneratedFrames, **options: Any) -> None:
        super().__init__(filename, **options)
        held = isinstance(filename, GeneratedFrames)
        self._frames = filename if isinstance(filename, GeneratedFrames) else load_frames(Path(filename))
        self.filename = None if held else str(filename)
        self.schema: FeatureSchema = self._frames.schema
        self.provenance = dict(self._frames.provenance)
        self.n_frames = self._frames.n_frames
        self.n_atoms = self._frames.source.n_atoms
        self._scale = np.float32(self.convert_pos_from_native(1.0, inplace=False) if self.convert_units else 1.0)
        self._ts_kwargs.setdefault("dt", self.schema.frame_interval)
        self.ts = self._Timestep(self.n_atoms, **self._ts_kwargs)
        self._read_frame(0)

    @staticmethod
    def _format_hint(thing: Any) -> bool:
        return isinstance(thing, GeneratedFrames) or (isinstance(thing, (str, PathLike)) and looks_like_frames(Path(thing)))

    @classmethod
    def parse_n_atoms(cls, filename: str | PathLike[str], **options: Any) -> int:
        """Count the atoms of the frames in a file."""
        return load_frames(Path(filename)).source.n_atoms

    @property
    def trajectories(self) -> NDArray[np.integer[Any]]:
        """Index of the generated trajectory each frame belongs to, ``(n_frames,)``."""
        return self._frames.trajectories

    @property
    def frames(self) -> GeneratedFrames:
        """The frames that are read here, with all that belongs to them."""
        return self._frames

    def _read_frame(self, frame: int) -> Any:
        ts, frames = self.ts, self._frames
        positions, flags, box = frames.source.frame(frame)
        np.multiply(positions, self._scale, out=ts.positions)
        if box is None:
            ts.dimensions = None
        else:
            box = np.array(box)
            box[:3] *= self._scale
            ts.dimensions = box
        ts.frame = frame
        data = ts.data
        data["features"] = frames.features[frame].copy()
        data["trajectory"] = int(frames.trajectories[frame])
        if frames.windows is not None:
            data["window"] = int(frames.windows[frame])
        if frames.reference_frames is not None:
            data["reference_frame"] = int(frames.reference_frames[frame])
        data.update(flags)
        return ts

    def _read_next_timestep(self, ts: Any = None) -> Any:
        if self.ts.frame + 1 >= self.n_frames:
            raise EOFError
        return self._read_frame(self.ts.frame + 1)

    def _reopen(self) -> None:
        self.ts.frame = -1

    @property
    def plain(self) -> bool:
        """Whether frames are no more than their positions: no box, no transformations, no auxiliary data."""
        return not (self._frames.source.periodic or self.transformations or self._auxs)

    def read_block(self, frames: NDArray[np.intp]) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.integer[Any]]]:
        """Read many `plain` frames at once; the current timestep stays as it is.

        Parameters
        ----------
        frames
            Frame numbers, ``(n,)``; consecutive ones are read fastest.

        Returns
        -------
        tuple
            Positions ``(n, n_atoms, 3)``, Å; features ``(n, n_features)``; index of the generated trajectory ``(n,)``.
        """
        source = self._frames.source
        if len(frames) and (np.diff(frames) == 1).all():
            positions = source.block(int(frames[0]), int(frames[-1]) + 1).positions
            assert positions is not None
        else:
            positions = np.stack([source.frame(frame)[0] for frame in frames.tolist()])
        return positions * self._scale, self._frames.features[frames], self._frames.trajectories[frames]

    def timeseries(
        self,
        asel: Any = None,
        atomgroup: Any = None,
        start: int | None = None,
        stop: int | None = None,
        step: int | None = None,
        order: str | None = "fac",
    ) -> NDArray[np.float32]:
        """Positions of some atoms in many frames, Å; as MDAnalysis does it, a block of frames at a time."""
        if asel is not None or self.transformations or (atomgroup is not None and not len(atomgroup)) or order != "fac":
            return super().timeseries(asel, atomgroup, start, stop, step, order)  # type: ignore[no-any-return]
        first, last, stride = self.check_slice_indices(start, stop, step)
        if stride < 1:
            return super().timeseries(asel, atomgroup, start, stop, step, order)  # type: ignore[no-any-return]
        atoms = slice(None) if atomgroup is None else atomgroup.indices
        n_atoms = self.n_atoms if atomgroup is None else len(atomgroup)
        found = np.empty((len(range(first, last, stride)), n_atoms, 3), dtype=np.float32)
        length = max(1, POSITIONS_AT_ONCE // self.n_atoms) // stride * stride or stride
        for at in range(first, last, length):
            positions = self._frames.source.block(at, min(at + length, last)).positions
            assert positions is not None
            rows = positions[::stride, atoms]
            place = (at - first) // stride
            np.multiply(rows, self._scale, out=found[place : place + len(rows)])
        return found
