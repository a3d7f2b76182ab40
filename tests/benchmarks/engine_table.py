"""The tables of `openmm_trajgan/models/README.md` from the results of ``engine.py``.

Run ``python tests/benchmarks/engine_table.py engine.json``. Every entry is the median over seeds, with the lowest and highest in
brackets if there are several.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

FIGURES = {  # heading: name of a figure, and what is shown of it
    "displacement 1": ("displacement JSD, k = 1", "worth by training length"),
    "4": ("displacement JSD, k = 4", "worth by training length"),
    "16": ("displacement JSD, k = 16", "worth by training length"),
    "64": ("displacement JSD, k = 64", "worth by training length"),
    "occupancies": ("occupancy JSD", "worth by training length"),
    "transition matrix": ("transition matrix JSD", "worth by training length"),
    "t₂ ratio": ("timescale ratio t2", "value"),
    "t₃ ratio": ("timescale ratio t3", "value"),
    "nearest window": ("nearest training window, median", "value"),
    "C_T effect": ("C_T effect size", "value"),
}


def spread(values: list[float]) -> str:
    """Median, lowest and highest."""
    if not values:
        return ""
    text = rounded(float(np.median(values)))
    return text if len(values) == 1 else f"{text} ({rounded(min(values))} – {rounded(max(values))})"


def rounded(value: float) -> str:
    """Two digits, three from 0.95 on."""
    return f"{value:.2g}" if abs(value) < 0.95 else f"{value:.3g}"


def row(model: str, runs: list[dict[str, Any]]) -> list[str]:
    """Return one line of the table of a case."""
    densities = [name for name in runs[0]["figures"] if name.startswith("JSD") and "TICA" not in name]
    joint = max(densities, key=len)
    columns = [(joint, "worth by training length"), *FIGURES.values()]
    cells = [model, str(len(runs)), spread([run["training_cpu_seconds"] for run in runs])]
    cells.append(f"{np.median([run['frames_per_cpu_second'] for run in runs]) / 1000:.0f}")
    for name, shown in columns:
        found = [run["figures"][name][shown] for run in runs if name in run["figures"]]
        cells.append(spread([value for value in found if value is not None]))
    return cells


def main() -> None:
    """Print a table for every case."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path, nargs="+")
    for path in parser.parse_args().results:
        for case, models in json.loads(path.read_text()).items():
            heading = ["model", "seeds", "training, CPU s", "1000 frames/CPU s", "joint density", *FIGURES]
            sys.stdout.write(f"\n**{case}**\n\n| {' | '.join(heading)} |\n|{'---|' * len(heading)}\n")
            for model, runs in models.items():
                sys.stdout.write(f"| {' | '.join(row(model, list(runs.values())))} |\n")


if __name__ == "__main__":
    main()
