"""The application: routes of the verbs that a run has, and what stands around them."""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, PlainTextResponse, StreamingResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lamina.data.requests import LimitError, text_of
from lamina.errors import LaminaError, UsageError
from lamina.serving.answers import body
from lamina.serving.batching import CancelledError
from lamina.serving.bodies import Uploads, items_of, uploads_of
from lamina.serving.documents import describe, page
from lamina.serving.options import request_options
from lamina.serving.service import VERBS, Call, Service
from lamina.version import __version__

OPEN = ("/health",)
"""what needs no key"""
GONE = 499
"""the status of a request whose sender left"""


def make_app(service: Service, key: str | None = None) -> FastAPI:
    """The application of a service; it closes the service when it shuts down. ``key``: what requests must show."""
    pool = ThreadPoolExecutor(service.options.batch + 4, thread_name_prefix="lamina-requests")

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        pool.shutdown(wait=True)
        service.close()

    run = service.run
    app = FastAPI(
        title=f"{run.config.name} of {run.path.name}",
        description=f"A run of Lamina: {run.task_name}.",
        version=__version__,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
    )
    routes = Routes(service, pool)
    for verb in service.verbs:
        app.post(f"/{verb}", **describe(service, verb))(getattr(routes, verb))
    app.get("/health", summary="what is served, and whether its run has changed")(routes.health)
    app.get("/metrics", summary="counts and times, for Prometheus", response_class=PlainTextResponse)(routes.metrics)
    app.get("/", include_in_schema=False, response_class=HTMLResponse)(routes.page)
    app.add_exception_handler(HTTPException, _refused)  # type: ignore[arg-type]  # Starlette wants any exception
    app.add_middleware(Guard, service=service, key=key)
    return app


class Routes:
    """The endpoints."""

    def __init__(self, service: Service, pool: ThreadPoolExecutor) -> None:
        self.service, self.pool = service, pool

    async def predict(self, request: Request) -> Response:
        uploads = await uploads_of(request, self.service, ("items",))

        def work(call: Call, folder: Path) -> dict[str, Any]:
            options = self._options("predict", uploads)
            items = items_of(uploads, self.service, folder)
            return {"predictions": self.service.predict(call, items, options)}

        return await self._answer(work)

    async def embed(self, request: Request) -> Response:
        uploads = await uploads_of(request, self.service, ("items",))

        def work(call: Call, folder: Path) -> dict[str, Any]:
            if uploads.options:
                raise UsageError("embed has no options")
            return {"embeddings": self.service.embed(call, items_of(uploads, self.service, folder))}

        return await self._answer(work)

    async def generate(self, request: Request) -> Response:
        uploads = await uploads_of(request, self.service, ("prompts", "stream"))
        if uploads.contents:
            raise HTTPException(415, "generate takes JSON")
        stream = uploads.values.get("stream", False)
        if not isinstance(stream, bool):
            raise UsageError("stream must be true or false")
        options = self._options("generate", uploads)
        prompts = self._prompts(uploads.values.get("prompts", []), options)
        if stream:
            if len(prompts) != 1:
                raise UsageError("a stream continues one prompt")
            return await self._streamed(prompts[0], options)

        def work(call: Call, folder: Path) -> dict[str, Any]:
            return {"texts" if prompts else "samples": self.service.generate(call, prompts, options)}

        return await self._answer(work)

    def _options(self, verb: str, uploads: Uploads) -> dict[str, Any]:
        return request_options(self.service.run.verb_options(verb), uploads.options, self.service.options)

    def _prompts(self, given: Any, options: dict[str, Any]) -> list[str]:
        """Raises UsageError, and LimitError for what would be too many tokens."""
        service, limits = self.service, self.service.options
        if not isinstance(given, list):
            raise UsageError("prompts must be a list of texts")
        prompts = [text_of(one, "a prompt") for one in given]
        if not service.takes_prompts:
            if prompts:
                raise UsageError("this run continues no prompts: it generates samples")
            return []
        if not prompts:
            raise UsageError('nothing to continue: send {"prompts": [...]}')
        limits.check_items(len(prompts))
        new = service.run.verb_options("generate")(**options).max_new_tokens
        tokens = service.format.tokens
        limits.check_tokens(new * len(prompts) + (0 if tokens is None else tokens(prompts, service.run.preprocess)))
        return prompts

    async def _answer(self, work: Callable[[Call, Path], dict[str, Any]]) -> Response:
        """What ``work`` gives in a thread. Raises an HTTPException of 503 where it takes too long."""
        call, seconds = Call(), self.service.options.timeout
        future = asyncio.get_running_loop().run_in_executor(self.pool, _worked, call, work)
        try:
            content = await asyncio.wait_for(asyncio.shield(future), seconds)
        except TimeoutError:
            call.cancelled.set()
            future.add_done_callback(lambda done: done.exception())  # nobody waits for it
            raise self._too_slow() from None
        return Response(content, media_type="application/json")

    def _too_slow(self) -> HTTPException:
        return HTTPException(503, f"the answer took longer than {self.service.options.timeout:g} seconds (--timeout)")

    async def _streamed(self, prompt: str, options: dict[str, Any]) -> Response:
        """Pieces of text as server-sent events. What is wrong with the prompt is answered before the first."""
        call, loop = Call(), asyncio.get_running_loop()
        pieces: asyncio.Queue[str | Exception | None] = asyncio.Queue()

        def work() -> None:
            last: Exception | None = None
            try:
                for piece in self.service.stream(call, prompt, options):
                    loop.call_soon_threadsafe(pieces.put_nowait, piece)
            except Exception as error:
                last = error
            loop.call_soon_threadsafe(pieces.put_nowait, last)

        end = time.monotonic() + self.service.options.timeout
        loop.run_in_executor(self.pool, work)
        try:
            first = await asyncio.wait_for(pieces.get(), self.service.options.timeout)
        except TimeoutError:
            call.cancelled.set()
            raise self._too_slow() from None
        if isinstance(first, Exception):
            raise first
        return StreamingResponse(_events(first, pieces, call, end), media_type="text/event-stream")

    async def health(self) -> Response:
        return Response(body(self.service.facts()), media_type="application/json")

    async def metrics(self) -> Response:
        return PlainTextResponse(self.service.metrics.text(), media_type="text/plain; version=0.0.4")

    async def page(self, request: Request) -> Response:
        return HTMLResponse(page(self.service, str(request.base_url)))


def _worked(call: Call, work: Callable[[Call, Path], dict[str, Any]]) -> bytes:
    if call.cancelled.is_set():
        raise CancelledError
    with _folder() as folder:
        answer = work(call, folder)
    return body({**answer, "notes": call.notes})


@contextmanager
def _folder() -> Iterator[Path]:
    """A folder of the request's own; errors do not name it."""
    with tempfile.TemporaryDirectory(prefix="lamina-request-") as name:
        try:
            yield Path(name)
        except LaminaError as error:
            message = str(error)
            for number in range(message.count(name)):
                message = message.replace(f"{name}/{number}/", "")
            raise type(error)(message) from error


async def _events(
    first: str | None, pieces: asyncio.Queue[str | Exception | None], call: Call, end: float
) -> AsyncIterator[str]:
    piece: str | Exception | None = first
    try:
        while isinstance(piece, str):
            yield f"data: {json.dumps({'text': piece})}\n\n"
            piece = await asyncio.wait_for(pieces.get(), max(0.0, end - time.monotonic()))
        if piece is None:
            yield "event: end\ndata: {}\n\n"
        else:
            yield f"event: error\ndata: {json.dumps({'detail': _words(piece)})}\n\n"
    except TimeoutError:
        yield f"event: error\ndata: {json.dumps({'detail': 'the text took too long (--timeout)'})}\n\n"
    finally:
        call.cancelled.set()


def _words(error: Exception) -> str:
    return str(error) if isinstance(error, LaminaError) else f"internal error: {type(error).__name__}"


async def _refused(request: Request, error: HTTPException) -> Response:
    detail = error.detail
    if error.status_code == 404:
        have = sorted({route.path for route in request.app.routes if getattr(route, "include_in_schema", False)})
        detail = f"no {request.url.path} here: there are {', '.join(have)}"
    return refusal(error.status_code, detail, error.headers)


def refusal(status: int, detail: str, headers: Any = None) -> Response:
    """An error as every endpoint answers it."""
    return Response(body({"detail": detail}), status, headers=headers, media_type="application/json")


class Guard:
    """Around the routes: the key, the number of requests in progress, errors as answers, and the metrics."""

    def __init__(self, app: ASGIApp, service: Service, key: str | None) -> None:
        self.app, self.service, self.key = app, service, key

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begun, status = time.monotonic(), GONE

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._guarded(scope, receive, noted)
        finally:
            self.service.metrics.answered(_endpoint(scope["path"]), status, time.monotonic() - begun)

    async def _guarded(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = self.app if self._may(scope) else refusal(401, "a key is needed", {"WWW-Authenticate": "Bearer"})
        if scope["method"] != "POST" or answer is not self.app:
            await self._answered(answer, scope, receive, send)
            return
        metrics, most = self.service.metrics, self.service.options.queue
        if metrics.in_progress >= most:
            detail = f"{most:,} requests are in progress (--queue): try again"
            await refusal(429, detail, {"Retry-After": "1"})(scope, receive, send)
            return
        metrics.in_progress += 1
        try:
            await self._answered(answer, scope, receive, send)
        finally:
            metrics.in_progress -= 1

    async def _answered(
        self, answer: Callable[[Scope, Receive, Send], Awaitable[None]], scope: Scope, receive: Receive, send: Send
    ) -> None:
        begun = False

        async def noted(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await answer(scope, receive, noted)
        except (LaminaError, CancelledError) as error:
            if begun:
                raise
            status = 413 if isinstance(error, LimitError) else 422 if isinstance(error, LaminaError) else 503
            await refusal(status, " ".join(str(error).split()) or "the server is stopping")(scope, receive, send)
        except ClientDisconnect:
            return
        except Exception as error:
            logging.getLogger("lamina.serving").exception("%s %s", scope["method"], _endpoint(scope["path"]))
            if begun:
                raise
            await refusal(500, f"internal error: {type(error).__name__}")(scope, receive, send)

    def _may(self, scope: Scope) -> bool:
        if self.key is None or scope["path"] in OPEN:
            return True
        headers = dict(scope["headers"])
        bearer = headers.get(b"authorization", b"")
        given = bearer[7:] if bearer[:7].lower() == b"bearer " else headers.get(b"x-api-key", b"")
        return hmac.compare_digest(given, self.key.encode())


def _endpoint(path: str) -> str:
    """The endpoint as a label of the metrics, of which there must not be one for each path that is asked for."""
    name = path.strip("/")
    return name if name in (*VERBS, "health", "metrics", "openapi.json") else "page" if not name else "other"
