"""The HTTP interface: one endpoint, one module, at the place that its path says.

`POST /api/training/start` is `training/start.py`. Where one path has several methods, or a parameter stands in it,
the verb names the file: `GET /api/training/jobs` is `training/jobs/list.py`. Endpoints are found, not listed.
"""

import importlib
import pkgutil

from litestar.handlers import HTTPRouteHandler


def find_handlers() -> list[HTTPRouteHandler]:
    """Every route handler in the modules below this package, in the order of their names."""
    found = []
    for module in pkgutil.walk_packages(__path__, prefix=f"{__name__}."):
        if not module.ispkg:
            members = vars(importlib.import_module(module.name)).values()
            found += [member for member in members if isinstance(member, HTTPRouteHandler)]
    return found
