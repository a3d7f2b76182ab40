"""Single numbers that describe a whole structure, and any function a user may bring."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from openmm_trajgan.errors import InputError
from openmm_trajgan.features.base import (
    AnyFloatArray,
    BlockFeaturizer,
    FloatArray,
    feature_names,
    index_array,
    uniform_schema,
)
from openmm_trajgan.features.cartesian import AlignedCartesian
from openmm_trajgan.schema import FeatureSchema


class RMSD(BlockFeaturizer):
    """Root mean square deviation from a reference structure after the best superposition, nm, one feature.

    Molecules must be whole: the box is not used, no image is moved.

    Parameters
    ----------
    reference_positions
        Structure of the whole system, ``(n_atoms, 3)``, nm.
    atoms
        Indices of the atoms to fit and compare, at least three, ``(n,)``; default all atoms of the reference.
    name
        Name of the feature.

    Raises
    ------
    InputError
        If the reference or the indices are not of that form or do not fit each other.

    Examples
    --------
    >>> square = np.array([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [1.0, 1.0, 0.0], [0.0, 1.0, 0.0]])
    >>> RMSD(square)(2 * square)
    array([0.70710677], dtype=float32)
    """

    def __init__(self, reference_positions: ArrayLike, atoms: ArrayLike | None = None, name: str = "rmsd") -> None:
        self._aligned = AlignedCartesian(reference_positions, atoms)
        indices = self._aligned.schema.atoms[::3]
        schema = uniform_schema([name], [[atom for (atom,) in indices]], kind="rmsd", unit="nm")
        super().__init__(schema, self._aligned.n_atoms_needed)

    def _compute(self, frames: AnyFloatArray, boxes: AnyFloatArray | None) -> FloatArray:
        deviations = self._aligned.superpose(frames) - self._aligned.reference
        rmsd: FloatArray = np.sqrt(np.square(deviations).sum(axis=2).mean(axis=1, keepdims=True)).astype(np.float32)
        return rmsd


class RadiusOfGyration(BlockFeaturizer):
    """Root mean square distance of atoms from their centre of mass, nm, one feature.

    Molecules must be whole: the box is not used, no image is moved.

    Parameters
    ----------
    atoms
        Atom indices, ``(n,)``.
    masses
        Mass of each of these atoms, ``(n,)``, in any unit; default equal masses.
    name
        Name of the feature.

    Raises
    ------
    InputError
        If the indices are not of that form, or there is not one positive mass for each.

    Examples
    --------
    >>> RadiusOfGyration([0, 1])([[0.0, 0.0, 0.0], [0.0, 0.0, 3.0]])
    array([1.5], dtype=float32)
    """

    def __init__(self, atoms: ArrayLike, masses: ArrayLike | None = None, name: str = "radius of gyration") -> None:
        self._indices = index_array(atoms, "(n_atoms,)")
        weights = np.ones(len(self._indices)) if masses is None else np.asarray(masses, dtype=np.float64)
        if weights.shape != self._indices.shape or not (np.isfinite(weights) & (weights > 0)).all():
            found = f"shape {weights.shape}" if weights.shape != self._indices.shape else f"{weights.min():g} among them"
            raise InputError(f"masses: expected {len(self._indices)} positive numbers, found {found}; leave out massless atoms")
        self._weights = weights / weights.sum()
        schema = uniform_schema([name], [self._indices.tolist()], kind="radius_of_gyration", unit="nm")
        super().__init__(schema, int(self._indices.max()) + 1)

    def _compute(self, frames: AnyFloatArray, boxes: AnyFloatArray | None) -> FloatArray:
        points = frames.take(self._indices, axis=1).astype(np.float64)
        points -= (self._weights[:, None] * points).sum(axis=1, keepdims=True)
        squares = self._weights * np.square(points).sum(axis=2)
        radius: FloatArray = np.sqrt(squares.sum(axis=1, keepdims=True)).astype(np.float32)
        return radius


class CollectiveVariable(BlockFeaturizer):
    """Features from any function of the positions of one frame.

    A block of frames is a Python loop over the function, the one featurizer that is allowed to loop over frames; whatever the
    function costs, it costs at every frame. It pickles when the function does, so prefer a function of a module, or a
    `functools.partial` of one, to a lambda.

    Parameters
    ----------
    function
        Takes positions ``(n_atoms, 3)`` in nm and the box vectors ``(3, 3)`` in nm or None; returns ``(n_features,)``, or one
        number where there is one feature.
    names
        One unique name per feature.
    units
        One unit per feature, ``""`` for none.
    periods
        One period per feature, 2π for an angle in rad, None for a feature on the line; default no periodic one.

    Raises
    ------
    InputError
        If names, units and periods differ in number, or a period is not positive; when called, if the function returns another
        shape.

    Examples
    --------
    >>> def height(positions, box):
    ...     return positions[:, 2].max()
    >>> CollectiveVariable(height, ["height"], ["nm"])([[0.0, 0.0, 0.5], [0.0, 0.0, 2.0]])
    array([2.], dtype=float32)
    """

    def __init__(
        self,
        function: Callable[[Any, Any], ArrayLike],
        names: Sequence[str],
        units: Sequence[str],
        periods: Sequence[float | None] | None = None,
    ) -> None:
        if not callable(function):
            raise InputError(f"function: expected a callable of positions and box, found {type(function).__name__}")
        labels = feature_names(names)
        if isinstance(units, str):
            raise InputError(f"units: expected one text per feature, found the single text {units!r}; pass [{units!r}]")
        lengths = (None,) * len(labels) if periods is None else tuple(periods)
        if not labels or not len(labels) == len(units) == len(lengths):
            raise InputError(
                "names, units, periods: expected one of each per feature, "
                f"found {len(labels)} names, {len(units)} units and {len(lengths)} periods"
            )
        if any(period is not None and not 0 < period < np.inf for period in lengths):
            raise InputError(f"periods: expected positive numbers or None, found {lengths}")
        self._function = function
        super().__init__(FeatureSchema(names=labels, units=tuple(units), periods=lengths), 0)

    def _compute(self, frames: AnyFloatArray, boxes: AnyFloatArray | None) -> FloatArray:
        values = np.empty((len(frames), self.schema.n_features), dtype=np.float32)
        for index, frame in enumerate(frames):
            row = np.asarray(self._function(frame, boxes if boxes is None or boxes.ndim == 2 else boxes[index]))
            if row.shape != values.shape[1:] and row.size * values.shape[1] != 1:
                name = getattr(self._function, "__name__", repr(self._function))
                raise InputError(f"{name}: expected to return shape {values.shape[1:]}, one number per name, found {row.shape}")
            values[index] = row.reshape(-1)
        return values
