"""How far do the losses of style transfer fall on random features?

Gatys et al. on scikit-learn's two photographs: the content is the flower, the style the temple; VGG-19 with random
weights (He, seed 0), 256 pixels, from noise, 100 steps of Adam at 0.05. One thread.
"""

from __future__ import annotations

import time

import torch
from sklearn.datasets import load_sample_images

import lamina
from benchmarks.measure import write_result

SETTINGS = {"size": 256, "steps": 100, "rate": 0.05, "device": "cpu"}
ROWS = {
    "the style alone": ({"content_weight": 0.0}, "style > 95 %"),
    "content weight 1e-4": ({"content_weight": 1e-4}, "style and content > 60 %"),
}


def main() -> None:
    """Measure and write the result."""
    torch.set_num_threads(1)
    style, content = (image.copy() for image in load_sample_images().images)
    table = "| what | style falls by | content falls by | seconds | bar |\n|---|---|---|---|---|\n"
    for name, (options, bar) in ROWS.items():
        begin = time.perf_counter()
        made = lamina.style(content, style, **SETTINGS, **options)
        seconds = time.perf_counter() - begin
        first, last = made.losses[0], made.losses[-1]
        falls = [
            f"{1 - b / a:.1%}" if a else "-" for a, b in ((first.style, last.style), (first.content, last.content))
        ]
        table += f"| {name} | {falls[0]} | {falls[1]} | {seconds:.0f} (bar 240) | {bar} |\n"
    write_result("style_transfer", (__doc__ or "") + "\n" + table)


if __name__ == "__main__":
    main()
