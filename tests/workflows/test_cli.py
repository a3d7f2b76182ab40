"""The command line as checks outside this repository call it, and its answers to bad input."""

import json
import signal
import subprocess
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import yaml

from openmm_trajgan import FeatureSchema, FeatureTrajectories, TrajGAN, WindowBuffer


def assert_refused(result, *words, untouched, status=2):
    """Exit 2, or another status, one line that holds the words, no traceback, and no new file."""
    folder, before = untouched
    found, out, err = result
    assert found == status
    assert out == ""
    (line,) = [line for line in err.splitlines() if line.startswith("trajgan:")]
    assert all(word in line for word in words), line
    assert "Traceback" not in err
    assert sorted(folder.rglob("*")) == before


@pytest.fixture
def untouched(tmp_path, folder_of_npy):
    return lambda: (tmp_path, sorted(tmp_path.rglob("*")))


def test_train_and_generate_as_documented(trajgan, folder_of_npy, tmp_path, model):
    generated = tmp_path / "gen.npy"
    status, out, _ = trajgan("generate", model, "--frames", 50, "--trajectories", 3, "--seed", 3, "--out", generated)
    assert status == 0
    assert "3 trajectories of 50 frames" in out
    array = np.load(generated, allow_pickle=False)
    assert array.shape == (3, 50, 2)
    assert array.dtype == np.float32
    gan = TrajGAN.load(model)
    assert gan.schema.frame_interval == 1.0
    assert (np.stack(gan.generate(50, 3, seed=3).values) == array).all()
    assert not list(tmp_path.glob("*.checkpoint"))


def test_resolved_configuration_repeats_the_run(trajgan, model, tmp_path):
    again = tmp_path / "again.trajgan"
    status, _, err = trajgan("train", "--config", f"{model}.config.yaml", "--out", again)
    assert status == 0, err
    samples = [np.stack(TrajGAN.load(path).generate(20, seed=1).values) for path in (model, again)]
    assert (samples[0] == samples[1]).all()


def test_other_endings_keep_the_schema(trajgan, model, tmp_path):
    path = tmp_path / "generated.npz"
    assert trajgan("generate", model, "--frames", 9, "--out", path)[0] == 0
    loaded = FeatureTrajectories.load(path)
    assert loaded.schema == TrajGAN.load(model).schema
    assert loaded.values[0].shape == (9, 2)


def test_audit_takes_what_train_and_generate_made(trajgan, model, folder_of_npy, tmp_path):
    generated = tmp_path / "gen.npy"
    assert trajgan("generate", model, "--frames", 300, "--out", generated)[0] == 0
    report = tmp_path / "report"
    options = ("--train", folder_of_npy, "--frame-interval", 1.0, "--out", report)
    status, _, err = trajgan("audit", folder_of_npy / "run0.npy", generated, *options)
    assert status == 2
    assert "'run0-0' is in the training data too" in err
    held_out = (folder_of_npy / "run0.npy").rename(tmp_path / "held_out.npy")
    status, out, err = trajgan("audit", held_out, generated, *options)
    assert status == 0, err
    assert "generated" in out
    assert {path.name for path in report.iterdir()} == {"audit.html", "audit.json", "config.yaml", "figures", "tables"}
    assert {path.suffix for path in (report / "figures").iterdir()} == {".png", ".svg"}
    assert "figures.csv" in {path.name for path in (report / "tables").iterdir()}
    content = json.loads((report / "audit.json").read_text())
    assert content["command"].startswith(f"trajgan audit {held_out} {generated} --frame-interval 1.0 --out {report} --train ")
    assert set(content["baselines"]) == set()


def test_print_config_shows_yaml_and_does_nothing(trajgan, folder_of_npy, untouched):
    folder, before = untouched()
    status, out, _ = trajgan("train", folder_of_npy, "--out", "m.trajgan", "--minutes", 2, "--print-config")
    assert status == 0
    shown = yaml.safe_load(out)
    assert shown["minutes"] == 2.0
    assert shown["window_length"] is None
    assert sorted(folder.rglob("*")) == before


def test_yaml_spelled_as_on_the_command_line(trajgan, tmp_path):
    written = {"window-length": 16, "label": [280, 300.5], "periodic": 0, "out": "m.trajgan", "data": "md"}
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(written))
    status, out, err = trajgan("train", "--config", tmp_path / "c.yaml", "--print-config")
    assert status == 0, err
    shown = yaml.safe_load(out)
    assert (shown["window_length"], shown["label"], shown["periodic"]) == (16, ["280", "300.5"], [0])


def test_every_command_has_help(trajgan):
    for command in ("demo", "collect", "train", "generate", "backmap", "audit"):
        status, out, _ = trajgan(command, "--help")
        assert status == 0
        assert "--out" in out
        assert "--config" in out


def test_missing_file(trajgan, train_options, tmp_path, untouched):
    result = trajgan("train", tmp_path / "nothing", *train_options, "--out", tmp_path / "m.trajgan")
    assert_refused(result, "nothing", "no such file or folder", untouched=untouched())
    result = trajgan("generate", tmp_path / "m.trajgan", "--frames", 5, "--out", tmp_path / "g.npy")
    assert_refused(result, "m.trajgan", "no such file", untouched=untouched())


def test_wrong_shape(trajgan, train_options, tmp_path, folder_of_npy, untouched):
    np.save(folder_of_npy / "run9.npy", np.zeros((10, 3)))
    result = trajgan("train", folder_of_npy, *train_options, "--out", tmp_path / "m.trajgan")
    assert_refused(result, "run9.npy", "expected shape (n_frames, 2)", "found (10, 3)", untouched=untouched())
    np.save(folder_of_npy / "run9.npy", np.zeros(10))
    result = trajgan("train", folder_of_npy, *train_options, "--out", tmp_path / "m.trajgan")
    assert_refused(result, "run9.npy", "found shape (10,)", untouched=untouched())


def test_nan_is_named(trajgan, train_options, tmp_path, folder_of_npy, untouched):
    series = np.load(folder_of_npy / "run1.npy")
    series[17, 1] = np.nan
    np.save(folder_of_npy / "run1.npy", series)
    result = trajgan("train", folder_of_npy, *train_options, "--out", tmp_path / "m.trajgan")
    assert_refused(result, "run1.npy", "frame 17, column 1 is nan", untouched=untouched())


def test_window_longer_than_every_trajectory(trajgan, tmp_path, folder_of_npy, untouched):
    options = ("--frame-interval", 1.0, "--window-length", 512, "--out", tmp_path / "m.trajgan")
    result = trajgan("train", folder_of_npy, *options)
    assert_refused(result, "at least 513 frames", "the longest has 300", untouched=untouched())


def test_missing_frame_interval(trajgan, tmp_path, folder_of_npy, untouched):
    result = trajgan("train", folder_of_npy, "--out", tmp_path / "m.trajgan")
    assert_refused(result, "run0.npy", "--frame-interval", untouched=untouched())


def test_model_of_other_features(trajgan, model, tmp_path, untouched):
    np.save(tmp_path / "other.npy", np.random.default_rng(0).normal(size=(400, 3)))
    np.save(tmp_path / "gen.npy", TrajGAN.load(model).generate(50, seed=1).values[0])
    options = ("--frame-interval", 1.0, "--out", tmp_path / "report")
    result = trajgan("audit", tmp_path / "other.npy", tmp_path / "gen.npy", *options)
    assert_refused(result, "other features", "use data collected with the same features", untouched=untouched())


def test_existing_output_is_never_overwritten_by_accident(trajgan, train_options, model, folder_of_npy, tmp_path, untouched):
    before = model.read_bytes()
    result = trajgan("train", folder_of_npy, *train_options, "--out", model)
    assert_refused(result, str(model), "exists already", "--force", untouched=untouched())
    assert model.read_bytes() == before
    assert trajgan("train", folder_of_npy, *train_options, "--seed", "2", "--force", "--out", model)[0] == 0
    assert model.read_bytes() != before


def test_force_replaces_only_what_is_ours_and_only_for_good_input(
    trajgan, train_options, model, folder_of_npy, tmp_path, untouched, coarse
):
    theirs = tmp_path / "project"
    theirs.mkdir()
    (theirs / "config.yaml").write_text("mine: 1\n")
    held_out = (folder_of_npy / "run0.npy").rename(tmp_path / "held_out.npy")
    generated = tmp_path / "gen.npy"
    assert trajgan("generate", model, "--frames", 300, "--out", generated)[0] == 0
    options = ("--frame-interval", 1.0, "--force", "--out")
    result = trajgan("audit", held_out, generated, *options, theirs)
    assert_refused(result, "project", "not made by this command", untouched=untouched())
    ours = tmp_path / "report"
    assert trajgan("audit", held_out, generated, *options, ours)[0] == 0
    result = trajgan("audit", tmp_path / "nothing.npy", generated, *options, ours)
    assert_refused(result, "nothing.npy", untouched=untouched())
    result = trajgan("train", folder_of_npy, *train_options, "--force", "--out", ours)
    assert_refused(result, "report", "is a folder already", untouched=untouched())
    assert trajgan("audit", held_out, generated, *options, ours)[0] == 0


def test_seeds_that_were_drawn_are_written_down(trajgan, model, tmp_path):
    generated, again = tmp_path / "a.npy", tmp_path / "b.npy"
    assert trajgan("generate", model, "--frames", 20, "--out", generated)[0] == 0
    assert trajgan("generate", "--config", f"{generated}.config.yaml", "--out", again)[0] == 0
    assert (np.load(generated) == np.load(again)).all()


def test_another_training_is_not_resumed(trajgan, train_options, folder_of_npy, tmp_path, monkeypatch):
    from openmm_trajgan.training.trainer import Trainer

    step = Trainer.train_step

    def interrupted(self):
        if self.step == 2:
            signal.raise_signal(signal.SIGINT)
        return step(self)

    out = tmp_path / "m.trajgan"
    monkeypatch.setattr(Trainer, "train_step", interrupted)
    assert trajgan("train", folder_of_npy, *train_options, "--out", out)[0] == 1
    status, _, err = trajgan("train", folder_of_npy, *train_options, "--seed", 5, "--out", out, "--resume")
    assert status == 2
    assert "belongs to a training with seed 1, found 5" in err
    np.save(folder_of_npy / "run2.npy", 1 + np.load(folder_of_npy / "run2.npy"))
    status, _, err = trajgan("train", folder_of_npy, *train_options, "--out", out, "--resume")
    assert status == 2
    assert "belongs to a training with data" in err


def test_unforeseen_errors_are_one_line_too(trajgan, model, tmp_path, monkeypatch):
    monkeypatch.setattr(TrajGAN, "generate", lambda *_, **__: 1 / 0)
    status, _, err = trajgan("generate", model, "--frames", 5, "--out", tmp_path / "g.npy")
    assert status == 1
    assert err == "trajgan: ZeroDivisionError: division by zero; --debug shows where\n"


def test_angles_in_degrees_are_noticed(trajgan, train_options, tmp_path, folder_of_npy, untouched):
    np.save(folder_of_npy / "run1.npy", 100 * np.load(folder_of_npy / "run1.npy"))
    result = trajgan("train", folder_of_npy, *train_options, "--periodic", 1, "--out", tmp_path / "m.trajgan")
    assert_refused(result, "run1.npy: column 1", "by --periodic", "degrees perhaps", untouched=untouched())


def test_damaged_archives(trajgan, train_options, tmp_path, untouched):
    np.savez(tmp_path / "empty.npz")
    np.savez(tmp_path / "scalar.npz", a=1.0)
    (tmp_path / "junk.npz").write_bytes(b"PK\x03\x04 and then nothing")
    for name in ("empty", "scalar", "junk"):
        result = trajgan("train", tmp_path / f"{name}.npz", *train_options, "--out", tmp_path / "m.trajgan")
        assert_refused(result, untouched=untouched())


def test_truncated_bundle(trajgan, model, tmp_path, untouched):
    model.write_bytes(model.read_bytes()[:-1000])
    result = trajgan("generate", model, "--frames", 5, "--out", tmp_path / "g.npy")
    assert_refused(result, "model.trajgan", "not a complete openmm-trajgan model file", untouched=untouched())


def test_typing_mistakes(trajgan, train_options, model, tmp_path, folder_of_npy, untouched):
    result = trajgan("generate", model, "--frames", 0, "--out", tmp_path / "g.npy")
    assert_refused(result, "frames", "greater than 0", untouched=untouched())
    (tmp_path / "c.yaml").write_text("window_lenght: 8\n")
    result = trajgan("train", folder_of_npy, "--config", tmp_path / "c.yaml", "--out", tmp_path / "m2.trajgan")
    assert_refused(result, "window_lenght", untouched=untouched())
    result = trajgan("train", folder_of_npy, "--frame-interval", 1.0, "--window-length", 3, "--out", tmp_path / "m2.trajgan")
    assert_refused(result, "window_length: expected a whole number from 4 on, found 3", untouched=untouched())
    result = trajgan("collect", "water", "--frames", 5, "--out", tmp_path / "w")
    assert_refused(result, "no system named 'water'", untouched=untouched())
    result = trajgan("demo", "water", "--out", tmp_path / "d")
    assert_refused(result, "no system named 'water'", untouched=untouched())
    result = trajgan("train", folder_of_npy, *train_options, "--out", tmp_path / "no" / "m.trajgan")
    assert_refused(result, "no such folder", untouched=untouched())
    assert trajgan("train", folder_of_npy, "--windowlength", 8)[0] == 2


@pytest.fixture
def tiny_disk(tmp_path):
    folder = tmp_path / "tiny"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", folder], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("mounting a small tmpfs needs root")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_full_disk(trajgan, train_options, model, folder_of_npy, tiny_disk):
    untouched = (tiny_disk, [])
    result = trajgan("generate", model, "--frames", 3000, "--out", tiny_disk / "g.npy")
    assert_refused(result, "No space left on device", untouched=untouched, status=1)
    result = trajgan("train", folder_of_npy, *train_options, "--out", tiny_disk / "m.trajgan")
    assert_refused(result, "No space left on device", untouched=untouched, status=1)


def test_what_fails_at_work_has_status_1_and_names_the_reason(trajgan, model, tmp_path, monkeypatch):
    def full(file, *_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "save", full)
    status, _, err = trajgan("generate", model, "--frames", 5, "--out", tmp_path / "g.npy")
    assert (status, err.splitlines()[-1]) == (1, f"trajgan: {tmp_path}/g.npy: No space left on device")


def test_traceback_only_for_debugging(trajgan, tmp_path, monkeypatch):
    from openmm_trajgan.errors import InputError

    monkeypatch.setattr("sys.argv", ["trajgan", "generate", str(tmp_path / "m"), "--frames", "5", "--out", "g.npy", "--debug"])
    from openmm_trajgan.cli import main

    with pytest.raises(InputError):
        main()


def test_training_while_a_simulation_writes(trajgan, tmp_path):
    schema = FeatureSchema(names=("x",), units=("nm",), periods=(None,), frame_interval=0.5)
    values = np.random.default_rng(0).normal(size=(150, 1))
    with WindowBuffer(tmp_path / "md.windows", schema) as buffer:
        for step, frame in enumerate(values):
            buffer.append(["replica0"], step=step, time=0.5 * step, segment=0, features=frame[None])
        command = ("train", tmp_path / "md.windows", "--window-length", 8, "--steps", 4, "--out", tmp_path / "m.trajgan")
        status, out, err = trajgan(*command)
        assert status == 0, err
        assert "trained on 150 frames of 1 trajectories" in out
        buffer.append(["replica0"], step=150, time=75.0, segment=0, features=values[:1])
    assert WindowBuffer(tmp_path / "md.windows").n_frames == 151


def test_ctrl_c_while_a_command_is_imported(trajgan, monkeypatch, untouched):
    def interrupted(name):
        if "workflows" in name:
            raise KeyboardInterrupt
        return import_module(name)

    monkeypatch.setattr("openmm_trajgan.cli.import_module", interrupted)
    assert_refused(trajgan("train", "--help"), "interrupted", untouched=untouched(), status=1)


def test_interrupted_training_continues(trajgan, train_options, folder_of_npy, tmp_path, monkeypatch):
    from openmm_trajgan.training.trainer import Trainer

    out, whole = tmp_path / "m.trajgan", tmp_path / "whole.trajgan"
    assert trajgan("train", folder_of_npy, *train_options, "--out", whole)[0] == 0
    step = Trainer.train_step

    def interrupted(self):
        if self.step == 2:
            signal.raise_signal(signal.SIGINT)
        return step(self)

    monkeypatch.setattr(Trainer, "train_step", interrupted)
    status, _, err = trajgan("train", folder_of_npy, *train_options, "--out", out)
    assert status == 1
    assert "interrupted" in err
    assert not out.exists()
    assert Path(f"{out}.checkpoint").exists()
    monkeypatch.setattr(Trainer, "train_step", step)
    status, _, err = trajgan("train", folder_of_npy, *train_options, "--out", out)
    assert status == 2
    assert "--resume continues it" in err
    assert trajgan("train", folder_of_npy, *train_options, "--out", out, "--resume")[0] == 0
    samples = [np.stack(TrajGAN.load(path).generate(20, seed=1).values) for path in (whole, out)]
    assert (samples[0] == samples[1]).all()


def test_validation_of_a_training_with_labels_has_labels(trajgan, train_options, folder_of_npy, tmp_path, untouched):
    held_out = (folder_of_npy / "run0.npy").rename(tmp_path / "held_out.npy")
    options = (*train_options, "--label", "280", "--label", "300", "--validation", held_out, "--out", tmp_path / "m.trajgan")
    result = trajgan("train", folder_of_npy, *options)
    assert_refused(result, "validation_labels: no label for 'held_out-0'", untouched=untouched())
    status, _, err = trajgan("train", folder_of_npy, *options, "--validation-label", "300")
    assert status == 0, err
    assert TrajGAN.load(tmp_path / "m.trajgan").training_record["validation_labels"] == [300.0]


def test_validation_is_other_trajectories(trajgan, train_options, folder_of_npy, tmp_path, untouched):
    held_out = (folder_of_npy / "run0.npy").rename(tmp_path / "held_out.npy")
    out = tmp_path / "m.trajgan"
    status, _, err = trajgan("train", folder_of_npy, *train_options, "--validation", held_out, "--out", out)
    assert status == 0, err
    assert TrajGAN.load(out).training_record["scores"]
    options = (*train_options, "--out", tmp_path / "n.trajgan", "--validation")
    result = trajgan("train", folder_of_npy, *options, folder_of_npy)
    assert_refused(result, "validation", "found the training data", untouched=untouched())
    np.save(tmp_path / "other.npy", np.zeros((300, 3)))
    result = trajgan("train", folder_of_npy, *options, tmp_path / "other.npy")
    assert_refused(result, "other.npy", "other features", untouched=untouched())
