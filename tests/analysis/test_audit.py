import json

import numpy as np
import pytest

from openmm_trajgan.analysis.audit import audit, md_groups
from openmm_trajgan.errors import InputError, SchemaMismatchError
from openmm_trajgan.schema import FeatureSchema, FeatureTrajectories


@pytest.fixture(scope="module")
def md(wells):
    """Held-out MD and eight independent replicas to stand beside it."""
    return wells(1), wells(2, n_replicas=8)


@pytest.fixture(scope="module")
def independent(md, wells):
    return audit(md[0], wells(3), md[1])


@pytest.mark.statistical
def test_independent_md_lies_within_its_own_spread(independent):
    """Each of 11 figures is inside with 95 % and they go together; more than two outside would be a 1 % event."""
    assert len(independent.figures) == 11
    assert sum(figure.verdict == "outside" for figure in independent.figures) <= 2
    assert {independent.standing(group) for group in ("distribution", "dynamics", "kinetics")} <= {"like MD", "mostly like MD"}
    assert "differ" not in independent.headline()


def test_figures_stand_beside_every_group_and_the_training_data(independent):
    assert [figure.name for figure in independent.figures] == [
        "JSD phi",
        "JSD psi",
        "JSD phi, psi",
        *(f"displacement JSD, k = {steps}" for steps in (1, 4, 16, 64)),
        "relaxation time ratio, phi",
        "relaxation time ratio, psi",
        "timescale ratio t2",
        "timescale ratio t3",
    ][: len(independent.figures)]
    assert all(len(figure.md) == 8 for figure in independent.figures)
    jsd = independent.figures[0]
    assert jsd.train < np.mean(jsd.md)  # eight times more frames, less noise


def test_shuffled_frames_are_seen_by_dynamics_and_kinetics_only(md):
    shuffled = FeatureTrajectories([np.random.default_rng(1).permutation(md[0].values[0])], md[0].schema)
    result = audit(md[0], shuffled, md[1])
    assert result.standing("distribution") == "like MD"
    assert result.standing("dynamics") == "unlike MD"
    assert result.standing("kinetics") == "unlike MD"
    assert any("has no process that outlives the lag" in warning for warning in result.warnings)


def test_a_shifted_copy_is_seen_by_distributions_only(md, wells):
    result = audit(md[0], wells(3, shift=0.3), md[1])
    assert result.standing("distribution") == "unlike MD"
    assert result.standing("kinetics") in ("like MD", "mostly like MD")
    assert "differ from MD in their distributions." in result.headline()
    assert "furthest off: JSD phi" in result.summary()


def test_too_slow_jumps_are_seen_by_kinetics(md, wells):
    assert audit(md[0], wells(4, n_replicas=8, rate=0.003), md[1]).standing("kinetics") == "unlike MD"


def test_one_mode_only_is_not_excused(md, wells):
    stuck = wells(3, rate=0.0)
    result = audit(md[0], stuck, md[1])
    assert result.standing("distribution") == "unlike MD"
    assert result.standing("kinetics") == "unlike MD"


def test_windows_too_short_to_tell_are_not_judged(md, wells):
    windows = FeatureTrajectories(np.split(wells(3).values[0], 250), md[0].schema)
    result = audit(md[0], windows, md[1])
    by_name = {figure.name: figure for figure in result.figures}
    assert by_name["displacement JSD, k = 16"].verdict == "within"
    assert by_name["displacement JSD, k = 64"].verdict == "not judged"
    assert by_name["displacement JSD, k = 64"].remark == "its series are shorter than 128 frames"
    assert by_name["relaxation time ratio, phi"].verdict == "not judged"
    assert by_name["relaxation time ratio, phi"].remark == "does not relax within 20 frames, the longest lag looked at"
    assert "“displacement JSD, k = 64” (generated): its series are shorter than 128 frames." in " ".join(result.warnings)


def test_without_other_md_nothing_is_judged_and_it_says_so(md, wells):
    result = audit(md[0], wells(3))
    assert {figure.verdict for figure in result.figures} == {"not judged"}
    assert result.headline() == "The distributions, dynamics and kinetics could not be judged."
    assert "pass train=" in result.warnings[0]


def test_json_is_complete_and_the_same_for_a_seed(md, wells, tmp_path):
    generated = FeatureTrajectories(wells(3).values, md[0].schema, None, {"model": "a.trajgan"})
    for name in ("one", "two"):
        audit(md[0], generated, md[1].select("01"), seed=5).to_json(tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    content = json.loads((tmp_path / "one").read_text())
    assert (content["format"], content["version"], content["seed"]) == ("openmm-trajgan audit", 1, 5)
    assert content["schema"]["digest"] == md[0].schema.digest
    assert content["provenance"] == {"model": "a.trajgan"}
    assert content["lengths"]["generated"] == "10,000 frames (5 ns) in one series"
    assert content["figures"][0]["md"] == [float(f"{value:.6g}") for value in content["figures"][0]["md"]]
    assert set(content["implied_timescales_frames"]) == {"lags", "reference", "generated", "md 1", "md 2"}


def test_a_buffer_will_do(md, wells):
    class Buffer:
        def trajectories(self):
            return md[0]

    assert audit(Buffer(), Buffer()).figures[0].generated == 0


def test_chosen_pairs():
    schema = FeatureSchema(names=("a", "b", "c"), units=("", "", ""), periods=(None, None, None))
    data = FeatureTrajectories([np.random.default_rng(1).normal(size=(500, 3))], schema)
    assert audit(data, data, pairs=[("a", "c")]).yardstick.pairs == (("a", "c"),)
    default = audit(data, data)
    assert default.yardstick.pairs == (("a", "b"), ("b", "c"))
    assert [figure.name for figure in default.figures[3:5]] == ["JSD a, b", "JSD b, c"]


def test_groups_are_whole_replicas_about_as_long_as_the_reference(line):
    lengths = {"a": 50, "b": 30, "c": 70, "d": 100, "e": 300, "f": 20}
    train = FeatureTrajectories([np.zeros((n, 1)) for n in lengths.values()], line, list(lengths))
    assert [group.replica_names for group in md_groups(train, 100)] == [("a", "b"), ("c",), ("d",), ("e",)]
    assert [group.n_frames for group in md_groups(train, 10_000)] == [570]
    pieces = FeatureTrajectories([np.zeros((60, 1))] * 4, line, ["a", "b", "a", "b"])
    assert [group.replica_names for group in md_groups(pieces, 100)] == [("a",), ("b",)]
    assert len(md_groups(FeatureTrajectories([np.zeros((10, 1))] * 20, line), 10)) == 8


def test_what_the_data_cannot_support_is_said_in_sentences(md, wells, line):
    schema = FeatureSchema(names=("x", "still"), units=("", ""), periods=(None, None))
    walk = np.cumsum(np.random.default_rng(1).normal(size=(300, 1)), axis=0)
    short = FeatureTrajectories([np.concatenate([walk, np.ones((300, 1))], axis=1)], schema)
    far = FeatureTrajectories([10 * short.values[0]], schema)
    train = FeatureTrajectories([short.values[0][::-1]], schema)
    warnings = " ".join(audit(short, far, train).warnings)
    assert "only one group of MD" in warnings
    assert "“relaxation time ratio, still” (generated, MD group 1, training MD): constant in the reference." in warnings
    assert "the reference supports no timescale" in warnings
    assert "bins over the whole range are coarse" in warnings


def test_one_long_replica_is_a_group_with_a_warning(md, wells):
    long = FeatureTrajectories([wells(5, n_frames=40_000).values[0]], md[0].schema)
    result = audit(md[0], wells(3), long)
    assert "MD group 1 has 40000 frames and the reference 10000; make them about equal." in result.warnings


def test_a_reference_the_model_was_trained_on_is_refused(md, wells):
    train = FeatureTrajectories([*wells(5).values, md[0].values[0]], md[0].schema)
    with pytest.raises(InputError, match="series '0' is in the training data too; judge by trajectories the model never saw"):
        audit(md[0], wells(3), train)


def test_what_is_wrong_is_said(md, ou, line):
    with pytest.raises(InputError, match=r"generated: expected FeatureTrajectories or a buffer, found ndarray; wrap arrays as"):
        audit(md[0], np.zeros((5, 2)))
    with pytest.raises(SchemaMismatchError, match=r"train has other features than reference"):
        audit(md[0], md[0], ou(1))
    with pytest.raises(InputError, match=r"generated: expected series of at least 2 frames, found 1"):
        audit(ou(1), FeatureTrajectories([[[1.0]]], line))
    with pytest.raises(InputError, match=r"reference: expected features that change, found one value"):
        audit(FeatureTrajectories([np.ones((9, 1))], line), ou(1))
    with pytest.raises(InputError, match=r"no feature named chi"):
        audit(md[0], md[0], pairs=[("phi", "chi")])
    with pytest.raises(InputError, match=r"seed: expected an integer in \[0, 2³²\), found -1"):
        audit(md[0], md[0], seed=-1)
