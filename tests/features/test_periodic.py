"""Angles as points on the circle."""

import math

import numpy as np
import pytest

from openmm_trajgan.features.periodic import CirclePoints
from openmm_trajgan.schema import FeatureSchema

MIXED = FeatureSchema(
    names=("phi", "gap", "turn", "rmsd"), units=("rad", "nm", "turns", ""), periods=(2 * math.pi, None, 1.0, None)
)


def test_values_come_back():
    circle, rng = CirclePoints(MIXED), np.random.default_rng(1)
    values = np.stack([rng.uniform(low, high, 100) for low, high in ((-3.1, 3.1), (0, 9), (-0.49, 0.49), (-5, 5))], axis=1)
    points = circle.points(values)
    assert points.shape == (100, circle.n_points) == (100, 6)
    assert circle.units == ("nm", "", "", "", "", "")
    np.testing.assert_allclose(circle.values(points), values, rtol=1e-6, atol=1e-6)


def test_a_whole_turn_is_no_move():
    circle, values = CirclePoints(MIXED), np.array([[3.1, 0.5, 0.4, 1.0]])
    np.testing.assert_allclose(circle.points(values + np.array([-2 * math.pi, 0, 3.0, 0])), circle.points(values), atol=1e-12)


def test_points_off_the_circle_have_the_angle_of_their_direction():
    angle = CirclePoints(FeatureSchema(names=("phi",), units=("rad",), periods=(2 * math.pi,)))
    assert angle.values(np.array([[0.0, 0.1], [-7.0, 0.0]]))[:, 0] == pytest.approx([math.pi / 2, math.pi])
