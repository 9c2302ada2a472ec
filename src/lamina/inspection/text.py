"""Everything that inspection shows of a text model for one text, as tensors.

Legend: T tokens, S source tokens, h heads, V vocabulary, K outputs, W words.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from lamina.errors import UsageError
from lamina.evaluation_mode import evaluation_mode
from lamina.inspection.attention import alignments, attention_maps
from lamina.inspection.embedding_gradients import gradient_by_lag
from lamina.inspection.gates import Trace, gate_traces
from lamina.inspection.surprisal import TokenSurprisal, token_surprisal
from lamina.inspection.word_attribution import Predictor, word_effects


@dataclass(frozen=True, kw_only=True)
class TextInspection:
    """What a model computes for one text. What a model does not have is empty or None."""

    tokens_T: Tensor
    """the model's input; for a translation the decoder's input: the start token, then the translation"""
    source_S: Tensor | None = None
    """for a translation the encoder's input"""
    attention: Mapping[str, Tensor] = field(default_factory=dict)
    """the map (h, queries, keys) of each attention in the forward pass, by module name"""
    alignments: Mapping[str, Tensor] = field(default_factory=dict)
    """the map (h, T, S) of each attention of the decoder to the source"""
    traces: Sequence[Trace] = ()
    """gates, hidden and cell states of each recurrent layer over time, with a batch of 1"""
    surprisal: TokenSurprisal | None = None
    """for a language model of every token but the first; for a translation of every token of the translation"""
    following_V: Tensor | None = None
    """for a language model: the probabilities of the next token"""
    lag_T: Tensor | None = None
    """for a language model: ``gradient_by_lag``"""
    outputs_K: Tensor | None = None
    """for a classifier: probabilities; for a regressor: values"""
    effects_WK: Tensor | None = None
    """for a classifier or regressor: the effect of each word on each output, see ``word_effects``"""

    @property
    def expected(self) -> TokenSurprisal | None:
        """Deprecated: the former name of ``surprisal``."""
        warnings.warn("TextInspection.expected is now surprisal", DeprecationWarning, stacklevel=2)
        return self.surprisal


def inspect_running_text(model: nn.Module, tokens_T: Tensor) -> TextInspection:
    """Inspect a language model with a text of at least one token, ``tokens_T``.

    Raises UsageError for tokens that the model does not accept.
    """
    tokens_1T = tokens_T[None].long()
    with evaluation_mode(model), torch.no_grad():
        try:
            output = model(tokens_1T)
        except ValueError as error:
            raise UsageError(str(error)) from error
    logits_TV = (output if isinstance(output, Tensor) else output[0])[0]
    return TextInspection(
        tokens_T=tokens_1T[0],
        attention=_first(attention_maps(model, tokens_1T)),
        traces=gate_traces(model, tokens_1T),
        surprisal=token_surprisal(logits_TV[:-1], tokens_1T[0, 1:]) if len(tokens_T) > 1 else None,
        following_V=logits_TV[-1].double().softmax(0).float(),
        lag_T=gradient_by_lag(model, tokens_1T) if len(tokens_T) > 1 else None,
    )


def inspect_classified_text(
    model: nn.Module, tokens_T: Tensor, words: Sequence[Sequence[int]], predict: Predictor, filler: int = 0
) -> TextInspection:
    """Inspect a text classifier or regressor; ``words``, ``predict`` and ``filler`` are those of ``word_effects``.

    Raises UsageError for tokens that the model does not accept.
    """
    tokens_1T = tokens_T[None].long()
    attention = _first(attention_maps(model, tokens_1T))
    return TextInspection(
        tokens_T=tokens_1T[0],
        attention=attention,
        traces=gate_traces(model, tokens_1T),
        outputs_K=predict(tokens_1T, torch.tensor([len(tokens_T)]))[0].float().cpu(),
        effects_WK=word_effects(predict, tokens_T.tolist(), words, filler),
    )


def inspect_translation(model: nn.Module, source_S: Tensor, written_T: Tensor) -> TextInspection:
    """Inspect an encoder-decoder with a source and its translation ``written_T``, which begins with the start token and
    ends with the end token. Raises UsageError for tokens that the model does not accept."""
    source_1S, written_1T = source_S[None].long(), written_T[None].long()
    tokens_1T = written_1T[:, :-1]
    with evaluation_mode(model), torch.no_grad():
        try:
            output = model(tokens_1T, source=source_1S)
        except ValueError as error:
            raise UsageError(str(error)) from error
    traces = gate_traces(model, tokens_1T, source=source_1S)
    if getattr(getattr(model, "config", None), "reverse_source", False):
        traces = [_reversed(trace) if trace.name == "encoder" else trace for trace in traces]
    return TextInspection(
        tokens_T=tokens_1T[0],
        source_S=source_1S[0],
        attention=_first(attention_maps(model, tokens_1T, source=source_1S)),
        alignments=_first(alignments(model, tokens_1T, source_1S)),
        traces=traces,
        surprisal=token_surprisal(output[0][0], written_1T[0, 1:]),
    )


def _first(maps: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: map_[0] for name, map_ in maps.items()}


def _reversed(trace: Trace) -> Trace:
    """The trace of an input that the model reversed, in the order of the text."""
    return replace(
        trace,
        backward=not trace.backward,
        gates={name: gate.flip(1) for name, gate in trace.gates.items()},
        hidden_BTH=trace.hidden_BTH.flip(1),
        cell_BTH=None if trace.cell_BTH is None else trace.cell_BTH.flip(1),
    )
