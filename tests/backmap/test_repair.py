import pickle

import numpy as np
import pytest
from openmm import app

from openmm_trajgan.backmap import InternalCoordinates, to_universe, write_universe
from openmm_trajgan.backmap.clashes import Clashes
from openmm_trajgan.backmap.frames import BuiltFrames
from openmm_trajgan.backmap.reader import GeneratedReader
from openmm_trajgan.errors import InputError
from openmm_trajgan.schema import FeatureTrajectories


@pytest.fixture(scope="module")
def generated(schema, angles):
    """Some of whose frames clash."""
    return FeatureTrajectories([angles[:40], angles[40:70]], schema)


@pytest.fixture(scope="module")
def plain(generated, topology, reference):
    return to_universe(generated, topology, reference)


@pytest.fixture(scope="module")
def relaxed(generated, topology, reference):
    return to_universe(generated, topology, reference, relax=True)


def positions(universe):
    return np.stack([ts.positions.copy() for ts in universe.trajectory])


def flag(universe, name):
    return np.array([ts.data[name] for ts in universe.trajectory])


def test_frames_that_clash_are_repaired_and_the_others_untouched(plain, relaxed, md):
    clashed = flag(plain, "clash")
    assert 0 < clashed.sum() < 40
    assert len(relaxed.trajectory) == 70
    np.testing.assert_array_equal(positions(relaxed)[~clashed], positions(plain)[~clashed])
    assert not Clashes(md)(positions(relaxed) / 10).any()
    np.testing.assert_array_equal(flag(relaxed, "repaired"), clashed)
    assert not flag(relaxed, "clash").any()
    np.testing.assert_array_equal(flag(relaxed, "moved") > 0, clashed)


def test_provenance_says_what_moved(relaxed, plain, featurizer):
    told = relaxed.trajectory.provenance["relaxed"]
    moved, clashed = flag(relaxed, "moved"), flag(plain, "clash")
    assert told["force field"] == "amber14/protein.ff14SB.xml"
    assert (told["frames"], told["repaired"], told["still clashing"]) == (70, clashed.sum(), 0)
    assert told["moved, nm"] == pytest.approx({"median": np.median(moved[clashed]), "largest": moved.max()})
    change = abs(featurizer.schema.wrap(featurizer(positions(relaxed) / 10) - featurizer(positions(plain) / 10)))[clashed]
    for name, mean, largest in zip(featurizer.schema.names, change.mean(axis=0), change.max(axis=0), strict=True):
        assert told["features moved"][name] == pytest.approx({"unit": "rad", "mean": mean, "largest": largest}, abs=1e-5)
    assert "relaxed" not in plain.trajectory.provenance


def test_single_frames_blocks_files_and_pickles_agree(relaxed, tmp_path):
    np.testing.assert_array_equal(relaxed.trajectory.timeseries(), positions(relaxed))
    np.testing.assert_array_equal(positions(pickle.loads(pickle.dumps(relaxed))), positions(relaxed))
    write_universe(relaxed, tmp_path / "made.trajgan")
    read = GeneratedReader(tmp_path / "made.trajgan")
    np.testing.assert_allclose(read.timeseries(), positions(relaxed), atol=1e-5)
    assert [bool(ts.data["repaired"]) for ts in read] == flag(relaxed, "repaired").tolist()
    assert read.provenance["relaxed"] == relaxed.trajectory.provenance["relaxed"]


def test_frames_built_when_asked_for(relaxed, generated, topology, reference, monkeypatch):
    monkeypatch.setattr("openmm_trajgan.backmap.universe.IN_MEMORY", 0)
    monkeypatch.setattr("openmm_trajgan.backmap.repair.POSITIONS_AT_ONCE", 22 * 16)
    lazy = to_universe(generated, topology, reference, relax=True)
    assert isinstance(lazy.trajectory.frames.source._source, BuiltFrames)
    np.testing.assert_array_equal(lazy.trajectory.timeseries(start=5, stop=65, step=3), positions(relaxed)[5:65:3])
    np.testing.assert_array_equal(positions(lazy), positions(relaxed))
    assert lazy.trajectory.provenance["relaxed"] == relaxed.trajectory.provenance["relaxed"]


def test_other_force_fields(generated, topology, reference, md):
    for relax, name in (
        (["amber99sbildn.xml"], "amber99sbildn.xml"),
        (app.ForceField("amber99sbildn.xml", "amber99_obc.xml").createSystem(topology), "an openmm.System"),
    ):
        made = to_universe(generated, topology, reference, relax=relax)
        assert made.trajectory.provenance["relaxed"]["force field"] == name
        assert not Clashes(md)(positions(made) / 10).any()


def test_nothing_to_repair(schema, featurizer, topology, reference):
    own = FeatureTrajectories([featurizer(reference[:20])], schema)
    made = to_universe(own, topology, reference, relax=True)
    assert made.trajectory.provenance["relaxed"] == {
        "force field": "amber14/protein.ff14SB.xml",
        "frames": 20,
        "repaired": 0,
        "still clashing": 0,
    }


def test_what_cannot_be_relaxed(generated, topology, reference, monkeypatch):
    monkeypatch.setattr(InternalCoordinates, "fit", lambda *_: pytest.fail("built before it was refused"))
    with pytest.raises(InputError, match="relax: expected structures of all atoms that were built .* found method nearest_frames"):
        to_universe(generated, topology, reference, method="nearest_frames", relax=True)
    with pytest.raises(InputError, match=r"force field tip3p.xml: No template found"):
        to_universe(generated, topology, reference, relax=["tip3p.xml"])
