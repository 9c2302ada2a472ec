"""How much does it bring to compute the requests of several clients together?

ResNet-18, 16 clients that each send a picture, wait for the answer and send the next. Two servers of the same run, each
a process of its own: one computes up to 32 rows at once, the other one row at a time (``--batch 1``); rounds
interleaved. Requests a second: median over rounds; ratio: median over rounds of ours over theirs in the same round. p50
and p99 are over all requests of all rounds. A picture goes as PNG in the body, over HTTP on loopback, with connections
kept.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import statistics
import sys
import tempfile
import time

import httpx
import numpy as np
from PIL import Image

import lamina
from benchmarks.measure import interleaved, ratio, write_result
from benchmarks.servers import served

CLIENTS = 16
REQUESTS = {32: 640, 224: 160}
"""of a round, by the size of the pictures"""
ROUNDS = {32: 7, 224: 5}
BAR = 2.0


def main() -> None:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short round of small pictures, and no result")
    quick = parser.parse_args().quick
    text = "| pictures | server | requests/s | p50 ms | p99 ms | ratio | bar |\n" + "|---" * 7 + "|\n"
    for size in (32,) if quick else REQUESTS:
        text += rows(size, 64 if quick else REQUESTS[size], 1 if quick else ROUNDS[size])
    if quick:
        print(text)
    else:
        write_result("serving", text)


def rows(size: int, requests: int, rounds: int) -> str:
    """Both servers of a run on pictures of one size, as rows of the table."""
    times: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        run = lamina.train(
            "resnet18", data="digits", steps=2, directory=folder, report=False, model_options={"image_size": size}
        )
        content = picture(size)
        with served(run.path, "--batch", "32") as together, served(run.path, "--batch", "1") as alone:
            sides = {
                name: lambda name=name, at=one.address: measured(at, content, requests, times.setdefault(name, []))
                for name, one in (("together", together), ("one by one", alone))
            }
            found = interleaved(sides, rounds)
    text = ""
    for name, rates in found.items():
        waits = sorted(times[name][requests:])  # without those of the round that warms up
        p50, p99 = (1000 * waits[int(share * (len(waits) - 1))] for share in (0.5, 0.99))
        more = f"{ratio(rates, found['one by one']):.2f} | {BAR:.1f}" if name == "together" else " | "
        text += f"| {size} x {size} | {name} | {statistics.median(rates):.1f} | {p50:.1f} | {p99:.1f} | {more} |\n"
    return text


def picture(size: int) -> bytes:
    file = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (size, size), dtype=np.uint8)
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def measured(address: str, content: bytes, requests: int, times: list[float]) -> float:
    """Requests a second; the time of each is added to ``times``."""
    begun = time.perf_counter()
    asyncio.run(_asked(address, content, requests, times))
    return requests / (time.perf_counter() - begun)


async def _asked(address: str, content: bytes, requests: int, times: list[float]) -> None:
    left = iter(range(requests))
    headers = {"Content-Type": "image/png"}

    async def client_of(client: httpx.AsyncClient) -> None:
        for _ in left:
            begun = time.perf_counter()
            answer = await client.post("/predict", content=content, headers=headers)
            times.append(time.perf_counter() - begun)
            if answer.status_code != 200:
                sys.exit(f"{answer.status_code}: {answer.text}")

    async with httpx.AsyncClient(base_url=address, timeout=120) as client:
        await asyncio.gather(*(client_of(client) for _ in range(CLIENTS)))


if __name__ == "__main__":
    main()
