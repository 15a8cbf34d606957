"""Where the server is, and what to type when it is not there."""

import json
import os
import shutil
import sys
from pathlib import Path
from urllib.parse import quote

CHECKOUT = Path(__file__).resolve().parents[2]
DEFAULT = "http://localhost:5001"
_EVERYWHERE = {"0.0.0.0": "localhost", "[::]": "localhost"}  # noqa: S104  what a server listens on is no place to ask

_known: list[str] = []
"""The address of the server that was found last."""


def url() -> str:
    """LATHE_URL; else the address of the server that works on the data root; else the usual one. No slash behind it.

    A server that was found and has gone is expected where it was, until another one works on the root.
    """
    named = os.environ.get("LATHE_URL")
    if named:
        return named.rstrip("/")
    found = _of_data_root()
    if found is not None:
        _known[:] = [found]
    return _known[0] if _known else DEFAULT


def _of_data_root() -> str | None:
    """What the server has written there that lives; None where none does, or where it can not be told."""
    root = Path(os.environ.get("LATHE_ROOT") or CHECKOUT)
    try:
        owner = json.loads((root / ".server.json").read_bytes())
        os.kill(owner["pid"], 0)
        address = str(owner["url"])
    except PermissionError:  # it lives, and is another user's
        address = str(owner["url"])
    except (OSError, ValueError, TypeError, LookupError):
        return None
    for listening, name in _EVERYWHERE.items():
        address = address.replace(f"//{listening}:", f"//{name}:")
    return address


def of_job(job_id: str) -> str:
    """Its page in the dashboard. A browser keeps what it remembers by the host's name: this is the one to bookmark."""
    server = url().replace("//127.0.0.1:", "//localhost:").replace("//[::1]:", "//localhost:")
    return f"{server}/#/jobs/{quote(job_id, safe='')}"


def typed(command: str) -> str:
    """A command of this program, as its user would type it: `lathe jobs`, or `.venv/bin/lathe jobs`."""
    called = sys.argv[0]
    if called.endswith(".py"):
        own = f"python {os.path.relpath(called)}" if called.endswith("main.py") else ""
        return f"{own or 'python -m cli'} {command}"
    name = Path(called).name
    return f"{name if shutil.which(name) == called else called} {command}"


def not_running(reason: str) -> str:
    """The sentence for a server that does not answer."""
    if os.environ.get("LATHE_URL"):
        return f"No server answers at {url()}, which LATHE_URL names: {reason}"
    return (
        f"The server at {url()} is not running.  Start it:  {typed('serve')}     (or LATHE_URL=... names another one)"
    )
