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
