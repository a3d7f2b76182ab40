"""Reference structures, whatever they were given as."""

import numpy as np
import pytest
from MDAnalysis.lib.mdamath import triclinic_vectors

from openmm_trajgan.backmap.molecule import molecule_of, reference_of
from openmm_trajgan.buffer import WindowBuffer
from openmm_trajgan.errors import InputError
from openmm_trajgan.features import Distances


@pytest.mark.parametrize("wrong", ["md.dcd", [[[0.0, 0.0]], [[1.0]]]])
def test_what_is_no_reference_is_refused_in_one_line(topology, wrong):
    with pytest.raises(InputError, match="^reference: expected an MDAnalysis Universe, a window buffer or pos.* found a"):
        reference_of(molecule_of(topology), wrong)


def test_structures_of_a_buffer_come_back_in_their_boxes(topology, reference):
    features = Distances([[0, 10], [4, 18]])
    boxes = np.array([[2.0, 0.0, 0.0], [0.6, 1.9, 0.0], [-0.5, 0.4, 1.8]]) * np.linspace(1, 1.2, len(reference))[:, None, None]
    moved = reference.copy()
    moved[:, 10:] += boxes[:, 1, None] - boxes[:, 2, None]  # another image
    buffer = WindowBuffer(schema=features.schema)
    buffer.keep_structures("a", moved, boxes)
    again = reference_of(molecule_of(topology), buffer)
    found = [features(ts.positions / 10, triclinic_vectors(ts.dimensions) / 10) for ts in again.trajectory]
    np.testing.assert_allclose(found, features(reference, boxes), atol=1e-5)
