import json

import numpy as np
import pytest

from openmm_trajgan.analysis.audit import audit
from openmm_trajgan.errors import InputError, SchemaMismatchError
from openmm_trajgan.schema import FeatureSchema, FeatureTrajectories

GROUPS = ("distribution", "dynamics", "kinetics", "copying", "coverage")
ALIKE = "indistinguishable from MD"


@pytest.fixture(scope="module")
def md(wells):
    """Held-out MD, and training MD."""
    return wells(1, n_replicas=5), wells(2, n_replicas=5)


@pytest.fixture(scope="module")
def independent(md, wells):
    return audit(md[0], wells(3, n_replicas=5), md[1])


def standings(result):
    return {one.group: one.standing for one in result.groups}


@pytest.mark.statistical
def test_independent_md_passes_everything(independent):
    """Significance is 1 % for the whole report, so that one seed in a hundred would fail here."""
    assert standings(independent) == dict.fromkeys(GROUPS, ALIKE)
    assert independent.headline() == (
        "In their distributions, dynamics, kinetics, nearness to the training data and coverage the generated data cannot be told "
        "from MD."
    )
    assert independent.worth > 0.1


def test_every_figure_stands_beside_floor_information_and_worth(independent):
    for one in independent.figures:
        assert one.floor is not None, one.figure.name
        assert one.estimate.low <= one.estimate.value <= one.estimate.high
        if one.figure.group != "copying":
            assert one.information is not None
            assert one.md_equivalent.low <= one.md_equivalent.value <= one.md_equivalent.high
    names = [one.figure.name for one in independent.figures]
    assert len(set(names)) == len(names)
    assert {
        "JSD phi",
        "JSD phi, psi",
        "JSD TICA-0",
        "displacement JSD, k = 64",
        "relaxation time ratio, psi",
        "timescale ratio t2",
    } <= set(names)


def test_shuffled_frames_are_seen_by_dynamics_and_kinetics_only(md, wells):
    further = wells(3, n_replicas=5)
    rng = np.random.default_rng(1)
    shuffled = FeatureTrajectories([rng.permutation(series) for series in further], further.schema)
    result = audit(md[0], shuffled, md[1])
    found = standings(result)
    assert (found["dynamics"], found["kinetics"]) == ("fails", "fails")
    assert (found["distribution"], found["coverage"]) == (ALIKE, ALIKE)
    assert result.worth < 0.01
    assert "Kinetics: fails because " in result.summary()


def test_a_shifted_copy_is_seen_by_distributions(md, wells):
    result = audit(md[0], wells(3, n_replicas=5, shift=0.1), md[1])
    assert standings(result)["distribution"] in ("fails", "worth less than MD")
    assert standings(result)["dynamics"] == ALIKE
    assert standings(result)["kinetics"] == ALIKE
    assert result.headline().startswith("The generated data differ from MD in their distributions")


def test_too_slow_jumps_are_seen_by_kinetics(md, wells):
    assert standings(audit(md[0], wells(4, n_replicas=5, rate=0.003), md[1]))["kinetics"] == "fails"


def test_one_mode_only_is_not_excused(md, wells):
    stuck = FeatureTrajectories([series for series in wells(3, n_replicas=9, rate=0.0) if series[0, 0] > 0], md[0].schema)
    found = standings(audit(md[0], stuck, md[1]))
    assert (found["distribution"], found["coverage"]) == ("fails", "fails")


def test_training_windows_are_recognised(md):
    rng = np.random.default_rng(1)
    windows = np.concatenate([np.split(series[:9984], 156) for series in md[1]])
    replayed = FeatureTrajectories([np.concatenate(rng.permutation(windows)[:780])], md[0].schema)
    result = audit(md[0], replayed, md[1])
    assert standings(result)["copying"] == "fails"
    assert "windows are nearer to the training data than those of MD" in result.group("copying").sentence


def test_without_training_data_copying_is_not_judged_and_it_says_so(md, wells, coarse):
    result = audit(md[0], wells(3, n_replicas=5))
    assert standings(result)["copying"] == "not judged"
    assert {one.information for one in result.figures} == {None}
    assert "No training MD (train=, --train) was given" in result.warnings[0]


def test_windows_too_short_to_tell_are_not_judged(md, wells):
    windows = FeatureTrajectories(np.split(wells(3).values[0], 250), md[0].schema)
    result = audit(md[0], windows, md[1])
    by_name = {one.figure.name: one for one in result.figures}
    assert by_name["displacement JSD, k = 16"].verdict == "like MD"
    assert by_name["displacement JSD, k = 64"].verdict == "not judged"
    assert by_name["displacement JSD, k = 64"].missing.reason == "its series are shorter than 128 frames"
    assert any("“displacement JSD, k = 64”: its series are shorter than 128 frames." in warning for warning in result.warnings)


def test_json_is_complete_and_the_same_for_a_seed(wells, tmp_path, coarse):
    held_out, train = wells(1, n_frames=3000), wells(2, n_frames=3000)
    generated = FeatureTrajectories(wells(3).values, held_out.schema, None, {"model": "a.trajgan"})
    for name in ("one", "two"):
        audit(held_out, generated, train, seed=np.int64(5)).to_json(tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    content = json.loads((tmp_path / "one").read_text())
    assert (content["format"], content["version"], content["seed"]) == ("openmm-trajgan audit", 2, 5)
    assert content["schema"]["digest"] == held_out.schema.digest
    assert content["provenance"]["generated"]["model"] == "a.trajgan"
    assert len(content["provenance"]["train"]["sha256"]) == 64
    assert content["lengths"]["generated"] == "10,000 frames (5 ns) in one series"
    assert [one["group"] for one in content["groups"]] == list(GROUPS)
    first = content["figures"][0]
    assert set(first["estimate"]) == {"value", "low", "high"} == set(first["sampling_floor"]) == set(first["md_equivalent_frames"])
    documented = set(" ".join(audit.__globals__["Audit"].to_json.__doc__.split()).split("``"))
    assert set(content) - {"format", "version"} <= documented
    assert set(first) <= documented


def test_baselines_stand_in_the_same_table(md, wells):
    result = audit(md[0], wells(3, n_replicas=5), md[1], baselines=True)
    assert list(result.baselines) == ["MSM", "VAR(1)", "bootstrap"]
    names = [one.figure.name for one in result.figures]
    assert all([one.figure.name for one in figures] == names for figures in result.baselines.values())
    copied = result.of_group("copying", result.baselines["bootstrap"])
    assert any(one.verdict == "unlike MD" for one in copied)
    assert all(one.verdict == "unlike MD" for one in result.of_group("distribution", result.baselines["VAR(1)"])[:1])
    with pytest.raises(InputError, match=r"baselines: they are fitted on the training data; give it, train= or --train"):
        audit(md[0], wells(3), baselines=True)


def test_a_baseline_that_cannot_be_made_is_a_warning(line, coarse):
    rng = np.random.default_rng(1)
    held_out, generated = (FeatureTrajectories([rng.normal(size=(4000, 1)).cumsum(axis=0) % 5], line) for _ in range(2))
    drifting = FeatureTrajectories([np.linspace(0, 5, 4000)[:, None]], line)
    result = audit(held_out, generated, drifting, baselines=True)
    assert "MSM" not in result.baselines
    assert any(warning.startswith("No baseline MSM: ") for warning in result.warnings)


def test_a_buffer_and_arrays_will_do(md, coarse):
    class Buffer:
        def trajectories(self):
            return md[0]

    assert audit(Buffer(), Buffer()).figures[0].value == 0
    arrays = [np.array(series) for series in md[0]]
    assert audit(arrays, arrays[:2]).reference.schema.names == ("feature 0", "feature 1")


def test_chosen_pairs(coarse):
    schema = FeatureSchema(names=("a", "b", "c"), units=("", "", ""), periods=(None, None, None))
    data = FeatureTrajectories([np.random.default_rng(1).normal(size=(500, 3))], schema)
    assert audit(data, data, pairs=[("a", "c")]).yardstick.pairs == (("a", "c"),)
    assert audit(data, data).yardstick.pairs == (("a", "b"), ("b", "c"))


def test_what_the_data_cannot_support_is_said_in_sentences(line, coarse):
    schema = FeatureSchema(names=("x", "still"), units=("", ""), periods=(None, None))
    walk = np.cumsum(np.random.default_rng(1).normal(size=(300, 1)), axis=0)
    short = FeatureTrajectories([np.concatenate([walk, np.ones((300, 1))], axis=1)], schema)
    warnings = " ".join(audit(short, FeatureTrajectories([10 * short.values[0]], schema)).warnings)
    assert "errors are too small, and verdicts are rash" in warnings
    assert "No relaxation time of still" in warnings
    assert "bins over the whole range are coarse" in warnings


@pytest.mark.parametrize("case", ["one state", "constant feature", "one short trajectory", "generated shorter than a lag"])
def test_degenerate_input_gives_a_report(case, wells, line, tmp_path, coarse):
    rng = np.random.default_rng(1)
    reference, generated = wells(1), wells(2)
    if case == "one state":
        reference, generated = wells(1, rate=0.0), wells(2, rate=0.0)
    elif case == "constant feature":
        schema = FeatureSchema(names=("x", "still"), units=("", ""), periods=(None, None), frame_interval=1.0)
        reference, generated = (
            FeatureTrajectories([np.stack([rng.normal(size=2000), np.ones(2000)], axis=1)], schema) for _ in range(2)
        )
    elif case == "one short trajectory":
        reference, generated = (FeatureTrajectories([series.values[0][:7]], series.schema) for series in (reference, generated))
    else:
        generated = FeatureTrajectories([generated.values[0][start : start + 3] for start in range(0, 300, 3)], generated.schema)
    result = audit(reference, generated)
    result.to_json(tmp_path / "audit.json")
    assert result.headline()
    assert len(result.groups) == len(GROUPS)


@pytest.mark.parametrize(("n_states", "standing"), [(5, "indistinguishable from MD"), (2, "fails")])
def test_a_collapse_to_some_states_fails(line, n_states, standing):
    """All permutations visit all five states, so their shares do not scatter."""

    def jumps(seed, n_states):
        rng, chain = np.random.default_rng(seed), [0]
        for moves, state in zip(rng.random(20_000) < 0.1, rng.integers(n_states, size=20_000), strict=True):
            chain.append(int(state) if moves else chain[-1])
        return FeatureTrajectories([np.array(chain, dtype=float)[:, None]], line)

    result = audit(jumps(1, 5), jumps(2, n_states), jumps(3, 5))
    assert result.group("coverage").standing == standing


def test_a_reference_the_model_was_trained_on_is_refused(md, wells):
    train = FeatureTrajectories([*wells(5).values, md[0].values[0]], md[0].schema)
    with pytest.raises(InputError, match="series '0' is in the training data too; judge by trajectories the model never saw"):
        audit(md[0], wells(3), train)


def test_what_is_wrong_is_said(md, ou, line):
    with pytest.raises(InputError, match=r"generated: expected FeatureTrajectories, a buffer, arrays .* found int"):
        audit(md[0], 5)
    with pytest.raises(SchemaMismatchError, match=r"train has other features than reference"):
        audit(md[0], md[0], ou(1))
    with pytest.raises(InputError, match=r"generated: expected series of at least 2 frames, found 1"):
        audit(ou(1), FeatureTrajectories([[[1.0]]], line))
    with pytest.raises(InputError, match=r"reference: expected features that change, found one value"):
        audit(FeatureTrajectories([np.ones((9, 1))], line), ou(1))
    with pytest.raises(InputError, match=r"no feature named chi"):
        audit(md[0], md[0], pairs=[("phi", "chi")])
    with pytest.raises(InputError, match="seed: expected a whole number from 0 on, found -1"):
        audit(md[0], md[0], seed=-1)
    with pytest.raises(InputError, match="seed: expected a whole number below 2³², found 4294967296"):
        audit(md[0], md[0], seed=2**32)
    for temperature in (0, np.inf, "300"):
        with pytest.raises(InputError, match=f"temperature: expected a positive number of kelvin, found {temperature!r}"):
            audit(md[0], md[0], temperature=temperature)
