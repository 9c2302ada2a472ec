"""How much faster is int8 than bfloat16 in OpenVINO, and what does it cost?

Speed: images of 224 x 224 pixels, weights at random (the arithmetic is the same), ranges measured on 16 images; our
export to OpenVINO in float32, in bfloat16, and quantised as ``lamina export --int8`` does; rounds interleaved.
Milliseconds: median over rounds. Ratios: median over rounds of the bfloat16's time over int8's in the same round.
"Kept": what the export keeps, int8 where it is faster; the last column is its gain over bfloat16, at least 1.

Accuracy: a small net trained on the digits of scikit-learn, exported with ``--int8``, judged on its validation split.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import tempfile
from pathlib import Path
from typing import Any

import openvino
import torch

import lamina
from benchmarks.measure import interleaved, ratio, write_result
from benchmarks.vision_inference import Times, compiled, ms
from benchmarks.vision_models import NETS, images, timed
from lamina.export.int8 import quantise_openvino
from lamina.export.onnx import write_onnx
from lamina.export.openvino import has_bf16, openvino_core
from lamina.export.program import capture
from lamina.runs.views.export import export_variant

ROUNDS, CALLS = {1: 15, 16: 7}, {1: 4, 16: 1}
QUICK_NETS = ("mobilenet-v2",)
SAMPLES = 16
SIDES = ("fp32", "bf16", "int8")
BARS = {"resnet50": 1.6, "geometric mean of what is kept": 1.2}


def main() -> None:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one net, two rounds, and no result is written")
    quick = parser.parse_args().quick
    if not has_bf16():
        raise SystemExit("int8: this processor has no bfloat16 to compare with")
    times: dict[tuple[str, int], Times] = {}
    for name in QUICK_NETS if quick else NETS:
        models = exported(name)
        for batch, rounds in ROUNDS.items():
            hints = {"fp32": "f32", "bf16": "bf16", "int8": "bf16"}  # as our engine does
            measured = {side: timed(compiled(models[side], batch, hints[side]), CALLS[batch]) for side in SIDES}
            times[name, batch] = interleaved(measured, 2 if quick else rounds)
            del measured
            gc.collect()
            found = ", ".join(f"{side} {ms(values):.1f} ms" for side, values in times[name, batch].items())
            print(f"{name}, batch {batch}: {found}", flush=True)
        del models
        gc.collect()
    body = f"{table(times)}\n{accuracy()}"
    if quick:
        print(body)
    else:
        write_result("int8", f"{__doc__}\n{body}")


def exported(name: str) -> dict[str, openvino.Model]:
    """A net in float (run in float32 and in bfloat16) and in int8, by our export."""
    with tempfile.TemporaryDirectory() as folder:
        done = export_variant(name, "openvino", Path(folder, "float.xml"))
        torch.manual_seed(0)
        model = lamina.create_model(name).eval()
        onnx_file, path = Path(folder, "float.onnx"), Path(folder, "int8.xml")
        write_onnx(capture(model, done.facts), done.facts, onnx_file)
        samples: list[dict[str, Any]] = [{"image": one[None].numpy()} for one in images(SAMPLES)]
        quantise_openvino(onnx_file, path, done.facts, samples)
        read = {
            file: openvino_core().read_model(file.read_bytes(), file.with_suffix(".bin").read_bytes())
            for file in (done.path, path)
        }
        return {"fp32": read[done.path], "bf16": read[done.path], "int8": read[path]}


def table(times: dict[tuple[str, int], Times]) -> str:
    """Medians, ratios, the geometric means, and their bars."""
    text = "| net | batch | " + " | ".join(f"{side} ms" for side in SIDES) + " | int8 over bf16 | kept | its gain |\n"
    text += "|---" * 8 + "|\n"
    gains: dict[int, list[float]] = {}
    for (name, batch), found in times.items():
        gain = ratio(found["bf16"], found["int8"])
        bar = f" (bar {BARS[name]:g}x)" if name in BARS else ""
        gains.setdefault(batch, []).append(max(gain, 1.0))
        cells = " | ".join(f"{ms(found[side]):.1f}" for side in SIDES)
        kept = "int8" if gain > 1 else "bf16"
        text += f"| {name} | {batch} | {cells} | {gain:.2f}x{bar} | {kept} | {max(gain, 1.0):.2f}x |\n"
    bar = BARS["geometric mean of what is kept"]
    for batch, values in gains.items():
        mean = statistics.geometric_mean(values)
        text += f"| geometric mean | {batch} |  |  |  |  |  | {mean:.2f}x (bar {bar:g}x) |\n"
    return text


def accuracy() -> str:
    """The metric before and after on a trained net, in both formats."""
    text = (
        "| export | validation accuracy before | after | layers in float | bytes | in float32 |\n" + "|---" * 6 + "|\n"
    )
    with tempfile.TemporaryDirectory() as folder:
        run = lamina.train("lenet5", data="digits", epochs=20, directory=folder, report=False)
        for to, suffix in (("onnx", ".onnx"), ("openvino", ".xml")):
            whole = run.export(to, Path(folder, f"float{suffix}"))
            done = run.export(to, Path(folder, f"int8{suffix}"), int8=True, even_if_slower=True)
            quality = done.facts.quality
            text += (
                f"| lenet5 on digits, {to} | {quality['before']:.4f} | {quality['after']:.4f} | "
                f"{', '.join(quality['kept']) or 'none'} | {done.bytes:,} | {whole.bytes:,} |\n"
            )
    return text


if __name__ == "__main__":
    main()
