"""What a backmapper is: one row of features per frame in, structures out."""

from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, Self, TypeGuard, runtime_checkable

import MDAnalysis
import numpy as np
from numpy.typing import ArrayLike, NDArray

from openmm_trajgan.features.base import Featurizer

FloatArray = NDArray[np.float32]


@dataclass(frozen=True)
class Structures:
    """What a backmapper makes of one time series of features: either built positions or frames of the reference.

    Parameters
    ----------
    positions
        ``(n_frames, n_atoms, 3)`` float32, nm; None where each frame is a frame of the reference.
    reference_frames
        Index into the frames of the reference given to `fit`, ``(n_frames,)``; None where positions are built.
    flags
        Diagnostics by name, each ``(n_frames,)``, such as ``"clash"``, ``"stress"`` or ``"library_distance"``.
    memory
        What the backmapper needs to go on where this piece of a series ends; see `PiecewiseBackmapper`.
    """

    positions: FloatArray | None
    reference_frames: NDArray[np.intp] | None = None
    flags: dict[str, NDArray[Any]] = field(default_factory=dict)
    memory: Any = None


@runtime_checkable
class Backmapper(Protocol):
    """Anything that turns features back into structures.

    `fit` learns what the features leave open from structures of the same molecule; `backmap` then gives the structures of one
    time series of features. It never alters the features.
    """

    @property
    def atoms(self) -> NDArray[np.intp]:
        """Atoms of the reference whose positions come out, ``(n_atoms,)``; all, or for example the alpha carbons."""
        ...

    def fit(self, featurizer: Featurizer, reference: MDAnalysis.Universe) -> Self:
        """Learn from `reference`: whole structures, consecutive in time, with bonds; `featurizer` is that of the model."""
        ...

    def backmap(self, features: ArrayLike, *, rng: np.random.Generator) -> Structures:
        """Structures of one time series of features, ``(n_frames, n_features)`` in the units of the schema."""
        ...


Pieces = Literal["any", "in order"]


class PiecewiseBackmapper(Protocol):
    """Backmapper that can build a series in pieces, so that a long one need not be in memory.

    With ``pieces`` ``"any"``, any piece can be built alone: its `backmap` takes ``first``, the number of frames before the piece in
    its series, and `rng` as at the beginning of the series. With ``"in order"`` a piece follows from the one before: `backmap`
    takes ``before``, the `Structures.memory` of that piece, None for the first.
    """

    @property
    def pieces(self) -> Pieces | None:
        """How pieces are built; None if the series has to be built as a whole."""
        ...

    @property
    def atoms(self) -> NDArray[np.intp]:
        """Atoms of the reference whose positions come out."""
        ...

    def backmap(self, features: ArrayLike, *, rng: np.random.Generator, **place: Any) -> Structures:
        """Structures of one piece, ``(n_frames, n_features)``; `place` is ``first`` or ``before``."""
        ...


def builds_pieces(backmapper: Any) -> TypeGuard[PiecewiseBackmapper]:
    """Whether a backmapper is a `PiecewiseBackmapper`."""
    return getattr(backmapper, "pieces", None) is not None
