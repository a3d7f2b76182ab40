"""The result of an audit as JSON."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from openmm_trajgan.analysis.uncertainty import Estimate
from openmm_trajgan.analysis.verdict import FigureOfMerit

if TYPE_CHECKING:
    from openmm_trajgan.analysis.audit import Audit

FORMAT_VERSION = 2


def json_text(audit: "Audit") -> str:
    """Return everything as JSON, whose keys `Audit.to_json` lists; the same data and seed give the same text."""
    yardstick = audit.yardstick
    schema = audit.reference.schema
    content = {
        "format": "openmm-trajgan audit",
        "version": FORMAT_VERSION,
        "package": audit.package,
        "command": audit.command,
        "seed": yardstick.seed,
        "schema": {"digest": schema.digest, "names": schema.names, "units": schema.units},
        "frame_interval_ps": audit.frame_interval,
        "lengths": audit.lengths(),
        "n_frames": {name: data.n_frames for name, data in audit.sets().items()},
        "verdict": audit.headline(),
        "worth": audit.worth,
        "groups": [
            {
                "group": one.group,
                "standing": one.standing,
                "md_equivalent_frames": _estimate(one.md_equivalent),
                "sentence": one.sentence,
            }
            for one in audit.groups
        ],
        "figures": [_figure(one) for one in audit.figures],
        "baselines": {name: [_figure(one) for one in figures] for name, figures in audit.baselines.items()},
        "literature": [asdict(one) for one in audit.literature],
        "structure": None
        if audit.structure is None
        else asdict(audit.structure) | {"validity": audit.structure.validity.as_dict()},
        "choices": audit.choices(),
        "implied_timescales_frames": {
            "lags": yardstick.timescales.lags.tolist(),
            "reference": yardstick.timescales.values.tolist(),
        },
        "warnings": audit.warnings,
        "provenance": {name: {"sha256": data.digest, **data.provenance} for name, data in audit.sets().items()},
    }
    return json.dumps(_rounded(content), indent=1, ensure_ascii=False, allow_nan=False)


def _figure(one: FigureOfMerit) -> dict[str, Any]:
    return {
        "name": one.figure.name,
        "group": one.figure.group,
        "kind": one.figure.kind,
        "unit": one.figure.unit,
        "meaning": one.figure.meaning,
        "estimate": _estimate(one.estimate),
        "sampling_floor": _estimate(one.floor),
        "information_floor": one.information,
        "information_ratio": one.information_ratio,
        "md_equivalent_frames": _estimate(one.md_equivalent),
        "p_value": one.p_value,
        "verdict": one.verdict,
        "missing": None if one.missing is None else one.missing.reason,
    }


def _estimate(estimate: Estimate | None) -> dict[str, float] | None:
    return None if estimate is None else {"value": estimate.value, "low": estimate.low, "high": estimate.high}


def _rounded(content: Any) -> Any:
    """Six significant digits, and None for a number that is not finite."""
    if isinstance(content, float):
        return float(f"{content:.6g}") if np.isfinite(content) else None
    if isinstance(content, dict):
        return {key: _rounded(value) for key, value in content.items()}
    return [_rounded(value) for value in content] if isinstance(content, list | tuple) else content
