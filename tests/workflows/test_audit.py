"""The report from the command line: threshold and structures."""

import json

import MDAnalysis
import numpy as np
from openmm import app

from openmm_trajgan.backmap import to_universe, write_universe
from openmm_trajgan.buffer import WindowBuffer
from openmm_trajgan.schema import FeatureTrajectories
from openmm_trajgan.systems import alanine_dipeptide
from openmm_trajgan.windows.from_universe import from_universe


def test_an_audit_that_falls_below_the_threshold_ends_with_status_3_after_the_report(trajgan, tmp_path, coarse):
    rng = np.random.default_rng(1)
    flips = (rng.random((2, 6000)) < 0.05).cumsum(axis=1) % 2
    runs = (flips + rng.normal(0, 0.1, flips.shape)).astype(np.float32)
    for name, run in {"held_out": runs[0], "other": runs[1], "shuffled": rng.permutation(runs[1])}.items():
        np.save(tmp_path / f"{name}.npy", run[:, None])
    options = ("--frame-interval", 1.0, "--fail-below", 0.02)
    held_out, report = tmp_path / "held_out.npy", tmp_path / "report"
    assert trajgan("audit", held_out, tmp_path / "other.npy", *options, "--out", tmp_path / "good")[0] == 0
    status, out, err = trajgan("audit", held_out, tmp_path / "shuffled.npy", *options, "--out", report)
    assert (status, out) == (3, "")
    assert "worth of at least 0.02 of the generated length expected, found" in err
    assert (report / "audit.html").exists()


def test_an_audit_compares_structures_given_a_topology(trajgan, tmp_path):
    topology, positions = alanine_dipeptide.topology_and_positions()
    rng = np.random.default_rng(1)
    with (tmp_path / "top.pdb").open("w") as file:
        app.PDBFile.writeFile(topology, positions * 10, file)
    features = alanine_dipeptide.features()
    for name in ("md", "generated"):
        frames = (positions + rng.normal(0, 0.005, (200, *positions.shape))).astype(np.float32)
        np.save(tmp_path / f"{name}.npy", np.stack([features(frame) for frame in frames]))
        with MDAnalysis.Writer(str(tmp_path / f"{name}.xtc"), n_atoms=len(positions)) as writer:
            universe = MDAnalysis.Universe(str(tmp_path / "top.pdb"), dt=1.0)
            for frame in frames:
                universe.atoms.positions = 10 * frame
                writer.write(universe.atoms)
    files = [tmp_path / name for name in ("md.npy", "generated.npy")]
    options = ("--frame-interval", 1.0, "--out", tmp_path / "report", "--topology", tmp_path / "top.pdb")
    status, _, err = trajgan("audit", *files, *options)
    assert status == 2
    assert "give all three or none" in err
    options += ("--reference-structures", tmp_path / "md.xtc", "--generated-structures", tmp_path / "generated.xtc")
    status, out, err = trajgan("audit", *files, *options)
    assert status == 0, err
    assert "Structure: like MD" in out
    assert (tmp_path / "report" / "figures" / "structure_1.png").exists()


def test_structures_that_a_buffer_keeps_are_compared(trajgan, tmp_path):
    topology, positions = alanine_dipeptide.topology_and_positions()
    with (tmp_path / "top.pdb").open("w") as file:
        app.PDBFile.writeFile(topology, positions * 10, file)
    features = alanine_dipeptide.features()
    rng = np.random.default_rng(1)
    paths = {}
    for name, n_structures in (("md", 200), ("bare", 0)):
        frames = positions + rng.normal(0, 0.005, (200, *positions.shape))
        paths[name] = tmp_path / f"{name}.windows"
        universe = MDAnalysis.Universe(topology, (10 * frames).astype(np.float32), dt=1.0)
        with WindowBuffer(paths[name], schema=features.schema) as buffer:
            from_universe(universe, features, buffer, n_structures=n_structures)
    made = (positions + rng.normal(0, 0.005, (200, *positions.shape))).astype(np.float32)
    np.save(tmp_path / "made.npy", np.stack([features(frame) for frame in made]))
    write_universe(MDAnalysis.Universe(topology, 10 * made, dt=1.0), tmp_path / "made.xtc")
    options = ("--topology", tmp_path / "top.pdb", "--generated-structures", tmp_path / "made.xtc", "--out", tmp_path / "report")
    status, _, err = trajgan("audit", paths["bare"], tmp_path / "made.npy", *options)
    assert status == 2
    assert "unless the reference is a buffer that keeps structures" in err
    status, out, err = trajgan("audit", paths["md"], tmp_path / "made.npy", *options)
    assert status == 0, err
    assert "Structure: like MD" in out
    page = (tmp_path / "report" / "audit.html").read_text()
    assert "100 generated frames against as many of held-out MD" in page


def test_structures_with_features_and_a_force_field_have_all_figures_of_their_validity(trajgan, tmp_path):
    topology, positions = alanine_dipeptide.topology_and_positions()
    with (tmp_path / "top.pdb").open("w") as file:
        app.PDBFile.writeFile(topology, positions * 10, file)
    features = alanine_dipeptide.features()
    frames = positions + np.random.default_rng(1).normal(0, 0.003, (160, *positions.shape))
    schema = features.schema.with_frame_interval(0.2)
    generated = FeatureTrajectories([features(frames[:40])], schema)
    generated.save(tmp_path / "generated.npz")
    with WindowBuffer(tmp_path / "md.windows", schema=schema) as buffer:
        from_universe(MDAnalysis.Universe(topology, (10 * frames).astype(np.float32), dt=0.2), features, buffer, n_structures=160)
    write_universe(to_universe(generated, topology, frames), tmp_path / "made.trajgan")
    options = (
        "--topology",
        tmp_path / "top.pdb",
        "--generated-structures",
        tmp_path / "made.trajgan",
        "--out",
        tmp_path / "report",
    )
    arguments = ("audit", tmp_path / "md.windows", tmp_path / "generated.npz", "--force-field", "amber14/protein.ff14SB.xml")
    status, _, err = trajgan(*arguments, "--out", tmp_path / "report")
    assert status == 2
    assert "--force-field: expected structures whose energies to compare" in err
    status, _, err = trajgan(*arguments, *options)
    assert status == 0, err
    found = json.loads((tmp_path / "report" / "audit.json").read_text())["structure"]
    figures = found["validity"]["figures"]
    assert 0.5 < figures["bond deviation"]["ratio"] < 2
    assert 0 < figures["jump"]["ratio"] < 2
    assert figures["feature error"]["value"] < 1e-3
    assert figures["cis peptide bonds"]["value"] == figures["inverted centres"]["value"] == 0
    assert abs(found["energies"]["generated"][1] - found["energies"]["md"][1]) < 100
    page = (tmp_path / "report" / "audit.html").read_text()
    assert page.count("feature error, 99th percentile") == 1
    assert "Potential energy, median" in page
    assert (tmp_path / "report" / "tables" / "validity.csv").exists()
