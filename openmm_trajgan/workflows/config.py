"""What all configurations share: strict fields, YAML, and outputs that are never overwritten by accident."""

import shutil
from collections.abc import Iterable
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, Self, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from openmm_trajgan.errors import InputError
from openmm_trajgan.seeding import Seeds
from openmm_trajgan.storage import replacing


def Argument(default: Any = ..., *, description: str) -> Any:
    """Field of a configuration that the command line takes by position."""
    return Field(default, description=description, json_schema_extra={"positional": True})


class WorkflowConfig(BaseModel):
    """Base of the configurations; every field has a description, with its unit, which the command line shows."""

    model_config = ConfigDict(extra="forbid", validate_default=True, coerce_numbers_to_str=True)

    @classmethod
    def parse(cls, values: dict[str, Any], file: Path | None = None) -> Self:
        """Build from a YAML file (if any) and values that override it.

        Raises
        ------
        InputError
            One line naming the field, what was found and what was expected.
        """
        merged: dict[str, Any] = {}
        if file is not None:
            merged.update(cls._options(_read_yaml(file)))
        merged.update(values)
        try:
            return cls.model_validate(merged)
        except ValidationError as error:
            first = error.errors()[0]
            name, text = ".".join(map(str, first["loc"])), first["msg"].removeprefix("Value error, ")
            if first["type"] == "missing":
                text = f"missing, expected {cls.model_fields[name].description}"
            elif first["type"] == "extra_forbidden":
                text = "unknown"
            elif name:
                text = f"{text}, found {first['input']!r}"
            raise InputError(f"{name}{': ' if name else ''}{text}; see --help") from error

    @classmethod
    def _options(cls, written: dict[str, Any]) -> dict[str, Any]:
        """Take names as the command line spells them too, and one value where several may stand."""
        options = {name.replace("-", "_"): value for name, value in written.items()}
        for name, value in options.items():
            if name in cls.model_fields and get_origin(cls.model_fields[name].annotation) is list and not isinstance(value, list):
                options[name] = [value]
        return options

    @classmethod
    def mark(cls) -> str:
        """Return the first line of files with a resolved configuration, which tells the command."""
        return f"# written by trajgan {cls.__name__.removesuffix('Config').lower()}"

    def with_seed(self) -> Self:
        """Return a copy whose root seed, if it has none, is drawn now, so that it is written down with the rest."""
        return self.model_copy(update={"seed": Seeds(getattr(self, "seed")).root})  # noqa: B009 (the base has no such field)

    def to_yaml(self) -> str:
        """Return every field with its value."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False)

    def write_beside(self, output: Path) -> None:
        """Write the resolved configuration into a folder, or beside a file as ``<name>.config.yaml``."""
        target = output / "config.yaml" if output.is_dir() else output.with_name(output.name + ".config.yaml")
        with replacing(target) as file:
            file.write(f"{self.mark()}\n{self.to_yaml()}".encode())

    def continued(self, output: Path, *, free: set[str]) -> Self:
        """Return this configuration with the seed of the job that made the folder `output`, which it continues.

        Raises
        ------
        InputError
            If `output` holds no such job, or one with other values in a field that is not `free`.
        """
        if not _is_made_by(type(self), output):
            raise InputError(f"{output}: nothing to resume (no config.yaml of this command in it); begin without --resume")
        before = _read_yaml(output / "config.yaml")
        config = self if getattr(self, "seed", None) is not None else self.model_copy(update={"seed": before.get("seed")})
        for name, value in config.model_dump(mode="json").items():
            if name not in free and before.get(name) != value:
                begun = f"{name}={before.get(name)}"
                raise InputError(f"{output}: begun with {begun}, found {value}; resume with the same, or choose another --out")
        return config


def _read_yaml(file: Path) -> dict[str, Any]:
    """Fields and values of a YAML file."""
    try:
        loaded = yaml.safe_load(file.read_text())
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise InputError(f"{file}: cannot be read as YAML ({' '.join(str(error).split())})") from error
    if not isinstance(loaded, dict) or not all(isinstance(name, str) for name in loaded):
        raise InputError(f"{file}: expected a mapping of fields to values, found {type(loaded).__name__}")
    return loaded


def require_new(
    output: Path,
    *,
    force: bool,
    inputs: Iterable[Path | str | None] = (),
    resume: bool = False,
    folder_of: type[WorkflowConfig] | None = None,
) -> None:
    """Refuse to overwrite, or to write where nothing can be written, before any work is done.

    Parameters
    ----------
    output
        File or folder that the job will make.
    force
        Allow to replace what is there, unless it is one of the `inputs`.
    inputs
        Files and folders that the job reads; None for those not given.
    resume
        Allow to continue what is there.
    folder_of
        Configuration of a job that makes a folder; one that is there is replaced only if such a job made it, so that no report
        takes the place of a simulation. None for jobs that make a file.

    Raises
    ------
    InputError
        If `output` exists and may not be replaced, or is, holds or belongs to an input, or its parent folder does not exist,
        or nothing can be written there.
    """
    if not output.parent.is_dir():
        raise InputError(f"{output.parent}: no such folder; make it, or choose another --out")
    _require_writable(output, output if resume and folder_of and output.is_dir() else output.parent)
    if not output.exists():
        return
    for given in inputs:
        if given is not None and _would_be_lost(Path(given).resolve(), output.resolve()):
            raise InputError(f"{given}: is an input, and {output} would be replaced; choose another --out")
    if resume and folder_of:
        return
    if output.is_dir() != (folder_of is not None):
        kind = "folder" if output.is_dir() else "file"
        raise InputError(f"{output}: is a {kind} already; choose another --out")
    if not force:
        raise InputError(f"{output}: exists already; choose another --out, or --force to replace it")
    if folder_of and any(output.iterdir()) and not _is_made_by(folder_of, output):
        raise InputError(f"{output}: not made by this command (no config.yaml of it in there); choose another --out")


def _require_writable(output: Path, folder: Path) -> None:
    try:
        with NamedTemporaryFile(dir=folder, prefix=f".{output.name}.", suffix=".config.yaml"):  # as long a name as will be needed
            pass
    except OSError as error:
        raise InputError(f"{output}: nothing can be written there ({error.strerror}); choose another --out") from error


def replace_folder(output: Path) -> None:
    """Make an empty folder where `require_new` allowed it, once everything that can be wrong with the input has been checked."""
    if output.exists():
        shutil.rmtree(output)
    output.mkdir()


def _would_be_lost(given: Path, output: Path) -> bool:
    """Whether an input is what would be replaced, lies in it, or is the window buffer or folder of .npy files that holds it."""
    belongs = output.is_relative_to(given) and (output.suffix == ".npy" or (given / "buffer.json").exists())
    return belongs or given.is_relative_to(output)


def _is_made_by(config: type[WorkflowConfig], folder: Path) -> bool:
    try:
        return (folder / "config.yaml").read_text().startswith(f"{config.mark()}\n")
    except (OSError, ValueError):
        return False
