"""Language modelling, classification of texts and translation against plain calculations in float64."""

from __future__ import annotations

import math
from typing import Any

import pytest
import sacrebleu
import torch
from torch import Tensor, nn

from lamina.data.streams import IGNORED
from lamina.data.targets.code import TargetCode
from lamina.data.text.preprocess import TextPreprocess
from lamina.data.text.tokenizing import TextCode
from lamina.decoding import generate
from lamina.models.recurrent_classifier import RecurrentClassifier, RecurrentClassifierConfig
from lamina.models.recurrent_lm import RecurrentLM, RecurrentLMConfig
from lamina.models.seq2seq_attention import Seq2SeqAttention, Seq2SeqAttentionConfig
from lamina.models.transformer import Transformer, TransformerConfig
from lamina.models.transformer_classifier import TransformerClassifier, TransformerClassifierConfig
from lamina.models.transformer_lm import TransformerLM, TransformerLMConfig
from lamina.tasks.base import EngineAtRest
from lamina.tasks.classification import Classification
from lamina.tasks.language_modelling import LanguageModelling
from lamina.tasks.multilabel import Multilabel
from lamina.tasks.regression import Regression
from lamina.tasks.translation import LONGER, Translation
from lamina.tasks.translation_scores import score_translations, signatures

V, ROWS, TIME, WINDOW = 11, 2, 23, 5
CHARACTERS = torch.tensor([1.0, 2.0, 4.0] * 4)[:V]


def tokens(*shape: int, seed: int = 0, low: int = 0, high: int = V) -> Tensor:
    return torch.randint(low, high, shape, generator=torch.Generator().manual_seed(seed))


def recurrent(kind: Any = "lstm") -> RecurrentLM:
    torch.manual_seed(1)
    return RecurrentLM(RecurrentLMConfig(vocab_size=V, kind=kind, embedding_dim=6, hidden_size=5)).double().eval()


def windows() -> tuple[Tensor, Tensor, list[dict[str, Tensor]]]:
    """Rows of text and what follows each token, whole and cut into windows; the last is short, and one row ends
    earlier than the other."""
    text = tokens(ROWS, TIME + 1)
    x, y = text[:, :-1], text[:, 1:].clone()
    y[1, -2:] = IGNORED
    counts = torch.where(y == IGNORED, 0, CHARACTERS[y.clamp(min=0)])
    parts = (tensor.split(WINDOW, 1) for tensor in (x, y, counts))
    return x, y, [{"tokens": a, "target": b, "characters": c} for a, b, c in zip(*parts, strict=True)]


def measured(
    task: LanguageModelling | Translation, model: nn.Module, batches: list[dict[str, Tensor]]
) -> dict[str, float]:
    metrics = task.metrics()
    with torch.no_grad():
        for batch in batches:
            task.evaluate_step(model, batch, metrics)
    return {name: float(value) for name, value in metrics.compute().items()}


@pytest.mark.parametrize("kind", ["rnn", "gru", "lstm"])
def test_carried_state_is_one_long_pass_and_the_figures_are_the_plain_ones(kind: str) -> None:
    x, y, batches = windows()
    model, task = recurrent(kind), LanguageModelling()
    found = measured(task, model, batches)
    with torch.no_grad():
        log_probability = model(x)[0].log_softmax(-1)
    nats = right = characters = count = 0.0
    for row in range(ROWS):
        for place in range(TIME):
            told = int(y[row, place])
            if told != IGNORED:
                nats -= float(log_probability[row, place, told])
                right += float(log_probability[row, place].argmax() == told)
                characters += float(CHARACTERS[told])
                count += 1
    assert count == ROWS * TIME - 2
    expected = {
        "loss": nats / count,
        "perplexity": math.exp(nats / count),
        "bits_per_character": nats / math.log(2) / characters,
        "accuracy": right / count,
    }
    assert found == pytest.approx(expected, rel=1e-12)
    assert measured(task, model, batches) == found, "an evaluation begins anew"
    alone = [measured(task, model, [batch])["loss"] for batch in batches]
    assert alone[0] == pytest.approx(measured(task, model, batches[:1])["loss"])
    assert abs(sum(alone) / len(alone) - found["loss"]) > 1e-4, "without what is carried it is another figure"


def test_in_training_the_state_goes_on_without_its_gradient() -> None:
    x, y, batches = windows()
    model, task, engine = recurrent(), LanguageModelling(), EngineAtRest()
    losses = [task.loss(model, batch, engine)[0] for batch in batches[:2]]
    assert type(engine.carry) is tuple, "a checkpoint holds plain values only"
    assert not any(tensor.requires_grad for tensor in engine.carry)
    whole = nn.functional.cross_entropy(model(x[:, : 2 * WINDOW])[0].transpose(1, 2), y[:, : 2 * WINDOW])
    assert float(sum(losses).detach()) / 2 == pytest.approx(float(whole.detach()), rel=1e-12)
    (cut,) = torch.autograd.grad(losses[1], model.embedding.weight)
    seen = set(batches[1]["tokens"].flatten().tolist())
    assert {row for row in range(V) if cut[row].abs().sum() > 0} == seen, "no gradient into the window before"


def test_a_model_without_a_state_carries_none_and_reads_each_batch_by_itself() -> None:
    torch.manual_seed(1)
    model = TransformerLM(TransformerLMConfig(vocab_size=V, context=WINDOW, layers=1, width=8, heads=2)).double().eval()
    _, _, batches = windows()
    task, engine = LanguageModelling(), EngineAtRest()
    loss, _ = task.loss(model, batches[0], engine)
    assert engine.carry is None
    assert measured(task, model, batches[:1])["loss"] == pytest.approx(loss.item(), rel=1e-12)

    class Bare(nn.Module):
        """A user's module that gives logits alone."""

        def forward(self, tokens_BT: Tensor) -> Tensor:
            return model(tokens_BT)[0]

    assert measured(task, Bare(), batches) == measured(task, model, batches)


CLASSIFIERS: dict[str, Any] = {
    "recurrent": lambda outputs: RecurrentClassifier(
        RecurrentClassifierConfig(
            vocab_size=V, num_classes=outputs, embedding_dim=6, hidden_size=5, bidirectional=True, num_layers=2
        )
    ),
    "transformer": lambda outputs: TransformerClassifier(
        TransformerClassifierConfig(vocab_size=V, num_classes=outputs, context=12, layers=2, width=8, heads=2)
    ),
}
CALL = TextPreprocess(
    target=TargetCode(task="classification"),
    code=TextCode.fit(["a b"], "word", "classification"),
    max_tokens=99,
).call
TARGETS = {
    "classification": (Classification(3, CALL), torch.tensor([2, 0, 1])),
    "multilabel": (Multilabel(3, CALL), tokens(3, 3, high=2).float()),
    "regression": (Regression(torch.zeros(3), torch.ones(3), CALL), torch.arange(9.0).view(3, 3) / 9),
}


@pytest.mark.parametrize("name", CLASSIFIERS)
@pytest.mark.parametrize("kind", TARGETS)
def test_what_fills_a_row_has_no_influence(name: str, kind: str) -> None:
    torch.manual_seed(2)
    model = CLASSIFIERS[name](3).double().eval()
    task, target = TARGETS[kind]
    lengths = torch.tensor([3, 9, 1])
    batch = {"tokens": tokens(3, 9), "lengths": lengths, "target": target}
    with torch.no_grad():
        loss, _ = task.loss(model, batch, EngineAtRest())
        (said,) = task.predict(model, batch).values()
        alone = [
            {"tokens": batch["tokens"][i : i + 1, :length], "lengths": lengths[i : i + 1], "target": target[i : i + 1]}
            for i, length in enumerate(lengths.tolist())
        ]
        each = [float(task.loss(model, one, EngineAtRest())[0]) for one in alone]
        said_alone = torch.cat([next(iter(task.predict(model, one).values())) for one in alone])
        other = {**batch, "tokens": torch.where(torch.arange(9) < lengths[:, None], batch["tokens"], 7)}
        assert float(task.loss(model, other, EngineAtRest())[0]) == pytest.approx(float(loss), rel=1e-12)
        metrics = task.metrics()
        for one in alone:
            task.evaluate_step(model, one, metrics)
    assert float(loss) == pytest.approx(sum(each) / 3, rel=1e-6 if kind == "multilabel" else 1e-12)
    torch.testing.assert_close(said, said_alone, rtol=1e-6, atol=1e-6)
    if kind == "classification":
        assert float(metrics.compute()["loss"]) == pytest.approx(float(loss), rel=1e-6)


TRANSLATORS: dict[str, Any] = {
    "additive": lambda: Seq2SeqAttention(
        Seq2SeqAttentionConfig(
            source_vocab_size=V, vocab_size=V, embedding_dim=6, hidden_size=5, attention_size=4, maxout=3
        )
    ),
    "transformer": lambda: Transformer(TransformerConfig(vocab_size=V, layers=1, width=8, heads=2, hidden=16)),
}
BEGIN, END = 2, 3


def pairs() -> dict[str, Tensor]:
    lengths, source_lengths = torch.tensor([4, 7, 2]), torch.tensor([5, 2, 6])
    text = tokens(3, 7, seed=5, low=4)
    last = torch.arange(7) == lengths[:, None] - 1
    real = torch.arange(7) < lengths[:, None]
    target = torch.where(last, END, text)
    return {
        "source": tokens(3, 6, seed=4, low=4),
        "source_lengths": source_lengths,
        "tokens": torch.where(real, target.roll(1, 1).index_fill(1, torch.tensor(0), BEGIN), 0),
        "lengths": lengths,
        "target": torch.where(real, target, IGNORED),
    }


@pytest.mark.parametrize("name", TRANSLATORS)
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_loss_of_a_translation_is_the_plain_one_over_real_tokens(name: str, smoothing: float) -> None:
    torch.manual_seed(3)
    model, batch = TRANSLATORS[name]().double().eval(), pairs()
    task = Translation(BEGIN, END, label_smoothing=smoothing)
    with torch.no_grad():
        loss, _ = task.loss(model, batch, EngineAtRest())
        nats = spread = right = count = 0.0
        for i in range(3):  # each pair alone, without anything that fills it
            length, source_length = int(batch["lengths"][i]), int(batch["source_lengths"][i])
            logits, _ = model(batch["tokens"][i : i + 1, :length], source=batch["source"][i : i + 1, :source_length])
            log_probability = logits[0].log_softmax(-1)
            for place in range(length):
                told = int(batch["target"][i, place])
                nats -= float(log_probability[place, told])
                spread -= float(log_probability[place].mean())  # over the whole vocabulary, as torch spreads it
                right += float(log_probability[place].argmax() == told)
                count += 1
    assert count == 13
    expected = ((1 - smoothing) * nats + smoothing * spread) / count
    assert float(loss) == pytest.approx(expected, rel=1e-12)
    found = measured(task, model, [batch])
    assert found == pytest.approx({"loss": nats / count, "accuracy": right / count}, rel=1e-12), "never smoothed"


@pytest.mark.parametrize("name", TRANSLATORS)
def test_translating_with_one_beam_is_greedy_and_no_neighbour_matters(name: str) -> None:
    torch.manual_seed(3)
    model, batch, task = TRANSLATORS[name]().double().eval(), pairs(), Translation(BEGIN, END)
    with torch.no_grad():
        together = task.translate(model, batch)
        for i in range(3):
            length = int(batch["source_lengths"][i])
            source = batch["source"][i : i + 1, :length]
            one = {"source": source, "source_lengths": torch.tensor([length])}
            alone = task.translate(model, one)[0]
            greedy = generate(
                model, [[BEGIN]], max_new_tokens=length + LONGER, greedy=True, end=END, memory=model.encode(source)
            )[0]
            assert alone[0].tokens == [token for token in greedy if token != END]
            assert together[i][0].tokens == alone[0].tokens
            assert len(alone[0].tokens) <= length + LONGER
        best = task.translate(model, batch, beam=3)
    assert all(len(found) == 3 and found[0].score >= found[1].score >= found[2].score for found in best)


def test_scores_are_sacrebleus_with_its_signature() -> None:
    said = ["the cat sat on the mat .", "a Dog runs fast", "three men are talking"]
    truth = ["the cat is on the mat .", "a dog runs very fast", "three men are talking"]
    found = score_translations(said, truth)
    assert found["bleu"] == sacrebleu.corpus_bleu(said, [truth]).score
    assert found["chrf"] == sacrebleu.corpus_chrf(said, [truth]).score
    assert 0 < found["bleu"] < 100
    assert found["exact_match"] == 1 / 3
    lower = score_translations(said, truth, lowercase=True)
    assert lower["bleu"] == sacrebleu.corpus_bleu(said, [truth], lowercase=True).score > found["bleu"]
    assert score_translations(truth, truth) == pytest.approx({"exact_match": 1, "bleu": 100, "chrf": 100})
    assert score_translations(["a b "], ["a b"])["exact_match"] == 1
    version = sacrebleu.__version__
    assert signatures()["bleu"] == f"nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:{version}"
    assert signatures()["chrf"] == f"nrefs:1|case:mixed|eff:yes|nc:6|nw:0|space:no|version:{version}"
    assert "case:lc" in signatures(lowercase=True)["bleu"]
