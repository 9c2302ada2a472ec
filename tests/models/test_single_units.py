"""The two single units: a step and a slope over the same weighted sum."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

import lamina
from lamina.equations import perceptron as equation
from lamina.errors import UsageError
from lamina.models.perceptron import Perceptron, PerceptronConfig
from lamina.models.sigmoid_neuron import SigmoidNeuron, SigmoidNeuronConfig

UNITS = ["perceptron", "sigmoid-neuron"]


def set_weights(net: torch.nn.Module, w: list[float], b: float) -> None:
    with torch.no_grad():
        net.unit.weight.copy_(torch.tensor([w]))
        net.unit.bias.fill_(b)


@pytest.mark.parametrize("name", UNITS)
def test_a_unit_has_a_weight_for_each_feature_and_a_bias_and_starts_at_zero(name: str) -> None:
    net = lamina.create_model(name, in_features=5)
    assert sum(weight.numel() for weight in net.parameters()) == 6
    assert not any(weight.any() for weight in net.parameters())


def test_the_perceptron_says_class_1_from_the_line_upwards() -> None:
    net = Perceptron(PerceptronConfig(in_features=2))
    set_weights(net, [1.0, -2.0], 0.5)
    x = torch.tensor([[1.5, 1.0], [1.4, 1.0], [1.6, 1.0]])  # on the line, below it, above
    torch.testing.assert_close(net.score(x), torch.tensor([0.0, -0.1, 0.1]))
    assert net(x).tolist() == [[0.0, 1.0], [1.0, 0.0], [0.0, 1.0]]
    assert net.score(x[:1]).item() == 0.0
    assert not net(x).requires_grad
    assert net.score(x).requires_grad


def test_the_perceptron_is_the_equation() -> None:
    net = Perceptron(PerceptronConfig(in_features=3)).double()
    w, x = torch.randn(4, dtype=torch.float64), torch.randn(50, 3, dtype=torch.float64)
    set_weights(net, w[:3].tolist(), w[3].item())
    assert torch.equal(net(x)[:, 1], equation.output(w, equation.fold_bias(x)))
    assert 0 < net(x)[:, 1].mean() < 1


def test_the_sigmoid_neuron_is_binary_cross_entropy() -> None:
    net = SigmoidNeuron(SigmoidNeuronConfig(in_features=3)).double()
    set_weights(net, [0.3, -2.0, 1.0], -0.7)
    x = 3 * torch.randn(40, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    t = (x[:, 0] > 0).long()
    p = 1 / (1 + torch.exp(-(x @ net.unit.weight[0] + net.unit.bias)))
    torch.testing.assert_close(net.probability(x), p)
    torch.testing.assert_close(net(x).softmax(1), torch.stack([1 - p, p], 1))
    (ours,) = torch.autograd.grad(functional.cross_entropy(net(x), t), net.unit.weight)
    torch.testing.assert_close(functional.cross_entropy(net(x), t), functional.binary_cross_entropy(p, t.double()))
    torch.testing.assert_close(ours, ((p - t)[:, None] * x).mean(0, keepdim=True))  # dL/dz = y - t


@pytest.mark.parametrize("name", UNITS)
def test_an_image_is_flattened(name: str) -> None:
    net = lamina.create_model(name, in_features=12)
    set_weights(net, list(range(12)), -3.0)
    x = torch.randn(4, 3, 2, 2)
    assert torch.equal(net(x), net(x.flatten(1)))
    with pytest.raises(ValueError, match=r"expected inputs of 12 features each, \(batch, 12\), got \(4, 3, 2\)"):
        net(x[..., 0])
    with pytest.raises(ValueError, match=r"got \(12,\)"):
        net(torch.zeros(12))


@pytest.mark.parametrize("name", UNITS)
@pytest.mark.parametrize("classes", [0, 1, 3])
def test_other_numbers_of_classes_are_refused(name: str, classes: int) -> None:
    with pytest.raises(UsageError, match=f"separates two classes only, got num_classes={classes}"):
        lamina.create_model(name, num_classes=classes)
    with pytest.raises(UsageError, match="in_features must be at least 1, got 0"):
        lamina.create_model(name, in_features=0)
    assert lamina.card(name).classes == 2
