"""MDAnalysis's own tests of trajectory readers, on a file of generated frames.

They come with the package MDAnalysisTests and are skipped where it is not installed. Left out, since they cannot apply:

* ``test_get_writer_1``, ``test_get_writer_2``: MDAnalysis cannot write the format frame by frame, since the number of frames and
  the features stand before the positions; `write_universe` writes it.
"""

import numpy as np
import pytest

from openmm_trajgan.backmap.archive import save_frames
from openmm_trajgan.backmap.frames import GeneratedFrames, LibraryFrames, StoredFrames
from openmm_trajgan.backmap.reader import GeneratedReader
from openmm_trajgan.schema import FeatureSchema

base = pytest.importorskip("MDAnalysisTests.coordinates.base")

pytestmark = [
    pytest.mark.filterwarnings("ignore:there is no reference attributes:UserWarning"),
    pytest.mark.filterwarnings("ignore:asel argument to timeseries:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Reader has no dt information:UserWarning"),  # the expected timesteps, which have no reader
]


class Reference(base.BaseReference):
    """The five frames that these tests know, as generated frames, with and without a box."""

    def __init__(self, path, periodic):
        super().__init__()
        self.trajectory, self.reader, self.ext, self.prec = path, GeneratedReader, "trajgan", 5
        if not periodic:
            self.dimensions = self.dimensions_second_frame = None
            self.volume = 0
        for timestep in (self.first_frame, self.second_frame, self.last_frame, self.jump_to_frame):
            timestep.dimensions = self.dimensions

    def iter_ts(self, i):
        timestep = super().iter_ts(i)
        timestep.dimensions = self.dimensions
        return timestep


class TestGeneratedReader(base.MultiframeReaderTest):
    test_get_writer_1 = None
    test_get_writer_2 = None

    @pytest.fixture  # the two fixtures of the base class, which pytest 9 warns about as they stand there
    def reader(self, ref):
        return base.BaseReaderTest.__dict__["reader"].__func__.__wrapped__(ref)

    @pytest.fixture
    def transformed(self, ref):
        return base.BaseReaderTest.__dict__["transformed"].__func__.__wrapped__(ref)

    @pytest.fixture(params=[False, True], ids=["no box", "box"])
    def ref(self, request, tmp_path):
        periodic = request.param
        reference = Reference(tmp_path / "frames.trajgan", periodic)
        positions = np.stack([reference.iter_ts(frame).positions for frame in range(5)])
        schema = FeatureSchema(names=("x",), units=("nm",), periods=(None,), frame_interval=1.0)
        rows, source = None, StoredFrames(positions / 10)
        if periodic:
            rows = np.arange(5)
            library = base.mda.Universe.empty(5).load_new(positions, dimensions=reference.dimensions)
            source = LibraryFrames(library.trajectory, rows, np.arange(5), {})
        frames = GeneratedFrames(source, np.zeros((5, 1), np.float32), np.zeros(5, int), schema, rows)
        save_frames(frames, reference.trajectory)
        return reference
