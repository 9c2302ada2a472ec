"""What LeNet-5 and the multilayer perceptron do beside the calculation: options, stages, heads, dropout, errors."""

from __future__ import annotations

import pytest
import torch

import lamina
from lamina.errors import UsageError
from lamina.models.lenet5 import LeNet5, LeNet5Config
from lamina.models.mlp import MLP, MLPConfig


def test_lenet5_gives_the_maps_of_the_paper() -> None:
    maps = LeNet5(LeNet5Config()).features(torch.zeros(2, 1, 32, 32))
    assert [tuple(stage.shape) for stage in maps] == [(2, 6, 14, 14), (2, 16, 5, 5)]
    assert LeNet5(LeNet5Config()).embed(torch.zeros(2, 1, 32, 32)).shape == (2, 84)


def test_mlp_gives_the_activations_of_its_hidden_layers() -> None:
    net = MLP(MLPConfig(in_features=4, hidden=(3, 5), num_classes=2))
    x = torch.randn(6, 4)
    first, second = net.features(x)
    assert torch.equal(first, (x @ net.hidden[0][0].weight.T + net.hidden[0][0].bias).relu())
    assert torch.equal(second, net.embed(x))
    assert MLP(MLPConfig(in_features=4, hidden=(), num_classes=2)).features(x) == []


@pytest.mark.parametrize("stages", [[2], [-3], [0, 5]])
def test_a_stage_that_is_not_there_is_refused(stages: list[int]) -> None:
    with pytest.raises(ValueError, match=f"there is no stage {stages[-1]}: this model has 2, numbered from 0"):
        LeNet5(LeNet5Config()).features(torch.zeros(1, 1, 32, 32), stages)
    with pytest.raises(ValueError, match=f"no stage {stages[-1]}"):
        MLP(MLPConfig()).features(torch.zeros(1, 784), stages)


@pytest.mark.parametrize("name", ["lenet5", "mlp"])
def test_a_new_head_lives_where_the_model_lives_and_is_new(name: str) -> None:
    net = lamina.create_model(name, num_classes=3).double()
    old = net.head.weight.detach().clone()
    net.reset_head(3)
    assert net.head.weight.dtype == torch.float64
    assert not torch.equal(net.head.weight, old)
    assert net.reset_head(5) is None
    assert (net.config.num_classes, net.head.out_features) == (5, 5)
    meta = net.to("meta")
    meta.reset_head(2)
    assert meta.head.weight.device.type == "meta"
    with pytest.raises(ValueError, match="num_classes at least 0"):
        net.reset_head(-1)


@pytest.mark.parametrize("name", ["lenet5", "mlp"])
def test_dropout_works_in_training_alone(name: str) -> None:
    net = lamina.create_model(name, dropout=0.5)
    x = torch.randn(4, *lamina.card(name).input)
    torch.manual_seed(0)
    assert not torch.equal(net(x), net(x))
    net.eval()
    assert torch.equal(net(x), net(x))


@pytest.mark.parametrize(("name", "first"), [("lenet5", 0), ("mlp", 1)])
def test_dropout_stands_before_each_linear_layer_but_the_input(name: str, first: int) -> None:
    net = lamina.create_model(name, dropout=0.5, activation="tanh")  # which is never exactly zero
    linear = [module for module in net.modules() if isinstance(module, torch.nn.Linear)]
    zeros = []
    for module in linear:
        module.register_forward_pre_hook(lambda _, inputs: zeros.append((inputs[0] == 0).double().mean().item()))
    torch.manual_seed(0)
    net(torch.rand(8, *lamina.card(name).input))
    assert len(zeros) == 3
    assert all(0.4 < share < 0.6 for share in zeros[first:])
    assert all(share < 0.01 for share in zeros[:first])


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("lenet5", {"image_size": 15}, "at least 16 x 16 pixels, got image_size=15"),
        ("lenet5", {"in_channels": 0}, "in_channels must be at least 1"),
        ("lenet5", {"num_classes": -1}, "num_classes at least 0"),
        ("lenet5", {"dropout": 1.0}, r"dropout must lie in \[0, 1\), got 1.0"),
        ("lenet5", {"dropout": float("nan")}, r"dropout must lie in \[0, 1\), got nan"),
        ("lenet5", {"pool": "mx"}, "'pool': unknown value 'mx'; did you mean 'max'"),
        ("mlp", {"hidden": (4, 0)}, "every hidden width must be at least 1"),
        ("mlp", {"in_features": 0}, "in_features and every hidden width must be at least 1"),
        ("mlp", {"norm": "bach"}, "'norm': unknown value 'bach'; did you mean 'batch'"),
        ("mlp", {"activation": "reul"}, "'activation': unknown value 'reul'; did you mean 'relu'"),
        ("mlp", {"hidden": 512}, "'hidden': expected a list, got 512"),
        ("mlp", {"num_classes": "ten"}, "'num_classes': expected a whole number, got 'ten'"),
    ],
)
def test_options_that_do_not_fit_are_refused_in_one_line(name: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        lamina.create_model(name, **options)
    assert "\n" not in str(caught.value)


def test_a_list_of_widths_as_yaml_gives_it_is_taken() -> None:
    net = lamina.create_model("mlp", hidden=[3, 4])
    assert net.config == MLPConfig(hidden=(3, 4))


@pytest.mark.parametrize("image_size", [16, 17, 28, 33, 64])
def test_lenet5_takes_square_images_of_other_sizes(image_size: int) -> None:
    net = lamina.create_model("lenet5", image_size=image_size)
    assert net(torch.zeros(1, 1, image_size, image_size)).shape == (1, 10)


@pytest.mark.parametrize("shape", [(2, 1, 28, 28), (2, 3, 32, 32), (1, 32, 32), (2, 1, 32, 31)])
def test_lenet5_refuses_other_shapes_in_one_line(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"expected images of shape \(batch, 1, 32, 32\), got ") as caught:
        lamina.create_model("lenet5")(torch.zeros(shape))
    assert str(caught.value).endswith(str(shape))


def test_mlp_of_one_feature_refuses_an_input_without_a_batch() -> None:
    with pytest.raises(ValueError, match=r"expected inputs of 1 features each, \(batch, 1\), got \(5,\)"):
        lamina.create_model("mlp", in_features=1)(torch.zeros(5))


@pytest.mark.parametrize("shape", [(784,), (2, 783), (2, 3, 28, 28), (0,)])
def test_mlp_refuses_other_shapes_in_one_line(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"expected inputs of 784 features each, \(batch, 784\), got ") as caught:
        lamina.create_model("mlp")(torch.zeros(shape))
    assert str(caught.value).endswith(str(shape))
