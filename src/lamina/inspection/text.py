"""Everything that can be seen inside a model of text for one text, as tensors.

Legend: T tokens that the model reads, S tokens of a source, h heads, V vocabulary, K outputs.
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
    """One text, seen from inside the model. What a model does not have is empty or None."""

    tokens_T: Tensor
    """what the model reads; of a translation what its decoder reads: the mark of the beginning, then what it wrote"""
    source_S: Tensor | None = None
    """what a translation's encoder reads"""
    attention: Mapping[str, Tensor] = field(default_factory=dict)
    """(h, T, S) of each attention of the forward, by its module's name: query, then key"""
    alignments: Mapping[str, Tensor] = field(default_factory=dict)
    """(h, T, S) of each attention of the decoder to the source"""
    traces: Sequence[Trace] = ()
    """gates, hidden states and cells of each recurrent layer over time; their batch is 1"""
    surprisal: TokenSurprisal | None = None
    """of a language model: of each token but the first; of a translation: of each token written"""
    following_V: Tensor | None = None
    """of a language model: the probability of each token to come next"""
    lag_T: Tensor | None = None
    """of a language model: ``gradient_by_lag``"""
    outputs_K: Tensor | None = None
    """of a classifier: probabilities, or values"""
    effects_WK: Tensor | None = None
    """of a classifier: what each word adds to each output, see ``word_effects``"""

    @property
    def expected(self) -> TokenSurprisal | None:
        """Deprecated: the former name of ``surprisal``."""
        warnings.warn("TextInspection.expected is now surprisal", DeprecationWarning, stacklevel=2)
        return self.surprisal


def inspect_running_text(model: nn.Module, tokens_T: Tensor) -> TextInspection:
    """Look inside a language model with a text of at least one token. Raises UsageError for what it does not take."""
    tokens_1T = tokens_T[None].long()
    with evaluation_mode(model), torch.no_grad():
        try:
            said = model(tokens_1T)
        except ValueError as error:
            raise UsageError(str(error)) from error
    logits_TV = (said if isinstance(said, Tensor) else said[0])[0]
    return TextInspection(
        tokens_T=tokens_1T[0],
        attention=_first(attention_maps(model, tokens_1T)),
        traces=gate_traces(model, tokens_1T),
        surprisal=token_surprisal(logits_TV[:-1], tokens_1T[0, 1:]) if len(tokens_T) > 1 else None,
        following_V=logits_TV[-1].double().softmax(0).float(),
        lag_T=gradient_by_lag(model, tokens_1T) if len(tokens_T) > 1 else None,
    )


def inspect_classified_text(
    model: nn.Module, tokens_T: Tensor, words: Sequence[Sequence[int]], say: Predictor, filler: int = 0
) -> TextInspection:
    """Look inside a classifier with a text; ``words``, ``say`` and ``filler`` as in ``word_effects``.

    Raises UsageError for what the model does not take.
    """
    tokens_1T = tokens_T[None].long()
    attention = _first(attention_maps(model, tokens_1T))
    return TextInspection(
        tokens_T=tokens_1T[0],
        attention=attention,
        traces=gate_traces(model, tokens_1T),
        outputs_K=say(tokens_1T, torch.tensor([len(tokens_T)]))[0].float().cpu(),
        effects_WK=word_effects(say, tokens_T.tolist(), words, filler),
    )


def inspect_translation(model: nn.Module, source_S: Tensor, written_T: Tensor) -> TextInspection:
    """Look inside an encoder-decoder with a source and what it wrote: the mark of the beginning first, that of the end
    last. Raises UsageError for what the model does not take."""
    source_1S, written_1T = source_S[None].long(), written_T[None].long()
    tokens_1T = written_1T[:, :-1]
    with evaluation_mode(model), torch.no_grad():
        try:
            said = model(tokens_1T, source=source_1S)
        except ValueError as error:
            raise UsageError(str(error)) from error
    traces = gate_traces(model, tokens_1T, source=source_1S)
    if getattr(getattr(model, "config", None), "reverse_source", False):
        traces = [_turned(trace) if trace.name == "encoder" else trace for trace in traces]
    return TextInspection(
        tokens_T=tokens_1T[0],
        source_S=source_1S[0],
        attention=_first(attention_maps(model, tokens_1T, source=source_1S)),
        alignments=_first(alignments(model, tokens_1T, source_1S)),
        traces=traces,
        surprisal=token_surprisal(said[0][0], written_1T[0, 1:]),
    )


def _first(maps: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: map_[0] for name, map_ in maps.items()}


def _turned(trace: Trace) -> Trace:
    """A trace of tokens that the model turned round, in order of the text."""
    return replace(
        trace,
        backward=not trace.backward,
        gates={name: gate.flip(1) for name, gate in trace.gates.items()},
        hidden_BTH=trace.hidden_BTH.flip(1),
        cell_BTH=None if trace.cell_BTH is None else trace.cell_BTH.flip(1),
    )
