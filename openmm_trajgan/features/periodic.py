"""Angles as points on the unit circle, which is how projections and networks see them without a jump at ±π."""

import math

import numpy as np
from numpy.typing import NDArray

from openmm_trajgan.features.base import FloatArray
from openmm_trajgan.schema import FeatureSchema


class CirclePoints:
    """Feature values to points and back: a periodic feature becomes its cosine and sine, any other stays as it is.

    Parameters
    ----------
    schema
        What the columns are.

    Examples
    --------
    >>> schema = FeatureSchema(names=("gap", "phi"), units=("nm", "rad"), periods=(None, 2 * math.pi))
    >>> CirclePoints(schema).points(np.array([[0.5, math.pi / 2]])).round(3)
    array([[0.5, 0. , 1. ]])
    """

    def __init__(self, schema: FeatureSchema) -> None:
        self._periodic = schema.periodic
        self._factors = np.array([2 * math.pi / period for period in schema.periods if period is not None])
        self._n_plain = int((~self._periodic).sum())
        self.n_points = self._n_plain + 2 * len(self._factors)
        plain_units = [unit for unit, periodic in zip(schema.units, self._periodic, strict=True) if not periodic]
        self.units = (*plain_units, *[""] * (2 * len(self._factors)))

    def points(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Points ``(n_frames, n_points)``, plain features before cosines before sines, of values ``(n_frames, n_features)``."""
        angles = values[:, self._periodic] * self._factors
        return np.concatenate([values[:, ~self._periodic], np.cos(angles), np.sin(angles)], axis=1)

    def values(self, points: NDArray[np.float64]) -> FloatArray:
        """Values ``(n_frames, n_features)`` of points ``(n_frames, n_points)``, which need not lie on the circle."""
        plain, cosines, sines = np.split(points, [self._n_plain, self._n_plain + len(self._factors)], axis=1)
        values = np.empty((len(points), len(self._periodic)), dtype=np.float32)
        values[:, ~self._periodic] = plain
        values[:, self._periodic] = np.arctan2(sines, cosines) / self._factors
        return values
