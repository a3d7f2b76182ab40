"""A process that simulates replicas, one job after the other."""

import multiprocessing
import os
import signal
import threading
from multiprocessing.synchronize import Event
from pathlib import Path

from openmm_trajgan.buffer import WindowBuffer
from openmm_trajgan.storage import replacing
from openmm_trajgan.systems import get_system
from openmm_trajgan.training.interrupt import SIGNALS
from openmm_trajgan.windows.reporter import WindowReporter

_FRAMES_PER_CHECKPOINT = 2000

_stop: Event | None = None  # of this worker process


def start_worker(stop: Event) -> None:
    """Let the simulations of this process end soon after `stop` is set, and the process itself when its parent is killed.

    Ctrl-C on a terminal reaches it too, but is the parent's to answer. A process whose parent was killed would go on writing, and a
    resumed run could not.
    """
    global _stop
    _stop = stop
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _stopping() -> bool:
    return _stop is not None and _stop.is_set()


def simulate_replicas(
    name: str,
    out: Path,
    stream: str,
    n_replicas: int,
    n_frames: int,
    n_structures: int,
    seed: int,
    label: float | None,
    structure: str | None,
    resume: bool,
) -> None:
    """Run one simulation, which holds `n_replicas` replicas, up to `n_frames` frames; a job for a worker process.

    It ends earlier, with a checkpoint, if the worker is told to stop.
    """
    if _stopping():  # it was waiting in the queue of this worker
        return
    system = get_system(name, structure)
    checkpoint = out / "checkpoints" / f"{stream}.chk"
    simulation = system.simulation(seed, n_replicas, label)
    if resume and checkpoint.exists():
        simulation.loadCheckpoint(str(checkpoint))
    interval, buffer = system.report_interval, WindowBuffer(out)
    reporter = WindowReporter(
        buffer,
        interval,
        system.features(),
        stream=stream,
        n_replicas=n_replicas,
        append=resume,
        n_structures=0 if system.topology() is None else n_structures,
    )
    simulation.reporters.append(reporter)
    last = n_frames * interval
    while simulation.currentStep < last and not _stopping():
        until = min(simulation.currentStep + _FRAMES_PER_CHECKPOINT * interval, last)
        while simulation.currentStep < until and not _stopping():
            simulation.step(interval)
        reporter.flush()
        with replacing(checkpoint) as file:
            simulation.saveCheckpoint(file)
    reporter.close()
    buffer.close()
