import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import MDAnalysis
import numpy as np
import pytest
from openmm import app

from openmm_trajgan.buffer import WindowBuffer
from openmm_trajgan.errors import NonFiniteError
from openmm_trajgan.systems import alanine_dipeptide, binding, get_system, trp_cage
from openmm_trajgan.workflows import collect, worker
from openmm_trajgan.workflows.estimator import TrajGAN


@pytest.fixture
def in_this_process():
    with ThreadPoolExecutor(1) as executor:
        yield executor


def frames(buffer):
    return {stream: (buffer.steps(stream), *buffer.trajectories([stream]).values) for stream in buffer.streams}


@pytest.mark.parametrize(("system", "n_replicas"), [("alanine_dipeptide", 2), ("triple_well", 3)])
def test_interrupted_collection_resumes_to_the_same_frames(tmp_path, in_this_process, monkeypatch, system, n_replicas):
    monkeypatch.setattr(worker, "_FRAMES_PER_CHECKPOINT", 5)
    options = {"n_replicas": n_replicas, "seed": 1, "executor": in_this_process}
    whole = frames(collect.collect_system(system, tmp_path / "whole", n_frames=20, **options))
    collect.collect_system(system, tmp_path / "parts", n_frames=10, **options)
    parts = frames(collect.collect_system(system, tmp_path / "parts", n_frames=20, resume=True, **options))
    assert len(whole) == n_replicas
    assert whole.keys() == parts.keys()
    for stream, (steps, features) in whole.items():
        interval = steps[0]
        assert steps.tolist() == list(range(interval, 21 * interval, interval))
        assert (steps == parts[stream][0]).all()
        assert (features == parts[stream][1]).all()
    values = [features for _, features in whole.values()]
    assert (values[0] != values[1]).any(), "replicas are independent"


def test_replicas_do_not_depend_on_their_number(tmp_path, in_this_process):
    runs = [
        frames(
            collect.collect_system(
                "alanine_dipeptide", tmp_path / str(n), n_frames=3, n_replicas=n, seed=1, executor=in_this_process
            )
        )
        for n in (1, 2)
    ]
    assert (runs[0]["replica0000"][1] == runs[1]["replica0000"][1]).all()


@pytest.fixture
def at_once(monkeypatch):
    """Systems of this test start without equilibration."""
    monkeypatch.setattr(trp_cage, "_EQUILIBRATION_STEPS", 0)
    monkeypatch.setattr(binding, "_EQUILIBRATION_STEPS", 0)


def test_replicas_run_at_the_conditions_in_turn(tmp_path, in_this_process, at_once, monkeypatch):
    asked, build = [], trp_cage.SYSTEM.build
    system = replace(trp_cage.SYSTEM, build=lambda *arguments: asked.append(arguments[2]) or build(*arguments))
    monkeypatch.setattr(trp_cage, "SYSTEM", system)
    options = {"n_frames": 2, "seed": 1, "executor": in_this_process}
    buffer = collect.collect_system("trp_cage", tmp_path / "all", n_replicas=6, **options)
    assert asked == [285.0, 300.0, 315.0, 330.0, 345.0, 285.0]
    assert buffer.labels == {f"replica{index:04d}": label for index, label in enumerate(asked)}
    buffer = collect.collect_system("trp_cage", tmp_path / "two", n_replicas=3, labels=[290.0, 307.5], **options)
    assert list(buffer.labels.values()) == [290.0, 307.5, 290.0]
    buffer = collect.collect_system("trp_cage", tmp_path / "two", n_replicas=3, labels=[290.0, 307.5], resume=True, **options)
    assert list(buffer.labels.values()) == [290.0, 307.5, 290.0]


@pytest.mark.parametrize("name", ["p450_binding", "t4_lysozyme", "trp_cage"])
def test_systems_are_collected_from_the_command_line(tmp_path, trajgan, monkeypatch, at_once, name):
    monkeypatch.setattr(collect, "ProcessPoolExecutor", lambda *_, **__: ThreadPoolExecutor(1))
    out = tmp_path / "md.windows"
    status, text, err = trajgan("collect", name, "--frames", 3, "--replicas", 2, "--seed", 1, "--out", out)
    assert status == 0, err
    assert "6 frames of 2 replicas" in text
    assert ("conditions 285, 300" in text) == (name == "trp_cage")
    assert WindowBuffer(out).structures().shape[0] == 6
    status, text, err = trajgan("collect", name, "--frames", 4, "--replicas", 2, "--resume", "--out", out)
    assert status == 0, err
    assert "8 frames of 2 replicas" in text


def test_conditions_of_the_buffer_go_into_the_training(tmp_path, trajgan, in_this_process, at_once):
    out, model = tmp_path / "md.windows", tmp_path / "m.trajgan"
    options = {"n_frames": 12, "n_replicas": 2, "seed": 1, "executor": in_this_process}
    collect.collect_system("trp_cage", out, labels=[300.0, 330.0], **options).close()
    train = ("train", out, "--out", model, "--steps", 2, "--window-length", 4, "--seed", 1)
    status, text, err = trajgan(*train)
    assert status == 0, err
    assert "conditions 300.0, 330.0" in text
    status, _, err = trajgan("generate", model, "--frames", 5, "--label", 315, "--out", tmp_path / "g.npy")
    assert status == 0, err
    status, text, err = trajgan(*train, "--label", "cold", "--label", "hot", "--force")
    assert status == 0, err
    assert "conditions cold, hot" in text
    collect.collect_system("trp_cage", tmp_path / "one", labels=[300.0], **options).close()
    status, text, err = trajgan("train", tmp_path / "one", *train[2:], "--force")
    assert status == 0, err
    assert TrajGAN.load(model).bundle.labels is None, "one condition tells nothing apart"


def test_processes_side_by_side_write_one_buffer(tmp_path):
    buffer = collect.collect_system("alanine_dipeptide", tmp_path / "b", n_frames=40, n_replicas=2, seed=1, processes=2)
    assert buffer.streams == ("replica0000", "replica0001")
    assert [len(series) for series in buffer.trajectories()] == [40, 40]
    assert buffer.schema.frame_interval == pytest.approx(0.2)
    assert buffer.structures().shape == (80, 22, 3)


def test_as_many_structures_are_kept_as_asked_for(tmp_path, in_this_process):
    for n_structures, found in ((0, False), (4, True)):
        buffer = collect.collect_system(
            "alanine_dipeptide",
            tmp_path / str(n_structures),
            n_frames=6,
            n_replicas=2,
            n_structures=n_structures,
            seed=1,
            executor=in_this_process,
        )
        assert [buffer.has_structures(stream) for stream in buffer.streams] == [found] * 2
    kept = [buffer.structures([stream]) for stream in buffer.streams]
    assert [len(one) for one in kept] == [4, 4]
    torsions = [alanine_dipeptide.features()(frame) for frame in kept[1]]
    assert np.stack(torsions) == pytest.approx(buffer.trajectories().values[1][:4], abs=1e-5)


@pytest.mark.parametrize(
    ("system", "features", "n_atoms", "interval"),
    [("alpha_synuclein", ", distance 1:CA-42:CA, … 378 in all", 140, 3), ("tetraalanine", "psi 1, phi 2, psi 2, phi 3", 43, 0.2)],
)
def test_chains_are_collected_by_name(trajgan, tmp_path, system, features, n_atoms, interval):
    status, text, _ = trajgan("collect", system, "--frames", 2, "--seed", 1, "--processes", 1, "--out", tmp_path / "b")
    assert status == 0
    assert f"2 frames of 1 replicas, one every {interval:g} ps, features" in text
    assert features in text
    buffer = WindowBuffer(tmp_path / "b")
    structures = buffer.structures()
    assert structures.shape == (2, n_atoms, 3)
    assert get_system(system).features()(structures) == pytest.approx(buffer.trajectories().values[0], abs=1e-4)


@pytest.mark.filterwarnings("ignore:DCDReader currently makes")
def test_stored_md_gives_the_frames_a_reporter_would_have_stored(tmp_path, trajgan):
    from openmm_trajgan.windows.reporter import WindowReporter

    simulation = alanine_dipeptide.build(1)
    features = alanine_dipeptide.features()
    live = WindowBuffer(schema=features.schema)
    simulation.reporters.append(WindowReporter(live, 10, features))
    simulation.reporters.append(app.DCDReporter(str(tmp_path / "md.dcd"), 10))
    simulation.step(200)
    simulation.reporters.clear()
    topology, positions = alanine_dipeptide.topology_and_positions()
    with (tmp_path / "top.pdb").open("w") as file:
        app.PDBFile.writeFile(topology, positions * 10, file, keepIds=True)
    out = tmp_path / "md.windows"
    status, text, err = trajgan("collect", "--topology", tmp_path / "top.pdb", "--trajectory", tmp_path / "md.dcd", "--out", out)
    assert status == 0, err
    assert "20 frames of 1 replicas, one every 0.04 ps, features phi 2, psi 2" in text
    stored = WindowBuffer(out).trajectories().values[0]
    difference = np.angle(np.exp(1j * (stored - live.trajectories().values[0])))
    assert np.abs(difference).max() < 1e-4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "give either the name of a system or --topology"),
        (("triple_well",), "--frames is missing"),
        (("--topology", "top.pdb"), "--trajectory is missing"),
        (("--topology", "top.pdb", "--trajectory", "md.dcd", "--label", 300), "--label is for systems to simulate; leave it out"),
        (("triple_well", "--frames", 1, "--label", 300), "label: triple_well has one condition only, found 300; leave it out"),
        (("trp_cage", "--frames", 1, "--structure", "1L2Y"), "trp_cage is made of one structure only, found '1L2Y'"),
        (("p450_binding", "--frames", 1, "--structure", "no.pdb"), "expected a PDB file or the four characters of a PDB entry"),
        (("--topology", "top.pdb", "--trajectory", "md.dcd"), "top.pdb: no such file"),
    ],
)
def test_what_is_missing_is_said(trajgan, tmp_path, arguments, message):
    status, _, err = trajgan("collect", *arguments, "--out", tmp_path / "out")
    assert status == 2
    assert message in err
    assert not (tmp_path / "out").exists()


def test_what_mdanalysis_cannot_read_is_refused_in_one_line(trajgan, tmp_path, monkeypatch):
    """As an empty .xyz file, of whose error the text may be empty too."""

    def nothing_there(*files):
        raise EOFError

    monkeypatch.setattr("MDAnalysis.Universe", nothing_there)
    for name in ("top.pdb", "md.xyz"):
        (tmp_path / name).touch()
    stored = ("--topology", tmp_path / "top.pdb", "--trajectory", tmp_path / "md.xyz")
    status, _, err = trajgan("collect", *stored, "--out", tmp_path / "out")
    assert status == 2
    assert err.splitlines()[-1].endswith("md.xyz: cannot be read together (EOFError)")
    assert not (tmp_path / "out").exists()


def test_alternate_locations_are_refused(trajgan, tmp_path):
    """Of which mdtraj reads one and MDAnalysis all, so that atoms would be taken for others."""
    topology, positions = alanine_dipeptide.topology_and_positions()
    with (tmp_path / "top.pdb").open("w") as file:
        app.PDBFile.writeFile(topology, positions * 10, file, keepIds=True)
    lines = (tmp_path / "top.pdb").read_text().splitlines(keepends=True)
    (number,) = (index for index, line in enumerate(lines) if line[12:26] == " CH3 ACE A   1")
    twice = [f"{lines[number][:16]}{location}{lines[number][17:]}" for location in "AB"]
    (tmp_path / "top.pdb").write_text("".join([*lines[:number], *twice, *lines[number + 1 :]]))
    MDAnalysis.Universe(tmp_path / "top.pdb").atoms.write(tmp_path / "md.xyz")
    stored = ("--topology", tmp_path / "top.pdb", "--trajectory", tmp_path / "md.xyz")
    status, _, err = trajgan("collect", *stored, "--out", tmp_path / "out")
    assert status == 2
    assert "top.pdb: mdtraj reads 22 atoms and MDAnalysis 23; leave one of alternate locations" in err
    assert not (tmp_path / "out").exists()


def test_stored_md_of_another_interval_is_named(trajgan, tmp_path):
    topology, positions = alanine_dipeptide.topology_and_positions()
    with (tmp_path / "top.pdb").open("w") as file:
        app.PDBFile.writeFile(topology, positions * 10, file)
    universe = MDAnalysis.Universe(topology, np.tile(10 * positions, (5, 1, 1)).astype(np.float32))
    paths = [tmp_path / f"every{interval}.xtc" for interval in (1, 2)]
    for path, dt in zip(paths, (1.0, 2.0), strict=True):
        with MDAnalysis.Writer(str(path), 22) as writer:
            for ts in universe.trajectory:
                ts.time = ts.frame * dt
                writer.write(universe)
    options = ("--topology", tmp_path / "top.pdb", "--trajectory", *paths, "--out", tmp_path / "out")
    status, _, err = trajgan("collect", *options)
    assert status == 2
    assert f"{paths[1]} has a frame every 2 ps, {paths[0]} every 1 ps; collect them into buffers of their own" in err
    assert not (tmp_path / "out").exists()


@pytest.fixture
def started(tmp_path):
    """Collect half a million frames of each of three replicas, which takes hours, in a group of processes of their own."""
    options = ["--frames", "500000", "--replicas", "3", "--processes", "1", "--seed", "1", "--out"]
    running = subprocess.Popen(
        [sys.executable, "-m", "openmm_trajgan", "collect", "alanine_dipeptide", *options, tmp_path / "b"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # tests may run where Ctrl-C is ignored
    )
    while not list((tmp_path / "b").glob("streams/*/*")):
        assert running.poll() is None
        time.sleep(0.2)
    yield running
    running.kill()
    running.communicate()


@pytest.mark.parametrize(("send", "number"), [(os.killpg, signal.SIGINT), (os.kill, signal.SIGTERM)])
def test_a_stopped_collection_ends_at_once_and_loses_no_frame(tmp_path, started, in_this_process, send, number):
    """Ctrl-C on a terminal reaches the simulations too, a batch system's SIGTERM may not."""
    send(started.pid, number)
    _, err = started.communicate(timeout=60)
    assert started.returncode == 1
    assert err.splitlines()[-1] == "trajgan: interrupted; commands that have --resume can continue"
    stopped = WindowBuffer(tmp_path / "b")
    assert stopped.streams == ("replica0000",), "no other was begun"
    n_frames = stopped.n_frames + 5
    whole, resumed = (
        frames(
            collect.collect_system(
                "alanine_dipeptide",
                tmp_path / out,
                n_frames=n_frames,
                n_replicas=1,
                seed=1,
                resume=True,
                executor=in_this_process,
            )
        )["replica0000"]
        for out in ("whole", "b")
    )
    assert (resumed[0] == whole[0]).all()
    assert (resumed[1] == whole[1]).all()


def test_a_simulation_that_fails_ends_the_others_with_its_message(tmp_path, in_this_process, monkeypatch):
    begun = []

    def fail(name, out, stream, *others):
        begun.append(stream)
        time.sleep(0.2)
        raise NonFiniteError(f"{stream}: positions are not finite")

    monkeypatch.setattr(collect, "simulate_replicas", fail)
    with pytest.raises(NonFiniteError, match="replica0000: positions are not finite"):
        collect.collect_system("alanine_dipeptide", tmp_path / "b", n_frames=5, n_replicas=50, seed=1, executor=in_this_process)
    assert len(begun) < 50, "those that waited are not begun"


def test_a_killed_collection_leaves_no_simulation_behind(started):
    """Workers hold the standard output that they inherited as long as they live, here for hours if nothing stops them."""
    started.kill()
    assert started.communicate(timeout=60)[0] == ""
