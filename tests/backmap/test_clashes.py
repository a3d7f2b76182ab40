import MDAnalysis
import numpy as np
import pytest
from MDAnalysis.guesser.tables import vdwradii

from openmm_trajgan.backmap.clashes import Clashes
from openmm_trajgan.errors import InputError


def chain(elements):
    universe = MDAnalysis.Universe.empty(len(elements), trajectory=True)
    universe.add_TopologyAttr("elements", list(elements))
    universe.add_TopologyAttr("bonds", [(atom, atom + 1) for atom in range(len(elements) - 1)])
    return universe


def loop(last, distance, n_atoms):
    """A straight chain, 0.3 nm from atom to atom, whose atom `last` stands `distance` nm beside the first."""
    positions = np.array([[0.3 * index, 0.0, 0.0] for index in range(n_atoms)])
    positions[last] = [0, distance, 0]
    return positions[None]


@pytest.mark.parametrize(("last", "clash"), [(2, False), (3, False), (4, True), (5, True)])
def test_more_than_three_bonds_apart(last, clash):
    assert Clashes(chain("CCCCCC"))(loop(last, 0.15, 6)) == [clash]


@pytest.mark.parametrize(
    ("first", "last", "slack"),
    [("C", "C", 0.0), ("H", "C", 0.0), ("H", "H", 0.0), ("H", "O", 0.06), ("N", "H", 0.06), ("N", "O", 0.0)],
)
def test_limit_is_a_share_of_the_van_der_waals_radii(first, last, slack):
    limit = max(0.63 * ((vdwradii[first] + vdwradii[last]) / 10 - slack), 0.0 if "H" in (first, last) else 0.2)
    clashes = Clashes(chain([first, "C", "C", "C", last]))
    np.testing.assert_array_equal(clashes(np.concatenate([loop(4, limit * factor, 5) for factor in (0.99, 1.01)])), [True, False])


def test_md_is_without(md, reference):
    assert not Clashes(md)(reference).any()


def test_far_from_the_origin_and_in_blocks(md, reference, monkeypatch):
    squeezed = reference * np.linspace(0.6, 1, len(reference), dtype=np.float32)[:, None, None]
    expected = Clashes(md)(squeezed)
    assert 0 < expected.sum() < len(expected)
    np.testing.assert_array_equal(Clashes(md)(squeezed + np.float32(50)), expected)
    monkeypatch.setattr("openmm_trajgan.backmap.clashes._PAIRS_AT_ONCE", 1)
    np.testing.assert_array_equal(Clashes(md)(squeezed), expected)


def test_elements_are_needed():
    bare = MDAnalysis.Universe.empty(5, trajectory=True)
    with pytest.raises(InputError, match=r"expected the elements of the atoms, found none; call universe.guess_TopologyAttrs"):
        Clashes(bare)
    with pytest.raises(InputError, match="no van der Waals radius of element 'QQ'"):
        Clashes(chain(["C", "Qq", "C", "C", "C"]))
