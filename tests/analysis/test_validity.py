import json

import MDAnalysis
import numpy as np
import pytest
from MDAnalysis.analysis.rms import rmsd
from MDAnalysis.transformations import translate
from openmm import unit

from openmm_trajgan.analysis import structure
from openmm_trajgan.analysis.structure import StructureGeometry
from openmm_trajgan.analysis.validity import StructureValidity
from openmm_trajgan.backmap import InternalCoordinates
from openmm_trajgan.backmap.frames import GeneratedFrames, StoredFrames
from openmm_trajgan.errors import InputError
from openmm_trajgan.features import Distances, Torsions
from openmm_trajgan.systems import alanine_dipeptide

TOPOLOGY = alanine_dipeptide.topology()
FEATURES = alanine_dipeptide.features()
N_FRAMES = 120
OMEGA = (8, 14, 16, 18)


def universe(frames, dt=0.2):
    """Frames of alanine dipeptide, nm, as a Universe with bonds."""
    return MDAnalysis.Universe(TOPOLOGY, np.asarray(frames, dtype=np.float32) * 10, dt=dt)


def generated(frames, features, trajectories=None):
    """The same as to_universe gives it."""
    trajectories = np.zeros(len(frames), int) if trajectories is None else trajectories
    source = StoredFrames(np.asarray(frames, np.float32))
    made = GeneratedFrames(source, features, trajectories, FEATURES.schema.with_frame_interval(0.2))
    return MDAnalysis.Universe(TOPOLOGY, made)


def alphas(frames):
    """Alpha carbons of one chain, nm, one per residue."""
    frames = np.asarray(frames, dtype=np.float32)
    beads = MDAnalysis.Universe.empty(frames.shape[1], frames.shape[1], atom_resindex=np.arange(frames.shape[1]))
    beads.add_TopologyAttr("names", ["CA"] * frames.shape[1])
    beads.add_TopologyAttr("elements", ["C"] * frames.shape[1])
    return beads.load_new(10 * frames, dt=1.0)


@pytest.fixture(scope="module")
def md():
    """Frames of molecular dynamics every 0.2 ps, (120, 22, 3), nm."""
    simulation = alanine_dipeptide.build(seed=5)
    frames = np.empty((N_FRAMES, 22, 3), dtype=np.float32)
    for frame in frames:
        simulation.step(50)
        frame[:] = simulation.context.getState(positions=True).getPositions(asNumpy=True).value_in_unit(unit.nanometer)
    return frames


@pytest.fixture(scope="module")
def noisy(md):
    return md + np.random.default_rng(0).normal(0, 0.02, md.shape).astype(np.float32)


def test_md_is_as_valid_as_itself(md):
    report = StructureValidity(universe(md), universe(md), featurizer=FEATURES).run().results.report
    assert (report.n_frames, report.n_md_frames) == (N_FRAMES, N_FRAMES)
    told = [figure for figure in report.figures if figure.md is not None]
    assert {"bond deviation", "angle variance", "clashes", "cis peptide bonds", "jump", "BioEmu pass"} <= {
        each.name for each in told
    }
    assert all(figure.value == figure.md for figure in told)


def test_deviations_and_variances_are_those_of_the_lengths(md, noisy):
    report = StructureValidity(universe(noisy), universe(md)).run().results.report
    pairs = universe(md).bonds.indices
    lengths, ours = (np.linalg.norm(frames[:, pairs[:, 0]] - frames[:, pairs[:, 1]], axis=2) for frames in (md, noisy))
    assert report["bond deviation"].value == pytest.approx(np.sqrt(np.mean((ours - lengths.mean(axis=0)) ** 2)), rel=1e-4)
    assert report["bond deviation"].md == pytest.approx(np.sqrt(np.mean((lengths - lengths.mean(axis=0)) ** 2)), rel=1e-4)
    assert report["bond variance"].ratio == pytest.approx(ours.var(axis=0).mean() / lengths.var(axis=0).mean(), rel=1e-3)
    assert report["angle variance"].ratio > 1


def test_mirror_images_are_inverted(md):
    frames = md.copy()
    frames[: N_FRAMES // 4] *= [-1, 1, 1]
    report = StructureValidity(universe(frames), universe(md)).run().results.report
    assert report["inverted centres"].value == pytest.approx(0.25)
    assert report["inverted centres"].md == 0


def test_cis_peptide_bonds_are_counted(md):
    backmapper = InternalCoordinates().fit(Torsions([OMEGA]), universe(md))
    wanted = np.where(np.arange(40) < 10, 0.0, np.pi)[:, None]
    made = backmapper.backmap(wanted, rng=np.random.default_rng(0)).positions
    report = StructureValidity(universe(made), universe(md)).run().results.report
    assert report["cis peptide bonds"].value == pytest.approx(0.125)  # of two bonds, one in a quarter of the frames


def test_jumps_are_rmsd_of_neighbours_within_a_trajectory(md):
    trajectories = np.repeat([0, 1, 3], [50, 1, N_FRAMES - 51])
    results = StructureValidity(generated(md, FEATURES(md), trajectories)).run().results
    heavy = universe(md).select_atoms("not name H*").indices
    expected = [rmsd(md[frame - 1, heavy], md[frame, heavy], superposition=True) for frame in range(1, N_FRAMES)]
    assert np.flatnonzero(np.isnan(results.jumps)).tolist() == [0, 50, 51]
    inside = ~np.isnan(results.jumps[1:])
    np.testing.assert_allclose(results.jumps[1:][inside], np.array(expected)[inside], atol=1e-6)
    assert results.report["jump"].value == pytest.approx(np.mean(np.array(expected)[inside]), rel=1e-5)


def test_features_that_never_change_have_no_standard_deviation(md):
    """The length of a constrained bond, alone and beside another distance."""
    bond, both = Distances([[0, 1]]), Distances([[0, 1], [4, 18]])
    for features, expected in ((both, True), (bond, False)):
        values = features(md)
        source = GeneratedFrames(StoredFrames(md), values, np.zeros(len(md), int), features.schema.with_frame_interval(0.2))
        report = StructureValidity(MDAnalysis.Universe(TOPOLOGY, source), universe(md), featurizer=features).run().results.report
        figure = report["feature error"]
        assert (figure.value is not None) == expected
        assert not expected or figure.value < 1e-3
    assert figure.reason == "no generated features, no featurizer, no reference, or none that changes"


def test_jumps_over_gaps_are_not_measured(md):
    results = StructureValidity(universe(md)).run(frames=[0, 2, 4, 7, 9]).results
    assert np.isnan(results.jumps).tolist() == [True, False, False, True, False]
    every_second = StructureValidity(universe(md), universe(md)).run(frames=[0, 2, 4, 7, 9]).results.report
    assert every_second["jump"].reason == "frames come every 0.4 ps, those of MD every 0.2 ps"
    alike = StructureValidity(universe(md), universe(md), reference_frames=np.arange(0, 100, 2)).run(frames=[0, 2, 4, 7, 9])
    assert alike.results.report["jump"].ratio == pytest.approx(1, rel=0.3)


def assert_same(one, other):
    for mine, theirs in zip(one.report.figures, other.report.figures, strict=True):
        assert mine.reason == theirs.reason
        assert theirs.value == (None if mine.value is None else pytest.approx(mine.value, rel=1e-6)), mine.name
    for name in ("bad", "jumps", "feature_errors"):
        np.testing.assert_allclose(one[name], other[name], atol=1e-7)
    for name, row in one.report.features.items():
        assert other.report.features[name] == pytest.approx(row)


@pytest.mark.parametrize("frames", [{}, {"start": 3, "stop": 100, "step": 2}, {"frames": [4, 5, 9, 70, 71]}])
def test_processes_blocks_and_single_frames_give_the_same(md, noisy, frames):
    made = generated(noisy, FEATURES(noisy) + np.float32(0.01), np.repeat([0, 1], [70, 50]))
    single = generated(noisy, FEATURES(noisy) + np.float32(0.01), np.repeat([0, 1], [70, 50]))
    single.trajectory.add_transformations(translate([0, 0, 0]))  # such frames are read one by one
    expected = StructureValidity(made, universe(md), featurizer=FEATURES).run(**frames).results
    assert_same(expected, StructureValidity(single, universe(md), featurizer=FEATURES).run(**frames).results)
    several = StructureValidity(made, universe(md), featurizer=FEATURES).run(**frames, backend="multiprocessing", n_workers=3)
    assert_same(expected, several.results)


def test_features_are_compared_through_the_featurizer(md):
    own = FEATURES(md)
    results = StructureValidity(generated(md, own + np.float32(0.1)), universe(md), featurizer=FEATURES).run().results
    circular = np.sqrt(-2 * np.log(abs(np.exp(1j * own.astype(float)).mean(axis=0))))
    np.testing.assert_allclose(results.feature_errors, np.sqrt(np.mean((0.1 / circular) ** 2)), rtol=1e-4)
    assert results.report["feature error"].value == pytest.approx(results.feature_errors.mean(), rel=1e-5)
    for name in FEATURES.schema.names:
        assert results.report.features[name] == {
            "unit": "rad",
            "mean": pytest.approx(0.1, rel=1e-4),
            "largest": pytest.approx(0.1, rel=1e-4),
        }


def test_without_generated_features_there_is_no_error_of_features(md):
    report = StructureValidity(universe(md), universe(md), featurizer=FEATURES).run().results.report
    assert report["feature error"].value is None
    assert report["feature error"].reason == "no generated features, no featurizer, no reference, or none that changes"


def test_pairs_of_a_large_molecule_are_those_of_a_small_one(noisy, monkeypatch):
    crowded = 5 * noisy  # Å: half the size
    every = StructureGeometry(universe(noisy)).measure(crowded)
    monkeypatch.setattr(structure, "_MOST_PAIRS", 0)
    found = StructureGeometry(universe(noisy)).measure(crowded)
    assert every["overlaps"].sum() > every["clashes"].sum() > 0
    for name in structure.CLASHES:
        np.testing.assert_array_equal(found[name], every[name])


def test_alpha_carbons_of_a_large_chain_clash_without_radii(monkeypatch):
    """Beads of 0.3 nm that are no element with a radius."""
    chain = MDAnalysis.Universe.empty(9, n_residues=9, atom_resindex=np.arange(9), residue_segindex=[0] * 9, trajectory=True)
    chain.add_TopologyAttr("names", ["CA"] * 9)
    chain.add_TopologyAttr("elements", ["X"] * 9)
    positions = np.zeros((9, 3), dtype=np.float32)
    positions[:, 0] = 3.8 * np.arange(9)
    positions[8] = [0, 2.5, 0]
    monkeypatch.setattr(structure, "_MOST_PAIRS", 0)
    assert StructureGeometry(chain).measure(positions[None])["alpha_clashes"] == 1


def test_hydrogen_bonds_may_be_shorter():
    """An oxygen comes to 0.21 nm of a hydrogen on carbon or nitrogen; van der Waals radii are 0.152 and 0.11 nm."""
    for donor, overlaps in (("C", 1), ("N", 0)):
        chain = MDAnalysis.Universe.empty(7, trajectory=True)
        chain.add_TopologyAttr("elements", ["H", donor, "C", "C", "C", "C", "O"])
        chain.add_TopologyAttr("bonds", [(atom, atom + 1) for atom in range(6)])
        chain.atoms.positions = [[0, 0, 0], [0, -1, 0], [4.5, -1, 0], [4.5, 4.5, 0], [4.5, 9, 0], [0, 9, 0], [0, 2.1, 0]]
        assert StructureGeometry(chain).measure(chain.atoms.positions[None])["overlaps"][0] == overlaps


def test_rings_are_found_and_their_closure_measured():
    ring = MDAnalysis.Universe.empty(6, trajectory=True)
    ring.add_TopologyAttr("bonds", [(5, 4), (4, 0), (0, 1), (1, 2), (2, 3), (3, 0)])  # a square with a tail
    square = np.array([[0, 0, 0], [1.5, 0, 0], [1.5, 1.5, 0], [0, 1.5, 0], [-1.5, 0, 0], [-3, 0, 0]], dtype=np.float32)
    geometry = StructureGeometry(ring)
    assert sorted(map(sorted, geometry.bonds[geometry.ring_bonds].tolist())) == [[0, 1], [0, 3], [1, 2], [2, 3]]
    longer = square.copy()
    longer[4:, 0] -= 0.3  # the bond to the tail
    wider = square.copy()
    wider[1:3, 0] += 0.2  # two of four bonds
    md = ring.copy().load_new(np.stack([square, square]))
    for frames, expected in ((longer, 0), (wider, 0.02 / np.sqrt(2))):
        report = StructureValidity(ring.copy().load_new(frames[None]), md).run().results.report
        assert report["ring closure"].value == pytest.approx(expected, abs=1e-6)


def test_pass_rates_of_the_literature():
    straight = np.zeros((6, 3))
    straight[:, 0] = 0.38 * np.arange(6)
    gap, close, touching = straight.copy(), straight.copy(), straight.copy()
    gap[3:, 0] += 0.1  # 0.48 nm
    close[5] = close[1] + [0, 0, 0.25]  # two alpha carbons, but the last bond is long as well
    touching[4:] = straight[[0, 1]] + [0, 0.09, 0]
    md = alphas([straight, straight])
    report = StructureValidity(alphas([straight, gap, close, touching]), md).run().results.report
    assert report["BioEmu pass"].value == pytest.approx(0.25)
    assert report["Str2Str no clash"].value == pytest.approx(0.5)
    assert report["Str2Str bonds"].value == pytest.approx(0.25)
    assert report["bond deviation"].reason == "no bonds in the topology, and none could be guessed"


def test_energies_of_some_frames(md):
    def energy(positions):
        values = 1000.0 * positions[:, 0, 0]
        return np.where(positions[:, 0, 1] > 1e3, np.inf, values)

    blown_up = md.copy()
    blown_up[::7] = 1e4
    seen = []
    counted = StructureValidity(
        universe(blown_up),
        universe(md),
        energy=lambda positions: (seen.append(len(positions)), energy(positions))[1],
        n_energies=60,
    )
    report = counted.run().results.report
    chosen = np.linspace(0, N_FRAMES - 1, 60).round().astype(int)
    kept = chosen[chosen % 7 != 0]
    low, middle, high = np.percentile(energy(md[kept]), (25, 50, 75))
    assert report["energy"].value == pytest.approx(middle, rel=1e-5)
    assert report["energy spread"].value == pytest.approx(high - low, rel=1e-4)
    assert report["energy"].md == pytest.approx(np.median(energy(md[chosen])), rel=1e-5)


def test_jumps_over_other_times_are_not_compared(md):
    report = StructureValidity(universe(md, dt=0.4), universe(md)).run().results.report
    assert report["jump"].value == pytest.approx(StructureValidity(universe(md)).run().results.report["jump"].value)
    assert report["jump"].ratio is None
    assert report["jump"].reason == "frames come every 0.4 ps, those of MD every 0.2 ps"
    assert StructureValidity(universe(md, dt=0.1), universe(md)).run(step=2).results.report["jump"].ratio > 0


def test_report_is_json_and_one_line(md, noisy):
    made = generated(noisy, FEATURES(noisy))
    report = StructureValidity(made, universe(md), featurizer=FEATURES).run().results.report
    again = json.loads(json.dumps(report.as_dict(), allow_nan=False))
    assert again["figures"]["jump"]["ratio"] == report["jump"].ratio
    assert again["features"]["phi 2"]["unit"] == "rad"
    assert report.sentence.startswith(f"Validity: bond deviation {report['bond deviation'].ratio:.3g} × MD, angle deviation ")
    assert "\n" not in report.sentence


def test_what_cannot_be_measured_is_said(md):
    with pytest.raises(InputError, match="the reference has 22 atoms, the generated structures 12"):
        StructureValidity(universe(md).select_atoms("name H*"), universe(md))
    with pytest.raises(InputError, match="expected at least one frame to measure, found none"):
        StructureValidity(universe(md)).run(stop=0)
    broken = md.copy()
    broken[7, 3] = np.nan
    for molecule in (universe(broken), generated(broken, FEATURES(md))):
        with pytest.raises(InputError, match="frame 7: a position is not finite"):
            StructureValidity(molecule, universe(md)).run()
    boxed = universe(md[:1] + 1.0)
    boxed.dimensions = [20, 20, 20, 90, 90, 90]
    boxed.atoms.translate([10, 0, 0])
    boxed.atoms.wrap()
    with pytest.raises(InputError, match="frame 0: the periodic box cuts a bond"):
        StructureValidity(boxed).run()
