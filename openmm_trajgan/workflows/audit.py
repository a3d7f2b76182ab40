"""Generated beside held-out MD: the report."""

import shlex
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pydantic import Field

from openmm_trajgan.analysis.audit import Audit, audit
from openmm_trajgan.buffer import WindowBuffer
from openmm_trajgan.errors import BelowThresholdError, InputError, first_line
from openmm_trajgan.schema import FeatureTrajectories
from openmm_trajgan.workflows.config import Argument, require_new
from openmm_trajgan.workflows.data import DataConfig, load_data
from openmm_trajgan.workflows.progress import progress_bar

_ANGSTROM = 10.0  # per nm


class AuditConfig(DataConfig):
    """Judge generated trajectories by held-out MD: what they are worth in MD, and whether they copy training data."""

    reference: Path = Argument(description="held-out MD: window buffer, .npy/.npz file or folder of .npy files")
    generated: Path = Argument(description="generated trajectories")
    out: Path = Field(description="folder to write audit.html, audit.json, figures and tables to")
    train: Path | None = Field(None, description="training MD, to tell copies and what the model could know")
    baselines: bool = Field(False, description="also judge a Markov state model, VAR(1) and a bootstrap of the training MD")
    temperature: float = Field(300.0, gt=0, allow_inf_nan=False, description="temperature of the MD, K, for free energies")
    topology: Path | None = Field(None, description="PDB file of the molecule, to compare structures too")
    reference_structures: Path | None = Field(
        None,
        description="trajectory of held-out MD, for example an .xtc or .dcd file; default: what the reference buffer keeps",
    )
    generated_structures: Path | None = Field(None, description="trajectory of generated structures, as trajgan backmap writes")
    force_field: list[str] = Field(
        [], description="files of a force field, as OpenMM knows them, to compare energies of the structures too; default: none"
    )
    fail_below: float | None = Field(
        None,
        ge=0,
        allow_inf_nan=False,
        description="exit with status 3 if the data are worth less than this share of their length in MD, by distributions, "
        "dynamics or kinetics",
    )
    seed: int = Field(0, ge=0, lt=2**32, description="seed of clustering and resampling")
    force: bool = Field(False, description="replace an existing report")


def run(config: AuditConfig) -> str:
    """Write the report and return its summary."""
    structures = (config.topology, config.reference_structures, config.generated_structures)
    inputs = (config.reference, config.generated, config.train, *structures, *config.force_field)
    require_new(config.out, force=config.force, inputs=inputs, folder_of=AuditConfig)
    reference = load_data(config.reference, config)
    schema = reference.schema
    generated = load_data(config.generated, config, schema)
    train = None if config.train is None else load_data(config.train, config, schema)
    universes = _universes(reference, *structures)
    energy = None
    if config.force_field:
        if universes is None:
            raise InputError("--force-field: expected structures whose energies to compare, found none; see --topology")
        from openmm_trajgan.backmap.force_field import PotentialEnergy, force_field_system

        energy = PotentialEnergy(force_field_system(config.topology, config.force_field))
    with progress_bar(1, "auditing", "audit") as bar:
        result = audit(
            reference,
            generated,
            train,
            temperature=config.temperature,
            baselines=config.baselines,
            structures=universes,
            featurizer=None if universes is None else _featurizer(universes[1]),
            energy=energy,
            seed=config.seed,
            progress=bar.update,
        )
    result = replace(result, command=_command(config))
    with TemporaryDirectory(dir=config.out.parent, prefix=f".{config.out.name}.") as unfinished:
        made = Path(unfinished) / "report"
        page = config.out / result.to_folder(made).name
        config.write_beside(made)
        if config.out.exists():  # goes with the temporary folder: removing it where it is could be cut short
            config.out.replace(Path(unfinished) / "before")
        made.replace(config.out)
    if config.fail_below is not None:
        _require_worth(result, config.fail_below, page)
    return f"{result.summary()}\n{page}"


def _command(config: AuditConfig) -> str:
    words = ["trajgan", "audit", str(config.reference), str(config.generated)]
    for name, value in config.model_dump(mode="json", exclude={"reference", "generated"}, exclude_defaults=True).items():
        for one in value if isinstance(value, list) else [value]:
            words += [f"--{name.replace('_', '-')}", *([] if one is True else [str(one)])]
    return shlex.join(words)


def _universes(
    reference: FeatureTrajectories | WindowBuffer, topology: Path | None, simulated: Path | None, generated: Path | None
) -> tuple[Any, Any] | None:
    """Open structures of held-out MD, from a file or as its buffer keeps them, and generated ones; None if not asked for."""
    given = [path for path in (topology, simulated, generated) if path is not None]
    if not given:
        return None
    for path in given:
        if not path.is_file():
            raise InputError(f"{path}: no such file; give a topology and two trajectories of the same atoms")
    coordinates: Any = None if simulated is None else str(simulated)
    dimensions: dict[str, Any] = {}
    from openmm_trajgan.backmap.molecule import dimensions_of

    if simulated is None and isinstance(reference, WindowBuffer) and any(map(reference.has_structures, reference.streams)):
        coordinates, dimensions = _ANGSTROM * reference.structures(), dimensions_of(reference.boxes())
    if topology is None or generated is None or coordinates is None:
        raise InputError(
            "structures: expected --topology, --reference-structures (unless the reference is a buffer that keeps structures) "
            "and --generated-structures; give all three or none"
        )
    import MDAnalysis

    import openmm_trajgan.backmap  # noqa: F401  # MDAnalysis knows .trajgan files by it

    try:
        options = {} if simulated is not None else {"dt": reference.schema.frame_interval or 1.0, **dimensions}
        return MDAnalysis.Universe(str(topology), coordinates, **options), MDAnalysis.Universe(str(topology), str(generated))
    except (ValueError, OSError, TypeError, EOFError, IndexError) as error:  # IndexError: a PDB file without atoms
        files = ", ".join(map(str, given))
        raise InputError(f"{files}: MDAnalysis cannot read them together ({first_line(error)})") from error


def _featurizer(generated: Any) -> Any:
    """Return the featurizer of structures that come with their features."""
    from openmm_trajgan.backmap import GeneratedReader
    from openmm_trajgan.workflows.backmap import featurizer_of

    return featurizer_of(generated) if isinstance(generated.trajectory, GeneratedReader) else None


def _require_worth(result: Audit, least: float, page: Path) -> None:
    if result.worth >= least:
        return
    found = "no group could be judged" if result.worth != result.worth else f"found {result.worth:.3g}"
    raise BelowThresholdError(f"worth of at least {least:g} of the generated length expected, {found}; see {page}")
