"""Which tokenizer a text is read with: fitted on it, from a file, or the one that given weights were trained with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast, get_args

from lamina.data.options import DataOptions
from lamina.data.protocols import Needs
from lamina.data.spec import DataSpec
from lamina.data.text.brought import read_tokenizer, tokenizer_at, tokenizer_in
from lamina.data.text.tokenizing import TextCode, TokenKind
from lamina.errors import UsageError, nearest

AUTO = "auto"
KINDS: tuple[str, ...] = get_args(TokenKind)
USUAL: dict[str, TokenKind] = {"language-modelling": "character", "translation": "bpe"}
"""default tokenizers by task; words for the others"""
PARTS = {"begin": "beginning (<bos>, <s>, [CLS])", "end": "end (<eos>, </s>, [SEP])"}


def code_for(spec: DataSpec, texts: Sequence[str], needs: Needs) -> tuple[TextCode, tuple[str, ...]]:
    """The tokenizer for texts, and notes on it.

    The one that ``options.tokenizer`` names; for "auto" the one that the given weights were trained with, where it is
    known; else one fitted on the texts. Raises UsageError for options that contradict the tokenizer or the weights.
    """
    options, known = needs.options, _of_weights(needs)
    if known is not None and options.tokenizer in (AUTO, *KINDS):
        code, where = known
        if code.own and options.tokenizer not in (AUTO, code.kind):
            raise UsageError(
                f"--tokenizer {options.tokenizer}: the weights were trained with the tokenizer of {where}, of kind "
                f"{code.kind}; leave the option out, and it is used"
            )
        _expect_same(code, options, where)
        return _for_task(code, spec, where), () if needs.judged else (f"tokenizer: that of {where}",)
    if options.tokenizer not in (AUTO, *KINDS):
        code, where = _from_file(options.tokenizer), options.tokenizer
        _expect_same(code, options, where)
    elif needs.judged:
        raise UsageError("which tokenizer were the weights trained with? give its file: --tokenizer FILE")
    else:
        code, where = _fitted(spec, texts, options), "the text"
    digest = needs.vocabulary if known is None else known[0].digest
    if digest is not None and digest != code.digest:
        which = "another tokenizer" if known is None else f"another tokenizer, that of {known[1]}"
        way = "give its file: --tokenizer FILE" if known is None else "leave --tokenizer out, and it is used"
        raise UsageError(f"the weights were trained with {which}: token by token their words are others; {way}")
    doubt = needs.pretrained and digest is None
    return _for_task(code, spec, where), (DOUBT.format(size=code.size),) if doubt else ()


DOUBT = (
    "the file of weights does not say which tokenizer it was trained with: only with the same {size:,} tokens in the "
    "same order are they right; --tokenizer FILE gives it"
)


def _of_weights(needs: Needs) -> tuple[TextCode, str] | None:
    """The tokenizer of the run that the weights are from, or one that lies beside them, and where it is."""
    code = getattr(needs.origin, "code", None)
    if code is not None:
        return cast(TextCode, code), str(needs.beside)
    beside = None if needs.beside is None or needs.origin is not None else tokenizer_in(needs.beside)
    return None if beside is None else (TextCode(read_tokenizer(beside)), str(beside))


def _from_file(where: str) -> TextCode:
    near = nearest(where, (AUTO, *KINDS))
    try:
        path = tokenizer_at(where)
    except UsageError as error:
        if near is not None:
            raise UsageError(
                f"--tokenizer {where}: neither a kind of tokens nor a file; did you mean '{near}'?"
            ) from None
        raise UsageError(f"{error}; kinds of tokens are {', '.join(KINDS)}") from None
    return TextCode(read_tokenizer(path))


def _fitted(spec: DataSpec, texts: Sequence[str], options: DataOptions) -> TextCode:
    kind = cast(TokenKind, spec.tokenizer or USUAL.get(spec.task, "word"))
    if options.tokenizer != AUTO:
        kind = cast(TokenKind, options.tokenizer)
    return TextCode.fit(texts, kind, spec.task, vocabulary=options.vocabulary, lowercase=options.lowercase)


def _expect_same(code: TextCode, options: DataOptions, where: str) -> None:
    """Raise UsageError for options of fitting that the tokenizer does not meet."""
    if options.vocabulary is not None and code.size > options.vocabulary:
        raise UsageError(
            f"--vocabulary {options.vocabulary} is for a tokenizer fitted on the data: that of {where} has "
            f"{code.size:,} tokens, and is used as it is"
        )
    if options.lowercase and not code.lowercases:
        raise UsageError(f"--lowercase is for a tokenizer fitted on the data: that of {where} keeps capital letters")


def _for_task(code: TextCode, spec: DataSpec, where: str) -> TextCode:
    """The tokenizer, if it has the special tokens that a translation needs. Raises UsageError."""
    for part, named in PARTS.items() if spec.task == "translation" else ():
        if getattr(code, part) is None:
            raise UsageError(f"the tokenizer of {where} has no token for a text's {named}, which translation needs")
    return code
