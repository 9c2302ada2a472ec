"""Checks of forecasters: the sizes of windows, covariates and quantiles, and that no forecast sees what is to come.

Legend: B batch, L steps of the past, H steps of the forecast, C channels, P and F covariates, Q quantiles.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import torch
from torch import Tensor

from lamina.cards import Variant
from lamina.conformance.harness import NotApplicableError, build, expect_close, first_tensor, require, variant_of

_BATCH = 3
_SIZES = {"context": 18, "horizon": 5, "channels": 2}


def check_windows(model: str | Variant) -> None:
    """A forecaster forecasts (B, H, C), with ``quantiles=Q`` (B, H, C, Q), for any context, horizon and channels, with
    covariates of the past alone or of the future too, which matter; windows of other sizes raise a one-line
    ValueError, a batch of one is served."""
    row = _forecaster(model)
    sizes = (_BATCH, _SIZES["horizon"], _SIZES["channels"])
    for past, future in ((0, 0), (3, 0), (3, 2)):
        options = {**_SIZES, "past_covariates": past, "future_covariates": future}
        net, x = build(row, options), _window(past, future)
        with torch.no_grad():
            whole = first_tensor(net(*x))
            require(tuple(whole.shape[:3]) == sizes, f"forward returns {tuple(whole.shape)}, expected {sizes}")
            require(whole.isfinite().all(), "a forecast is not finite")
            expect_close(first_tensor(net(*(part[1:2] for part in x))), whole[1:2], 1e-9, "one window alone")
            for place in range(len(x)):
                other = [part + 1.0 * (at == place) * torch.rand_like(part) for at, part in enumerate(x)]
                require(not torch.equal(first_tensor(net(*other)), whole), f"input {place + 1} changes no forecast")
        for wrong in _wrong(x):
            _expect_refused(net, wrong)
    if not getattr(row.build, "distribution", False):
        net = build(row, {**_SIZES, "quantiles": 4})
        got = tuple(first_tensor(net(*_window(0, 0))).shape)
        require(got == (*sizes, 4), f"with four quantiles forward returns {got}, expected {(*sizes, 4)}")


def check_no_future(model: str | Variant) -> None:
    """The forecast of step h depends on no target from h on, where targets are given in training (``teacher_forced``);
    in evaluation it depends on none, but where a distribution is forecast, whose likelihood needs them."""
    row = _forecaster(model)
    if not getattr(row.build, "teacher_forced", False):
        raise NotApplicableError("its training sees no targets")
    options: dict[str, Any] = dict(_SIZES)
    if "dropout" in {field.name for field in fields(row.config)}:
        options["dropout"] = 0.0
    if "teacher_forcing" in {field.name for field in fields(row.config)}:
        options["teacher_forcing"] = 1.0
    net, (past_BLC,) = build(row, options), _window(0, 0)
    target_BHC = torch.randn(_BATCH, _SIZES["horizon"], _SIZES["channels"], dtype=torch.float64)
    horizon = _SIZES["horizon"]
    with torch.no_grad():
        net.train()
        whole = first_tensor(net(past_BLC, None, None, target_BHC))[:, -horizon:]
        for step in range(horizon):
            other_BHC = target_BHC.clone()
            other_BHC[:, step:] += 7.0
            got = first_tensor(net(past_BLC, None, None, other_BHC))[:, -horizon:]
            expect_close(got[:, : step + 1], whole[:, : step + 1], 0.0, f"step {step + 1} after another target there")
            if step + 1 < horizon:
                seen = not torch.equal(got[:, step + 1], whole[:, step + 1])
                require(seen, f"the target of step {step + 1} does not reach the next: no teacher forcing")
        net.eval()
        if getattr(row.build, "distribution", False):
            return
        alone = first_tensor(net(past_BLC))
        given = first_tensor(net(past_BLC, None, None, target_BHC))
        expect_close(given, alone, 0.0, "a forecast in evaluation that is given the targets")


def _forecaster(model: str | Variant) -> Variant:
    row = variant_of(model)
    if not hasattr(row.config, "horizon"):
        raise NotApplicableError("it forecasts nothing")
    return row


def _window(past: int, future: int) -> list[Tensor]:
    draw = torch.Generator().manual_seed(3)
    context, horizon, channels = _SIZES.values()
    sizes = [(context, channels)] + [(context, past)] * (past > 0) + [(horizon, future)] * (future > 0)
    return [torch.randn(_BATCH, *size, generator=draw, dtype=torch.float64) for size in sizes]


def _wrong(x: list[Tensor]) -> list[list[Tensor]]:
    """Windows with one part a step or a column too long, without a batch or with another; one part too few or many."""
    changed = [
        [change(part) if at == place else part for at, part in enumerate(x)]
        for place in range(len(x))
        for change in (
            lambda part: torch.cat([part, part[:, :1]], 1),
            lambda part: torch.cat([part, part[..., :1]], 2),
            lambda part: part[0],
        )
    ]
    changed += [[part[:1] if at == place else part for at, part in enumerate(x)] for place in range(1, len(x))]
    return [*changed, *([x[:-1]] if len(x) > 1 else []), *([[*x, x[0]]] if len(x) < 3 else [])]


def _expect_refused(net: Any, wrong: list[Tensor]) -> None:
    shapes = " and ".join(str(tuple(part.shape)) for part in wrong)
    try:
        with torch.no_grad():
            net(*wrong)
    except ValueError as error:
        require("\n" not in str(error), f"the error for {shapes} has more than one line: {error}")
    except Exception as error:  # the fault this looks for: an obscure error
        raise AssertionError(f"windows of {shapes}: {type(error).__name__}: {error}") from error
    else:
        raise AssertionError(f"windows of {shapes} are accepted without an error")
