"""The fastest form gives the outputs of the model, and leaves the model alone."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import lamina
from lamina.errors import UsageError
from lamina.export import optimising
from lamina.export.folding import fold_batch_norms


def trained_norms(model: nn.Module) -> nn.Module:
    """Running statistics and scales that are nobody's identity."""
    generator = torch.Generator().manual_seed(1)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d):
            module.running_mean.normal_(0, 0.3, generator=generator)  # type: ignore[union-attr]
            module.running_var.uniform_(0.5, 2, generator=generator)  # type: ignore[union-attr]
            if module.affine:
                nn.init.uniform_(module.weight, 0.5, 2, generator=generator)
                nn.init.normal_(module.bias, 0, 0.3, generator=generator)
    return model.eval()


def chain() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(inplace=True),
        nn.Conv2d(8, 8, 3, groups=4),
        nn.BatchNorm2d(8, affine=False),
        nn.ConvTranspose2d(8, 6, 3),
        nn.BatchNorm2d(6),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(6, 5, bias=False),
        nn.BatchNorm1d(5),
    )


class Awkward(nn.Module):
    """Batch norms that only look as if they could be folded."""

    def __init__(self) -> None:
        super().__init__()
        self.skipped = nn.Conv2d(3, 4, 1)
        self.norm = nn.BatchNorm2d(4)
        self.twice = nn.Conv2d(4, 4, 1)
        self.norm2 = nn.BatchNorm2d(4)
        self.first = nn.BatchNorm2d(4)
        self.tokens = nn.Linear(4, 4)
        self.norm3 = nn.BatchNorm1d(9)
        self.good = nn.Conv1d(9, 2, 1)
        self.norm4 = nn.BatchNorm1d(2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.skipped(x)
        x = self.norm(x) + x  # what the convolution gives is read twice
        x = self.twice(self.norm2(self.twice(x)))  # so is its weight
        x = self.first(F.relu(x))  # a norm after something else
        x = self.norm3(self.tokens(x.flatten(2).transpose(1, 2)))  # over another dimension than the layer's
        out: Tensor = self.norm4(self.good(x))
        return out


def test_batch_norms_are_folded_exactly() -> None:
    model = trained_norms(chain()).double()
    x = torch.randn(4, 3, 9, 9, dtype=torch.float64)
    wanted = model(x)
    assert fold_batch_norms(model, x) == 4
    assert not any(isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d) for module in model.modules())
    torch.testing.assert_close(model(x), wanted, rtol=1e-12, atol=1e-12)


def test_what_cannot_be_folded_is_left() -> None:
    model = trained_norms(Awkward()).double()
    x = torch.randn(2, 3, 3, 3, dtype=torch.float64)
    wanted = model(x)
    assert fold_batch_norms(model, x) == 1
    assert isinstance(model.norm4, nn.Identity)
    torch.testing.assert_close(model(x), wanted, rtol=1e-12, atol=1e-12)


def test_a_norm_that_does_more_is_left() -> None:
    class NormAct(nn.BatchNorm2d):
        def forward(self, input: Tensor) -> Tensor:
            return F.relu(super().forward(input))

    model = trained_norms(nn.Sequential(nn.Conv2d(3, 4, 1), NormAct(4)))
    assert fold_batch_norms(model, torch.randn(1, 3, 4, 4)) == 0


def test_optimize_leaves_the_model_alone_and_gives_the_same() -> None:
    model = trained_norms(chain()).train()
    before = copy.deepcopy(model.state_dict())
    fast = lamina.optimize(model, example=torch.randn(2, 3, 12, 12))
    assert model.training
    assert all(parameter.requires_grad for parameter in model.parameters())
    for name, tensor in model.state_dict().items():
        torch.testing.assert_close(tensor, before[name], rtol=0, atol=0)
    model.eval()
    for shape in ((2, 3, 12, 12), (7, 3, 12, 12), (1, 3, 20, 17)):  # another batch, another size
        x = torch.randn(shape)
        torch.testing.assert_close(fast(x), model(x), rtol=1e-4, atol=1e-4)
    report = fast.report
    assert report.folded == 4
    assert len(report.candidates) == 6
    assert all(one.difference is not None and one.difference < 1e-4 for one in report.candidates)
    assert report.chosen in {"as given", *(one.name for one in report.candidates)}
    assert report.chosen in str(report)
    with pytest.warns(DeprecationWarning, match="ways is now candidates"):
        assert report.ways is report.candidates


def test_bfloat16_is_tried_on_request_only_and_the_dtype_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    model, x = trained_norms(chain()), torch.randn(2, 3, 12, 12)
    assert not any("bf16" in one.name for one in lamina.optimize(model, example=x).report.candidates)

    def last_wins(old: object, new: object, example: Tensor) -> tuple[float, float, object]:
        return 2.0, 1.0, new

    monkeypatch.setattr(optimising, "_compare", last_wins)
    fast = lamina.optimize(model, example=x, bf16=True)
    assert "bf16" in fast.report.chosen
    out = fast(x)
    assert out.dtype == torch.float32
    difference = (out - model(x)).abs().max() / model(x).abs().max()
    assert 0 < difference < 0.05


def test_the_frozen_graph_is_used_for_the_batches_it_was_verified_for(monkeypatch: pytest.MonkeyPatch) -> None:
    class FixedBatch(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(4, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.linear(x) * int(x.shape[0])  # a number that the graph keeps

    monkeypatch.setattr(optimising, "_compare", lambda old, new, example: (2.0, 1.0, new))
    model = FixedBatch()
    fast = lamina.optimize(model, example=torch.randn(2, 4))
    assert "frozen" in fast.report.chosen
    assert not fast.any_batch
    for batch in (1, 2, 3):
        x = torch.randn(batch, 4)
        torch.testing.assert_close(fast(x), model(x))


def test_a_candidate_with_other_outputs_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optimising, "_freeze", lambda plain, x: lambda y: plain(y) * 1.001)
    report = lamina.optimize(lamina.create_model("lenet5")).report
    spoilt = [one for one in report.candidates if one.name in ("frozen graph", "frozen graph, channels_last")]
    assert len(spoilt) == 2
    assert all(one.milliseconds is None and "differs by 1.0e-03" in one.note for one in spoilt)
    assert report.chosen not in {one.name for one in spoilt}


@pytest.mark.parametrize("name", ["lenet5", "mlp"])
def test_the_example_is_the_variants_own(name: str) -> None:
    model = lamina.create_model(name).eval()
    fast = lamina.optimize(model)
    x = torch.randn(3, *lamina.card(name).input)
    torch.testing.assert_close(fast(x), model(x), rtol=1e-4, atol=1e-5)


def test_errors_are_one_line() -> None:
    with pytest.raises(UsageError, match="the input of Linear is not known: pass an example"):
        lamina.optimize(nn.Linear(3, 2))
    with pytest.raises(UsageError, match="the model does not accept the example"):
        lamina.optimize(nn.Linear(3, 2), example=torch.randn(2, 5))
    with pytest.raises(UsageError, match="returns a tuple, expected one tensor"):
        lamina.optimize(nn.LSTM(3, 2), example=torch.randn(2, 4, 3))
