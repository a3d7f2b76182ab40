"""What a generator begins with, from real windows: how far frames deviate at each step, and which features go together."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from openmm_trajgan.models.coarse_to_fine import GeneratorConfig
from openmm_trajgan.models.encoding import FeatureEncoding, wrap_angles
from openmm_trajgan.models.generator import WindowGenerator
from openmm_trajgan.models.mixture import ConditionalMixture

_OF_ITS_OWN = 1e-4  # share of its variance that no feature is supposed to have in common with others
_LARGEST_VIEW = 10.0  # times; how much larger than it is networks see what a feature has of its own, at most


def typical_spreads(
    encoding: FeatureEncoding, config: GeneratorConfig, windows: Float[Tensor, "batch frames features"]
) -> Float[Tensor, "steps features"]:
    """Root mean square deviations that set the scale of each step, from real windows in reduced coordinates."""
    spreads = [deviation.square().mean(dim=0).sqrt() for deviation in _deviations(encoding, config, windows)[1:]]
    return torch.stack([torch.ones(encoding.n_features), *spreads])


@torch.no_grad()
def whiten_inputs(generator: WindowGenerator, windows: Float[Tensor, "batch frames features"]) -> None:
    """Let untrained networks see what each feature on the line has of its own, as large as what it shares with others.

    Where two distances are nearly the same, the difference may tell one state from another, and networks to which it is small
    do not come to see it: inputs should not be correlated (LeCun et al., Efficient BackProp, 1998). So the first weights are
    multiplied by the inverse Cholesky factors of correlations: of the frames, and of their differences at each step.

    Parameters
    ----------
    generator
        What is to be trained.
    windows
        Real ones in reduced coordinates, ``(n_windows, n_frames, n_features)``.
    """
    config, periodic = generator.config, generator.encoding.periodic
    places, *steps = (_whitening(one, periodic) for one in _deviations(generator.encoding, config, windows))
    neighbours = [len(generator.lags), *(2 * len(config.reaches(stride)) + len(config.lags(stride)) for stride in config.strides)]
    for network, differences, n in zip((generator.end, *generator.midpoints), steps, neighbours, strict=True):
        assert isinstance(network, ConditionalMixture)
        blocks = [places[~periodic][:, ~periodic], torch.eye(2 * int(periodic.sum())), *[differences] * n]
        weights = network.first.weight[:, : sum(map(len, blocks))]
        parts = torch.split(weights, [len(block) for block in blocks], dim=1)
        weights.copy_(torch.cat([part @ block for part, block in zip(parts, blocks, strict=True)], dim=1))


def _deviations(
    encoding: FeatureEncoding, config: GeneratorConfig, windows: Float[Tensor, "batch frames features"]
) -> list[Float[Tensor, "rows features"]]:
    """Of frames from the centre, the last one from the first, and midpoints from the middle of their neighbours, coarse to fine."""
    newest, last, periodic = windows[:, config.context_length], windows[:, -1], encoding.periodic
    deviations = [newest, wrap_angles(last - newest, periodic)]
    for stride in config.strides:
        left, middle, right = windows[:, : -2 * stride], windows[:, stride:-stride], windows[:, 2 * stride :]
        if not left.shape[1]:  # no window holds both neighbours at this distance
            deviations.append(deviations[1])
            continue
        deviations.append(wrap_angles(middle - left - wrap_angles(right - left, periodic) / 2, periodic).flatten(0, 1))
    return deviations


def _whitening(
    deviations: Float[Tensor, "rows features"], periodic: Bool[Tensor, " features"]
) -> Float[Tensor, "features features"]:
    """Matrix that leaves of each feature on the line what those before it do not tell, with its variance; 1 for the others.

    It is magnified ten times at most: of copies, networks that learn from them would be shown the first difference that is drawn a
    hundred times as large.
    """
    own = torch.eye(len(periodic), dtype=torch.float64)
    scaled = deviations.double() / deviations.double().square().mean(dim=0).sqrt().clamp_min(1e-12)
    apart = periodic | periodic[:, None] | own.bool()
    correlations = torch.where(apart, own, (1 - _OF_ITS_OWN) * (scaled.T @ scaled / len(scaled)))
    factor = torch.linalg.cholesky(correlations)
    magnified = (_LARGEST_VIEW * factor.diagonal()).clamp_max(1.0)
    whitening: Tensor = magnified[:, None] * torch.linalg.solve_triangular(factor, own, upper=False)
    return whitening.to(deviations.dtype)
