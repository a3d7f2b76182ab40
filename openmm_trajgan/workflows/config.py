"""What all configurations share: strict fields, YAML, and outputs that are never overwritten by accident."""

import shutil
from pathlib import Path
from typing import Any, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from openmm_trajgan.errors import InputError
from openmm_trajgan.storage import replacing


def Argument(description: str) -> Any:
    """Field of a configuration that the command line takes by position."""
    return Field(description=description, json_schema_extra={"positional": True})


class WorkflowConfig(BaseModel):
    """Base of the configurations; every field has a description, with its unit, which the command line shows."""

    model_config = ConfigDict(extra="forbid", validate_default=True)

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
            try:
                loaded = yaml.safe_load(file.read_text())
            except (OSError, yaml.YAMLError) as error:
                raise InputError(f"{file}: cannot be read as YAML ({' '.join(str(error).split())})") from error
            if not isinstance(loaded, dict):
                raise InputError(f"{file}: expected a mapping of fields to values, found {type(loaded).__name__}")
            merged.update(loaded)
        merged.update(values)
        try:
            return cls.model_validate(merged)
        except ValidationError as error:
            first = error.errors()[0]
            name = ".".join(str(part) for part in first["loc"]) or "configuration"
            found = "" if first["type"] == "missing" else f", found {first['input']!r}"
            raise InputError(
                f"{name}: {first['msg'].removeprefix('Value error, ')}{found}; see --print-config or --help"
            ) from error

    def to_yaml(self) -> str:
        """Return every field with its value."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False)

    def write_beside(self, output: Path) -> None:
        """Write the resolved configuration into a folder, or beside a file as ``<name>.config.yaml``."""
        target = output / "config.yaml" if output.is_dir() else output.with_name(output.name + ".config.yaml")
        with replacing(target) as file:
            file.write(self.to_yaml().encode())


def require_new(output: Path, *, force: bool, resume: bool = False) -> None:
    """Refuse to overwrite, before any work is done.

    Parameters
    ----------
    output
        File or folder that the job will make.
    force
        Replace what is there: a file when the new one is complete; a folder, if one of our jobs made it, at once.
    resume
        Continue what is there.

    Raises
    ------
    InputError
        If `output` exists and neither is given, or its parent folder does not exist.
    """
    if not output.parent.is_dir():
        raise InputError(f"{output.parent}: no such folder; make it, or choose another --out")
    if not output.exists() or resume:
        return
    if not force:
        raise InputError(f"{output}: exists already; choose another --out, or --force to replace it")
    if output.is_dir():
        if any(output.iterdir()) and not (output / "config.yaml").exists():
            raise InputError(
                f"{output}: not made by this program (no config.yaml in it); remove it yourself or choose another --out"
            )
        shutil.rmtree(output)
