"""A service asked in this process: no socket, no other process."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from lamina.serving.app import make_app
from lamina.serving.limits import ServingOptions
from lamina.serving.service import Service

OLD_RUNS = Path(__file__).parent.parent / "runs" / "old_runs"
Client = httpx.AsyncClient


class Server:
    """``server.post("/predict", json=...)``; ``server.together(lambda client: ...)`` for requests at once."""

    def __init__(self, service: Service, key: str | None) -> None:
        self.service, self.app = service, make_app(service, key)

    def together(self, work: Callable[[Client], Awaitable[Any]]) -> Any:
        async def all_of_it() -> Any:
            transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://lamina") as client:
                return await work(client)

        return asyncio.run(all_of_it())

    def get(self, path: str, **given: Any) -> httpx.Response:
        return self.together(lambda client: client.get(path, **given))

    def post(self, path: str, **given: Any) -> httpx.Response:
        return self.together(lambda client: client.post(path, **given))


@contextmanager
def serving(
    path: Path, key: str | None = None, engine: str = "torch", patience: float = 60.0, **options: Any
) -> Iterator[Server]:
    service = Service(path, ServingOptions(**{**options, "timeout": patience}), engine)
    try:
        yield Server(service, key)
    finally:
        service.close()


def close(found: Any, expected: Any, within: float = 1e-6) -> bool:
    """Whether answers are equal: numbers to ``within``, of their own size where that is above one."""
    if isinstance(expected, dict):
        return found.keys() == expected.keys() and all(close(found[name], expected[name], within) for name in expected)
    if isinstance(expected, list | tuple):
        return len(found) == len(expected) and all(
            close(one, other, within) for one, other in zip(found, expected, strict=True)
        )
    if isinstance(expected, float) and not isinstance(expected, bool):
        return isinstance(found, float | int) and abs(found - expected) <= within * max(1.0, abs(expected))
    return bool(found == expected)
