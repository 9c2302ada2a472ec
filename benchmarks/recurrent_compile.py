"""Does torch.compile pay for recurrent networks on a CPU?

Three forms of the same net, in turn in one process: eager, where torch's fused kernels calculate a layer at a time and
the decoder with attention is a loop in Python; compiled whole, where the loop over time is part of the graph
(``torch.compile(model, fullgraph=True)``); compiled with the loops left as they are, as ``lamina train --compile`` has
it. One thread; CPU seconds, so that other work on the machine counts little; a step is forward, loss and backward.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.measure import interleaved, ratio, write_result
from lamina import registry
from lamina.training.compiling import compiled, leave_loops_out

ROUNDS = 11
NETS: dict[str, tuple[str, dict[str, Any], tuple[int, int]]] = {
    "lstm-lm-small, 20 x 35 tokens": ("lstm-lm-small", {}, (20, 35)),
    "seq2seq-attention of width 256, 32 x 20 tokens": (
        "seq2seq-attention",
        {"source_vocab_size": 8000, "vocab_size": 8000, "embedding_dim": 256, "hidden_size": 256}
        | {"attention_size": 256, "maxout": 128},
        (32, 20),
    ),
}
FORMS = ("eager", "compiled whole", "compiled, loops left out")


def sides(name: str, options: dict[str, Any], sizes: tuple[int, int], train: bool) -> dict[str, Callable[[], float]]:
    """What each form takes, in CPU seconds; they are compiled here."""
    row = registry.variant(name)
    made: dict[str, Callable[[], float]] = {}
    for form in FORMS:
        torch.manual_seed(0)
        net = registry.build(row, registry.configure(row, options)).train(train)
        if form == FORMS[2]:
            leave_loops_out(net)
        call = net if form == "eager" else compiled(net, device="cpu", fullgraph=form == FORMS[1])
        made[form] = _timed(call, net, _inputs(row, net, sizes), train)
        begun = time.perf_counter()
        made[form]()
        print(f"{name}, {'training' if train else 'inference'}, {form}: first call {time.perf_counter() - begun:.0f} s")
    return made


def _inputs(row: Any, net: Any, sizes: tuple[int, int]) -> dict[str, Tensor]:
    return {key: part[:, : sizes[1]] for key, part in row.example(net.config, sizes[0]).items()}


def _timed(call: Callable[..., Any], net: nn.Module, x: dict[str, Tensor], train: bool) -> Callable[[], float]:
    def run() -> float:
        begun = time.process_time()
        with torch.set_grad_enabled(train):
            logits_BTV, _ = call(**x)
            if train:
                net.zero_grad(set_to_none=True)
                F.cross_entropy(logits_BTV.flatten(0, 1), x["tokens_BT"].flatten()).backward()
        return time.process_time() - begun

    return run


def main() -> None:
    """Measure and write the result."""
    torch.set_num_threads(1)
    table = "| net | what | " + " | ".join(f"{form}, ms" for form in FORMS) + " | whole / eager | left out / eager |\n"
    table += "|---" * 7 + "|\n"
    for title, (name, options, sizes) in NETS.items():
        for train in (True, False):
            torch.compiler.reset()
            found = interleaved(sides(name, options, sizes, train), ROUNDS)
            times = " | ".join(f"{1e3 * statistics.median(found[form]):.1f}" for form in FORMS)
            against = " | ".join(f"{ratio(found[form], found['eager']):.2f}" for form in FORMS[1:])
            table += f"| {title} | {'training step' if train else 'inference'} | {times} | {against} |\n"
    write_result("recurrent_compile", (__doc__ or "") + "\nRatios above 1: slower than eager.\n\n" + table)


if __name__ == "__main__":
    main()
