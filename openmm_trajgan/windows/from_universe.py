"""The same frames from stored trajectories."""

from typing import TYPE_CHECKING

import numpy as np
from MDAnalysis.lib.mdamath import triclinic_vectors

from openmm_trajgan.arguments import whole_number
from openmm_trajgan.errors import InputError
from openmm_trajgan.features.base import Featurizer
from openmm_trajgan.windows.recorder import FrameRecorder, FrameSink

if TYPE_CHECKING:
    import MDAnalysis as mda

_NM_PER_ANGSTROM = 0.1


def from_universe(
    universe: "mda.Universe",
    features: Featurizer,
    buffer: FrameSink,
    *,
    stream: str = "replica0",
    step: int = 1,
    append: bool = False,
    n_structures: int = 500,
) -> None:
    """Store the frames of an MDAnalysis trajectory as a live reporter would have stored them.

    A new segment begins where the times in the file jump, unless the universe was made with a `dt` of its own, and where one of
    several generated trajectories ends.

    Parameters
    ----------
    universe
        Topology and trajectory. Its `trajectory.dt` must be right: some formats, or wrong header fields, give 1 ps.
    features
        Positions to features; indices refer to all atoms of the universe.
    buffer
        Where the frames go.
    stream
        Name of this replica in the buffer.
    step
        Take every `step`-th frame.
    append
        Add to a stream that holds frames already, as a new segment.
    n_structures
        How many consecutive frames are kept with all positions, for backmapping.

    Raises
    ------
    InputError
        If the trajectory is empty, its time between frames is not positive, or `step` is not a positive whole number.
    NonFiniteError
        If a position or feature is NaN or infinite.
    StreamExistsError
        If the stream holds frames and `append` is false.
    """
    step = whole_number(step, "step")
    trajectory = universe.trajectory
    if not len(trajectory):
        raise InputError(f"{trajectory.filename}: the trajectory holds no frames; give one that does")
    frame_interval = float(trajectory.dt) * step
    if not frame_interval > 0:
        raise InputError(
            f"{trajectory.filename}: expected a positive time between frames, found {trajectory.dt} ps; "
            "tell it with MDAnalysis.Universe(topology, trajectory, dt=…)"
        )
    recorder = FrameRecorder(buffer, features, [stream], step, append=append, n_structures=n_structures)
    end = buffer.last_frame(stream)
    offset = 0 if end is None else end[1] + step
    recorder.begin(offset, frame_interval, time=0.0)
    recorder.new_segment()
    last_time = spacing = trajectory_of_last = None
    for timestep in trajectory[::step]:
        if last_time is not None:
            spacing = timestep.time - last_time if spacing is None else spacing
            if abs(timestep.time - last_time - spacing) > abs(spacing) / 2:  # less is rounding, files store float32
                recorder.new_segment()
        if timestep.data.get("trajectory") != trajectory_of_last:  # of several generated ones
            recorder.new_segment()
        last_time, trajectory_of_last = timestep.time, timestep.data.get("trajectory")
        dimensions = timestep.dimensions
        periodic = dimensions is not None and dimensions[:3].all()
        box = triclinic_vectors(dimensions) * _NM_PER_ANGSTROM if periodic else None
        positions = timestep.positions.astype(np.float64) * _NM_PER_ANGSTROM
        recorder.record(offset + timestep.frame, timestep.frame / step * frame_interval, positions, box)
    recorder.close()
