"""DeepAR: a recurrent net whose outputs are the parameters of a distribution, fed the value before.

Paper: Salinas, Flunkert, Gasthaus, Januschowski, "DeepAR: probabilistic forecasting with autoregressive recurrent
networks", International Journal of Forecasting 36 (2020), arXiv 1704.04110.
What was new: one net for many series of any scale, trained by likelihood, whose sample paths are joint forecasts.

Differences from the paper: two layers of 40 units with dropout and a Student-t, as in gluonts; the scale is the mean
|y| of the window (paper: 1 + mean), 1 where that is 0; a learned vector tells channels apart. Covariates known of the
past alone are 0 in the horizon.

Legend: B batch, L steps of the past, H steps of the forecast, C channels, S = B C samples, T steps, P and F covariates
of past and future, K parameters of the distribution, N sample paths, D units, I inputs.

Reading order: models/deepar.py, layers/series/distributions.py, layers/recurrent.py, layers/loops.py; helpers:
layers/series/windows.py.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lamina.cards import Card, Variant
from lamina.layers.loops import Tensors, unroll
from lamina.layers.recurrent import LSTMState, Recurrent
from lamina.layers.series.distributions import DISTRIBUTIONS, Distribution, Name
from lamina.layers.series.windows import SeriesConfig, check_dropout, check_sizes, expect_window


@dataclass(frozen=True, kw_only=True)
class DeepARConfig(SeriesConfig):
    """Options of DeepAR."""

    distribution: Name = "student-t"
    """of each value; negative-binomial is for counts"""
    hidden_size: int = 40
    """units of each LSTM layer"""
    num_layers: int = 2
    """LSTM layers"""
    dropout: float = 0.1
    """dropout rate between layers, and before the output"""
    lags: tuple[int, ...] = (1,)
    """values that a step is fed: so many steps before it; 1,24 adds the one of the day before to hours"""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_sizes(hidden_size=self.hidden_size, num_layers=self.num_layers)
        check_dropout(self.dropout)
        if self.distribution not in DISTRIBUTIONS:
            raise ValueError(f"there is no distribution '{self.distribution}'; choose from {', '.join(DISTRIBUTIONS)}")
        if self.quantiles:
            raise ValueError("it forecasts a distribution: quantiles are those of its samples, leave quantiles at 0")
        if not self.lags or min(self.lags) < 1 or max(self.lags) >= self.context:
            raise ValueError(f"lags must lie from 1 to below the context of {self.context}, got {self.lags}")


class DeepAR(nn.Module):
    """s_t = LSTM(y_(t-1) / v, ..., s_(t-1)), theta_t = parameters(W s_t + b, v), v the window's mean |y|: a past
    (B, L, C) -> parameters (B, H, C, K) of the distribution of each value, in the unit of the past.

    Given ``target_BHC``, step h is fed the target before it, as training and likelihood need; else the mean of what was
    forecast before. ``sample`` draws paths.

    >>> model = lamina.create_model("deepar", context=48, horizon=24, channels=1)
    >>> model(torch.ones(2, 48, 1)).shape, model.sample(torch.ones(2, 48, 1), count=5).shape
    (torch.Size([2, 24, 1, 3]), torch.Size([2, 5, 24, 1]))
    """

    teacher_forced = True
    distribution = True

    def __init__(self, config: DeepARConfig) -> None:
        super().__init__()
        self.config = config
        width = min(50, (config.channels + 1) // 2) if config.channels > 1 else 0
        self.channel = nn.Embedding(config.channels, width) if width else None
        inputs = len(config.lags) + 1 + width + config.past_covariates
        self.recurrent = Recurrent("lstm", inputs, config.hidden_size, config.num_layers, dropout=config.dropout)
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Linear(config.hidden_size, DISTRIBUTIONS[config.distribution].size)

    @property
    def family(self) -> Distribution:
        """The distribution: its log probability, mean and samples as functions of the parameters."""
        return DISTRIBUTIONS[self.config.distribution]

    def forward(
        self,
        past_BLC: Tensor,
        past_covariates_BLP: Tensor | None = None,
        future_covariates_BHF: Tensor | None = None,
        target_BHC: Tensor | None = None,
    ) -> Tensor:
        """Parameters (B, H, C, K). Raises ValueError for a window of other sizes than the model's."""
        expect_window(self.config, past_BLC, past_covariates_BLP, future_covariates_BHF)
        x_SL, scale_S = self._scaled(past_BLC)
        known_STI = self._known(scale_S, past_BLC, past_covariates_BLP, future_covariates_BHF)
        if target_BHC is None:
            free_SHK = self._mean_path(x_SL, scale_S, known_STI)
        else:
            target_SH = target_BHC.transpose(1, 2).reshape(len(x_SL), -1) / scale_S[:, None]
            whole_ST = torch.cat([x_SL, target_SH], 1)
            free_SHK = self._read(whole_ST, known_STI, self._first())[0][:, -self.config.horizon :]
        theta_SHK = self.family.parameters(free_SHK, scale_S[:, None].expand(free_SHK.shape[:2]))
        return theta_SHK.reshape(-1, self.config.channels, *theta_SHK.shape[1:]).transpose(1, 2)

    @torch.no_grad()
    def sample(
        self,
        past_BLC: Tensor,
        past_covariates_BLP: Tensor | None = None,
        future_covariates_BHF: Tensor | None = None,
        count: int = 100,
        seed: int = 0,
    ) -> Tensor:
        """``count`` sample paths (B, N, H, C), each step fed its own draw; the same for the same seed.

        torch's default generators are left as they were. Raises ValueError for a window of other sizes.
        """
        expect_window(self.config, past_BLC, past_covariates_BLP, future_covariates_BHF)
        check_sizes(count=count)
        x_SL, scale_S = self._scaled(past_BLC)
        known_STI = self._known(scale_S, past_BLC, past_covariates_BLP, future_covariates_BHF)
        context = self.config.context
        free_STK, state = self._read(x_SL, known_STI[:, : context + 1], self._first())
        # one row for each path from here on
        scale_R = scale_S.repeat_interleave(count, 0)
        recent_RM = x_SL[:, -self._first() :].repeat_interleave(count, 0)
        known_RHI = known_STI[:, context:].repeat_interleave(count, 0)
        state = tuple(part.repeat_interleave(count, 0) for part in state)
        free_RK = free_STK[:, -1].repeat_interleave(count, 0)
        advance, paths = self.recurrent.stepper(), []
        devices = [past_BLC.device] if past_BLC.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(seed)
            for step in range(self.config.horizon):
                if step:
                    x_RI = torch.cat([self._lagged(recent_RM), known_RHI[:, step]], -1)
                    state = advance(x_RI, state)
                    free_RK = self.head(self.dropout(state[0][:, -1]))
                y_R = self.family.sample(self.family.parameters(free_RK.float(), scale_R.float())).to(scale_R)
                paths.append(y_R)
                recent_RM = torch.cat([recent_RM[:, 1:], (y_R / scale_R)[:, None]], 1)
        y_RH = torch.stack(paths, 1)
        return y_RH.reshape(-1, self.config.channels, count, self.config.horizon).permute(0, 2, 3, 1)

    def _first(self) -> int:
        """The first step that has all its lags."""
        return max(self.config.lags)

    def _scaled(self, past_BLC: Tensor) -> tuple[Tensor, Tensor]:
        """Every channel as a sample, divided by its mean |y|: (S, L), and the scale (S,)."""
        x_SL = past_BLC.transpose(1, 2).reshape(-1, self.config.context)
        scale_S = x_SL.abs().mean(1)
        scale_S = torch.where(scale_S < 1e-10, torch.ones_like(scale_S), scale_S)
        return x_SL / scale_S[:, None], scale_S

    def _known(
        self,
        scale_S: Tensor,
        past_BLC: Tensor,
        past_covariates_BLP: Tensor | None,
        future_covariates_BHF: Tensor | None,
    ) -> Tensor:
        """The inputs that are no lags at all steps (S, L + H, I): log scale, channel, covariates."""
        config, channels = self.config, self.config.channels
        steps = config.context + config.horizon
        parts = [scale_S.log()[:, None, None].expand(-1, steps, -1)]
        if self.channel is not None:
            vector_CE = self.channel.weight.to(scale_S)
            rows = past_BLC.shape[0]
            parts.append(vector_CE[None, :, None].expand(rows, -1, steps, -1).flatten(0, 1))
        if past_covariates_BLP is not None:
            unknown = config.past_covariates - config.future_covariates
            if future_covariates_BHF is None:
                future_covariates_BHF = past_covariates_BLP.new_zeros(past_BLC.shape[0], config.horizon, 0)
            ahead_BHP = F.pad(future_covariates_BHF, (0, unknown))
            parts.append(torch.cat([past_covariates_BLP, ahead_BHP], 1).repeat_interleave(channels, 0))
        return torch.cat(parts, -1)

    def _lagged(self, recent_SM: Tensor) -> Tensor:
        """The lags of the next step from the values before it (S, M)."""
        if self.config.lags == (1,):
            return recent_SM[:, -1:] if recent_SM.shape[1] > 1 else recent_SM
        return torch.stack([recent_SM[:, -lag] for lag in self.config.lags], -1)

    def _read(self, values_ST: Tensor, known_STI: Tensor, first: int) -> tuple[Tensor, Tensors]:
        """Outputs of the net for the steps from ``first`` to the last of ``known``, and the state after them."""
        steps = known_STI.shape[1]
        lagged = torch.stack([values_ST[:, first - lag : steps - lag] for lag in self.config.lags], -1)
        out_STD, state = self.recurrent(torch.cat([lagged, known_STI[:, first:]], -1))
        return self.head(self.dropout(out_STD)), tuple(state)

    def _mean_path(self, x_SL: Tensor, scale_S: Tensor, known_STI: Tensor) -> Tensor:
        """Outputs (S, H, K) where every step is fed the mean of those before."""
        context, first = self.config.context, self._first()
        free_STK, state = self._read(x_SL, known_STI[:, : context + 1], first)
        start_SK = free_STK[:, -1]
        if self.config.horizon == 1:
            return start_SK[:, None]
        advance, one_S = self.recurrent.stepper(), torch.ones_like(scale_S)

        def step(old: Tensors, at: Tensors) -> tuple[Tensors, Tensors]:
            free_SK, recent_SM, *inner = old
            mean_S1 = self.family.mean(self.family.parameters(free_SK, one_S)).unsqueeze(-1)
            recent_SM = torch.cat([recent_SM[:, 1:], mean_S1], 1) if first > 1 else mean_S1
            inner = list(advance(torch.cat([self._lagged(recent_SM), at[0]], -1), tuple(inner)))
            free_SK = self.head(self.dropout(inner[0].select(1, -1)))
            return (free_SK, recent_SM, *inner), (free_SK,)

        known_HSI = known_STI[:, context + 1 :].transpose(0, 1)
        _, (free_HSK,) = unroll(step, (start_SK, x_SL[:, -first:], *LSTMState(*state)), (known_HSI,))
        return torch.cat([start_SK[:, None], free_HSK.transpose(0, 1)], 1)


VARIANTS = {
    "deepar": Variant(
        build=DeepAR,
        config=DeepARConfig(),
        small={"context": 12, "horizon": 5, "channels": 3, "hidden_size": 6, "num_layers": 1},
        card=Card(
            title="DeepAR",
            summary="An LSTM that gives the parameters of a distribution of each value and is fed its own samples.",
            paper="DeepAR: probabilistic forecasting with autoregressive recurrent networks",
            authors="Salinas, Flunkert, Gasthaus, Januschowski",
            year=2020,
            arxiv="1704.04110",
            inputs=("series",),
            tasks=("forecasting",),
            objective="likelihood",
            input=(96, 7),
            # inputs: a lag, the log scale, four numbers of the channel
            parameters=160 * (6 + 40 + 2) + 160 * (40 + 40 + 2) + 41 * 3 + 7 * 4,
            macs=7 * (96 + 95) * (160 * (6 + 40) + 160 * (40 + 40) + 40 * 3),
            reference="a loop of torch.nn.LSTMCell",
            differences=(
                "two layers of 40 units, dropout, a Student-t: gluonts' (paper: Gaussian or negative binomial)",
                "the scale of a window is its mean |y| (paper: 1 + mean)",
                "a learned vector tells channels apart",
            ),
            recipe="deepar",
        ),
    ),
}
