"""What a featurizer is: positions in, one row of numbers per frame out."""

from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from openmm_trajgan.schema import FeatureSchema

FloatArray = NDArray[np.float32]


@runtime_checkable
class Featurizer(Protocol):
    """Anything that turns positions into features.

    Calling it with one frame, ``(n_atoms, 3)`` in nm, gives ``(n_features,)``; calling it with a block of frames,
    ``(n_frames, n_atoms, 3)``, gives ``(n_frames, n_features)`` with identical values. `box` holds the box vectors in nm,
    ``(3, 3)`` or one per frame ``(n_frames, 3, 3)``, or None for a system without periodic boundaries; with a box, distances and
    torsions follow the minimum image convention.
    """

    @property
    def schema(self) -> FeatureSchema:
        """What the columns are; `frame_interval` is None, since a featurizer knows no time."""
        ...

    def __call__(self, positions: ArrayLike, box: ArrayLike | None = None) -> FloatArray:
        """Compute the features of one frame or of a block of frames."""
        ...
