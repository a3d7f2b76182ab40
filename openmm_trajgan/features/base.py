"""What a featurizer is, positions in and one row of numbers per frame out, and the doors all featurizers share."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from openmm_trajgan.errors import InputError
from openmm_trajgan.schema import FeatureSchema

FloatArray = NDArray[np.float32]
AnyFloatArray: TypeAlias = NDArray[np.floating[Any]]


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


@dataclass(frozen=True, eq=False, repr=False)
class BlockFeaturizer(ABC):
    """Featurizer that computes a block of frames at once; one frame is a block of one.

    Parameters
    ----------
    schema
        What the columns are.
    n_atoms_needed
        Positions must hold at least so many atoms: the largest atom index used plus one.
    """

    schema: FeatureSchema
    n_atoms_needed: int

    def __call__(self, positions: ArrayLike, box: ArrayLike | None = None) -> FloatArray:
        """Compute the features of one frame or of a block of frames.

        Parameters
        ----------
        positions
            ``(n_atoms, 3)`` or ``(n_frames, n_atoms, 3)``, nm.
        box
            Box vectors, ``(3, 3)`` or ``(n_frames, 3, 3)``, nm; None for a system without periodic boundaries.

        Returns
        -------
        FloatArray
            ``(n_features,)`` or ``(n_frames, n_features)`` in the units of the schema.

        Raises
        ------
        InputError
            If a shape is wrong, positions carry a unit, the system has too few atoms, or the box is none of OpenMM.
        """
        frames = plain_array(positions, "positions")
        shape = frames.shape
        if not 2 <= len(shape) <= 3 or shape[-1] != 3:
            raise InputError(f"positions: expected shape (n_atoms, 3) or (n_frames, n_atoms, 3) in nm, found {shape}")
        if shape[-2] < self.n_atoms_needed:
            raise InputError(
                f"positions: atom index {self.n_atoms_needed - 1} is needed, found {shape[-2]} atoms; "
                "build the featurizer from the topology of this system"
            )
        if len(shape) == 2:
            features: FloatArray = self._compute(frames[None], None if box is None else _boxes(box, None))[0]
            return features
        return self._compute(frames, None if box is None else _boxes(box, shape[0]))

    @abstractmethod
    def _compute(self, frames: AnyFloatArray, boxes: AnyFloatArray | None) -> FloatArray:
        """Features ``(n_frames, n_features)`` of `frames` ``(n_frames, n_atoms, 3)``, nm.

        `boxes` is None, one box ``(3, 3)`` common to all frames, or one per frame ``(n_frames, 3, 3)``, nm.
        """

    def __repr__(self) -> str:
        names = self.schema.names
        shown = ", ".join(names) if len(names) <= 4 else f"{', '.join(names[:3])}, … {len(names)} in all"
        return f"{type(self).__name__}({shown})"


def plain_array(values: ArrayLike, what: str) -> NDArray[Any]:
    """Check that `values`, called `what` in the message, are numbers without a unit, and return them as an array.

    Raises
    ------
    InputError
        If they carry a unit or are no numbers.
    """
    if type(values) is not np.ndarray:
        if hasattr(values, "value_in_unit"):  # numpy would drop the unit of an OpenMM quantity without a word
            raise InputError(f"{what}: expected plain numbers in nm, found a quantity; pass .value_in_unit(unit.nanometer)")
        try:
            values = np.asarray(values)
        except ValueError as error:
            raise InputError(f"{what}: expected an array of numbers in nm, found a ragged list ({error})") from None
    array: NDArray[Any] = values
    if array.dtype.kind not in "fiu":
        raise InputError(f"{what}: expected numbers in nm, found an array of {array.dtype}")
    return array


def _boxes(box: ArrayLike, n_frames: int | None) -> AnyFloatArray:
    boxes = plain_array(box, "box")
    if boxes.shape == (3, 3):
        return boxes
    if n_frames is None or boxes.shape != (n_frames, 3, 3):
        expected = "(3, 3)" if n_frames is None else f"(3, 3) or ({n_frames}, 3, 3)"
        raise InputError(f"box: expected box vectors of shape {expected} in nm, found {boxes.shape}")
    if n_frames > 0 and (boxes == boxes[0]).all():
        boxes = boxes[0]
    return boxes


def minimum_image(
    function: Callable[..., Any], frames: AnyFloatArray, groups: NDArray[np.intp], boxes: AnyFloatArray | None
) -> FloatArray:
    """Apply a function of `MDAnalysis.lib.distances` to groups of atoms, in one call unless the box changes between frames.

    Parameters
    ----------
    function
        ``calc_bonds``, ``calc_angles`` or ``calc_dihedrals``.
    frames
        ``(n_frames, n_atoms, 3)``, nm.
    groups
        Atom indices, ``(k, n_features)`` with k = 2, 3 or 4 atoms per feature.
    boxes
        None, ``(3, 3)`` or ``(n_frames, 3, 3)``, nm.

    Returns
    -------
    FloatArray
        ``(n_frames, n_features)``, nm or rad.
    """
    # The checks that MDAnalysis wraps around these functions cost more than the geometry of one frame: meet what they demand here
    function = getattr(function, "__wrapped__", function)
    points = frames.take(groups, axis=1).astype(np.float32)
    n_frames, n_atoms_each, n_features, _ = points.shape
    if boxes is not None and boxes.ndim == 3:
        rows = [function(*frame, box=_dimensions(*box.ravel().tolist())) for frame, box in zip(points, boxes, strict=True)]
        features = np.array(rows, dtype=np.float32).reshape(n_frames, n_features)
    else:
        columns = [np.ascontiguousarray(points[:, k]).reshape(-1, 3) for k in range(n_atoms_each)]
        values = function(*columns, box=None if boxes is None else _dimensions(*boxes.ravel().tolist()))
        features = values.reshape(n_frames, n_features).astype(np.float32)
    if boxes is not None and not np.isfinite(points.sum()):  # in a triclinic box MDAnalysis turns NaN into 0
        features[~np.isfinite(points).all(axis=(1, 3))] = np.nan
    return features


@lru_cache(maxsize=16)  # at constant volume the box is the same at every frame
def _dimensions(ax: float, ay: float, az: float, bx: float, by: float, bz: float, cx: float, cy: float, cz: float) -> FloatArray:
    """Box as MDAnalysis wants it: lengths in nm and angles in degrees, ``(6,)``."""
    from MDAnalysis.lib.mdamath import triclinic_box

    # MDAnalysis rebuilds the vectors from the lengths and angles, a along x and b in the xy plane
    if min(ax, by, cz) > 0 and max(ax, by, cz) < np.inf and max(abs(ay), abs(az), abs(bz)) <= 1e-5 * ax:
        if bx == cx == cy == 0:
            return np.array([ax, by, cz, 90, 90, 90], dtype=np.float32)
        dimensions: FloatArray = triclinic_box((ax, ay, az), (bx, by, bz), (cx, cy, cz))
        if dimensions.all():
            return dimensions
    raise InputError(
        "box: expected vectors a, b, c as rows in nm with a along x, b in the xy plane and a positive diagonal as in OpenMM, "
        f"found {[[ax, ay, az], [bx, by, bz], [cx, cy, cz]]}; pass None for a system without periodic boundaries"
    )


def index_array(atoms: ArrayLike, shape: str, width: int | None = None) -> NDArray[np.intp]:
    """Check atom indices at the door.

    Parameters
    ----------
    atoms
        ``(n, width)``, or ``(n,)`` when `width` is None.
    shape
        The expected shape in words, for the message, for example ``"(n_pairs, 2)"``.
    width
        Atoms per feature.

    Raises
    ------
    InputError
        If the shape is wrong, there is none, an index is not an integer or negative, or a row names an atom twice.
    """
    try:
        array = np.asarray(atoms)
    except ValueError:
        raise InputError(f"atom indices: expected shape {shape}, found rows of different lengths") from None
    right_shape = array.ndim == 1 if width is None else array.ndim == 2 and array.shape[1] == width
    if not right_shape or array.size == 0:
        raise InputError(f"atom indices: expected shape {shape} with at least one row, found {array.shape}")
    if array.dtype.kind not in "iu":
        raise InputError(f"atom indices: expected integers counted from 0, found {array.dtype}")
    if array.min() < 0:
        raise InputError(f"atom indices: expected numbers counted from 0, found {array.min()}")
    rows = np.sort(np.atleast_2d(array), axis=1)
    repeated = (rows[:, 1:] == rows[:, :-1]).any(axis=1)
    if repeated.any():
        found = np.atleast_2d(array)[repeated.argmax()].tolist() if width else rows[:, 1:][rows[:, 1:] == rows[:, :-1]][0]
        raise InputError(f"atom indices: expected different atoms, found one twice in {found}; name every atom once")
    return array.astype(np.intp)


def reference_array(positions: ArrayLike) -> NDArray[np.float64]:
    """Check the positions of a reference structure, ``(n_atoms, 3)`` in nm.

    Raises
    ------
    InputError
        If the shape is wrong, positions carry a unit, or a number is not finite.
    """
    array = plain_array(positions, "reference positions").astype(np.float64)
    if array.ndim != 2 or array.shape[1] != 3:
        raise InputError(f"reference positions: expected shape (n_atoms, 3) in nm, found {array.shape}")
    if not np.isfinite(array).all():
        raise InputError(f"reference positions: expected finite numbers, found {array[~np.isfinite(array)][0]}")
    return array


def uniform_schema(
    names: Iterable[str], atoms: Iterable[Sequence[int]], *, kind: str, unit: str, period: float | None = None
) -> FeatureSchema:
    """Build the schema of features that are all of one kind.

    Raises
    ------
    InputError
        If there is not one unique name per feature.
    """
    labels, groups = feature_names(names), tuple(tuple(int(atom) for atom in group) for group in atoms)
    if len(labels) != len(groups):
        raise InputError(f"expected one name per feature, found {len(labels)} names for {len(groups)} features")
    n_features = len(labels)
    return FeatureSchema(
        names=labels, units=(unit,) * n_features, periods=(period,) * n_features, kinds=(kind,) * n_features, atoms=groups
    )


def feature_names(names: Iterable[str]) -> tuple[str, ...]:
    """Check names of features at the door.

    Raises
    ------
    InputError
        If `names` is one string, or a name stands twice.
    """
    if isinstance(names, str):
        raise InputError(f"names: expected one text per feature, found the single text {names!r}; pass [{names!r}]")
    labels = tuple(names)
    if len(set(labels)) < len(labels):
        repeated = next(name for name in labels if labels.count(name) > 1)
        raise InputError(f"names: expected unique feature names, found {repeated!r} more than once; rename one or leave it out")
    return labels
