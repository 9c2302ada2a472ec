"""Five nets, ours and torchvision's, for the benchmarks of vision: the same weights' shapes, the same inputs."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

NETS = {
    "resnet50": "resnet50",
    "efficientnet-b0": "efficientnet_b0",
    "mobilenet-v2": "mobilenet_v2",
    "convnext-tiny": "convnext_tiny",
    "swin-tiny": "swin_t",
}
"""our variant: torchvision's name"""
SIDES = ("lamina", "torchvision")


def net(name: str, side: str) -> nn.Module:
    """A new net of one side, as either library gives it."""
    torch.manual_seed(0)
    if side == "lamina":
        import lamina

        return lamina.create_model(name)

    from benchmarks.peers import declare_missing_operators

    declare_missing_operators()
    import torchvision

    model: nn.Module = getattr(torchvision.models, NETS[name])(weights=None)
    return model


def images(batch: int) -> Tensor:
    """Normal images (batch, 3, 224, 224)."""
    return torch.randn(batch, 3, 224, 224, generator=torch.Generator().manual_seed(0))


def forward(model: nn.Module, batch: int) -> Callable[[], None]:
    """An inference of a batch, without gradients."""
    x = images(batch)
    model.eval()

    def once() -> None:
        with torch.inference_mode():
            model(x)

    return once


def step(model: nn.Module, batch: int) -> Callable[[], None]:
    """A training step: forward, cross-entropy, backward, SGD with momentum."""
    x, y = images(batch), torch.arange(batch)
    model.train()
    optimiser = torch.optim.SGD(model.parameters(), lr=1e-4, momentum=0.9)

    def once() -> None:
        F.cross_entropy(model(x), y).backward()
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)

    return once


WORK = {"forward": forward, "step": step}


def timed(work: Callable[[], None], calls: int) -> Callable[[], float]:
    """Seconds a call, over ``calls`` calls in a row."""

    def measure() -> float:
        begun = time.perf_counter()
        for _ in range(calls):
            work()
        return (time.perf_counter() - begun) / calls

    return measure


def peak(name: str, side: str, work: str, batch: int) -> float:
    """Greatest resident MB of a process that does the work three times."""
    command = [sys.executable, "-m", "benchmarks.vision_models", name, side, work, str(batch)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def _peak_of_this_process(name: str, side: str, work: str, batch: int) -> float:
    """Both libraries are imported, so that only the work differs; the peak is counted from before the model is made."""
    net("mobilenet-v2", "lamina"), net("mobilenet-v2", "torchvision")
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # the peak begins anew
    once = WORK[work](net(name, side), batch)
    for _ in range(3):
        once()
    with open("/proc/self/status") as file:
        line = next(line for line in file if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024 / 1e6


if __name__ == "__main__":
    print(_peak_of_this_process(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])))
