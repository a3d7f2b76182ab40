"""Mutation test: small changes of the code, each of which some test should notice.

Run ``python tests/faults/mutants.py --sample 40 --out mutants.json``. A mutant changes a comparison, operator, condition, number or
truth value, or leaves out one call. Its tests run in a forked child, until the first that fails. Survivors are listed with the line
they change, for people to judge.
"""

import argparse
import ast
import copy
import importlib.abc
import importlib.util
import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import CodeType, ModuleType

import numpy as np

ROOT = Path(__file__).parents[2]
REALITY = ["tests/windows/test_reporter.py", "tests/windows/test_openmm_reality.py", "tests/windows/test_disk_faults.py"]
TARGETS = {  # module to the tests of it
    "models.objective": ["tests/models/test_objective.py"],
    "models.encoding": ["tests/models/test_encoding.py"],
    "buffer.shard": ["tests/buffer"],
    "buffer.shards": ["tests/buffer", "tests/windows/test_disk_faults.py"],
    "buffer.locks": ["tests/buffer/test_repair.py"],
    "buffer.memory": ["tests/buffer/test_window_buffer.py"],
    "buffer.window_buffer": ["tests/buffer"],
    "windows.recorder": REALITY,
    "windows.reporter": REALITY,
    "windows.from_universe": ["tests/windows/test_from_universe.py"],
}
NOT_IN_A_MUTANT = "ctrl_c or interpreter"  # tests that start processes or take long and that others stand beside
SWAPPED = {
    **{ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq},
    **{ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.And: ast.Or, ast.Or: ast.And},
    **{ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult, ast.Mod: ast.Mult},
}


def mutants(tree: ast.Module) -> list[tuple[int, str, ast.Module]]:
    """Line, description and changed copy of the syntax tree, for every change there is."""
    found: list[tuple[int, str, ast.Module]] = []
    nodes = [node for node in ast.walk(tree) if isinstance(node, ast.expr | ast.stmt) and not _quiet(node)]
    annotations = {id(inner) for node in ast.walk(tree) for inner in _annotations(node)}
    for node in nodes:
        if id(node) in annotations:
            continue
        for description, change in _changes(node):
            before = copy.copy(node.__dict__)
            change()
            ast.fix_missing_locations(tree)
            found.append((node.lineno, description, copy.deepcopy(tree)))
            node.__dict__.update(before)
    return found


def _quiet(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and not isinstance(node.value, bool | int | float)


def _annotations(node: ast.AST) -> list[ast.AST]:
    parts = [getattr(node, name, None) for name in ("annotation", "returns")]
    return [inner for part in parts if isinstance(part, ast.AST) for inner in ast.walk(part)]


def _changes(node: ast.expr | ast.stmt) -> list[tuple[str, object]]:
    def set_to(**values: object) -> object:
        return lambda: node.__dict__.update(values)

    if isinstance(node, ast.Compare) and type(node.ops[0]) in SWAPPED:
        other = SWAPPED[type(node.ops[0])]
        return [(f"{type(node.ops[0]).__name__} → {other.__name__}", set_to(ops=[other(), *node.ops[1:]]))]
    if isinstance(node, ast.BoolOp | ast.BinOp) and type(node.op) in SWAPPED:
        other = SWAPPED[type(node.op)]
        return [(f"{type(node.op).__name__} → {other.__name__}", set_to(op=other()))]
    if isinstance(node, ast.If | ast.While | ast.IfExp):
        return [("condition negated", set_to(test=ast.UnaryOp(ast.Not(), node.test)))]
    if isinstance(node, ast.Constant):
        value = not node.value if isinstance(node.value, bool) else node.value + 1
        return [(f"{node.value} → {value}", set_to(value=value))]
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        return [("call left out", set_to(value=ast.Constant(None)))]
    return []


class Mutated(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Loads one module from changed code."""

    def __init__(self, name: str, path: Path, code: CodeType) -> None:
        self.name, self.path, self.code = name, path, code

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        return importlib.util.spec_from_loader(fullname, self, origin=str(self.path)) if fullname == self.name else None

    def exec_module(self, module: ModuleType) -> None:
        exec(self.code, module.__dict__)


def outcome(module: str, code: CodeType, seconds: float) -> str:
    """``killed``, ``survived`` or ``timed out``, from the tests of a module with other code."""
    child = os.fork()
    if not child:
        import pytest

        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        os.setpgid(0, 0)
        name = f"openmm_trajgan.{module}"
        sys.meta_path.insert(0, Mutated(name, ROOT / f"{name.replace('.', '/')}.py", code))
        options = ["-x", "-q", "-p", "no:cacheprovider", "-o", "addopts=--import-mode=importlib", "-k", f"not ({NOT_IN_A_MUTANT})"]
        os._exit(int(pytest.main([*options, *TARGETS[module]])))
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return "survived" if os.WIFEXITED(status) and os.WEXITSTATUS(status) == 0 else "killed"
        time.sleep(0.05)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return "timed out"


def main(modules: list[str], sample: int | None, minutes: float, seed: int) -> dict[str, object]:
    """Test a random sample of the mutants of every module; modules take turns until the time is up."""
    import MDAnalysis  # noqa: F401
    import openmm.app  # noqa: F401
    import torch  # noqa: F401

    os.chdir(ROOT)
    rng = np.random.default_rng(seed)
    results: dict[str, dict[str, object]] = {}
    queues, seconds = {}, {}
    for module in modules:
        source = (ROOT / f"openmm_trajgan/{module.replace('.', '/')}.py").read_text()
        start = time.monotonic()
        if outcome(module, compile(source, module, "exec"), 600) != "survived":
            raise RuntimeError(f"{module}: its tests fail without any change")
        seconds[module] = 20 + 5 * (time.monotonic() - start)
        every = mutants(ast.parse(source))
        chosen = rng.permutation(len(every))[:sample].tolist()
        queues[module] = [every[index] for index in chosen]
        results[module] = {"mutants": len(every), "tested": 0, "killed": 0, "timed out": 0, "survivors": []}
    until = time.monotonic() + 60 * minutes
    while any(queues.values()) and time.monotonic() < until:
        for module, queue in queues.items():
            if not queue or time.monotonic() > until:
                continue
            line, description, tree = queue.pop()
            found, result = outcome(module, compile(tree, module, "exec"), seconds[module]), results[module]
            result["tested"] += 1  # type: ignore[operator]
            if found == "survived":
                text = (ROOT / f"openmm_trajgan/{module.replace('.', '/')}.py").read_text().splitlines()[line - 1].strip()
                result["survivors"].append(f"{line}: {description}: {text}")  # type: ignore[attr-defined]
            else:
                result[found] += 1  # type: ignore[operator]
    tested = sum(result["tested"] for result in results.values())  # type: ignore[misc]
    survived = sum(len(result["survivors"]) for result in results.values())  # type: ignore[arg-type, misc]
    return {"seed": seed, "tested": tested, "score": round(1 - survived / tested, 3) if tested else None, "modules": results}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--modules", nargs="+", default=list(TARGETS), choices=list(TARGETS))
    parser.add_argument("--sample", type=int, help="mutants of each module; default: all")
    parser.add_argument("--minutes", type=float, default=600.0, help="stop testing after this time")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    arguments = parser.parse_args()
    found = main(arguments.modules, arguments.sample, arguments.minutes, arguments.seed)
    arguments.out.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")
