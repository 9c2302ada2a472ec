"""A check is worth what it finds: an architecture with one fault at a time, and the check that must name it."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lamina import conformance
from lamina.cards import Card, Variant
from lamina.conformance import NotApplicableError
from lamina.conformance import __main__ as command
from lamina.layers.heads import linear_head, stage_numbers
from lamina.layers.shapes import expect_image


@dataclass(frozen=True, kw_only=True)
class FaultyConfig:
    """A small image classifier with at most one fault."""

    num_classes: int = 4
    in_channels: int = 2
    fault: str = ""


class Faulty(nn.Module):
    """Convolution, batch norm, average over the image, linear layer."""

    def __init__(self, config: FaultyConfig) -> None:
        super().__init__()
        self.config = config
        self.fault = config.fault
        self.conv = nn.Conv2d(config.in_channels, 6, 3, padding=1)
        self.norm = nn.BatchNorm2d(6)
        self.head = linear_head(6, config.num_classes)
        if self.fault == "unused parameter":
            self.unused = nn.Linear(2, 2)
        if self.fault == "dead parameter":
            self.dead = nn.Parameter(torch.ones(()))
        if self.fault == "hidden state":
            self.offset = torch.randn(1, 6, 1, 1, dtype=torch.float64)

    def features(self, x_BCHW: Tensor, stages: Sequence[int] | None = None) -> list[Tensor]:
        if self.fault == "no shape check":
            pass
        elif self.fault == "long error" and x_BCHW.ndim != 4:
            raise ValueError(f"bad shape\n{tuple(x_BCHW.shape)}")
        else:
            expect_image(x_BCHW, self.config.in_channels)
        if self.fault == "writes input":
            x_BCHW.mul_(1.5)
        if self.fault == "channels last":
            x_BCHW = x_BCHW.as_strided(x_BCHW.shape, torch.empty(x_BCHW.shape).stride())
        out_BCHW = self.norm(self.conv(x_BCHW)).relu()
        if self.fault == "dead parameter":
            out_BCHW = out_BCHW + 0 * self.dead
        if self.fault == "hidden state":
            out_BCHW = out_BCHW + self.offset
        if self.fault == "batch":
            out_BCHW = out_BCHW - out_BCHW.mean(0, keepdim=True) / 2
        if self.fault == "order":
            out_BCHW = out_BCHW * torch.arange(1, len(x_BCHW) + 1).view(-1, 1, 1, 1)
        if self.fault == "random":
            out_BCHW = out_BCHW + torch.rand_like(out_BCHW)
        if self.fault == "infinite":
            out_BCHW = out_BCHW / 0
        if self.fault == "no bfloat16" and out_BCHW.dtype == torch.bfloat16:
            out_BCHW = out_BCHW.round(decimals=0)
        if self.fault == "graph break":
            torch._dynamo.graph_break()
        if self.fault == "data dependent" and out_BCHW.sum() > 0:
            out_BCHW = out_BCHW * 2
        maps = [out_BCHW]
        return maps if self.fault == "stages" else [maps[stage] for stage in stage_numbers(stages, 1)]

    def embed(self, x_BCHW: Tensor) -> Tensor:
        out_BCHW = self.features(x_BCHW)[0]
        if self.fault == "one size":
            return out_BCHW.unflatten(-1, (3, 3)).mean((2, 3, 4))
        if self.fault == "squeeze":
            return out_BCHW.mean((2, 3)).squeeze()
        return out_BCHW.mean((2, 3))

    def forward(self, x_BCHW: Tensor) -> Tensor:
        logits_BK: Tensor = self.head(self.embed(x_BCHW))
        return logits_BK[:, :3] if self.fault == "classes" else logits_BK

    def reset_head(self, num_classes: int) -> None:
        if self.fault != "stale config":
            self.config = dataclasses.replace(self.config, num_classes=num_classes)
        like = None if self.fault == "head dtype" else self.conv.weight
        self.head = linear_head(6, num_classes, like=like)


class WithoutMethods(nn.Module):
    """The same calculation without the family's methods."""

    def __init__(self, config: FaultyConfig) -> None:
        super().__init__()
        self.net = Faulty(config)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        out: Tensor = self.net(x_BCHW)
        return out


def row(fault: str = "", build: Callable[[Any], nn.Module] = Faulty, **facts: Any) -> Variant:
    card = Card(
        title="Faulty",
        summary="For tests.",
        paper="none",
        authors="nobody",
        year=2020,
        inputs=("image",),
        tasks=("classification",),
        input=(2, 9, 9),
        parameters=2 * 6 * 9 + 6 + 12 + 28,
        macs=81 * 2 * 6 * 9 + 24,
        reference="none",
        recipe="none",
    )
    return Variant(build=build, config=FaultyConfig(fault=fault), card=dataclasses.replace(card, **facts))


OF_OTHERS = {"padding", "stepping", "select", "wrong tokens", "windows", "no future"}


@pytest.mark.parametrize("title", [title for title in conformance.checks() if title not in OF_OTHERS])
def test_the_faultless_net_passes(title: str) -> None:
    conformance.checks()[title](row())


@pytest.mark.parametrize(
    ("fault", "check", "message"),
    [
        ("classes", "check_forward", r"forward returns \(3, 3\), expected \(3, 4\)"),
        ("infinite", "check_forward", "not finite"),
        ("random", "check_forward", "another result the second time"),
        ("writes input", "check_forward", "another result|writes into its input"),
        ("unused parameter", "check_backward", "no gradient reaches unused"),
        ("dead parameter", "check_backward", "the gradient of dead is zero everywhere"),
        ("infinite", "check_backward", "is not finite"),
        ("squeeze", "check_batch_of_one", r"one input gives \(4,\)"),
        ("batch", "check_eval_batch_independent", "an input alone"),
        ("order", "check_eval_batch_independent", "an input alone|reverse order"),
        ("channels last", "check_channels_last", "outputs in channels_last"),
        ("no bfloat16", "check_bf16_autocast", "outputs under bf16 autocast"),
        ("hidden state", "check_state_dict_round_trip", "something is not in the state dict"),
        ("one size", "check_odd_sizes", "unflatten"),
        ("no shape check", "check_wrong_shape", "raises RuntimeError|accepted without an error"),
        ("long error", "check_wrong_shape", "more than one line"),
        ("stages", "check_image_interface", r"features\(stages=\[-1, 0\]\) returns 1 maps"),
        ("stale config", "check_image_interface", "the config still states the old head"),
        ("head dtype", "check_image_interface", "same dtype"),
        ("graph break", "check_compile", "graph break"),
        ("data dependent", "check_compile", "Data-dependent branching"),
        ("data dependent", "check_export", "data-dependent expression"),
    ],
)
def test_a_fault_is_found(fault: str, check: str, message: str) -> None:
    """Some faults torch itself names, by a RuntimeError."""
    with pytest.raises((AssertionError, RuntimeError), match=message):
        getattr(conformance, check)(row(fault))


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"parameters": 155}, "the model has 154 parameters, its card says 155"),
        ({"parameters": {"net": 153}}, "net has 154 parameters, its card says 153"),
        ({"macs": {"net": 8_772}}, "multiply-adds by player cannot be counted"),
        ({"macs": 8_771}, "one input takes 8,772 multiply-adds, the card says 8,771"),
    ],
)
def test_a_card_that_is_wrong_is_found(facts: dict[str, Any], message: str) -> None:
    build = WithoutMethods if isinstance(facts.get("parameters"), dict) else Faulty
    with pytest.raises(AssertionError, match=message):
        conformance.check_meta(row(build=build, **facts))


def test_a_missing_method_is_found() -> None:
    with pytest.raises(AssertionError, match="it has no method features"):
        conformance.check_image_interface(row(build=WithoutMethods))


def test_a_check_says_where_it_does_not_apply(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NotApplicableError, match="not an image classifier"):
        conformance.check_image_interface(row(tasks=("regression",)))
    with pytest.raises(NotApplicableError, match="inputs are not images"):
        conformance.check_channels_last("mlp")
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(NotApplicableError, match=r"(onnx|onnxscript) is not installed: pip install lamina.export."):
        conformance.check_onnx(row())


def test_checks_leave_the_default_generator_alone() -> None:
    before = torch.get_rng_state()
    conformance.check_backward(row())
    conformance.check_state_dict_round_trip(row())
    assert torch.equal(torch.get_rng_state(), before)


def test_the_command_writes_the_table(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(_name: str) -> None:
        raise AssertionError("two\nlines")

    table = {"forward": conformance.check_forward, "wrong": wrong, "channels last": conformance.check_channels_last}
    monkeypatch.setattr(command, "checks", lambda **_: table)
    out = tmp_path / "new" / "table.md"
    assert command.main(["MLP", "--out", str(out)]) == 1
    text = out.read_text()
    assert "| variant | forward | wrong | channels last |\n|---|---|---|---|\n| mlp | pass | FAIL | n/a |\n" in text
    assert "| wrong | FAIL | AssertionError: two lines | mlp |\n" in text
    assert "| channels last | n/a | inputs are not images | mlp |\n" in text


def test_what_is_rerun_replaces_what_the_page_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "table.md"

    def table(wrong: set[str]) -> None:
        def check(name: str) -> None:
            if name in wrong:
                raise AssertionError(f"{name} or | nothing")

        named = {"odd": check, "channels last": conformance.check_channels_last}
        monkeypatch.setattr(command, "checks", lambda **_: named)

    table({"mlp", "lenet5"})
    assert command.main(["mlp", "lenet5", "perceptron", "--out", str(page)]) == 1
    before = page.read_text()
    assert "| odd | FAIL | AssertionError: mlp or / nothing | mlp |\n" in before
    assert "| channels last | n/a | inputs are not images | perceptron, mlp |\n" in before
    table(set())
    assert command.main(["lenet5", "--out", str(page), "--update"]) == 0
    wanted = before.replace("| lenet5 | FAIL |", "| lenet5 | pass |").replace(
        "| odd | FAIL | AssertionError: lenet5 or / nothing | lenet5 |\n", ""
    )
    assert page.read_text() == wanted
    page.write_text(before.replace("torch 2", "torch 1"))
    assert command.main(["mlp", "--out", str(page), "--update"]) == 1
    with pytest.raises(SystemExit):
        command.main(["--out", str(page), "--update"])


def test_the_command_ends_well_where_all_passes(capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    monkeypatch.setattr(command, "checks", lambda **_: {"meta": conformance.check_meta})
    monkeypatch.setattr(command, "list_models", lambda: ["mlp", "lenet5"])
    assert command.main([]) == 0
    assert "| lenet5 | pass |" in capsys.readouterr().out
    assert command.main(["lenet6"]) == 2
    assert capsys.readouterr().err == "unknown model 'lenet6'; did you mean 'lenet5'?\n"
