"""A trained model as one file: safetensors with the metadata in its header, nothing that could execute."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from openmm_trajgan.errors import InputError
from openmm_trajgan.models.conditioning import LabelEncoding
from openmm_trajgan.models.encoding import FeatureEncoding
from openmm_trajgan.models.generator import GeneratorConfig, WindowGenerator
from openmm_trajgan.schema import FORMAT_VERSION, FeatureSchema
from openmm_trajgan.storage import replacing

_FORMAT = "openmm-trajgan model"


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
            config = GeneratorConfig(**json.loads(metadata["generator"]))
            encoding = FeatureEncoding(schema, torch.zeros(1, schema.n_features))
            spreads = torch.ones(2 + len(config.strides), schema.n_features)
            generator = WindowGenerator(encoding, config, spreads)
            generator.load_state_dict(tensors)
            values = json.loads(metadata["labels"])
            labels = None if values is None else LabelEncoding(tuple(values))
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            reason = str(error).splitlines()[0]
            raise InputError(f"{path}: the model file contradicts itself ({reason}); save the model again") from error
        return cls(generator.to(device).eval(), schema, labels, json.loads(metadata["training"]))


def read_safetensors(path: Path, kind: str) -> tuple[dict[str, str], dict[str, torch.Tensor]]:
    """Metadata and tensors of one of this package's safetensors files.

    Raises
    ------
    InputError
        If the file is missing, not complete, of another kind, or of a newer format.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; expected an {kind} file") from None
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path}: not a complete {kind} file ({error}); it may be truncated, make it again") from error
    if metadata.get("format") != kind:
        raise InputError(f"{path}: expected an {kind} file, found {metadata.get('format', 'another safetensors file')!r}")
    if int(metadata["version"]) > FORMAT_VERSION:
        raise InputError(f"{path}: format {metadata['version']} is newer than {FORMAT_VERSION}; upgrade openmm-trajgan")
    return metadata, tensors
