"""The report of an audit: one HTML page with its pictures, without script and without anything from the network."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.figure import FigureBase

from openmm_trajgan.analysis.axes import Coordinate
from openmm_trajgan.analysis.metric import NOUNS
from openmm_trajgan.analysis.pictures import MOST_PANELS, Picture, pictures, write_pictures
from openmm_trajgan.analysis.tables import Row, Words, mean_of, number, percent, tables, write_tables
from openmm_trajgan.storage import replacing

if TYPE_CHECKING:
    from openmm_trajgan.analysis.audit import Audit


def write_report(audit: "Audit", folder: Path | str, name: str = "audit.html", structures: Sequence[FigureBase] = ()) -> Path:
    """Write the page, ``figures/*.png`` and ``*.svg``, and ``tables/*.csv`` into a folder, and return the path of the page."""
    folder = Path(folder)
    drawn = [*pictures(audit), *_structures(structures)]
    write_pictures(audit, folder / "figures", drawn)
    filled = tables(audit)
    write_tables(audit, folder / "tables", filled)
    with replacing(folder / name) as file:
        file.write(render(audit, drawn=drawn, filled=filled).encode())
    return folder / name


def render(
    audit: "Audit",
    structures: Sequence[FigureBase] = (),
    drawn: Iterable[Picture] | None = None,
    filled: Mapping[str, list[Row]] | None = None,
) -> str:
    """Return the page of an audit as HTML text; everything that comes from the data is escaped.

    Parameters
    ----------
    audit
        What to show.
    structures
        Rendered frames of generated structures, for example from `openmm_trajgan.analysis.sketch`.
    drawn
        From `pictures`, if they are drawn already.
    filled
        From `tables`, if they are filled already.
    """
    environment = Environment(
        loader=PackageLoader("openmm_trajgan.analysis", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": number, "percent": percent}
    shown = [*(pictures(audit) if drawn is None else drawn), *_structures(structures)]
    return environment.get_template("report.html").render(
        audit=audit,
        nouns=NOUNS,
        words=Words(audit),
        mean_of=mean_of,
        tables=tables(audit) if filled is None else filled,
        schema=audit.reference.schema,
        coordinates=[Coordinate.of(audit.reference.schema, name) for name in audit.reference.schema.names[:MOST_PANELS]],
        pictures=shown,
        provenance=_provenance(audit),
    )


def _structures(figures: Sequence[FigureBase]) -> list[Picture]:
    return [
        Picture(
            f"structure_{index + 1}",
            f"Generated structure {index + 1}",
            "Balls and sticks from two sides, fainter with distance: carbon grey, nitrogen blue, oxygen red, sulphur yellow, "
            "hydrogen white.",
            figure,
        )
        for index, figure in enumerate(figures)
    ]


def _provenance(audit: "Audit") -> dict[str, list[tuple[str, str]]]:
    packages = ("openmm-trajgan", "numpy", "scipy", "deeptime", "matplotlib")
    schema = audit.reference.schema
    found = {
        "This report": [
            *((name, version(name)) for name in packages),
            ("Python", ".".join(map(str, sys.version_info[:3]))),
            *([("command", audit.command)] if audit.command else []),
            ("seed", str(audit.yardstick.seed)),
            ("features", f"{', '.join(schema.names[:8])}{f', … {schema.n_features} in all' * (schema.n_features > 8)}"),
            ("schema", schema.digest),
        ]
    }
    for name, data in audit.sets().items():
        found[name] = [("SHA-256 of the values", data.digest), *sorted(data.provenance.items())]
    return found
