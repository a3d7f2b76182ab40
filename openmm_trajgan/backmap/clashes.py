"""Which frames have atoms so close that no simulation would show them."""

import MDAnalysis
import numpy as np
from MDAnalysis.guesser.tables import vdwradii
from numpy.typing import ArrayLike, NDArray

from openmm_trajgan.backmap.z_matrix import bond_graph
from openmm_trajgan.errors import InputError

CLOSEST = 0.63  # of the sum of the van der Waals radii, the distance that MD of a peptide at 400 K did not go below
HEAVY_CLOSEST = 0.2  # nm, at least so far apart are atoms other than hydrogen
HYDROGEN_BOND = 0.06  # nm by which the sum is less between hydrogen and nitrogen or oxygen
BONDS_APART = 3  # so many bonds apart or fewer, atoms may be that close
_ANGSTROM = 10.0  # per nm
_PAIRS_AT_ONCE = 2_000_000  # of atoms in frames; 8 MB


class Clashes:
    """Tells which frames have two atoms, more than three bonds apart, closer than 0.63 of the sum of their van der Waals radii.

    Two atoms other than hydrogen also clash below 0.2 nm, so that no frame without a clash counts as bad in the validity report.

    Parameters
    ----------
    universe
        One molecule, with bonds and elements.

    Raises
    ------
    InputError
        If bonds or elements are missing, or an element has no radius.

    Examples
    --------
    >>> butane = MDAnalysis.Universe.empty(5, trajectory=True)
    >>> butane.add_TopologyAttr("elements", ["C"] * 5)
    >>> butane.add_TopologyAttr("bonds", [(0, 1), (1, 2), (2, 3), (3, 4)])
    >>> frame = np.array([[0.0, 0, 0], [0.15, 0, 0], [0.2, 0.15, 0], [0.1, 0.25, 0], [0.0, 0.2, 0]])
    >>> Clashes(butane)([frame, 1.5 * frame])
    array([ True, False])
    """

    def __init__(self, universe: MDAnalysis.Universe) -> None:
        limits = contact_distances(universe)
        heavy = np.array([element.upper() != "H" for element in universe.atoms.elements])
        squared = np.maximum(CLOSEST * limits, HEAVY_CLOSEST * np.outer(heavy, heavy)) ** 2
        squared = np.nan_to_num(squared, nan=-1.0)
        self._limits = squared.astype(np.float32)

    def __call__(self, positions: ArrayLike) -> NDArray[np.bool_]:
        """Frames with a clash, ``(n_frames,)``, of positions ``(n_frames, n_atoms, 3)`` in nm."""
        frames = np.asarray(positions, dtype=np.float32)
        frames = frames - frames.mean(axis=1, keepdims=True)
        n_at_once = max(1, _PAIRS_AT_ONCE // self._limits.size)
        clashing = np.empty(len(frames), dtype=bool)
        for start in range(0, len(frames), n_at_once):
            block = frames[start : start + n_at_once]
            squares = np.einsum("fax,fax->fa", block, block)
            products = block @ block.transpose(0, 2, 1)
            products *= -2
            products += squares[:, :, None]
            products += squares[:, None]
            clashing[start : start + n_at_once] = (products < self._limits).any(axis=(1, 2))
        return clashing


def contact_distances(universe: MDAnalysis.Universe) -> NDArray[np.float64]:
    """Return sums of the van der Waals radii of two atoms, less for hydrogen bonds, ``(n_atoms, n_atoms)``, nm.

    NaN for atoms that are three bonds apart, or less.

    Raises
    ------
    InputError
        If bonds or elements are missing, or an element has no radius.
    """
    if not hasattr(universe.atoms, "elements"):
        raise InputError("expected the elements of the atoms, found none; call universe.guess_TopologyAttrs(to_guess=['elements'])")
    elements = np.array([element.upper() for element in universe.atoms.elements])
    unknown = sorted(set(elements) - set(vdwradii))
    if unknown:
        raise InputError(f"no van der Waals radius of element {str(unknown[0])!r}; correct the elements of the topology")
    radii = np.array([vdwradii[element] for element in elements]) / _ANGSTROM
    hydrogen, acceptor = elements == "H", np.isin(elements, ["N", "O"])
    distances: NDArray[np.float64] = radii[:, None] + radii
    distances -= HYDROGEN_BOND * (np.outer(hydrogen, acceptor) | np.outer(acceptor, hydrogen))
    graph = bond_graph(universe)
    near = reached = graph
    for _ in range(BONDS_APART - 1):
        reached = reached @ graph
        near = near + reached
    distances[near.toarray() > 0] = np.nan
    np.fill_diagonal(distances, np.nan)
    return distances
