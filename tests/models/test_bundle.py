import pytest
import torch
from safetensors.torch import load_file, save_file

from openmm_trajgan.errors import InputError
from openmm_trajgan.models.bundle import ModelBundle
from openmm_trajgan.models.conditioning import LabelEncoding


@pytest.fixture
def bundle(make_generator, schema):
    return ModelBundle(make_generator(), schema, training={"seed": 3, "history": [{"step": 1, "loss": 0.5}]})


def test_load_inverts_save(bundle, tmp_path):
    path = tmp_path / "model.trajgan"
    bundle.save(path)
    loaded = ModelBundle.load(path)
    assert loaded.schema == bundle.schema
    assert loaded.training == bundle.training
    assert loaded.generator.config == bundle.generator.config
    assert loaded.labels is None
    window = torch.zeros(3, 13, 2)
    samples = [each.generator.sample(window, 4, torch.Generator().manual_seed(0)) for each in (bundle, loaded)]
    assert (samples[0] == samples[1]).all()


@pytest.mark.parametrize("labels", [[290.0, 310, 330.5], ["folded", "unfolded", "half"]])
def test_labels_and_any_window_length_survive(make_generator, schema, tmp_path, labels):
    encoding = LabelEncoding.of(labels)
    bundle = ModelBundle(make_generator(window_length=11, n_labels=encoding.size), schema, encoding)
    bundle.save(tmp_path / "model.trajgan")
    loaded = ModelBundle.load(tmp_path / "model.trajgan")
    assert loaded.labels == encoding
    window, encoded = torch.zeros(3, 16, 2), torch.from_numpy(encoding.encode(labels))
    samples = [each.generator.sample(window, 4, torch.Generator().manual_seed(0), labels=encoded) for each in (bundle, loaded)]
    assert (samples[0] == samples[1]).all()


def test_every_truncation_is_one_clear_error(bundle, tmp_path):
    path = tmp_path / "model.trajgan"
    bundle.save(path)
    content = path.read_bytes()
    for size in (0, 1, 7, 8, 100, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:size])
        with pytest.raises(InputError, match="not a complete openmm-trajgan model file"):
            ModelBundle.load(path)


def test_other_files_are_refused_by_what_they_are(bundle, tmp_path):
    path = tmp_path / "other.safetensors"
    save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(InputError, match="expected an openmm-trajgan model file, found 'another safetensors file'"):
        ModelBundle.load(path)
    with pytest.raises(InputError, match="no such file"):
        ModelBundle.load(tmp_path / "missing.trajgan")
    with pytest.raises(InputError, match="found a folder"):
        ModelBundle.load(tmp_path)


def test_newer_formats_and_contradictions_are_refused(bundle, tmp_path):
    path = tmp_path / "model.trajgan"
    bundle.save(path)
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    tensors = load_file(path)
    save_file(tensors, path, {**metadata, "version": "99"})
    with pytest.raises(InputError, match="format 99 is newer than 1; upgrade"):
        ModelBundle.load(path)
    save_file(tensors, path, {**metadata, "generator": metadata["generator"].replace('"hidden": 96', '"hidden": 12')})
    with pytest.raises(InputError, match="contradicts itself"):
        ModelBundle.load(path)


def test_a_failed_write_leaves_the_old_file(bundle, tmp_path, monkeypatch):
    path = tmp_path / "model.trajgan"
    bundle.save(path)
    before = path.read_bytes()
    monkeypatch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space left"):
        bundle.save(path)
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["model.trajgan"]
