"""The body of a request: read up to the limit, and what stands in it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from lamina.data.requests import LimitError, plain
from lamina.errors import UsageError
from lamina.serving.limits import ServingOptions
from lamina.serving.service import Service

JSON = "application/json"
FORM = "multipart/form-data"
BYTES = "application/octet-stream"
FORM_FIELDS = 8
"""fields of a form besides its files"""


@dataclass
class Uploads:
    """What a body holds: values of JSON, or uploaded contents, and options."""

    values: Mapping[str, Any] = field(default_factory=dict)
    contents: Sequence[bytes] = ()
    options: Any = field(default_factory=dict)


async def read_body(request: Request, options: ServingOptions) -> bytes:
    """The body. Raises LimitError for one that is too large, and an HTTPException of 408 for one that is too slow."""
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > options.max_body:
        raise _too_large(options)
    found = bytearray()
    try:
        async with asyncio.timeout(options.timeout):
            async for part in request.stream():
                found += part
                if len(found) > options.max_body:
                    raise _too_large(options)
    except TimeoutError:
        raise HTTPException(408, f"the body did not arrive in {options.timeout:g} seconds (--timeout)") from None
    return bytes(found)


def _too_large(options: ServingOptions) -> LimitError:
    return LimitError(f"the body is larger than {options.max_body:,} bytes (--max-body)")


def parsed(content: bytes) -> Any:
    """A body of JSON. Raises UsageError."""
    try:
        return plain(json.loads(content, parse_constant=_no_constant))
    except RecursionError:
        raise UsageError("the body is nested too deeply") from None
    except ValueError as error:  # of JSON, of UTF-8, of a number of too many digits
        raise UsageError(f"the body is no JSON: {' '.join(str(error).split())}") from None


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number of JSON")


def fields_of(value: Any, names: Sequence[str]) -> Mapping[str, Any]:
    """An object with these fields, and no others. Raises UsageError."""
    if not isinstance(value, dict):
        raise UsageError(f"the body must be an object with {' and '.join(names)}")
    for name in value:
        if name not in names:
            raise UsageError(f"the body has a field '{name}', but not one of {', '.join(names)}")
    return value


async def uploads_of(request: Request, service: Service, names: Sequence[str]) -> Uploads:
    """What a request holds, by its content type: JSON with the fields ``names`` and "options", a form of files, or one
    upload. Raises UsageError, LimitError, and an HTTPException of 408 or 415."""
    given = request.headers.get("content-type", "")
    kind = given.partition(";")[0].strip().lower()
    media = service.format.media
    if kind not in (JSON, FORM, BYTES) and not any(fnmatch(kind, one) for one in media):
        known = ", ".join((JSON, FORM, *media))
        raise HTTPException(415, f"content type '{kind}': send one of {known}")
    content = await read_body(request, service.options)
    if kind == JSON:
        values = fields_of(parsed(content), (*names, "options"))
        return Uploads(values=values, options=values.get("options", {}))
    if kind == FORM:
        return await _form(request, content, service)
    return Uploads(contents=[content])


async def _form(request: Request, content: bytes, service: Service) -> Uploads:
    async def once() -> AsyncGenerator[bytes, None]:
        yield content

    limits = service.options
    parser = MultiPartParser(
        request.headers, once(), max_files=limits.max_items, max_fields=FORM_FIELDS, max_part_size=limits.max_body
    )
    try:
        form = await parser.parse()
    except (MultiPartException, KeyError, ValueError, UnicodeDecodeError) as error:
        raise UsageError(f"the form cannot be read: {getattr(error, 'message', error)}") from None
    contents: list[bytes] = []
    options: Any = {}
    try:
        for name, value in form.multi_items():
            if isinstance(value, UploadFile):
                contents.append(await value.read())
            elif name == "options":
                options = parsed(value.encode())
            else:
                raise UsageError(f"the form has a field '{name}': it has files, and 'options' as JSON")
    finally:
        await form.close()
    return Uploads(contents=contents, options=options)


def items_of(uploads: Uploads, service: Service, folder: Path) -> list[Any]:
    """The items of a request, as ``Run.predict`` takes them; called in a thread. Raises UsageError, DataError."""
    form, limits, preprocess = service.format, service.options, service.run.preprocess
    if "items" in uploads.values:
        values = uploads.values["items"]
        if not isinstance(values, list):
            raise UsageError("items must be a list")
        limits.check_items(len(values))
        items = [form.item(value, preprocess, limits) for value in values]
    else:
        items = []
        for number, content in enumerate(uploads.contents):
            own = folder / str(number)
            own.mkdir()
            items += form.upload(content, own, preprocess, limits)
        limits.check_items(len(items))
    if not items:
        raise UsageError('there are no items: send {"items": [...]}, or a file')
    if form.tokens is not None:
        limits.check_tokens(form.tokens([one for one in items if isinstance(one, str)], preprocess))
    return items
