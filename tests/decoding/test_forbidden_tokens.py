"""Tokens that stand for no text are never generated: not by a draw, nor greedily, nor by a beam."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from lamina.data.text.tokenizing import TextCode
from lamina.decoding import beam_search, generate
from lamina.decoding.sampling import forbid


class Stubborn(nn.Module):
    """A model that holds token 1 for likeliest, then 3, whatever it reads."""

    def __init__(self) -> None:
        super().__init__()
        self.logits_V = nn.Parameter(torch.tensor([0.0, 9.0, 0.5, 2.0]))

    def init_state(self, batch: int, max_length: int) -> tuple[torch.Tensor, ...]:
        return (torch.zeros(batch),)

    def select(self, state: tuple[torch.Tensor, ...], index: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(part[index] for part in state)

    def forward(self, tokens, state=None, lengths=None):  # type: ignore[no-untyped-def]
        return self.logits_V.expand(*tokens.shape, 4), state


@pytest.mark.parametrize("options", [{"greedy": True}, {"temperature": 3.0}, {"top_k": 2}, {"top_p": 0.9}])
def test_a_forbidden_token_is_not_drawn(options: dict[str, object]) -> None:
    asked = {"max_new_tokens": 50, "seed": 1, **options}
    assert any(1 in row for row in generate(Stubborn(), [[0], [2]], **asked))
    rows = generate(Stubborn(), [[0], [2]], forbidden=(1,), **asked)
    assert all(1 not in row and len(row) == 50 for row in rows)


def test_a_forbidden_token_is_in_no_hypothesis() -> None:
    found = beam_search(Stubborn(), [[0]], beams=3, max_new_tokens=5, end=None, forbidden=(1, 0))
    assert len(found[0]) == 3
    assert all(not {0, 1} & {*one.tokens} for one in found[0])


def test_the_others_keep_their_proportions() -> None:
    logits = torch.randn(2, 5)
    left = forbid(logits, (3,)).softmax(1)
    assert (left[:, 3] == 0).all()
    kept = [0, 1, 2, 4]
    torch.testing.assert_close(left[:, kept], logits[:, kept].softmax(1))
    assert forbid(logits, ()) is logits


@pytest.mark.parametrize(
    ("kind", "task", "silent"),
    [
        ("character", "language-modelling", {"<unk>"}),
        ("word", "language-modelling", {"<unk>"}),  # <eos> is the end of a line, and text
        ("bpe", "language-modelling", set()),
        ("bpe", "translation", {"<pad>", "<unk>", "<bos>"}),
    ],
)
def test_what_is_no_text(kind: str, task: str, silent: set[str]) -> None:
    code = TextCode.fit(["one two\nthree"], kind, task)  # type: ignore[arg-type]
    assert {code.token(token) for token in code.no_text} == silent
