"""Fixtures of the training tests."""

from __future__ import annotations

import os

import pytest


@pytest.fixture
def fast_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not wait for the disk: these tests write hundreds of checkpoints, and none pulls the plug."""
    monkeypatch.setattr(os, "fsync", lambda file: None)
