"""Two machines, made of two network namespaces with a link between them: one run; and the link cut in mid-training.

Each machine has its own network, host name and agent of torchrun (``--nnodes 2``, ``GLOO_SOCKET_IFNAME`` the link's
end); they share the disk. Needs Linux, root, and ``ip`` of iproute2. Weights are compared with those of one process
that was never interrupted (fp64; bar 1e-10). After the link is cut each machine must end within --timeout and thirty
seconds, with one line that names the other process and its machine; the last checkpoint must stand, and --resume go on.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

import lamina
from benchmarks.measure import write_result
from lamina.training.checkpoints import Checkpoints, load_checkpoint

HERE = Path(__file__).resolve().parents[1]
TIMEOUT, GRACE, NEAR = 15, 30, 1e-10
NAMES, ENDS, ADDRESSES = ("lamina-a", "lamina-b"), ("lamveth-a", "lamveth-b"), ("10.77.19.1", "10.77.19.2")
PORT = "29519"
COMMON = ["--precision", "fp64", "--optimizer", "sgd", "--accelerator", "cpu", "--schedule", "constant"]
COMMON += ["--warmup", "0", "--quiet"]
TINY = ["--model.hidden-size", "16", "--model.embedding-dim", "16"]
CASES = {
    "lenet5": ["--data", "digits", "--batch-size", "64", "--lr", "0.05"],
    "lstm-lm": ["--data", "book.txt", "--batch-size", "8", "--lr", "0.5", *TINY],
}
STEPS = {"lenet5": 60, "lstm-lm": 60}


def run(*words: str) -> None:
    subprocess.run(words, check=True)


@contextlib.contextmanager
def two_networks() -> Iterator[None]:
    """The namespaces and the link; removed in any case."""
    try:
        for name in NAMES:
            run("ip", "netns", "add", name)
            run("ip", "-n", name, "link", "set", "lo", "up")
        run("ip", "link", "add", ENDS[0], "netns", NAMES[0], "type", "veth", "peer", "name", ENDS[1], "netns", NAMES[1])
        for name, end, address in zip(NAMES, ENDS, ADDRESSES, strict=True):
            run("ip", "-n", name, "address", "add", f"{address}/24", "dev", end)
            run("ip", "-n", name, "link", "set", end, "up")
        yield
    finally:
        for name in NAMES:
            subprocess.run(["ip", "netns", "del", name], stderr=subprocess.DEVNULL)


def agents(folder: Path, what: str, words: list[str]) -> list[subprocess.Popen[bytes]]:
    """``lamina train`` under an agent of torchrun on each machine."""
    started = []
    for node in (0, 1):
        inside = f'hostname {NAMES[node]} && exec ip netns exec {NAMES[node]} "$@"'
        torchrun = [sys.executable, "-m", "torch.distributed.run", "--nnodes", "2", "--node-rank", str(node)]
        torchrun += ["--nproc-per-node", "1", "--master-addr", ADDRESSES[0], "--master-port", PORT, "-m", "lamina"]
        path = os.pathsep.join(filter(None, (str(HERE / "src"), os.environ.get("PYTHONPATH"))))
        own = {"GLOO_SOCKET_IFNAME": ENDS[node], "OMP_NUM_THREADS": "1", "PYTHONPATH": path}
        with open(folder / f"{what}-{node}.log", "wb") as log:
            started.append(
                subprocess.Popen(
                    ["unshare", "--uts", "sh", "-c", inside, "sh", *torchrun, "train", *words],
                    cwd=folder, env={**os.environ, **own}, stdout=log, stderr=log,
                )
            )  # fmt: skip
    return started


def ended(started: list[subprocess.Popen[bytes]], limit: float) -> list[int]:
    try:
        return [child.wait(timeout=limit) for child in started]
    except subprocess.TimeoutExpired:
        for child in started:
            child.kill()
        return [-1]


def weights(run: Path) -> tuple[int, dict[str, torch.Tensor]]:
    latest = Checkpoints(run / "checkpoints").latest()
    assert latest is not None
    state = load_checkpoint(latest)["engine"]
    return state["step"], state["models"]["model"]


def apart(one: Path, other: Path) -> float:
    (step, a), (other_step, b) = weights(one), weights(other)
    assert step == other_step, (step, other_step)
    return max((a[name] - b[name]).abs().max().item() for name in a)


def alone(folder: Path, model: str, steps: int) -> Path:
    """The same training in one process."""
    words = [sys.executable, "-m", "lamina", "train", model, *CASES[model], *COMMON, "--steps", str(steps)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(HERE / "src")}
    shutil.rmtree(folder / "alone" / model, ignore_errors=True)
    subprocess.run(
        [*words, "--runs", "alone", "--name", model], cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL
    )
    return folder / "alone" / model


def cut(folder: Path) -> dict[str, Any]:
    """Train without an end, take the link down after a checkpoint, mend it, and resume."""
    common = ["--runs", "cut", "--name", "c", "--timeout", str(TIMEOUT)]
    words = ["lenet5", *CASES["lenet5"], *COMMON, *common, "--checkpoint-every", "5", "--steps", "1000000"]
    started = agents(folder, "cut", words)
    checkpoints = Checkpoints(folder / "cut" / "c" / "checkpoints")
    while checkpoints.latest() is None:
        assert all(child.poll() is None for child in started), (folder / "cut-0.log").read_text()
        time.sleep(0.1)
    run("ip", "-n", NAMES[1], "link", "set", ENDS[1], "down")
    start = time.monotonic()
    statuses = ended(started, TIMEOUT + GRACE)
    seconds = time.monotonic() - start
    shown = [re.findall(r"^lamina: .*$", (folder / f"cut-{node}.log").read_text(), re.M) for node in (0, 1)]
    named = all(len(one) == 1 for one in shown) and all(
        f"rank {1 - node} on {NAMES[1 - node]}" in one[0] for node, one in enumerate(shown)
    )
    run("ip", "-n", NAMES[1], "link", "set", ENDS[1], "up")
    step = weights(folder / "cut" / "c")[0]
    steps = step + 10
    resumed = ended(agents(folder, "resumed", ["--resume", *common, "--quiet", "--steps", str(steps)]), 300)
    return {
        "statuses": statuses, "seconds": round(seconds, 1), "lines": shown, "named": named,
        "step": step, "resumed": resumed,
        "apart": apart(folder / "cut" / "c", alone(folder, "lenet5", steps)),
    }  # fmt: skip


def main() -> int:
    """Make the machines, train, cut, and write the result; the exit status says whether all bars hold."""
    text = "\n".join(f"The cat number {n % 17} sat on mat {n % 5} and saw the moon." for n in range(400))
    lines, held = [], True
    with tempfile.TemporaryDirectory() as name, two_networks():
        folder = Path(name)
        (folder / "book.txt").write_text(text + "\n")
        for model, options in CASES.items():
            words = [model, *options, *COMMON, "--steps", str(STEPS[model]), "--runs", "two", "--name", model]
            statuses = ended(agents(folder, model, words), 300)
            assert statuses == [0, 0], (folder / f"{model}-0.log").read_text()
            far = apart(folder / "two" / model, alone(folder, model, STEPS[model]))
            runs = [path.name for path in (folder / "two").iterdir() if path.name.startswith(model)]
            held = held and far <= NEAR and runs == [model]
            lines.append(f"- {model}, {STEPS[model]} steps on two machines: one run, {far:.1e} from one process")
        found = cut(folder)
        far = found["apart"]
        held = held and found["named"] and found["resumed"] == [0, 0] and far <= NEAR and 0 not in found["statuses"]
        lines.append(f"- link down after a checkpoint, --timeout {TIMEOUT}: both ended after {found['seconds']} s")
        for node, texts in enumerate(found["lines"]):
            lines += [f"  - {NAMES[node]}: `{text}`".replace(str(folder), "...") for text in texts]
        lines.append(f"- link up, --resume from step {found['step']}: {far:.1e} from one process")
        print(json.dumps(found, indent=1))
    lines.append(f"\nBars {'hold' if held else 'are NOT reached'}.")
    write_result("two_machines", f"{(__doc__ or '').strip()}\n\n" + "\n".join(lines))
    return 0 if held else 1


if __name__ == "__main__":
    print(lamina.__name__, torch.__version__)
    sys.exit(main())
