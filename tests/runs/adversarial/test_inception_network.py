"""Inception as a metric network: both nets against what pytorch-fid and torchvision compute, files, resizing."""

from __future__ import annotations

import math
import re
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

import lamina
from lamina.errors import UsageError
from lamina.runs.sample_metrics.inception import Inception, resized
from lamina.runs.sample_metrics.network import InceptionNetwork

NET: dict[str, Any] = {"generator_widths": (8, 6), "discriminator_widths": (6, 8), "latent": 5}


def weights(original: bool) -> dict[str, Tensor]:
    """Weights that are a function of their names."""
    found = {}
    for name, value in Inception(original).state_dict().items():
        draws = torch.Generator().manual_seed(zlib.crc32(name.encode()))
        if not value.is_floating_point():
            found[name] = value
        elif value.ndim == 4:
            found[name] = torch.randn(value.shape, generator=draws) * math.sqrt(2 / value[0].numel())
        elif name.endswith("running_var"):
            found[name] = 0.5 + torch.rand(value.shape, generator=draws)
        else:
            scaled = 0.1 * torch.randn(value.shape, generator=draws)
            found[name] = 1 + scaled if name.endswith("bn.weight") else scaled
    return found


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Weights of the original net and of torchvision's, with outputs and what else there is in such files."""
    folder, found = tmp_path_factory.mktemp("inception"), {}
    for name, outputs in (("original", 1008), ("torchvision", 1000)):
        tensors = weights(name == "original") | {
            "fc.weight": torch.zeros(outputs, 2048),
            "fc.bias": torch.zeros(outputs),
        }
        found[name] = folder / f"{name}.safetensors"
        save_file({**tensors, "AuxLogits.fc.weight": torch.zeros(3, 3)}, found[name])
    return found


@pytest.mark.parametrize(
    ("name", "first", "mean", "std"),
    [
        ("original", (13.1694689, 0.00099391, 0.07570743, 0.26072308, 3.83654380), 2.08784103, 2.88142085),
        ("torchvision", (12.3722982, 0.02818745, 0.05862514, 0.23571151, 3.82316709), 1.91953862, 2.57918334),
    ],
)
def test_features_are_those_of_pytorch_fid_and_torchvision(
    files: dict[str, Path], name: str, first: tuple[float, ...], mean: float, std: float
) -> None:
    """The numbers were computed with pytorch-fid 0.3.0 and torchvision 0.28.0 from the same weights."""
    network = InceptionNetwork.open(files[name], None)
    assert re.fullmatch(
        {"original": "inception@....", "torchvision": "inception-torchvision@...."}[name], network.label
    )
    assert sum(weight.numel() for weight in network.net.parameters()) == 21_785_568
    x = torch.sin(torch.arange(3 * 299 * 299) * 0.01).reshape(1, 3, 299, 299)
    with torch.no_grad():
        features = network.net(x.to(next(network.net.parameters()).device))[0].cpu()
    assert features[:5].tolist() == pytest.approx(first, rel=1e-3, abs=1e-4)
    assert (features.mean().item(), features.std().item()) == pytest.approx((mean, std), rel=1e-4)


@pytest.mark.parametrize("side", [16, 500])
def test_pictures_are_resized_as_clean_fid_does(side: int) -> None:
    """Antialiased, in floating point, as PIL; without antialiasing the larger picture would be off by tens."""
    grey = np.random.default_rng(0).integers(0, 256, (side, side)).astype(np.float32)
    expected = np.asarray(Image.fromarray(grey, mode="F").resize((299, 299), Image.Resampling.BICUBIC)).clip(0, 255)
    found = (resized(torch.from_numpy(grey)[None, None]) + 1) * 127.5
    assert found.shape == (1, 3, 299, 299)
    assert torch.equal(found[0, 0], found[0, 2])
    assert np.abs(found[0, 1].numpy() - expected).max() < 0.02


def test_it_judges_a_run_whose_metrics_name_file_and_size(files: dict[str, Path], tmp_path: Path) -> None:
    gan = lamina.train("dcgan-16", data="digits", steps=2, directory=tmp_path, report=False, model_options=NET)
    asked = {"metric_network": str(files["original"]), "metric_samples": 4}
    with pytest.raises(UsageError, match=r"FID: 4 samples are too few for the 2048 features of inception@"):
        gan.evaluate(**asked)
    found = gan.evaluate(**asked, sample_metrics=("kid",), metric_layer="Conv2d_2b_3x3")
    (name,) = [name for name in found if name.startswith("KID")]
    assert re.fullmatch(r"KID\[inception@[0-9a-f]{4}, layer Conv2d_2b_3x3, resize 299, n=4\]", name)
    assert np.isfinite(found[name])


def test_other_files_are_refused(files: dict[str, Path], tmp_path: Path) -> None:
    gan = lamina.train("dcgan-16", data="digits", steps=1, directory=tmp_path, report=False, model_options=NET)
    with pytest.raises(UsageError, match=r"no weights of Inception v3 .*Conv2d_1a_3x3.conv.weight is missing"):
        gan.evaluate(metric_network=str(gan.directory.weights))
    tensors = weights(True) | {"fc.weight": torch.zeros(10, 2048)}
    save_file(tensors, tmp_path / "other.safetensors")
    with pytest.raises(UsageError, match=r"no weights of Inception v3 .*\(10 outputs\)"):
        gan.evaluate(metric_network=str(tmp_path / "other.safetensors"))
    toy = lamina.train(
        "gan-toy", data="iris", steps=1, directory=tmp_path, report=False, batch_size=8,
        model_options={"generator_hidden": (2,), "discriminator_hidden": (2,)},
    )  # fmt: skip
    with pytest.raises(UsageError, match="takes grey and colour images, not samples of 4"):
        toy.evaluate(metric_network=str(files["original"]))
