"""The HTTP interface: one endpoint, one module, at the place that its path says.

`POST /api/training/start` is `training/start.py`. Where one path has several methods, or a parameter stands in it,
the verb names the file: `GET /api/training/jobs` is `training/jobs/list.py`; `POST /v1/completions` is
`v1/completions.py`. `POST /tokenize`, which has no folder in its path, is `at_root/tokenize.py`. Endpoints are found,
not listed. `_http/` is what they share.
"""

import importlib
import pkgutil

from litestar.handlers import HTTPRouteHandler


def find_handlers() -> dict[str, list[HTTPRouteHandler]]:
    """Every route handler in the modules below this package, in the order of their names, by where it is served.

    `v1` speaks OpenAI's protocol and is served at /v1, as its clients expect, and `at_root` what they expect beside it;
    everything else is served below /api.
    """
    places = {"v1": "/v1", "at_root": "/"}
    found: dict[str, list[HTTPRouteHandler]] = {"/api": [], "/v1": [], "/": []}
    for module in pkgutil.walk_packages(__path__, prefix=f"{__name__}."):
        if not module.ispkg:
            members = vars(importlib.import_module(module.name)).values()
            folder = module.name.removeprefix(f"{__name__}.").partition(".")[0]
            found[places.get(folder, "/api")] += [member for member in members if isinstance(member, HTTPRouteHandler)]
    return found
