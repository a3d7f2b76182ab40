"""Bond angles and their like where atoms need room: what is most probable for given torsions."""

from collections.abc import Callable

import MDAnalysis
import numpy as np
from numpy.typing import NDArray

from openmm_trajgan.backmap.clashes import contact_distances
from openmm_trajgan.backmap.geometry import cartesian, spherical
from openmm_trajgan.backmap.z_matrix import ZMatrix

Array = NDArray[np.float64]
_MINIMUM = 1.2  # of the sum of van der Waals radii, where two atoms are best off
_DEPTH = 0.1  # thermal energies, there
_SOFTNESS = 0.2  # of the squared distance of the minimum, added to all squared distances
_ITERATIONS = 10
_MEMORY = 3  # steps that tell the next direction
_FIRST_STEP, _LONGEST_STEP = 1.0, 3.0  # standard deviations, over all coordinates
_SHORTER = 0.3  # after a step that led upwards
_PAIRS_AT_ONCE = 200_000  # of atoms in frames; in single precision they stay in the processor's cache


class Packing:
    """Moves hard coordinates from what is expected to what is most probable once atoms attract and repel each other.

    Torsions tell little of the some 4° by which bond angles scatter in molecular dynamics. Where a chain is packed, neighbours in
    space tell more, since they leave no other room. So half the squares of all deviations, in standard deviations, are minimised
    together with a Lennard-Jones energy of atoms more than three bonds apart, softened at its core, whose minimum is 0.1 thermal
    energies deep and lies at 1.2 times the sum of the van der Waals radii, as in common force fields. The minimum is sought by a
    ten steps of L-BFGS (Liu & Nocedal, Math. Program. 45, 503 (1989)), each frame on its own. Generated torsions stay as they
    are.

    Parameters
    ----------
    z_matrix
        Of the molecule.
    universe
        With bonds and elements.
    spreads
        Standard deviations of bond lengths in nm, bond angles and offsets in rad, ``(3 * n_rows,)``.
    turns
        The same of torsions, rad, 0 where they are generated, ``(n_pivots,)``.
    """

    def __init__(self, z_matrix: ZMatrix, universe: MDAnalysis.Universe, spreads: Array, turns: Array) -> None:
        self._z_matrix = z_matrix
        moved = np.flatnonzero(turns)
        self._spreads = np.concatenate([spreads, turns[moved]])[:, None]
        self._turned = np.zeros((len(z_matrix.rows), len(moved)))  # which rows turn with which torsion
        self._turned[3:] = z_matrix.pivot_of_row[:, None] == moved
        squares = (_MINIMUM * contact_distances(universe)) ** 2
        self._numerators = np.nan_to_num((1 + _SOFTNESS) * squares).astype(np.float32)
        self._softening = np.nan_to_num(_SOFTNESS * squares, nan=1.0).astype(np.float32)

    def __call__(self, torsions: Array, arms: Array) -> Array:
        """Positions ``(n_atoms, 3, n_frames)`` from expected torsions and arms as `ZMatrix.place` takes them."""
        self._z_matrix.turn(arms, torsions)
        expected = spherical(arms)

        def energies(deviations: Array) -> tuple[Array, Array]:
            coordinates = self._moved(expected, deviations)
            arms = cartesian(coordinates)
            positions = self._z_matrix.placed(arms)
            energies, gradient = self._lennard_jones(positions)
            slopes = self._z_matrix.pulled_back(gradient, positions, arms)
            along, across, normal = arms.transpose(1, 0, 2)
            lengths, aside = coordinates[0], np.hypot(across, normal)
            inverse = 1 / np.where(aside > 0, aside, np.inf)
            outward = (slopes[:, 1] * across + slopes[:, 2] * normal) * inverse
            on_offsets = slopes[:, 2] * across - slopes[:, 1] * normal
            on_lengths = (slopes[:, 0] * along + outward * aside) / np.where(lengths > 0, lengths, np.inf)
            on_angles = outward * along - slopes[:, 0] * aside
            on_all = np.concatenate([on_lengths, on_angles, on_offsets, self._turned.T @ on_offsets])
            energies += np.einsum("vf,vf->f", deviations, deviations) / 2
            return energies, deviations + self._spreads * on_all

        deviations = _minimised(energies, np.zeros((len(self._spreads), arms.shape[2])))
        return self._z_matrix.placed(cartesian(self._moved(expected, deviations)))

    def _moved(self, expected: Array, deviations: Array) -> Array:
        """Spherical coordinates of arms, ``(3, n_rows, n_frames)``."""
        steps = self._spreads * deviations
        coordinates = expected + steps[: 3 * expected.shape[1]].reshape(expected.shape)
        coordinates[2] += self._turned @ steps[3 * expected.shape[1] :]
        return coordinates

    def _lennard_jones(self, positions: Array) -> tuple[Array, Array]:
        """Energies ``(n_frames,)`` in thermal energies, and their gradient ``(n_atoms, 3, n_frames)``, per nm."""
        frames = np.ones((positions.shape[2], positions.shape[0], 4), dtype=np.float32)
        frames[:, :, :3] = positions.transpose(2, 0, 1)
        energies, gradient = np.empty(len(frames)), np.empty_like(positions)
        n_at_once = max(1, _PAIRS_AT_ONCE // self._numerators.size)
        for start in range(0, len(frames), n_at_once):
            block = slice(start, start + n_at_once)
            points = frames[block, :, :3]
            squares = np.einsum("fax,fax->fa", points, points)
            inverse = points @ points.transpose(0, 2, 1)
            inverse *= -2
            inverse += squares[:, :, None]
            inverse += squares[:, None]
            inverse += self._softening
            np.reciprocal(inverse, out=inverse)
            ratios = self._numerators * inverse
            attraction = ratios * ratios
            attraction *= ratios
            pairs = attraction.reshape(len(points), -1)
            energies[block] = _DEPTH * (np.einsum("fp,fp->f", pairs, pairs) / 2 - pairs.sum(axis=1))
            np.square(attraction, out=ratios)
            attraction -= ratios
            attraction *= inverse
            sums = attraction @ frames[block]
            gradient[:, :, block] = (12 * _DEPTH * (sums[:, :, 3:] * points - sums[:, :, :3])).transpose(1, 2, 0)
        return energies, gradient


def _minimised(function: Callable[[Array], tuple[Array, Array]], start: Array) -> Array:
    """Minima of a function of ``(n_variables, n_frames)`` that returns values ``(n_frames,)`` and gradient; no frame goes up."""
    found = start
    value, gradient = function(found)
    steps: list[tuple[Array, Array, Array]] = []
    scale = np.ones_like(value)
    for _ in range(_ITERATIONS):
        direction = -_times_inverse_hessian(gradient, steps)
        downhill = np.einsum("vf,vf->f", direction, gradient) < 0
        direction = np.where(downhill, direction, -gradient)
        longest = np.where(downhill & bool(steps), _LONGEST_STEP, _FIRST_STEP)
        lengths = np.sqrt(np.einsum("vf,vf->f", direction, direction))
        tried = found + direction * (scale * np.minimum(1, longest / np.maximum(lengths, np.finfo(float).tiny)))
        value_there, gradient_there = function(tried)
        down = value_there <= value
        step, change = np.where(down, tried - found, 0), np.where(down, gradient_there - gradient, 0)
        curvature = np.einsum("vf,vf->f", step, change)
        steps = [*steps[1 - _MEMORY :], (step, change, np.where(curvature > 0, 1 / np.where(curvature > 0, curvature, 1), 0))]
        found, gradient = found + step, gradient + change
        value = np.where(down, value_there, value)
        scale = np.where(down, 1, _SHORTER * scale)
    return found


def _times_inverse_hessian(gradient: Array, steps: list[tuple[Array, Array, Array]]) -> Array:
    """Return the gradient times the inverse Hessian that earlier steps tell: the two loops of L-BFGS, for each frame."""
    product, weights = gradient.copy(), []
    for step, change, inverse in reversed(steps):
        weights.append(inverse * np.einsum("vf,vf->f", step, product))
        product -= weights[-1] * change
    if steps:
        _, change, inverse = steps[-1]
        squares = inverse * np.einsum("vf,vf->f", change, change)
        product /= np.where(squares > 0, squares, 1)
    for (step, change, inverse), weight in zip(steps, reversed(weights), strict=True):
        product += step * (weight - inverse * np.einsum("vf,vf->f", change, product))
    return product
