"""Candidates of a training are judged by validation trajectories, under their own conditions."""

import numpy as np
import pytest
import torch

from openmm_trajgan import FeatureSchema, FeatureTrajectories, TrajGAN
from openmm_trajgan.analysis.inputs import as_trajectories
from openmm_trajgan.buffer import WindowBuffer
from openmm_trajgan.errors import InputError, SchemaMismatchError
from openmm_trajgan.models.conditioning import LabelEncoding

SCHEMA = FeatureSchema(names=("x",), units=("nm",), periods=(None,), frame_interval=1.0)


def data(*lengths):
    rng = np.random.default_rng(0)
    return FeatureTrajectories([rng.normal(size=(length, 1)) for length in lengths], SCHEMA)


def labelled_data(replicas):
    """Every replica stays at ten times its number."""
    return FeatureTrajectories([10 * int(name) + data(40).values[0] for name in replicas], SCHEMA, list(replicas))


def test_validation_with_other_features_is_refused():
    schema = FeatureSchema(names=("y",), units=("nm",), periods=(None,), frame_interval=1.0)
    other = FeatureTrajectories(data(60).values, schema)
    with pytest.raises(SchemaMismatchError, match="validation data"):
        TrajGAN(8).fit(data(60), validation=other, steps=4, progress=False)


def test_validation_may_be_a_buffer():
    given = [data(80), WindowBuffer.from_trajectories(data(80))]
    records = [TrajGAN(8).fit(data(60), validation=one, steps=4, seed=1, progress=False).training_record for one in given]
    assert records[0]["validation"] == records[1]["validation"]
    assert records[0]["scores"] == records[1]["scores"] != []


def test_validation_selects_among_the_candidates(monkeypatch):
    """The record tells the scores; what generates is the best of them."""
    kept = []
    from openmm_trajgan.training.trainer import Trainer

    judge = Trainer._judge

    def remember(self, score):
        kept.append({name: value.clone() for name, value in self.average.module.state_dict().items()})
        judge(self, score)

    monkeypatch.setattr(Trainer, "_judge", remember)
    gan = TrajGAN(8).fit(data(100, 100), validation=data(80), steps=40, seed=1, progress=False)
    scores = gan.training_record["scores"]
    assert [one["step"] for one in scores] == [34, 35, 36, 38, 39, 40]
    best = kept[int(np.argmin([one["score"] for one in scores]))]
    assert all(torch.equal(value, best[name]) for name, value in gan.bundle.generator.state_dict().items())


@pytest.mark.parametrize("given", ["by name", "in their order", "in a buffer", "other ones than in a buffer"])
def test_validation_is_compared_at_its_own_labels(monkeypatch, tmp_path, given):
    """Validation series are drawn at the condition that they were simulated under, as often as they have frames."""
    from openmm_trajgan.workflows import validation

    asked = []

    def remember(*arguments, labels, **others):
        asked.append(labels.ravel().tolist())
        return drawn(*arguments, labels=labels, **others)

    drawn = validation.generate_trajectories
    monkeypatch.setattr(validation, "generate_trajectories", remember)
    replicas = labelled_data(["2", "10", "4", "12", "13"])
    series, held_out = replicas.select(["2", "10"]), replicas.select(["12", "4", "13"])
    labels, of_held_out = {"2": np.int64(0), "10": np.int64(1)}, {"4": np.int64(0), "12": np.int64(1), "13": np.int64(1)}
    arguments = {"labels": labels, "validation": held_out, "steps": 8, "seed": 1, "progress": False}
    if given == "by name":
        arguments["labels"] = labels | of_held_out
    elif given == "in their order":
        arguments["validation_labels"] = [of_held_out[name] for name in held_out.replicas]
    else:
        arguments["validation"] = held_out = WindowBuffer.from_trajectories(held_out)
        held_out.set_labels({"4": 0.0, "12": 1.0, "13": 1.0} if given == "in a buffer" else {"4": 1.0, "12": 0.0, "13": 0.0})
        arguments["labels"] = labels if given == "in a buffer" else labels | of_held_out
    gan = TrajGAN(8).fit(series, checkpoint=tmp_path / "checkpoint", **arguments)
    gan.save(tmp_path / "m.trajgan")
    assert all(np.isfinite(one["score"]) for one in gan.training_record["scores"])
    names = as_trajectories(held_out).replicas
    assert asked[0] == [LabelEncoding.of([0.0, 1.0]).encode([of_held_out[name]]).item() for name in names]


def test_validation_without_its_labels_is_refused():
    replicas = labelled_data(["2", "10", "4"])
    series, held_out = replicas.select(["2", "10"]), replicas.select(["4"])
    with pytest.raises(InputError, match="validation_labels: no label for '4'; give one for each of 4"):
        TrajGAN(8).fit(series, labels=["a", "b"], validation=held_out, steps=8)
    with pytest.raises(InputError, match="label: expected one of a, b, found c"):
        TrajGAN(8).fit(series, labels=["a", "b"], validation=held_out, validation_labels=["c"], steps=8)
    with pytest.raises(InputError, match="validation_labels: no label for '2'"):  # of the same name, but other trajectories
        TrajGAN(8).fit(series, labels=["a", "b"], validation=labelled_data(["2"]), steps=8)
    with pytest.raises(InputError, match="validation_labels: expected labels and validation data beside them"):
        TrajGAN(8).fit(series, validation=held_out, validation_labels=["a"], steps=8)
