"""A compiled model has the gradients of the plain one."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lamina.training.compiling import compiled


def test_the_inductor_keeps_the_gradient_before_a_pooling_that_ends_in_a_linear_layer() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(16, 5))
    x, scale = torch.randn(3, 3, 4, 4), torch.linspace(-1, 2, 15).view(3, 5)

    def forward(x: Tensor) -> Tensor:
        out: Tensor = net(x)
        return out

    torch.compiler.reset()
    wanted = torch.autograd.grad((forward(x) * scale).sum(), list(net.parameters()))
    got = torch.autograd.grad((compiled(forward, device="cpu")(x) * scale).sum(), list(net.parameters()))
    torch.compiler.reset()
    for one, other in zip(got, wanted, strict=True):
        torch.testing.assert_close(one, other)
        assert one.any()
