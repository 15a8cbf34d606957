"""Arguments that name a job, an adapter, a data set or a model; and what Tab offers for them."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import click
from click.shell_completion import CompletionItem

from cli._shared import api
from cli._shared.exits import Exit, Failure

JOBS = "/api/training/jobs"
ADAPTERS = "/api/adapters"
DATA = "/api/training/data"
MODELS = "/api/models"

_LATHES_OWN = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
"""Ids that Lathe gives; a folder made by hand may have any other."""
_TAB_S = 0.15
"""Of silence: a shell waits for the answer."""
_PAGE = 200
"""Jobs at most, of what Tab offers; so many at a time are looked through."""


def find_job(reference: str) -> str:
    """The id that is meant: an id, its unique beginning, an adapter's name (its newest job), `@`, or `@2` and so on.

    Raises Failure where it means none, or several.
    """
    if not reference:  # every id begins so
        raise Failure("The job's name is empty", Exit.NOT_FOUND)
    if newest := re.fullmatch(r"@(\d*)", reference):
        place = int(newest[1] or 1)
        jobs = api.get(JOBS, {"limit": max(place, 1)}).data["jobs"]
        if not 1 <= place <= len(jobs):
            others = f"the newest is @, the oldest @{len(jobs)}" if jobs else "there is none at all"
            raise Failure(f"There is no job {reference}: {others}", Exit.NOT_FOUND)
        return str(jobs[place - 1]["job_id"])
    if _LATHES_OWN.fullmatch(reference):
        return reference
    jobs = list(_matching(reference))
    found = [job["job_id"] for job in jobs if reference in {job["job_id"], job["adapter_name"]}]
    found = found[:1] or [job["job_id"] for job in jobs if job["job_id"].startswith(reference)]
    if not found:
        raise Failure(f"There is no job {reference}: neither an id, its beginning, nor an adapter", Exit.NOT_FOUND)
    if len(found) > 1:
        some = ", ".join(found[:3]) + (", ..." if len(found) > 3 else "")
        raise Failure(f"{len(found)} jobs begin with {reference}: {some}", Exit.NOT_FOUND)
    return str(found[0])


def _matching(words: str) -> Iterator[dict[str, Any]]:
    """The jobs that have these words in a name, the newest first."""
    after: str | None = None
    while True:
        page = api.get(JOBS, {"q": words, "limit": _PAGE, "after": after}).data
        yield from page["jobs"]
        after = page["next"]
        if after is None:
            return


def _offer(path: str, key: str, name: str, describe: Callable[[dict[str, Any]], str]) -> list[CompletionItem]:
    """What the server lists; nothing where it does not answer at once."""
    try:
        query = {"limit": _PAGE} if path == JOBS else {}
        listed = api.get(path, query, timeout_s=_TAB_S).data[key]
    except (Failure, OSError):
        return []
    return [CompletionItem(each[name], help=describe(each)) for each in listed if each[name] is not None]


def _beginning(items: list[CompletionItem], incomplete: str) -> list[CompletionItem]:
    return [item for item in items if item.value.startswith(incomplete)]


def complete_job(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Ids, and the names of their adapters."""
    ids = _offer(JOBS, "jobs", "job_id", lambda job: f"{job['adapter_name']}, {job['status']}")
    names = _offer(JOBS, "jobs", "adapter_name", lambda job: f"{job['job_id']}, {job['status']}") if incomplete else []
    return _beginning(names + ids, incomplete)


def complete_adapter(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    return _beginning(_offer(ADAPTERS, "adapters", "name", lambda adapter: adapter["description"]), incomplete)


def complete_dataset(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Data sets; the type `file` has the shell offer its files beside them."""
    items = _offer(DATA, "datasets", "dataset_name", lambda data: data["format"] or "")
    return [*_beginning(items, incomplete), CompletionItem(incomplete, type="file")]


def complete_model(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    return _beginning(_offer(MODELS, "models", "name", lambda model: model["kind"]), incomplete)


def complete_answering(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Whatever can be asked: adapters and models."""
    return complete_adapter(context, parameter, incomplete) + complete_model(context, parameter, incomplete)


def short(job_id: str) -> str:
    """As much of an id as a person needs: the first part of those that Lathe gives."""
    return job_id[:8] if _LATHES_OWN.fullmatch(job_id) else job_id
