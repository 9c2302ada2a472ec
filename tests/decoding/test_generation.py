"""Generation in batches equals generation of each prompt alone, by the whole prefix, without any state."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from decoding_toys import AttentionToy, Memory, RecurrentToy, greedy_by_prefix, next_logits
from torch import nn

from lamina.decoding import Sampling, generate, stream
from lamina.decoding.sampling import uniforms
from lamina.errors import RunError, UsageError

PROMPTS = [[1, 2, 3, 4], [5], [6, 0, 2], [3, 3]]
TOYS = pytest.mark.parametrize("toy", [RecurrentToy, AttentionToy])


@TOYS
def test_greedy_equals_each_prompt_alone_without_a_state(toy: Any) -> None:
    model = toy()
    got = generate(model, PROMPTS, max_new_tokens=9, greedy=True)
    assert got == [greedy_by_prefix(model, prompt, 9) for prompt in PROMPTS]


@TOYS
def test_rows_end_by_themselves_and_the_others_go_on(toy: Any) -> None:
    """With an end token rows finish at different steps, and are left out of the batch on the way."""
    model, found = toy(), set()
    for end in range(7):
        wanted = [greedy_by_prefix(model, prompt, 9, end) for prompt in PROMPTS]
        found |= {tuple(map(len, wanted))}
        assert generate(model, PROMPTS, max_new_tokens=9, greedy=True, end=end) == wanted
    assert any(len(set(lengths)) > 2 for lengths in found), "no end token tells the rows apart"


def test_half_a_batch_that_is_finished_is_left_out() -> None:
    model = RecurrentToy()
    generate(model, PROMPTS, max_new_tokens=9, greedy=True)
    assert model.calls == [4] * 9  # one forward a step, the prompts in one
    wanted = generate(model, PROMPTS, max_new_tokens=2, greedy=True)
    stop = [new[:2] for new in wanted[:2]]
    model.calls.clear()
    generate(model, PROMPTS, max_new_tokens=9, greedy=True, stop=stop)
    assert model.calls[:2] == [4, 4]
    assert max(model.calls[2:]) <= 2


@TOYS
def test_a_sample_does_not_depend_on_its_neighbours(toy: Any) -> None:
    model, options = toy(), {"max_new_tokens": 8, "temperature": 1.5, "seed": 5}
    whole = generate(model, PROMPTS, **options)
    for row, prompt in enumerate(PROMPTS):
        assert generate(model, [prompt], first_row=row, **options) == [whole[row]]
    assert generate(model, [PROMPTS[0], [1]], **options)[0] == whole[0]
    assert generate(model, PROMPTS, **{**options, "seed": 6}) != whole
    assert generate(model, [PROMPTS[0]] * 2, **options)[0] != generate(model, [PROMPTS[0]] * 2, **options)[1]


def test_a_sample_is_what_the_filters_and_draws_say() -> None:
    """A loop over one row, the whole prefix at every step, with a penalty for what the row holds; with every end token,
    so that rows are left out at different steps and the others keep their draws and their penalties."""
    model, short = AttentionToy(), 0
    options: dict[str, Any] = {"temperature": 2.0, "top_k": 5, "top_p": 0.95, "repetition_penalty": 1.5}
    sampling = Sampling(**options)
    for end in (None, *range(7)):
        got = generate(model, PROMPTS, max_new_tokens=8, seed=2, end=end, **options)
        for row, prompt in enumerate(PROMPTS):
            tokens = list(prompt)
            for step in range(8):
                seen = torch.zeros(1, 7, dtype=torch.bool)
                seen[0, tokens] = True
                tokens.append(int(sampling.choose(next_logits(model, tokens)[None], uniforms(2, [row], step), seen)))
                if tokens[-1] == end:
                    break
            assert got[row] == tokens[len(prompt) :]
        short += sum(len(new) < 8 for new in got[:3]) >= 2 and len(got[3]) == 8
    assert short, "no end token leaves the last row alone"
    options["repetition_penalty"] = 1.0
    assert got != generate(model, PROMPTS, max_new_tokens=8, seed=2, end=6, **options)


def test_a_penalty_acts_on_greedy_decoding_too() -> None:
    model = AttentionToy()
    got = generate(model, PROMPTS, max_new_tokens=6, greedy=True, repetition_penalty=3.0)
    for row, prompt in enumerate(PROMPTS):
        tokens = list(prompt)
        for _ in range(6):
            logits = next_logits(model, tokens).tolist()
            for token in set(tokens):
                logits[token] *= 3.0 if logits[token] < 0 else 1 / 3.0
            tokens.append(max(range(7), key=lambda token: logits[token]))
        assert got[row] == tokens[len(prompt) :]
    assert got != generate(model, PROMPTS, max_new_tokens=6, greedy=True)


def test_a_stop_sequence_may_begin_anywhere_but_in_the_prompt() -> None:
    model = RecurrentToy()
    (whole,) = generate(model, [[1, 2]], max_new_tokens=12, greedy=True)
    stop = whole[4:6]
    first = next(i for i in range(11) if whole[i : i + 2] == stop)
    assert generate(model, [[1, 2]], max_new_tokens=12, greedy=True, stop=[[9, 9], stop]) == [whole[: first + 2]]
    across = [2, whole[0]]
    assert whole[:2] != across
    assert len(generate(model, [[1, 2]], max_new_tokens=1, greedy=True, stop=[across])[0]) == 1


def test_a_stop_text_ends_a_row_even_inside_a_token() -> None:
    model, words = RecurrentToy(), ["a", "bc", "de", "fg", "hi", "jk", "lm"]

    def text(tokens: list[int]) -> str:
        return "".join(words[token] for token in tokens)

    (whole,) = generate(model, [[1]], max_new_tokens=10, greedy=True)
    piece = text(whole)[3:5]
    (got,) = generate(model, [[1]], max_new_tokens=10, greedy=True, stop_text=["zz", piece], text=text)
    assert got == whole[: len(got)]
    assert piece in text(got)
    assert piece not in text(got[:-1])


def test_a_stream_yields_each_step_and_is_closed_at_any() -> None:
    model = AttentionToy().train()
    wanted = generate(model, PROMPTS, max_new_tokens=5, seed=1)
    rows: list[list[int]] = [[] for _ in PROMPTS]
    steps = stream(model, PROMPTS, max_new_tokens=5, seed=1)
    for step in itertools.islice(steps, 3):
        assert [row for row, _ in step] == [0, 1, 2, 3]
        assert not torch.is_inference_mode_enabled(), "the caller's mode is the caller's"
        for row, token in step:
            rows[row].append(token)
    assert rows == [new[:3] for new in wanted]
    assert not model.training
    steps.close()  # type: ignore[attr-defined]
    assert model.training


def test_dropout_does_not_act_and_modes_are_as_before() -> None:
    class Dropping(RecurrentToy):
        def __init__(self) -> None:
            super().__init__()
            self.frozen, self.dropout = nn.Dropout(0.5).eval(), nn.Dropout(0.5)

        def forward(self, *given: Any, **named: Any) -> Any:
            logits_BTV, state = super().forward(*given, **named)
            return self.dropout(logits_BTV), state

    model = Dropping()
    assert generate(model, PROMPTS, max_new_tokens=6, greedy=True) == generate(
        RecurrentToy(), PROMPTS, max_new_tokens=6, greedy=True
    )
    assert model.training
    assert model.dropout.training
    assert not model.frozen.training


def test_the_memory_of_each_row_goes_with_it() -> None:
    model = RecurrentToy()
    bias = 3 * torch.randn(4, 7, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    got = generate(model, PROMPTS, max_new_tokens=6, greedy=True, memory=Memory(bias), end=2)
    alone = [
        greedy_by_prefix(model, prompt, 6, 2, memory=Memory(bias[row : row + 1])) for row, prompt in enumerate(PROMPTS)
    ]
    assert got == alone
    assert got != generate(model, PROMPTS, max_new_tokens=6, greedy=True, end=2)


def test_prompts_may_be_a_tensor() -> None:
    tokens = torch.tensor([[1, 2], [3, 4]])
    model = AttentionToy()
    assert generate(model, tokens, max_new_tokens=4, seed=1) == generate(
        model, tokens.tolist(), max_new_tokens=4, seed=1
    )


@pytest.mark.parametrize(
    ("prompts", "options", "message"),
    [
        ([], {}, "no prompts: an empty batch cannot be continued"),
        ([1, 2], {}, "prompts must be lists of tokens, got tokens: put a single prompt into a list"),
        ([[1], []], {}, "prompt 1 is empty: decoding needs at least one token to start from"),
        ([[1], [7]], {}, "prompt 1 has token 7; tokens are 0 to 6"),
        ([[-1]], {}, "prompt 0 has token -1; tokens are 0 to 6"),
        ([[1] * 33], {}, "prompt 0 has 33 tokens, which exceeds the context of 32"),
        ([[1], [1] * 30], {}, "prompt 1 has 30 tokens and 3 new ones, which exceeds the context of 32"),
        (torch.zeros(2, 3), {}, "prompts must be integers (batch, length), got torch.float32 (2, 3)"),
        ([[1]], {"max_new_tokens": 0}, "max_new_tokens must be at least 1, got 0"),
        ([[1]], {"end": 7}, "end is token 7, which is not in the vocabulary"),
        (
            [[1]],
            {"temperature": 0.0},
            "temperature must be above 0, got 0.0; greedy=True takes the most probable token",
        ),
        ([[1]], {"stop": [[]]}, "a stop sequence must not be empty"),
        ([[1]], {"stop_text": ["x"]}, "stop_text needs text=, which turns tokens into text"),
        ([[1]], {"memory": Memory(torch.zeros(2, 7))}, "the memory has 2 rows, but there are 1 prompts"),
    ],
)
def test_bad_input_is_refused_at_the_call(prompts: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as error:
        stream(AttentionToy(), prompts, **{"max_new_tokens": 3, **options})
    assert str(error.value) == message


def test_a_context_is_used_to_its_end() -> None:
    assert len(generate(AttentionToy(), [[1] * 29], max_new_tokens=3)[0]) == 3


def test_a_broken_model_is_named() -> None:
    model = RecurrentToy()
    nn.init.constant_(model.head.weight, float("nan"))
    with pytest.raises(RunError, match="are NaN"):
        generate(model, [[1]], max_new_tokens=3)
