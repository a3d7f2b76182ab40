"""What installs the package says the same everywhere."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

import openmm_trajgan

ROOT = Path(__file__).parents[1]
CONDA_NAMES = {"torch": "pytorch", "matplotlib": "matplotlib-base"}


@pytest.fixture(scope="module")
def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@pytest.fixture(scope="module")
def recipe():
    return yaml.safe_load((ROOT / "conda-recipe" / "recipe.yaml").read_text())


def requirement(text):
    name, minimum = re.fullmatch(r"([A-Za-z0-9_.-]+)\s*>=\s*([\d.]+)", text).groups()
    return name.lower(), minimum


def test_recipe_follows_the_first_schema_and_is_for_every_platform(recipe):
    assert recipe["schema_version"] == 1
    assert recipe["build"]["noarch"] == "python"
    assert recipe["source"] == {"path": ".."}
    assert recipe["tests"][0]["python"]["pip_check"] is True


def test_recipe_needs_what_pyproject_needs(project, recipe):
    wanted = dict(requirement(text) for text in project["dependencies"])
    wanted = {CONDA_NAMES.get(name, name): minimum for name, minimum in wanted.items()}
    given = dict(requirement(text) for text in recipe["requirements"]["run"] if not text.startswith("python "))
    assert given == wanted


def test_recipe_names_version_python_and_command_like_pyproject(project, recipe):
    assert recipe["context"]["name"] == project["name"]
    assert recipe["context"]["version"] == project["version"] == openmm_trajgan.__version__
    assert f">={recipe['context']['python_min']}" == project["requires-python"]
    assert recipe["build"]["python"]["entry_points"] == [f"{name} = {target}" for name, target in project["scripts"].items()]


def test_constraints_fix_every_direct_dependency(project):
    pinned = {}
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            name, version = line.split("==")
            pinned[name.lower().replace("_", "-")] = version
    texts = [*project["dependencies"], *project["optional-dependencies"]["test"]]
    names = {re.match(r"[A-Za-z0-9_.-]+", text)[0].lower().replace("_", "-") for text in texts}
    assert names <= set(pinned)


def test_changelog_speaks_of_this_version(project):
    assert f"## [{project['version']}]" in (ROOT / "CHANGELOG.md").read_text()


def test_readme_holds_the_two_commands_that_ci_runs():
    readme = (ROOT / "README.md").read_text()
    ci = (ROOT / ".ci" / "run").read_text()
    tests = "python -m pip install -c constraints.txt '.[test]' && pytest"
    demo = "python -m pip install -c constraints.txt . && trajgan demo --out demo"
    assert tests in readme
    assert demo in readme
    assert tests in ci
    assert f"{demo} --quick" in ci


def test_data_files_are_packaged_and_tell_their_source():
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
    assert "systems/data/*" in tools["setuptools"]["package-data"]["openmm_trajgan"]
    data = Path(openmm_trajgan.__file__).parent / "systems" / "data"
    readme = (data / "README.md").read_text()
    assert [path.name for path in data.iterdir() if path.name not in readme] == ["README.md"]
