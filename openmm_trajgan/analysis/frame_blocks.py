"""Frames of a trajectory measured a block at a time, as MDAnalysis analyses."""

from typing import Any

import numpy as np
from MDAnalysis.analysis.base import AnalysisBase
from numpy.typing import NDArray

from openmm_trajgan.analysis.structure import POSITIONS_AT_ONCE, StructureGeometry, require_finite

FloatArray = NDArray[np.float64]
_ANGSTROM = 10.0  # per nm


class BlockAnalysis(AnalysisBase):  # type: ignore[misc]  # MDAnalysis carries no types
    """Base of analyses that measure many frames at once; each says in `_measure` what it does with a block.

    Parameters
    ----------
    atomgroup
        The structures, whole in every frame: an AtomGroup or a Universe.
    geometry
        What there is to measure in these atoms.
    verbose
        Whether to show progress.

    Attributes
    ----------
    results.series : ndarray
        Index of the generated trajectory each frame belongs to, ``(n_frames,)``; 0 where the frames do not tell.
    """

    reads_features = False

    def __init__(self, atomgroup: Any, geometry: StructureGeometry, *, verbose: bool = False) -> None:
        self.atoms, self.geometry = atomgroup.atoms, geometry
        super().__init__(self.atoms.universe.trajectory, verbose=verbose)
        self._all = np.array_equal(self.atoms.indices, np.arange(self._trajectory.n_atoms))

    def _prepare(self) -> None:
        length = max(1, min(self.n_frames, POSITIONS_AT_ONCE // max(self.geometry.n_atoms, 1)))
        self._block = _Block(np.empty((length, self.geometry.n_atoms, 3), dtype=np.float32))
        self.results.series = np.zeros(self.n_frames, dtype=np.intp)

    def _compute(self, indexed_frames: NDArray[np.intp], verbose: bool | None = None, **options: Any) -> "BlockAnalysis":
        """Measure some frames; of trajectories that give them in blocks, without the loop over single ones."""
        if not (self._all and getattr(self._trajectory, "plain", False)):
            super()._compute(indexed_frames, verbose, **options)
            return self
        frames = indexed_frames[:, 1]
        self._prepare_sliced_trajectory(slicer=frames)
        self._prepare()
        self.frames[:], self.times[:] = frames, frames * self._trajectory.dt
        for start in range(0, len(frames), len(self._block.positions)):
            rows = slice(start, min(start + len(self._block.positions), len(frames)))
            positions, features, self.results.series[rows] = self._trajectory.read_block(frames[rows])
            require_finite(positions, frames[rows])
            self._measure(rows, positions, features if self.reads_features else None, None)
        return self

    def _single_frame(self) -> None:
        ts, block = self._ts, self._block
        place = block.positions[block.filled]
        if self._all:
            place[:] = ts.positions
        else:
            np.take(ts.positions, self.atoms.indices, axis=0, out=place)
        if ts.dimensions is not None:
            self.geometry.require_whole(place, ts)
            block.boxes.append(ts.triclinic_dimensions / _ANGSTROM)
        if self.reads_features and "features" in ts.data:
            block.features.append(ts.data["features"].copy())
        self.results.series[self._frame_index] = ts.data.get("trajectory", 0)
        block.filled += 1
        if block.filled == len(block.positions) or self._frame_index + 1 == self.n_frames:
            rows = slice(self._frame_index + 1 - block.filled, self._frame_index + 1)
            boxes = np.array(block.boxes) if block.boxes else None
            require_finite(block.positions[: block.filled], self.frames[rows])
            self._measure(rows, block.positions[: block.filled], np.array(block.features) if block.features else None, boxes)
            block.empty()

    def _measure(
        self, rows: slice, positions: NDArray[np.float32], features: NDArray[np.float32] | None, boxes: FloatArray | None
    ) -> None:
        """Measure ``(n_frames, n_atoms, 3)``, Å, with generated features ``(n_frames, n_features)`` and box vectors in nm."""
        raise NotImplementedError


class _Block:
    """Frames gathered until they are measured together: positions ``(length, n_atoms, 3)`` in Å, boxes in nm, features."""

    def __init__(self, positions: NDArray[np.float32]) -> None:
        self.positions = positions
        self.empty()

    def empty(self) -> None:
        self.filled = 0
        self.boxes: list[FloatArray] = []
        self.features: list[NDArray[np.float32]] = []
