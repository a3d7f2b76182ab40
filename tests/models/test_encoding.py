import math

import pytest
import torch

from openmm_trajgan.models.encoding import FeatureEncoding, embed_angles, wrap_angles
from openmm_trajgan.schema import FeatureSchema


def test_restore_inverts_reduce(encoding):
    features = torch.tensor([[2.7, 170.0], [1.1, -179.0], [2.0, 0.0], [2.0, 190.0]])
    restored = encoding.restore(encoding.reduce(features))
    torch.testing.assert_close(restored, torch.tensor([[2.7, 170.0], [1.1, -179.0], [2.0, 0.0], [2.0, -170.0]]))


def test_only_features_on_the_line_are_standardised(encoding):
    reduced = encoding.reduce(torch.tensor([[2.5, 90.0]]))
    torch.testing.assert_close(reduced, torch.tensor([[1.0, math.pi / 2]]))


def test_nothing_jumps_at_plus_minus_pi(encoding):
    below = encoding.reduce(torch.tensor([2.0, 179.9999]))
    above = encoding.reduce(torch.tensor([2.0, -179.9999]))
    torch.testing.assert_close(embed_angles(below, encoding.periodic), embed_angles(above, encoding.periodic), atol=1e-5, rtol=0)
    assert wrap_angles(below - above, encoding.periodic)[1].abs() < 1e-5


def test_wrapping_leaves_features_on_the_line_alone(encoding):
    torch.testing.assert_close(wrap_angles(torch.tensor([7.0, 7.0]), encoding.periodic), torch.tensor([7.0, 7.0 - 2 * math.pi]))


def test_beyond_the_training_range_networks_see_its_edge(encoding):
    seen = encoding.embed(encoding.reduce(torch.tensor([[2.2, 0.0], [2.5, 0.0], [9.0, 0.0], [-9.0, 0.0]])).t())[0]
    torch.testing.assert_close(seen, torch.tensor([0.4, 1.0, 1.0, -1.0]))


def test_the_range_widens_to_further_frames(encoding):
    encoding.include(torch.tensor([[2.2, 0.0], [4.0, 170.0]]))
    seen = encoding.embed(encoding.reduce(torch.tensor([[9.0, 0.0], [-9.0, 0.0]])).t())[0]
    torch.testing.assert_close(seen, torch.tensor([4.0, -1.0]))
    assert encoding.high[1] == -encoding.low[1] == pytest.approx(math.pi)


def test_networks_see_one_number_on_the_line_and_two_of_an_angle(encoding):
    assert encoding.embed(torch.zeros(2, 5)).shape == (encoding.n_embedded, 5) == (3, 5)


@pytest.mark.parametrize("value", [1.0, 300.0])
def test_constant_feature_stays_constant_to_six_digits(value):
    schema = FeatureSchema(names=("x",), units=("",), periods=(None,))
    encoding = FeatureEncoding(schema, torch.full((5, 1), value))
    assert encoding.reduce(torch.tensor([value])).item() == 0
    assert encoding.restore(torch.tensor([0.0])).item() == pytest.approx(value)
    assert encoding.restore(torch.tensor([10.0])).item() - value == pytest.approx(1e-5 * value, rel=0.1)


def test_what_lies_beyond_its_only_bound_is_reflected():
    """Lengths are not negative, others are as they come."""
    schema = FeatureSchema(names=("d", "x"), units=("nm", ""), periods=(None,) * 2, kinds=("distance", "custom"))
    encoding = FeatureEncoding(schema, torch.tensor([[0.0, 0.0], [2.0, 2.0]]))
    drawn = torch.tensor([[-0.25, -0.25], [3.5, 3.5], [0.0, 0.0]])
    expected = torch.tensor([[0.25, -0.25], [3.5, 3.5], [0.0, 0.0]])
    torch.testing.assert_close(encoding.restore((drawn - encoding.mean) / encoding.scale), expected)


def test_bounds_of_one_feature_do_not_touch_the_others():
    """A fraction, a length, a number without bounds and an angle come back as they were, and none becomes NaN."""
    names, kinds = ("q", "d", "x", "phi"), ("native_contacts", "distance", "custom", "torsion")
    schema = FeatureSchema(names=names, units=("", "nm", "", "rad"), periods=(None, None, None, 2 * math.pi), kinds=kinds)
    frames = torch.tensor([[0.0, 0.1, -5.0, 3.0], [0.4, 2.0, 7.0, -3.0], [1.0, 0.5, 0.0, 0.0]])
    encoding = FeatureEncoding(schema, frames)
    torch.testing.assert_close(encoding.restore(encoding.reduce(frames)), frames, rtol=1e-5, atol=2e-6)
    alone = FeatureEncoding(FeatureSchema(names=("d",), units=("nm",), periods=(None,), kinds=("distance",)), frames[:, 1:2])
    assert torch.equal(encoding.reduce(frames)[:, 1:2], alone.reduce(frames[:, 1:2]))


def test_fractions_are_logits_on_the_line(fractions):
    torch.testing.assert_close(fractions.restore(torch.tensor([[-1e3], [1e3]])), torch.tensor([[0.0], [1.0]]))
    values = torch.tensor([[0.0], [1e-5], [1e-3], [0.5], [0.999], [1.0]])
    torch.testing.assert_close(fractions.restore(fractions.reduce(values)), values, rtol=1e-4, atol=2e-6)


def test_an_error_near_the_bound_of_a_fraction_is_a_small_one(fractions):
    """Off by a hundredth of their standard deviation, values near zero are off by a part of themselves."""
    near = torch.tensor([[1e-4]])
    assert fractions.restore(fractions.reduce(near) + 0.01).item() == pytest.approx(1e-4, rel=0.1)


@pytest.fixture
def fractions() -> FeatureEncoding:
    schema = FeatureSchema(names=("q",), units=("",), periods=(None,), kinds=("native_contacts",))
    return FeatureEncoding(schema, torch.tensor([[0.0], [1e-4], [0.5], [0.9]]))
