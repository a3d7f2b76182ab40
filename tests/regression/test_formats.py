"""Files written by earlier versions are read, files of later ones are refused with what to install."""

import json
import shutil

import MDAnalysis
import numpy as np
import pytest
import torch
from make_format_samples import FORMATS, frames, schema, series, small_trainer

import openmm_trajgan.backmap  # noqa: F401 (MDAnalysis learns the format)
from openmm_trajgan import FeatureTrajectories, TrajGAN, WindowBuffer
from openmm_trajgan import schema as schema_module
from openmm_trajgan.errors import InputError
from openmm_trajgan.features import Coordinates
from openmm_trajgan.features.latent import Latent
from openmm_trajgan.schema import FORMAT_VERSION
from openmm_trajgan.systems import alanine_dipeptide
from openmm_trajgan.training.checkpoint import load_checkpoint

VERSIONS = sorted(FORMATS.iterdir())


@pytest.fixture(params=VERSIONS, ids=lambda path: f"format {path.name}")
def samples(request, tmp_path):
    """A copy of the files of one version."""
    shutil.copytree(request.param, tmp_path / "samples")
    return tmp_path / "samples"


def structures(path):
    return MDAnalysis.Universe(alanine_dipeptide.topology(), str(path))


READERS = {
    "generated.npz": FeatureTrajectories.load,
    "buffer": WindowBuffer,
    "model": TrajGAN.load,
    "checkpoint": load_checkpoint,
    "latent.npz": lambda path: Latent.load(path, Coordinates([0])),
    "structures.trajgan": structures,
}


def test_there_are_small_samples_of_every_version():
    assert [path.name for path in VERSIONS] == [str(version) for version in range(1, FORMAT_VERSION + 1)]
    assert sum(path.stat().st_size for path in FORMATS.rglob("*") if path.is_file()) < 200_000
    for folder in VERSIONS:
        assert set(READERS) <= {path.name for path in folder.iterdir()}


def test_generated_trajectories(samples):
    data = FeatureTrajectories.load(samples / "generated.npz")
    assert np.array_equal(data.values, series())
    assert (data.schema, data.replicas, data.provenance) == (schema(), ("a", "b"), {"seed": "1"})


def test_a_buffer_with_a_sealed_and_an_open_shard(samples):
    suffixes = {path.suffix for path in (samples / "buffer/streams").rglob("000000-*")}
    assert suffixes == {".npy", ".rows"}
    with WindowBuffer(samples / "buffer", schema()) as buffer:
        assert np.array_equal(buffer.trajectories().values, series())
        assert buffer.labels == {"a": 300.0}
        assert buffer.structures().shape == (1, 22, 3)
        assert buffer.repair() == ()
        buffer.append(["b"], step=60, time=12.0, segment=0, features=np.zeros((1, 2)))  # what was begun goes on
        assert buffer.segment_lengths == [60, 61]


def test_a_model(samples):
    gan = TrajGAN.load(samples / "model")
    assert gan.schema == schema()
    assert gan.training_record == {"seed": 1}
    assert np.isfinite(gan.generate(30, 2, seed=1).values).all()


def test_a_checkpoint_of_a_training_goes_on(samples):
    state, about = load_checkpoint(samples / "checkpoint")
    trainer = small_trainer(FeatureTrajectories(series(), schema()))
    trainer.restore(state)
    assert (about, trainer.step) == ({"seed": 1}, 7)
    trainer.run()
    assert all(torch.isfinite(parameter).all() for parameter in trainer.generator.parameters())


def test_a_projection(samples):
    latent = Latent.load(samples / "latent.npz", Coordinates([0]))
    projected = latent(frames())
    centred = Coordinates([0])(frames()).astype(float)
    centred -= centred.mean(axis=0)
    _, values, axes = np.linalg.svd(centred, full_matrices=False)
    for column, (axis, value) in enumerate(zip(axes[:2], values, strict=False)):
        assert abs(projected[:, column] @ (centred @ axis)) == pytest.approx(value**2, rel=1e-4)


def test_structures(samples):
    universe = structures(samples / "structures.trajgan")
    assert len(universe.trajectory) == 60
    features = alanine_dipeptide.features()
    for frame in (0, 59):
        positions = universe.trajectory[frame].positions / 10
        assert np.sin((features(positions) - series()[0, frame]) / 2) == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize("name", READERS)
def test_a_newer_format_is_refused_with_what_to_install(samples, monkeypatch, name):
    """This version of the package is made one that knows none of the formats yet."""
    monkeypatch.setattr(
        schema_module, "FORMAT_VERSION", int(json.loads((samples / "buffer/buffer.json").read_text())["version"]) - 1
    )
    with pytest.raises(InputError, match=r"format \d is newer than \d; .*pip install --upgrade 'openmm-trajgan>=0\.") as refused:
        READERS[name](samples / name)
    assert "\n" not in str(refused.value)
