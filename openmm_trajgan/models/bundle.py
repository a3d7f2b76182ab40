"""A trained model as one file: safetensors with the metadata in its header, nothing that could execute."""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from openmm_trajgan.errors import InputError
from openmm_trajgan.models.coarse_to_fine import GeneratorConfig
from openmm_trajgan.models.conditioning import LabelEncoding
from openmm_trajgan.models.encoding import FeatureEncoding
from openmm_trajgan.models.generator import WindowGenerator
from openmm_trajgan.schema import FORMAT_VERSION, FeatureSchema, require_known_version, written_by
from openmm_trajgan.storage import replacing
from openmm_trajgan.untrusted import parse_json

_FORMAT = "openmm-trajgan model"
# what building an object from a file that contradicts itself can raise
CONTRADICTIONS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    MemoryError,
    RuntimeError,
    TypeError,
    ValueError,
)


@dataclass(frozen=True)
class ModelBundle:
    """What inference needs.

    Parameters
    ----------
    generator
        The trained networks.
    schema
        The features they speak of.
    labels
        Labels of the training trajectories; None if they had none.
    training
        How they were trained: plain values for people and reports.
    """

    generator: WindowGenerator
    schema: FeatureSchema
    labels: LabelEncoding | None = None
    training: dict[str, Any] = field(default_factory=dict)

    def save(self, path: Path | str) -> None:
        """Write the file, complete or not at all."""
        metadata = {
            "format": _FORMAT,
            "version": str(FORMAT_VERSION),
            "package": written_by(),
            "schema": self.schema.model_dump_json(),
            "generator": json.dumps(self.generator.config.as_dict()),
            "labels": json.dumps(None if self.labels is None else self.labels.values),
            "training": json.dumps(self.training),
        }
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in self.generator.state_dict().items()}
        with replacing(Path(path)) as file:
            file.write(save(tensors, metadata))

    @classmethod
    def load(cls, path: Path | str, device: str = "cpu") -> "ModelBundle":
        """Read a file written by `save` onto any device.

        Raises
        ------
        InputError
            If the file is missing, truncated, of another kind or of a newer format.
        """
        metadata, tensors = read_safetensors(Path(path), _FORMAT)
        try:
            schema = FeatureSchema.model_validate_json(metadata["schema"])
            config = GeneratorConfig(**parse_json(metadata["generator"]))
            config.check()
            encoding = FeatureEncoding(schema, torch.zeros(1, schema.n_features))
            spreads = torch.ones(2 + len(config.strides), schema.n_features)
            with torch.device("meta"):  # takes no memory: the sizes in the header may be anything
                _require_same_sizes(WindowGenerator(encoding, config, spreads).state_dict(), tensors)
            generator = WindowGenerator(encoding, config, spreads)
            generator.load_state_dict(tensors)
            labels = _labels(metadata["labels"], config.n_labels)
            training = parse_json(metadata["training"])
        except CONTRADICTIONS as error:
            reason = " ".join(str(error).split())[:300]
            raise InputError(f"{path}: the model file contradicts itself ({reason}); save the model again") from error
        return cls(generator.to(device).eval(), schema, labels, training)


def _require_same_sizes(expected: dict[str, torch.Tensor], found: dict[str, torch.Tensor]) -> None:
    """Compare what a header promises with what a file holds, before memory is taken for it."""
    if expected.keys() != found.keys():
        raise ValueError(f"tensors missing or unknown: {', '.join(sorted(expected.keys() ^ found.keys())[:3])}")
    for name, tensor in expected.items():
        if tensor.shape != found[name].shape or tensor.dtype != found[name].dtype:
            shapes = f"{tuple(tensor.shape)} {tensor.dtype}, found {tuple(found[name].shape)} {found[name].dtype}"
            raise ValueError(f"{name}: expected {shapes}")


def _labels(text: str, n_labels: int) -> LabelEncoding | None:
    values = parse_json(f'{{"values": {text}}}')["values"]
    if values is None and not n_labels:
        return None
    if not isinstance(values, list) or not all(isinstance(value, str | int | float) for value in values):
        raise ValueError("labels: expected numbers or texts")
    encoding = LabelEncoding.of(values)
    if encoding.size != n_labels or encoding.values != tuple(values):
        raise ValueError(f"labels: expected {n_labels} numbers to describe them, sorted, found {values}")
    return encoding


def read_safetensors(path: Path, kind: str) -> tuple[dict[str, str], dict[str, torch.Tensor]]:
    """Metadata and tensors of one of this package's safetensors files.

    Raises
    ------
    InputError
        If the file is missing, not complete, of another kind, or of a newer format.
    """
    if path.is_dir():
        raise InputError(f"{path}: expected an {kind} file, found a folder")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; expected an {kind} file") from None
    except (SafetensorError, OSError, *CONTRADICTIONS) as error:
        reason = " ".join(str(error).split())[:300]
        raise InputError(f"{path}: not a complete {kind} file ({reason}); it may be truncated, make it again") from error
    if metadata.get("format") != kind:
        raise InputError(f"{path}: expected an {kind} file, found {metadata.get('format', 'another safetensors file')!r}")
    number = metadata.get("version", "")
    if not re.fullmatch("[1-9][0-9]{0,8}", number):
        raise InputError(f"{path}: version: expected a number from 1 on, found {number!r}; make the file again")
    require_known_version(int(number), metadata.get("package"), path)
    return metadata, tensors
