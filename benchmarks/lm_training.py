"""How fast do our language models train, beside transformers' GPT-2 and plain loops over torch's LSTM?

``transformer-lm`` and transformers' GPT-2 of the same shape, 32 rows of 256 tokens. Same settings: one loop for both,
the same options of the model, the loss from the logits, AdamW, fused; before it begins both must give the same loss.
As each comes: our loop with the recipe of ``lamina train``; their model with the options it has by default and its own
loss, stepped as their Trainer does by default (AdamW, fused, gradients clipped at 1), without the Trainer's own work.
``lstm-lm-medium``, 20 rows of 35 tokens, its state carried on: our loop with the recipe of ``lamina train``, beside
embedding, dropout, nn.LSTM, dropout and a linear layer in a plain loop with clipping and SGD, and the same with an
nn.LSTMCell for each layer, called step by step.

Random tokens, float32, rounds interleaved, all sides made three times. Milliseconds a step: median over rounds. Ratio:
median over rounds of the other side's time over ours in the same round.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import cycle
from typing import Any

import torch
import torch.nn.functional as F
from lightning_fabric import Fabric
from torch import Tensor, nn
from transformers import GPT2LMHeadModel

import lamina
from benchmarks.language_models import gpt2_of_shape
from benchmarks.measure import interleaved, ratio, write_result
from lamina.data.protocols import BatchOptions
from lamina.data.streams import Stream
from lamina.data.text.preprocess import window_of
from lamina.data.text.streams import Contiguous, Windows
from lamina.decoding.decoder import limits
from lamina.options.recipe import Recipe
from lamina.runs.config import make_config
from lamina.tasks.language_modelling import LanguageModelling
from lamina.training.engine import Engine
from lamina.training.events import StepDone
from lamina.training.loop import fit
from lamina.weights.gpt2 import LAYOUTS

MADE = 3
"""how often all sides are made anew: where their weights come to lie in memory is worth some percent"""
ROUNDS = 6
STEPS = 2
"""training steps of a side in a round"""
TOKENS = 400_000
OURS, OURS_RUN = "lamina, same settings", "lamina train"
THEIRS, THEIRS_RUN = "transformers, same settings", "transformers, as it comes"
PLAIN, CELLS = "nn.LSTM, plain loop", "nn.LSTMCell, plain loop"
BARS = {(OURS, THEIRS): ">= 1.0x", (OURS_RUN, THEIRS_RUN): ">= 1.15x", (OURS_RUN, PLAIN): ">= 1.0x"}

Step = Callable[[], object]


def main() -> None:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two rounds, and no result is written")
    quick = parser.parse_args().quick
    text = "| model | side | ms a step | ours | ratio | bar |\n" + "|---" * 6 + "|\n"
    for name, sides, pairs in (
        ("transformer-lm", transformer_sides, ((OURS, THEIRS), (OURS_RUN, THEIRS_RUN))),
        ("lstm-lm-medium", lstm_sides, ((OURS_RUN, PLAIN), (OURS_RUN, CELLS))),
    ):
        found: dict[str, list[float]] = {}
        for _ in range(1 if quick else MADE):
            steps = {side: timed(step) for side, step in sides(name).items()}
            for side, times in interleaved(steps, 2 if quick else ROUNDS).items():
                found.setdefault(side, []).extend(times)
            del steps
            gc.collect()
        rows = table(name, found, pairs)
        print(rows, end="", flush=True)
        text += rows
    if not quick:
        write_result("lm_training", f"{__doc__}\n{text}")


def table(name: str, found: dict[str, list[float]], pairs: Sequence[tuple[str, str]]) -> str:
    """A row for each side, with the ratio to what it is compared with."""
    ms = {side: f"{1e3 * statistics.median(times):.1f}" for side, times in found.items()}
    text = "".join(f"| {name} | {side} | {ms[side]} | | | |\n" for side in dict.fromkeys(ours for ours, _ in pairs))
    for ours, theirs in pairs:
        over = f"{ratio(found[theirs], found[ours]):.3f}x"
        text += f"| {name} | {theirs} | {ms[theirs]} | {ours} | {over} | {BARS.get((ours, theirs), '')} |\n"
    return text


def timed(step: Step) -> Callable[[], float]:
    """Seconds of a step, over some in a row."""

    def measure() -> float:
        begun = time.perf_counter()
        for _ in range(STEPS):
            step()
        return (time.perf_counter() - begun) / STEPS

    return measure


def transformer_sides(name: str) -> dict[str, Step]:
    """The sides of the Transformer."""
    model: Any = lamina.create_model(name)
    config, recipe = model.config, recipe_of(name)
    theirs = gpt2_of_shape(
        config,
        activation_function=config.activation,
        resid_pdrop=config.dropout,
        embd_pdrop=config.dropout,
        attn_pdrop=config.attention_dropout,
    )
    stream = Windows(tokens(config.vocab_size), recipe.batch_size, window(recipe, model), seed=0)
    pairs = drawn(stream)
    expect_same_loss(model, theirs, *next(pairs))
    as_it_comes = gpt2_of_shape(config)
    return {
        OURS: step_by_logits(model, lambda tokens: model(tokens)[0], pairs, recipe),
        THEIRS: step_by_logits(theirs, lambda tokens: theirs(tokens).logits, pairs, recipe),
        OURS_RUN: our_step(name, stream),
        THEIRS_RUN: their_step(as_it_comes, pairs),
    }


def lstm_sides(name: str) -> dict[str, Step]:
    """The sides of the LSTM."""
    model: Any = lamina.create_model(name)
    config, recipe = model.config, recipe_of(name)
    stream = Contiguous(tokens(config.vocab_size), recipe.batch_size, window(recipe, model), seed=0)
    return {
        OURS_RUN: our_step(name, stream),
        PLAIN: step_with_state(PlainLSTM(config), drawn(stream), recipe),
        CELLS: step_with_state(CellByCell(config), drawn(stream), recipe),
    }


def recipe_of(name: str) -> Recipe:
    """What ``lamina train`` uses where nothing else is asked for, without an end that a benchmark would see."""
    return make_config(name, {"data": "python-docs", "steps": 100_000}).recipe


def window(recipe: Recipe, model: nn.Module) -> int:
    """Tokens of a row of a batch."""
    return window_of(BatchOptions(recipe=recipe, task=LanguageModelling.name, context=limits(model)[1]))


def tokens(vocabulary: int) -> Tensor:
    """Random ones, as running text is kept."""
    return torch.randint(vocabulary, (TOKENS,), generator=torch.Generator().manual_seed(0), dtype=torch.int32)


def drawn(stream: Stream) -> Iterator[tuple[Tensor, Tensor]]:
    """Tokens and targets of an epoch, over and over, drawn beforehand."""
    return cycle([(batch["tokens"], batch["target"]) for batch in stream.batches(0)])


def expect_same_loss(ours: nn.Module, theirs: GPT2LMHeadModel, tokens_BT: Tensor, target_BT: Tensor) -> None:
    """Give our model their weights; raise where the two are not the same function then."""
    translation = LAYOUTS[-1].translation(ours)
    state = translation.transpose(theirs.state_dict())
    ours.load_state_dict({translation.ours(name): t for name, t in state.items() if not translation.ignores(name)})
    with torch.no_grad():
        losses = [
            F.cross_entropy(logits.flatten(0, 1), target_BT.flatten())
            for logits in (ours.eval()(tokens_BT)[0], theirs.eval()(tokens_BT).logits)
        ]
    torch.testing.assert_close(*losses, rtol=1e-5, atol=0)


def our_step(name: str, stream: Stream) -> Step:
    """A step of our loop, as ``lamina train`` takes it."""
    model: Any = lamina.create_model(name)
    task = LanguageModelling(torch.ones(model.config.vocab_size))
    engine = Engine(Fabric(accelerator="cpu", devices=1), task, {"model": model}, recipe_of(name))
    events = fit(engine, stream)
    return lambda: next(event for event in events if isinstance(event, StepDone))


def step_by_logits(
    model: nn.Module, logits_of: Callable[[Tensor], Tensor], pairs: Iterator[tuple[Tensor, Tensor]], recipe: Recipe
) -> Step:
    """Forward, cross-entropy, backward, AdamW."""
    betas = (recipe.beta1, recipe.beta2)
    optimiser = torch.optim.AdamW(
        model.train().parameters(), lr=recipe.lr, betas=betas, weight_decay=recipe.weight_decay, fused=True
    )

    def step() -> None:
        tokens_BT, target_BT = next(pairs)
        F.cross_entropy(logits_of(tokens_BT).flatten(0, 1), target_BT.flatten()).backward()
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)

    return step


def their_step(model: GPT2LMHeadModel, pairs: Iterator[tuple[Tensor, Tensor]]) -> Step:
    """What their Trainer does in a step, with its default arguments."""
    optimiser = torch.optim.AdamW(model.train().parameters(), lr=5e-5, weight_decay=0.0, fused=True)

    def step() -> None:
        tokens_BT, _ = next(pairs)
        model(input_ids=tokens_BT, labels=tokens_BT).loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad()

    return step


class PlainLSTM(nn.Module):
    """Embedding, dropout, nn.LSTM, dropout, linear layer."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.embedding = nn.Embedding(config.vocab_size, config.embedding_dim)
        self.lstm = nn.LSTM(
            config.embedding_dim, config.hidden_size, config.num_layers, dropout=config.dropout, batch_first=True
        )
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Linear(config.hidden_size, config.vocab_size)

    def forward(self, tokens_BT: Tensor, state: Any) -> tuple[Tensor, list[Tensor]]:
        x_BTH, state = self.lstm(self.dropout(self.embedding(tokens_BT)), state)
        return self.head(self.dropout(x_BTH)), [part.detach() for part in state]


class CellByCell(nn.Module):
    """The same, an nn.LSTMCell for each layer and a loop over time."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.embedding = nn.Embedding(config.vocab_size, config.embedding_dim)
        widths = [config.embedding_dim] + [config.hidden_size] * (config.num_layers - 1)
        self.cells = nn.ModuleList(nn.LSTMCell(width, config.hidden_size) for width in widths)
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Linear(config.hidden_size, config.vocab_size)

    def forward(self, tokens_BT: Tensor, state: Any) -> tuple[Tensor, list[Any]]:
        states = [None] * len(self.cells) if state is None else list(state)
        outputs = []
        for x_BH in self.embedding(tokens_BT).unbind(1):
            for layer, cell in enumerate(self.cells):
                states[layer] = cell(self.dropout(x_BH), states[layer])
                x_BH = states[layer][0]
            outputs.append(x_BH)
        logits_BTV = self.head(self.dropout(torch.stack(outputs, 1)))
        return logits_BTV, [tuple(part.detach() for part in pair) for pair in states]


def step_with_state(model: nn.Module, pairs: Iterator[tuple[Tensor, Tensor]], recipe: Recipe) -> Step:
    """Forward, cross-entropy, backward, clipping, SGD; the state goes from step to step."""
    optimiser = torch.optim.SGD(model.train().parameters(), lr=recipe.lr)
    carried: Any = None

    def step() -> None:
        nonlocal carried
        tokens_BT, target_BT = next(pairs)
        logits_BTV, carried = model(tokens_BT, carried)
        F.cross_entropy(logits_BTV.flatten(0, 1), target_BT.flatten()).backward()
        assert recipe.clip is not None
        nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)

    return step


if __name__ == "__main__":
    main()
