"""Answers of a server: those of the run's own verbs, for every kind of data, alone and a hundred at once."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import shutil
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest
from client import OLD_RUNS, Client, Server, close, serving
from PIL import Image

import lamina
from lamina.serving.batching import Batcher, FairLock


@pytest.fixture(scope="module")
def copies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The runs, where exports may be written."""
    return Path(shutil.copytree(OLD_RUNS, tmp_path_factory.mktemp("served") / "runs"))


@pytest.fixture(scope="module")
def digits(copies: Path) -> Iterator[Server]:
    with serving(copies / "image") as server:
        yield server


@pytest.fixture(scope="module")
def patients(copies: Path) -> Iterator[Server]:
    with serving(copies / "table") as server:
        yield server


@pytest.fixture(scope="module")
def writer(copies: Path) -> Iterator[Server]:
    with serving(copies / "text") as server:
        yield server


@pytest.fixture(scope="module")
def translator(copies: Path) -> Iterator[Server]:
    with serving(copies / "pairs") as server:
        yield server


@pytest.fixture(scope="module")
def sales() -> pd.DataFrame:
    days = pd.date_range("2024-01-01", periods=120, freq="D")
    wave = 100 + 10 * np.sin(np.arange(120) * 2 * np.pi / 7) + np.arange(120) / 10
    holiday = (np.arange(120) % 10 == 0).astype(int)
    return pd.DataFrame({"date": days.astype(str), "holiday": holiday, "sales": (wave + 5 * holiday).round(2)})


@pytest.fixture(scope="module")
def forecaster(sales: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("sales")
    sales[:100].to_csv(folder / "sales.csv", index=False)
    run = lamina.train(
        "linear-forecaster", data=str(folder / "sales.csv"), directory=folder, known=("holiday",), time="date",
        target="sales", horizon=7, context=14, epochs=2, report=False,
    )  # fmt: skip
    with serving(run.path) as server:
        yield server


def picture(seed: int, size: int = 8) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (size, size), dtype=np.uint8))


def png(seed: int, size: int = 8) -> bytes:
    file = io.BytesIO()
    picture(seed, size).save(file, "PNG")
    return file.getvalue()


def found(response: httpx.Response, name: str = "predictions") -> Any:
    assert response.status_code == 200, response.text
    return response.json()[name]


# ---------------------------------------------------------------------- the same as the run


def test_pictures_in_every_form_are_predicted_as_by_the_run(digits: Server, tmp_path: Path) -> None:
    (tmp_path / "one.png").write_bytes(png(1))
    run = lamina.open_run(digits.service.run.path)
    one = run.predict(tmp_path / "one.png")
    text = base64.b64encode(png(1)).decode()
    kind = {"Content-Type": "image/png"}
    for response in (
        digits.post("/predict", content=png(1), headers=kind),
        digits.post("/predict", content=png(1), headers={"Content-Type": "application/octet-stream"}),
        digits.post("/predict", json={"items": [text]}),
        digits.post("/predict", json={"items": [f"data:image/png;base64,{text}"]}),
        digits.post("/predict", json={"items": [np.asarray(picture(1)).tolist()]}),
        digits.post("/predict", files={"file": ("../../etc/<script>.png", png(1))}),
    ):
        assert close(found(response), one)
    files = [("file", ("a.png", png(k))) for k in range(3)]
    assert close(found(digits.post("/predict", files=files)), run.predict([picture(k) for k in range(3)]))
    assert close(
        found(digits.post("/embed", content=png(1), headers=kind), "embeddings"), run.embed(picture(1)).tolist()
    )


def test_a_large_jpeg_is_decoded_as_the_run_decodes_a_file(digits: Server, tmp_path: Path) -> None:
    smooth = picture(2).resize((900, 700))
    smooth.save(tmp_path / "large.jpg")
    answer = digits.post(
        "/predict", content=(tmp_path / "large.jpg").read_bytes(), headers={"Content-Type": "image/jpeg"}
    )
    assert close(found(answer), lamina.open_run(digits.service.run.path).predict(tmp_path / "large.jpg"))


def test_rows_are_predicted_as_by_the_run(patients: Server, tmp_path: Path) -> None:
    run = lamina.open_run(patients.service.run.path)
    names = [column.name for column in run.preprocess.columns]
    rows = [
        dict(zip(names, row, strict=True)) for row in np.random.default_rng(0).normal(0, 1, (5, len(names))).tolist()
    ]
    expected = run.predict(*rows)
    assert close(found(patients.post("/predict", json={"items": rows})), expected)
    text = pd.DataFrame(rows).to_csv(index=False).encode()
    (tmp_path / "rows.csv").write_bytes(text)
    of_file = run.predict(tmp_path / "rows.csv")
    assert close(found(patients.post("/predict", content=text, headers={"Content-Type": "text/csv"})), of_file)
    assert close(found(patients.post("/predict", files={"file": ("rows.csv", text)})), of_file)


def test_histories_are_forecast_as_by_the_run(forecaster: Server, sales: pd.DataFrame, tmp_path: Path) -> None:
    from lamina.data.series.items import History

    run = lamina.open_run(forecaster.service.run.path)
    past, known = sales[:60], sales[60:67][["date", "holiday"]]
    past.to_csv(tmp_path / "past.csv", index=False)
    known.to_csv(tmp_path / "known.csv", index=False)
    item = {"past": past.to_dict("records"), "known": known.to_dict("records")}
    expected = run.predict(History(str(tmp_path / "past.csv"), str(tmp_path / "known.csv")))
    assert close(found(forecaster.post("/predict", json={"items": [item]})), expected)
    levels = run.predict(History(past, known), level=(50,))
    assert close(found(forecaster.post("/predict", json={"items": [item], "options": {"level": [50]}})), levels)
    lacking = forecaster.post("/predict", json={"items": [past.to_dict("records")]})
    assert lacking.status_code == 422
    assert "holiday" in lacking.json()["detail"]


def test_pairs_are_translated_as_by_the_run(translator: Server) -> None:
    run = lamina.open_run(translator.service.run.path)
    texts = ["3 March 2015", "July 4, 1999"]
    assert close(found(translator.post("/predict", json={"items": texts})), run.predict(*texts))
    beam = {"items": texts, "options": {"beam": 3, "length_penalty": 0.6}}
    assert close(found(translator.post("/predict", json=beam)), json.loads(json.dumps(run.predict(*texts, beam=3))))
    one = translator.post("/predict", content=texts[0].encode(), headers={"Content-Type": "text/plain"})
    assert close(found(one), run.predict(texts[0]))


def test_texts_are_continued_whole_and_streamed_as_by_the_run(writer: Server) -> None:
    run = lamina.open_run(writer.service.run.path)
    options = {"max_new_tokens": 30, "temperature": 0.8, "seed": 3}
    given = {"prompts": ["the "], "options": options}
    expected = run.generate("the ", **options)
    assert found(writer.post("/generate", json=given), "texts") == expected
    two = {**given, "prompts": ["the ", "an "]}
    assert found(writer.post("/generate", json=two), "texts") == run.generate("the ", "an ", **options)
    streamed = writer.post("/generate", json={**given, "stream": True})
    assert streamed.headers["content-type"].startswith("text/event-stream")
    events = streamed.text.strip().split("\n\n")
    assert events[-1] == "event: end\ndata: {}"
    assert len(events) > 5
    assert "".join(json.loads(event.removeprefix("data: "))["text"] for event in events[:-1]) == expected[0]


def test_samples_are_generated_as_by_the_run(tmp_path: Path) -> None:
    run = lamina.train("vae", data="digits", steps=3, directory=tmp_path, report=False)
    with serving(run.path) as server:
        answer = server.post("/generate", json={"options": {"count": 3, "seed": 4}})
        samples = [Image.open(io.BytesIO(base64.b64decode(one.partition(",")[2]))) for one in found(answer, "samples")]
        for sample, expected in zip(samples, run.generate(count=3, seed=4), strict=True):
            assert (np.asarray(sample) == expected.squeeze()).all()
        item = base64.b64encode(png(1)).decode()
        judged = server.post("/predict", json={"items": [item], "options": {"reconstructions": False}})
        assert close(found(judged), run.predict(picture(1)))
        for options in ({"interpolate": ["/etc/passwd", "/etc/hosts"]}, {"walk": 10**6}, {"count": 10**9}):
            assert server.post("/generate", json={"options": options}).status_code in (413, 422)


def test_the_answers_of_onnxruntime_are_those_of_its_export(copies: Path) -> None:
    pytest.importorskip("onnxruntime")
    run = lamina.open_run(copies / "image")
    with serving(copies / "image", engine="onnxruntime") as server:
        assert server.get("/health").json()["engine"] == "onnxruntime"
        answer = server.post("/predict", content=png(5), headers={"Content-Type": "image/png"})
        assert close(found(answer), run.predict(picture(5), engine="onnxruntime"))
        assert close(found(answer), run.predict(picture(5)), 1e-4)


# ---------------------------------------------------------------------- many at once


def test_a_hundred_at_once_are_computed_together_and_none_is_lost(digits: Server) -> None:
    run = lamina.open_run(digits.service.run.path)
    expected = run.predict([picture(k) for k in range(100)])

    async def ask(client: Client) -> list[httpx.Response]:
        kind = {"Content-Type": "image/png"}
        return await asyncio.gather(*(client.post("/predict", content=png(k), headers=kind) for k in range(100)))

    before = digits.service.metrics.rows.count
    answers = digits.together(ask)
    assert [one.status_code for one in answers] == [200] * 100
    assert close([found(one)[0] for one in answers], expected)
    assert digits.service.metrics.rows.count - before < 60, "batches of several requests"
    assert digits.service.metrics.in_progress == 0


def test_too_many_at_once_are_refused_and_those_accepted_are_answered(copies: Path) -> None:
    async def ask(client: Client) -> list[httpx.Response]:
        kind = {"Content-Type": "image/png"}
        return await asyncio.gather(*(client.post("/predict", content=png(1), headers=kind) for _ in range(300)))

    with serving(copies / "image", queue=20) as server:
        answers = server.together(ask)
        statuses = [one.status_code for one in answers]
        assert set(statuses) == {200, 429}
        assert statuses.count(200) >= 20
        assert all(one.headers["retry-after"] for one in answers if one.status_code == 429)
        expected = lamina.open_run(copies / "image").predict(picture(1))
        assert all(close(found(one), expected) for one in answers if one.status_code == 200)
        assert server.post("/predict", content=png(1), headers={"Content-Type": "image/png"}).status_code == 200


def test_a_model_whose_rows_depend_on_each_other_is_not_computed_together(digits: Server) -> None:
    import threading

    import torch

    seen: list[int] = []
    batcher = Batcher(FairLock(), 8, 0.2, seen.append)
    both = threading.Barrier(4)

    def mixed(batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {"out": batch["x"] - batch["x"].mean()}

    results: dict[int, float] = {}

    def ask(k: int) -> None:
        both.wait()
        results[k] = float(batcher({"x": torch.full((1,), float(k))}, "mixed", mixed, lambda: False)["out"])

    for _ in range(2):
        threads = [threading.Thread(target=ask, args=(k,)) for k in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert results == dict.fromkeys(range(4), 0.0)
    batcher.close()
    assert seen.count(1) >= 8


# ---------------------------------------------------------------------- what is refused


def bomb() -> bytes:
    """A PNG of 60,000 x 60,000 pixels in a few bytes."""
    head = b"IHDR" + struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    data = b"IDAT" + zlib.compress(bytes(10_000))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(part) - 4) + part + struct.pack(">I", zlib.crc32(part)) for part in (head, data, b"IEND")
    )


@pytest.mark.parametrize(
    ("given", "status", "words"),
    [
        ({"content": b"no picture", "headers": {"Content-Type": "image/png"}}, 422, "cannot read the picture"),
        ({"content": b"", "headers": {"Content-Type": "image/png"}}, 422, "picture"),
        ({"content": bomb(), "headers": {"Content-Type": "image/png"}}, 413, "--max-pixels"),
        ({"content": bytes(300_000), "headers": {"Content-Type": "image/png"}}, 413, "--max-body"),
        ({"json": {"items": ["/etc/passwd"]}}, 422, "base64"),
        ({"json": {"items": ["digit.png"]}}, 422, "base64"),
        ({"json": {"items": [7]}}, 422, "base64"),
        ({"json": {"items": [{"a": 1}]}}, 422, "base64"),
        ({"json": {"items": [[[1, 2], [3]]]}}, 422, "one length"),
        ({"json": {"items": [[[-1, 2], [3, 4]]]}}, 422, "255"),
        ({"json": {"items": []}}, 422, "no items"),
        ({"json": {"items": "x"}}, 422, "list"),
        ({"json": {}}, 422, "no items"),
        ({"json": []}, 422, "object"),
        ({"json": {"item": []}}, 422, "'item'"),
        ({"json": {"items": [[[1]]], "options": {"crops": 10}}}, 422, "no options"),
        ({"json": {"items": [[[1]]], "options": 3}}, 422, "options"),
        ({"json": {"items": [[[0]]] * 30}}, 413, "--max-items"),
        ({"content": b"{", "headers": {"Content-Type": "application/json"}}, 422, "no JSON"),
        ({"content": b"\xff\xfe", "headers": {"Content-Type": "application/json"}}, 422, "no JSON"),
        ({"content": b"[" * 100_000, "headers": {"Content-Type": "application/json"}}, 422, "nested"),
        ({"content": b'{"items": [NaN]}', "headers": {"Content-Type": "application/json"}}, 422, "NaN"),
        ({"content": b'{"items": [1e999]}', "headers": {"Content-Type": "application/json"}}, 422, "finite"),
        ({"content": b"9" * 5000, "headers": {"Content-Type": "application/json"}}, 422, "no JSON"),
        ({"content": b"x", "headers": {"Content-Type": "application/x-python-pickle"}}, 415, "send one of"),
        ({"content": b"x"}, 415, "send one of"),
        ({"content": b"x", "headers": {"Content-Type": "multipart/form-data"}}, 422, "form"),
        ({"content": b"x", "headers": {"Content-Type": "multipart/form-data; boundary=b"}}, 422, ""),
        ({"files": {"file": ("a.png", b"no")}}, 422, "cannot read the picture"),
        ({"data": {"path": "/etc/passwd"}, "files": {"file": ("a.png", b"no")}}, 422, "'path'"),
    ],
)  # fmt: skip
def test_bad_requests_are_refused_in_one_line(copies: Path, given: dict[str, Any], status: int, words: str) -> None:
    with serving(copies / "image", max_body=200_000, max_items=20) as server:
        answer = server.post("/predict", **given)
        assert (answer.status_code, words in answer.json()["detail"]) == (status, True), answer.text
        assert "\n" not in answer.json()["detail"]


@pytest.mark.parametrize(
    ("given", "status"),
    [
        ({"prompts": ["the "], "options": {"max_new_tokens": 10**6}}, 413),
        ({"prompts": ["the "] * 40, "options": {"max_new_tokens": 200}}, 413),
        ({"prompts": ["the " * 3000]}, 413),
        ({"prompts": [""]}, 422),
        ({"prompts": []}, 422),
        ({"prompts": "the "}, 422),
        ({"prompts": [3]}, 422),
        ({"prompts": ["the "], "options": {"temperature": -1}}, 422),
        ({"prompts": ["the "], "options": {"temprature": 1}}, 422),
        ({"prompts": ["the "], "options": {"temperature": 1e-30, "repetition_penalty": 1e-300}}, 422),
        ({"prompts": ["the "], "options": {"temperature": 1e-9, "repetition_penalty": 1e-9, "max_new_tokens": 9}}, 200),
        ({"prompts": ["the "], "options": {"temperature": 1e9, "repetition_penalty": 1e9, "max_new_tokens": 9}}, 200),
        ({"prompts": ["the "], "options": {"seed": 10**30}}, 422),
        ({"prompts": ["the "], "stream": "yes"}, 422),
        ({"prompts": ["the ", "an "], "stream": True}, 422),
        ({"prompts": [""], "stream": True}, 422),
        ({"prompts": ["the "], "options": {"stop": [""]}}, 422),
        ({"prompts": ["the "], "options": {"top_k": 10**30}}, 422),
    ],
)  # fmt: skip
def test_bad_prompts_are_refused(writer: Server, given: dict[str, Any], status: int) -> None:
    assert writer.post("/generate", json=given).status_code == status


def test_half_a_surrogate_is_refused(writer: Server) -> None:
    content = b'{"prompts": ["\\ud800"]}'
    assert writer.post("/generate", content=content, headers={"Content-Type": "application/json"}).status_code == 422


def test_options_that_name_files_cannot_be_set(forecaster: Server, sales: pd.DataFrame, tmp_path: Path) -> None:
    item = {"past": sales[:60].to_dict("records"), "known": sales[60:67][["date", "holiday"]].to_dict("records")}
    for options in ({"plot": str(tmp_path / "plot.png")}, {"known": "/etc/passwd"}, {"samples": 10**9}):
        assert forecaster.post("/predict", json={"items": [item], "options": options}).status_code in (413, 422)
    assert not list(tmp_path.iterdir())
    for past in ("/etc/passwd", ["a.csv"], [{"date": {"a": 1}}], [{"date": [1]}], [], [{}], [{"sales": 10**40}], None):
        for bad in (past, {"past": past}, {**item, "past": past}, {**item, "other": past}):
            answer = forecaster.post("/predict", json={"items": [bad]})
            assert answer.status_code == 422, answer.text


def test_a_csv_that_is_none_names_no_folder_of_the_server(patients: Server) -> None:
    for text in (b"", b"a,b\n1\n1,2,3\n", b"\x00\x01", b"progression\n", b"\xff\xfea,b"):
        answer = patients.post("/predict", content=text, headers={"Content-Type": "text/csv"})
        assert answer.status_code == 422, answer.text
        assert "lamina-request" not in answer.text


def test_a_body_that_does_not_arrive_is_given_up(copies: Path) -> None:
    async def asked(server: Server) -> list[dict[str, Any]]:
        sent: list[dict[str, Any]] = []
        first = [{"type": "http.request", "body": b"x", "more_body": True}]

        async def receive() -> dict[str, Any]:
            if first:
                return first.pop()
            await asyncio.Event().wait()
            raise AssertionError

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        scope = {
            "type": "http", "method": "POST", "path": "/predict", "raw_path": b"/predict", "query_string": b"",
            "headers": [(b"content-type", b"image/png")], "http_version": "1.1", "scheme": "http",
            "server": ("lamina", 80), "client": ("127.0.0.1", 1), "root_path": "",
        }  # fmt: skip
        await server.app(scope, receive, send)  # type: ignore[arg-type]
        return sent

    with serving(copies / "image", patience=0.2) as server:
        assert asyncio.run(asked(server))[0]["status"] == 408
        assert server.service.metrics.in_progress == 0


def test_an_answer_that_takes_too_long_is_given_up(copies: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    free = threading.Event()
    with serving(copies / "image", patience=0.3) as server:
        own = server.service.run.predict
        monkeypatch.setattr(server.service.run, "predict", lambda *items: (free.wait(20), own(*items))[1])
        kind = {"Content-Type": "image/png"}

        async def ask(client: Client) -> httpx.Response:
            answer = await client.post("/predict", content=png(1), headers=kind)
            free.set()
            return answer

        assert server.together(ask).status_code == 503


# ---------------------------------------------------------------------- around the verbs


def test_a_key_is_needed_where_there_is_one(copies: Path) -> None:
    with serving(copies / "image", key="secret") as server:
        kind = {"Content-Type": "image/png"}
        for headers in ({}, {"X-API-Key": "wrong"}, {"Authorization": "Bearer "}, {"Authorization": "Basic secret"}):
            assert server.post("/predict", content=png(1), headers={**kind, **headers}).status_code == 401
            assert server.get("/metrics", headers=headers).status_code == 401
        for headers in ({"X-API-Key": "secret"}, {"Authorization": "Bearer secret"}):
            assert server.post("/predict", content=png(1), headers={**kind, **headers}).status_code == 200
        assert server.get("/health").status_code == 200


def test_a_run_that_is_moved_or_trained_anew_is_served_as_it_was(copies: Path, tmp_path: Path) -> None:
    path = Path(shutil.copytree(copies / "image", tmp_path / "run"))
    kind = {"Content-Type": "image/png"}
    with serving(path) as server:
        before = server.post("/predict", content=png(1), headers=kind).json()
        assert server.get("/health").json()["changed"] is None
        weights = path / "model.safetensors"
        content = bytearray(weights.read_bytes())
        content[-40:] = bytes(40)
        (path / "new").write_bytes(content)
        (path / "new").replace(weights)
        assert "other weights" in server.get("/health").json()["changed"]
        assert server.post("/predict", content=png(1), headers=kind).json() == before
        path.rename(tmp_path / "elsewhere")
        assert "not there" in server.get("/health").json()["changed"]
        assert server.post("/predict", content=png(2), headers=kind).status_code == 200
        assert server.post("/embed", content=png(2), headers=kind).status_code == 200


def test_the_document_and_the_page_show_what_this_run_has(digits: Server, writer: Server) -> None:
    assert set(digits.get("/openapi.json").json()["paths"]) == {"/predict", "/embed", "/health", "/metrics"}
    paths = writer.get("/openapi.json").json()["paths"]
    assert "/predict" not in paths
    options = paths["/generate"]["post"]["requestBody"]["content"]["application/json"]["schema"]["properties"][
        "options"
    ]
    assert options["properties"]["max_new_tokens"] == {"type": "integer", "default": 200}
    page = digits.get("/").text
    assert "curl http://lamina/predict" in page
    assert "<script" not in page
    answer = digits.get("/generate")
    assert answer.status_code == 404
    assert "/predict" in answer.json()["detail"]
    assert digits.get("/predict").status_code == 405
    assert digits.get("/../../etc/passwd").status_code == 404


def test_metrics_count_requests_and_batches(copies: Path) -> None:
    with serving(copies / "image") as server:
        for content, path in ((png(1), "/predict"), (b"no", "/predict"), (b"", "/<script>")):
            server.post(path, content=content, headers={"Content-Type": "image/png"})
        lines = server.get("/metrics").text.splitlines()
        assert 'lamina_requests_total{endpoint="predict",status="200"} 1' in lines
        assert 'lamina_requests_total{endpoint="predict",status="422"} 1' in lines
        assert 'lamina_requests_total{endpoint="other",status="404"} 1' in lines
        assert 'lamina_batch_rows_bucket{le="1"} 1' in lines
        assert "lamina_requests_in_progress 0" in lines


def test_unseen_categories_are_notes_of_their_own_request(tmp_path: Path) -> None:
    frame = pd.DataFrame({"town": ["Turin", "Milan"] * 20, "size": range(40), "price": np.arange(40) * 2.0})
    run = lamina.train("mlp", data=frame, target="price", steps=2, directory=tmp_path, report=False)
    with serving(run.path) as server:
        seen, unseen = {"town": "Turin", "size": 3}, {"town": "<b>Rome</b>", "size": 3}

        async def ask(client: Client) -> list[httpx.Response]:
            rows = [seen, unseen] * 5
            return await asyncio.gather(*(client.post("/predict", json={"items": [row]}) for row in rows))

        for number, answer in enumerate(server.together(ask)):
            assert any("Rome" in note for note in answer.json()["notes"]) == bool(number % 2)
        assert server.post("/predict", json={"items": [{"town": "Turin"}]}).status_code == 422
