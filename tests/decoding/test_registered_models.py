"""Every language model and translator of the registry: generation in ragged batches equals prompts one by one."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from decoding_toys import greedy_by_prefix, next_logits
from torch import Tensor

from lamina.conformance import smallest_of_each_architecture
from lamina.conformance.harness import build, variant_of
from lamina.decoding import beam_search, generate
from lamina.errors import UsageError
from lamina.registry import configure, list_models, variant

PROMPTS = [[1, 2, 3, 4], [5], [6, 0, 2]]
SOURCE_LENGTHS = [5, 2, 3]


def trained_for(task: str) -> list[str]:
    return [name for name in smallest_of_each_architecture() if task in variant_of(name).card.tasks]


def sources(name: str) -> Tensor:
    """Source tokens of three rows, as the variant's example has them, cut to five."""
    return example(name, 3, 5)["source"]


def example(name: str, rows: int, time: int) -> dict[str, Tensor]:
    row = variant(name)
    assert row.example is not None
    return {key: tokens[:, :time] for key, tokens in row.example(configure(row, row.small), rows).items()}


def options(name: str, dtype: torch.dtype = torch.float64) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """What decoding takes for the batch, and forward for each row alone."""
    if "translation" not in variant(name).card.tasks:
        return {}, [{}] * 3
    model: Any = build(variant(name), dtype=dtype)
    source_BS = sources(name)
    with torch.no_grad():
        memory = model.encode(source_BS, torch.tensor(SOURCE_LENGTHS))
    return {"memory": memory}, [
        {"source": source_BS[row : row + 1, :length]} for row, length in enumerate(SOURCE_LENGTHS)
    ]


def written_by(task: str) -> list[str]:
    return [name for name in list_models() if task in variant_of(name).card.tasks]


@pytest.mark.parametrize("name", [*written_by("language-modelling"), *written_by("translation")])
def test_a_prompt_and_steps_equal_the_whole_in_float32(name: str) -> None:
    """Every variant in its small form, as it generates: evaluation, inference mode, single precision."""
    row = variant(name)
    model: Any = build(row, dtype=torch.float32)
    tokens_BT = example(name, 3, 9)["tokens_BT"]
    more, _ = options(name, torch.float32)
    with torch.inference_mode():
        whole, _ = model(tokens_BT, **more)
        state, got = model.init_state(3, 9), []
        for piece in tokens_BT.split([4, 1, 1, 2, 1], 1):
            logits, state = model(piece, state, **more)
            got.append(logits)
    assert (torch.cat(got, 1) - whole).abs().max() <= 1e-5 * whole.abs().max()


@pytest.mark.parametrize("alpha", [0.0, 0.6])
@pytest.mark.parametrize("name", [*trained_for("language-modelling"), *trained_for("translation")])
def test_beam_search_is_exhaustive_search_over_few_tokens(name: str, alpha: float) -> None:
    """As many beams as tokens, two steps: the best of all 21 continuations, scored by the whole prefix."""
    row = variant(name)
    model: Any = build(row, {"vocab_size": 5})
    source_BS = sources(name)[:1] % 5 if name in trained_for("translation") else None
    alone: dict[str, Any] = {} if source_BS is None else {"source": source_BS}
    whole = {} if source_BS is None else {"memory": model.encode(source_BS)}
    end, prompt = 0, [3, 1, 2]
    scored = []
    for tokens in [[end], *([a, b] for a in range(1, 5) for b in range(5))]:
        shares = (next_logits(model, prompt + tokens[:n], **alone).log_softmax(0) for n in range(len(tokens)))
        total = sum(float(share[token]) for share, token in zip(shares, tokens, strict=True))
        scored.append((total / ((5 + len(tokens)) / 6) ** alpha, tokens))
    (found,) = beam_search(model, [prompt], beams=5, max_new_tokens=2, end=end, length_penalty=alpha, **whole)
    score, tokens = max(scored)
    assert found[0].tokens == tokens
    assert found[0].score == pytest.approx(score)


MODELS = pytest.mark.parametrize("name", [*trained_for("language-modelling"), *trained_for("translation")])


@MODELS
def test_a_ragged_batch_equals_each_prompt_alone(name: str) -> None:
    model = build(variant(name))
    whole, alone = options(name)
    for end in (None, 3, 5):
        wanted = [greedy_by_prefix(model, p, 6, end, **more) for p, more in zip(PROMPTS, alone, strict=True)]
        assert generate(model, PROMPTS, max_new_tokens=6, greedy=True, end=end, **whole) == wanted


@MODELS
def test_samples_do_not_depend_on_neighbours(name: str) -> None:
    model: Any = build(variant(name))
    whole, _ = options(name)
    got = generate(model, PROMPTS, max_new_tokens=6, seed=4, temperature=2.0, **whole)
    for row, prompt in enumerate(PROMPTS):
        more = {key: model.select(memory, torch.tensor([row])) for key, memory in whole.items()}
        assert generate(model, [prompt], max_new_tokens=6, seed=4, temperature=2.0, first_row=row, **more) == [got[row]]


@MODELS
def test_beams_of_a_ragged_batch_equal_each_prompt_alone(name: str) -> None:
    model: Any = build(variant(name))
    whole, alone = options(name)
    (one,) = zip(*beam_search(model, PROMPTS, beams=1, max_new_tokens=5, end=3, **whole), strict=True)
    assert [h.tokens for h in one] == [
        greedy_by_prefix(model, p, 5, 3, **more) for p, more in zip(PROMPTS, alone, strict=True)
    ]
    got = beam_search(model, PROMPTS, beams=4, max_new_tokens=5, end=3, **whole)
    for row, prompt in enumerate(PROMPTS):
        more = {key: model.select(memory, torch.tensor([row])) for key, memory in whole.items()}
        (wanted,) = beam_search(model, [prompt], beams=4, max_new_tokens=5, end=3, **more)
        assert [h.tokens for h in got[row]] == [h.tokens for h in wanted]
        assert [h.score for h in got[row]] == pytest.approx([h.score for h in wanted])


@MODELS
def test_bad_input_gets_one_line(name: str) -> None:
    model: Any = build(variant(name))
    whole, _ = options(name)
    vocabulary = model.config.vocab_size
    cases: list[tuple[Any, dict[str, Any], str]] = [
        ([], {}, "no prompts: an empty batch cannot be continued"),
        ([[1], []], {}, "prompt 1 is empty"),
        ([[vocabulary]], {}, f"prompt 0 has token {vocabulary}; tokens are 0 to {vocabulary - 1}"),
        (PROMPTS, {"temperature": 0}, "temperature must be above 0, got 0"),
        (PROMPTS, {"temperature": -0.5}, "temperature must be above 0, got -0.5"),
        (PROMPTS, {"beams": vocabulary + 1}, f"{vocabulary + 1} beams are more than the {vocabulary} tokens"),
    ]
    if whole:
        cases.append((PROMPTS[:2], {}, "the memory has 3 rows, but there are 2 prompts"))
        cases.append((PROMPTS, {"memory": None}, "memory"))
        cases.append((PROMPTS, {"memory": model.init_state(3, 4)}, "memory of type"))
    if context := getattr(model.config, "context", None):
        cases.append(
            ([[1] * (context + 1)], {}, f"prompt 0 has {context + 1} tokens, which exceeds the context of {context}")
        )
        cases.append(([[1] * context], {}, f"{context} tokens and 2 new ones, which exceeds the context of {context}"))
    for prompts, wrong, said in cases:
        given = {"max_new_tokens": 2, **whole, **wrong}
        decode: Any = partial(beam_search, end=None) if "beams" in wrong else generate
        with pytest.raises(UsageError, match=said) as error:
            decode(model, prompts, **given)
        assert "\n" not in str(error.value)
