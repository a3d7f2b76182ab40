"""The running average of the generator's weights, which is what generates in the end."""

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

Tensors = tuple[Tensor, ...] | list[Tensor]


def exponential_average(model: nn.Module, decay: float = 0.999) -> AveragedModel:
    """Return an exponential moving average of `model` that follows quickly at first.

    After n updates the weight of the past is min(decay, (1+n)/(10+n)).
    """

    def average(means: Tensors, current: Tensors, n_averaged: Tensor | int) -> None:
        n = float(n_averaged)
        weight = 1 - min(decay, (1 + n) / (10 + n))
        torch._foreach_lerp_(list(means), list(current), weight)

    return AveragedModel(model, multi_avg_fn=average)
