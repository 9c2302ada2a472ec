"""Autoencoders: against plain calculations, sizes, other models as encoders."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import lamina
from lamina.errors import UsageError
from lamina.layers.gaussian import Gaussian


def test_the_counts_of_the_papers() -> None:
    assert lamina.card("autoencoder-2006").parameters == 2_837_314
    assert lamina.card("vae-400-20").parameters == 652_824
    deep = lamina.create_model("autoencoder-2006")
    count = lambda module: sum(p.numel() for p in module.parameters())  # noqa: E731
    assert count(deep.encoder) + count(deep.latent) == 1_418_280
    assert count(deep.decoder) == 1_419_034


def test_the_dense_one_is_a_sequence_of_layers() -> None:
    net = lamina.create_model("autoencoder-2006", in_features=12, hidden=(9, 7), latent=3)
    layers = [m for m in net.modules() if isinstance(m, nn.Linear)]
    x = torch.randn(5, 3, 2, 2)
    h = x.flatten(1)
    for i, layer in enumerate(layers):
        h = layer(h) if i in (2, 5) else torch.sigmoid(layer(h))
    torch.testing.assert_close(net(x).flatten(1), h)
    assert net(x).shape == x.shape
    assert net.embed(x).shape == (5, 3)


@pytest.mark.parametrize("size", [1, 5, 8, 13, 28])
def test_the_convolutional_one_restores_every_size(size: int) -> None:
    net = lamina.create_model("autoencoder-conv", image_size=size, in_channels=2, widths=(4, 5), latent=3)
    x = torch.randn(2, 2, size, size)
    assert net(x).shape == x.shape
    h = x
    for stage in net.encoder.stages:
        h = F.relu(F.conv2d(h, stage[0].weight, stage[0].bias, stride=2, padding=1))
    z = F.linear(h.flatten(1), net.latent.weight, net.latent.bias)
    torch.testing.assert_close(net.encode(x), z)
    up = F.relu(F.linear(z, net.decoder.input[0].weight, net.decoder.input[0].bias)).view_as(h)
    middle = -(-size // 2)
    first, last = net.decoder.stages[0][0], net.decoder.stages[1]
    up = F.relu(F.conv_transpose2d(up, first.weight, first.bias, 2, 1, output_padding=1 - middle % 2))
    up = F.conv_transpose2d(up, last.weight, last.bias, 2, 1, output_padding=1 - size % 2)
    torch.testing.assert_close(net(x), up)


def test_the_recurrent_one_is_a_loop_over_cells() -> None:
    net = lamina.create_model("autoencoder-lstm", in_features=12, steps=4, hidden_size=5, latent=2)
    x = torch.randn(3, 12)
    cells = []
    for layer, width in ((net.encoder, 3), (net.decoder, 2)):
        cell = nn.LSTMCell(width, 5)
        cell.load_state_dict({name.removesuffix("_l0"): value for name, value in layer.state_dict().items()})
        cells.append(cell)
    h = c = torch.zeros(3, 5)
    for step in x.view(3, 4, 3).unbind(1):
        h, c = cells[0](step, (h, c))
    z = net.latent(h)
    torch.testing.assert_close(net.encode(x), z)
    h = c = torch.zeros(3, 5)
    written = []
    for _ in range(4):
        h, c = cells[1](z, (h, c))
        written.append(net.output(h))
    torch.testing.assert_close(net(x), torch.cat(written[::-1], 1))


def test_the_steps_of_an_image_are_its_rows() -> None:
    net = lamina.create_model("autoencoder-lstm", in_features=2 * 6 * 6, in_channels=2, image_size=6)
    x = torch.randn(3, 2, 6, 6)
    assert (net.time, net.width) == (6, 12)
    assert torch.equal(net._steps(x)[:, 4], x[:, :, 4].flatten(1))
    rows = torch.arange(72.0).view(1, 2, 6, 6)
    back = net._steps(rows).flatten(1).unflatten(1, (6, 2, -1)).transpose(1, 2).reshape(rows.shape)
    assert torch.equal(back, rows)
    assert net(x).shape == x.shape


def test_a_batch_of_any_size_is_exported() -> None:
    """Of images, whose rows are the steps; conformance has features alone."""
    net = lamina.create_model("autoencoder-lstm", in_features=36, image_size=6, hidden_size=4, latent=2).eval()
    batch = {0: torch.export.Dim("batch")}
    program = torch.export.export(net, (torch.rand(3, 1, 6, 6),), dynamic_shapes=(batch,)).module()
    x = torch.rand(5, 1, 6, 6)
    torch.testing.assert_close(program(x), net(x))


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"in_features": 10, "steps": 12}, "a series of 10 values is shorter than that"),
        ({"in_features": 10, "steps": 3}, "10 features cannot be divided into so many"),
        ({"latent": 0}, "latent must be at least 1"),
    ],
)
def test_series_that_do_not_fit(options: dict[str, int], reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        lamina.create_model("autoencoder-lstm", **options)


def test_a_vae_draws_in_training_and_takes_the_mean_in_evaluation() -> None:
    net = lamina.create_model("vae", in_features=12, hidden=(8,), latent=3)
    x = torch.rand(4, 3, 2, 2)
    latent = net.encode(x)
    assert isinstance(latent, Gaussian)
    assert not torch.equal(net(x).decoded, net(x).decoded)
    decoded, again = net.eval()(x)
    assert torch.equal(decoded, net.decode(latent.mean).reshape(x.shape))
    assert torch.equal(again.mean, latent.mean)
    assert torch.equal(net.embed(x), latent.mean)


@pytest.mark.parametrize("variance", ["shared", "each"])
@pytest.mark.parametrize("name", ["vae", "vae-conv"])
def test_a_learned_variance_has_the_shape_of_the_input(name: str, variance: str) -> None:
    sizes: dict[str, Any] = {"in_features": 50} if name == "vae" else {"in_channels": 2, "image_size": 5}
    net = lamina.create_model(name, variance=variance, **sizes).eval()
    x = torch.rand(3, 2, 5, 5)
    mean, log_variance = net(x).decoded
    assert mean.shape == log_variance.shape == x.shape
    assert bool((log_variance > -12).all())
    assert (log_variance.std() > 0) == (variance == "each")


@pytest.mark.parametrize(
    ("model", "encoder", "options", "width"),
    [
        ("autoencoder-conv", "resnet18", {"in_channels": 3, "image_size": 32}, 512),
        ("vae", "mlp", {"in_features": 30}, 512),
        ("vae-conv", "lenet5", {}, 84),
        ("autoencoder", "autoencoder-conv", {"in_features": 256, "image_size": 16}, 64),
    ],
)
def test_another_model_may_be_the_encoder(model: str, encoder: str, options: dict[str, Any], width: int) -> None:
    net = lamina.create_model(model, encoder=encoder, latent=5, **options).eval()
    plain = lamina.create_model(encoder)
    assert type(net.encoder.model) is type(plain)
    size = net.config.image_size
    x = torch.rand(2, net.config.in_channels, size, size) if size else torch.rand(2, options["in_features"])
    assert net.encoder.width == width
    assert net.encoder(x).shape == (2, width)
    assert torch.equal(net.encoder(x), net.encoder.model.embed(x))
    assert net.embed(x).shape == (2, 5)
    out = net(x)
    assert (out if isinstance(out, torch.Tensor) else out.decoded).shape == x.shape
    assert net.train().encoder.model.training


def test_an_encoder_that_cannot_be_one_is_refused() -> None:
    refused = {"rnn-lm": "has no method 'embed'", "lstm-classifier": "expected tokens of shape"}
    for name, reason in refused.items():
        with pytest.raises(UsageError, match=reason):
            lamina.create_model("autoencoder-conv", encoder=name)
    with pytest.raises(UsageError, match="unknown model 'resnet19'"):
        lamina.create_model("autoencoder-conv", encoder="resnet19")
