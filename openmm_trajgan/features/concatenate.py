"""Several featurizers side by side."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike

from openmm_trajgan.errors import InputError
from openmm_trajgan.features.base import Featurizer, FloatArray, feature_names
from openmm_trajgan.schema import FeatureSchema


class Concatenate:
    """The columns of several featurizers, one after the other.

    Parameters
    ----------
    parts
        Featurizers whose feature names differ.

    Raises
    ------
    InputError
        If there is none, one is no featurizer, or two features share a name.

    Examples
    --------
    >>> from openmm_trajgan.features import Distances, Torsions
    >>> both = Concatenate([Torsions([[0, 1, 2, 3]]), Distances([[0, 3]])])
    >>> both.schema.names, both.schema.units
    (('torsion 0-1-2-3', 'distance 0-3'), ('rad', 'nm'))
    """

    schema: FeatureSchema

    def __init__(self, parts: Iterable[Featurizer]) -> None:
        self._parts = tuple(parts)
        if not self._parts:
            raise InputError("parts: expected at least one featurizer, found none")
        for part in self._parts:
            if not isinstance(part, Featurizer):
                raise InputError(f"parts: expected featurizers, objects with a schema to call, found {type(part).__name__}")
        schemas = [part.schema for part in self._parts]
        self.schema = FeatureSchema(
            names=feature_names(name for schema in schemas for name in schema.names),
            units=tuple(unit for schema in schemas for unit in schema.units),
            periods=tuple(period for schema in schemas for period in schema.periods),
            kinds=tuple(kind for schema in schemas for kind in schema.kinds),
            atoms=tuple(atoms for schema in schemas for atoms in schema.atoms),
        )

    def __call__(self, positions: ArrayLike, box: ArrayLike | None = None) -> FloatArray:
        """Compute the features of one frame or of a block of frames; arguments and errors are those of the parts."""
        return np.concatenate([part(positions, box) for part in self._parts], axis=-1)

    def __repr__(self) -> str:
        return f"Concatenate([{', '.join(map(repr, self._parts))}])"
