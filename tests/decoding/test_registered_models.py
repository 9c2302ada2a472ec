"""Every language model and translator of the registry: generation in ragged batches equals prompts one by one."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from decoding_toys import greedy_by_prefix
from torch import Tensor

from lamina.conformance import smallest_of_each_architecture
from lamina.conformance.setting import build
from lamina.decoding import beam_search, generate
from lamina.registry import configure, variant

PROMPTS = [[1, 2, 3, 4], [5], [6, 0, 2]]
SOURCE_LENGTHS = [5, 2, 3]


def trained_for(task: str) -> list[str]:
    return [name for name in smallest_of_each_architecture() if task in variant(name).card.tasks]


def sources(name: str) -> Tensor:
    """Source tokens of three rows, as the variant's example has them, cut to five."""
    row = variant(name)
    assert row.example is not None
    source: Tensor = row.example(configure(row, row.small), 3)["source"][:, :5]
    return source


def options(name: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """What decoding takes for the batch, and forward for each row alone."""
    if name not in trained_for("translation"):
        return {}, [{}] * 3
    model: Any = build(variant(name))
    source_BS = sources(name)
    with torch.no_grad():
        memory = model.encode(source_BS, torch.tensor(SOURCE_LENGTHS))
    return {"memory": memory}, [
        {"source": source_BS[row : row + 1, :length]} for row, length in enumerate(SOURCE_LENGTHS)
    ]


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
