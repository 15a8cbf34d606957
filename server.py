"""The server: `python main.py [serve] [--host 127.0.0.1] [--port 5001] [--root DIR] [--slots N] ...`.

The one place that knows both the routes and the runtime: the parts are built here and handed down.
"""

import argparse
import asyncio
import logging
import os
import socket
import sys
from contextlib import suppress
from pathlib import Path
from types import FrameType

import uvicorn
from litestar import Litestar, Router
from litestar.di import Provide
from litestar.exceptions import HTTPException
from litestar.types import ASGIApp
from msgspec import Struct

from handlers import find_handlers
from handlers._http import api_key, description, refusals, requests
from handlers._http.api_key import ApiKey
from handlers._http.compressed import Compressed
from handlers._http.observed import Observed
from handlers._http.same_origin import SameOrigin
from runtime.process import logs, machine
from runtime.process.noise import hush_libraries
from runtime.server.answering import engines
from runtime.server.meter import Meter
from runtime.server.service import Service
from state import locks, store
from state.errors import BrokenFile, ServiceError
from state.root import DataRoot

CHECKOUT = Path(__file__).resolve().parent
OWNER = ".server.json"
SHUTDOWN_S = 1
KEEP_ALIVE_S = 120
"""Longer than clients keep a connection that is not used: OpenAI's 5 s, as uvicorn by itself does, Go's 90. Were it
closed here, a client may send a request just then, which nobody answers."""
HERE = {"127.0.0.1", "::1", "0.0.0.0", "::"}  # noqa: S104
"""What a server listens on that a browser of this machine reaches as localhost."""

log = logging.getLogger("lathe")


def build_app(service: Service, max_body_mb: int) -> Litestar:
    """The HTTP application of a service, for whoever is let in."""
    routers = [
        Router(path=path, route_handlers=refusals.declare(path, found), before_request=requests.check)
        for path, found in find_handlers().items()
    ]
    app = Litestar(
        route_handlers=routers,
        dependencies={"service": Provide(lambda: service, sync_to_thread=False)},
        exception_handlers={
            ServiceError: refusals.shaped(refusals.from_service_error),
            HTTPException: refusals.shaped(refusals.from_http_exception),
            Exception: refusals.shaped(refusals.from_any),
        },
        request_class=requests.DeclaredRequest,
        lifespan=[lambda _: service.running()],
        request_max_body_size=max_body_mb * 2**20,
        openapi_config=description.CONFIG,
        logging_config=None,
        signature_namespace={"Service": Service},
    )
    refusals.describe_failures(app.openapi_schema)
    return app


def guarded(app: ASGIApp, names: list[str], key: str | None, meter: Meter) -> ASGIApp:
    """The application behind those who decide on who is let in. `names` are its host names beside the loopback ones."""
    app = Compressed(app)
    return Observed(SameOrigin(app if key is None else ApiKey(app, key), names), meter)


def main(arguments: list[str]) -> int:
    """Serve until a signal ends it; the exit code. Raises KeyboardInterrupt for Ctrl-C before it serves."""
    options = _parse(arguments)
    key = os.environ.pop(api_key.VARIABLE, None) or None  # none of the processes that this one starts has it
    logs.configure(options.log_format, options.log_level)
    hush_libraries()
    root = DataRoot.at(options.root)
    try:
        api_key.check(key, options.host)
        llama_server = engines.llama_server(options.engine)
        root.create()
        with locks.hold(root.path / ".server.lock", timeout_s=1):
            store.write(root.path / OWNER, Owner(os.getpid(), _url(options.host, options.port)))
            found = machine.inspect()
            slots = found.slots if options.slots is None else options.slots
            service = Service.build(
                root,
                found,
                slots,
                spare_trainer=options.spare_trainer,
                unload_after_s=60 * options.unload_after,
                memory_mb=options.memory_mb,
                llama_server=llama_server,
            )
            config = uvicorn.Config(
                guarded(
                    build_app(service, options.max_body_mb), [options.host, *options.allowed_host], key, service.meter
                ),
                host=options.host,
                port=options.port,
                log_config=None,  # its words go where all others do
                log_level="warning",
                timeout_graceful_shutdown=SHUTDOWN_S,
                timeout_keep_alive=KEEP_ALIVE_S,
            )
            with suppress(KeyboardInterrupt):  # the server has ended, and Ctrl-C asked for no more
                Server(config, service).run()
    except SystemExit:  # uvicorn's, which has logged why
        return _refused(f"The server cannot listen at {_url(options.host, options.port)}: choose another --port")
    except locks.LockHeld:
        return _refused(f"{_owner(root)} works on {root.path}: stop it, or choose another --root")
    except ServiceError as error:
        return _refused(str(error))
    except OSError as error:
        return _refused(f"{root.path} cannot be used as a data root: {error}")
    return 0


def _refused(sentence: str) -> int:
    print(sentence, file=sys.stderr)  # noqa: T201
    return 1


class Server(uvicorn.Server):
    """Says where the dashboard is as soon as it answers. Tells the service at once that it is to end: streams would go
    on until the time for shutting down is over.
    """

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self._service = service

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        host = "localhost" if self.config.host in HERE else self.config.host
        log.info("The dashboard is at %s/", _url(host, self.config.port))

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        super().handle_exit(sig, frame)
        asyncio.get_running_loop().call_soon_threadsafe(self._service.ending.set)


class Owner(Struct):
    """`.server.json`: the server that works on a data root, for as long as `.server.lock` is held."""

    pid: int
    url: str


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _port(given: str) -> int:
    """Raises ArgumentTypeError for what is none."""
    if not (given.isdecimal() and 1 <= int(given) <= 65_535):
        raise argparse.ArgumentTypeError(f"{given!r} is no number from 1 to 65535")
    return int(given)


def _owner(root: DataRoot) -> str:
    try:
        owner = store.read(root.path / OWNER, Owner)
    except (FileNotFoundError, BrokenFile):
        return "Another Lathe server"
    return f"Another Lathe server (process {owner.pid}, {owner.url})"


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python main.py", description="Lathe's server.", epilog="All other commands: lathe --help"
    )
    parser.add_argument("command", nargs="?", choices=["serve"], default="serve")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument(
        "--allowed-host",
        action="append",
        default=[],
        metavar="NAME",
        help="host name or address that requests may use beside localhost and --host; may be given several times",
    )
    parser.add_argument("--port", type=_port, default=5001, help="port to listen on (default: %(default)s)")
    parser.add_argument(
        "--root",
        type=Path,
        default=Path(os.environ.get("LATHE_ROOT") or CHECKOUT),
        help="data root: adapters/, training_jobs/, … (default: LATHE_ROOT, else the checkout)",
    )
    parser.add_argument("--slots", type=int, help="jobs side by side; 0 only queues (default: one per accelerator)")
    parser.add_argument("--max-body-mb", type=int, default=256, help="largest request body (default: %(default)s)")
    parser.add_argument(
        "--memory-mb",
        type=int,
        help="memory that a trainer may take, in 2^20 bytes (default: LATHE_MEMORY_MB, else what is free)",
    )
    parser.add_argument(
        "--unload-after",
        type=float,
        metavar="MINUTES",
        default=15,
        help="idle minutes after which inference gives its memory back; 0: never (default: %(default)s)",
    )
    parser.add_argument(
        "--engine",
        choices=engines.NAMES,
        default=engines.EMBEDDED,
        help="what completes prompts; llama.cpp needs LATHE_LLAMA_SERVER, or llama-server on the PATH "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--spare-trainer",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="keep a trainer in memory for the next job, which begins 3.5 s sooner for 400 MB (default: %(default)s)",
    )
    parser.add_argument(
        "--log-format",
        choices=logs.FORMATS,
        default="text",
        help="of the server's log, on stderr (default: %(default)s)",
    )
    parser.add_argument(
        "--log-level",
        choices=logs.LEVELS,
        default="info",
        help="least level of what is logged; debug has every request (default: %(default)s)",
    )
    return parser.parse_args(arguments)
