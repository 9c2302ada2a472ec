"""``lamina serve`` as a process: its words, a port in use, and SIGTERM, which finishes what was accepted."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from client import OLD_RUNS
from test_serving import png

from lamina.cli.main import main
from waiting import until

KIND = {"Content-Type": "image/png"}


def test_sigterm_finishes_what_was_accepted() -> None:
    words = ["serve", str(OLD_RUNS / "image"), "--port", "0", "--wait", "1500", "--batch", "64", "--json"]
    process = subprocess.Popen(
        [sys.executable, "-m", "lamina", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        text = ""
        while not text.endswith("}\n"):
            line = process.stdout.readline()
            assert line, process.communicate()
            text += line
        address = json.loads(text)["at"]
        with ThreadPoolExecutor(20) as pool:
            asked = [pool.submit(httpx.post, f"{address}/predict", content=png(k), headers=KIND) for k in range(20)]
            until(lambda: "in_progress 20" in httpx.get(f"{address}/metrics").text, "20 requests")
            process.send_signal(signal.SIGTERM)
            answers = [one.result(60) for one in asked]
        assert [one.status_code for one in answers] == [200] * 20
        assert process.wait(60) == 0
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{address}/health")
    finally:
        process.kill()
        _, errors = process.communicate()
    assert errors == ""


def refusal(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    assert main([str(word) for word in words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_a_port_in_use_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        line = refusal(capsys, "serve", OLD_RUNS / "image", "--port", port)
        assert f"port {port}: the port is in use" in line
        assert "--port" in line


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--port", "70000"], "--port"),
        (["--host", "no.such.host.invalid"], "--host"),
        (["--engine", "tensorrt"], "engine"),
        (["--batch", "0"], "batch"),
        (["--timeout", "-1"], "timeout"),
        (["--max-pixels", "0"], "max_pixels"),
    ],
)
def test_what_cannot_be_served_is_one_line(capsys: pytest.CaptureFixture[str], words: list[str], expected: str) -> None:
    assert expected in refusal(capsys, "serve", OLD_RUNS / "image", *words)


def test_an_empty_key_is_refused(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAMINA_API_KEY", " ")
    assert "LAMINA_API_KEY" in refusal(capsys, "serve", OLD_RUNS / "image", "--port", 0)


def test_an_engine_without_a_path_for_it_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("onnxruntime")
    assert "generate" in refusal(capsys, "serve", OLD_RUNS / "text", "--engine", "onnxruntime", "--port", 0)


def test_without_its_packages_the_extra_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import importlib.util

    found: Callable[..., object] = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name == "uvicorn" else found(name))
    assert "pip install 'lamina[serve]'" in refusal(capsys, "serve", OLD_RUNS / "image", "--port", 0)
