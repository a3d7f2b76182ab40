import csv
from dataclasses import replace

import numpy as np
import pytest

from openmm_trajgan.analysis.structure_comparison import StructureComparison, StructureFigure
from openmm_trajgan.analysis.tables import Words, mean_of, number, tables, write_tables
from openmm_trajgan.analysis.uncertainty import Estimate
from openmm_trajgan.analysis.validity_report import ValidityFigure, ValidityReport
from openmm_trajgan.analysis.verdict import GroupVerdict


@pytest.fixture(scope="module")
def found(wells_audit):
    return tables(wells_audit)


def test_every_table_is_there_and_its_rows_have_the_same_columns(found):
    assert set(found) == {"figures", "groups", "timescales", "passage_times", "states", "baselines", "literature"}
    for rows in found.values():
        assert all(list(row) == list(rows[0]) for row in rows)


def test_figures_are_those_of_the_audit_with_the_baselines_beside(found, wells_audit):
    by_name = {row["name"]: row for row in found["figures"]}
    for index, one in enumerate(wells_audit.figures):
        row = by_name[one.figure.name]
        assert (row["value"], row["low"], row["verdict"]) == (one.estimate.value, one.estimate.low, one.verdict)
        if one.md_equivalent is not None:
            assert row["worth / ps"] == one.md_equivalent.value * 0.5
        assert row["MSM value"] == wells_audit.baselines["MSM"][index].value
    assert len(found["baselines"]) == 3 * len(wells_audit.figures)


def test_times_are_in_ps_and_belong_to_their_ratios(found, wells_audit):
    lag = wells_audit.yardstick.markov.lag
    times = found["timescales"][0]
    # two states left with 0.02 per frame: t2 = -1 / ln(1 - 0.04) frames of 0.5 ps; 80 jumps, so 11 % off, taken three times
    assert times["reference / ps"] == pytest.approx(-0.5 / np.log(0.96), rel=0.33)
    for row in (times, *found["passage_times"]):
        assert row["ratio"] == pytest.approx(row["generated / ps"] / row["reference / ps"])
        assert row["ratio, low"] < row["ratio"] < row["ratio, high"]
    assert {(row["from"], row["to"]) for row in found["passage_times"]} == {("A", "B"), ("B", "A")}
    assert lag >= 1


def test_states_have_shares_and_circular_means(found):
    shares = np.array([[row[f"share in {name}"] for name in ("reference", "generated", "train")] for row in found["states"]])
    assert shares.sum(axis=0) == pytest.approx([1, 1, 1])
    assert shares[0, 0] > shares[1, 0]
    for row in found["states"]:
        assert abs(row[mean_of("<script>", "rad")]) == pytest.approx(2 * np.pi / 3, abs=0.05)
        assert abs(row[mean_of("$psi$ & co", "rad")]) > 2.8  # around π, where a plain mean would be about 0


def test_csv_files_hold_the_same_and_are_the_same_bytes_again(found, wells_audit, tmp_path):
    paths = write_tables(wells_audit, tmp_path / "new")
    assert {path.stem for path in paths} == set(found)
    before = [path.read_bytes() for path in paths]
    assert [path.read_bytes() for path in write_tables(wells_audit, tmp_path / "new")] == before
    with (tmp_path / "new" / "figures.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == [row["name"] for row in found["figures"]]
    for row, expected in zip(rows, found["figures"], strict=True):
        assert float(row["value"]) == pytest.approx(expected["value"], rel=1e-5)
        assert (row["training data"] == "") == (expected["training data"] is None)


def test_literature_and_structures_have_tables(found, wells_audit):
    figures = (ValidityFigure("jump", "nm", "Mean.", 0.2, 0.1), ValidityFigure("bad frames", "share", "Close.", 0.1))
    validity = ValidityReport(figures, 20, 40, {})
    structure = StructureComparison((StructureFigure("bond length", "nm", "Mean.", 0.1, 0.05, (0.0, 0.2)),), 20, validity)
    more = replace(wells_audit, structure=structure)
    vars(more)["literature"] = wells_audit.literature  # known already
    assert tables(more)["structure"][0]["high"] == 0.2
    assert [(row["name"], row["ratio"]) for row in tables(more)["validity"]] == [("jump", 2.0)]
    assert [row["generated"] for row in found["literature"]] == [one.generated for one in wells_audit.literature]


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.00004, "4·10⁻⁵"), (-1e-6, "−10⁻⁶"), (12345.0, "12,300"), (0.98765, "0.988"), (float("nan"), "–"), (float("inf"), "∞")],
)
def test_numbers_are_written_as_people_do(value, text):
    assert number(value) == text


def test_a_length_that_is_not_finite_is_said_by_what_can_be_told(wells_audit):
    words = Words(wells_audit)  # the reference has 4000 frames of 0.5 ps
    endless = Estimate(float("inf"), 1000.0, float("inf"))
    assert (words.worth(endless), words.worth_range(endless)) == ("over 20 ns", "500 ps or more")
    assert words.worth(Estimate(float("inf"), float("inf"), float("inf"))) == "more than can be told"
    assert (words.worth(None), words.worth_range(None)) == ("–", "")
    assert words.worth_range(Estimate(2e3, 1e3, 4e3)) == "500 ps to 2 ns"


@pytest.mark.parametrize(
    ("own", "rival", "said"),
    [
        ("indistinguishable from MD", "fails", "the generated data beat M: they cannot be told from MD, it fails"),
        ("fails", "worth less than MD", "the generated data do not beat M: they fail, it is worth less than MD"),
        ("indistinguishable from MD",) * 2 + ("the generated data do not beat M: neither can be told from MD",),
        ("fails", "fails", "the generated data do not beat M, though both fail: they are worth 500 ps of MD, it 1 ns"),
        ("not judged", "fails", "whether the generated data beat M cannot be told, since one of them is not judged"),
    ],
)
def test_beating_a_baseline_follows_from_the_verdicts(wells_audit, own, rival, said):
    lengths = (Estimate(1e3, 1e3, 1e3), Estimate(2e3, 2e3, 2e3))
    verdicts = [GroupVerdict("kinetics", standing, length, "") for standing, length in zip((own, rival), lengths, strict=True)]
    assert Words(wells_audit)._against(*verdicts, "M") == said


def test_lengths_whose_intervals_overlap_decide_nothing(wells_audit):
    own, rival = (GroupVerdict("kinetics", "fails", Estimate(length, 500, 3e3), "") for length in (1e3, 2e3))
    said = "the generated data and M both fail; they are worth 500 ps of MD, it 1 ns"
    assert Words(wells_audit)._against(own, rival, "M") == said


def test_the_bootstrap_is_caught_copying_and_the_generated_data_are_not(wells_audit):
    kinetics, nearness = Words(wells_audit).against()
    assert kinetics.startswith("Kinetics: the generated data")
    assert nearness == (
        "Nearness to the training data: the generated data beat the bootstrap: they show no sign of copying, it repeats training "
        "data."
    )
    bootstrap = replace(wells_audit, figures=wells_audit.baselines["bootstrap"])
    assert "both repeat training data" in Words(bootstrap).against()[1]
