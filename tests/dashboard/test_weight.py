"""What the first view costs: under 60 kB, with fifty jobs in the list."""

from collections.abc import Callable

from tests.dashboard.conftest import Visit
from tests.server import Server

MOST = 60_000  # bytes over the wire, headers and the jobs themselves included


def test_the_first_view_is_light(lived_in: Server, visit: Callable[..., Visit]) -> None:
    page = visit(lived_in).page
    page.locator("tbody tr").nth(20).wait_for()

    sizes: dict[str, int] = page.evaluate(
        """() => Object.fromEntries(
             ['navigation', 'resource'].flatMap(kind => performance.getEntriesByType(kind))
               .map(entry => [entry.name, entry.transferSize]))"""
    )

    assert sum(sizes.values()) < MOST, sizes
    assert len(sizes) < 10
