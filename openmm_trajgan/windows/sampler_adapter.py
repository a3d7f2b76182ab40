"""Frames from OpenMM's replica exchange sampler, which calls no ordinary reporters."""

from typing import Any

from openmm import unit

from openmm_trajgan.features.base import Featurizer
from openmm_trajgan.windows.recorder import FrameRecorder, FrameSink


class ReplicaExchangeWindows:
    """A callable for ``ReplicaExchangeSampler.reporters``: one stream per replica, a new segment whenever it changes state.

    A replica is continuous in its atoms but jumps between thermodynamic states at exchanges; no window spans such a jump.

    Which state a segment was simulated in is not stored, so what is learned from the buffer is the mixture of all states, each as
    often as it was simulated.

    Parameters
    ----------
    buffer
        Where the frames go.
    features
        Positions to features.
    stream
        Streams are named ``<stream>0000``, ``<stream>0001`` …
    append
        Continue streams that hold frames already.
    n_structures
        How many frames at the start of the first replica are kept with all positions, for backmapping.

    Examples
    --------
    ::

        sampler = openmm.app.ReplicaExchangeSampler(states, simulation, 500)      # OpenMM 8.6 or newer
        sampler.reporters.append(tg.ReplicaExchangeWindows(buffer, features))
        sampler.simulate(1000)
    """

    def __init__(
        self, buffer: FrameSink, features: Featurizer, *, stream: str = "replica", append: bool = False, n_structures: int = 500
    ) -> None:
        self._buffer = buffer
        self._features = features
        self._stream = stream
        self._append = append
        self._n_structures = n_structures
        self._recorders: list[FrameRecorder] = []
        self._states: list[int] = []

    def __call__(self, sampler: Any) -> None:
        """Store one frame of every replica."""
        if not self._recorders:
            self._begin(sampler)
        periodic = sampler.simulation.system.usesPeriodicBoundaryConditions()
        for index, (recorder, conformation) in enumerate(zip(self._recorders, sampler.replicaConformation, strict=True)):
            if sampler.replicaStateIndex[index] != self._states[index]:  # exchanged before this frame's dynamics
                recorder.new_segment()
            recorder.record(
                conformation.getStepCount(),
                conformation.getTime().value_in_unit(unit.picosecond),
                conformation.getPositions(asNumpy=True)._value,
                conformation.getPeriodicBoxVectors(asNumpy=True)._value if periodic else None,
            )
        self._states = list(sampler.replicaStateIndex)

    def _begin(self, sampler: Any) -> None:
        interval = sampler.stepsPerIteration
        frame_interval = interval * sampler.simulation.integrator.getStepSize().value_in_unit(unit.picosecond)
        recorders = []
        for index, conformation in enumerate(sampler.replicaConformation):
            recorder = FrameRecorder(
                self._buffer,
                self._features,
                [f"{self._stream}{index:04d}"],
                interval,
                append=self._append,
                n_structures=self._n_structures if index == 0 else 0,
            )
            step = conformation.getStepCount() - interval
            recorder.begin(step, frame_interval, conformation.getTime().value_in_unit(unit.picosecond) - frame_interval)
            recorder.new_segment()  # of a stream that is continued: the state of its last frame is not known
            recorders.append(recorder)
        self._recorders = recorders
        self._states = list(sampler.replicaStateIndex)

    def close(self) -> None:
        """Write the structures kept so far and flush the buffer."""
        for recorder in self._recorders:
            recorder.close()
