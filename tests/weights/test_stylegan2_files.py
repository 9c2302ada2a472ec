"""Files of rosinality's StyleGAN2 by their names and shapes; NVIDIA's pickles."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

import lamina
from lamina.errors import DataError, UsageError
from lamina.weights.loading import load_weights

TINY = {"image_size": 8, "base": 16, "widest": 4, "latent": 4, "style": 4, "mapping_layers": 2}


def test_shapes_of_rosinality_with_leading_ones() -> None:
    """Weights (1, out, in, k, k), biases (1, C, 1, 1), filters besides, no mean of w."""
    theirs = {
        "style.1.weight": (4, 4), "style.1.bias": (4,), "style.2.weight": (4, 4), "style.2.bias": (4,),
        "input.input": (1, 4, 4, 4), "to_rgb1.bias": (1, 3, 1, 1), "to_rgbs.0.bias": (1, 3, 1, 1),
        "to_rgbs.0.upsample.kernel": (4, 4), "convs.0.conv.blur.kernel": (4, 4),
    }  # fmt: skip
    for part, out, k in (("conv1", 4, 3), ("convs.0", 4, 3), ("convs.1", 4, 3), ("to_rgb1", 3, 1), ("to_rgbs.0", 3, 1)):
        theirs[f"{part}.conv.weight"] = (1, out, 4, k, k)
        theirs |= {f"{part}.conv.modulation.weight": (4, 4), f"{part}.conv.modulation.bias": (4,)}
        if k == 3:
            theirs |= {f"{part}.noise.weight": (1,), f"{part}.activate.bias": (4,)}
    theirs |= {"noises.noise_0": (1, 1, 4, 4), "noises.noise_1": (1, 1, 8, 8), "noises.noise_2": (1, 1, 8, 8)}
    state = {name: torch.randn(shape) for name, shape in theirs.items()}
    generator = lamina.create_model("stylegan2", **TINY).generator
    loaded = load_weights(generator, {"g_ema": state}, entry="g_ema")
    assert loaded.source == "rosinality/stylegan2-pytorch"
    assert torch.equal(generator.layers[1].conv.weight, state["convs.0.conv.weight"][0])
    assert torch.equal(generator.to_rgb[1].bias, state["to_rgbs.0.bias"].flatten())
    assert torch.equal(generator.constant, state["input.input"][0])
    assert generator.centre().abs().sum() > 0  # that of 4,096 z


def test_pickles_of_nvidia_are_refused_with_advice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("torch_utils.persistence")
    exec("class Network:\n    pass", module.__dict__)
    for name in ("torch_utils", "torch_utils.persistence"):
        monkeypatch.setitem(sys.modules, name, module)
    module.Network.__module__ = "torch_utils.persistence"
    (tmp_path / "ffhq.pkl").write_bytes(pickle.dumps({"G_ema": module.Network()}))
    with pytest.raises(DataError, match=r"torch_utils.persistence.Network.*NVIDIA's StyleGAN pickles hold code"):
        load_weights(lamina.create_model("stylegan2", **TINY).generator, tmp_path / "ffhq.pkl")


@pytest.mark.parametrize("part", ["generator", "discriminator", "whole"])
def test_nets_of_lucidrains_are_another_function_and_refused(tmp_path: Path, part: str) -> None:
    """Checkpoints {"GAN": ..., "version": ...} of stylegan2_pytorch.py, and their parts, saved with safetensors too."""
    generator = {
        "G.initial_block": (1, 4, 4, 4), "G.initial_conv.weight": (4, 4, 3, 3), "G.blocks.0.to_style1.weight": (4, 4),
        "G.blocks.0.to_noise1.weight": (4, 1), "G.blocks.0.conv1.weight": (4, 4, 3, 3), "S.net.0.weight": (4, 4),
    }  # fmt: skip
    discriminator = {"D.blocks.0.conv_res.weight": (4, 3, 1, 1), "D.blocks.0.net.0.weight": (4, 3, 3, 3)}
    shapes = {"generator": generator, "discriminator": discriminator, "whole": {**generator, **discriminator}}[part]
    state = {name if part == "whole" else name.split(".", 1)[1]: torch.randn(shape) for name, shape in shapes.items()}
    torch.save({"GAN": state, "version": "1.9.0"} if part == "whole" else state, tmp_path / "model_0.pt")
    model = lamina.create_model("stylegan2", **TINY)
    before = [weight.clone() for weight in model.parameters()]
    for net in (model, model.generator, model.discriminator):
        with pytest.raises(UsageError, match=r"lucidrains/stylegan2-pytorch, which is not this .*rosinality"):
            load_weights(net, tmp_path / "model_0.pt")
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
