import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon
from scipy.stats import spearmanr

from openmm_trajgan.analysis import literature, mdgen_states
from openmm_trajgan.analysis.literature import LiteratureFigure, mdgen_figures
from openmm_trajgan.errors import SchemaMismatchError
from openmm_trajgan.schema import FeatureSchema, FeatureTrajectories

TWO_PI = 2 * np.pi
MAXIMUM = np.sqrt(np.log(2))


def angles(names, interval=0.5, periods=None, kinds=()):
    periods = periods or (TWO_PI,) * len(names)
    return FeatureSchema(names=tuple(names), units=("rad",) * len(names), periods=periods, kinds=kinds, frame_interval=interval)


def named(figures) -> dict[str, LiteratureFigure]:
    found = {figure.name: figure for figure in figures}
    assert len(found) == len(figures)
    return found


def hops(seed, n_frames=4000, n_series=2, interval=10.0, p=0.02, names=("phi 2", "psi 2")):
    """Torsions that hop between wells at -2, 0 and 2 rad, uniformly, each on its own."""
    rng = np.random.default_rng(seed)
    series = []
    for _ in range(n_series):
        hopping = rng.random((n_frames, len(names))) < p
        hopping[0] = True
        last = np.maximum.accumulate(np.where(hopping, np.arange(n_frames)[:, None], 0), axis=0)
        wells = np.take_along_axis(rng.integers(-1, 2, hopping.shape), last, axis=0)
        series.append(2.0 * wells + 0.2 * rng.normal(size=hopping.shape))
    return FeatureTrajectories(series, angles(names, interval))


def histogram_distance(a, b):
    ranges = [(-np.pi, np.pi)] * a.shape[1]
    bins = {1: 100, 2: 50}[a.shape[1]]
    return jensenshannon(*(np.histogramdd(one.astype(np.float64), bins=bins, range=ranges)[0].ravel() for one in (a, b)))


@pytest.fixture(autouse=True)
def few_states(monkeypatch):
    """PCCA+ into ten states takes seconds."""
    monkeypatch.setattr(mdgen_states, "N_STATES", 4)


@pytest.fixture(scope="module")
def compared():
    names = ("phi 2", "psi 2", "chi1 2", "phi 3")
    reference, generated, train = (hops(seed, n_frames=n, names=names) for seed, n in ((1, 4000), (2, 2000), (3, 3000)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mdgen_states, "N_STATES", 4)
        return reference, generated, train, named(mdgen_figures(reference, generated, train))


def test_torsions_and_ramachandran_maps_are_those_of_numpy_and_scipy(compared):
    reference, generated, _, figures = compared
    a, b = (np.concatenate(data.values) for data in (reference, generated))
    single = [histogram_distance(a[:, [column]], b[:, [column]]) for column in range(4)]
    assert figures["JS distance, torsions"].generated == pytest.approx(np.mean(single), rel=1e-9)
    assert figures["JS distance, backbone torsions"].generated == pytest.approx(
        np.mean([single[0], single[1], single[3]]), rel=1e-9
    )
    assert figures["JS distance, side-chain torsions"].generated == pytest.approx(single[2], rel=1e-9)
    assert figures["JS distance, Ramachandran maps"].generated == pytest.approx(histogram_distance(a[:, :2], b[:, :2]), rel=1e-9)


def test_md_is_the_training_data_cut_to_the_generated_length(compared):
    reference, generated, train, figures = compared
    a, b = (np.concatenate(data.values) for data in (reference, train))
    figure = figures["JS distance, side-chain torsions"]
    assert figure.train == pytest.approx(histogram_distance(a[:, [2]], b[:, [2]]), rel=1e-9)
    assert figure.md == pytest.approx(histogram_distance(a[:, [2]], b[: generated.n_frames, [2]]), rel=1e-9)
    assert "the first 4000 of 6000 training frames" in figure.convention


def test_no_md_where_the_training_data_are_shorter(compared):
    reference, generated, train, _ = compared
    figures = mdgen_figures(reference, train, generated)
    assert all(figure.md is None and figure.train is not None for figure in figures)
    assert all("fewer than were generated" in figure.convention and not figure.missing for figure in figures)


def test_without_training_data_there_is_neither(compared):
    reference, generated, _, figures = compared
    alone = mdgen_figures(reference, generated)
    assert [figure.generated for figure in alone] == [figure.generated for figure in figures.values()]
    assert all(figure.md is None and figure.train is None and not figure.missing for figure in alone)


def test_tica_and_relaxation_against_a_solution_by_hand(compared):
    reference, generated, _, figures = compared
    lag = 10  # 100 ps
    encoded = [[np.concatenate([np.sin(x), np.cos(x)], axis=1).astype(np.float64) for x in data] for data in (reference, generated)]
    early, late = (np.concatenate([x[part] for x in encoded[0]]) for part in (np.s_[:-lag], np.s_[lag:]))
    mean = (early.mean(axis=0) + late.mean(axis=0)) / 2
    early, late = early - mean, late - mean
    covariance, lagged = early.T @ early + late.T @ late, early.T @ late + late.T @ early
    values, vectors = np.linalg.eigh(covariance)
    whiten = vectors / np.sqrt(values)
    eigenvalues, rotation = np.linalg.eigh(whiten.T @ lagged @ whiten)
    slow = (whiten @ rotation[:, ::-1] * eigenvalues[::-1])[:, :2]
    a, b = ((np.concatenate(series) - mean) @ slow for series in encoded)
    for name, columns, bins in (("TICA-0", [0], 100), ("TICA-0,1", [0, 1], 50)):
        ranges = [(min(a[:, c].min(), b[:, c].min()), max(a[:, c].max(), b[:, c].max())) for c in columns]
        expected = jensenshannon(*(np.histogramdd(x[:, columns], bins=bins, range=ranges)[0].ravel() for x in (a, b)))
        assert figures[f"JS distance, {name}"].generated == pytest.approx(expected, abs=2e-3)  # frames on the edge of a bin

    def relaxation(data, column):
        everything = np.concatenate([x[:, column] for x in data]).astype(np.float64)
        b = np.sin(everything).mean() ** 2 + np.cos(everything).mean() ** 2
        for k in range(1, 1000):
            pairs = np.concatenate([x[k:, column].astype(np.float64) - x[:-k, column] for x in data])
            if (np.cos(pairs).mean() - b) / (1 - b) <= np.exp(-1):
                return k
        return np.nan

    ratios = [relaxation(generated, column) / relaxation(reference, column) for column in range(4)]
    assert figures["relaxation time ratio, torsions"].generated == pytest.approx(np.median(ratios), rel=1e-12)
    assert figures["share of torsions that relax"].generated == 1


def test_states_and_fluxes_against_counting_by_hand(monkeypatch):
    """One centre per well: the states are the nine wells, and nothing is left to the eye of k-means."""
    monkeypatch.setattr(mdgen_states, "N_CENTERS", 9)
    monkeypatch.setattr(mdgen_states, "N_STATES", 10)
    reference, generated = (hops(seed, n_frames=20_000, interval=10.0, p=0.05) for seed in (4, 5))
    figures = named(mdgen_figures(reference, generated))
    assert "k-means with 9 centres," in figures["JS distance, MSM states"].convention
    assert "PCCA+ into 9 states (MDGen: 10" in figures["JS distance, MSM states"].convention
    counts, shares = [], []
    for data in (reference, generated):
        labels = [(np.round(x / 2).astype(int) + 1) @ [3, 1] for x in data]
        shares.append(np.bincount(np.concatenate(labels), minlength=9))
        count = np.zeros((9, 9))
        for label in labels:
            np.add.at(count, (label[:-10], label[10:]), 1)
        counts.append(count / count.sum())
    assert figures["JS distance, MSM states"].generated == pytest.approx(jensenshannon(*shares), abs=1e-3)
    fluxes = [(count + count.T) / 2 for count in counts]  # near detailed balance the reversible estimate is close to this
    stationary = jensenshannon(*(flux.sum(axis=1) for flux in fluxes))
    assert figures["JS distance, MSM states, stationary"].generated == pytest.approx(stationary, abs=5e-3)
    expected = spearmanr(*(flux.ravel() for flux in fluxes)).statistic
    assert figures["Spearman correlation, fluxes"].generated == pytest.approx(expected, abs=0.03)


def test_the_same_data_agree_completely(compared):
    reference = compared[0]
    for figure in mdgen_figures(reference, reference, reference):
        best = 1 if figure.name.startswith(("Spearman", "relaxation", "share")) else 0
        assert (figure.generated, figure.md, figure.train) == (pytest.approx(best, abs=1e-7),) * 3, figure.name


def test_proportional_counts_are_no_distance(compared):
    reference = compared[0]
    thrice = FeatureTrajectories(reference.values * 3, reference.schema)
    assert named(mdgen_figures(reference, thrice))["JS distance, torsions"].generated == pytest.approx(0, abs=1e-7)


def test_disjoint_data_have_the_largest_distance():
    reference = hops(6)
    shifted = FeatureTrajectories([np.full_like(x, 1.0) for x in reference], reference.schema)
    figures = named(mdgen_figures(reference, shifted))
    for name in ("torsions", "backbone torsions", "Ramachandran maps", "TICA-0,1"):
        assert figures[f"JS distance, {name}"].generated == pytest.approx(MAXIMUM, abs=1e-3), name
    assert figures["relaxation time ratio, torsions"].generated is None
    assert figures["relaxation time ratio, torsions"].missing == "no torsion relaxes both here and in the reference"
    assert figures["share of torsions that relax"].generated == 0


@pytest.mark.statistical
def test_two_wells(wells):
    """Hopping with t2 = 1/(2 rate) = 167 frames over 200 000 frames, 10 replicas: some 600 hops in each set.

    Between sets the squared distance of 100 bins is about bins/(4 N): psi, N = 200 000/10 independent frames, has 0.035. phi is
    moved by the population of a well, standard error √(¼ · 2 · 167/200 000) ≈ 0.02 in each set, 0.03 between them, which is a
    distance of 0.03/√2 = 0.02: both stay below 0.1 by more than three standard errors. The relaxation time of phi is known to
    √(4/600) ≈ 8 % in each set, 12 % as a ratio, that of psi to 2 %: three standard errors of their mean are 0.18.
    """
    reference, same, faster = (wells(seed, 10, 20_000, rate) for seed, rate in ((1, 0.003), (2, 0.003), (3, 0.03)))
    for data, ratio in ((same, 1.0), (faster, 0.1)):
        figures = named(mdgen_figures(reference, data))
        assert figures["JS distance, torsions"].generated < 0.1
        assert figures["JS distance, TICA-0"].generated < 0.15
        assert figures["JS distance, MSM states"].generated < 0.15
        assert figures["share of torsions that relax"].generated == 1
        assert figures["relaxation time ratio, torsions"].generated == pytest.approx(
            (ratio + 1) / 2, abs=0.18
        )  # median of phi, psi
    shifted = named(mdgen_figures(reference, wells(4, 10, 20_000, 0.003, shift=0.4)))
    assert shifted["JS distance, torsions"].generated > 0.15


def test_features_that_are_no_angles_are_left_out():
    both = hops(7, names=("phi 2", "distance"))
    schema = FeatureSchema(names=("phi 2", "distance"), units=("rad", "nm"), periods=(TWO_PI, None), frame_interval=10.0)
    mixed = FeatureTrajectories(both.values, schema)
    alone = FeatureTrajectories([x[:, :1] for x in both], angles(("phi 2",), 10.0))
    assert mdgen_figures(mixed, mixed) == mdgen_figures(alone, alone)
    line = FeatureTrajectories([np.zeros((5, 1))], FeatureSchema(names=("x",), units=("nm",), periods=(None,)))
    assert mdgen_figures(line, line) == ()


def test_periods_other_than_two_pi_and_other_images_change_nothing():
    reference, data = hops(8), hops(9)
    degrees = angles(("phi 2", "psi 2"), 10.0, (360.0, 360.0))
    turned = [FeatureTrajectories([np.degrees(x) + 360 for x in one], degrees) for one in (reference, data)]
    for expected, found in zip(mdgen_figures(reference, data), mdgen_figures(*turned), strict=True):
        assert found.generated == pytest.approx(expected.generated, abs=0.02), found.name


@pytest.mark.parametrize(
    ("name", "kind", "part"),
    [
        ("phi 2", "torsion", ("phi", "2")),
        ("psi ALA 2", "torsion", ("psi", "ALA 2")),
        ("chi1 14", "torsion", ("chi", "14")),
        ("Phi_7", "custom", ("phi", "7")),
        ("ψ 3", "custom", ("psi", "3")),
        ("omega 3", "torsion", ("omega", "3")),
        ("first", "phi", ("phi", "first")),
        ("torsion 0-1-2-3", "torsion", ("", "torsion 0-1-2-3")),
        ("chiral", "custom", ("", "chiral")),
    ],
)
def test_names_tell_which_torsion_it_is(name, kind, part):
    assert literature._part(name, kind) == part


def test_only_what_names_tell():
    figures = named(mdgen_figures(*(hops(seed, names=("a", "omega 2")) for seed in (1, 2))))
    assert not {"JS distance, backbone torsions", "JS distance, side-chain torsions", "JS distance, Ramachandran maps"} & set(
        figures
    )
    assert "2 of the 2 torsions here are others or not named so" in figures["JS distance, torsions"].convention


@pytest.mark.parametrize(
    ("interval", "n_frames", "reason"),
    [
        (None, 4000, "the time between frames is not known"),
        (70.0, 4000, "no whole number of frames is near the lag of 100 ps"),
        (500.0, 4000, "no whole number of frames is near the lag of 100 ps"),
        (0.1, 4000, "too short for the lag of 100 ps, 1000 frames"),
    ],
)
def test_no_lag_no_slow_coordinates(interval, n_frames, reason):
    data = hops(10, n_frames=n_frames, interval=interval, p=0.2)
    figures = named(mdgen_figures(data, data, data))
    for name, figure in figures.items():
        slow = any(word in name for word in ("TICA", "MSM", "fluxes"))
        assert (figure.generated is None) == (figure.train is None) == slow, name
        assert (reason in figure.missing) == slow, name


def test_the_interval_may_be_known_from_one_side_only():
    data = hops(11)
    unknown = FeatureTrajectories(data.values, angles(("phi 2", "psi 2"), None))
    assert all(figure.generated is not None for figure in mdgen_figures(unknown, data))


def test_short_windows_have_states_but_no_fluxes():
    reference = hops(12, interval=1.0)
    windows = FeatureTrajectories([x for series in hops(13, interval=1.0) for x in np.split(series[:3200], 50)], reference.schema)
    figures = named(mdgen_figures(reference, windows, reference))
    flux = figures["Spearman correlation, fluxes"]
    assert flux.generated is None
    assert flux.train == pytest.approx(1)
    assert flux.missing == "generated data: has no series longer than the lag of 100 ps, 100 frames"
    assert figures["JS distance, MSM states"].generated < 0.5


CONSTANT = [np.ones((3000, 2))]
DEGENERATE = {
    "constant": CONSTANT,
    "one frame": [np.ones((1, 2))],
    "two frames": [np.array([[0.0, 1.0], [2.0, 3.0]])],
    "no frames": [np.empty((0, 2))],
    "an empty series": [np.empty((0, 2)), *hops(14, 1500).values],
    "one torsion constant": [x * [1, 0] for x in hops(15, 1500)],
    "equal torsions": [x[:, [0, 0]] for x in hops(16, 1500)],
    "two values": [np.repeat(np.random.default_rng(1).integers(0, 2, (3000, 1)), 2, axis=1)],
    "the end of the range": [np.full((3000, 2), np.pi), np.full((3000, 2), -np.pi)],
    "one state": [x * 0.1 for x in hops(17, 1500)],
}


@pytest.mark.parametrize("other", ["hops", "constant", "no frames"])
@pytest.mark.parametrize("name", DEGENERATE)
def test_degenerate_data_have_reasons(name, other):
    schema = angles(("phi 2", "psi 2"), 10.0)
    degenerate = FeatureTrajectories(DEGENERATE[name], schema)
    usual = FeatureTrajectories(hops(18, 1500).values if other == "hops" else DEGENERATE[other], schema)
    for sets in ((usual, degenerate, degenerate), (degenerate, usual, usual)):
        for figure in mdgen_figures(*sets):
            for number in (figure.generated, figure.train):
                assert number is not None or figure.missing, figure.name
                assert number is None or np.isfinite(number), figure.name
                assert number is None or "JS" not in figure.name or 0 <= number <= MAXIMUM + 1e-9, figure.name


def test_no_frames_are_said_to_be_none():
    empty = FeatureTrajectories([np.empty((0, 2))], angles(("phi 2", "psi 2"), 10.0))
    assert {figure.missing for figure in mdgen_figures(hops(1), empty)} == {"has no frames"}
    assert {figure.missing for figure in mdgen_figures(empty, hops(1))} == {"the reference has no frames"}


def test_the_seed_decides(compared):
    reference, generated, _, _ = compared
    assert mdgen_figures(reference, generated, seed=3) == mdgen_figures(reference, generated, seed=3)


def test_other_features_are_refused():
    with pytest.raises(SchemaMismatchError, match="the generated data has other features than the reference"):
        mdgen_figures(hops(1), hops(2, names=("phi 2", "psi 3")))
