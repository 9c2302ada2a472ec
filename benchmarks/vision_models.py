"""Five nets, ours and torchvision's, for the benchmarks of vision: the same weights' shapes, the same inputs."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import accumulate

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
    """Most MB held in tensors at once, weights included, from before the net is made to the end of the second call."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        once = WORK[work](net(name, side), batch)
        once()
        once()
    found = profile.profiler
    assert found is not None
    events = [event for event in found.kineto_results.events() if event.name() == "[memory]"]
    events.sort(key=lambda event: event.start_ns())
    return max(accumulate(event.nbytes() for event in events)) / 1e6
