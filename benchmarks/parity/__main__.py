"""Give a peer and our variant the same weights and inputs, and write how far their outputs and gradients are apart.

Evaluation mode; weights, running statistics and inputs from ``benchmarks.parity.numbers``. The distance is
max|a - b| / max|b|; gradients are those of a weighted sum of the logits to the input and to three weights, in float64.
Of language models: to embeddings, positions and three weights. They also continue three prompts of different lengths by
50 tokens each, always the most probable one, ours in one batch and theirs one by one, in float64 and in float32: all
tokens must be the same.
"""

from __future__ import annotations

import argparse
import dataclasses
import gc
import platform
import sys
import time
from pathlib import Path
from typing import Any

import timm
import torch
import torchvision
import transformers
from torch import Tensor, nn

import lamina
from benchmarks.parity.language import LANGUAGE_ROWS, LanguageRow, Written, compare_language
from benchmarks.parity.numbers import distance, image, weight
from benchmarks.parity.rows import ROWS, Row
from lamina.weights.loading import layouts_of, load_weights
from lamina.weights.reading import StateDict

BOUND_64, BOUND_32, BOUND_32_DEEP = 1e-10, 1e-5, 1e-4
PAGE = Path(__file__).parents[2] / "docs" / "parity.md"


@dataclasses.dataclass(frozen=True)
class Found:
    """The largest distances of one comparison, over its inputs."""

    float64: float
    float32: float
    gradients: float
    seconds: float

    def holds(self, row: Row) -> bool:
        """Whether every distance is within its bound."""
        bound = BOUND_32_DEEP if row.deep else BOUND_32
        return self.float64 <= BOUND_64 and self.gradients <= BOUND_64 and self.float32 <= bound


def peer(row: Row, size: tuple[int, int]) -> nn.Module:
    """Their model in evaluation mode, with their default options."""
    keywords: dict[str, Any] = dict(row.keywords)
    if row.sized:
        keywords["img_size"] = size
    if row.library == "timm":
        model: nn.Module = timm.create_model(row.theirs, pretrained=False, **keywords)
    else:
        model = getattr(torchvision.models, row.theirs)(weights=None, **keywords)
    return model.eval()


def graded(model: nn.Module, x: Tensor, names: list[str]) -> tuple[Tensor, list[Tensor]]:
    """Logits, and the gradients of their weighted sum to the input and to the weights named."""
    x = x.clone().requires_grad_()
    logits = model(x)
    scale = torch.linspace(-1, 2, logits.numel(), dtype=logits.dtype).view_as(logits)
    weights = dict(model.named_parameters())
    return logits.detach(), list(torch.autograd.grad((logits * scale).sum(), [x, *(weights[name] for name in names)]))


def compare(row: Row) -> Found:
    """The distances of one row. Raises AssertionError where a name has no counterpart."""
    begun = time.perf_counter()
    apart = {"float64": 0.0, "float32": 0.0, "gradients": 0.0}
    ours = lamina.create_model(row.ours, **row.options).double().eval()
    for size in row.sizes:
        theirs = peer(row, size).double()
        state = {name: weight(name, tensor) for name, tensor in theirs.state_dict().items()}
        theirs.load_state_dict(state)
        loaded = load_weights(ours, StateDict(path=Path(row.theirs), tensors=state))
        assert not loaded.kept, f"not in the file: {loaded.kept[:5]}"
        del state
        translation = next(layout.translation(ours) for layout in layouts_of(ours) if layout.source == loaded.source)
        trained = [name for name, tensor in theirs.named_parameters() if tensor.ndim > 1]
        chosen = [trained[0], trained[len(trained) // 2], trained[-1]]
        x = image(1 if max(size) > 200 else 2, 3, *size)
        wanted, wanted_gradients = graded(theirs, x, chosen)
        got, got_gradients = graded(ours, x, [translation.ours(name) or name for name in chosen])
        apart["float64"] = max(apart["float64"], distance(got, wanted))
        for one, other in zip(got_gradients, wanted_gradients, strict=True):
            apart["gradients"] = max(apart["gradients"], distance(one, other))
        with torch.no_grad():
            theirs, ours = theirs.float(), ours.float()
            apart["float32"] = max(apart["float32"], distance(ours(x.float()), theirs(x.float())))
        ours = ours.double()
        del theirs, got_gradients, wanted_gradients
        gc.collect()
    return Found(**apart, seconds=time.perf_counter() - begun)


def main() -> int:
    """Compare the rows asked for; write the page when all were. The exit status: 1 when one is out of bounds."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.parity", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="our variants (default: all, and the page is written)")
    names = parser.parse_args().names
    rows = [row for row in (*ROWS, *LANGUAGE_ROWS) if not names or row.ours in names]
    lines: dict[type, list[str]] = {Row: [], LanguageRow: []}
    failed = 0
    for row in rows:
        if isinstance(row, LanguageRow):
            written = compare_language(row)
            holds, seconds, line = agrees(written), written.seconds, language_line(row, written)
        else:
            found = compare(row)
            holds, seconds, line = found.holds(row), found.seconds, image_line(row, found)
        failed += not holds
        line += " yes |" if holds else " **no** |"
        print(line, f"{seconds:.0f} s", flush=True)
        lines[type(row)].append(line)
    if not names:
        PAGE.write_text(page(lines[Row], lines[LanguageRow]), encoding="utf-8")
    print(f"{len(rows) - failed} of {len(rows)} agree", file=sys.stderr)
    return 1 if failed else 0


def agrees(found: Written) -> bool:
    """Whether every distance of language models is within its bound, and all tokens are the same."""
    near = found.float64 <= BOUND_64 and found.gradients <= BOUND_64 and found.float32 <= BOUND_32
    return near and found.same == found.tokens


def image_line(row: Row, found: Found) -> str:
    """A row of the first table, but for its last column."""
    inputs = ", ".join(f"{height}x{width}" for height, width in row.sizes)
    return (
        f"| {row.ours}{_options(row)} | {row.library} `{row.theirs}` | {inputs} | {found.float64:.1e} | "
        f"{found.float32:.1e} | {found.gradients:.1e} |"
    )


def language_line(row: LanguageRow, found: Written) -> str:
    """A row of the second table, but for its last column."""
    batch, length = row.tokens
    return (
        f"| {row.ours}{_options(row)} | transformers `GPT2LMHeadModel` | {batch}x{length} | {found.float64:.1e} | "
        f"{found.float32:.1e} | {found.gradients:.1e} | {found.same} of {found.tokens} ({found.different}) |"
    )


def _options(row: Row | LanguageRow) -> str:
    return "".join(f", {name}={value}" for name, value in row.options.items())


def page(images: list[str], texts: list[str]) -> str:
    """The page, in Markdown."""
    head = [
        "# Parity",
        "",
        "Written by `make parity`. " + " ".join((__doc__ or "").split()),
        "",
        f"Bounds: {BOUND_64:.0e} in float64, gradients too; {BOUND_32:.0e} in float32, {BOUND_32_DEEP:.0e} beyond 50 "
        f"layers. torch {torch.__version__}, torchvision {torchvision.__version__}, timm {timm.__version__}, "
        f"transformers {transformers.__version__}, {platform.machine()}, CPU.",
        "",
        "| ours | theirs | inputs | float64 | float32 | gradients (float64) | within bounds |",
        "|---|---|---|---|---|---|---|",
    ]
    language = [
        "",
        "| ours | theirs | tokens | float64 | float32 | gradients (float64) | same tokens written (different ones) | "
        "within bounds |",
        "|---|---|---|---|---|---|---|---|",
    ]
    return "\n".join([*head, *images, *language, *texts]) + "\n"


if __name__ == "__main__":
    raise SystemExit(main())
