"""A few rounds, in a process that no test has started threads in."""

import json
import subprocess
import sys
from pathlib import Path


def test_nothing_is_lost_or_left_half_written_by_kill_9(tmp_path):
    out = tmp_path / "rounds.json"
    cases = ("reporter", "four writers", "model", "generation", "backmap .xtc", "backmap .trajgan")
    script = Path(__file__).with_name("crash_rounds.py")
    ended = subprocess.run(
        [sys.executable, script, "--rounds", "4", "--only", *cases, "--out", out], capture_output=True, text=True
    )
    assert ended.returncode == 0, out.read_text() if out.exists() else ended.stderr
    total = json.loads(out.read_text())["total"]
    assert total["killed"] > 0.5 * total["rounds"]
