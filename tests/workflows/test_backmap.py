import json
from concurrent.futures import ThreadPoolExecutor

import MDAnalysis
import numpy as np
import pytest
from openmm import app

from openmm_trajgan.backmap import force_field_system
from openmm_trajgan.buffer import WindowBuffer
from openmm_trajgan.features import PCA, Concatenate, Distances
from openmm_trajgan.schema import FeatureTrajectories
from openmm_trajgan.systems import alanine_dipeptide, trp_cage
from openmm_trajgan.workflows.collect import collect_system

N_FRAMES = 60


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A PDB file, a window buffer with structures, the same structures as a trajectory, and generated features."""
    path = tmp_path_factory.mktemp("backmap")
    topology, positions = alanine_dipeptide.topology_and_positions()
    with (path / "ala2.pdb").open("w") as file:
        app.PDBFile.writeFile(topology, 10 * positions, file, keepIds=True)
    with ThreadPoolExecutor(1) as executor:
        collect_system("alanine_dipeptide", path / "md.windows", n_frames=N_FRAMES, n_replicas=1, seed=1, executor=executor)
    buffer = WindowBuffer(path / "md.windows")
    md = MDAnalysis.Universe(topology, (10 * buffer.structures()).astype(np.float32), dt=0.2)
    with MDAnalysis.Writer(str(path / "md.trr"), 22, dt=0.2) as writer:
        for _ in md.trajectory:
            writer.write(md)
    angles = np.random.default_rng(0).uniform(-np.pi, np.pi, (2, 40, 2))
    FeatureTrajectories(list(angles), buffer.schema, provenance={"seed": "5"}).save(path / "generated.npz")
    return path


def arguments(folder, out, *options):
    return ("backmap", folder / "generated.npz", "--topology", folder / "ala2.pdb", "--out", out, *options)


@pytest.mark.parametrize("reference", ["md.windows", "md.trr"])
def test_structures_features_provenance_and_validity(trajgan, folder, tmp_path, reference):
    status, out, err = trajgan(*arguments(folder, tmp_path / "made.xtc", "--reference", folder / reference, "--trajectory", 1))
    assert status == 0, err
    assert "40 frames of 22 atoms, one every 0.2 ps" in out
    assert "Method internal_coordinates: the features hold torsions of one molecule" in out
    assert "Validity: bond deviation" in out
    names = {"made.xtc", "made.pdb", "made.features.npz", "made.provenance.json", "made.validity.json", "made.xtc.config.yaml"}
    assert {path.name for path in tmp_path.glob("[!.]*")} == names
    features = FeatureTrajectories.load(tmp_path / "made.features.npz")
    generated = FeatureTrajectories.load(folder / "generated.npz")
    np.testing.assert_array_equal(features.values[0], generated.values[1])
    assert (features.schema, features.replicas) == (generated.schema, ("1",))
    provenance = json.loads((tmp_path / "made.provenance.json").read_text())
    assert (provenance["method"], provenance["seed"], provenance["generated"]) == ("internal_coordinates", 0, {"seed": "5"})
    assert provenance["reference"].startswith(f"{N_FRAMES} structures of 22 atoms from {reference}")
    report = json.loads((tmp_path / "made.validity.json").read_text())
    assert (report["n_frames"], report["n_md_frames"]) == (40, N_FRAMES)
    assert report["figures"]["feature error"]["value"] < 1e-3
    assert report["figures"]["jump"]["md"] > 0
    assert report["force field"] == ["amber14/protein.ff14SB.xml"]
    assert report["figures"]["energy"]["value"] > report["figures"]["energy"]["md"]  # of angles drawn at random


def test_which_of_several_trajectories_is_written_is_said(trajgan, folder, tmp_path):
    (tmp_path / "all.yaml").write_text("trajectory: null\n")
    for options, n_frames, words in (
        ((), 40, "trajectory 0 of 2 (--all-trajectories writes all)"),
        (("--all-trajectories",), 80, "all 2 trajectories one after the other"),
        (("--config", tmp_path / "all.yaml"), 80, "all 2 trajectories one after the other"),
        (("--config", tmp_path / "made.xtc.config.yaml"), 80, "all 2 trajectories one after the other"),
    ):
        status, out, err = trajgan(*arguments(folder, tmp_path / "made.xtc", "--force", *options))
        assert status == 0, err
        assert out.splitlines()[0].endswith(f": {n_frames} frames of 22 atoms, one every 0.2 ps, {words}")
    assert MDAnalysis.Universe(tmp_path / "made.pdb", tmp_path / "made.xtc").trajectory.n_frames == 80


def test_frames_of_md_and_one_file(trajgan, folder, tmp_path):
    options = ("--reference", folder / "md.windows", "--method", "nearest_frames")
    status, out, err = trajgan(*arguments(folder, tmp_path / "made.trajgan", *options))
    assert status == 0, err
    assert "Method nearest_frames: asked for." in out
    universe = MDAnalysis.Universe(tmp_path / "made.pdb", tmp_path / "made.trajgan")
    structures = WindowBuffer(folder / "md.windows").structures()
    assert len(universe.trajectory) == 40
    for ts in universe.trajectory[::13]:
        np.testing.assert_allclose(ts.positions, 10 * structures[ts.data["reference_frame"]], atol=1e-4)
        assert ts.data["library_distance"] >= 0
    frames, told = ([ts.data[name] for ts in universe.trajectory] for name in ("reference_frame", "library_distance"))
    share, mean = len(set(frames)) / 40, np.mean(told)
    retrieved = universe.trajectory.provenance["retrieved"]
    assert retrieved["share of different frames"] == pytest.approx(share)
    assert retrieved["distance to the nearest frame, SD, mean"] == pytest.approx(mean)
    assert f"{share:.0%} of the frames are different frames of MD, whose nearest features are {mean:.2g} SD from" in out
    assert not (tmp_path / "made.features.npz").exists()


def test_without_md_there_is_no_report(trajgan, folder, tmp_path):
    status, out, err = trajgan(*arguments(folder, tmp_path / "made.xtc"))
    assert status == 0, err
    assert "Validity" not in out
    assert not (tmp_path / "made.validity.json").exists()


def test_relax_repairs_what_clashes_and_says_so(trajgan, folder, tmp_path):
    reports = {}
    for name, options in (("plain", ()), ("relaxed", ("--relax",))):
        status, out, err = trajgan(*arguments(folder, tmp_path / f"{name}.xtc", "--reference", folder / "md.windows", *options))
        assert status == 0, err
        reports[name] = json.loads((tmp_path / f"{name}.validity.json").read_text())
    told = json.loads((tmp_path / "relaxed.provenance.json").read_text())["relaxed"]
    assert reports["relaxed"]["relaxed"] == told
    assert 0 < told["repaired"] < 40
    assert f"Repaired {told['repaired']} of 40 frames, 0 still clash, atoms moved by" in out
    assert "relaxed" not in reports["plain"]
    assert reports["relaxed"]["n_frames"] == reports["plain"]["n_frames"] == 40
    for figure in ("clashes", "bad frames"):
        assert reports["relaxed"]["figures"][figure]["value"] < reports["plain"]["figures"][figure]["value"]


def test_features_that_a_system_defines(trajgan, tmp_path):
    """Native contacts, RMSD and radius of gyration of Trp-cage; atoms do not tell how they are computed."""
    topology, native = trp_cage.topology_and_positions()
    steps = np.random.default_rng(0).normal(0, 0.02, (200, *native.shape))
    frames = (native + np.cumsum(steps, axis=0)).astype(np.float32)
    md = MDAnalysis.Universe(topology, 10 * frames, dt=6.0)
    with MDAnalysis.Writer(str(tmp_path / "md.trr"), len(native), dt=6.0) as writer:
        for _ in md.trajectory:
            writer.write(md)
    featurizer = trp_cage.SYSTEM.features()
    schema = featurizer.schema.with_frame_interval(6.0)
    FeatureTrajectories([featurizer(frames)[60:100]], schema).save(tmp_path / "generated.npz")
    command = ("backmap", tmp_path / "generated.npz", "--out", tmp_path / "made.xtc")
    status, out, err = trajgan(*command, "--system", "trp_cage", "--reference", tmp_path / "md.trr")
    assert status == 0, err
    assert "Method nearest_frames" in out
    report = json.loads((tmp_path / "made.validity.json").read_text())
    assert set(report["features"]) == set(featurizer.schema.names)
    assert report["figures"]["feature error"]["value"] < 0.1
    assert "energy" in report["figures"]
    assert "force field" not in report
    np.testing.assert_allclose(
        featurizer(MDAnalysis.Universe(tmp_path / "made.pdb", tmp_path / "made.xtc").trajectory.timeseries(order="fac") / 10),
        featurizer(frames)[60:100],
        atol=0.02,
    )
    status, _, err = trajgan(*command, "--system", "alanine_dipeptide", "--force")
    assert status == 2
    assert "the featurizer has other features than the generated data" in err
    for options in ((), ("--system", "trp_cage", "--topology", "x.pdb"), ("--topology", "x.pdb", "--structure", "2CPP")):
        status, _, err = trajgan(*command, *options)
        assert status == 2
        assert ("give either --topology" in err) or ("--structure belongs to --system" in err)


def test_features_that_a_latent_made(trajgan, folder, tmp_path):
    buffer = WindowBuffer(folder / "md.windows")
    latent = PCA.fit(alanine_dipeptide.features(), buffer.trajectories(), 4)
    latent.save(tmp_path / "latent.npz")
    latent.transform_trajectories(buffer.trajectories()).save(tmp_path / "generated.npz")
    options = ("--reference", folder / "md.windows", "--out", tmp_path / "made.xtc", "--force")
    command = ("backmap", tmp_path / "generated.npz", "--latent", tmp_path / "latent.npz", *options)
    for molecule in (("--system", "alanine_dipeptide"), ("--topology", folder / "ala2.pdb")):
        for method, told in (((), "nearest_frames"), (("--method", "internal_coordinates"), "internal_coordinates: asked for")):
            status, out, err = trajgan(*command, *molecule, *method)
            assert status == 0, err
            assert f"Method {told}" in out
            report = json.loads((tmp_path / "made.validity.json").read_text())
            assert set(report["features"]) == set(latent.schema.names)
            assert report["figures"]["feature error"]["value"] < 0.01
        status, _, err = trajgan("backmap", tmp_path / "generated.npz", *options, *molecule)
        assert status == 2
        assert "generated.npz: holds values of a fitted projection; give its file with --latent" in err


@pytest.mark.filterwarnings("ignore:not set, since they follow")
def test_what_was_not_set_is_said_with_its_error(trajgan, folder, tmp_path):
    featurizer = Concatenate([alanine_dipeptide.features(), Distances([[1, 18]], ["gap"])])
    features = featurizer(WindowBuffer(folder / "md.windows").structures())
    features[:, 2] += 0.1
    FeatureTrajectories([features], featurizer.schema.with_frame_interval(0.2)).save(tmp_path / "generated.npz")
    status, out, err = trajgan(
        "backmap", tmp_path / "generated.npz", *arguments(folder, tmp_path / "made.xtc", "--reference", folder / "md.windows")[2:]
    )
    assert status == 0, err
    report = json.loads((tmp_path / "made.validity.json").read_text())
    assert report["not set"] == {"gap": "a distance"}
    assert report["features"]["gap"]["mean"] == pytest.approx(0.1, abs=0.03)
    assert (
        f"Not set, since they follow from the others: gap (a distance; off by {report['features']['gap']['mean']:.2g} nm)." in out
    )


def test_without_a_force_field_that_knows_the_molecule_there_are_no_energies(trajgan, folder, tmp_path, monkeypatch):
    monkeypatch.setattr("openmm_trajgan.workflows.backmap.force_field_system", lambda *_: force_field_system("none", ["tip3p.xml"]))
    status, _, err = trajgan(*arguments(folder, tmp_path / "made.xtc", "--reference", folder / "md.windows"))
    assert status == 0, err
    report = json.loads((tmp_path / "made.validity.json").read_text())
    assert report["figures"]["energy"]["reason"].startswith("no energy function")
    assert "force field" not in report


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--reference", "md.npy"), "md.npy: no such file or window buffer"),
        (("--reference", "ala2.txt"), "ala2.txt: not a window buffer, and no trajectory that fits"),
        (("--latent", "ala2.txt"), "ala2.txt: not a complete file of a fitted projection"),
        (("--method", "identity"), "expected the coordinates x, y, z of one particle"),
        (("--force-field", "tip3p.xml"), "force field tip3p.xml: No template found for residue 0 (ACE)"),
        (("--relax", "--method", "nearest_frames"), "found method nearest_frames"),
        (("--trajectory", "1", "--all-trajectories"), "give either --trajectory or --all-trajectories"),
        (("--trajectory", "2"), "expected a trajectory between 0 and 1, found 2"),
    ],
)
def test_what_is_wrong_is_one_line(trajgan, folder, tmp_path, options, message, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ala2.txt").write_text("nothing")
    status, out, err = trajgan(*arguments(folder, tmp_path / "made.xtc", *options))
    assert (status, out) == (2, "")
    (line,) = [line for line in err.splitlines() if line.startswith("trajgan:")]
    assert message in line
    assert not list(tmp_path.glob("made*"))


def test_files_that_are_there_stay(trajgan, folder, tmp_path):
    (tmp_path / "made.validity.json").write_text("mine")
    status, _, err = trajgan(*arguments(folder, tmp_path / "made.xtc"))
    assert status == 2
    assert "made.validity.json: exists already" in err
    assert [path.name for path in tmp_path.iterdir()] == ["made.validity.json"]
