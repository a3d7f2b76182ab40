"""The short form, in a process that no test has started threads in."""

import json
import subprocess
import sys
from pathlib import Path


def test_every_window_is_whole_while_eight_processes_write(tmp_path):
    out, script = tmp_path / "found.json", Path(__file__).with_name("side_by_side.py")
    ended = subprocess.run([sys.executable, script, "--seconds", "3", "--out", out], capture_output=True, text=True)
    assert ended.returncode == 0, out.read_text() if out.exists() else ended.stderr
    found = json.loads(out.read_text())
    assert found["windows"] > 1000
    assert found["frames_at_the_end"] > 1000
