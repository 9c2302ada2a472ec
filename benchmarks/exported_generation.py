"""How fast does an exported GPT-2 write, beside the same model in torch?

Weights at random, prompts of 32 tokens, 256 new tokens, always the most probable one. ``lamina.decoding.generate`` with
the model in torch, float32, and with its export (``with_state``) in ONNX Runtime and OpenVINO: float32, and in OpenVINO
bfloat16, which may write other tokens. All sides on the same number of threads, rounds interleaved. In float32 every
side must write the same tokens, or there is no result. Tokens a second: median over rounds; ratio: median over rounds
of torch's time over the side's in the same round.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

import lamina
from benchmarks.measure import interleaved, ratio, write_result
from lamina.decoding import generate
from lamina.export.example import signature_of
from lamina.export.facts import ExportFacts
from lamina.export.onnx import OnnxModel
from lamina.export.openvino import OpenvinoModel, has_bf16
from lamina.export.options import ExportOptions
from lamina.export.stateful import StatefulModel
from lamina.export.writing import write_export
from lamina.registry import variant

PROMPT, NEW, ROUNDS = 32, 256, 4
BATCHES = (1, 4)
TORCH, ONNX, OPENVINO, BF16 = "torch", "ONNX Runtime", "OpenVINO", "OpenVINO, bf16"
BAR = "the best in float32 >= 1.5x at batch 1"


def main() -> None:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="16 new tokens, two rounds, and no result is written")
    quick = parser.parse_args().quick
    new, rounds = (16, 2) if quick else (NEW, ROUNDS)
    torch.manual_seed(0)
    model = lamina.create_model("gpt2").eval()
    text = "| batch | side | tokens/s | over torch |\n" + "|---" * 4 + "|\n"
    with tempfile.TemporaryDirectory() as folder:
        sides = exported(model, Path(folder))
        for batch in BATCHES[:1] if quick else BATCHES:
            found = measured({TORCH: model, **sides}, batch, new, rounds)
            for side, seconds in found.items():
                speed = batch * new / statistics.median(seconds)
                text += f"| {batch} | {side} | {speed:.1f} | {ratio(found[TORCH], seconds):.2f}x |\n"
                print(text.splitlines()[-1], flush=True)
    text += f"\nBar: {BAR}.\n"
    if quick:
        print(text)
    else:
        write_result("exported_generation", f"{__doc__}\n{text}")


def exported(model: nn.Module, folder: Path) -> dict[str, nn.Module]:
    """The export of a model in its engines."""
    facts = ExportFacts(model="gpt2", inputs=signature_of(variant("gpt2"), model.config))
    options = ExportOptions(with_state=True)
    onnx = write_export(model, facts, "onnx", folder / "gpt2.onnx", options).path
    openvino = write_export(model, facts, "openvino", folder / "gpt2.xml", options).path
    sides: dict[str, nn.Module] = {
        ONNX: StatefulModel(OnnxModel(onnx)),
        OPENVINO: StatefulModel(OpenvinoModel(openvino)),
    }
    if has_bf16():
        sides[BF16] = StatefulModel(OpenvinoModel(openvino, "bf16"))
    return sides


def measured(sides: dict[str, nn.Module], batch: int, new: int, rounds: int) -> dict[str, list[float]]:
    """Seconds of each side. Ends the program where one in float32 writes other tokens than torch."""
    prompts_BT = torch.randint(50_257, (batch, PROMPT), generator=torch.Generator().manual_seed(batch))
    written: dict[str, list[list[int]]] = {}

    def timed(side: str, model: nn.Module) -> Callable[[], float]:
        def measure() -> float:
            begun = time.perf_counter()
            written[side] = generate(model, prompts_BT, max_new_tokens=new, greedy=True)
            return time.perf_counter() - begun

        return measure

    found = interleaved({side: timed(side, model) for side, model in sides.items()}, rounds)
    wrong = [side for side, tokens in written.items() if side != BF16 and tokens != written[TORCH]]
    if wrong:
        sys.exit(f"exported_generation: batch {batch}: {' and '.join(wrong)} wrote other tokens than torch")
    return found


if __name__ == "__main__":
    main()
