import subprocess
import sys


def test_importing_is_light_and_names_resolve():
    code = """
import sys
import openmm_trajgan.analysis as analysis
heavy = {"deeptime", "matplotlib", "jinja2", "scipy"} & set(sys.modules)
assert not heavy, heavy
for name in analysis.__all__:
    assert getattr(analysis, name).__name__ == name
import openmm_trajgan.analysis.audit
heavy = {"deeptime", "torch"} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)
