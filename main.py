"""`python main.py [serve] [--host 127.0.0.1] [--port 5001] [--root DIR] [--slots N]`: the server.

The one place that knows both the routes and the runtime: the parts are built here and handed down.
"""

import argparse
import logging
import os
import sys
from pathlib import Path

import uvicorn
from litestar import Litestar, Router
from litestar.di import Provide
from litestar.exceptions import HTTPException
from litestar.middleware import DefineMiddleware
from litestar.openapi import OpenAPIConfig

from handlers import find_handlers
from runtime import machine, replies, requests
from runtime.noise import hush_libraries
from runtime.service import Service
from runtime.version import VERSION
from state import locks
from state.errors import ServiceError
from state.root import DataRoot

CHECKOUT = Path(__file__).resolve().parent
MAX_BODY_BYTES = 256 * 1024 * 1024
SHUTDOWN_S = 1


def build_app(service: Service, names: list[str]) -> Litestar:
    """The HTTP application of a service. `names` are host names it answers to beside the loopback ones."""
    api = Router(path="/api", route_handlers=find_handlers(), before_request=requests.check_body)
    return Litestar(
        route_handlers=[api],
        dependencies={"service": Provide(lambda: service, sync_to_thread=False)},
        exception_handlers={
            ServiceError: replies.from_service_error,
            HTTPException: replies.from_http_exception,
            Exception: replies.from_any,
        },
        middleware=[DefineMiddleware(requests.LocalOnly, names=names)],
        lifespan=[service.running],
        request_max_body_size=MAX_BODY_BYTES,
        openapi_config=OpenAPIConfig(title="Lathe", version=VERSION, path="/schema"),
        logging_config=None,
        signature_namespace={"Service": Service},
    )


def main(arguments: list[str] | None = None) -> int:
    options = _parse(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    hush_libraries()
    root = DataRoot.at(options.root)
    root.create()
    try:
        with locks.hold(root.path / ".server.lock", timeout_s=1):
            found = machine.inspect()
            service = Service.build(root, found, found.slots if options.slots is None else options.slots)
            uvicorn.run(
                build_app(service, [options.host]),
                host=options.host,
                port=options.port,
                log_level="warning",
                timeout_graceful_shutdown=SHUTDOWN_S,
            )
    except locks.LockHeld:
        print(f"Another Lathe server works on {root.path}: stop it, or choose another --root", file=sys.stderr)
        return 1
    return 0


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python main.py", description="Lathe's server.")
    parser.add_argument("command", nargs="?", choices=["serve"], default="serve")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=5001, help="port to listen on (default: %(default)s)")
    parser.add_argument(
        "--root",
        type=Path,
        default=Path(os.environ.get("LATHE_ROOT") or CHECKOUT),
        help="data root: adapters/, training_jobs/, training_data/, models/ (default: LATHE_ROOT, else the checkout)",
    )
    parser.add_argument("--slots", type=int, help="jobs side by side; 0 only queues (default: one per accelerator)")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
