"""The server: a socket, and uvicorn, which ends by finishing what it has accepted."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import uvicorn

from lamina.errors import UsageError
from lamina.serving.address import refused

KEY = "LAMINA_API_KEY"
"""the environment variable of the key that requests must show"""
SIGNALS = (signal.SIGINT, signal.SIGTERM)
ON_THE_WAY = 0.2
"""seconds, once the server is to end, in which requests that have reached the machine are still read"""


def key_of_environment() -> str | None:
    """The key; None: requests need none. Raises UsageError for one that is empty or cannot stand in a header."""
    key = os.environ.get(KEY)
    if key is not None and (not key.strip() or not key.isascii() or not key.isprintable()):
        raise UsageError(f"{KEY} is set, but empty or not of plain characters: set a key, or unset it")
    return key


class Server(uvicorn.Server):
    """Ends on SIGTERM and SIGINT without raising them again: to finish what was accepted is a success."""

    def __init__(self, app: Any, ready: Callable[[], None], patience: float) -> None:
        super().__init__(
            uvicorn.Config(
                app, log_config=None, access_log=False, timeout_graceful_shutdown=int(patience) + 1, server_header=False
            )
        )
        self.ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await asyncio.sleep(ON_THE_WAY)
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        before = {one: signal.signal(one, self.handle_exit) for one in SIGNALS}
        try:
            yield
        finally:
            for one, handler in before.items():
                signal.signal(one, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The second signal ends at once."""
        self.force_exit = self.should_exit
        self.should_exit = True


def serve(app: Any, listening: socket.socket, ready: Callable[[], None], patience: float) -> None:
    """Serve until SIGTERM or SIGINT. ``ready`` is called once requests are answered; ``patience``: seconds that a
    request in progress may take at the end. Raises UsageError where another has taken the port in the meantime."""
    host, port = listening.getsockname()[:2]
    try:
        asyncio.run(Server(app, ready, patience).serve([listening]))
    except OSError as error:
        if error.errno in (98, 48):
            raise refused(host, port, error) from None
        raise
    finally:
        listening.close()
