"""What a backmapper is: one row of features per frame in, positions out."""

from typing import Any, Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from openmm_trajgan.schema import FeatureSchema

FloatArray = NDArray[np.float32]


@runtime_checkable
class Backmapper(Protocol):
    """Anything that turns features back into positions.

    `fit` learns what the features leave open from structures of the same molecule; `backmap` then gives the positions,
    ``(n_frames, n_atoms, 3)`` in nm, of one time series of features. It never alters the features.
    """

    def fit(self, topology: Any, schema: FeatureSchema, reference: ArrayLike) -> Self:
        """Learn from `reference`, ``(n_reference, n_atoms, 3)`` in nm, in the atom order of `topology` (openmm.app.Topology)."""
        ...

    def backmap(self, features: ArrayLike, *, rng: np.random.Generator) -> FloatArray:
        """Positions of one time series of features, ``(n_frames, n_features)`` in the units of the schema."""
        ...
