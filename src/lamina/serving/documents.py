"""The OpenAPI document of the endpoints, and the page of the server, which asks no other host for anything."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import Any

from fastapi import Response

from lamina.report.templates import render
from lamina.serving.options import options_schema
from lamina.serving.service import Service

SUMMARIES = {
    "predict": "predictions for items, as Run.predict gives them",
    "generate": "texts that continue prompts, whole or streamed, or samples",
    "embed": "the inputs of the output layer, as features",
}
ERRORS = {
    401: "a key is needed",
    408: "the body did not arrive in time",
    413: "the request is larger than a limit: bytes, pixels, items or tokens",
    415: "the content type is not one that the run takes",
    422: "an item or an option that cannot be used; the message says which and why",
    429: "too many requests are in progress: try again",
    503: "the answer took too long, or the server is stopping",
}
DETAIL = {"type": "object", "properties": {"detail": {"type": "string"}}, "required": ["detail"]}
NOTES = {"type": "array", "items": {"type": "string"}, "description": "what the user should know of the items"}
FILES = {"type": "array", "items": {"type": "string", "format": "binary"}}


def describe(service: Service, verb: str) -> dict[str, Any]:
    """The arguments of a route: what it takes and answers."""
    content: dict[str, Any] = {"application/json": {"schema": _answer(service, verb)}}
    if verb == "generate" and service.takes_prompts:
        content["text/event-stream"] = {"schema": {"type": "string"}}
    responses: dict[int, Any] = {
        status: {"description": text, "content": {"application/json": {"schema": DETAIL}}}
        for status, text in ERRORS.items()
    }
    responses[200] = {"description": "the answer", "content": content}
    return {
        "summary": SUMMARIES[verb],
        "operation_id": verb,
        "responses": responses,
        "response_class": Response,
        "openapi_extra": {"requestBody": {"required": True, "content": _takes(service, verb)}},
    }


def _answer(service: Service, verb: str) -> dict[str, Any]:
    numbers = {"type": "array", "items": {"type": ["number", "null"]}}
    found: dict[str, Any] = {"notes": NOTES}
    match verb:
        case "predict":
            found["predictions"] = {"type": "array", "items": {"type": "object"}}
        case "embed":
            found["embeddings"] = {"type": "array", "items": numbers}
        case _:
            name = "texts" if service.takes_prompts else "samples"
            found[name] = {"type": "array"}
    return {"type": "object", "properties": found, "required": list(found)}


def _takes(service: Service, verb: str) -> dict[str, Any]:
    options = {"type": "object"} if verb == "embed" else options_schema(service.run.verb_options(verb))
    if verb == "embed":
        options |= {"maxProperties": 0}
    if verb == "generate":
        return {"application/json": {"schema": _generates(service, options)}}
    item = dict(service.format.schema(service.run.preprocess))
    most = service.options.max_items
    items = {"type": "array", "items": item, "minItems": 1, "maxItems": most}
    body = {
        "type": "object",
        "properties": {"items": items, "options": options},
        "required": ["items"],
        "additionalProperties": False,
    }
    form = {"type": "object", "properties": {"file": FILES, "options": {"type": "string"}}, "required": ["file"]}
    binary = {"schema": {"type": "string", "format": "binary"}}
    return {
        "application/json": {"schema": body},
        "multipart/form-data": {"schema": form},
        **dict.fromkeys(service.format.media, binary),
    }


def _generates(service: Service, options: Mapping[str, Any]) -> dict[str, Any]:
    fields: dict[str, Any] = {"options": options}
    required = []
    if service.takes_prompts:
        texts = {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": service.options.max_items}
        fields |= {"prompts": texts, "stream": {"type": "boolean", "default": False}}
        required = ["prompts"]
    return {"type": "object", "properties": fields, "required": required, "additionalProperties": False}


def page(service: Service, address: str) -> str:
    """The page at the root, whose address is given: what is served, and how it is asked."""
    limits = {name.replace("_", " "): value for name, value in vars(service.options).items()}
    calls = [(verb, SUMMARIES[verb], _examples(service, verb, address)) for verb in service.verbs]
    values = {"facts": service.facts(), "classes": service.run.classes, "calls": calls, "limits": limits}
    return render("serving.html", package="lamina.serving", **values)


def _examples(service: Service, verb: str, address: str) -> list[str]:
    """Command lines that call an endpoint."""
    curl = f"curl {address}{verb}"

    def of_json(value: Any) -> str:
        return f"{curl} -H 'Content-Type: application/json' -d {shlex.quote(json.dumps(value))}"

    if verb == "generate":
        if not service.takes_prompts:
            return [of_json({"options": {"count": 4, "seed": 1}})]
        given = {"prompts": ["Once upon"], "options": {"max_new_tokens": 40}}
        return [of_json(given), f"{of_json({**given, 'stream': True})} -N"]
    found = []
    example = service.format.example(service.run.preprocess)
    if example is not None:
        found.append(of_json({"items": [example]}))
    kind = service.format.media[0].replace("image/*", "image/png")
    found.append(f"{curl} -H 'Content-Type: {kind}' --data-binary @FILE")
    found.append(f"{curl} -F file=@FILE")
    return found
