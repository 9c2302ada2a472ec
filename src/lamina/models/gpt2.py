"""GPT-2: a language model of causal self-attention, large enough to solve tasks from a prompt alone.

Paper: Radford, Wu, Child, Luan, Amodei, Sutskever, "Language Models are Unsupervised Multitask Learners", OpenAI, 2019.
What was new: normalisation moved to the input of each sublayer, one more after the last block, the initial weights of
the residual branches divided by sqrt(of their number); and a byte-level vocabulary of 50,257, which covers any text.

Differences from the paper: none of architecture: the published weights of Hugging Face load unchanged
(``lamina.load_weights``). GELU is its tanh approximation, as in OpenAI's code. Position embeddings are initialised with
standard deviation 0.02, as in Hugging Face's (OpenAI's: 0.01). Dropout is 0.1 throughout, as in Hugging Face's; OpenAI
published no training code. The paper's own parameter counts (117M, 345M, 762M, 1542M) are too low; these are exact.

Legend: B batch, T tokens, C channels, F hidden units, V vocabulary.

Forward (``CausalTransformer.forward``, without the key-value cache):

    x_BTC = dropout(tokens(tokens_BT) + positions(0 ... T-1))       # embedding and position
    for block in stack.blocks:                                      # each token attends to itself and those before
        x_BTC = x_BTC + dropout(block.attention(block.attention_norm(x_BTC)))
        h_BTF = block.activation(block.expand(block.feed_forward_norm(x_BTC)))
        x_BTC = x_BTC + dropout(block.contract(h_BTF))
    logits_BTV = stack.norm(x_BTC) @ tokens.weight.T                # the embedding is also the output layer

Reading order: models/gpt2.py, layers/causal_transformer.py, layers/transformer.py, layers/multi_head.py,
layers/attention.py, layers/positions.py; for decoding layers/key_value.py; helpers: layers/tokens.py,
layers/sequences.py, layers/linear.py, layers/activations.py.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from lamina.cards import Card, Variant
from lamina.layers.causal_transformer import CausalTransformer
from lamina.layers.sequences import example_tokens
from lamina.layers.transformer import BlockOptions


@dataclass(frozen=True, kw_only=True)
class GPT2Config:
    """Options of GPT-2."""

    vocab_size: int = 50_257
    """size of the vocabulary"""
    context: int = 1024
    """maximum number of tokens in a sequence"""
    layers: int = 12
    """number of blocks"""
    width: int = 768
    """channels of a token; the feed-forward layers have four times as many units"""
    heads: int = 12
    """attention heads of each block"""
    dropout: float = 0.1
    """dropout rate of the embeddings and of each sublayer's output"""
    attention_dropout: float = 0.1
    """dropout rate of the attention maps"""

    def __post_init__(self) -> None:
        if min(self.vocab_size, self.context, self.layers) < 1:
            raise ValueError("vocab_size, context and layers must be at least 1")
        self.blocks()

    def blocks(self) -> BlockOptions:
        """The options of the blocks. Raises ValueError if they are inconsistent."""
        return BlockOptions(
            width=self.width,
            heads=self.heads,
            hidden=4 * self.width,
            norm="first",
            activation="gelu-tanh",
            dropout=self.dropout,
            attention_dropout=self.attention_dropout,
        )


class GPT2(CausalTransformer):
    """Blocks of causal self-attention: tokens (B, T) -> logits (B, T, V) for the next token at every position.

    >>> model = lamina.create_model("gpt2", layers=2)  # the first weights; lamina.load_weights loads published ones
    >>> logits_BTV, state = model(torch.tensor([[464, 3290, 318]]))
    >>> logits_BTV.shape
    torch.Size([1, 3, 50257])
    """

    def __init__(self, config: GPT2Config) -> None:
        super().__init__(
            config.blocks(),
            layers=config.layers,
            vocab_size=config.vocab_size,
            context=config.context,
            positions="learned",
            tied=True,
        )
        self.config = config


def example(config: GPT2Config, batch: int) -> dict[str, Tensor]:
    """Example inputs for conformance checks and exports: tokens (B, context), the same at every call."""
    return {"tokens_BT": example_tokens(config.vocab_size, batch, config.context)}


def _row(size: str, parameters: int, macs: int, *, layers: int, width: int, heads: int) -> Variant:
    return Variant(
        build=GPT2,
        config=GPT2Config(layers=layers, width=width, heads=heads),
        card=Card(
            title=f"GPT-2 {size}".strip(),
            summary=f"A language model of {layers} blocks of causal self-attention over a byte-level vocabulary.",
            paper="Language Models are Unsupervised Multitask Learners",
            authors="Radford, Wu, Child, Luan, Amodei, Sutskever",
            year=2019,
            inputs=("text",),
            tasks=("language-modelling",),
            input=(1024,),
            parameters=parameters,
            macs=macs,
            reference="transformers.GPT2LMHeadModel",
            differences=(
                "dropout of 0.1 and initialisation as Hugging Face's: OpenAI published no training code",
                "exact parameter counts (paper: 117M, 345M, 762M and 1542M)",
            ),
            recipe="gpt2",
            aliases=("gpt2-small",) if not size else (),
        ),
        small={"vocab_size": 31, "context": 12, "layers": 2, "width": 16, "heads": 2},
        example=example,
    )


VARIANTS = {
    "gpt2": _row("", 124_439_808, 145_824_153_600, layers=12, width=768, heads=12),
    "gpt2-medium": _row("medium", 354_823_168, 413_475_536_896, layers=24, width=1024, heads=16),
    "gpt2-large": _row("large", 774_030_080, 887_285_350_400, layers=36, width=1280, heads=20),
    "gpt2-xl": _row("XL", 1_557_611_200, 1_753_351_782_400, layers=48, width=1600, heads=25),
}
