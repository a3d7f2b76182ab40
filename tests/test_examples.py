"""The examples run, in short form, and README shows them as they are."""

import os
import subprocess
import sys
from pathlib import Path

import MDAnalysis
import pytest

ROOT = Path(__file__).parents[1]


def test_readme_shows_the_quick_start():
    assert f"```python\n{(ROOT / 'examples' / 'quick_start.py').read_text()}```" in (ROOT / "README.md").read_text()


def test_quick_start_runs(tmp_path):
    code = (ROOT / "examples" / "quick_start.py").read_text()
    for long, short in (("500_000", "26_000"), ("minutes=3", "steps=6"), ("50_000", "300")):
        assert long in code
        code = code.replace(long, short)
    environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, capture_output=True, env=environment)
    assert {path.name for path in tmp_path.iterdir()} >= {
        "ala2.trajgan",
        "ala2.windows",
        "audit.html",
        "generated.xtc",
        "generated.pdb",
    }
    universe = MDAnalysis.Universe(tmp_path / "generated.pdb", tmp_path / "generated.xtc")
    assert (len(universe.atoms), universe.trajectory.n_frames) == (22, 300)


def run_short(name: str, folder: Path, *changes: tuple[str, str], argument: str | None = None) -> str:
    """Run an example with other numbers in it, perhaps with an argument, and return what it printed."""
    code = (ROOT / "examples" / f"{name}.py").read_text()
    for long, short in changes:
        assert code.count(long) == 1, long
        code = code.replace(long, short)
    (folder / f"{name}.py").write_text(code)
    environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
    command = [sys.executable, f"{name}.py"] + ([] if argument is None else [argument])
    done = subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert (folder / f"{argument or name}.png").stat().st_size > 10_000
    return done.stdout


def test_folding_of_trp_cage_runs(tmp_path):
    printed = run_short(
        "trp_cage",
        tmp_path,
        ("N_FRAMES = 4000", "N_FRAMES = 60"),
        ("labels=train.labels, seed=3)", "labels=train.labels, steps=4, seed=3)"),
        ("n_replicas=3 * len(TRAINED)", "n_replicas=len(TRAINED)"),
        ("n_replicas=12,", "n_replicas=1,"),
        ("WINDOW = 32", "WINDOW = 16"),
        ("FOLDED, UNFOLDED = 0.8, 0.35", "FOLDED, UNFOLDED = 0.51, 0.49"),  # so few frames may not see more distant ones
    )
    lines = printed.splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["285", "300", "315", "330", "345"]
    assert "never trained on" in lines[3]
    assert (tmp_path / "trp_cage.trajgan").exists()


@pytest.mark.parametrize(("argument", "n_beads"), [(None, 373), ("t4_lysozyme", 164)])
def test_binding_runs(tmp_path, argument, n_beads):
    printed = run_short(
        "p450_binding",
        tmp_path,
        ('N_FRAMES = 6000 if SYSTEM == "t4_lysozyme" else 3000', "N_FRAMES = 60"),
        ("N_TRAIN, N_UNSEEN = 6, 3", "N_TRAIN, N_UNSEEN = 2, 1"),
        ("fit(train, seed=3)", "fit(train, steps=4, seed=3)"),
        ("WINDOW = 32", "WINDOW = 16"),
        ("BOUND, UNBOUND = 0.3, 1.2", "BOUND, UNBOUND = 1.2, 0.3"),  # so few frames may not see both
        ("n_frames=10 * N_FRAMES", "n_frames=N_FRAMES"),
        argument=argument,
    )
    assert [line.split()[0] for line in printed.splitlines()[1:]] == ["training", "unseen", "generated"]
    universe = MDAnalysis.Universe(tmp_path / "binding.pdb", tmp_path / "binding.xtc")
    assert (len(universe.atoms), universe.trajectory.n_frames) == (n_beads, 16)


def test_the_chain_in_a_plane_runs(tmp_path):
    printed = run_short(
        "alpha_synuclein",
        tmp_path,
        ("N_FRAMES = 2500", "N_FRAMES = 40"),
        ("N_TRAIN, N_UNSEEN, N_GENERATED = 4, 2, 8", "N_TRAIN, N_UNSEEN, N_GENERATED = 1, 1, 1"),
        ("fit(plane, seed=4)", "fit(plane, steps=4, seed=4)"),
        ("2, seed=3)", "2, epochs=2, seed=3)"),
        ("LAG = 20", "LAG = 2"),
    )
    assert [line.split()[:2] for line in printed.splitlines()[-7:]] == [
        ["training", "MD"],
        ["training", "MD"],
        ["unseen", "MD"],
        ["unseen", "MD"],
        ["decoded", "28"],
        ["nearest", "frames"],
        ["nearest", "frames"],
    ]
    assert len(MDAnalysis.Universe(tmp_path / "alpha_synuclein.pdb").atoms) == 140


def test_many_torsions_run(tmp_path):
    printed = run_short(
        "tetraalanine",
        tmp_path,
        ("N_FRAMES = 6000", "N_FRAMES = 300"),
        ("N_TRAIN, N_UNSEEN = 6, 3", "N_TRAIN, N_UNSEEN = 2, 2"),
        ("fit(train, seed=3)", "fit(train, steps=4, seed=3)"),
        ("n_trajectories=4 * N_TRAIN", "n_trajectories=2"),
    )
    names = ["training MD", "unseen MD", "generated"]
    assert [line[:12].rstrip() for line in printed.splitlines() if line[:12].rstrip() in names] == 3 * names
    universe = MDAnalysis.Universe(tmp_path / "tetraalanine.pdb", tmp_path / "tetraalanine.xtc")
    assert (len(universe.atoms), universe.trajectory.n_frames) == (43, 300)


def test_windows_of_the_origin_run(tmp_path):
    printed = run_short(
        "triple_well",
        tmp_path,
        ("N_FRAMES = triple_well.ORIGIN_WINDOW", "N_FRAMES = 200"),
        ("N_REPLICAS, N_UNSEEN = triple_well.N_REPLICAS, 20", "N_REPLICAS, N_UNSEEN = 30, 10"),
        ("STEPS = 500", "STEPS = 4"),
    )
    assert [line.split()[0] for line in printed.splitlines()[1:]] == ["training", "unseen", "generated"]
    assert (tmp_path / "triple_well.trajgan").exists()
