import MDAnalysis
import numpy as np
import pytest
from MDAnalysis.guesser.tables import vdwradii
from MDAnalysis.lib.distances import calc_angles, calc_bonds, calc_dihedrals

from openmm_trajgan.backmap.geometry import cartesian, spherical
from openmm_trajgan.backmap.packing import Packing
from openmm_trajgan.backmap.z_matrix import ZMatrix

N_ATOMS = 8
BOND, ANGLE, SPREAD = 0.153, np.radians(112), np.radians(4)
TORSIONS = np.array([np.radians([180, 180, 180, 180, 180]), np.radians([60, 60, -60, 60, 60]), np.radians([0, 60, 0, 60, 0])]).T


@pytest.fixture(scope="module")
def chain():
    """Eight carbon atoms in a row, and all their torsions."""
    universe = MDAnalysis.Universe.empty(N_ATOMS, trajectory=True)
    universe.add_TopologyAttr("elements", ["C"] * N_ATOMS)
    universe.add_TopologyAttr("bonds", [(atom, atom + 1) for atom in range(N_ATOMS - 1)])
    return universe


@pytest.fixture(scope="module")
def z_matrix(chain):
    return ZMatrix.from_universe(chain, {str(atom): tuple(range(atom, atom + 4)) for atom in range(N_ATOMS - 3)})


@pytest.fixture(scope="module")
def expected(z_matrix):
    """Torsions and arms of a stretched, a coiled and a knotted frame, all bond angles alike."""
    torsions = np.empty_like(TORSIONS)
    torsions[z_matrix.pivot_of_torsion] = TORSIONS
    lengths, angles = np.full((2, N_ATOMS, 3), [[[BOND]], [[np.pi - ANGLE]]])
    arms = cartesian(np.stack([lengths, angles, np.zeros_like(lengths)]))
    arms[:3] = 0
    arms[0, 0] = BOND
    arms[2, :2] = BOND * np.array([[np.cos(ANGLE)], [np.sin(ANGLE)]])
    return torsions, arms


def packing(z_matrix, chain, spread=SPREAD, turn=0.0):
    """The packing of angles, and of torsions if told, at fixed bond lengths."""
    spreads = np.repeat([0.0, spread, 0.0], N_ATOMS)
    return Packing(z_matrix, chain, spreads, np.full(N_ATOMS - 3, turn))


def packed(z_matrix, chain, expected, **options):
    torsions, arms = expected
    return packing(z_matrix, chain, **options)(torsions.copy(), arms.copy()).transpose(2, 0, 1).astype(np.float32)


@pytest.fixture(scope="module")
def frames(z_matrix, chain, expected):
    return packed(z_matrix, chain, expected)


@pytest.fixture(scope="module")
def unpacked(z_matrix, expected):
    torsions, arms = expected
    return z_matrix.place(torsions.copy(), arms.copy()).transpose(2, 0, 1).astype(np.float32)


def angles_of(frame):
    return calc_angles(frame[:-2], frame[1:-1], frame[2:])


def improbability(angles, torsions):
    """Half the squared deviations and the Lennard-Jones energy as the docstring has them, of a chain built from its angles."""
    frame = np.zeros((N_ATOMS, 3))
    frame[1, 0] = BOND
    frame[2] = frame[1] + BOND * np.array([-np.cos(angles[0]), np.sin(angles[0]), 0])
    for atom in range(3, N_ATOMS):
        i, j, k = frame[atom - 3 : atom]
        along = (k - j) / np.linalg.norm(k - j)
        normal = np.cross(j - i, along) / np.linalg.norm(np.cross(j - i, along))
        angle, torsion = angles[atom - 2], torsions[atom - 3]
        across = np.cross(normal, along)
        direction = -np.cos(angle) * along + np.sin(angle) * (np.cos(torsion) * across + np.sin(torsion) * normal)
        frame[atom] = k + BOND * direction
    minimum = 1.2 * 2 * vdwradii["C"] / 10
    one, other = np.triu_indices(N_ATOMS, 4)
    ratios = 1.2 * minimum**2 / (np.square(frame[one] - frame[other]).sum(axis=1) + 0.2 * minimum**2)
    return np.square((angles - ANGLE) / SPREAD).sum() / 2 + 0.1 * (ratios**6 - 2 * ratios**3).sum()


def test_generated_torsions_and_lengths_without_scatter_stay(frames):
    for torsions, frame in zip(TORSIONS.T, frames, strict=True):
        found = calc_dihedrals(frame[:-3], frame[1:-2], frame[2:-1], frame[3:])
        np.testing.assert_allclose(np.cos(found - torsions), 1, atol=1e-6)
        np.testing.assert_allclose(calc_bonds(frame[:-1], frame[1:]), BOND, atol=1e-6)


def test_minimum_is_found(frames):
    for torsions, frame in zip(TORSIONS.T, frames, strict=True):
        found = angles_of(frame)
        lowest = improbability(found, torsions)
        assert lowest < improbability(np.full(N_ATOMS - 2, ANGLE), torsions)
        for index in range(N_ATOMS - 2):
            for step in (-0.2, 0.2):
                aside = found.copy()
                aside[index] += step * SPREAD
                assert improbability(aside, torsions) > lowest


def test_room_is_made_where_there_is_none(frames, unpacked):
    stretched, _, knotted = abs(np.array([angles_of(frame) for frame in frames]) - ANGLE).max(axis=1)
    assert stretched < 0.2 * SPREAD
    assert knotted > SPREAD
    one, other = np.triu_indices(N_ATOMS, 4)
    assert calc_bonds(frames[2, one], frames[2, other]).min() > calc_bonds(unpacked[2, one], unpacked[2, other]).min() + 0.02


def test_nothing_scatters_nothing_moves(z_matrix, chain, expected, unpacked):
    np.testing.assert_allclose(packed(z_matrix, chain, expected, spread=0.0), unpacked, atol=1e-6)


def test_other_torsions_turn(z_matrix, chain, expected, frames):
    frame = packed(z_matrix, chain, expected, turn=0.3)[2]
    turned = np.angle(np.exp(1j * (calc_dihedrals(frame[:-3], frame[1:-2], frame[2:-1], frame[3:]) - TORSIONS[:, 2])))
    assert 0.1 < abs(turned).max() < 1.0
    assert abs(angles_of(frame) - ANGLE).max() < abs(angles_of(frames[2]) - ANGLE).max()


def test_frames_are_on_their_own(z_matrix, chain, expected, frames):
    torsions, arms = expected
    alone = packed(z_matrix, chain, (torsions[:, 2:], arms[..., 2:]))
    np.testing.assert_allclose(alone[0], frames[2], atol=1e-6)


def test_spherical_coordinates_are_those_of_the_arms(expected):
    _, arms = expected
    np.testing.assert_allclose(cartesian(spherical(arms)), arms, atol=1e-12)
