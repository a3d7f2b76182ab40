"""Mutation test: small changes of the code, each of which some test should notice.

Run ``python tests/faults/mutants.py --out mutants.json``; the same command goes on where an earlier one stopped. A mutant changes a
comparison, operator, condition, number or truth value, or leaves out one call. The tests that execute its line run in a forked
child, which has torch and OpenMM already, quick ones first, until one fails. Survivors are listed with the line they change, for
people to judge; ``--survivors`` tries these again after the tests have changed, ``--sample`` draws some at random. (Of well-kept
tools, cosmic-ray starts Python and torch anew for every mutant; mutmut makes three times as many, most of them in the texts of
messages, without a switch.)
"""

import argparse
import ast
import copy
import gc
import json
import os
import random
import resource
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType
from typing import Any

import coverage
from tqdm import tqdm

ROOT = Path(__file__).parents[2]
MODULES = [
    *("models.objective", "models.encoding", "windows.from_universe", "windows.sampler_adapter", "windows.recorder"),
    *("windows.reporter", "buffer.locks", "buffer.memory", "buffer.window_buffer", "buffer.shard", "buffer.shards"),
]
TESTS = ["tests/buffer", "tests/windows", "tests/models/test_objective.py", "tests/models/test_encoding.py"]
SLOW = "ctrl_c_at_any or interpreter or needs_no_torch"  # tests that start Python or take long, and that others stand beside
SWAPPED = {
    **{ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq},
    **{ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.And: ast.Or, ast.Or: ast.And},
    **{ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult, ast.Mod: ast.Mult},
}


Change = Callable[[], None]


def mutants(source: str) -> dict[str, tuple[range, ast.Module]]:
    """Lines of the changed statement and changed syntax tree, by description, for every change there is."""
    tree, lines = ast.parse(source), source.splitlines()
    found: dict[str, tuple[range, ast.Module]] = {}
    statement: dict[int, range] = {}  # innermost statement of a line, of compound ones the head
    for node in ast.walk(tree):
        if isinstance(node, ast.stmt):
            inner, decorators = getattr(node, "body", None), getattr(node, "decorator_list", [])
            own = range(
                min([node, *decorators], key=lambda part: part.lineno).lineno,
                inner[0].lineno if inner else (node.end_lineno or node.lineno) + 1,
            )
            statement |= dict.fromkeys(own, own)
    nodes = [node for node in ast.walk(tree) if isinstance(node, ast.expr | ast.stmt) and not _quiet(node)]
    annotations = {id(inner) for node in ast.walk(tree) for inner in _annotations(node)}
    for node in nodes:
        if id(node) in annotations:
            continue
        for description, change in _changes(node):
            before = copy.copy(node.__dict__)
            change()
            ast.fix_missing_locations(tree)
            place = f"{node.lineno}:{node.col_offset}-{node.end_col_offset}: {description}: {lines[node.lineno - 1].strip()}"
            found[place] = statement[node.lineno], copy.deepcopy(tree)
            node.__dict__.update(before)
    return found


def _quiet(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and not isinstance(node.value, bool | int | float)


def _annotations(node: ast.AST) -> list[ast.AST]:
    parts = [getattr(node, name, None) for name in ("annotation", "returns")]
    return [inner for part in parts if isinstance(part, ast.AST) for inner in ast.walk(part)]


def _changes(node: ast.expr | ast.stmt) -> list[tuple[str, Change]]:
    def set_to(**values: object) -> Change:
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


class Covered:
    """Plugin of pytest that keeps which tests execute a line, and how long they take."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()
        self._coverage = coverage.Coverage(data_file=None, source=[str(ROOT / "openmm_trajgan")])

    def __enter__(self) -> "Covered":
        self._coverage.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._coverage.stop()

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._coverage.switch_context(nodeid)

    def pytest_runtest_logreport(self, report: Any) -> None:
        self.seconds[report.nodeid] += report.duration

    def tests(self, path: Path, lines: Iterable[int]) -> list[str]:
        """Tests that execute one of some lines, or for lines that importing executes any line of the file, quick ones first."""
        by_line = self._coverage.get_data().contexts_by_lineno(str(path))
        found = {test for line in lines for test in by_line.get(line, [])}
        if "" in found:
            found = {test for tests in by_line.values() for test in tests} - {""}
        return sorted(found, key=lambda test: self.seconds[test])


def run(tests: list[str], *plugins: object) -> int:
    """Exit status of pytest."""
    import pytest

    options = ["-x", "-q", "-p", "no:cacheprovider", "-W", "ignore::pytest.PytestAssertRewriteWarning", "-k", f"not ({SLOW})"]
    return int(pytest.main([*options, "-o", "addopts=--import-mode=importlib", *tests], plugins))


def outcome(name: str, code: CodeType, tests: list[str], seconds: int) -> str:
    """``killed``, ``survived`` or ``timed out``, from the tests of a module with other code."""
    if not tests:
        return "survived"
    child = os.fork()
    if not child:
        nowhere = os.open(os.devnull, os.O_RDWR)
        for stream in range(3):
            os.dup2(nowhere, stream)
        os.setpgid(0, 0)
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
        signal.alarm(10 * seconds)  # other jobs may take most of the processor
        original = SourceFileLoader.get_code
        SourceFileLoader.get_code = lambda loader, fullname: code if fullname == name else original(loader, fullname)
        os._exit(run(tests))
    _, status = os.waitpid(child, 0)
    with suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)  # what its tests have started
    if os.WIFSIGNALED(status):
        return "timed out" if os.WTERMSIG(status) in (signal.SIGALRM, signal.SIGXCPU, signal.SIGKILL) else "killed"
    return "killed" if os.WEXITSTATUS(status) else "survived"


def main(modules: list[str], tests: list[str], sample: int | None, out: Path, again: bool) -> None:
    """Test the mutants of modules and write after each what became of it."""
    import hypothesis

    phases = [hypothesis.Phase.explicit, hypothesis.Phase.generate]
    hypothesis.settings.register_profile("mutants", database=None, derandomize=True, phases=phases)
    hypothesis.settings.load_profile("mutants")
    os.chdir(ROOT)
    with Covered() as covered:  # which loads all that the children will need
        if run(tests, covered):
            raise RuntimeError("the tests fail without any change")
    for name in [name for name in sys.modules if name.partition(".")[0] in ("openmm_trajgan", "tests")]:
        del sys.modules[name]
    gc.collect()
    gc.freeze()
    results: dict[str, dict[str, str]] = json.loads(out.read_text())["mutants"] if out.exists() else {}
    for module in modules:
        name = f"openmm_trajgan.{module}"
        path = ROOT / f"{name.replace('.', '/')}.py"
        every = mutants(path.read_text())
        before = results.get(module, {})
        known = {place: found for place, found in before.items() if place in every and not (again and found == "survived")}
        results[module] = known
        drawn = list(every)
        random.Random(1).shuffle(drawn)
        for place in tqdm(drawn[:sample], module):
            if place not in known:
                lines, tree = every[place]
                fitting = covered.tests(path, lines)
                seconds = 10 + 2 * int(sum(covered.seconds[test] for test in fitting))
                known[place] = outcome(name, compile(tree, str(path), "exec"), fitting, seconds)
                write(out, results)


def write(out: Path, results: dict[str, dict[str, str]]) -> None:
    """Write what became of the mutants, and their number by module."""
    counts = {module: Counter(found.values()) for module, found in results.items()}
    total = sum(counts.values(), Counter[str]())
    score = round(1 - total["survived"] / total.total(), 4)
    partial = out.with_suffix(".partial")
    partial.write_text(
        json.dumps({"score": score, "total": total, "counts": counts, "mutants": results}, indent=1, ensure_ascii=False)
    )
    partial.replace(out)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--modules", nargs="+", default=MODULES, choices=MODULES)
    parser.add_argument("--tests", nargs="+", default=TESTS, help="files or folders of tests")
    parser.add_argument("--sample", type=int, help="test so many of each module, drawn at random, always the same ones")
    parser.add_argument("--survivors", action="store_true", help="try those again that survived before")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write, and to go on from")
    arguments = parser.parse_args()
    main(arguments.modules, arguments.tests, arguments.sample, arguments.out.absolute(), arguments.survivors)
