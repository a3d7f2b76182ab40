import json
import signal
from dataclasses import replace

import numpy as np
import pytest
import torch

from openmm_trajgan.buffer import WindowBuffer
from openmm_trajgan.errors import InputError, NonFiniteError
from openmm_trajgan.models.coarse_to_fine import GeneratorConfig
from openmm_trajgan.models.critic import MultiScaleCritic
from openmm_trajgan.models.encoding import FeatureEncoding
from openmm_trajgan.models.generator import WindowGenerator
from openmm_trajgan.models.scales import typical_spreads
from openmm_trajgan.schema import FeatureSchema, FeatureTrajectories
from openmm_trajgan.training.checkpoint import load_checkpoint, save_checkpoint
from openmm_trajgan.training.config import TrainingConfig
from openmm_trajgan.training.trainer import Trainer

N_KNOWN, N_NEW = 4 + 1, 8  # frames
SMALL = TrainingConfig(
    likelihood_share=0.75, likelihood_windows=16, likelihood_frames=32, adversarial_windows=8, patches_per_window=2
)


@pytest.fixture(scope="module")
def windows():
    schema = FeatureSchema(names=("x", "angle"), units=("", "rad"), periods=(None, 2 * np.pi), frame_interval=1.0)
    rng = np.random.default_rng(0)
    series = [np.cumsum(0.2 * rng.normal(size=(400, 2)), axis=0) for _ in range(3)]
    series = [np.c_[np.tanh(s[:, 0]), np.angle(np.exp(1j * s[:, 1]))] for s in series]
    buffer = WindowBuffer.from_trajectories(FeatureTrajectories(series, schema))
    return buffer.windows(N_KNOWN + N_NEW), buffer.windows(N_KNOWN + 3 * N_NEW), schema


def make_trainer(windows, seed=1, n_steps=12, labels=None, **arguments):
    source, stretches, schema = windows
    n_labels = 0 if labels is None else labels.shape[1]
    config = GeneratorConfig(window_length=8, context_length=4, n_labels=n_labels, hidden=16, n_components=2)
    sample = torch.from_numpy(source.sample(64, np.random.default_rng(0)))
    encoding = FeatureEncoding(schema, sample.flatten(0, 1))
    reduced = encoding.reduce(sample)
    torch.manual_seed(7)
    generator = WindowGenerator(encoding, config, typical_spreads(encoding, config, reduced))
    critic = MultiScaleCritic(encoding, reduced, n_labels=n_labels, hidden=16)
    arguments.setdefault("config", SMALL)
    trainer = Trainer(generator, critic, source, stretches, seed=seed, labels=labels, **arguments)
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


def total_weight(generator):
    """A score that says nothing but is the same for the same weights."""
    return sum(parameter.abs().sum().item() for parameter in generator.parameters())


@pytest.mark.parametrize("stop", [4, 9, 10, 12, 14])
def test_resumed_training_with_all_conditions_equals_uninterrupted_training_bit_for_bit(windows, tmp_path, stop):
    """With labels, selection and given frames in every step; candidates are judged after steps 9, 10, 10, 11, 12 and 12."""
    config = replace(SMALL, given_share=1.0, partial_context_share=0.5)
    arguments = {"labels": torch.tensor([[-1.0], [0.0], [1.0]]), "score": total_weight, "config": config, "n_steps": 12}
    whole = make_trainer(windows, **arguments)
    whole.run()
    first = make_trainer(windows, **arguments)
    first.run(until=stop)
    save_checkpoint(tmp_path / "checkpoint", first.state(), {})
    second = make_trainer(windows, seed=99, **arguments)
    second.restore(load_checkpoint(tmp_path / "checkpoint")[0])
    second.run()
    assert_same_weights(weights(whole), weights(second))
    assert whole.scores == second.scores
    assert [one["step"] for one in whole.scores] == [9, 10, 11, 12]
    assert_same_weights(whole.selected.state_dict(), second.selected.state_dict())


def test_the_best_candidate_is_selected_at_the_end(windows):
    """And before the end the current average, so that a training that is stopped early gives what it has reached."""
    given, seen = iter([3.0, float("nan"), 1.0, 2.0, float("inf"), 4.0]), []

    def score(generator):
        assert not generator.training
        seen.append({name: value.clone() for name, value in generator.state_dict().items()})
        return next(given)

    trainer = make_trainer(windows, n_steps=40, score=score)
    trainer.run(until=35)
    assert_same_weights(trainer.selected.state_dict(), trainer.average.module.state_dict())
    trainer.run()
    assert [one["step"] for one in trainer.scores] == [30, 32, 34, 36, 38, 40]
    assert_same_weights(trainer.selected.state_dict(), seen[2])
    assert any(not torch.equal(a, b) for a, b in zip(seen[2].values(), seen[5].values(), strict=True))


def test_without_a_finite_score_the_last_average_stays(windows):
    trainer = make_trainer(windows, score=lambda _: float("nan"))
    trainer.run()
    assert_same_weights(trainer.selected.state_dict(), trainer.average.module.state_dict())


def test_a_first_score_that_is_not_a_number_does_not_hide_the_best(windows):
    given = iter([float("nan"), 2.0, 1.0, 3.0])
    trainer = make_trainer(windows, score=lambda _: next(given))
    trainer.run(until=11)
    best = {name: value.clone() for name, value in trainer.average.module.state_dict().items()}
    trainer.run()
    assert_same_weights(trainer.selected.state_dict(), best)


def test_scoring_changes_no_weight(windows):
    plain, scored = make_trainer(windows), make_trainer(windows, score=total_weight)
    plain.run()
    scored.run()
    assert_same_weights(weights(plain), weights(scored))


def test_labels_reach_generator_and_critic(windows):
    """Every window comes with the label of its series, to both networks and in both stages."""
    source, stretches, _ = windows
    labels = torch.tensor([[10.0], [20.0], [30.0]])
    drawn, chained, likelihoods, samples, patches = [], [], [], [], []

    class Remembered:
        def __init__(self, source, record):
            self.source, self.record = source, record

        def draw(self, n, rng):
            values, series = self.source.draw(n, rng)
            self.record.append(labels[torch.from_numpy(series)])
            return values, series

    def remember(record, function):
        def call(*arguments, **keywords):
            record.append(keywords["labels"] if "labels" in keywords else arguments[-1])
            return function(*arguments, **keywords)

        return call

    trainer = make_trainer(windows, labels=labels, n_steps=20, config=replace(SMALL, critic_head_start=0.0))
    trainer._windows, trainer._stretches = Remembered(source, drawn), Remembered(stretches, chained)
    trainer.generator.negative_log_likelihood = remember(likelihoods, trainer.generator.negative_log_likelihood)
    trainer.generator.sample = remember(samples, trainer.generator.sample)
    trainer.critic.patches = remember(patches, trainer.critic.patches)
    trainer.run()
    assert all(torch.equal(a, b) for a, b in zip(likelihoods, drawn, strict=True))
    of_steps = [one for one in chained for _ in range(3)][:5]
    assert all(torch.equal(a, b) for a, b in zip(samples, of_steps, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(patches[::2], of_steps, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(patches[1::2], of_steps, strict=True))
    assert {float(value) for value in torch.cat(drawn + chained)} == {10.0, 20.0, 30.0}


def test_the_generator_goes_on_beside_the_simulation_that_began_alike(windows):
    """Three windows in a row: each continues what was written last, and is compared with what followed in the simulation."""
    source, stretches, schema = windows
    drawn = []

    class Remembered:
        def draw(self, n, rng):
            values, series = stretches.draw(n, rng)
            drawn.append(values)
            return values, series

    trainer = make_trainer((source, Remembered(), schema), n_steps=7, config=replace(SMALL, likelihood_share=0.0))
    real, begun, written = [], [], []
    cut, sample = trainer.critic.patches, trainer.generator.sample

    def compared(of, positions, labels):
        real.append(of)
        return cut(of, positions, labels)

    def write(window, *arguments, **keywords):
        begun.append(window[:, :N_KNOWN])
        written.append(sample(window, *arguments, **keywords))
        return written[-1]

    trainer.critic.patches, trainer.generator.sample = compared, write
    trainer.run()
    assert len(drawn) == 3
    for step, (frames, window) in enumerate(zip(begun, real[1::2], strict=True)):
        number, place = divmod(step, 3)
        stretch = trainer.generator.encoding.reduce(torch.from_numpy(drawn[number]))
        torch.testing.assert_close(window, stretch[:, place * N_NEW : place * N_NEW + N_KNOWN + N_NEW])
        torch.testing.assert_close(frames, written[step - 1][:, N_NEW:].detach() if place else stretch[:, :N_KNOWN])


def test_the_adversarial_stage_begins_with_the_average(windows):
    trainer = make_trainer(windows, n_steps=12, config=replace(SMALL, critic_head_start=1.0))
    trainer.run(until=9)
    average = trainer.selected.state_dict()
    assert any(not torch.equal(value, average[name]) for name, value in trainer.generator.state_dict().items())
    trainer.run()
    assert_same_weights(trainer.generator.state_dict(), average)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_writes_a_checkpoint_to_continue_from(windows, tmp_path, monkeypatch, number):
    whole = make_trainer(windows)
    whole.run()
    interrupted = make_trainer(windows)

    draw = interrupted._draw

    def interrupt(n, source):
        if interrupted.step == 7:
            signal.raise_signal(number)  # in the middle of the eighth step
        return draw(n, source)

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
    trainer.plan_seconds(10.0)
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


ADVERSARIAL = replace(SMALL, likelihood_share=0.0, anchor_weight=0.0, adversarial_windows=32)


def mean_scores(trainer):
    """Mean score of real and of generated windows, 500 each, over all time scales."""
    noise = torch.Generator().manual_seed(0)
    real, _ = trainer._draw(500, trainer._windows)
    fake = trainer.generator.sample(real, 4, noise)
    positions = trainer.critic.draw_positions(len(real), 4, 5, noise)
    with torch.no_grad():
        return [
            sum(
                trainer.critic.score(scale, patches).mean().item()
                for scale, patches in enumerate(trainer.critic.patches(one, positions))
            )
            for one in (real, fake)
        ]


def test_adversarial_steps_go_the_right_way(windows):
    """The critic learns to score real windows above those of a generator whose steps are too wide, and that to be scored higher."""
    critical = make_trainer(windows, n_steps=60, config=replace(ADVERSARIAL, critic_head_start=1.0, critic_rate=1e-2))
    creative = make_trainer(
        windows, n_steps=30, config=replace(ADVERSARIAL, critic_head_start=0.0, critic_rate=0.0, generator_rate=1e-3)
    )
    for trainer in (critical, creative):
        for network in (trainer.generator.end, *trainer.generator.midpoints):
            network.spread *= 3
    critical.run()
    real, fake = mean_scores(critical)
    assert real > fake
    creative.critic.load_state_dict(critical.critic.state_dict())
    creative.run()
    assert mean_scores(creative)[1] > fake


def poisoned(trainer, steps, loss=float("nan")):
    """Make the likelihood of these steps not finite; learning rates of the likelihood stage by step."""
    likelihood, rates = trainer._likelihood_of, {}
    descend = trainer._descend

    def spoil(*inputs):
        true = likelihood(*inputs)
        return true * loss if trainer.step + 1 in steps else true

    def remember(optimizer, value, rate, **keywords):
        rates[trainer.step + 1] = rate
        descend(optimizer, value, rate, **keywords)

    trainer._likelihood_of, trainer._descend = spoil, remember
    return rates


@pytest.mark.parametrize("loss", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_is_skipped_and_the_rate_halved(windows, loss):
    trainer = make_trainer(windows, n_steps=40)
    rates = poisoned(trainer, {4}, loss)
    trainer.run(until=3)
    before = {name: value.clone() for name, value in trainer.generator.state_dict().items()}
    trainer.run(until=4)
    assert_same_weights(before, trainer.generator.state_dict())
    trainer.run()
    assert trainer.n_skipped == 1
    planned = {step: SMALL.likelihood_rate * max(0.02, 1 - (step - 1) / 30) for step in (1, 4, 5, 20)}
    halved = {1: 1.0, 4: 1.0, 5: 0.5, 20: 0.5}
    assert {step: rates[step] for step in planned} == pytest.approx({step: halved[step] * planned[step] for step in planned})
    assert all(torch.isfinite(value).all() for value in weights(trainer).values())
    assert [one["step"] for one in trainer.history][:5] == [1, 2, 3, 5, 6]


def test_a_gradient_that_is_not_finite_counts_as_well(windows):
    """The loss may be finite where its gradient is not: √0 for example."""
    trainer = make_trainer(windows, n_steps=40)
    likelihood = trainer._likelihood_of

    def spoil(*inputs):
        true = likelihood(*inputs)
        return true + (0 * trainer.generator.end.spread.sum() + (true - true.detach())).sqrt() if trainer.step == 3 else true

    trainer._likelihood_of = spoil
    trainer.run(until=3)
    before = {name: value.clone() for name, value in trainer.generator.state_dict().items()}
    figures = trainer.train_step()
    assert np.isfinite(figures["loss"])
    assert_same_weights(before, trainer.generator.state_dict())
    assert trainer.n_skipped == 1


def test_after_five_halvings_training_stops_by_name(windows):
    trainer = make_trainer(windows, n_steps=40)
    poisoned(trainer, {4, 6, 7, 9, 10, 12})
    trainer.run(until=11)
    assert trainer.n_skipped == 5
    message = r"training step 12: the loss or its gradient is not finite .* although the learning rate was halved 5 times; look for"
    with pytest.raises(NonFiniteError, match=message):
        trainer.run()


def test_skipped_updates_survive_a_checkpoint(windows, tmp_path):
    trainer = make_trainer(windows, n_steps=40)
    poisoned(trainer, {4})
    trainer.run(until=6)
    save_checkpoint(tmp_path / "checkpoint", trainer.state(), {})
    resumed = make_trainer(windows, seed=99)
    resumed.restore(load_checkpoint(tmp_path / "checkpoint")[0])
    trainer.run()
    resumed.run()
    assert resumed.n_skipped == 1
    assert_same_weights(weights(trainer), weights(resumed))
