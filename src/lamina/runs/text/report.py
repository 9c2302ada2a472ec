"""Report contents for text models: surprising tokens, influential words, translations with alignments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor

from lamina.data.streams import InMemory
from lamina.data.text.preprocess import TextPreprocess
from lamina.data.text.samples import Pairs, Text, Texts
from lamina.data.text.streams import Ragged
from lamina.inspection.attention import alignments
from lamina.inspection.pieces import pieces_of, words_of
from lamina.inspection.surprisal import most_surprising, text_surprisal
from lamina.inspection.word_attribution import strongest_words, word_effects
from lamina.report.content import Outcome
from lamina.report.marks import Mark
from lamina.report.text.content import Example, Surprise, TextOutcome
from lamina.report.text.highlights import expectations, surprise_marks
from lamina.runs.opened import Opened
from lamina.runs.text.inspection import piece, predictor
from lamina.runs.text.translation import Translator, translate
from lamina.tasks.translation_options import LONGER

if TYPE_CHECKING:
    from lamina.data.text.tokenizing import TokenKind
    from lamina.inspection.word_attribution import WordAttribution

READ = 20_000
"""tokens of running text that are searched for surprising ones"""
SURPRISES = 12
AROUND: dict[TokenKind, tuple[int, int, int]] = {"character": (600, 90, 30), "word": (150, 18, 6), "bpe": (200, 22, 8)}
"""tokens shown of the beginning; before a surprising token; after it"""
TOKENS = 300_000
"""budget of the word attribution of a split: words times tokens, summed over texts"""
LONG = 10_000
"""words times tokens beyond which a text is skipped by the word attribution"""
SHOWN = 600
"""maximum number of characters shown of a text"""
TRANSLATED, EXAMPLES, WORST = 200, 4, 12
CLASSES, OUTPUTS = 8, 4
"""maximum numbers of classes, and of other outputs, whose influential words are shown"""


def running_outcome(run: Opened, split: str, metrics: Mapping[str, float]) -> Outcome:
    """A language model on a split: metrics over all of it, surprising tokens in its beginning."""
    preprocess, text = _preprocess(run), cast(Text, run.source.splits[split])
    samples = cast(InMemory, preprocess.encode(text))
    code, tokens_T = preprocess.code, samples.tensors["tokens"][: READ + 1].long()
    opening, before, after = AROUND[code.kind]
    found, token = text_surprisal(run.model, tokens_T), piece(preprocess)
    tokens: list[int] = tokens_T.tolist()
    surprises = []
    for place in _various(most_surprising(found.bits, len(tokens), apart=before), found.token_T):
        begin, at = max(0, place + 1 - before), place + 1  # the first token is not predicted
        pieces = pieces_of(code, tokens[begin : at + 1 + after])
        surprises.append(
            Surprise(
                before=("… " if begin else "") + "".join(pieces[: at - begin]).lstrip("\n"),
                token=pieces[at - begin],
                after="".join(pieces[at - begin + 1 :]).rstrip() + " …",
                probability=float(found.probability_T[place]),
                bits=float(found.bits[place]),
                expected=expectations(found, place, token),
            )
        )
    first, *rest = pieces_of(code, tokens[:opening])
    outcome = TextOutcome(
        read=len(found.bits),
        bits=float(found.bits.mean()),
        opening=[Mark(text=first), *surprise_marks(rest, found, token)],
        surprises=surprises,
    )
    return Outcome(split=split, metrics=metrics, text=outcome, size=len(text), unit="character")


def translated_outcome(run: Opened, split: str, metrics: Mapping[str, float], signatures: Mapping[str, str]) -> Outcome:
    """A translation model on a split: metrics over all of it; examples and the worst of its first pairs."""
    from sacrebleu.metrics.chrf import CHRF

    preprocess, pairs = _preprocess(run), cast(Pairs, run.source.splits[split])
    task = cast(Translator, run.task)
    some = pairs.subset(range(min(TRANSLATED, len(pairs))))
    samples = cast(Ragged, preprocess.encode(some))
    lowercase = run.config.options.lowercase
    chrf, examples, tokens = CHRF(lowercase=lowercase), list[Example](), list[list[int]]()
    for i, ((text, best), *_) in enumerate(translate(run.model, task, preprocess, samples)):
        score = float(chrf.sentence_score(text, [some.texts[i]]).score)
        where = f"{split} pair {i}"
        examples.append(Example(source=some.sources[i], truth=some.texts[i], predicted=text, score=score, where=where))
        tokens.append(best.tokens)
    wrong = [example for example in examples if example.predicted != example.truth.strip()]
    outcome = TextOutcome(
        translated=len(some),
        examples=[
            _aligned(run, preprocess, example, samples.take(torch.tensor([i]))["source"], tokens[i])
            for i, example in enumerate(examples[:EXAMPLES])
        ],
        worst=sorted(wrong, key=lambda example: example.score)[:WORST],
        signatures=signatures,
    )
    return Outcome(split=split, metrics=metrics, text=outcome, size=len(pairs), unit="pair")


def attribution_outcome(run: Opened, split: str) -> TextOutcome:
    """The most influential words of a split, over as many of its texts as the budget allows."""
    texts, found, attributed, left = cast(Texts, run.source.splits[split]), list[tuple[str, Tensor]](), 0, TOKENS
    for text in texts.texts:
        words, effects_WK, cost = _effects(run, text, min(left, LONG))
        if effects_WK is None:
            if cost <= LONG:
                break
            continue
        lowercase = run.config.options.lowercase
        for (begin, end), effect_K in zip(words, effects_WK, strict=True):
            word = text[begin:end]
            found.append((word.lower() if lowercase else word, effect_K))
        attributed, left = attributed + 1, left - cost
    rows: list[tuple[str, Sequence[WordAttribution], Sequence[WordAttribution]]] = []
    classes = run.preprocess.target.exclusive
    for k, name in islice(enumerate(run.classes), CLASSES if classes else OUTPUTS):
        positive, negative = strongest_words(found, k)
        rows.append((name, positive, [] if classes else negative))  # evidence against a class is evidence for another
    return TextOutcome(influential_words=rows, attributed=attributed)


def text_sample(run: Opened, split: str, index: int, output: int) -> dict[str, Any]:
    """A text as fields of Mistake, with the effect of its words on an output."""
    text = cast(Texts, run.source.splits[split]).texts[index]
    found: dict[str, Any] = {"where": f"{split} text {index}", "text": text}
    words, effects_WK, _ = _effects(run, text, LONG)
    if effects_WK is not None:
        found |= {"words": words, "effects": effects_WK[:, output].tolist()}
    if len(text) > SHOWN:
        kept = [i for i, (_, end) in enumerate(found.get("words", ())) if end <= SHOWN]
        found["text"] = text[:SHOWN] + " …"
        if "words" in found:
            found |= {name: [found[name][i] for i in kept] for name in ("words", "effects")}
    return found


def _various(places: Sequence[int], token_T: Tensor) -> list[int]:
    """The first positions, each of a different token."""
    first: dict[int, int] = {}
    for place in places:
        first.setdefault(int(token_T[place]), place)
    return list(first.values())[:SURPRISES]


def _effects(run: Opened, text: str, most: int) -> tuple[list[tuple[int, int]], Tensor | None, int]:
    """The spans of the words of a text, the effect of each on every output, and the cost (words times tokens).

    The effects are None where the cost exceeds ``most``."""
    preprocess = _preprocess(run)
    tokens = preprocess.code.encode(text)[: preprocess.max_tokens]
    words = words_of(text, preprocess.code.spans(text)[: len(tokens)])
    cost = len(tokens) * len(words)
    places = [(word.begin, word.end) for word in words]
    if cost > most:
        return places, None, cost
    effects_WK = word_effects(predictor(run), tokens, [word.places for word in words], preprocess.code.blank)
    return places, effects_WK, cost


def _aligned(
    run: Opened, preprocess: TextPreprocess, example: Example, source_1S: Tensor, tokens: list[int]
) -> Example:
    """The example with its alignment, averaged over layers and heads, where the model has one."""
    code = preprocess.code
    assert code.begin is not None
    assert code.end is not None
    written = [*tokens, *([code.end] if len(tokens) < source_1S.shape[1] + LONGER else [])]
    maps = alignments(run.model, torch.tensor([[code.begin, *written[:-1]]]), source_1S)
    if not maps:
        return example
    mean_TS = torch.stack([map_[0].double().mean(0) for map_ in maps.values()]).mean(0)
    return Example(
        source=example.source,
        truth=example.truth,
        predicted=example.predicted,
        score=example.score,
        where=example.where,
        rows=pieces_of(code, written),
        columns=pieces_of(code, source_1S[0].tolist()),
        attn_TS=mean_TS.numpy(),
    )


def _preprocess(run: Opened) -> TextPreprocess:
    return cast(TextPreprocess, run.preprocess)
