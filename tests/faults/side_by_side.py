"""Eight writers and a reader at once: no torn read, every window contiguous.

Run ``python tests/faults/side_by_side.py --seconds 60 --out side_by_side.json``. Every frame holds its stream and step in all its
features, so that a reader sees whether a window is whole. Writers flush, leave gaps, go back to earlier steps as after a restart
(frames are set aside then, which a reader may be told), and close and open the buffer again.
"""

import argparse
import json
import multiprocessing
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from openmm_trajgan import FeatureSchema, WindowBuffer
from openmm_trajgan.buffer import shards
from openmm_trajgan.errors import InputError

N_WRITERS, N_FEATURES, LENGTH, BATCH = 8, 3, 40, 64
SCHEMA = FeatureSchema(names=("stream", "step", "sum"), units=("",) * 3, periods=(None,) * 3, frame_interval=1.0)
SHARD = 500  # frames, so that sealing happens all the time
SET_ASIDE = "are no longer there"


def write(path: Path, writer: int, until: float) -> None:
    """Append until time is up."""
    shards.BYTES_PER_SHARD = SHARD * 28
    rng, stream, step, segment = np.random.default_rng(writer), f"w{writer}", 0, 0
    buffer = WindowBuffer(path, SCHEMA)
    while time.time() < until:
        for _ in range(int(rng.integers(20, 400))):
            values = np.array([[writer, step % 2**20, writer + step % 2**20]])
            buffer.append([stream], step=step, time=step, segment=segment, features=values)
            step += 1
        event = rng.integers(8)
        if event == 0:
            buffer.flush()
        elif event == 1:
            step, segment = step + 10, segment + 1
        elif event == 2:
            back = int(rng.integers(1, 300))
            buffer.truncate(stream, step - back)
            last = buffer.last_frame(stream)
            segment, step = (0, 0) if last is None else (last[0], last[1] + 1)
        elif event == 3:
            buffer.close()
    buffer.close()


def torn(windows: np.ndarray) -> int:
    """How many windows ``(n, length, 3)`` are not consecutive frames of one stream."""
    stream, step, total = np.moveaxis(windows, 2, 0)
    whole = (stream == stream[:, :1]) & (total == stream + step)
    follows = np.diff(step, axis=1) == 1
    return int((~whole.all(axis=1) | ~follows.all(axis=1)).sum())


def read(path: Path, until: float) -> dict[str, object]:
    """Draw windows until time is up, from a new snapshot every ten batches."""
    rng, counts, faults = np.random.default_rng(99), dict.fromkeys(("snapshots", "windows", "torn", "told_set_aside"), 0), []
    buffer = WindowBuffer(path, SCHEMA)
    while time.time() < until:
        try:
            population = buffer.windows(LENGTH)
            counts["snapshots"] += 1
            for _ in range(10):
                counts["torn"] += torn(population.sample(BATCH, rng))
                counts["windows"] += BATCH
            counts["torn"] += sum(torn(series[None]) for series in buffer.trajectories([buffer.streams[0]]).values)
        except InputError as error:
            if SET_ASIDE in str(error):
                counts["told_set_aside"] += 1
            elif "do not fit" not in str(error) and "no frames yet" not in str(error):
                faults.append(str(error)[:300])
        except Exception as error:
            faults.append(f"{type(error).__name__}: {error}"[:300])
    return {**counts, "faults": faults[:20]}


def main(seconds: float, n_writers: int = N_WRITERS) -> dict[str, object]:
    """Run all of them; at the end every stream is read as a whole."""
    context = multiprocessing.get_context("fork")
    with tempfile.TemporaryDirectory() as folder:
        path, until = Path(folder) / "buffer", time.time() + seconds
        writers = [context.Process(target=write, args=(path, writer, until)) for writer in range(n_writers)]
        for writer in writers:
            writer.start()
        result = read(path, until)
        for writer in writers:
            writer.join()
        series = WindowBuffer(path).trajectories()
        steps = {stream: WindowBuffer(path).steps(stream) for stream in WindowBuffer(path).streams}
        return {
            "seconds": seconds,
            "writers": n_writers,
            "writers_failed": sum(writer.exitcode != 0 for writer in writers),
            **result,
            "frames_at_the_end": series.n_frames,
            "torn_at_the_end": sum(torn(each[None]) for each in series.values),
            "repeated_at_the_end": sum(int((np.diff(each) <= 0).sum()) for each in steps.values()),
        }


def sound(result: dict[str, object]) -> bool:
    """Whether nothing went wrong."""
    return not any(result[name] for name in ("writers_failed", "torn", "faults", "torn_at_the_end", "repeated_at_the_end"))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    arguments = parser.parse_args()
    found = main(arguments.seconds)
    arguments.out.write_text(json.dumps(found, indent=1) + "\n")
    sys.exit(not sound(found))
