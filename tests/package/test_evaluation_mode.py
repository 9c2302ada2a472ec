"""Evaluation mode for a block: every submodule's own mode comes back."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from lamina.evaluation_mode import evaluation_mode


@pytest.mark.parametrize("fails", [False, True])
def test_each_submodule_gets_its_own_mode_back(fails: bool) -> None:
    model = nn.Sequential(nn.Dropout(), nn.Sequential(nn.BatchNorm1d(2), nn.Linear(2, 2)))
    model[1][0].eval()  # a frozen batch norm
    before = [module.training for module in model.modules()]
    try:
        with evaluation_mode(model):
            assert not any(module.training for module in model.modules())
            assert torch.is_grad_enabled()
            assert not fails
    except AssertionError:
        assert fails
    assert [module.training for module in model.modules()] == before == [True, True, True, False, True]
