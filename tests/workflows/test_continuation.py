"""Generation that is interrupted and resumed equals generation that never was."""

import signal
from pathlib import Path

import numpy as np
import pytest
import torch

from openmm_trajgan import FeatureSchema, FeatureTrajectories, TrajGAN
from openmm_trajgan.errors import InputError
from openmm_trajgan.models.generator import WindowGenerator
from openmm_trajgan.training.checkpoint import load_checkpoint, save_checkpoint
from openmm_trajgan.workflows import continuation

SCHEMA = FeatureSchema(names=("x", "phi"), units=("nm", "rad"), periods=(None, 2 * np.pi), frame_interval=1.0)


@pytest.fixture(scope="module")
def gan():
    series = 0.1 * np.cumsum(np.random.default_rng(0).normal(size=(2, 200, 2)), axis=1)
    return TrajGAN(8).fit(FeatureTrajectories(series, SCHEMA), steps=4, seed=1, progress=False)


@pytest.fixture
def interrupt(monkeypatch):
    """Send a signal while window number `n` is drawn."""

    def at(n, number=signal.SIGINT):
        drawn, sample = [0], WindowGenerator.sample

        def counted(self, *arguments, **options):
            drawn[0] += 1
            if drawn[0] == n:
                signal.raise_signal(number)
            return sample(self, *arguments, **options)

        monkeypatch.setattr(WindowGenerator, "sample", counted)

    return at


def bridge():
    given = np.full((60, 2), np.nan)
    given[::7, 0] = 0.1
    given[0] = 0.0
    return given


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("options", [{}, {"given": bridge()}, {"start": [0.1, 0.2]}], ids=["free", "given", "start"])
@pytest.mark.parametrize("n", [1, 2, 5])
def test_resumed_generation_equals_uninterrupted_generation_bit_for_bit(gan, tmp_path, interrupt, monkeypatch, n, options, number):
    whole = gan.generate(60, 3, seed=5, **options)
    interrupt(n, number)
    with pytest.raises(KeyboardInterrupt):
        gan.generate(60, 3, seed=5, checkpoint=tmp_path / "checkpoint", **options)
    monkeypatch.undo()
    n_done = load_checkpoint(tmp_path / "checkpoint")[0]["frames"].shape[1]
    assert 8 * n - 8 < n_done < 60
    resumed = gan.generate(60, 3, checkpoint=tmp_path / "checkpoint", resume=True, **options)
    assert np.array_equal(whole.values, resumed.values)
    assert whole.provenance == resumed.provenance


def test_what_is_done_is_written_now_and_then(gan, tmp_path, monkeypatch):
    """A process that is killed loses what came after; here every window is written."""
    monkeypatch.setattr(continuation, "_SECONDS", 0.0)
    whole = gan.generate(30, 2, seed=5, checkpoint=tmp_path / "checkpoint")
    state, about = load_checkpoint(tmp_path / "checkpoint")
    assert np.array_equal(state["frames"].numpy(), whole.values)
    assert (about["seed"], about["frames"]) == (5, 30)
    assert np.array_equal(gan.generate(30, 2, checkpoint=tmp_path / "checkpoint", resume=True).values, whole.values)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_frames": 31}, "belongs to a generation with frames 30, found 31"),
        ({"n_trajectories": 3}, "belongs to a generation with trajectories 2, found 3"),
        ({"seed": 6}, "belongs to a generation with seed 5, found 6"),
        ({"start": [0.0, 0.0]}, "belongs to a generation with given None"),
    ],
)
def test_another_generation_is_not_resumed(gan, tmp_path, monkeypatch, arguments, message):
    monkeypatch.setattr(continuation, "_SECONDS", 0.0)
    gan.generate(30, 2, seed=5, checkpoint=tmp_path / "checkpoint")
    with pytest.raises(InputError, match=message):
        gan.generate(**{"n_frames": 30, "n_trajectories": 2} | arguments, checkpoint=tmp_path / "checkpoint", resume=True)
    other = TrajGAN.load(saved(gan, tmp_path))
    next(other.bundle.generator.parameters()).data += 1e-3
    with pytest.raises(InputError, match="belongs to a generation with model"):
        other.generate(30, 2, seed=5, checkpoint=tmp_path / "checkpoint", resume=True)


def saved(gan, tmp_path):
    gan.save(tmp_path / "model")
    return tmp_path / "model"


@pytest.mark.parametrize(
    "frames", [torch.zeros(2, 31, 2), torch.zeros(2, 3, 2).double(), torch.zeros(3)], ids=["long", "double", "flat"]
)
def test_a_checkpoint_that_contradicts_itself_is_refused(gan, tmp_path, monkeypatch, frames):
    monkeypatch.setattr(continuation, "_SECONDS", 0.0)
    gan.generate(30, 2, seed=5, checkpoint=tmp_path / "checkpoint")
    state, about = load_checkpoint(tmp_path / "checkpoint")
    save_checkpoint(tmp_path / "checkpoint", {**state, "frames": frames}, about)
    with pytest.raises(InputError, match="the checkpoint contradicts itself"):
        gan.generate(30, 2, seed=5, checkpoint=tmp_path / "checkpoint", resume=True)


def test_on_the_command_line(gan, tmp_path, trajgan, interrupt, monkeypatch):
    model, whole, out = saved(gan, tmp_path), tmp_path / "whole.npy", tmp_path / "out.npy"
    words = ("generate", model, "--frames", "60", "--trajectories", "2")
    assert trajgan(*words, "--seed", "3", "--out", whole)[0] == 0
    interrupt(3)
    status, _, err = trajgan(*words, "--seed", "3", "--out", out)
    assert (status, out.exists()) == (1, False)
    assert "interrupted" in err
    monkeypatch.undo()
    status, _, err = trajgan(*words, "--out", out)
    assert status == 2
    assert "--resume continues it, --force begins anew" in err
    status, _, err = trajgan(*words, "--out", out, "--resume")
    assert status == 0, err
    assert np.array_equal(np.load(out), np.load(whole))
    assert not Path(f"{out}.checkpoint").exists()
    assert "seed: 3" in Path(f"{out}.config.yaml").read_text()
