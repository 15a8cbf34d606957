"""A stand-in for llama.cpp's server: it computes nothing, and says which adapter it was asked with.

`python tests/llama_server.py LOG …` takes llama-server's options behind its log's place. In the log are a line for each
start, with the process, a line for each request, and a line for each answer that is complete. To be asked for SLOW
tokens it takes until there is a file LOG.go.
"""

import argparse
import json
import os
import socketserver
import sys
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

SLOW = 77


class Handler(BaseHTTPRequestHandler):
    log: Path
    context: int

    def address_string(self) -> str:
        return "a socket"

    def log_message(self, *_: object) -> None:
        """Nothing."""

    def do_GET(self) -> None:
        self.answer(json.dumps({"default_generation_settings": {"n_ctx": self.context}}).encode())

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        write(self.log, {"asked": body})
        self.send_response(200)
        self.end_headers()
        for event in events(body, self.log):
            self.wfile.write(f"data: {json.dumps(event)}\n\n".encode())
            self.wfile.flush()
        write(self.log, {"answered": body["prompt"]})

    def answer(self, content: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def events(body: dict[str, Any], log: Path) -> Iterator[dict[str, Any]]:
    which = [str(lora["id"]) for lora in body["lora"] if lora["scale"]]
    likely = [{"id": 300, "logprob": -0.5, "top_logprobs": [{"id": 300, "logprob": -0.5}]}] if body["n_probs"] else []
    yield {"content": "", "stop": False, "prompt_progress": {"total": 1, "processed": 1}}
    text = ["adapter ", which[0] if which else "none", "; stop", " here"]
    for number, content in enumerate(text, 1):
        piece = {"content": content, "tokens": [300 + number], "stop": False, "tokens_predicted": number}
        yield piece | {"completion_probabilities": likely}
        while body["n_predict"] == SLOW and not log.with_suffix(".go").exists():
            time.sleep(0.01)
    yield {"content": "", "stop": True, "stop_type": "eos", "tokens_predicted": len(text) + 1}


def write(log: Path, line: dict[str, Any]) -> None:
    with log.open("a") as opened:
        opened.write(json.dumps(line) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("log", type=Path)
    for option in ("--model", "--host", "--log-verbosity", "--parallel", "--ctx-size"):
        parser.add_argument(option, required=True)
    parser.add_argument("--lora", action="append", default=[])
    parser.add_argument("--lora-init-without-apply", action="store_true")
    parser.add_argument("--no-context-shift", action="store_true")
    options = parser.parse_args()
    files = [options.model, *options.lora]
    if not all(Path(file).read_bytes().startswith(b"GGUF") for file in files):
        sys.exit("error: these are no GGUF files")
    Handler.log, Handler.context = options.log, int(options.ctx_size) // int(options.parallel)
    with socketserver.ThreadingUnixStreamServer(options.host, Handler) as server:
        server.daemon_threads = True
        write(options.log, {"began": os.getpid(), "files": files})
        server.serve_forever()


if __name__ == "__main__":
    main()
