"""Does a server bear whatever is sent to it, and five thousand requests?

The documents of four runs (pictures, rows, running text, pairs of texts) are fuzzed by schemathesis, which lives in an
environment of its own: no answer may be an error of the server (5xx). Then 5,000 requests of one run, 8 at a time: the
memory of the process after the first 500 and after all, which may grow by 5 %.
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
from pathlib import Path

import httpx

from benchmarks.measure import write_result
from benchmarks.servers import Served, served
from benchmarks.serving import picture

OLD_RUNS = Path(__file__).parent.parent / "tests" / "runs" / "old_runs"
RUNS = ("image", "table", "text", "pairs")
EXAMPLES = 200
REQUESTS, WARM = 5_000, 500
GROWTH = 1.05


def main() -> None:
    """Fuzz, send, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--schemathesis", default=".fuzz/bin/schemathesis")
    parser.add_argument("--quick", action="store_true", help="few requests, no fuzzing, and no result is written")
    parser.add_argument("--examples", type=int, default=EXAMPLES, help="of each operation; fewer: no result is written")
    parser.add_argument("--run", choices=RUNS, help="fuzz this one alone, and write no result")
    args = parser.parse_args()
    text = ""
    for name in () if args.quick else (args.run,) if args.run else RUNS:
        with served(OLD_RUNS / name, "--max-tokens", "400") as server:
            passed = fuzzed(args.schemathesis, server, args.examples)
        text += (
            f"- {name}: fuzzed with {args.examples} examples an operation: {'no' if passed else 'AN'} error of the "
            "server\n"
        )
    if args.run:
        print(text)
        sys.exit("AN error" in text)
    with served(OLD_RUNS / "image") as server:
        send(server, 100 if args.quick else WARM)
        before = server.memory()
        send(server, 400 if args.quick else REQUESTS - WARM)
        after = server.memory()
    flat = "flat" if after <= GROWTH * before else "NOT FLAT"
    text += (
        f"- memory: {before / 2**20:.1f} MiB after {WARM:,} requests, {after / 2**20:.1f} after {REQUESTS:,}: {flat}\n"
    )
    if args.quick or args.examples < EXAMPLES:
        print(text)
    else:
        write_result("serving_endurance", text)
    sys.exit("AN error" in text or "NOT FLAT" in text)


def fuzzed(program: str, server: Served, examples: int) -> bool:
    """Whether no answer was an error of the server, nor did the server end."""
    words = [program, "run", f"{server.address}/openapi.json", "--checks", "not_a_server_error"]
    words += ["--max-examples", str(examples), "--seed", "1", "--request-timeout", "90"]
    found = subprocess.run(words)
    return found.returncode == 0 and httpx.get(f"{server.address}/health").status_code == 200


def send(server: Served, requests: int) -> None:
    """Pictures of several sizes, 8 at a time."""
    bodies = [picture(size) for size in (8, 12, 16, 40)]

    async def all_of_them() -> None:
        left = iter(range(requests))

        async def client_of(client: httpx.AsyncClient) -> None:
            for number in left:
                body = bodies[number % len(bodies)]
                answer = await client.post("/predict", content=body, headers={"Content-Type": "image/png"})
                if answer.status_code != 200:
                    sys.exit(f"{answer.status_code}: {answer.text}")

        async with httpx.AsyncClient(base_url=server.address, timeout=120) as client:
            await asyncio.gather(*(client_of(client) for _ in range(8)))

    asyncio.run(all_of_them())


if __name__ == "__main__":
    main()
