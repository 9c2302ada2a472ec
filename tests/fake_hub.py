"""A small hub on loopback: revisions, trees with folders, files by HEAD and GET, and every bad answer.

with FakeHub() as hub:
    commit = hub.put("owner/name", {"model.safetensors": data, "sub/README.md": b"..."})
    os.environ["HF_ENDPOINT"] = hub.address

``hub.faults[path] = fault`` spoils an answer; ``hub.requests`` lists what was asked for. Runs are pushed to it, too:
repositories, preupload, large files by the batch interface of LFS with basic transfer, commits as ndjson. What LFS was
given must have the sum that was announced.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from types import TracebackType
from typing import ClassVar
from urllib.parse import unquote, urlsplit

import yaml

Answer = tuple[int, dict[str, str], bytes]
JSON = {"Content-Type": "application/json"}


@dataclass
class Repository:
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    """the files of each commit"""
    refs: dict[str, str] = field(default_factory=dict)
    """the commit of each branch and tag"""

    def commit(self, revision: str) -> str | None:
        found = self.refs.get(revision, revision)
        return found if found in self.commits else None


def error(status: int, code: str = "", message: str = "") -> Answer:
    return status, {"X-Error-Code": code, "X-Error-Message": message} if code else {}, b""


def is_large(name: str) -> bool:
    """Whether the hub names a file by its SHA-256, as it does those of LFS, and not by git's sum."""
    return name.endswith((".safetensors", ".bin", ".pth"))


def etag(name: str, data: bytes) -> str:
    if is_large(name):
        return hashlib.sha256(data).hexdigest()
    return hashlib.sha1(f"blob {len(data)}\0".encode() + data).hexdigest()


class FakeHub:
    """The server: a context manager, listening inside it."""

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.faults: dict[str, Callable[[str, Answer], Answer]] = {}
        """what becomes of the answer to a request whose path ends so: of the method and the good answer"""
        self.requests: list[str] = []
        self.large: dict[str, bytes] = {}
        """what was uploaded by LFS, by its SHA-256"""
        self.private: set[str] = set()
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do(self) -> None:
                length = int(self.headers.get("Content-Length", 0))
                status, headers, body = hub.answer(self.command, self.path, self.rfile.read(length))
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)
                if len(body) != int(headers.get("Content-Length", len(body))):
                    self.close_connection = True

            do_GET = do_HEAD = do_POST = do_PUT = do

            def log_message(self, *words: object) -> None:
                """Quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.address = f"http://127.0.0.1:{self.server.server_address[1]}"

    def __enter__(self) -> FakeHub:
        Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, what: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.server.shutdown()
        self.server.server_close()

    def put(self, name: str, files: Mapping[str, bytes], *, ref: str = "main") -> str:
        """Commit files, and move a branch or tag to them."""
        made = self.repositories.setdefault(name, Repository())
        content = {path: etag(path, data) for path, data in files.items()}
        commit = hashlib.sha1(json.dumps([name, len(made.commits), content]).encode()).hexdigest()
        made.commits[commit], made.refs[ref] = dict(files), commit
        return commit

    def answer(self, method: str, path: str, body: bytes) -> Answer:
        plain = unquote(urlsplit(path).path)
        self.requests.append(f"{method} {plain}")
        good = error(404, "EntryNotFound")
        for pattern, route in self.ROUTES.items():
            if match := re.fullmatch(pattern, f"{method} {plain}"):
                good = route(self, match, body)
                break
        for end, fault in self.faults.items():
            if plain.endswith(end):
                good = fault(method, good)
        return good

    def _files(self, match: re.Match[str]) -> tuple[str, dict[str, bytes]] | Answer:
        found = self.repositories.get(match["name"])
        if found is None:
            return error(401, "RepoNotFound")
        commit = found.commit(match["revision"])
        return error(404, "RevisionNotFound") if commit is None else (commit, found.commits[commit])

    def _revision(self, match: re.Match[str], body: bytes) -> Answer:
        found = self._files(match)
        if len(found) == 3:
            return found
        siblings = [{"rfilename": name} for name in found[1]]
        text = json.dumps({"id": match["name"], "sha": found[0], "siblings": siblings, "private": False})
        return 200, {"Content-Type": "application/json"}, text.encode()

    def _tree(self, match: re.Match[str], body: bytes) -> Answer:
        found = self._files(match)
        if len(found) == 3:
            return found
        rows = [
            {"type": "file", "path": name, "size": len(data), "oid": etag(name, data)}
            for name, data in found[1].items()
        ]
        folders = {name.rpartition("/")[0] for name in found[1] if "/" in name}
        rows += [{"type": "directory", "path": name, "size": 0, "oid": ""} for name in sorted(folders)]
        return 200, {"Content-Type": "application/json"}, json.dumps(rows).encode()

    def _resolve(self, match: re.Match[str], body: bytes) -> Answer:
        found = self._files(match)
        if len(found) == 3:
            return found
        commit, files = found
        headers = {"X-Repo-Commit": commit}
        if match["file"] not in files:
            return 404, {**headers, "X-Error-Code": "EntryNotFound"}, b""
        data = files[match["file"]]
        return 200, {**headers, "ETag": f'"{etag(match["file"], data)}"', "Content-Length": str(len(data))}, data

    def _create(self, match: re.Match[str], body: bytes) -> Answer:
        asked = json.loads(body)
        name = f"{asked['organization']}/{asked['name']}" if asked.get("organization") else asked["name"]
        if asked.get("private") or asked.get("visibility") == "private":
            self.private.add(name)
        url = {"url": f"{self.address}/{name}", "name": name, "id": name}
        if name in self.repositories:
            return 409, JSON, json.dumps(url).encode()
        self.put(name, {".gitattributes": b"*.safetensors filter=lfs\n"})
        return 200, JSON, json.dumps(url).encode()

    def _metadata(self, match: re.Match[str], body: bytes) -> Answer:
        """The head of a model card must be a mapping in YAML."""
        text = json.loads(body)["content"]
        good = text.startswith("---\n") and isinstance(yaml.safe_load(text.split("---\n")[1]), dict)
        errors = [] if good else [{"message": "no metadata"}]
        return 200 if good else 400, JSON, json.dumps({"errors": errors, "warnings": []}).encode()

    def _branch(self, match: re.Match[str], body: bytes) -> Answer:
        refs = self.repositories[match["name"]].refs
        if match["branch"] in refs:
            return error(409)
        refs[match["branch"]] = refs["main"]
        return 201, JSON, b"{}"

    def _preupload(self, match: re.Match[str], body: bytes) -> Answer:
        found = self._files(match)
        if len(found) == 3:
            return found
        files = [
            {"path": f["path"], "uploadMode": "lfs" if is_large(f["path"]) else "regular", "shouldIgnore": False}
            for f in json.loads(body)["files"]
        ]
        return 200, JSON, json.dumps({"files": files}).encode()

    def _lfs(self, match: re.Match[str], body: bytes) -> Answer:
        objects = [
            {
                **{key: one[key] for key in ("oid", "size")},
                "actions": {
                    "upload": {"href": f"{self.address}/lfs/{one['oid']}", "header": {}},
                    "verify": {"href": f"{self.address}/verify", "header": {}},
                },
            }
            for one in json.loads(body)["objects"]
        ]
        return 200, JSON, json.dumps({"transfer": "basic", "objects": objects}).encode()

    def _upload(self, match: re.Match[str], body: bytes) -> Answer:
        if hashlib.sha256(body).hexdigest() != match["oid"]:
            return error(422, "BadContent", "the content has not the sum that was announced")
        self.large[match["oid"]] = body
        return 200, {}, b""

    def _verify(self, match: re.Match[str], body: bytes) -> Answer:
        asked = json.loads(body)
        found = self.large.get(asked["oid"])
        return (200, JSON, b"{}") if found is not None and len(found) == asked["size"] else error(404)

    def _commit(self, match: re.Match[str], body: bytes) -> Answer:
        found = self._files(match)
        if len(found) == 3:
            return found
        files = dict(found[1])
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            match line["key"]:
                case "file":
                    files[value["path"]] = base64.b64decode(value["content"])
                case "lfsFile":
                    files[value["path"]] = self.large[value["oid"]]
                case "deletedFile":
                    del files[value["path"]]
        commit = self.put(match["name"], files, ref=match["revision"])
        done = {"commitUrl": f"{self.address}/{match['name']}/commit/{commit}", "commitOid": commit}
        return 200, JSON, json.dumps({**done, "success": True}).encode()

    ROUTES: ClassVar[dict[str, Callable[[FakeHub, re.Match[str], bytes], Answer]]] = {
        r"GET /api/models/(?P<name>[^/]+/[^/]+)/revision/(?P<revision>.+)": _revision,
        r"GET /api/models/(?P<name>[^/]+/[^/]+)/tree/(?P<revision>[^/]+)": _tree,
        r"POST /api/repos/create": _create,
        r"POST /api/validate-yaml": _metadata,
        r"POST /api/models/(?P<name>[^/]+/[^/]+)/branch/(?P<branch>.+)": _branch,
        r"POST /api/models/(?P<name>[^/]+/[^/]+)/preupload/(?P<revision>[^/]+)": _preupload,
        r"POST /(?P<name>[^/]+/[^/]+)\.git/info/lfs/objects/batch": _lfs,
        r"PUT /lfs/(?P<oid>[0-9a-f]{64})": _upload,
        r"POST /verify": _verify,
        r"POST /api/models/(?P<name>[^/]+/[^/]+)/commit/(?P<revision>[^/]+)": _commit,
        r"(GET|HEAD) /(?P<name>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<file>.+)": _resolve,
    }
