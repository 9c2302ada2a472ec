"""The checks of forecasters: a sound one passes, and each fault is named by its check."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from lamina import conformance
from lamina.cards import Card, Variant
from lamina.conformance import NotApplicableError
from lamina.layers.series.windows import CovariateEffect, SeriesConfig, add_effect, covariate_effect, expect_window


@dataclass(frozen=True, kw_only=True)
class RollingConfig(SeriesConfig):
    """A small forecaster that is told its targets in training, with at most one fault."""

    fault: str = ""


class Rolling(nn.Module):
    """y_h = w y_{h-1} + b, from the last value on, and a linear effect of the covariates."""

    teacher_forced = True

    def __init__(self, config: RollingConfig) -> None:
        super().__init__()
        self.config, self.fault = config, config.fault
        self.factor = nn.Parameter(torch.full((), 0.9))
        self.spread = nn.Parameter(torch.arange(max(1, config.quantiles)).float())
        self.effect: CovariateEffect | None = covariate_effect(config)

    def forward(
        self,
        past_BLC: Tensor,
        past_covariates_BLP: Tensor | None = None,
        future_covariates_BHF: Tensor | None = None,
        target_BHC: Tensor | None = None,
    ) -> Tensor:
        if self.fault != "no checks":
            expect_window(self.config, past_BLC, past_covariates_BLP, future_covariates_BHF)
        last_BC, rows = past_BLC[:, -1] + past_BLC.mean(1), list[Tensor]()
        forced = target_BHC is not None and (self.training or self.fault == "forced in evaluation")
        for step in range(self.config.horizon):
            if forced and self.fault == "sees its target":
                last_BC = target_BHC[:, step]
            rows.append(self.factor * last_BC)
            last_BC = target_BHC[:, step] if forced and self.fault != "never forced" else rows[-1]
        y = torch.stack(rows, 1)
        if self.fault == "of one step":
            y = y[:, -1]
        if self.config.quantiles and self.fault != "no quantiles":
            y = y[..., None] + self.spread
        if self.fault == "future ignored":
            future_covariates_BHF = None
        return add_effect(self.effect, y, past_covariates_BLP, future_covariates_BHF)


def row(fault: str = "") -> Variant:
    card = Card(
        title="Rolling",
        summary="For tests.",
        paper="none",
        authors="nobody",
        year=2020,
        inputs=("series",),
        tasks=("forecasting",),
        input=(96, 7),
        parameters=2,
        macs=0,
        reference="none",
        recipe="none",
    )
    return Variant(build=Rolling, config=RollingConfig(fault=fault), card=card)


@pytest.mark.parametrize("check", ["check_windows", "check_no_future", "check_meta"])
def test_the_sound_one_passes(check: str) -> None:
    getattr(conformance, check)(row())


@pytest.mark.parametrize(
    ("fault", "check", "message"),
    [
        ("no checks", "check_windows", "accepted without an error|raises RuntimeError|RuntimeError"),
        ("of one step", "check_windows", r"forward returns \(3, 2\), expected \(3, 5, 2\)"),
        ("no quantiles", "check_windows", "with four quantiles forward returns"),
        ("future ignored", "check_windows", "input 3 changes no forecast"),
        ("sees its target", "check_no_future", "step 1 after another target there"),
        ("never forced", "check_no_future", "no teacher forcing"),
        ("forced in evaluation", "check_no_future", "in evaluation that is given the targets"),
    ],
)
def test_a_fault_is_found(fault: str, check: str, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        getattr(conformance, check)(row(fault))


def test_they_do_not_apply_to_other_models() -> None:
    for check in (conformance.check_windows, conformance.check_no_future):
        with pytest.raises(NotApplicableError, match="it forecasts nothing"):
            check("mlp")
    with pytest.raises(NotApplicableError, match="its training sees no targets"):
        conformance.check_no_future("dlinear")
