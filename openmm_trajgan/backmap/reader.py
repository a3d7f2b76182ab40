"""Generated frames in memory, read by MDAnalysis with their features."""

from typing import Any, ClassVar

import numpy as np
from MDAnalysis.coordinates.memory import MemoryReader
from numpy.typing import NDArray


class GeneratedReader(MemoryReader):  # type: ignore[misc]  # MDAnalysis carries no types
    """MemoryReader that tells the features and the generated trajectory of each frame.

    ``ts.data["features"]``, ``(n_features,)`` in the units of the schema, and ``ts.data["trajectory"]``, an int, belong to the
    current frame, also after slicing, random access, pickling and copying.

    Parameters
    ----------
    coordinates
        ``(n_frames, n_atoms, 3)`` float32, Å.
    features
        ``(n_frames, n_features)``.
    trajectories
        Index of the generated trajectory each frame belongs to, ``(n_frames,)``.
    **options
        Those of MDAnalysis' MemoryReader, such as ``dt`` in ps.

    Examples
    --------
    >>> reader = GeneratedReader(
    ...     np.zeros((3, 1, 3), np.float32), features=np.array([[0.1], [0.2], [0.3]]), trajectories=np.array([0, 0, 1]), dt=0.5
    ... )
    >>> [(ts.time, float(ts.data["features"][0]), ts.data["trajectory"]) for ts in reader[1:]]
    [(0.5, 0.2, 0), (1.0, 0.3, 1)]
    """

    units: ClassVar[dict[str, str]] = {"time": "ps", "length": "Angstrom"}

    def __init__(self, coordinates: NDArray[np.float32], *, features: Any, trajectories: Any, **options: Any) -> None:
        self._features, self._trajectories = np.asarray(features), np.asarray(trajectories)
        super().__init__(coordinates, **options)
        self._kwargs |= {"features": self._features, "trajectories": self._trajectories}  # what copy() passes on

    def _read_next_timestep(self, ts: Any = None) -> Any:
        ts = super()._read_next_timestep(ts)
        ts.data["features"] = self._features[ts.frame].copy()
        ts.data["trajectory"] = int(self._trajectories[ts.frame])
        return ts

    def timeseries(
        self, asel: Any = None, atomgroup: Any = None, start: int = 0, stop: int = -1, step: int = 1, order: str = "afc"
    ) -> NDArray[np.float32]:
        """Coordinates of some atoms in all frames, Å; see MDAnalysis' MemoryReader.

        MDAnalysis 2.11 fails for ``atomgroup=`` with less than all atoms, so the atoms are taken here.
        """
        if atomgroup is None or atomgroup is atomgroup.universe.atoms or not len(atomgroup):
            return super().timeseries(asel, atomgroup, start, stop, step, order)  # type: ignore[no-any-return]
        everything = super().timeseries(asel, None, start, stop, step, order)
        return everything.take(atomgroup.indices, axis=order.find("a"))  # type: ignore[no-any-return]
