"""Mistakes on the command line: one line that tells what to do, exit status 2, and every file as it was."""

import math
from pathlib import Path

import numpy as np
import pytest
from openmm import app, unit

from openmm_trajgan import FeatureSchema, FeatureTrajectories, WindowBuffer
from openmm_trajgan.systems import alanine_dipeptide

ANGLES = FeatureSchema(
    names=("phi 2", "psi 2"), units=("rad", "rad"), periods=(2 * math.pi,) * 2, kinds=("torsion",) * 2, frame_interval=0.2
)


@pytest.fixture
def series(tmp_path):
    """Files of two and of three columns, and generated trajectories."""
    rng = np.random.default_rng(0)
    np.save(tmp_path / "two.npy", rng.normal(size=(100, 2)))
    np.save(tmp_path / "three.npy", rng.normal(size=(100, 3)))
    FeatureTrajectories([rng.normal(size=(100, 2))], ANGLES).save(tmp_path / "generated.npz")
    (tmp_path / "text.txt").write_text("no numbers\n")
    (tmp_path / "inf.yaml").write_text("minutes: .inf\n")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["train", "two.npy", "--out"], "'--out' requires an argument; see trajgan train --help"),
        (["train", "two.npy", "three.npy", "--out", "m"], "unexpected extra argument(s) (three.npy)"),
        (["train", "two.npy", "--out", "m", "--minuts", "3"], "No such option: --minuts"),
        (["train", "two.npy", "--out", "m", "--minutes", "long"], "Invalid value for '--minutes'"),
        (["train", "two.npy", "--out", "m", "--minutes", "inf"], "minutes: Input should be a finite number, found inf"),
        (["demo", "--config", "inf.yaml", "--out", "d"], "minutes: Input should be a finite number, found inf"),
        (["backmap", "two.npy", "--out", "m", "--method", "magic"], "'magic' is not one of"),
        (["traim"], "No such command 'traim'. Did you mean 'train'?"),
        (["train", "two.npy"], "out: missing, expected model file to write, for example model.trajgan; see --help"),
        (["train", "--out", "m"], "data: missing, expected window buffer"),
        (["backmap", "two.npy", "--out", "m.xtc"], "trajgan: give either --topology, a PDB file of the molecule, or --system"),
        (["collect", "triple_well", "--out", "w"], "trajgan: --frames is missing: how many frames per replica to simulate; see"),
        (["train", "text.txt", "--out", "m"], "text.txt: expected a window buffer, an .npy or .npz file"),
        (
            ["audit", "generated.npz", "three.npy", "--out", "r"],
            "three.npy: other features than those it stands beside",
        ),
    ],
)
def test_what_is_missing_or_wrong_is_named(refused, series, arguments, words):
    assert words in refused(*arguments)


STORED = "collect --topology top.pdb --trajectory md.xtc --out w"


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("train generated.npz --frame-interval 7 --out m", "--frame-interval has a frame every 7 ps, generated.npz every 0.2 ps"),
        ("train generated.npz --periodic 1 --out m", "--periodic: the angles of generated.npz are known to be columns 0, 1, found"),
        ("audit generated.npz two.npy --frame-interval 7 --out r", "--frame-interval has a frame every 7 ps, generated.npz"),
        ("audit w two.npy --frame-interval 7 --out r", "--frame-interval has a frame every 7 ps, w every 0.2 ps"),
        ("backmap two.npy --system triple_well --periodic 0 --out s.xtc", "the angles of two.npy are known to be columns none"),
        ("train two.npy --frame-interval 1 --minutes 3 --steps 9 --out m", "expected minutes or steps, found both, 3.0 and 9"),
        ("collect triple_well --frames 2 --trajectory nope.xtc --out w", "--trajectory is for stored MD; leave it out"),
        ("collect triple_well --frames 2 --features distances --out w", "--features is for stored MD; leave it out"),
        (f"{STORED} --replicas 2", "--replicas is for systems to simulate; leave it out"),
        (f"{STORED} --processes 2", "--processes is for systems to simulate; leave it out"),
        (f"{STORED} --seed 2", "--seed is for systems to simulate; leave it out"),
    ],
)
def test_no_option_is_ignored(refused, series, tmp_path, command, words):
    if command.startswith("audit w"):
        with WindowBuffer(tmp_path / "w", ANGLES) as buffer:
            buffer.append(["0"], step=1, time=0.2, segment=0, features=np.zeros((1, 2)))
    assert words in refused(*command.split())


@pytest.mark.parametrize(
    "command", ["audit generated.npz degrees.npy --out r", "train generated.npz --validation degrees.npy --out m"]
)
def test_degrees_beside_radians_are_noticed(refused, series, tmp_path, command):
    np.save(tmp_path / "degrees.npy", np.random.default_rng(0).uniform(-180, 180, size=(100, 2)))
    assert "degrees.npy: column 0 is an angle by the data beside it, expected radians up to 6.283" in refused(*command.split())


@pytest.mark.parametrize("command", ["audit generated.npz generated.npz", "demo", "collect triple_well --frames 5"])
def test_no_command_takes_the_place_of_what_another_one_made(refused, trajgan, series, tmp_path, command):
    made = {"audit": "collect", "demo": "collect", "collect": "audit"}[command.split()[0]]
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "config.yaml").write_text(f"# written by trajgan {made}\nseed: 1\n")
    assert "made: not made by this command" in refused(*command.split(), "--out", "made", "--force")
    if "audit" not in command:
        assert "made: nothing to resume" in refused(*command.split(), "--out", "made", "--resume")


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder where even root cannot write")
@pytest.mark.parametrize(
    "command",
    [
        "train two.npy --frame-interval 1",
        "generate text.txt --frames 5",
        "backmap generated.npz --topology top.pdb",
        "audit generated.npz two.npy",
        "collect triple_well --frames 5",
        "demo --quick",
    ],
)
def test_an_output_that_cannot_be_written_is_noticed_first(refused, series, command):
    line = refused(*command.split(), "--out", "/proc/made.xtc")
    assert line == "trajgan: /proc/made.xtc: nothing can be written there (No such file or directory); choose another --out"


def test_an_output_with_too_long_a_name_is_noticed_first(refused, series):
    line = refused("generate", "text.txt", "--frames", 5, "--out", 250 * "m")
    assert "nothing can be written there (File name too long)" in line


@pytest.fixture
def made_by_collect(tmp_path):
    """A folder that --force of `trajgan collect` may replace, with stored MD put into it."""
    (tmp_path / "w").mkdir()
    (tmp_path / "w" / "config.yaml").write_text("# written by trajgan collect\nseed: 1\n")
    for name in ("top.pdb", "raw.xtc"):
        (tmp_path / "w" / name).touch()


@pytest.mark.parametrize(
    ("command", "lost"),
    [
        ("train two.npy --out two.npy", "two.npy: is an input, and two.npy would be replaced"),
        ("train two.npy --validation three.npy --out ./three.npy", "three.npy: is an input"),
        ("train . --out two.npy", ".: is an input, and two.npy would be replaced"),
        ("generate text.txt --frames 5 --out text.txt", "text.txt: is an input"),
        ("generate model --frames 5 --start two.npy --out two.npy", "two.npy: is an input"),
        ("backmap generated.npz --topology top.pdb --reference text.txt --out text.txt", "text.txt: is an input"),
        ("backmap generated.npz --topology top.pdb --out top.xtc", "top.pdb: is an input"),
        ("backmap generated.npz --system p450_binding --structure top.pdb:CAM --out top.xtc", "top.pdb: is an input"),
        ("collect --topology top.pdb --trajectory w/raw.xtc --out w", "w/raw.xtc: is an input, and w would be replaced"),
        ("collect --topology top.pdb --trajectory w/raw.xtc --out w --resume", "w/raw.xtc: is an input"),
        ("collect p450_binding --frames 5 --structure w/top.pdb --out w", "w/top.pdb: is an input"),
        ("audit w two.npy --out w", "w: is an input"),
    ],
)
def test_no_input_is_replaced(refused, series, made_by_collect, tmp_path, command, lost):
    (tmp_path / "top.pdb").touch()
    assert f"trajgan: {lost}" in refused(*command.split(), "--force")


@pytest.mark.filterwarnings("ignore:Element information is missing")  # by MDAnalysis
def test_files_that_are_no_structures(refused, series, tmp_path):
    (tmp_path / "bad.pdb").write_text("garbage\n")
    stored = ("collect", "--out", "w", "--topology", "bad.pdb", "--trajectory", "text.txt")
    assert "bad.pdb, text.txt: cannot be read together" in refused(*stored)
    assert "--frames is for systems to simulate" in refused(*stored, "--frames", 5)
    backmap = ("backmap", "generated.npz", "--topology", "bad.pdb", "--out", "s.xtc")
    assert "bad.pdb: expected a PDB file, found something that OpenMM cannot read" in refused(*backmap)


def test_conditions_that_cannot_be_simulated(refused):
    options = ("--frames", 5, "--out", "w", "--label")
    assert "label: expected a temperature, K above 0, found -5" in refused("collect", "trp_cage", *options, -5)


def test_a_simulation_begun_with_resume_can_be_resumed_and_replaced(trajgan, tmp_path):
    command = ("collect", "triple_well", "--replicas", 2, "--seed", 1, "--processes", 1, "--out", tmp_path / "w")
    for options in (("--frames", 5, "--resume"), ("--frames", 9, "--resume"), ("--frames", 5, "--force")):
        status, _, err = trajgan(*command, *options)
        assert status == 0, err
    assert WindowBuffer(tmp_path / "w").n_frames == 10


@pytest.fixture
def molecule(tmp_path):
    """PDB file of alanine dipeptide."""
    topology, positions = alanine_dipeptide.topology_and_positions()
    with (tmp_path / "ala2.pdb").open("w") as file:
        app.PDBFile.writeFile(topology, positions * unit.nanometer, file)
    return tmp_path / "ala2.pdb"


@pytest.mark.filterwarnings("ignore:Reader has no dt information")  # of PDB files
def test_several_trajectories_after_one_option(trajgan, molecule, tmp_path):
    out = tmp_path / "w"
    status, _, err = trajgan("collect", "--topology", molecule, "--trajectory", molecule, molecule, molecule, "--out", out)
    assert status == 0, err
    assert WindowBuffer(out).streams == ("replica0000", "replica0001", "replica0002")


@pytest.mark.filterwarnings("ignore:Reader has no dt information")  # of PDB files
@pytest.mark.parametrize(
    ("command", "written", "again"),
    [
        ("collect triple_well --frames 5 --processes 1", "w/config.yaml", ["--resume"]),
        ("collect --topology ala2.pdb --trajectory ala2.pdb", "w/config.yaml", ["--resume"]),
        ("train generated.npz --frame-interval 0.2 --periodic 0 --periodic 1 --minutes 0.001", "w.config.yaml", ["--steps", 2]),
    ],
)
def test_configurations_written_beside_outputs_can_be_given_back(
    trajgan, series, molecule, tmp_path, monkeypatch, command, written, again
):
    monkeypatch.chdir(tmp_path)
    command = command.split()
    back = [command[0], "--config", written]
    for words in ([*command, "--out", "w"], [*back, *again, *([] if "--resume" in again else ["--force"])], [*back, "--force"]):
        status, _, err = trajgan(*words)
        assert status == 0, err


@pytest.mark.filterwarnings("ignore:Reader has no dt information")  # of PDB files
def test_columns_of_arrays_are_those_of_the_system_or_of_the_reference(trajgan, refused, molecule, tmp_path):
    np.save(tmp_path / "generated.npy", np.random.default_rng(0).uniform(-3, 3, size=(1, 20, 2)).astype(np.float32))
    system = ("backmap", "generated.npy", "--system", "alanine_dipeptide", "--reference", "ala2.pdb", "--out", "a.xtc")
    assert "generated.npy: holds no time between frames; give --frame-interval" in refused(*system)
    assert trajgan("collect", "--topology", "ala2.pdb", "--trajectory", "ala2.pdb", "--out", "md.windows")[0] == 0
    reference = ("backmap", "generated.npy", "--topology", "ala2.pdb", "--reference", "md.windows", "--out", "b.xtc")
    FeatureTrajectories(np.load(tmp_path / "generated.npy"), alanine_dipeptide.features().schema).save(tmp_path / "untimed.npz")
    untimed = ("backmap", "untimed.npz", "--topology", "ala2.pdb", "--out", "c.xtc")
    assert "untimed.npz: holds no time between frames; give --frame-interval" in refused(*untimed)
    for command in ((*system, "--frame-interval", 0.2), reference, (*untimed, "--frame-interval", 0.2)):
        status, out, err = trajgan(*command)
        assert status == 0, err
        assert "20 frames of 22 atoms" in out
