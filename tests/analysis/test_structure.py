import io

import MDAnalysis
import numpy as np
import pytest
from matplotlib.collections import EllipseCollection
from MDAnalysis.analysis.rms import rmsd
from openmm import unit
from scipy.spatial.distance import jensenshannon

from openmm_trajgan.analysis.structure import StructureGeometry
from openmm_trajgan.analysis.structure_comparison import compare_structures
from openmm_trajgan.analysis.structure_sketch import sketch
from openmm_trajgan.analysis.validity import StructureValidity
from openmm_trajgan.backmap import InternalCoordinates
from openmm_trajgan.errors import InputError
from openmm_trajgan.systems import alanine_dipeptide

TOPOLOGY, START = alanine_dipeptide.topology_and_positions()
N, CA, CB, C = 6, 8, 10, 14
N_MD, N_USED = 400, 200
HARD = ("bond lengths", "bond length spread", "angles", "angle spread", "clashing frames", "inverted centres")


def universe(frames):
    """Frames of alanine dipeptide, nm, as a Universe with bonds."""
    return MDAnalysis.Universe(TOPOLOGY, np.asarray(frames, dtype=np.float32) * 10)


def observed(molecule, frames=slice(None)):
    """What is measured in frames of a Universe or an AtomGroup."""
    every = np.arange(len(molecule.universe.trajectory))
    return StructureValidity(molecule, keep_observables=True).run(frames=every[frames]).results.observables


def without_bonds(frames):
    stripped = universe(frames)
    stripped.del_TopologyAttr("bonds")
    return stripped


def mirrored(frames):
    return frames * np.array([-1, 1, 1])


def chain(positions, elements="CCCCCC"):
    """Atoms bonded in a row, one frame, positions in nm."""
    molecule = MDAnalysis.Universe.empty(len(elements), trajectory=True)
    molecule.add_TopologyAttr("elements", list(elements))
    molecule.add_TopologyAttr("bonds", [(atom, atom + 1) for atom in range(len(elements) - 1)])
    molecule.atoms.positions = np.array(positions) * 10
    return molecule


def as_used(values):
    """The blocks of the reference that generated frames are compared with."""
    return values.reshape(40, -1, *values.shape[1:])[::2].reshape(-1, *values.shape[1:])


@pytest.fixture(scope="module")
def md():
    """Frames of molecular dynamics every 0.2 ps, the first 400 the reference, the others held out, (600, 22, 3), nm."""
    simulation = alanine_dipeptide.build(seed=11)
    frames = np.empty((N_MD + N_USED, 22, 3))
    for frame in frames:
        simulation.step(50)
        frame[:] = simulation.context.getState(positions=True).getPositions(asNumpy=True).value_in_unit(unit.nanometer)
    return frames


@pytest.fixture(scope="module")
def reference(md):
    return universe(md[:N_MD])


@pytest.fixture(scope="module")
def held_out(md):
    return md[N_MD:]


def test_observables_are_what_they_say(md):
    trajectory = universe(md[:50])
    results = observed(trajectory)
    pairs = trajectory.bonds.indices
    np.testing.assert_allclose(
        results["bond_lengths"], np.linalg.norm(md[:50, pairs[:, 0]] - md[:50, pairs[:, 1]], axis=2), atol=1e-6
    )
    assert results["angles"].shape == (50, 36)  # six at each of four tetrahedral atoms, three at each of four planar ones
    np.testing.assert_allclose(results["phi_psi"][:, 0], alanine_dipeptide.features()(md[:50]), atol=1e-4)
    np.testing.assert_allclose(
        results["radius_of_gyration"], [trajectory.atoms.radius_of_gyration() / 10 for _ in trajectory.trajectory], atol=1e-6
    )
    assert (results["handedness"] == 1).all()
    assert StructureGeometry(trajectory).reasons == {"alpha_distances": "no adjacent alpha carbons"}
    assert not results["clashing"].any()


def test_angles_of_water():
    half = np.radians(104.5) / 2
    water = MDAnalysis.Universe.empty(3, trajectory=True)
    water.add_TopologyAttr("bonds", [(0, 1), (2, 1)])
    water.atoms.positions = [[np.sin(half), np.cos(half), 0], [0, 0, 0], [-np.sin(half), np.cos(half), 0]]
    assert observed(water)["angles"] == pytest.approx(np.radians(104.5), abs=1e-5)


def test_chosen_frames_and_groups_count_their_own_atoms(md):
    trajectory = universe(md[:20])
    heavy = trajectory.select_atoms("not name H*")
    some = observed(heavy, slice(2, 12, 3))
    assert some["bond_lengths"].shape == (4, 9)
    assert StructureGeometry(heavy).bonds.max() == 9
    whole = observed(trajectory)
    np.testing.assert_allclose(some["phi_psi"], whole["phi_psi"][2:12:3], atol=1e-6)


def test_bonds_that_the_topology_lacks_are_guessed(md):
    trajectory = universe(md[:1])
    expected = np.sort(trajectory.bonds.indices, axis=1).tolist()
    partly = universe(md[:1])
    partly.delete_bonds([bond for bond in partly.bonds if 8 in bond.indices or 10 in bond.indices])
    for found in (partly, without_bonds(md[:1])):
        assert sorted(np.sort(StructureGeometry(found).bonds, axis=1).tolist()) == sorted(expected)


@pytest.mark.parametrize(("last", "clashes"), [(3, (0, 0)), (4, (1, 0))])
def test_clashes_are_more_than_three_bonds_apart(last, clashes):
    """A chain of atoms 0.3 nm apart whose atom `last` comes back to 0.15 nm from the first."""
    positions = np.array([[0.3 * index, 0, 0] for index in range(6)])
    positions[last] = [0, 0.15, 0]
    results = observed(chain(positions))
    assert (results["heavy_clashes"][0], results["clashes"][0]) == clashes


@pytest.mark.parametrize(
    ("distance", "elements", "clashes"),
    [
        (0.19, "CCCCCC", (1, 0)),
        (0.21, "CCCCCC", (0, 0)),
        (0.19, "CCCCHC", (0, 0)),
        (0.11, "CCCCHC", (0, 1)),
        (0.11, "CCCCCC", (1, 1)),
    ],
)
def test_hydrogen_may_come_closer(distance, elements, clashes):
    positions = np.array([[0.3 * index, 0, 0] for index in range(6)])
    positions[4] = [0, distance, 0]
    results = observed(chain(positions, elements))
    assert (results["heavy_clashes"][0], results["clashes"][0]) == clashes
    assert results["clashing"][0] == any(clashes)


def test_backmapped_structures_have_the_hard_coordinates_of_md(md, reference, held_out):
    features = alanine_dipeptide.features()
    backmapper = InternalCoordinates().fit(features, universe(md[:N_MD]))
    built = universe(backmapper.backmap(features(held_out), rng=np.random.default_rng(1)).positions)
    comparison = compare_structures(reference, built)
    assert comparison.n_frames == N_USED
    assert not set(HARD) & set(comparison.unlike_md)
    assert comparison["Ramachandran JSD"].generated == pytest.approx(
        compare_structures(reference, universe(held_out))["Ramachandran JSD"].generated, abs=5e-3
    )


def test_one_set_of_bonds_for_all_frames_is_noticed(md, reference, held_out):
    features = alanine_dipeptide.features()
    rigid = InternalCoordinates().fit(features, universe(md[:1])).backmap(features(held_out), rng=np.random.default_rng(1))
    assert {"bond length spread", "angle spread"} <= set(compare_structures(reference, universe(rigid.positions)).unlike_md)


def test_noise_is_noticed(reference, held_out):
    """0.02 nm on each coordinate give a bond a standard deviation of √2 · 0.02 nm along it."""
    noisy = held_out + np.random.default_rng(2).normal(0, 0.02, held_out.shape)
    comparison = compare_structures(reference, universe(noisy))
    assert {"bond lengths", "bond length spread", "angles", "angle spread"} <= set(comparison.unlike_md)
    assert comparison["bond length spread"].generated == pytest.approx(np.sqrt(2) * 0.02, rel=0.1)


def test_a_mirror_image_differs_in_handedness_and_backbone_only(reference, held_out):
    image, same = (compare_structures(reference, universe(frames)) for frames in (mirrored(held_out), held_out))
    assert image["inverted centres"].estimate == (1, 1, 1)
    assert image["inverted centres"].verdict == "unlike MD"
    assert image["Ramachandran JSD"].generated == pytest.approx(np.log(2))
    for name in ("bond lengths", "angles", "radius of gyration JSD"):
        assert image[name].generated == pytest.approx(same[name].generated, rel=1e-3)


@pytest.mark.parametrize(("n_mirrored", "verdict"), [(1, "like MD"), (2, "unlike MD")])
def test_one_frame_is_the_resolution_of_a_share(reference, held_out, n_mirrored, verdict):
    frames = held_out.copy()
    frames[:n_mirrored] = mirrored(frames[:n_mirrored])
    figure = compare_structures(reference, universe(frames))["inverted centres"]
    assert (figure.generated, figure.md, figure.verdict) == (pytest.approx(n_mirrored / N_USED), 0, verdict)


def test_what_is_wrong_with_md_as_well_is_not_judged(md, held_out):
    mixed = md[:N_MD].copy()
    mixed[250:] = mirrored(mixed[250:])  # the second half of the reference is three quarters mirrored
    figure = compare_structures(universe(mixed), universe(held_out))["inverted centres"]
    assert (figure.generated, figure.md, figure.verdict) == (0, pytest.approx(0.75), "not judged")
    assert "the two halves of MD differ so much" in figure.reason


def test_divergences_are_those_of_scipy(md, reference, held_out):
    shifted = held_out.copy()
    shifted[::3] *= 1.02
    comparison = compare_structures(reference, universe(shifted))
    ours = observed(universe(shifted))
    theirs = observed(reference)
    sizes = [as_used(theirs["radius_of_gyration"]), ours["radius_of_gyration"]]
    edges = np.histogram_bin_edges(np.concatenate([theirs["radius_of_gyration"], sizes[1]]).astype(float), 100)
    expected = jensenshannon(*(np.histogram(values, edges)[0] for values in sizes)) ** 2
    assert comparison["radius of gyration JSD"].generated == pytest.approx(expected, rel=1e-6)

    def density(phi_psi):
        return np.histogram2d(*phi_psi[:, 0].T.astype(float), bins=50, range=[(-np.pi, np.pi)] * 2)[0].ravel()

    expected = jensenshannon(density(as_used(theirs["phi_psi"])), density(ours["phi_psi"])) ** 2
    assert comparison["Ramachandran JSD"].generated == pytest.approx(expected, rel=1e-3)
    expected = jensenshannon(density(theirs["phi_psi"][:N_USED]), density(theirs["phi_psi"][N_USED:])) ** 2
    assert comparison["Ramachandran JSD"].md == pytest.approx(expected, rel=1e-3)


def test_means_and_spreads_are_compared_bond_by_bond(reference, held_out):
    comparison = compare_structures(reference, universe(held_out))
    ours = observed(universe(held_out))["bond_lengths"].astype(float)
    theirs = as_used(observed(reference)["bond_lengths"].astype(float))
    for name, moment in (("bond lengths", np.mean), ("bond length spread", np.std)):
        expected = np.sqrt(np.mean((moment(ours, axis=0) - moment(theirs, axis=0)) ** 2))
        assert comparison[name].generated == pytest.approx(expected, rel=1e-3)


@pytest.mark.statistical
def test_interval_of_a_share_is_that_of_independent_frames(reference, held_out):
    """Law: standard error √(p (1 - p)/n), n = 200, p = 0.3. From 20 blocks it is known to 16 %, its s.e.; four of these allowed."""
    frames = held_out.copy()
    chosen = np.random.default_rng(4).random(N_USED) < 0.3
    frames[chosen] = mirrored(frames[chosen])
    value, low, high = compare_structures(reference, universe(frames))["inverted centres"].estimate
    assert value == pytest.approx(chosen.mean())
    assert (high - low) / 2 / 1.96 == pytest.approx(np.sqrt(0.3 * 0.7 / N_USED), rel=4 * 0.16)


def test_bonds_are_those_of_the_reference_however_broken_the_generated_structures(md, held_out):
    noisy = held_out + np.random.default_rng(2).normal(0, 0.05, held_out.shape)
    expected = compare_structures(universe(md[:N_MD]), universe(noisy))["bond lengths"].generated
    for reference, generated in (
        (without_bonds(md[:N_MD]), without_bonds(noisy)),
        (without_bonds(md[:N_MD]), universe(noisy)),
        (universe(md[:N_MD]), without_bonds(noisy)),
    ):
        assert compare_structures(reference, generated)["bond lengths"].generated == pytest.approx(expected, rel=1e-3)


def test_a_seed_repeats_and_universes_are_left_at_their_first_frame(reference, held_out):
    generated = universe(held_out)
    one, other = (compare_structures(reference, generated, n_frames=110, seed=3) for _ in range(2))
    assert one == other
    assert one.n_frames == 100
    assert (reference.trajectory.frame, generated.trajectory.frame) == (0, 0)


def test_energies_are_compared_and_those_that_are_not_finite_counted(reference, held_out):
    """The squared distance of atoms 0 and 21, nm², stands for an energy; blown-up frames have none."""

    def energy(positions):
        energies = ((positions[:, 0] - positions[:, 21]) ** 2).sum(axis=1).astype(float)
        return np.where(energies < 10, energies, np.where(energies < 1e4, np.inf, np.nan))

    blown_up = held_out.copy()
    blown_up[:5] *= 100
    blown_up[5:20] *= 10_000
    comparison = compare_structures(reference, universe(blown_up), energy=energy)
    expected = np.percentile(energy(held_out[20:]), (25, 50, 75))
    assert comparison.energies.generated == pytest.approx(tuple(expected), rel=1e-4)
    assert (comparison.energies.generated_not_finite, comparison.energies.md_not_finite) == (20, 0)
    figure, sound = comparison.figures[-1], compare_structures(reference, universe(held_out), energy=energy).figures[-1]
    assert figure.name == sound.name == "potential energy JSD"
    lost = 0.1 / 2 * np.log(2)  # of a tenth of the frames in a bin of their own; what remains is slightly diluted
    assert figure.generated - sound.generated == pytest.approx(lost, rel=0.4)
    assert compare_structures(reference, universe(held_out), energy=lambda x: energy(x) + 1e6 * (len(x) == 10)).figures[
        -1
    ].estimate == (pytest.approx((np.log(2),) * 3))


def test_energies_must_be_one_per_frame_and_finite_in_md(reference, held_out):
    with pytest.raises(InputError, match=r"energy: expected one number for each of 20 frames, found shape \(\)"):
        compare_structures(reference, universe(held_out), energy=lambda positions: 1.0)
    with pytest.raises(InputError, match=r"energy: not finite in any frame of the reference"):
        compare_structures(reference, universe(held_out), energy=lambda positions: np.full(len(positions), np.nan))


def test_validity_comes_from_the_same_frames(reference, held_out):
    """Of 400 frames of MD two halves of 200, of 200 generated ones all: every frame, and so what is measured of every frame."""
    made = universe(held_out[:200])
    report = compare_structures(reference, made).validity
    expected = StructureValidity(made, reference).run().results.report
    assert (report.n_frames, report.n_md_frames) == (200, 400)
    assert report == expected


def test_jumps_are_those_to_the_next_frame_though_every_tenth_is_compared(reference, held_out):
    made = universe(held_out[:200])
    report = compare_structures(reference, made, n_frames=20).validity
    assert report.n_frames == 39  # the last has no next
    expected = StructureValidity(made).run().results.jumps[1:]
    assert report["jump"].value == pytest.approx(expected.mean(), abs=5 * expected.std() / np.sqrt(19))
    assert report["jump"].md is not None


def test_a_single_particle_has_no_bonds_and_says_so():
    particles = [MDAnalysis.Universe.empty(1, trajectory=True) for _ in range(2)]
    for particle in particles:
        particle.load_new(np.random.default_rng(1).normal(size=(60, 1, 3)).astype(np.float32))
    comparison = compare_structures(*particles)
    figures = {figure.name: figure for figure in comparison.figures}
    for name in HARD[:5]:
        assert (figures[name].estimate, figures[name].md, figures[name].verdict) == (None, None, "not judged")
        assert figures[name].reason == "no bonds in the topology, and none could be guessed"
    assert figures["inverted centres"].reason == "no alpha carbon with N, C and CB"
    assert figures["radius of gyration JSD"].verdict == "like MD"
    assert comparison.unlike_md == ()


def test_atoms_on_top_of_each_other_are_unlike_md(reference, held_out):
    comparison = compare_structures(reference, universe(0 * held_out))
    figure = comparison["Ramachandran JSD"]
    assert (figure.estimate, figure.verdict) == (None, "unlike MD")
    assert "atoms lie on top of each other" in figure.reason
    assert comparison["clashing frames"].generated == 1


def test_what_is_wrong_is_said(md, reference, held_out):
    generated = universe(held_out)
    with pytest.raises(InputError, match=r"the reference has 22 atoms, the generated structures 12; give the same atoms"):
        compare_structures(reference, generated.select_atoms("name H*"))
    with pytest.raises(InputError, match=r"atom 0 is 'H1' in the reference and 'H3' in the generated structures"):
        compare_structures(reference, generated.atoms[::-1])
    renamed = universe(held_out)
    renamed.atoms[6:].residues[0].atoms[-1].residue = renamed.residues[2]
    with pytest.raises(InputError, match=r"residues .* do not hold the same atoms"):
        compare_structures(reference, renamed)
    with pytest.raises(InputError, match=r"at least 20 generated and 40 reference frames .* found 200, 30 and n_frames=2000"):
        compare_structures(universe(md[:30]), generated)
    with pytest.raises(InputError, match=r"expected at least one atom, found none"):
        compare_structures(reference.atoms[:0], generated.atoms[:0])
    broken = held_out.copy()
    broken[7, 3, 1] = np.nan
    with pytest.raises(InputError, match=r"frame 7: a position is not finite"):
        compare_structures(reference, universe(broken))


def test_a_molecule_cut_by_the_box_is_refused_and_a_whole_one_measured(md):
    boxed = universe(md[:1] + 1.0)
    boxed.dimensions = [20, 20, 20, 90, 90, 90]
    expected = observed(boxed)["bond_lengths"]
    np.testing.assert_allclose(expected, observed(universe(md[:1]))["bond_lengths"], atol=1e-5)
    boxed.atoms.translate([10, 0, 0])
    boxed.atoms.wrap()
    with pytest.raises(InputError, match=r"frame 0: the periodic box cuts a bond; make the molecule whole"):
        observed(boxed)


def test_frames_that_are_not_there_are_refused(md):
    with pytest.raises(InputError, match=r"expected a frame between 0 and 4, found -1; there is no other"):
        sketch(universe(md[:5]), -1)


def balls(axes):
    drawn = [collection.get_offsets() for collection in axes.collections if isinstance(collection, EllipseCollection)]
    return np.concatenate([offsets for offsets in drawn if len(offsets)])


@pytest.mark.parametrize("structure", [START, mirrored(START), -START, START[:, [1, 0, 2]]])
def test_a_sketch_shows_the_molecule_and_not_its_mirror_image(structure):
    """From right and up in the front view, and the depth that the view from above shows, the structure is got back."""
    front, above = (points[np.argsort(points[:, 0])] for points in map(balls, sketch(universe(structure[None]), 0).axes))
    np.testing.assert_allclose(front[:, 0], above[:, 0], atol=1e-6)
    drawn = np.column_stack([front, -above[:, 1]])
    order = [np.argsort(np.linalg.norm(points - points.mean(axis=0), axis=1)) for points in (drawn, structure)]
    assert rmsd(drawn[order[0]], structure[order[1]], superposition=True) < 1e-3
    assert rmsd(drawn[order[0]], mirrored(structure)[order[1]], superposition=True) > 0.01


def test_a_sketch_of_many_atoms_leaves_hydrogen_out(md):
    many = MDAnalysis.Merge(*[universe(md[:1]).atoms] * 7)
    figure = sketch(many, 0)
    figure.savefig(io.BytesIO(), format="svg")
    assert [len(balls(axes)) for axes in figure.axes] == [70, 70]


def test_a_sketch_of_one_particle_is_a_picture():
    figure = sketch(MDAnalysis.Universe.empty(1, trajectory=True), 0)
    figure.savefig(io.BytesIO(), format="png")
    assert [len(balls(axes)) for axes in figure.axes] == [1, 1]
