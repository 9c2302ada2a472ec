"""The linear layer of decoders: oneDNN in inference alone, and the same numbers either way."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from lamina.layers.linear import LARGE, Linear, linear

WIDTH = 512


class Calls(TorchDispatchMode):
    """Names of the operators that were called, of oneDNN's alone."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if "mkldnn" in str(function):
            self.names.append(str(function))
        return function(*args, **(kwargs or {}))


def layer(out: int = LARGE // WIDTH, bias: bool = True) -> Linear:
    torch.manual_seed(0)
    return Linear(WIDTH, out, bias=bias)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(1, WIDTH), (1, 1, WIDTH), (3, 5, WIDTH), (40, WIDTH)])
def test_onednn_gives_the_same_in_inference(shape: tuple[int, ...], bias: bool) -> None:
    model, x = layer(bias=bias), torch.randn(shape)
    wanted = torch.nn.functional.linear(x.double(), *(weight.detach().double() for weight in model.parameters()))
    with torch.inference_mode(), Calls() as calls:
        got = model(x)
        from_columns = model(x.mT.contiguous().mT)  # a view with other strides
    assert len(calls.names) == 2 * torch.backends.mkldnn.is_available()
    assert got.shape == wanted.shape
    for out in (got, from_columns):
        assert float((out - wanted).abs().max() / wanted.abs().max()) < 1e-6


def test_everywhere_else_it_is_torchs() -> None:
    model, x = layer(), torch.randn(2, WIDTH)
    with Calls() as calls:
        model(x).sum().backward()
        assert model.weight.grad is not None
        assert torch.allclose(model.weight.grad, x.sum(0).expand_as(model.weight), atol=1e-5)
        with torch.no_grad():
            model(x)
        with torch.inference_mode():
            layer(out=LARGE // WIDTH - 1)(x)
            assert linear(x.double(), model.weight.double()).dtype == torch.float64
            assert linear(x.to("meta"), model.weight.to("meta")).is_meta
    assert not calls.names
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        assert model(x).dtype == torch.bfloat16


def test_a_file_of_torchs_layer_is_one_of_ours() -> None:
    theirs = torch.nn.Linear(WIDTH, 3)
    model = Linear(WIDTH, 3)
    model.load_state_dict(theirs.state_dict())
    x = torch.randn(2, WIDTH)
    assert torch.equal(model(x), theirs(x))
