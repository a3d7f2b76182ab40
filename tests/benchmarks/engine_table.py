"""The tables of `openmm_trajgan/models/README.md` from the results of ``engine.py``.

Run ``python tests/benchmarks/engine_table.py engine.json``; several files are put together. Every entry is the median over seeds,
with the lowest and highest in brackets if there are several. Divergences are shown as MD-equivalent lengths in units of the
training length or, with ``--errors``, in units of those of the training data. Passage times: the largest relative error of one.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

DIVERGENCES = {  # heading: name of a figure
    "displacement 1": "displacement JSD, k = 1",
    "4": "displacement JSD, k = 4",
    "16": "displacement JSD, k = 16",
    "64": "displacement JSD, k = 64",
    "occupancies": "occupancy JSD",
    "transition matrix": "transition matrix JSD",
}
VALUES = {
    "t₂ ratio": "timescale ratio t2",
    "t₃ ratio": "timescale ratio t3",
    "nearest window": "nearest training window, median",
    "C_T effect": "C_T effect size",
}
HEADINGS = ["model", "seeds", "training, CPU s", "1000 frames/CPU s", "joint density", *DIVERGENCES, "passage times", *VALUES]


def spread(values: list[float]) -> str:
    """Median, lowest and highest."""
    if not values:
        return ""
    text = rounded(float(np.median(values)))
    return text if len(values) == 1 else f"{text} ({rounded(min(values))} – {rounded(max(values))})"


def rounded(value: float) -> str:
    """Two digits, three from 0.95 on."""
    return f"{value:.2g}" if abs(value) < 0.95 else f"{value:.3g}"


def row(model: str, runs: list[dict[str, Any]], shown: str) -> list[str]:
    """Return one line of the table of a case."""
    densities = [name for name in runs[0]["figures"] if name.startswith("JSD") and "TICA" not in name]
    columns = [(name, shown) for name in (max(densities, key=len), *DIVERGENCES.values())]
    cells = [model, str(len(runs)), spread([run["training_cpu_seconds"] for run in runs])]
    cells.append(f"{np.median([run['frames_per_cpu_second'] for run in runs]) / 1000:.0f}")
    cells += [spread(found(runs, name, kind)) for name, kind in columns]
    cells.append(spread([worst for run in runs if (worst := worst_passage_time(run["figures"])) is not None]))
    return cells + [spread(found(runs, name, "value")) for name in VALUES.values()]


def found(runs: list[dict[str, Any]], name: str, kind: str) -> list[float]:
    """Return a figure of all runs that have it."""
    values = [run["figures"][name][kind] for run in runs if name in run["figures"]]
    return [value for value in values if value is not None]


def worst_passage_time(figures: dict[str, dict[str, float]]) -> float | None:
    """Largest relative error of a mean first passage time."""
    return max((abs(one["value"] - 1) for name, one in figures.items() if name.startswith("MFPT ratio")), default=None)


def main() -> None:
    """Print a table for every case."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path, nargs="+")
    parser.add_argument("--errors", action="store_true", help="divergences in units of those of the training data")
    arguments = parser.parse_args()
    shown = "error by that of training data" if arguments.errors else "worth by training length"
    together: dict[str, dict[str, dict[str, Any]]] = {}
    for path in arguments.results:
        for case, models in json.loads(path.read_text()).items():
            for model, runs in models.items():
                together.setdefault(case, {}).setdefault(model, {}).update(runs)
    for case, models in together.items():
        sys.stdout.write(f"\n**{case}**\n\n| {' | '.join(HEADINGS)} |\n|{'---|' * len(HEADINGS)}\n")
        for model, runs in models.items():
            sys.stdout.write(f"| {' | '.join(row(model, list(runs.values()), shown))} |\n")


if __name__ == "__main__":
    main()
