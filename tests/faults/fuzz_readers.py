"""Damaged and hostile files: every reader answers with success or one line.

Run ``python tests/faults/fuzz_readers.py --inputs 100000 --out fuzz.json``.
"""

import argparse
import json
import re
import shutil
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import numpy as np

from openmm_trajgan import FeatureSchema, FeatureTrajectories, TrajGAN, WindowBuffer
from openmm_trajgan.backmap.reader import GeneratedReader
from openmm_trajgan.errors import InputError, NonFiniteError
from openmm_trajgan.features import Coordinates
from openmm_trajgan.features.latent import Latent
from openmm_trajgan.models.bundle import CONTRADICTIONS
from openmm_trajgan.training.checkpoint import contradiction, load_checkpoint, save_checkpoint
from openmm_trajgan.workflows import continuation
from openmm_trajgan.workflows.data import load_array

REGRESSION = Path(__file__).parents[1] / "regression"
sys.path.insert(0, str(REGRESSION))
from make_format_samples import schema, series, small_trainer  # noqa: E402

SCHEMA = FeatureSchema(names=("x", "y"), units=("nm", ""), periods=(None, None), frame_interval=1.0)
HOSTILE = [
    b"[" * 9000,
    b"99999999999",
    b"-1",
    b"1e999",
    b"NaN",
    b'"../../x"',
    b"{}",
    b"[]",
    b"null",
    b"\\ud800",
    b"\n",
    b"\xff" * 8,
    bytes(8),
]


def valid_files(folder: Path) -> dict[Path, Callable[[], object]]:
    """Write one file of each kind; the files with what reads them."""
    rng = np.random.default_rng(0)
    data = FeatureTrajectories([rng.normal(size=(40, 2)) for _ in range(2)], SCHEMA)
    model, checkpoint, archive, array = (folder / name for name in ("m.trajgan", "c", "g.npz", "a.npy"))
    TrajGAN(4).fit(data, steps=2, seed=1, progress=False).save(model)
    save_checkpoint(checkpoint, {"step": 1, "best": {}}, {"seed": 1})
    data.save(archive)
    np.save(array, data.values[0])
    path = folder / "buffer"
    with WindowBuffer(path, SCHEMA) as buffer:
        for step in range(9):
            buffer.append(["a"], step=step, time=step, segment=0, features=np.ones((1, 2)))
        buffer.keep_structures("a", np.zeros((2, 3, 3), np.float32))
    (path / "streams/a/000001-000000000000.rows").write_bytes((path / "streams/a/000000-000000000000.npy").read_bytes()[-96:])

    def read_buffer() -> None:
        opened = WindowBuffer(path)
        opened.trajectories()
        opened.structures()
        opened.last_frame("a")
        opened.windows(3).sample(2, rng)

    trained, latent, structures = (folder / name for name in ("trained", "latent.npz", "s.trajgan"))
    for file, name in ((trained, "checkpoint"), (latent, "latent.npz"), (structures, "structures.trajgan")):
        shutil.copyfile(REGRESSION / "formats/1" / name, file)
    trainer = small_trainer(FeatureTrajectories(series(), schema()))
    gan, unfinished = TrajGAN.load(model), folder / "unfinished"
    with mock.patch.object(continuation, "_SECONDS", 0.0):
        gan.generate(9, 2, seed=1, checkpoint=unfinished)

    def restore() -> None:
        state, _ = load_checkpoint(trained)
        try:
            trainer.restore(state)
        except CONTRADICTIONS as error:  # as `TrajGAN.fit` does
            raise contradiction(trained, error) from error

    def read_structures() -> None:
        with GeneratedReader(structures) as reader:
            reader[len(reader) - 1].positions.sum()

    buffer_files = [file for file in path.rglob("*") if file.is_file() and file.name != ".lock"]
    return {
        model: lambda: TrajGAN.load(model),
        checkpoint: lambda: load_checkpoint(checkpoint),
        archive: lambda: FeatureTrajectories.load(archive),
        array: lambda: load_array(array),
        trained: restore,
        latent: lambda: Latent.load(latent, Coordinates([0])),
        structures: read_structures,
        unfinished: lambda: gan.generate(9, 2, seed=1, checkpoint=unfinished, resume=True),
        **dict.fromkeys(buffer_files, read_buffer),
    }


def mutated(content: bytes, rng: np.random.Generator) -> bytes:
    """Flip bits, cut, repeat, replace a number or a word, or put something hostile somewhere, most often near the beginning."""
    damaged = bytearray(content)
    for _ in range(rng.integers(1, 4)):
        reach = len(damaged) if rng.random() < 0.3 else min(len(damaged), 1500)
        place = int(rng.integers(reach + 1))
        kind = rng.integers(5)
        if kind == 0 and place < len(damaged):
            damaged[place] ^= 1 << int(rng.integers(8))
        elif kind == 1:
            del damaged[place:]
        elif kind == 2:
            damaged[place:place] = HOSTILE[rng.integers(len(HOSTILE))]
        elif kind == 3:
            del damaged[place : place + int(rng.integers(1, 40))]
        else:
            words = [*re.finditer(rb'-?\d+|"[^"]*"|null', bytes(damaged[:3000]))]
            if words:
                word = words[rng.integers(len(words))]
                damaged[word.start() : word.end()] = HOSTILE[rng.integers(len(HOSTILE))]
    return bytes(damaged)


def fuzz(n_inputs: int, seed: int) -> dict[str, object]:
    """Read mutated files, in turn of each kind; count what comes out."""
    counts: Counter[str] = Counter()
    failures: list[str] = []
    rng = np.random.default_rng(seed)
    started = time.process_time()
    with tempfile.TemporaryDirectory() as name, warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # NumPy's about numbers that cannot be converted
        files = valid_files(Path(name))
        contents = {path: path.read_bytes() for path in files}
        for index in range(n_inputs):
            path = list(files)[index % len(files)]
            path.write_bytes(content := mutated(contents[path], rng))
            try:
                files[path]()
                outcome = "read"
            except (InputError, NonFiniteError) as error:
                outcome = "refused" if "\n" not in str(error) else "several lines"
                detail = str(error)
            except BaseException as error:  # what the promise says never happens
                outcome, detail = type(error).__name__, str(error)
            counts[f"{path.name}: {outcome}"] += 1
            if outcome not in ("read", "refused") and len(failures) < 20:
                failures.append(f"{path.name}, input {index}, {outcome}: {detail[:200]} ({content[:80]!r})")
            path.write_bytes(contents[path])
    seconds = round(time.process_time() - started, 1)
    return {
        "inputs": n_inputs,
        "seed": seed,
        "cpu_seconds": seconds,
        "outcomes": dict(sorted(counts.items())),
        "failures": failures,
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    arguments = parser.parse_args()
    arguments.out.write_text(json.dumps(fuzz(arguments.inputs, arguments.seed), indent=1) + "\n")
