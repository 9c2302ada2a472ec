"""What the tests of data share: small folders of images, and a check of one-line errors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lamina.errors import LaminaError

Refused = Callable[..., AbstractContextManager[None]]


@pytest.fixture
def refused() -> Refused:
    """``with refused(DataError, "b.png"): ...``: an error of that very class, its one line with every text in it."""

    @contextmanager
    def check(kind: type[LaminaError], *texts: str) -> Iterator[None]:
        with pytest.raises(LaminaError) as caught:
            yield
        assert type(caught.value) is kind
        message = str(caught.value)
        assert len(message.splitlines()) == 1
        for text in texts:
            assert text in message

    return check


@pytest.fixture
def image_folder(tmp_path: Path) -> Callable[..., Path]:
    """Makes a folder of PNG files: ``image_folder({"cat": 3, "dog": 3})`` with 8 x 6 colour noise in it."""

    def make(
        classes: dict[str, int], *, name: str = "photos", mode: str = "RGB", size: tuple[int, int] = (6, 8)
    ) -> Path:
        root = tmp_path / name
        rng = np.random.default_rng(0)
        for label, count in classes.items():
            folder = root / label
            folder.mkdir(parents=True)
            for i in range(count):
                pixels = rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
                Image.fromarray(pixels).convert(mode).save(folder / f"{i}.png")
        return root

    return make


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAMINA_CACHE", str(tmp_path / "cache"))
