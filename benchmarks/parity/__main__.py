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
import subprocess
import sys
import time
from collections.abc import Mapping
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
ALL = (*ROWS, *LANGUAGE_ROWS)
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
    """Compare the rows asked for and write their lines into the page. The exit status: 1 when one is out of bounds."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.parity", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="our variants (default: all)")
    names = parser.parse_args().names
    rows = [row for row in ALL if not names or row.ours in names]
    lines = lines_of_page() if names else {}
    failed = 0
    for row in rows:
        if isinstance(row, LanguageRow):
            written = compare_language(row)
            holds, seconds, measured = agrees(written), written.seconds, language_cells(row, written)
        else:
            found = compare(row)
            holds, seconds, measured = found.holds(row), found.seconds, image_cells(row, found)
        failed += not holds
        line = f"{pair(row)} {measured} {'yes' if holds else '**no**'} | {compared_with(row)} |"
        print(line, f"{seconds:.0f} s", flush=True)
        lines[pair(row)] = line
    missing = [row.ours for row in ALL if pair(row) not in lines]
    if missing:
        print(f"the page is not written, these were never compared: {', '.join(missing)}", file=sys.stderr)
    else:
        PAGE.write_text(page(lines), encoding="utf-8")
    print(f"{len(rows) - failed} of {len(rows)} agree", file=sys.stderr)
    return 1 if failed or missing else 0


def lines_of_page() -> dict[str, str]:
    """The lines that the page has, by their first two cells: rows not compared this time stay as they are."""
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    return {"|".join(line.split("|")[:3]) + "|": line for line in lines if line.startswith("| ")}


def pair(row: Row | LanguageRow) -> str:
    """The first two cells of a row's line: ours and theirs."""
    options = "".join(f", {name}={value}" for name, value in row.options.items())
    return f"| {row.ours}{options} | {row.library} `{row.theirs}` |"


def compared_with(row: Row | LanguageRow) -> str:
    """The versions that a line is true of."""
    command = ["git", "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    peer = {"torchvision": torchvision, "timm": timm, "transformers": transformers}[row.library]
    return f"{commit}, {row.library} {peer.__version__}, torch {torch.__version__}, {platform.machine()}"


def agrees(found: Written) -> bool:
    """Whether every distance of language models is within its bound, and all tokens are the same."""
    near = found.float64 <= BOUND_64 and found.gradients <= BOUND_64 and found.float32 <= BOUND_32
    return near and found.same == found.tokens


def image_cells(row: Row, found: Found) -> str:
    """What was measured of models of images."""
    inputs = ", ".join(f"{height}x{width}" for height, width in row.sizes)
    return f"{inputs} | {found.float64:.1e} | {found.float32:.1e} | {found.gradients:.1e} |"


def language_cells(row: LanguageRow, found: Written) -> str:
    """What was measured of language models."""
    batch, length = row.tokens
    return (
        f"{batch}x{length} | {found.float64:.1e} | {found.float32:.1e} | {found.gradients:.1e} | "
        f"{found.same} of {found.tokens} ({found.different}) |"
    )


def page(lines: Mapping[str, str]) -> str:
    """The page, in Markdown."""
    bounds = (
        f"Bounds: {BOUND_64:.0e} in float64, gradients too; {BOUND_32:.0e} in float32, {BOUND_32_DEEP:.0e} beyond 50 "
        "layers. All on the CPU. The last column tells our commit and the versions that a line is true of: "
        "`python -m benchmarks.parity NAME ...` compares some anew and leaves the others as they are."
    )
    columns = "| ours | theirs | inputs | float64 | float32 | gradients (float64) |"
    end = " within bounds | compared |"
    parts = [
        "# Parity",
        "",
        "Written by `make parity`. " + " ".join((__doc__ or "").split()),
        "",
        bounds,
        "",
        columns + end,
        "|---" * 8 + "|",
        *(lines[pair(row)] for row in ROWS),
        "",
        f"{columns} same tokens written (different ones) |{end}",
        "|---" * 9 + "|",
        *(lines[pair(row)] for row in LANGUAGE_ROWS),
    ]
    return "\n".join(parts) + "\n"


if __name__ == "__main__":
    raise SystemExit(main())
