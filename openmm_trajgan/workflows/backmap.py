"""Generated or collected features in, structures out, and how valid they are."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import MDAnalysis
from pydantic import Field, model_validator

from openmm_trajgan.analysis.validity import StructureValidity
from openmm_trajgan.analysis.validity_report import ValidityReport
from openmm_trajgan.backmap import to_universe, write_universe
from openmm_trajgan.backmap.choice import Method
from openmm_trajgan.backmap.export import write_json, written_files
from openmm_trajgan.backmap.force_field import FORCE_FIELD, PotentialEnergy, force_field_system
from openmm_trajgan.backmap.molecule import molecule_of, reference_of, without_frames
from openmm_trajgan.buffer import WindowBuffer
from openmm_trajgan.errors import InputError, first_line
from openmm_trajgan.features import Featurizer, Latent
from openmm_trajgan.features.from_schema import from_schema
from openmm_trajgan.schema import FeatureSchema
from openmm_trajgan.systems import NAMES, get_system
from openmm_trajgan.systems.bound_complex import source_and_ligand
from openmm_trajgan.workflows.config import Argument, require_new
from openmm_trajgan.workflows.data import DataConfig, as_trajectories, load_data

_MOST_ENERGIES, _PAIRS = 200, 2_000_000_000  # frames; pairs of atoms in all of them, which take a minute


class BackmapConfig(DataConfig):
    """Turn features into structures and write them as a trajectory with a PDB file, and how valid they are beside MD."""

    features: Path = Argument(description="generated trajectories or a window buffer")
    out: Path = Field(
        description="trajectory file to write, for example generated.xtc, or generated.trajgan for structures with features in "
        "one file; a .pdb with the same name goes beside it"
    )
    topology: Path | None = Field(None, description="PDB file of the molecule, with its bonds")
    system: str | None = Field(
        None,
        description=f"system of this package that the features were collected from, in place of --topology: {', '.join(NAMES)}; "
        "needed for features that atoms do not define, such as native contacts",
    )
    structure: str | None = Field(None, description="--structure that the system was collected with, if any")
    latent: Path | None = Field(None, description="fitted projection that made the features: a file of Latent.save or trajgan demo")
    reference: Path | None = Field(
        None,
        description="structures of MD for what the features do not tell, and to compare with: a window buffer, or a trajectory of "
        "the atoms in the topology; default: that of the PDB file",
    )
    method: Method | None = Field(None, description="how structures are made; default: by the features and the molecule")
    trajectory: int | None = Field(0, ge=0, description="index of the generated trajectory to write")
    all_trajectories: bool = Field(False, description="write all trajectories, one after the other, in place of --trajectory")
    seed: int = Field(0, ge=0, description="seed of what the method draws")
    relax: bool = Field(
        False, description="repair the frames that clash, and only these, by restrained minimisation; none is ever left out"
    )
    force_field: list[str] = Field(
        list(FORCE_FIELD),
        description="files of the force field, as OpenMM knows them, for --relax and the energies of the report; where it does not "
        "know the molecule there are no energies",
    )
    force: bool = Field(False, description="replace existing files")

    @model_validator(mode="after")
    def _one_molecule(self) -> "BackmapConfig":
        if (self.topology is None) == (self.system is None):
            raise ValueError("give either --topology, a PDB file of the molecule, or --system, the name of a system")
        if self.structure is not None and self.system is None:
            raise ValueError("--structure belongs to --system; leave it out")
        if self.all_trajectories and self.trajectory:
            raise ValueError("give either --trajectory or --all-trajectories")
        return self


def run(config: BackmapConfig) -> str:
    """Backmap, write, measure and return what was done in words."""
    pdb, report_file = config.out.with_suffix(".pdb"), config.out.with_suffix(".validity.json")
    structure = None if config.structure is None else source_and_ligand(config.structure)[0]
    inputs = (config.features, config.topology, config.latent, config.reference, structure)
    for path in (*written_files(config.out), report_file):
        require_new(path, force=config.force, inputs=inputs)
    topology, featurizer = _molecule(config)
    if config.latent is not None:
        featurizer = Latent.load(config.latent, featurizer)
    features = as_trajectories(load_data(config.features, config, _columns(config, featurizer)))
    if config.latent is None and "latent" in features.schema.kinds:
        raise InputError(f"{config.features}: holds values of a fitted projection; give its file with --latent")
    if features.schema.frame_interval is None:
        raise InputError(f"{config.features}: holds no time between frames; give --frame-interval in ps")
    reference = None if config.reference is None else _reference(config.reference, topology)
    energy = _energy(config, topology)
    universe = to_universe(
        features,
        topology,
        reference,
        featurizer=featurizer,
        method=config.method,
        trajectory=None if config.all_trajectories else config.trajectory,
        seed=config.seed,
        relax=config.relax and config.force_field,
    )
    write_universe(universe, config.out, overwrite=config.force)
    config.write_beside(config.out)
    frames, provenance = universe.trajectory, universe.trajectory.provenance
    lines = [
        f"{config.out}, {pdb}: {frames.n_frames} frames of {len(universe.atoms)} atoms, one every {frames.dt:g} ps"
        + _which(config, len(features)),
        f"Method {provenance['method']}: {provenance['reason']}.",
    ]
    if "retrieved" in provenance:
        lines.append(_retrieved(provenance["retrieved"]))
    if "relaxed" in provenance:
        lines.append(_repaired(provenance["relaxed"]))
    if reference is not None:
        energy = energy if provenance["atoms"] is None else None
        report = compare_with_md(universe, reference, energy, featurizer)
        told = {name: provenance[name] for name in ("relaxed", "not set") if provenance.get(name)}
        write_json(report.as_dict() | ({} if energy is None else {"force field": config.force_field}) | told, report_file)
        if provenance["not set"] and report.features:
            lines.append(_not_set(provenance["not set"], report))
        lines.append(f"{report.sentence} All figures: {report_file}")
    return "\n".join(lines)


def _molecule(config: BackmapConfig) -> tuple[Any, Featurizer | None]:
    """Return the topology, and the featurizer where the system tells it."""
    if config.system is not None:
        system = get_system(config.system, config.structure)
        return system.topology(), system.features()
    assert config.topology is not None
    if not config.topology.is_file():
        raise InputError(f"{config.topology}: no such file; give a PDB file of the molecule")
    return config.topology, None


def _columns(config: BackmapConfig, featurizer: Featurizer | None) -> FeatureSchema | None:
    """Return what the columns of arrays are: the features of the system, or those of the buffer that holds the reference."""
    if featurizer is not None:
        schema = featurizer.schema
    elif config.reference is not None and (config.reference / "buffer.json").exists():
        schema = WindowBuffer(config.reference).schema
    else:
        return None
    return schema if config.frame_interval is None else schema.with_frame_interval(config.frame_interval)


def _which(config: BackmapConfig, n_trajectories: int) -> str:
    """Say which of several trajectories were written."""
    if n_trajectories == 1:
        return ""
    if config.all_trajectories or config.trajectory is None:
        return f", all {n_trajectories} trajectories one after the other"
    return f", trajectory {config.trajectory} of {n_trajectories} (--all-trajectories writes all)"


def _repaired(told: dict[str, Any]) -> str:
    """Say in a line what was repaired."""
    line = f"Repaired {told['repaired']} of {told['frames']} frames, {told['still clashing']} still clash"
    if told["repaired"]:
        line += ", atoms moved by {median:.2g} nm (median; largest {largest:.2g})".format(**told["moved, nm"])
    return line + "; the others are untouched."


def _retrieved(told: dict[str, float]) -> str:
    """Say in a line what frames of MD can and cannot show."""
    share, mean, highest = told.values()
    return (
        f"{share:.0%} of the frames are different frames of MD, whose nearest features are {mean:.2g} SD from the generated ones "
        f"(99th percentile {highest:.2g}); what MD did not visit they cannot show."
    )


def _not_set(reasons: dict[str, str], report: ValidityReport) -> str:
    """Say in a line which features follow from the others, and how far they are from what was generated."""
    listed = (
        f"{name} ({why}; off by {report.features[name]['mean']:.2g} {report.features[name]['unit']})"
        for name, why in reasons.items()
    )
    return f"Not set, since they follow from the others: {', '.join(listed)}."


def _energy(config: BackmapConfig, topology: Any) -> PotentialEnergy | None:
    """Return the energy of the molecule, or None where the force field does not know it and was not asked for."""
    try:
        return PotentialEnergy(force_field_system(topology, config.force_field))
    except InputError:
        if config.relax or "force_field" in config.model_fields_set:
            raise
        return None


def compare_with_md(
    universe: MDAnalysis.Universe,
    reference: MDAnalysis.Universe,
    energy: PotentialEnergy | None = None,
    featurizer: Featurizer | None = None,
) -> ValidityReport:
    """Measure generated structures beside those of MD, and their features where the schema tells how.

    Parameters
    ----------
    universe
        From `to_universe`.
    reference
        Structures of MD, of all atoms of the molecule.
    energy
        Of all its atoms; measured on at most 200 frames of each, fewer of large molecules.
    featurizer
        That of the model; None rebuilds it from the schema, where it tells how.
    """
    atoms = universe.trajectory.provenance["atoms"]
    group = reference.atoms if atoms is None else reference.atoms[atoms]
    featurizer = featurizer_of(universe, featurizer)
    n_energies = max(1, min(_MOST_ENERGIES, _PAIRS // len(group) ** 2))
    validity = StructureValidity(universe, group, featurizer=featurizer, energy=energy, n_energies=n_energies).run()
    report: ValidityReport = validity.results.report
    return report


def featurizer_of(universe: MDAnalysis.Universe, featurizer: Featurizer | None = None) -> Featurizer | None:
    """Return the featurizer of generated structures, which may be some of the atoms of the model; None where none is known.

    Parameters
    ----------
    universe
        From `to_universe`, or of a ``.trajgan`` file.
    featurizer
        That of the model; None rebuilds it from the schema, where it tells how.
    """
    atoms, schema = universe.trajectory.provenance["atoms"], universe.trajectory.schema
    if atoms is None and featurizer is not None:
        return featurizer
    with suppress(InputError):
        return from_schema(schema if atoms is None else _renumbered(schema, atoms))
    return None


def _renumbered(schema: FeatureSchema, atoms: list[int]) -> FeatureSchema:
    """Count the atoms of the features among those that are there."""
    place = {atom: index for index, atom in enumerate(atoms)}
    renumbered = tuple(tuple(place[atom] for atom in each) for each in schema.atoms)
    return FeatureSchema.model_validate({**schema.model_dump(), "atoms": renumbered})


def _reference(path: Path, topology: Any) -> MDAnalysis.Universe:
    molecule = molecule_of(topology)
    if (path / "buffer.json").exists():
        return reference_of(molecule, WindowBuffer(path))
    if not path.is_file():
        raise InputError(f"{path}: no such file or window buffer; give structures of MD")
    try:
        universe = without_frames(molecule).load_new(str(path))
    except (OSError, TypeError, ValueError, EOFError) as error:
        raise InputError(f"{path}: not a window buffer, and no trajectory that fits the topology ({first_line(error)})") from error
    return universe
