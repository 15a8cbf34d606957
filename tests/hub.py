"""A stand-in for the Hugging Face hub: the requests that huggingface_hub makes, answered from model folders."""

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@contextmanager
def serve(models: dict[str, Path], stalls_at: str | None = None) -> Iterator[str]:
    """Serve folders under their hub ids; gives the endpoint's URL (HF_ENDPOINT).

    Requests for paths that begin with `stalls_at` have their answer when the serving ends.
    """
    server = _Hub(models, stalls_at)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.ending.set()
        server.shutdown()
        server.server_close()


class _Hub(ThreadingHTTPServer):
    def __init__(self, models: dict[str, Path], stalls_at: str | None) -> None:
        super().__init__(("127.0.0.1", 0), _Request)
        self.models = models
        self.stalls_at = stalls_at
        self.ending = threading.Event()

    def content(self, path: str) -> bytes | None:
        """What lies at a path; None where there is nothing."""
        for hub_id, folder in self.models.items():
            if path.startswith(f"/api/models/{hub_id}/tree/"):
                is_top = path.endswith((COMMIT, "/main"))
                sizes = {file.name: file.stat().st_size for file in folder.iterdir()} if is_top else {}
                tree = [{"type": "file", "path": name, "size": size, "oid": "0"} for name, size in sizes.items()]
                return json.dumps(tree).encode()
            if path.startswith(f"/api/models/{hub_id}"):
                files = [{"rfilename": file.name} for file in folder.iterdir()]
                return json.dumps({"id": hub_id, "sha": COMMIT, "siblings": files, "private": False}).encode()
            name = re.fullmatch(rf"/{hub_id}/resolve/(?:main|{COMMIT})/([\w.-]+)", path)
            if name is not None and (folder / name[1]).is_file():
                return (folder / name[1]).read_bytes()
        return None


class _Request(BaseHTTPRequestHandler):
    server: _Hub

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self.wfile.write(self._answer())

    def _answer(self) -> bytes:
        """Send status and headers; returns the body."""
        path = unquote(urlsplit(self.path).path)
        if self.server.stalls_at is not None and path.startswith(self.server.stalls_at):
            self.server.ending.wait()
        content = self.server.content(path)
        if content is None:
            self.send_response(404)
            self.send_header("X-Error-Code", "EntryNotFound" if "/resolve/" in path else "RepoNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return b""
        wanted = self.headers.get("Range", "").removeprefix("bytes=")
        first, _, last = wanted.partition("-")
        part = content[int(first or 0) : int(last) + 1 if last else None]
        self.send_response(206 if wanted else 200)
        self.send_header("Content-Length", str(len(part)))
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        if wanted:
            self.send_header("Content-Range", f"bytes {first}-{int(first or 0) + len(part) - 1}/{len(content)}")
        self.end_headers()
        return part

    def log_message(self, *_: Any) -> None:
        pass
