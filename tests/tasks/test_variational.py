"""The objectives of autoencoders: against plain torch, and their reductions."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import lamina
from lamina.equations import variational as equations
from lamina.errors import DataError, UsageError
from lamina.layers.gaussian import Gaussian
from lamina.tasks.autoencoding import Autoencoding, DenoisingOptions, ReconstructionOptions
from lamina.tasks.base import EngineAtRest, one_tensor
from lamina.tasks.likelihoods import Bernoulli, FixedGaussian, LearnedGaussian, Likelihood
from lamina.tasks.variational import ELBOOptions, Variational, kl_by_dimension
from lamina.weights.loading import load_weights

CALL = one_tensor("image")
LIKELIHOODS: dict[str, tuple[Likelihood, str]] = {
    "bernoulli": (Bernoulli(), "none"),
    "gaussian": (FixedGaussian(scale=0.3), "none"),
    "gaussian-shared": (LearnedGaussian(), "shared"),
    "gaussian-learned": (LearnedGaussian(), "each"),
}


class Example(nn.Module):
    """The variational autoencoder of pytorch/examples, written down again."""

    def __init__(self, outputs: int = 784) -> None:
        super().__init__()
        self.fc1, self.fc21, self.fc22 = nn.Linear(784, 400), nn.Linear(400, 20), nn.Linear(400, 20)
        self.fc3, self.fc4 = nn.Linear(20, 400), nn.Linear(400, outputs)
        self.shared = nn.Parameter(torch.zeros(()))

    def parts(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        h = F.relu(self.fc1(x))
        mu, logvar = self.fc21(h), self.fc22(h)
        std = torch.exp(0.5 * logvar)
        z = mu + torch.randn_like(std) * std
        return self.fc4(F.relu(self.fc3(z))), mu, logvar

    def loss(self, x: Tensor, likelihood: str, scale: float = 0.3) -> Tensor:
        out, mu, logvar = self.parts(x)
        kld = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())
        if likelihood == "bernoulli":
            error = F.binary_cross_entropy(torch.sigmoid(out), x, reduction="sum")
        else:
            floor = lambda value: -12 + F.softplus(value + 12)  # noqa: E731
            if likelihood == "gaussian":
                variance = torch.full_like(x, scale**2)
            elif likelihood == "gaussian-shared":
                variance = floor(self.shared).exp().expand_as(x)
            else:
                variance = floor(out[:, 784:]).exp()
            error = F.gaussian_nll_loss(out[:, :784], x, variance, full=True, eps=1e-30, reduction="sum")
        return (error + kld) / len(x)


def pairs() -> dict[str, str]:
    names = {"fc1": "encoder.layers.0.0", "fc21": "mean", "fc22": "log_variance"}
    return {**names, "fc3": "decoder.layers.0.0", "fc4": "decoder.output"}


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_loss_and_gradients_are_those_of_plain_torch(name: str) -> None:
    likelihood, variance = LIKELIHOODS[name]
    torch.manual_seed(0)
    theirs = Example(1568 if variance == "each" else 784).double()
    ours = lamina.create_model("vae-400-20", variance=variance).double()
    own, state = ours.state_dict(), theirs.state_dict()
    for their, our in pairs().items():
        for kind in ("weight", "bias"):
            own[f"{our}.{kind}"].copy_(state[f"{their}.{kind}"])
    x = torch.rand(16, 784, generator=torch.Generator().manual_seed(1)).double()
    torch.manual_seed(2)
    expected = theirs.loss(x, name)
    torch.manual_seed(2)
    got, logs = Variational(CALL, likelihood).loss(ours, {"image": x.view(16, 1, 28, 28)}, EngineAtRest())
    torch.testing.assert_close(got, expected, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(logs["reconstruction"] + logs["kl"], got.detach(), rtol=1e-12, atol=0)
    got.backward()
    expected.backward()
    weights, reference = dict(ours.named_parameters()), dict(theirs.named_parameters())
    matched = {f"{our}.{kind}": f"{their}.{kind}" for their, our in pairs().items() for kind in ("weight", "bias")}
    matched |= {"decoder_log_variance": "shared"} if variance == "shared" else {}
    assert weights.keys() == matched.keys()
    for our, their in matched.items():
        torch.testing.assert_close(weights[our].grad, reference[their].grad, rtol=1e-10, atol=1e-10)


def test_a_file_of_pytorch_examples_loads(tmp_path: Any) -> None:
    theirs = Example()
    torch.save({k: v for k, v in theirs.state_dict().items() if k != "shared"}, tmp_path / "vae.pt")
    ours = lamina.create_model("vae-400-20")
    load_weights(ours, tmp_path / "vae.pt")
    x = torch.rand(3, 784)
    expected = theirs.fc4(F.relu(theirs.fc3(theirs.fc21(F.relu(theirs.fc1(x))))))
    torch.testing.assert_close(ours.eval()(x).decoded, expected)


def test_likelihoods_are_the_equations() -> None:
    x, out = torch.rand(4, 2, 3).double(), torch.randn(4, 2, 3).double()
    pair = Gaussian(out, torch.randn(4, 2, 3).double())
    close = torch.testing.assert_close
    close(Bernoulli().negative_log_likelihood(out, x), -equations.bernoulli_log_likelihood(x, out))
    log_variance = torch.tensor(2 * math.log(0.3)).double()
    expected = -equations.gaussian_log_density(x, out, log_variance)
    close(FixedGaussian(scale=0.3).negative_log_likelihood(out, x), expected)
    close(LearnedGaussian().negative_log_likelihood(pair, x), -equations.gaussian_log_density(x, *pair))
    flat = Gaussian(*(part.flatten(1) for part in pair))
    close(kl_by_dimension(flat).sum(1), equations.kl_to_standard_normal(*flat))


def vae_and_batch(size: int = 64) -> tuple[Any, dict[str, Tensor]]:
    torch.manual_seed(0)
    model = lamina.create_model("vae", in_features=12, hidden=(8,), latent=3).double()
    return model.eval(), {"image": torch.rand(size, 12).double()}


@pytest.mark.parametrize("options", [ELBOOptions(), ELBOOptions(beta=4.0), ELBOOptions(likelihood="gaussian")])
def test_the_loss_is_a_mean_over_the_batch(options: ELBOOptions) -> None:
    """In evaluation mode nothing is drawn: 64 losses of one sample are the loss of 64."""
    model, batch = vae_and_batch()
    task = Variational(CALL, FixedGaussian() if options.likelihood == "gaussian" else Bernoulli(), options)
    whole = task.loss(model, batch, EngineAtRest())[0]
    alone = [task.loss(model, {"image": row[None]}, EngineAtRest())[0] for row in batch["image"]]
    torch.testing.assert_close(torch.stack(alone).mean(), whole, rtol=1e-12, atol=0)
    auto = Autoencoding(CALL)
    net = lamina.create_model("autoencoder", in_features=12).double()
    ones = [auto.loss(net, {"image": row[None]}, EngineAtRest())[0] for row in batch["image"]]
    torch.testing.assert_close(torch.stack(ones).mean(), auto.loss(net, batch, EngineAtRest())[0], rtol=1e-12, atol=0)


def test_free_bits_and_warm_up_end_in_the_plain_loss() -> None:
    model, batch = vae_and_batch()
    plain = Variational(CALL, Bernoulli())
    expected, logs = plain.loss(model, batch, EngineAtRest())

    def loss(progress: float = 1.0, **options: float) -> float:
        engine = EngineAtRest()
        engine.progress = progress
        found = Variational(CALL, Bernoulli(), ELBOOptions(**options)).loss(model, batch, engine)[0]
        return float(found.detach())

    for progress in (0.0, 0.3, 1.0):
        assert loss(progress, kl_warmup=0.0, free_bits=0.0) == float(expected.detach())
    for warmup in (0.1, 1.0):
        assert loss(1.0, kl_warmup=warmup) == float(expected.detach())
        assert loss(0.0, kl_warmup=warmup) == float(logs["reconstruction"])
    half = float(logs["reconstruction"]) + 0.5 * float(logs["kl"])
    assert loss(0.2, kl_warmup=0.4) == pytest.approx(half)
    assert loss(free_bits=10.0) == pytest.approx(float(logs["reconstruction"]) + 30.0)
    assert loss(beta=3.0) == pytest.approx(float(logs["reconstruction"]) + 3 * float(logs["kl"]))


def test_the_bound_of_many_samples_is_tighter() -> None:
    model, batch = vae_and_batch(256)
    found = {}
    for count in (1, 100):
        task = Variational(CALL, Bernoulli(), importance_samples=count)
        metrics = task.metrics()
        torch.manual_seed(0)
        with torch.no_grad():
            task.evaluate_step(model, batch, metrics)
        found[count] = {name: float(value) for name, value in metrics.compute().items()}
    for one in found.values():
        assert one["elbo"] == pytest.approx(-one["reconstruction"] - one["kl"])
    assert found[1]["iw_bound"] == pytest.approx(found[1]["elbo"], abs=0.05)
    assert found[100]["iw_bound"] > found[100]["elbo"] + 0.01


def test_a_denoiser_is_compared_with_the_clean_input() -> None:
    x = torch.rand(500, 20).double()

    def identity(noisy: Tensor) -> Tensor:
        return noisy

    net: Any = identity
    for corruption, level, expected in (("gaussian", 0.5, 0.25 * 20), ("masking", 0.5, 0.5 * 20 / 3)):
        task = Autoencoding(CALL, DenoisingOptions(corruption=corruption, level=level))  # type: ignore[arg-type]
        torch.manual_seed(0)
        assert float(task.loss(net, {"image": x}, EngineAtRest())[0]) == pytest.approx(expected, rel=0.05)
    salted = Autoencoding(CALL, DenoisingOptions(corruption="salt-and-pepper", level=0.4), bounds=(0.0, 1.0))
    changed = (salted.corrupt(x) != x).double().mean()
    assert float(changed) == pytest.approx(0.4, abs=0.02)
    assert set(salted.corrupt(x)[salted.corrupt(x) != x].tolist()) >= {0.0, 1.0}
    assert float(Autoencoding(CALL).loss(net, {"image": x}, EngineAtRest())[0]) == 0.0


def test_values_out_of_range_are_refused() -> None:
    model, batch = vae_and_batch()
    wrong = {"image": 2 * batch["image"] - 1}
    for task in (Variational(CALL, Bernoulli()), Autoencoding(CALL, ReconstructionOptions(likelihood="bernoulli"))):
        with pytest.raises(DataError, match=r"from -0\.99\S* to 0\.99\S*: the Bernoulli likelihood is for .* 0 to 1"):
            task.predict(model, wrong)
        with pytest.raises(DataError, match="Bernoulli"):
            task.evaluate_step(model, {"image": batch["image"] * torch.nan}, task.metrics())


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"beta": -1.0}, "beta must not be negative"),
        ({"scale": 0.0}, "scale must be greater than 0"),
        ({"kl_warmup": 1.5}, "kl_warmup is a share"),
        ({"free_bits": -0.1}, "free_bits must not be negative"),
    ],
)
def test_options_out_of_range(values: dict[str, float], reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        ELBOOptions(**values)
    with pytest.raises(UsageError, match="share of values that masking changes"):
        DenoisingOptions(corruption="masking", level=1.2)
