import pytest
import torch

from openmm_trajgan.training.averaging import exponential_average


def test_average_follows_quickly_then_slowly():
    model = torch.nn.Linear(1, 1, bias=False)
    average = exponential_average(model, decay=0.9)
    with torch.no_grad():
        model.weight.fill_(0.0)
        average.update_parameters(model)
        model.weight.fill_(1.0)
        average.update_parameters(model)
    assert average.module.weight.item() == pytest.approx(1 - 2 / 11)
    with torch.no_grad():
        for _ in range(200):
            average.update_parameters(model)
        model.weight.fill_(2.0)
        average.update_parameters(model)
    assert average.module.weight.item() == pytest.approx(1.1, abs=1e-6)
