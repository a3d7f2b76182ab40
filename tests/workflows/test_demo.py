"""Demonstrations of systems that need more than torsions and one condition: temperatures, a latent."""

import json
from dataclasses import replace

import MDAnalysis
import numpy as np
import pytest

from openmm_trajgan.analysis.two_states import measured, two_state_kinetics
from openmm_trajgan.buffer import WindowBuffer
from openmm_trajgan.features.latent import PCA
from openmm_trajgan.schema import FeatureTrajectories
from openmm_trajgan.systems import NAMES, get_system
from openmm_trajgan.workflows import demo
from openmm_trajgan.workflows.demo_protocols import PROTOCOLS, QUICK
from openmm_trajgan.workflows.estimator import TrajGAN


@pytest.mark.parametrize("protocols", [PROTOCOLS, QUICK])
def test_every_system_has_a_protocol_that_keeps_whole_replicas_out(protocols):
    assert tuple(sorted(protocols)) == NAMES
    for name, protocol in protocols.items():
        n_conditions = max(len(get_system(name).labels), 1)
        for number in (protocol.n_held_out, protocol.n_replicas):
            assert number > 0
            assert number % n_conditions == 0
        assert protocol.n_held_out < protocol.n_replicas
        assert protocol.n_held_out / protocol.n_replicas >= 0.15


@pytest.mark.filterwarnings("ignore:the slowest process of the data takes")
def test_temperatures_are_judged_on_their_own(trajgan, tmp_path, monkeypatch):
    """Trp-cage is simulated at five temperatures; to save time, two of them are reported."""
    two = replace(get_system("trp_cage"), labels=(285.0, 345.0))
    monkeypatch.setattr(demo, "get_system", lambda name: two)
    short = replace(QUICK["trp_cage"], n_frames=120, n_generated_frames=100)
    monkeypatch.setitem(demo.QUICK, "trp_cage", short)
    status, out, _ = trajgan("demo", "trp_cage", "--quick", "--minutes", "0.02", "--out", tmp_path / "d")
    assert status == 0
    lines = out.splitlines()
    assert [line.partition(": ")[0] for line in lines[3:7]] == 2 * ["Temperature 285 K"] + 2 * ["Temperature 345 K"]

    buffer = WindowBuffer(tmp_path / "d" / "md.windows")
    shown, kept = buffer.streams[:5], buffer.streams[5:]
    trained = TrajGAN.load(tmp_path / "d" / "model.trajgan").training_record
    assert trained["replicas"] == list(shown)
    assert trained["labels"] == {name: buffer.labels[name] for name in shown}
    for index, label in ((0, 285), (4, 345)):
        assert buffer.labels[shown[index]] == buffer.labels[kept[index]] == label
        audit = json.loads((tmp_path / "d" / f"audit-{label}.json").read_text())
        for part, stream in (("reference", kept[index]), ("train", shown[index])):
            assert audit["provenance"][part]["sha256"] == buffer.trajectories([stream]).digest
        free = [one for one in audit["figures"] if one["kind"] == "difference" and "free energy" in one["name"]]
        assert all(f"at {label} K" in one["meaning"] for one in free)
        made = FeatureTrajectories.load(tmp_path / "d" / f"generated-{label}.npz")
        assert [len(series) for series in made] == [100, 100]
        universe = MDAnalysis.Universe(tmp_path / "d" / f"generated-{label}.pdb", tmp_path / "d" / f"generated-{label}.xtc")
        assert (len(universe.atoms), universe.trajectory.n_frames) == (20, 100)
        assert (tmp_path / "d" / f"report-{label}.html").exists()
        folded = [
            two_state_kinetics(data, "native contacts", (0.8, 0.35), temperature=label)
            for data in (buffer.trajectories([kept[index]]), made)
        ]
        energies = " and ".join(measured(one.free_energy, one.free_energy_error) for one in folded)
        assert f"free energy of folded {energies} kJ/mol" in lines[4 if label == 285 else 6]
    cold, hot = (FeatureTrajectories.load(tmp_path / "d" / f"generated-{label}.npz") for label in (285, 345))
    assert not np.array_equal(cold.values[0], hot.values[0])


@pytest.mark.filterwarnings("ignore:the slowest process of the data takes")
def test_a_latent_knows_the_training_replicas_only(trajgan, tmp_path, monkeypatch):
    short = replace(QUICK["alpha_synuclein"], n_frames=100, n_generated_frames=100)
    monkeypatch.setitem(demo.QUICK, "alpha_synuclein", short)
    status, _, _ = trajgan("demo", "alpha_synuclein", "--quick", "--minutes", "0.02", "--out", tmp_path / "d")
    assert status == 0
    buffer = WindowBuffer(tmp_path / "d" / "md.windows")
    features = get_system("alpha_synuclein").features()
    latent = PCA.load(tmp_path / "d" / "latent.npz", features)
    own = PCA.fit(features, buffer.trajectories(buffer.streams[:1]))
    assert latent.schema.names == own.schema.names  # which stand for the data of the fit
    audit = json.loads((tmp_path / "d" / "audit.json").read_text())
    seen = latent.transform_trajectories(buffer.trajectories(buffer.streams[1:]))
    assert audit["provenance"]["reference"]["sha256"] == seen.digest
    universe = MDAnalysis.Universe(tmp_path / "d" / "generated.pdb", tmp_path / "d" / "generated.xtc")
    assert (len(universe.atoms), universe.trajectory.n_frames) == (140, 100)
