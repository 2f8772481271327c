"""A Hub on this machine: the few answers that fetching a model takes, and the ways in which they can fail."""

import hashlib
import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import unquote, urlsplit

COMMIT = "c0ffee" + "0" * 34
CHUNK = 4096
LARGE = (".safetensors", ".bin")  # kept by the Hub as large files, named by their SHA-256


@dataclass
class FakeHub:
    """Models by name, as folders; what was asked for; what goes wrong.

    refused: status and error code for a model, such as (403, "GatedRepo"). cut: after so many
    bytes of a file the connection ends, once each time it is listed. pause_s: before every piece.
    wrong: files of which other bytes come than the Hub states.
    """

    models: dict[str, Path] = field(default_factory=dict)
    licence: Any = "apache-2.0"
    requests: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    refused: dict[str, tuple[int, str]] = field(default_factory=dict)
    gated: set[str] = field(default_factory=set)
    cut: list[tuple[str, int]] = field(default_factory=list)
    wrong: set[str] = field(default_factory=set)
    pause_s: float = 0.0
    url: str = ""

    def paths(self) -> list[str]:
        return [f"{method} {path}" for method, path, _ in self.requests]


@contextmanager
def serving() -> Iterator[FakeHub]:
    hub = FakeHub()

    class Handler(_Handler):
        state = hub

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    state: FakeHub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        """Keep quiet."""

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        headers = {key.lower(): value for key, value in self.headers.items()}
        self.state.requests.append((self.command, path, headers))
        about = re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/revision/(.+))?", path)
        file = re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path)
        if about is None and file is None:
            return self._refuse(404, "")
        name, revision = (about or file).groups()[:2]
        if name in self.state.refused:
            return self._refuse(*self.state.refused[name])
        if name not in self.state.models:
            return self._refuse(401, "RepoNotFound")
        if revision not in (None, "main", "v1", COMMIT):
            return self._refuse(404, "RevisionNotFound")
        if file is None:
            return self._say(json.dumps(self._about(name)).encode())
        if name in self.state.gated:
            return self._refuse(403, "GatedRepo")
        path = self.state.models[name] / file[3]
        return self._file(path) if path.is_file() else self._refuse(404, "EntryNotFound")

    def _about(self, name: str) -> dict[str, Any]:
        files = [path for path in sorted(self.state.models[name].iterdir()) if path.is_file()]
        rows = [
            {"rfilename": p.name, "size": p.stat().st_size, "blobId": _blob(p)} | _large(p) for p in files
        ]
        return {"id": name, "sha": COMMIT, "siblings": rows, "cardData": {"license": self.state.licence}}

    def _file(self, path: Path) -> None:
        data = path.read_bytes()
        if path.name in self.state.wrong:
            data = data[::-1]
        start = int(re.findall(r"\d+", self.headers.get("Range", "0"))[0])
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(data) - start))
        self.send_header("ETag", f'"{_blob(path)}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.end_headers()
        if self.command == "HEAD":
            return
        end = next((count for name, count in self.state.cut if name == path.name), None)
        for place in range(start, len(data), CHUNK):
            if end is not None and place >= end:
                self.state.cut.remove((path.name, end))
                self.close_connection = True
                return
            time.sleep(self.state.pause_s)
            self.wfile.write(data[place : place + CHUNK])

    def _refuse(self, status: int, code: str) -> None:
        self._say(b"{}", status, {"X-Error-Code": code} if code else {})

    def _say(self, data: bytes, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for key, value in {"Content-Length": str(len(data)), **(headers or {})}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)


def _blob(path: Path) -> str:
    data = path.read_bytes()
    if path.name.endswith(LARGE):
        return hashlib.sha256(data).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()  # as git names it


def _large(path: Path) -> dict[str, Any]:
    if not path.name.endswith(LARGE):
        return {}
    return {"lfs": {"sha256": _blob(path), "size": path.stat().st_size, "pointerSize": 130}}
