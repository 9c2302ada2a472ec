"""A socket of this machine, before anything listens on it. Imports no server."""

from __future__ import annotations

import socket

from lamina.errors import UsageError


def bound(host: str, port: int) -> socket.socket:
    """A socket at this address, which does not listen yet. Raises UsageError where it cannot be had."""
    if not 0 <= port <= 65535:
        raise UsageError(f"--port must lie between 0 and 65535, got {port}")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError):
        raise UsageError(f"--host {host} is no address of this machine") from None
    found = socket.socket(family, kind, protocol)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind(address)
    except OSError as error:
        found.close()
        raise refused(host, port, error) from None
    return found


def refused(host: str, port: int, error: OSError) -> UsageError:
    """Why an address cannot be had, and what helps."""
    reason = "the port is in use" if error.errno in (98, 48) else error.strerror
    return UsageError(f"cannot serve at {host}, port {port}: {reason}; --port takes another, 0 a free one")


def address_of(listening: socket.socket) -> str:
    """The address that a browser opens: ``http://127.0.0.1:8000``."""
    host, port = listening.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"
