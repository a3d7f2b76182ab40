"""The structure of the package: who imports whom, what importing costs, which names are public."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import openmm_trajgan

PACKAGE = Path(openmm_trajgan.__file__).parent
ROOT = {"arguments", "schema", "seeding", "errors", "storage", "untrusted"}
# folder → (own folders, third-party packages beside numpy) it may import
ALLOWED: dict[str, tuple[set[str], set[str]]] = {
    "arguments": (ROOT, set()),
    "schema": (ROOT, {"pydantic"}),
    "seeding": (ROOT, {"torch"}),
    "errors": (ROOT, set()),
    "storage": (ROOT, set()),
    "untrusted": (ROOT, set()),
    "systems": (ROOT | {"features"}, {"openmm", "MDAnalysis"}),
    "features": (ROOT, {"MDAnalysis", "mdtraj", "openmm", "scipy", "deeptime", "torch"}),
    "windows": (ROOT | {"features"}, {"openmm", "MDAnalysis"}),
    "buffer": (ROOT, set()),
    "models": (ROOT, {"torch", "jaxtyping", "safetensors"}),
    "training": (ROOT | {"models"}, {"torch", "safetensors"}),
    "generation": (ROOT | {"models"}, {"torch"}),
    "backmap": (ROOT | {"features"}, {"openmm", "MDAnalysis", "scipy", "sklearn", "numba"}),
    "analysis": (ROOT, {"deeptime", "MDAnalysis", "matplotlib", "jinja2", "scipy"}),
    "workflows": (
        ROOT | {"systems", "features", "windows", "buffer", "models", "training", "generation", "backmap", "analysis"},
        {"pydantic", "yaml", "tqdm", "torch", "MDAnalysis", "mdtraj"},
    ),
    "cli": (ROOT | {"workflows"}, {"typer", "pydantic"}),
    "__main__": ({"cli"}, set()),
    "__init__": ({"analysis", "backmap", "buffer", "features", "schema", "windows", "workflows"}, set()),
}
FILES = sorted(PACKAGE.rglob("*.py"))


def imports(path: Path) -> set[tuple[str, bool]]:
    """Modules a file imports, and whether only a type checker sees it."""
    found = set()

    def visit(node: ast.AST, typing_only: bool) -> None:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            typing_only = True
        if isinstance(node, ast.Import):
            found.update((alias.name, typing_only) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found.add((node.module or "", typing_only))
        for child in ast.iter_child_nodes(node):
            visit(child, typing_only)

    visit(ast.parse(path.read_text()), False)
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_every_file_imports_downwards_only(path):
    station = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    own, third_party = ALLOWED[station]
    for module, typing_only in imports(path):
        top, _, rest = module.partition(".")
        if top == "openmm_trajgan":
            target = rest.partition(".")[0]
            assert not target or target == station or target in own, f"{station} may not import {module}"
        elif top not in sys.stdlib_module_names and top != "numpy":
            assert top in third_party or typing_only, f"{station} may not import {module}"


def test_every_folder_stands_in_the_table():
    stations = {path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in FILES}
    assert stations == set(ALLOWED)


def test_no_file_is_named_for_nothing():
    assert not [path for path in FILES if path.stem in {"utils", "util", "helpers", "common", "misc"}]


def run_python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_importing_the_package_is_light():
    heavy = {"torch", "deeptime", "MDAnalysis", "mdtraj", "openmm", "matplotlib", "pydantic", "numpy"}
    loaded = set(run_python("import sys, openmm_trajgan; print(*sys.modules)").split())
    assert not heavy & loaded


def test_importing_takes_less_than_a_third_of_a_second():
    """Of processor time, as other jobs may keep the import waiting."""
    code = "import time; t = time.process_time(); import openmm_trajgan; print(time.process_time() - t)"
    assert min(float(run_python(code)) for _ in range(3)) < 0.3


@pytest.mark.parametrize("module", ["windows.reporter", "buffer", "features", "systems.alanine_dipeptide"])
def test_what_runs_inside_a_simulation_loads_no_torch(module):
    loaded = set(run_python(f"import sys, openmm_trajgan.{module}; print(*sys.modules)").split())
    assert not {"torch", "deeptime"} & loaded


def test_every_public_name_resolves_to_something_documented():
    for name in openmm_trajgan.__all__:
        assert getattr(openmm_trajgan, name).__doc__, name
    with pytest.raises(AttributeError, match="no attribute 'Torsion'"):
        _ = openmm_trajgan.Torsion
