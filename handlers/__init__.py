"""The HTTP interface: one endpoint, one module, at the place that its path says.

`POST /api/training/start` is `training/start.py`. Where one path has several methods, or a parameter stands in it,
the verb names the file: `GET /api/training/jobs` is `training/jobs/list.py`; `POST /v1/completions` is
`v1/completions.py`. Endpoints are found, not listed. `_http/` is what they share.
"""

import importlib
import pkgutil

from litestar.handlers import HTTPRouteHandler


def find_handlers() -> dict[str, list[HTTPRouteHandler]]:
    """Every route handler in the modules below this package, in the order of their names, by where it is served.

    `v1` speaks OpenAI's protocol and is served at /v1, as its clients expect; everything else below /api.
    """
    found: dict[str, list[HTTPRouteHandler]] = {"/api": [], "/v1": []}
    for module in pkgutil.walk_packages(__path__, prefix=f"{__name__}."):
        if not module.ispkg:
            members = vars(importlib.import_module(module.name)).values()
            place = "/v1" if module.name.startswith(f"{__name__}.v1.") else "/api"
            found[place] += [member for member in members if isinstance(member, HTTPRouteHandler)]
    return found
