"""The causal mask, by its Jacobian: later tokens have no influence at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lamina.claims.building import drawn, largest
from lamina.claims.claim import Bar, Claim, Measurement, Settings, generator
from lamina.claims.shading import by_magnitude, shaded
from lamina.registry import create_model

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MODELS = {"transformer-lm": "Transformer language model", "gpt2": "GPT-2", "transformer-base": "Transformer decoder"}


@dataclass(frozen=True, kw_only=True)
class CausalSettings(Settings):
    tokens: int = 12
    vocabulary: int = 20
    layers: int = 2
    width: int = 16
    heads: int = 2
    """of each model; with its own initialisation, in float64, without dropout"""


def build(settings: CausalSettings, name: str) -> Any:
    """A small model of this name."""
    options: dict[str, Any] = {"vocab_size": settings.vocabulary, "layers": settings.layers, "heads": settings.heads}
    options |= {"hidden": 4 * settings.width} if name == "transformer-base" else {"context": settings.tokens}
    return create_model(name, width=settings.width, **options)


def measure(settings: CausalSettings, seed: int) -> Measurement:
    draw = generator(seed, "tokens")
    tokens_2T = torch.randint(settings.vocabulary, (2, settings.tokens), generator=draw)
    source = torch.randint(settings.vocabulary, (1, settings.tokens), generator=draw)
    direction_V = torch.randn(settings.vocabulary, generator=draw, dtype=torch.float64)
    later_TT = torch.ones(settings.tokens, settings.tokens).triu(1).bool()  # [t, s]: s after t
    numbers: dict[str, float] = {}
    arrays = {}
    for name in MODELS:
        model = drawn(partial(build, settings, name), seed, "weights", name).double().eval()
        extra = {"source": source} if name == "transformer-base" else {}
        influence_TT = _influence(model, tokens_2T[:1], direction_V, extra)
        key = name.replace("-", "_")
        numbers[f"{key}_later"] = influence_TT[later_TT].max().item()
        numbers[f"{key}_earlier"] = influence_TT[~later_TT].min().item()
        numbers[f"{key}_changed"] = _changed(model, tokens_2T, extra)
        arrays[key] = influence_TT.numpy()
        if name == "transformer-lm":
            open_TT = _jacobian(model.stack(x := _input(settings, draw))[0] @ direction_V[: settings.width], x)
            numbers["open_later"] = open_TT[later_TT].min().item()
            arrays["open"] = open_TT.numpy()
    return Measurement(numbers=numbers, arrays=arrays)


def _input(settings: CausalSettings, draw: torch.Generator) -> Tensor:
    x_1TC = torch.randn(1, settings.tokens, settings.width, generator=draw, dtype=torch.float64)
    return x_1TC.requires_grad_()


def _influence(model: Any, tokens_1T: Tensor, direction_V: Tensor, extra: dict[str, Tensor]) -> Tensor:
    """|d logits_t / d embedding_s|, (T, T), of the whole model; the logits of a token are summed with random weights,
    so that they do not cancel."""
    embedded: list[Tensor] = []
    hook = model.tokens.register_forward_hook(lambda _, __, out: embedded.append(out))
    logits_1TV, _ = model(tokens_1T, **extra)
    hook.remove()
    return _jacobian(logits_1TV[0] @ direction_V, embedded[-1])  # the decoder's: a source is embedded before


def _jacobian(out_T: Tensor, x_1TC: Tensor) -> Tensor:
    """Largest derivative of each output by a channel of each input, (T, T), over the largest of all."""
    rows = [torch.autograd.grad(out, x_1TC, retain_graph=True)[0][0].abs().amax(1) for out in out_T]
    influence_TT = torch.stack(rows)
    return influence_TT / influence_TT.max()


@torch.no_grad()
def _changed(model: Any, tokens_2T: Tensor, extra: dict[str, Tensor]) -> float:
    """Largest change of the logits up to a token when all later tokens are replaced, over the largest logit."""
    logits_TV = model(tokens_2T[:1], **extra)[0][0]
    changes = []
    for t in range(1, tokens_2T.shape[1]):
        mixed_1T = torch.cat([tokens_2T[:1, :t], tokens_2T[1:, t:]], 1)
        changes.append(largest(model(mixed_1T, **extra)[0][0, :t] - logits_TV[:t]))
    return max(changes) / largest(logits_TV)


def figure(figure: Figure, settings: CausalSettings, measured: Sequence[Measurement]) -> None:
    titles = {"transformer_lm": "with the mask", "open": "its blocks without"}
    for axes, (name, title) in zip(figure.subplots(1, 2), titles.items(), strict=True):
        influence_TT = torch.from_numpy(measured[0].arrays[name])
        reach = (0.5, settings.tokens + 0.5, settings.tokens + 0.5, 0.5)
        axes.imshow(shaded(by_magnitude(influence_TT)), interpolation="none", extent=reach)
        axes.grid(visible=False)
        axes.set(xlabel="token of the input", ylabel="token of the output")
        axes.set_title(title)


_KEYS = {name.replace("-", "_"): label for name, label in MODELS.items()}

CLAIM = Claim(
    name="causal-mask",
    sentence="Under a causal mask no output depends on a later token, not even a little, and every output depends on "
    "every token up to its own; without the mask every output depends on every token.",
    source="Vaswani et al., Attention is all you need, NIPS 2017, section 3.2.3",
    arxiv="1706.03762",
    settings=CausalSettings(),
    measure=measure,
    universal=True,
    bars=(
        *(Bar(number=f"{key}_later", at_most=1e-12, why="the Jacobian is triangular: no path") for key in _KEYS),
        *(Bar(number=f"{key}_changed", at_most=1e-12, why="nor do other tokens change it") for key in _KEYS),
        *(Bar(number=f"{key}_earlier", at_least=1e-6, why="every token is seen, far above rounding") for key in _KEYS),
        Bar(number="open_later", at_least=1e-6, why="without the mask the measure sees what comes later"),
    ),
    names={
        **{f"{key}_later": f"largest influence of a later token, {label}" for key, label in _KEYS.items()},
        **{f"{key}_changed": f"largest change by other later tokens, {label}" for key, label in _KEYS.items()},
        **{f"{key}_earlier": f"smallest influence of a token up to it, {label}" for key, label in _KEYS.items()},
        "open_later": "smallest influence of a later token, blocks without the mask",
    },
    figure=figure,
    caption="Largest derivative of each token's logits by each token's embedding in the Transformer language model "
    "(left), and of its blocks' outputs without the mask (right; first seed, logarithmic, empty below a millionth)",
    reading="Influence is |d logits of t / d embedding of s|, its largest value being 1. Of later tokens it is "
    "{transformer_lm_later} in the language model, {gpt2_later} in GPT-2 and {transformer_base_later} in the "
    "Transformer's decoder; of the token itself and those before it at least {transformer_lm_earlier}, "
    "{gpt2_earlier} and {transformer_base_earlier}. Where all later tokens are replaced, logits change by "
    "{transformer_lm_changed} of the largest. Without the mask later tokens have at least {open_later}.",
)
