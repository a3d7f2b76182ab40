"""The compiled placing of atoms beside that by numpy."""

import sys

import MDAnalysis
import numpy as np
import pytest

from openmm_trajgan.backmap import placement, z_matrix
from openmm_trajgan.backmap.z_matrix import ZMatrix

SAME = 1e-11  # nm; that is 1e-10 Å


@pytest.fixture
def tree():
    """Z-matrix of a tree of 40 atoms in random places, and torsions and arms of eight frames."""
    rng = np.random.default_rng(3)
    order = rng.permutation(40)
    universe = MDAnalysis.Universe.empty(40, trajectory=True)
    universe.add_TopologyAttr("bonds", [(order[atom], order[rng.integers(max(0, atom - 4), atom)]) for atom in range(1, 40)])
    made = ZMatrix.from_universe(universe, {})
    return made, *made.measure(rng.normal(size=(40, 3, 8)))


def placed_by(function, tree, monkeypatch):
    made, torsions, arms = tree
    monkeypatch.setattr(z_matrix, "compiled", lambda: function)
    return made.place(torsions, arms.copy(order="K"))


def test_loop_and_numpy_place_alike(tree, monkeypatch):
    """The loop as it is, in Python: what it computes is tested where numba is not installed too."""
    by_loop = placed_by(placement.place, tree, monkeypatch)
    np.testing.assert_allclose(by_loop, placed_by(None, tree, monkeypatch), rtol=0, atol=SAME)


def test_numba_and_numpy_place_alike(tree, monkeypatch):
    pytest.importorskip("numba")
    compiled = placement.compiled()
    assert compiled is not None
    expected = placed_by(None, tree, monkeypatch)
    np.testing.assert_allclose(placed_by(compiled, tree, monkeypatch), expected, rtol=0, atol=SAME)
    made, torsions, arms = tree
    in_other_order = made, torsions, np.asfortranarray(arms)
    np.testing.assert_allclose(placed_by(compiled, in_other_order, monkeypatch), expected, rtol=0, atol=SAME)


def test_without_numba_it_is_numpy(tree, monkeypatch):
    expected = placed_by(None, tree, monkeypatch)
    monkeypatch.setitem(sys.modules, "numba", None)  # as if not installed
    found_anew = placement.compiled.__wrapped__
    assert found_anew() is None
    monkeypatch.setattr(z_matrix, "compiled", found_anew)
    made, torsions, arms = tree
    np.testing.assert_array_equal(made.place(torsions, arms.copy()), expected)
