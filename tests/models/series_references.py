"""Forecasters written plainly after the papers' equations, with the parameter names of the authors' code."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import weight_norm


class PlainDLinear(nn.Module):
    def __init__(self, L: int, H: int) -> None:
        super().__init__()
        self.Linear_Seasonal, self.Linear_Trend = nn.Linear(L, H), nn.Linear(L, H)

    def forward(self, x_BLC: Tensor) -> Tensor:
        front, end = x_BLC[:, :1].repeat(1, 12, 1), x_BLC[:, -1:].repeat(1, 12, 1)
        padded = torch.cat([front, x_BLC, end], 1)
        trend = torch.stack([padded[:, t : t + 25].mean(1) for t in range(x_BLC.shape[1])], 1)
        rest = x_BLC - trend
        y = [self.Linear_Seasonal(rest[..., c]) + self.Linear_Trend(trend[..., c]) for c in range(x_BLC.shape[2])]
        return torch.stack(y, -1)


class PlainTemporalBlock(nn.Module):
    def __init__(self, fan_in: int, width: int, k: int, dilation: int) -> None:
        super().__init__()
        self.padding = (k - 1) * dilation
        self.conv1 = weight_norm(nn.Conv1d(fan_in, width, k, padding=self.padding, dilation=dilation))
        self.conv2 = weight_norm(nn.Conv1d(width, width, k, padding=self.padding, dilation=dilation))
        self.net = nn.Sequential(self.conv1, nn.Identity(), nn.ReLU(), nn.Identity(), self.conv2)
        self.downsample = nn.Conv1d(fan_in, width, 1) if fan_in != width else None

    def forward(self, x: Tensor) -> Tensor:
        time = x.shape[-1]
        out = torch.relu(self.conv2(torch.relu(self.conv1(x)[..., :time]))[..., :time])
        return torch.relu(out + (x if self.downsample is None else self.downsample(x)))


class PlainTCN(nn.Module):
    def __init__(self, channels: int, outputs: int, width: int, k: int, levels: int) -> None:
        super().__init__()
        self.tcn = nn.Module()
        widths = [channels] + [width] * levels
        blocks = [PlainTemporalBlock(a, b, k, 2**i) for i, (a, b) in enumerate(pairwise(widths))]
        self.tcn.network = nn.Sequential(*blocks)
        self.linear = nn.Linear(width, outputs)

    def forward(self, x_BLC: Tensor) -> Tensor:
        out: Tensor = self.linear(self.tcn.network(x_BLC.transpose(1, 2))[..., -1])
        return out


class PlainBlock(nn.Module):
    """backcast and forecast of one block; the basis by the equations of section 3.3 of the paper."""

    def __init__(self, L: int, H: int, width: int, kind: str, degree: int = 2) -> None:
        super().__init__()
        self.kind, self.L, self.H = kind, L, H
        self.half = {"generic": 0, "trend": degree + 1, "season": 2 * math.ceil(H / 2)}[kind]
        self.layers = nn.ModuleList([nn.Linear(L, width), *(nn.Linear(width, width) for _ in range(3))])
        self.basis_parameters = nn.Linear(width, L + H if kind == "generic" else 2 * self.half)
        if kind == "trend":  # the authors keep their templates as parameters
            self.basis_function = nn.Module()
            self.basis_function.backcast_time = nn.Parameter(torch.zeros(degree + 1, L), requires_grad=False)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        for layer in self.layers:
            x = torch.relu(layer(x))
        theta = self.basis_parameters(x)
        if self.kind == "generic":
            return theta[:, : self.L], theta[:, self.L :]
        forward, back = theta[:, : self.half], theta[:, self.half :]
        return self.curve(back, self.L, self.L, -1), self.curve(forward, self.H, self.H, 1)

    def curve(self, theta: Tensor, steps: int, length: int, sign: int) -> Tensor:
        out = torch.zeros(len(theta), steps, dtype=theta.dtype)
        for t in range(steps):
            if self.kind == "trend":
                for i in range(self.half):
                    out[:, t] += theta[:, i] * (t / length) ** i
                continue
            count = self.half // 2
            for f in range(count):
                angle = sign * 2 * math.pi * f * t / self.H
                out[:, t] += theta[:, f] * math.cos(angle) + theta[:, count + f] * math.sin(angle)
        return out


class PlainNBeats(nn.Module):
    def __init__(self, blocks: list[PlainBlock]) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)

    def forward(self, x: Tensor) -> Tensor:
        residual, forecast = x.flip(1), x[:, -1:]
        for block in self.blocks:
            backcast, part = block(residual)
            residual, forecast = residual - backcast, forecast + part
        return forecast


class PlainPatchTSTLayer(nn.Module):
    def __init__(self, D: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.heads = heads
        self.self_attn = nn.Module()
        for name in ("W_Q", "W_K", "W_V"):
            setattr(self.self_attn, name, nn.Linear(D, D))
        self.self_attn.to_out = nn.Sequential(nn.Linear(D, D))
        self.self_attn.sdp_attn = nn.Module()
        self.self_attn.sdp_attn.scale = nn.Parameter(torch.tensor((D // heads) ** -0.5), requires_grad=False)
        self.norm_attn = nn.Sequential(nn.Identity(), nn.BatchNorm1d(D), nn.Identity())
        self.norm_ffn = nn.Sequential(nn.Identity(), nn.BatchNorm1d(D), nn.Identity())
        self.ff = nn.Sequential(nn.Linear(D, hidden), nn.GELU(), nn.Identity(), nn.Linear(hidden, D))

    def forward(self, x: Tensor, before: Tensor | None) -> tuple[Tensor, Tensor]:
        D = x.shape[-1]
        q, k, v = (getattr(self.self_attn, name)(x) for name in ("W_Q", "W_K", "W_V"))
        scores, outs = [], []
        for head in range(self.heads):
            own = slice(head * D // self.heads, (head + 1) * D // self.heads)
            score = torch.einsum("snd,smd->snm", q[..., own], k[..., own]) * (D // self.heads) ** -0.5
            score = score if before is None else score + before[:, head]
            scores.append(score)
            outs.append(torch.einsum("snm,smd->snd", score.softmax(-1), v[..., own]))
        x = self.norm_attn[1]((x + self.self_attn.to_out(torch.cat(outs, -1))).transpose(1, 2)).transpose(1, 2)
        x = self.norm_ffn[1]((x + self.ff(x)).transpose(1, 2)).transpose(1, 2)
        return x, torch.stack(scores, 1)


class PlainPatchTST(nn.Module):
    def __init__(self, L: int, H: int, C: int, D: int, heads: int, hidden: int, layers: int) -> None:
        super().__init__()
        patches = (L - 16) // 8 + 2
        self.revin_layer = nn.Module()
        self.revin_layer.affine_weight = nn.Parameter(torch.rand(C) + 0.5)
        self.revin_layer.affine_bias = nn.Parameter(torch.randn(C))
        self.backbone = nn.Module()
        self.backbone.W_P = nn.Linear(16, D)
        self.backbone.W_pos = nn.Parameter(torch.randn(patches, D))
        self.backbone.encoder = nn.Module()
        self.backbone.encoder.layers = nn.ModuleList(PlainPatchTSTLayer(D, heads, hidden) for _ in range(layers))
        self.head = nn.Module()
        self.head.linear = nn.Linear(D * patches, H)

    def forward(self, x_BLC: Tensor) -> Tensor:
        w, b = self.revin_layer.affine_weight, self.revin_layer.affine_bias
        mean, std = x_BLC.mean(1, keepdim=True), (x_BLC.var(1, keepdim=True, unbiased=False) + 1e-5).sqrt()
        z_BLC = (x_BLC - mean) / std * w + b
        columns = []
        for c in range(x_BLC.shape[2]):  # in evaluation, batch norm treats samples alike
            padded = F.pad(z_BLC[:, None, :, c], (0, 8), mode="replicate")[:, 0]
            x = self.backbone.W_P(torch.stack([padded[:, s : s + 16] for s in range(0, padded.shape[1] - 15, 8)], 1))
            x, scores = x + self.backbone.W_pos, None
            for layer in self.backbone.encoder.layers:
                x, scores = layer(x, scores)
            columns.append(self.head.linear(x.transpose(1, 2).flatten(1)))
        y_BHC = torch.stack(columns, -1)
        return (y_BHC - b) / (w + 1e-10) * std + mean
