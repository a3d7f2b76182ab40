"""Pictures of molecules for a page without script: balls and sticks."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import EllipseCollection, LineCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from numpy.typing import NDArray

from openmm_trajgan.analysis.bonding import IntArray, bonds_of, elements_of
from openmm_trajgan.analysis.distributions import FloatArray
from openmm_trajgan.errors import InputError

MOST_ATOMS_WITH_HYDROGENS = 150  # sketches of larger molecules leave hydrogen out
_ANGSTROM = 10.0  # per nm
_COLOURS = {"H": "#f2f2f2", "C": "#5a5a5a", "N": "#2f55c8", "O": "#d62f2f", "S": "#d9b300", "P": "#e67e22", "FE": "#a0522d"}
_OTHER_COLOUR, _BOND_COLOUR = "#2e8b57", "#8c8c8c"
_LAYERS = 16  # of depth in a sketch
# Rows: to the right, up, towards the viewer
_VIEWS = {"front": np.eye(3), "from above": np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]])}


def sketch(universe: Any, frame: int) -> Figure:
    """Draw one structure as balls and sticks from two sides, fainter with distance.

    Parameters
    ----------
    universe
        Universe or AtomGroup of one molecule, whole in this frame. Hydrogen is left out beyond 150 atoms. It is left at its
        first frame.
    frame
        Its index.

    Returns
    -------
    matplotlib.figure.Figure
        The view along the shortest principal axis, the longest to the right, and the same turned by 90° about that one. Carbon
        is grey, nitrogen blue, oxygen red, sulphur yellow, hydrogen white.

    Raises
    ------
    InputError
        If there is no such frame or a position is not finite.
    """
    atoms = universe.atoms
    positions, bonds, elements = _frame(atoms, frame) / _ANGSTROM, bonds_of(atoms), elements_of(atoms)
    if len(atoms) > MOST_ATOMS_WITH_HYDROGENS:
        shown = elements != "H"
        bonds = (np.cumsum(shown) - 1)[bonds[shown[bonds].all(axis=1)]]
        positions, elements = positions[shown], elements[shown]
    positions = positions - positions.mean(axis=0)
    axes_of_inertia = np.linalg.svd(positions, full_matrices=True)[2]
    axes_of_inertia[2] *= np.sign(np.linalg.det(axes_of_inertia))  # a mirrored picture would show the other enantiomer
    positions = positions @ axes_of_inertia.T
    width, height = np.abs(positions[:, 0]).max() + 0.1, np.abs(positions[:, 1:]).max() + 0.15  # from the centre, nm
    share = max(height / width, 0.4)
    figure = Figure(figsize=(9.0, 4.5 * share + 0.3))
    for column, (title, turn) in enumerate(_VIEWS.items()):
        axes = figure.add_axes((0.5 * column, 0.0, 0.5, 4.5 * share / (4.5 * share + 0.3)))
        axes.set(xlim=(-width, width), ylim=(-share * width, share * width))
        axes.set_axis_off()
        axes.set_title(title, fontsize=10, color="0.3", pad=2)
        _draw(axes, positions @ turn.T, bonds, elements, points_per_nm=4.5 * 72 / (2 * width))
        bar = 10.0 ** np.floor(np.log10(width))
        right, low = 0.95 * width, -0.95 * share * width
        axes.plot([right - bar, right], [low, low], color="0.3", linewidth=2)
        axes.annotate(
            f"{bar:g} nm", (right - bar / 2, low), (0, 3), textcoords="offset points", ha="center", fontsize=8, color="0.3"
        )
    return figure


def _draw(axes: Axes, positions: FloatArray, bonds: IntArray, elements: NDArray[Any], points_per_nm: float) -> None:
    """Paint from the back to the front, in layers of depth: half bonds, and the atoms they come from. The third axis is depth."""
    depth = positions[:, 2]
    layers = np.digitize(depth, np.linspace(depth.min(), depth.max(), _LAYERS + 1)[1:-1])
    colours = np.array([to_rgb(_COLOURS.get(element, _OTHER_COLOUR)) for element in elements])
    diameters = np.where(elements == "H", 0.05, 0.08)  # nm
    origins = np.concatenate([bonds[:, 0], bonds[:, 1]])
    halves = np.stack([positions[origins], np.tile(positions[bonds].mean(axis=1), (2, 1))], axis=1)[:, :, :2]
    for layer in range(_LAYERS):
        haze, atoms = 0.65 * (1 - layer / (_LAYERS - 1)), layers == layer
        sticks = LineCollection(
            list(halves[atoms[origins]]),
            colors=[(1 - haze) * np.array(to_rgb(_BOND_COLOUR)) + haze],
            linewidths=0.025 * points_per_nm,
            capstyle="round",
            zorder=2 * layer,
        )
        balls = EllipseCollection(
            diameters[atoms],
            diameters[atoms],
            np.zeros(atoms.sum()),
            units="xy",
            offsets=positions[atoms, :2],
            offset_transform=axes.transData,
            facecolors=(1 - haze) * colours[atoms] + haze,
            edgecolors=[(1 - haze) * np.full(3, 0.25) + haze],
            linewidths=0.6,
            zorder=2 * layer + 1,
        )
        for collection in (sticks, balls):
            axes.add_collection(collection, autolim=False)


def _frame(atoms: Any, frame: int) -> NDArray[np.float32]:
    """Positions in one frame, ``(n_atoms, 3)``, Å."""
    trajectory = atoms.universe.trajectory
    if not 0 <= frame < len(trajectory):
        raise InputError(f"expected a frame between 0 and {len(trajectory) - 1}, found {frame}; there is no other")
    trajectory[frame]
    positions: NDArray[np.float32] = atoms.positions
    trajectory[0]
    if not np.isfinite(positions).all():
        raise InputError(f"frame {frame}: a position is not finite; choose another")
    return positions
