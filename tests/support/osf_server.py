"""A server on this computer that answers as OSF does, with small files of the same layout."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from napari_deepmtj.weights.remote import Remote

NAME = "2021_Unet.tf"


class Server(ThreadingHTTPServer):
    """Answers with what is in `files`; breaks off after `limit` bytes; notes ranges asked for.

    Where it goes on it says that it does so `shift` bytes further on; direct addresses lead on to
    `leads_to`.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.files: dict[str, bytes] = {}
        self.limit: int | None = None
        self.shift = 0
        self.leads_to = ""
        self.ranges: list[str | None] = []

    def say(self, path: str, data: list[dict[str, Any]], following: str | None = None) -> None:
        """Answer as OSF's API lists files."""
        answer = {"data": data, "links": {"next": following, "prev": None}, "meta": {}}
        self.files[path] = json.dumps(answer).encode()

    def item(self, name: str, path: str, sha256: str | None = None) -> dict[str, Any]:
        hashes = {} if sha256 is None else {"sha256": sha256, "md5": "0" * 32}
        return {
            "id": "5f", "type": "files",
            "attributes": {"name": name, "kind": "file", "size": 1, "extra": {"hashes": hashes}},
            "links": {"download": self.url + path, "self": ""},
        }  # fmt: skip


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        if self.server.leads_to and self.path.startswith("/direct"):
            self.send_response(302)
            self.send_header("Location", self.server.leads_to)
            self.end_headers()
            return
        content = self.server.files.get(self.path)
        if content is None:
            self.send_error(404)
            return
        start, tag = 0, f'"{hashlib.md5(content).hexdigest()}"'
        asked = self.headers.get("Range")
        if not self.path.startswith("/v2"):
            self.server.ranges.append(asked)
        if asked and self.headers.get("If-Range") == tag:
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
            if start >= len(content):
                self.send_error(416)
                return
        self.send_response(206 if start else 200)
        if start:
            said = start + self.server.shift
            self.send_header("Content-Range", f"bytes {said}-{len(content) - 1}/{len(content)}")
        self.send_header("ETag", tag)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        end = None if self.server.limit is None else start + self.server.limit
        self.wfile.write(content[start:end])

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def serving() -> Iterator[Server]:
    """Run a server as long as the context lasts."""
    with Server() as made:
        thread = threading.Thread(target=made.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield made
        finally:
            made.shutdown()
            thread.join()


def remote_at(server: Server) -> Remote:
    """Return the published network as if its addresses were the server's."""
    return Remote(
        "deepmtj-2021", "attention-unet", "a network", "10.1/x", "CC-BY-4.0", "https://osf.io/wgy4d/",
        server.url + "/v2/nodes/wgy4d/files/osfstorage/", server.url + "/direct/" + NAME,
    )  # fmt: skip
