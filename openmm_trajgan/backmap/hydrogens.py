"""Hydrogens of one atom that only their numbers tell apart."""

import MDAnalysis
import numpy as np
from numpy.typing import NDArray

from openmm_trajgan.backmap.z_matrix import bond_graph

_NEIGHBOURS = 4  # of an atom around which two hydrogens can be exchanged and not turned into each other


def number_alike(structures: NDArray[np.float64], universe: MDAnalysis.Universe) -> None:
    """Exchange hydrogens of one atom, in place, where they are numbered the other way round than in the first frame.

    Simulations whose hydrogens were added separately differ in that; the molecule is the same, but means over such frames are not
    of a molecule.

    Parameters
    ----------
    structures
        ``(n_atoms, 3, n_frames)``.
    universe
        The same atoms, with bonds and elements.
    """
    graph = bond_graph(universe)
    hydrogen = np.array([element.upper() == "H" for element in universe.atoms.elements])
    for centre in range(len(hydrogen)):
        near = graph[[centre]].indices
        ours, others = near[hydrogen[near]], near[~hydrogen[near]]
        if len(near) != _NEIGHBOURS or len(ours) not in (2, 3):
            continue
        around = np.concatenate([others, ours])
        arms = structures[around] - structures[centre]
        hands = np.einsum("xf,xf->f", np.cross(arms[0], arms[1], axis=0), arms[2] - arms[3])
        last = around[2:]
        structures[last] = np.where(hands * hands[0] < 0, structures[last[::-1]], structures[last])
