"""How much memory a picture needs, estimated before anything is computed."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from lamina.data.memory import free_bytes
from lamina.errors import UsageError

SHARE = 0.8
"""share of the free memory that may be used"""
OVERHEAD = 300 * 2**20
"""bytes of the workspace of convolutions"""
PROBE = 64
"""side of the small picture that maps are measured on: they grow with its area"""


def available_bytes(device: torch.device) -> int:
    """Free memory of a device, in bytes."""
    if device.type == "cuda":
        free: int = torch.cuda.mem_get_info(device)[0]
        return free
    return free_bytes()


def optimisation_bytes(net: nn.Module, call: Callable[[Tensor], object], height: int, width: int) -> int:
    """Bytes to optimise a picture through a net: every map is kept for the gradient; a quarter more flows back."""
    return int(1.25 * sum(_maps(net, call)) * height * width / PROBE**2) + OVERHEAD


def inference_bytes(
    net: nn.Module, call: Callable[[Tensor], object], height: int, width: int, channels: int = 3
) -> int:
    """Bytes of one pass without gradients: four maps of the largest size."""
    return int(4 * max(_maps(net, call, channels)) * height * width / PROBE**2) + OVERHEAD


def fits(needed: int, device: torch.device) -> bool:
    """Whether so many bytes are free."""
    return needed <= SHARE * available_bytes(device)


def expect_memory(needed: int, height: int, width: int, device: torch.device) -> None:
    """Raise UsageError, naming the size that fits, for a picture that needs more memory than there is."""
    if fits(needed, device):
        return
    free = int(SHARE * available_bytes(device))
    side = int(max(height, width) * (max(free - OVERHEAD, 0) / (needed - OVERHEAD)) ** 0.5) // 16 * 16
    advice = f"--size {side} fits" if side >= 32 else "even a small picture does not fit"
    raise UsageError(
        f"a picture of {width} x {height} pixels needs about {needed / 2**30:.1f} GiB, and {free / 2**30:.1f} GiB "
        f"may be used: {advice}"
    )


def _maps(net: nn.Module, call: Callable[[Tensor], object], channels: int = 3) -> list[int]:
    """Bytes of the maps that the layers make of the small picture; max pooling keeps indices, too."""
    sizes: list[int] = []

    def note(module: nn.Module, args: object, out: object) -> None:
        if isinstance(out, Tensor):
            sizes.append(out.numel() * (12 if isinstance(module, nn.MaxPool2d) else 4))

    hooks = [module.register_forward_hook(note) for module in net.modules() if not list(module.children())]
    tensor = next(net.parameters())
    try:
        with torch.no_grad():
            call(torch.full((1, channels, PROBE, PROBE), 0.5, device=tensor.device, dtype=tensor.dtype))
    finally:
        for hook in hooks:
            hook.remove()
    return sizes
