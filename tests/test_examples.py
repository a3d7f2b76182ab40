"""The examples run, in short form, and README shows them as they are."""

import os
import subprocess
import sys
from pathlib import Path

import MDAnalysis

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


def test_folding_of_trp_cage_runs(tmp_path):
    code = (ROOT / "examples" / "trp_cage.py").read_text()
    for long, short in (
        ("N_FRAMES = 4000", "N_FRAMES = 60"),
        ("minutes=MINUTES", "steps=4"),
        ("n_replicas=3 * len(TRAINED)", "n_replicas=len(TRAINED)"),
        ("n_replicas=3,", "n_replicas=1,"),
        ("WINDOW = 64", "WINDOW = 16"),
        ("FOLDED, UNFOLDED = 0.8, 0.35", "FOLDED, UNFOLDED = -1.0, 2.0"),  # so few frames may not see both
    ):
        assert code.count(long) == 1
        code = code.replace(long, short)
    (tmp_path / "trp_cage.py").write_text(code)
    environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
    command = [sys.executable, "trp_cage.py"]
    done = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True, env=environment)
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["285", "300", "315", "330", "345"]
    assert "never trained on" in lines[3]
    assert (tmp_path / "trp_cage.png").stat().st_size > 10_000
    assert (tmp_path / "trp_cage.trajgan").exists()
