"""The OpenMM reporter."""

import warnings
from types import TracebackType
from typing import Any, Literal, Self

import numpy as np
import openmm
from numpy.typing import NDArray
from openmm import unit

from openmm_trajgan.arguments import whole_number
from openmm_trajgan.errors import InputError, NonFiniteError
from openmm_trajgan.features.base import Featurizer
from openmm_trajgan.windows.recorder import FrameRecorder, FrameSink

_VARIABLE = (openmm.VariableLangevinIntegrator, openmm.VariableVerletIntegrator)


class WindowReporter:
    """Computes features of a running simulation and stores them in a window buffer.

    Attach it like any OpenMM reporter. It asks the simulation for positions only. What it has reported survives the death of the
    process at once, and a power cut after `flush`, which also belongs before a checkpoint you must be able to rely on after one.

    Parameters
    ----------
    buffer
        Where the frames go.
    reportInterval
        Steps between frames.
    features
        Positions to features; indices refer to the atoms of the simulation (of one replica, if there are several).
    stream
        Name of this replica in the buffer. With `n_replicas` > 1 a four-digit number is added.
    n_replicas
        How many equal, independent copies of the system the context holds one after the other.
    append
        Continue the stream after a restart: load the checkpoint, attach, step. Frames later than the checkpoint are set aside
        (they will be simulated again), and a frame missing exactly at the checkpoint is taken from the restored state.
    enforcePeriodicBox
        Passed to OpenMM. Features follow the minimum image convention either way, so the cheaper False is right.
    n_structures
        How many consecutive frames of the first replica are kept with all positions, for backmapping.
    on_error
        What to do when a frame cannot be stored because the disk is full, the folder is gone or may not be written, or file handles
        have run out: ``"raise"`` the OSError, which stops the simulation, or ``"warn"`` and go on without that frame; the next
        frame that can be stored begins a new segment. Frames stored before are safe either way. Wrong arguments and positions that
        are NaN are always raised.

    Attributes
    ----------
    n_lost : int
        Frames that could not be stored and that the simulation went on without.

    Raises
    ------
    InputError
        If the interval is not a positive whole number of steps, or (when the simulation starts) its step size is variable or its
        particles are not `n_replicas` equal copies.
    SchemaMismatchError
        If the buffer holds other features, or (when the simulation starts) frames at another interval.
    StreamExistsError
        If the stream holds frames and `append` is false, now or when the simulation starts.

    Notes
    -----
    ``simulation.minimizeEnergy()`` or ``context.setPositions()`` between two calls of ``simulation.step()`` cannot be seen from
    step numbers, nor can a state that is loaded where it stands: call `new_segment` after them. A step or time that jumps, as after
    ``simulation.loadCheckpoint()`` or ``loadState()`` of another moment, begins a new segment without that. After Ctrl-C in
    ``simulation.step()``, or room made on a full disk, ``simulation.step()`` goes on without losing a frame.

    Examples
    --------
    ::

        features = tg.Torsions.backbone(simulation.topology)
        buffer = tg.WindowBuffer("ala2.windows", schema=features.schema)
        simulation.reporters.append(tg.WindowReporter(buffer, 50, features))
        simulation.step(500_000)
    """

    def __init__(
        self,
        buffer: FrameSink,
        reportInterval: int,
        features: Featurizer,
        *,
        stream: str = "replica0",
        n_replicas: int = 1,
        append: bool = False,
        enforcePeriodicBox: bool = False,
        n_structures: int = 500,
        on_error: Literal["raise", "warn"] = "raise",
    ) -> None:
        if on_error not in ("raise", "warn"):
            raise InputError(f"on_error: expected 'raise' or 'warn', found {on_error!r}")
        if not isinstance(stream, str):
            raise InputError(f"stream: expected a name, found {stream!r}; several replicas are told by n_replicas")
        self._interval = whole_number(reportInterval, "reportInterval")
        self._n_replicas = whole_number(n_replicas, "n_replicas")
        streams = [stream] if n_replicas == 1 else [f"{stream}{index:04d}" for index in range(n_replicas)]
        self._recorder = FrameRecorder(buffer, features, streams, self._interval, append=append, n_structures=n_structures)
        self._append = append
        self._enforce_periodic_box = enforcePeriodicBox
        self._periodic: bool | None = None  # of the system; None until the simulation is known
        self._due: int | None = None  # step of the next frame
        self._closed = False
        self._goes_on = on_error == "warn"
        self._failing = False
        self.n_lost = 0

    def describeNextReport(self, simulation: Any) -> dict[str, Any]:
        """Tell OpenMM when the next frame is due and that it needs positions."""
        if self._periodic is None:
            try:
                self._begin(simulation)
            except OSError as error:
                self._failed(error, simulation.currentStep)  # and try again when a frame is due
        if self._missed(simulation.currentStep):
            self.report(simulation, simulation.context.getState(positions=True, enforcePeriodicBox=self._enforce_periodic_box))
        steps = self._interval - simulation.currentStep % self._interval
        self._due = simulation.currentStep + steps
        return {"steps": steps, "periodic": self._enforce_periodic_box, "include": ["positions"]}

    def _missed(self, step: int) -> bool:
        """Whether the frame of the step at which the simulation stands is due and was not stored.

        The process died between the checkpoint and the frame of one step, or Ctrl-C or a full disk came in between.
        """
        ready = self._periodic is not None and not (self._failing or self._closed)
        return ready and step == self._due and step != self._recorder.last_step

    def _begin(self, simulation: Any) -> None:
        """Look at the simulation when it first steps, since a checkpoint may be loaded after this reporter was made."""
        n_particles = simulation.system.getNumParticles()
        if n_particles % self._n_replicas:
            raise InputError(
                f"n_replicas={self._n_replicas}: expected that many equal copies one after the other, found {n_particles} particles"
            )
        integrator = simulation.integrator
        if isinstance(integrator, _VARIABLE):
            raise InputError(
                f"{type(integrator).__name__} changes its step size, but windows need equal times between frames; "
                "use an integrator with a fixed step"
            )
        frame_interval = self._interval * integrator.getStepSize().value_in_unit(unit.picosecond)
        step = simulation.currentStep
        time = simulation.context.getTime().value_in_unit(unit.picosecond)
        self._recorder.begin(step, frame_interval, time)
        if self._append:
            self._due = (self._recorder.last_step or 0) + self._interval
        self._periodic = bool(simulation.system.usesPeriodicBoundaryConditions())

    def report(self, simulation: Any, state: Any) -> None:
        """Store the frame in `state`.

        Raises
        ------
        NonFiniteError
            If a position or feature is NaN or infinite.
        OSError
            If the frame cannot be stored and `on_error` is ``"raise"``.
        """
        if self._closed:
            raise InputError(
                "this WindowReporter is closed; remove it from simulation.reporters or make a new one with append=True"
            )
        step = state.getStepCount()
        try:
            if self._periodic is None:  # called by hand before the first step
                self._begin(simulation)
                if self._recorder.last_step == step:
                    return  # stored before the restart
            box = state.getPeriodicBoxVectors(asNumpy=True)._value if self._periodic else None
            # `_value` is in ps, as every State is, and spares a conversion that costs as much as a torsion
            self._recorder.record(step, state.getTime()._value, _positions(state), box)
        except NonFiniteError:
            self._due = None  # whatever is done about it, this is no longer the frame that follows on the one before
            raise
        except OSError as error:
            self._failed(error, step)
            self.n_lost += 1
            return
        if self._failing:
            self._failing = False
            warnings.warn(f"step {step}: frames are stored again; {self.n_lost} were lost so far", stacklevel=2)

    def _failed(self, error: OSError, step: int) -> None:
        """Raise the error or tell it, once until storing works again."""
        if not self._goes_on:
            raise error
        if not self._failing:
            self._failing = True
            warnings.warn(f"step {step}: {error}; the simulation goes on without this frame (on_error='warn')", stacklevel=3)

    def new_segment(self) -> None:
        """Let no window span what lies before and after now: call it after moving atoms by hand."""
        self._recorder.new_segment()

    def flush(self) -> None:
        """Make everything reported survive a power cut."""
        self._recorder.flush()

    def close(self) -> None:
        """Flush and stop reporting; the buffer stays open."""
        if not self._closed:
            self._closed = True
            try:
                self._recorder.close()
            except OSError as error:
                self._failed(error, self._recorder.last_step or 0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def _positions(state: openmm.State) -> NDArray[np.float64]:
    """Positions in nm, ``(n_atoms, 3)``; `State.getPositions` lists its own attributes first, at the price of two torsions."""
    if not hasattr(state, "_getVectorAsNumpy"):
        positions: NDArray[np.float64] = state.getPositions(asNumpy=True)._value
        return positions
    positions = np.empty((state._getNumParticles(), 3))
    state._getVectorAsNumpy(openmm.State.Positions, positions)
    return positions
