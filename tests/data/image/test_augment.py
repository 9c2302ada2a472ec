"""Flip and shift against the obvious loop, for every type of image."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from lamina.data.image.augment.geometric import Geometric
from lamina.data.streams import Batch
from lamina.errors import UsageError


def one_by_one(image_BCHW: Tensor, drawn: Batch) -> Tensor:
    out = torch.zeros_like(image_BCHW)
    height, width = image_BCHW.shape[2:]
    for b, image in enumerate(image_BCHW):
        flipped = torch.stack(list(reversed(image.unbind(2))), 2) if drawn["flip"][b] else image
        down, right = int(drawn["down"][b]), int(drawn["right"][b])
        for r in range(height):
            for c in range(width):
                if 0 <= r - down < height and 0 <= c - right < width:
                    out[b, :, r, c] = flipped[:, r - down, c - right]
    return out


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32, torch.float32])
@pytest.mark.parametrize(("flip", "shift"), [(True, 0), (False, 3), (True, 3), (True, 9)])
@pytest.mark.parametrize("large", [0, 2**14])
def test_equals_the_plain_loop(
    dtype: torch.dtype, flip: bool, shift: int, large: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lamina.data.image.augment.geometric.LARGE", large)
    image = torch.randint(1, 200, (16, 2, 5, 7), generator=torch.Generator().manual_seed(0)).to(dtype)
    augment = Geometric(flip=flip, shift=shift)
    drawn = augment.draw(16, torch.Generator().manual_seed(1))
    out = augment.apply({"image": image, "target": torch.arange(16)}, drawn)
    # mirrored first, then moved
    assert torch.equal(out["image"], one_by_one(image, drawn))
    assert out["image"].dtype == dtype
    assert torch.equal(out["target"], torch.arange(16))


def test_draws_cover_what_they_promise() -> None:
    drawn = Geometric(flip=True, shift=2).draw(4000, torch.Generator().manual_seed(0))
    assert 0.45 < drawn["flip"].float().mean() < 0.55
    for name in ("down", "right"):
        assert drawn[name].unique().tolist() == [-2, -1, 0, 1, 2]
    assert not torch.equal(drawn["down"], drawn["right"])
    assert not Geometric(flip=False, shift=2).draw(100, torch.Generator().manual_seed(0))["flip"].any()


def test_nothing_asked_changes_nothing(refused: Any) -> None:
    image = torch.rand(3, 1, 4, 4)
    augment = Geometric()
    assert torch.equal(augment.apply({"image": image}, augment.draw(3, torch.Generator()))["image"], image)
    with refused(UsageError, "shift", "-1"):
        Geometric(shift=-1)
