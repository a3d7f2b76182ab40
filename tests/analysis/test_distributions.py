import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon
from scipy.stats import norm

from openmm_trajgan.analysis.distributions import bin_edges, columns, free_energy_surface, histogram, jensen_shannon_divergence
from openmm_trajgan.errors import InputError, SchemaMismatchError
from openmm_trajgan.schema import FeatureSchema, FeatureTrajectories


def test_divergence_is_the_square_of_scipys_distance_on_100_bins_over_the_union_range(ou):
    one, other = ou(1), ou(2, mean=0.5)
    a, b = one.values[0][:, 0], other.values[0][:, 0]
    edges = np.linspace(min(a.min(), b.min()), max(a.max(), b.max()), 101)
    expected = jensenshannon(np.histogram(a, edges)[0], np.histogram(b, edges)[0]) ** 2
    assert jensen_shannon_divergence(one, other, "x") == pytest.approx(expected, rel=1e-10)


def test_divergence_of_a_pair_uses_50_bins_each(wells):
    one, other = wells(1), wells(2, noise=0.6)
    edges = bin_edges((one, other), ("phi", "psi"))
    assert [len(edge) for edge in edges] == [51, 51]
    counts = [np.histogram2d(*columns(data, ("phi", "psi")).T, bins=edges)[0].ravel() for data in (one, other)]
    assert jensen_shannon_divergence(one, other, ("phi", "psi")) == pytest.approx(jensenshannon(*counts) ** 2, rel=1e-10)


def test_disjoint_sets_are_ln_2_apart_and_invented_mass_is_counted(line):
    inside = FeatureTrajectories([np.linspace(0, 1, 1000)[:, None]], line)
    half_invented = FeatureTrajectories([np.concatenate([np.linspace(0, 1, 1000), np.linspace(50, 51, 1000)])[:, None]], line)
    far = FeatureTrajectories([np.linspace(50, 51, 1000)[:, None]], line)
    assert jensen_shannon_divergence(inside, far, "x") == pytest.approx(np.log(2))
    closed_form = 0.5 * np.log(4 / 3) + 0.5 * (0.5 * np.log(2 / 3) + 0.5 * np.log(2))
    assert jensen_shannon_divergence(inside, half_invented, "x") == pytest.approx(closed_form)


def test_the_image_of_an_angle_does_not_matter(wells):
    data = wells(1)
    rng = np.random.default_rng(5)
    turns = 2 * np.pi * rng.integers(-2, 3, size=data.values[0].shape)
    moved = FeatureTrajectories([data.values[0] + turns], data.schema)
    assert jensen_shannon_divergence(data, moved, "psi") < 1e-4  # float32 rounding moves a few frames to the next bin


def test_every_frame_is_counted_even_at_the_edges(torsions):
    pi32 = np.float32(np.pi)  # larger than π in double precision
    data = FeatureTrajectories([[[pi32, -pi32], [0, np.pi], [-np.pi, 1]]], torsions)
    edges = bin_edges((data,), "phi")
    counts, _ = np.histogramdd(columns(data, "phi"), bins=list(edges))
    assert counts.sum() == 3


@pytest.mark.statistical
def test_free_energy_of_a_harmonic_well(ou):
    """Law: F = x²/2 kT. 4 × 10⁵ frames, τ = 2: at |x| < 2 a bin holds ≥ 10³ independent frames, s.e. ≤ 0.04 kT."""
    data = ou(1, n_replicas=4, n_frames=100_000, relaxation=2.0)
    free_energy, (edges,) = free_energy_surface(data, "x", edges=(np.linspace(-2, 2, 41),))
    masses = np.diff(norm.cdf(edges))
    assert np.abs(free_energy - -np.log(masses / masses.max())).max() < 4 * 0.04


def test_free_energy_is_zero_at_the_bottom_and_infinite_where_nothing_was(wells):
    surface, _ = free_energy_surface(wells(1), ("phi", "psi"))
    assert surface.shape == (50, 50)
    assert surface.min() == 0
    assert np.isinf(surface).any()


def test_a_constant_feature_has_bins(line):
    data = FeatureTrajectories([np.ones((5, 1))], line)
    assert jensen_shannon_divergence(data, data, "x") == 0
    assert histogram(data, "x", bin_edges((data,), "x")).sum() == 1


def test_what_is_wrong_is_said(ou, wells):
    with pytest.raises(InputError, match=r"no feature named omega; there are phi, psi"):
        jensen_shannon_divergence(wells(1), wells(1), "omega")
    with pytest.raises(InputError, match=r"expected one feature or a pair, found 3"):
        free_energy_surface(wells(1), ("phi", "psi", "phi"))
    with pytest.raises(InputError, match=r"at least 2 bins, found 1"):
        free_energy_surface(wells(1), "phi", bins=1)
    with pytest.raises(SchemaMismatchError, match=r"names \(phi, psi\) instead of \(x\)"):
        jensen_shannon_divergence(ou(1), wells(1), "x")


def test_columns_are_wrapped_only_where_periodic():
    schema = FeatureSchema(names=("d", "phi"), units=("nm", "rad"), periods=(None, 2 * np.pi))
    data = FeatureTrajectories([[[7.0, 7.0]]], schema)
    np.testing.assert_allclose(columns(data, ("d", "phi")), [[7.0, 7.0 - 2 * np.pi]], atol=1e-6)
