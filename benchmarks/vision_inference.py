"""How much faster is inference with our nets, exported or optimised, than with torchvision's as they come?

Images of 224 x 224 pixels, batches of 1 and 16, all sides on the same number of threads, rounds interleaved. Sides:
torchvision's model in eager PyTorch; the same in OpenVINO, as OpenVINO's own converter gives it with a batch of any
size; our export to OpenVINO, in float32 and, where the processor has bfloat16, with the hint that it will do;
``lamina.optimize`` of our model inside PyTorch, as it chooses for one image, without and with bfloat16. Milliseconds:
median over rounds. Ratios: median over rounds of the other side's time over ours in the same round.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path

import openvino
import torch
from torch import nn

import lamina
from benchmarks.measure import interleaved, ratio, write_result
from benchmarks.vision_models import NETS, forward, images, net, timed
from lamina.export.openvino import has_bf16, openvino_core
from lamina.runs.views.export import export_variant

ROUNDS = {1: 15, 16: 7}
CALLS = {1: 4, 16: 1}
QUICK_NETS = ("mobilenet-v2",)

EAGER, PEER = "torchvision eager", "torchvision in OpenVINO"
OURS, OURS_BF16 = "lamina in OpenVINO", "lamina in OpenVINO, bf16"
FAST, FAST_BF16 = "lamina.optimize", "lamina.optimize, bf16"
BARS = {
    (OURS, PEER): ">= 0.97x",
    (OURS, EAGER): ">= 3.8x",
    (OURS_BF16, EAGER): ">= 6.5x",
    (FAST, EAGER): "aim 1.3x",
    (FAST_BF16, EAGER): "aim 1.8x",
}
"""(ours, the side it is compared with): the bar of the geometric mean"""

Times = dict[str, list[float]]


def main() -> None:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one net, two rounds, and no result is written")
    quick = parser.parse_args().quick
    times: dict[tuple[str, int], Times] = {}
    chosen = "| net | lamina.optimize chose | with bfloat16 |\n" + "|---" * 3 + "|\n"
    for name in QUICK_NETS if quick else NETS:
        exported, peer = our_export(name), converted(net(name, "torchvision"))
        ways = {FAST: lamina.optimize(net(name, "lamina"))}
        if has_bf16():
            ways[FAST_BF16] = lamina.optimize(net(name, "lamina"), bf16=True)
        chosen += f"| {name} | " + " | ".join(way.report.chosen for way in ways.values()) + " |\n"
        for batch, rounds in ROUNDS.items():
            doing = {
                EAGER: forward(net(name, "torchvision"), batch),
                PEER: compiled(peer, batch, "f32"),
                OURS: compiled(exported, batch, "f32"),
            }
            if has_bf16():
                doing[OURS_BF16] = compiled(exported, batch, "bf16")
            doing |= {side: forward(model, batch) for side, model in ways.items()}
            measured = {side: timed(work, CALLS[batch]) for side, work in doing.items()}
            times[name, batch] = interleaved(measured, 2 if quick else rounds)
            del doing, measured
            gc.collect()
            medians = ", ".join(f"{side} {ms(values):.1f} ms" for side, values in times[name, batch].items())
            print(f"{name}, batch {batch}: {medians}", flush=True)
    body = f"{milliseconds(times)}\n{ratios(times)}\n{chosen}"
    if quick:
        print(body)
    else:
        write_result("vision_inference", f"{__doc__}\n{body}")


def compiled(model: openvino.Model, batch: int, precision: str) -> Callable[[], None]:
    """An inference of a batch in OpenVINO on the CPU."""
    hints = {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": torch.get_num_threads()}
    engine, x = openvino_core().compile_model(model, "CPU", hints), images(batch).numpy()

    def once() -> None:
        engine(x)

    return once


def converted(model: nn.Module) -> openvino.Model:
    """A model of PyTorch as OpenVINO's own converter gives it."""
    return openvino.convert_model(model.eval(), example_input=images(2), input=[-1, 3, 224, 224])


def our_export(name: str) -> openvino.Model:
    """Our net as our export gives it."""
    with tempfile.TemporaryDirectory() as folder:
        path = export_variant(name, "openvino", Path(folder, f"{name}.xml")).path
        return openvino_core().read_model(path.read_bytes(), path.with_suffix(".bin").read_bytes())


def ms(seconds: list[float]) -> float:
    return 1e3 * statistics.median(seconds)


def milliseconds(times: dict[tuple[str, int], Times]) -> str:
    """Medians of all sides."""
    names = list(next(iter(times.values())))
    text = f"| net | batch | {' ms | '.join(names)} ms |\n" + "|---" * (2 + len(names)) + "|\n"
    for (name, batch), found in times.items():
        text += f"| {name} | {batch} | {' | '.join(f'{ms(found[side]):.1f}' for side in names)} |\n"
    return text


def ratios(times: dict[tuple[str, int], Times]) -> str:
    """Ours over the others, the geometric means, and their bars."""
    pairs = [pair for pair in BARS if pair[0] in next(iter(times.values()))]
    text = f"| net | batch | {' | '.join(f'{ours} over {theirs}' for ours, theirs in pairs)} |\n"
    text += "|---" * (2 + len(pairs)) + "|\n"
    rows = {key: [ratio(found[theirs], found[ours]) for ours, theirs in pairs] for key, found in times.items()}
    for (name, batch), row in rows.items():
        text += f"| {name} | {batch} | {' | '.join(f'{value:.2f}x' for value in row)} |\n"
    means = [statistics.geometric_mean(column) for column in zip(*rows.values(), strict=True)]
    text += f"| geometric mean | | {' | '.join(f'{value:.2f}x' for value in means)} |\n"
    return text + f"| bar | | {' | '.join(BARS[pair] for pair in pairs)} |\n"


if __name__ == "__main__":
    main()
