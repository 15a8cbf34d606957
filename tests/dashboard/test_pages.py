"""Every page, wide and narrow, light and dark: clean by axe's rules, nothing beyond its edge or from elsewhere."""

from collections.abc import Callable

from playwright.sync_api import Page

from tests.dashboard.conftest import Visit
from tests.server import Server

PAGES = {
    "#/jobs": "Jobs",
    "#/jobs?status=failed": "Jobs",
    "#/jobs/my-first": "57 % · my-first",
    "#/jobs/my-first?compare=oom&smooth=0.9&y=log&from=50&to=200": "57 % · my-first",
    "#/jobs/my-first?tab=log": "57 % · my-first",
    "#/jobs/my-first?tab=settings": "57 % · my-first",
    "#/jobs/my-first?tab=samples": "57 % · my-first",
    "#/jobs/my-first?tab=files": "57 % · my-first",
    "#/jobs/diverged": "diverged",
    "#/jobs/" + "n" * 64: "n" * 64,
    "#/jobs/broken?tab=settings": "broken",
    "#/adapters": "Adapters",
    "#/adapters/hostile": "hostile",
    "#/adapters/commit-messages?with=haiku,sql-r64": "commit-messages",
    "#/adapters/haiku?tab=evaluate": "haiku",
    "#/adapters/haiku?tab=export": "haiku",
    "#/play": "Play",
    "#/play?models=tiny-python,hostile,haiku,gone&as=text&ask=%3Cb%3E": "Play",
    "#/play?models=tiny-python&json=schema&schema=%7B": "Play",
    "#/data": "Data",
    "#/data/hostile": "hostile",
    "#/machine": "Machine",
    "#/nowhere": "No such page",
}
VIEWS = [(1280, "light"), (390, "dark")]
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


def test_every_page_is_for_everybody(lived_in: Server, visit: Callable[..., Visit], axe: str) -> None:
    found: dict[str, list[str]] = {}
    for width, theme in VIEWS:
        visited = visit(lived_in, viewport={"width": width, "height": 844}, color_scheme=theme)
        for path, title in PAGES.items():
            page = visited.page
            page.evaluate("path => { location.hash = path; }", path)
            page.wait_for_function("title => document.title === title", arg=f"{title} · Lathe")
            page.wait_for_function("() => document.activeElement.matches('h1')")
            _settle(page)
            problems = _beyond_the_edge(page) + _too_small(page) + _violations(page, axe) + _markup(page)
            problems += visited.problems
            visited.problems.clear()
            if problems:
                found[f"{path} at {width} px, {theme}"] = problems

    assert found == {}


def test_texts_stay_texts(lived_in: Server, visit: Callable[..., Visit]) -> None:
    visited = visit(lived_in, "#/jobs/my-first?tab=samples")

    visited.page.get_by_text("<img src=x onerror").first.wait_for()

    assert visited.page.locator("main img").count() == 0
    visited.page.wait_for_function("() => document.title === '57 % · my-first · Lathe'")
    assert visited.problems == []


def _settle(page: Page) -> None:
    """Until the stream is open and everything asked for is drawn."""
    page.wait_for_function("() => document.querySelector('.lamp.is-live')")
    page.wait_for_function(
        "() => new Promise(resolve => requestIdleCallback(() => resolve(!document.querySelector('[aria-busy=true]'))))"
    )


def _beyond_the_edge(page: Page) -> list[str]:
    """Elements that make the page scroll sideways."""
    found: list[str] = page.evaluate(
        """() => document.documentElement.scrollWidth <= innerWidth ? [] :
             [...document.querySelectorAll('main *')].filter(one => one.getBoundingClientRect().right > innerWidth + 1)
               .slice(0, 3).map(one => one.outerHTML.slice(0, 200))"""
    )
    return found


def _markup(page: Page) -> list[str]:
    """Elements that a text has become."""
    return [one.evaluate("one => one.outerHTML") for one in page.locator("main img, main b").all()]


def _too_small(page: Page) -> list[str]:
    """Buttons and fields of less than 24 px."""
    found: list[str] = page.evaluate(
        """() => [...document.querySelectorAll('button, select, input, summary')].filter(one => {
             const box = one.getBoundingClientRect();
             return box.width > 0 && (box.height < 24 || box.width < 24) && !one.closest('label');
           }).map(one => one.outerHTML.slice(0, 200))"""
    )
    return found


def _violations(page: Page, axe: str) -> list[str]:
    if not page.evaluate("() => Boolean(globalThis.axe)"):
        page.evaluate(axe)
    found: list[str] = page.evaluate(
        """async tags => (await axe.run({runOnly: tags, resultTypes: ['violations']})).violations.flatMap(
             rule => rule.nodes.slice(0, 3).map(
               node => `${rule.id}: ${node.html.slice(0, 200)} ${node.failureSummary}`))""",
        TAGS,
    )
    return found
