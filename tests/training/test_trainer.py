import json
import signal

import numpy as np
import pytest
import torch

from openmm_trajgan.buffer import WindowBuffer
from openmm_trajgan.errors import InputError, NonFiniteError
from openmm_trajgan.models.critic import MultiScaleCritic
from openmm_trajgan.models.encoding import FeatureEncoding
from openmm_trajgan.models.generator import GeneratorConfig, WindowGenerator, typical_spreads
from openmm_trajgan.schema import FeatureSchema, FeatureTrajectories
from openmm_trajgan.training.averaging import exponential_average
from openmm_trajgan.training.checkpoint import load_checkpoint, save_checkpoint
from openmm_trajgan.training.trainer import Trainer, TrainingConfig

SMALL = TrainingConfig(likelihood_windows=16, likelihood_frames=32, adversarial_windows=8, patches_per_window=2)


@pytest.fixture(scope="module")
def windows():
    schema = FeatureSchema(names=("x", "angle"), units=("", "rad"), periods=(None, 2 * np.pi), frame_interval=1.0)
    rng = np.random.default_rng(0)
    series = [np.cumsum(0.2 * rng.normal(size=(400, 2)), axis=0) for _ in range(3)]
    series = [np.c_[np.tanh(s[:, 0]), np.angle(np.exp(1j * s[:, 1]))] for s in series]
    return WindowBuffer.from_trajectories(FeatureTrajectories(series, schema)).windows(4 + 1 + 8), schema


def make_trainer(windows, seed=1, n_steps=12):
    source, schema = windows
    config = GeneratorConfig(window_length=8, context_length=4, hidden=16, n_components=2)
    sample = torch.from_numpy(source.sample(64, np.random.default_rng(0)))
    encoding = FeatureEncoding(schema, sample.flatten(0, 1))
    reduced = encoding.reduce(sample)
    torch.manual_seed(7)
    generator = WindowGenerator(encoding, config, typical_spreads(encoding, config, reduced))
    trainer = Trainer(generator, MultiScaleCritic(encoding, reduced, hidden=16), source, seed=seed, config=SMALL)
    trainer.plan_steps(n_steps)
    return trainer


def weights(trainer):
    modules = (trainer.generator, trainer.critic, trainer.average)
    return {f"{i}.{name}": value for i, module in enumerate(modules) for name, value in module.state_dict().items()}


def assert_same_weights(first, second):
    assert first.keys() == second.keys()
    for name in first:
        assert torch.equal(first[name], second[name]), name


def test_one_seed_gives_one_result(windows):
    trainers = [make_trainer(windows, seed) for seed in (1, 1, 2)]
    for trainer in trainers:
        trainer.run()
    assert_same_weights(weights(trainers[0]), weights(trainers[1]))
    assert any(not torch.equal(a, b) for a, b in zip(weights(trainers[0]).values(), weights(trainers[2]).values(), strict=True))


@pytest.mark.parametrize("stop", [1, 5, 6, 7, 11])
def test_resumed_training_equals_uninterrupted_training_bit_for_bit(windows, tmp_path, stop):
    whole = make_trainer(windows)
    whole.run()
    first = make_trainer(windows)
    first.run(until=stop)
    save_checkpoint(tmp_path / "checkpoint", first.state(), {"note": "x"})
    state, about = load_checkpoint(tmp_path / "checkpoint")
    second = make_trainer(windows, seed=99)
    second.restore(state)
    second.run()
    assert about == {"note": "x"}
    assert_same_weights(weights(whole), weights(second))
    assert json.dumps(whole.history) == json.dumps(second.history)


def test_an_interrupt_writes_a_checkpoint_to_continue_from(windows, tmp_path, monkeypatch):
    whole = make_trainer(windows)
    whole.run()
    interrupted = make_trainer(windows)

    draw = interrupted._draw

    def interrupt(n):
        if interrupted.step == 7:
            signal.raise_signal(signal.SIGINT)  # in the middle of the eighth step
        return draw(n)

    monkeypatch.setattr(interrupted, "_draw", interrupt)
    path = tmp_path / "checkpoint"
    with pytest.raises(KeyboardInterrupt):
        interrupted.run(checkpoint=lambda: save_checkpoint(path, interrupted.state(), {}))
    resumed = make_trainer(windows, seed=99)
    resumed.restore(load_checkpoint(path)[0])
    assert resumed.step == 8
    resumed.run()
    assert_same_weights(weights(whole), weights(resumed))


def test_timing_leaves_no_trace(windows):
    timed, plain = make_trainer(windows), make_trainer(windows)
    seconds = timed.time_steps()
    assert min(seconds) > 0
    timed.run()
    plain.run()
    assert_same_weights(weights(timed), weights(plain))


def test_planned_seconds_become_steps_of_both_stages(windows):
    trainer = make_trainer(windows)
    trainer.plan_seconds(1.0)
    assert trainer.n_likelihood_steps > 3
    assert trainer.n_adversarial_steps > 3
    planned = (trainer.n_likelihood_steps, trainer.n_adversarial_steps)
    trainer.plan_steps(sum(planned))
    assert planned == (trainer.n_likelihood_steps, trainer.n_adversarial_steps), "the number of steps repeats a run exactly"


def test_a_checkpoint_that_is_not_whole_is_refused(windows, tmp_path):
    path = tmp_path / "checkpoint"
    save_checkpoint(path, make_trainer(windows).state(), {})
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(InputError, match="not a complete openmm-trajgan checkpoint"):
        load_checkpoint(path)


def test_both_networks_learn(windows):
    trainer = make_trainer(windows, n_steps=20)
    trainer.run(until=10)
    before = weights(trainer)
    before = {name: value.clone() for name, value in before.items()}
    trainer.run()
    after = weights(trainer)
    for prefix in ("0.midpoints", "0.end", "1.networks", "2.module"):
        changed = [name for name in after if name.startswith(prefix) and not torch.equal(before[name], after[name])]
        assert changed, prefix


def test_a_loss_that_is_not_finite_stops_training_by_name(windows):
    trainer = make_trainer(windows)
    trainer.run(until=3)
    with torch.no_grad():
        next(iter(trainer.generator.end.parameters())).fill_(float("nan"))
    with pytest.raises(NonFiniteError, match="training step 4: the loss is not finite"):
        trainer.run()


def test_average_follows_quickly_then_slowly():
    model = torch.nn.Linear(1, 1, bias=False)
    average = exponential_average(model, decay=0.9)
    with torch.no_grad():
        model.weight.fill_(0.0)
        average.update_parameters(model)
        model.weight.fill_(1.0)
        average.update_parameters(model)
    assert average.module.weight.item() == pytest.approx(1 - 2 / 11)
    with torch.no_grad():
        for _ in range(200):
            average.update_parameters(model)
        model.weight.fill_(2.0)
        average.update_parameters(model)
    assert average.module.weight.item() == pytest.approx(1.1, abs=1e-6)
