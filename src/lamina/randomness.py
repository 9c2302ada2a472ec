"""All randomness is a pure function of (seed, purpose, place): nothing to save, nothing to restore."""

from __future__ import annotations

import hashlib


def derive(*key: object) -> int:
    """63 well-mixed bits from a key such as ``(seed, "order", epoch)``.

    Hashed, not added: torch's CPU generator keeps only the low 32 bits of a seed, and neighbouring keys must differ in
    those.
    """
    return int.from_bytes(hashlib.blake2b(repr(key).encode(), digest_size=8).digest(), "little") >> 1
