"""Every page, wide and narrow, light and dark: clean by axe's rules, nothing beyond its edge or from elsewhere."""

from collections.abc import Callable

from playwright.sync_api import Page, Request, Route, expect

from tests.dashboard.conftest import Visit
from tests.server import Server

PAGES = {
    "#/jobs": "Jobs",
    "#/jobs?status=failed": "Jobs",
    "#/jobs?dataset=support": "Jobs",
    "#/jobs/my-first": "57 % · my-first",
    "#/jobs/my-first?compare=oom&smooth=0.9&y=log&from=50&to=200": "57 % · my-first",
    "#/jobs/my-first?tab=log": "57 % · my-first",
    "#/jobs/my-first?tab=settings": "57 % · my-first",
    "#/jobs/my-first?tab=samples": "57 % · my-first",
    "#/jobs/my-first?tab=files": "57 % · my-first",
    "#/jobs/oom": "oom",
    "#/jobs/diverged": "diverged",
    "#/jobs/" + "n" * 64: "n" * 64,
    "#/jobs/broken?tab=settings": "broken",
    "#/new?from=polish-v2": "New job",
    "#/adapters": "Adapters",
    "#/adapters/renamed": "renamed",
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
STREAMED = {
    "#/jobs/my-first": ".cursor",
    "#/jobs/my-first?compare=oom&smooth=0.9&y=log&from=50&to=200": ".legend tbody tr:nth-child(2)",
    "#/jobs/my-first?tab=log": "pre.log",
}
"""What shows that a page is whole whose stream says when it likes."""
UNDER_WAY = """
    globalThis.underWay = 0;
    const ask = globalThis.fetch;
    globalThis.fetch = async (...asked) => {
      underWay += 1;
      const end = () => setTimeout(() => { underWay -= 1; });
      const reply = await ask(...asked).catch((error) => { end(); throw error; });
      const read = reply.json.bind(reply);
      reply.json = () => read().finally(end);
      return reply;
    };
"""
"""Counts what a page has asked for and has not got yet."""
VIEWS = [(1280, "light"), (390, "dark")]
REPORT = {
    "model_name": "tiny-python",
    "num_learned": 8,
    "findings": [],
    "held_out": [],
    "tokens": {
        "total": 90,
        "learned": 40,
        "per_row": {"p50": 12, "p90": 18, "max": 22, "histogram": {"borders": [0, 10, 20, 23], "counts": [2, 5, 1]}},
    },
    "too_long": {"max_seq_length": 2048, "count": 0},
}
PLAN = {
    "fits": False,
    "advice": "This job does not fit",
    "remedy": {"training_config.max_seq_length": 64},
    "num_examples": 8,
    "num_eval_examples": 0,
    "num_truncated": 0,
    "num_dropped": 0,
    "tokens_per_epoch": 90,
    "learned_tokens_per_epoch": 40,
    "max_seq_length": 512,
    "total_steps": 2,
    "steps_per_epoch": 2,
    "warmup_steps": 0,
    "trained_parameters": 100,
    "peak_memory_mb": None,
    "estimated_minutes": None,
}
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


def test_every_page_is_for_everybody(lived_in: Server, visit: Callable[..., Visit], axe: str) -> None:
    found: dict[str, list[str]] = {}
    for width, theme in VIEWS:
        visited = visit(lived_in, script=UNDER_WAY, viewport={"width": width, "height": 844}, color_scheme=theme)
        for path, title in PAGES.items():
            page = visited.page
            page.evaluate("path => { location.hash = path; }", path)
            page.wait_for_function("title => document.title === title", arg=f"{title} · Lathe")
            page.wait_for_function("() => document.activeElement.matches('h1')")
            page.locator(STREAMED.get(path, "main")).first.wait_for()
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


def test_what_failed_for_want_of_memory_begins_again_in_the_form(lived_in: Server, visit: Callable[..., Visit]) -> None:
    visited = visit(lived_in, "#/jobs/oom")
    page = visited.page
    page.route("**/api/training/plan", lambda route: route.fulfill(json=PLAN))

    page.get_by_role("link", name="Start again with longest row 512").click()
    page.locator("summary", has_text="Training").click()
    assert page.get_by_label("Longest row").input_value() == "512"
    assert page.get_by_label("Data set", exact=True).input_value() == "support"
    page.get_by_label("Longest row").fill("300")
    page.reload()  # what was changed since is kept
    assert page.get_by_label("Longest row").input_value() == "300"
    page.get_by_role("button", name="Make it longest row 64").click()
    page.locator("summary", has_text="Longest row 64").wait_for()
    assert page.evaluate("() => location.hash") == "#/new"

    # what the form has no field for goes along, and can be left out
    page.goto(f"http://localhost:{lived_in.port}/#/new?from=polish-v2")
    page.get_by_role("button", name="Leave training_config.keep_epochs out").wait_for()
    with page.expect_request(_is_plan_for_qwen) as asked:  # a plan of the form before may just have been asked
        page.get_by_label("Data set", exact=True).select_option("support")
    assert (asked.value.post_data_json or {})["training_config"] == {"keep_epochs": 2}
    with page.expect_request("**/api/training/plan") as asked:
        page.get_by_role("button", name="Leave training_config.keep_epochs out").click()
    assert "training_config" not in (asked.value.post_data_json or {})
    assert visited.problems == []


def test_a_data_set_shows_its_rows_by_length_and_the_jobs_that_used_it(
    lived_in: Server, visit: Callable[..., Visit]
) -> None:
    visited = visit(lived_in, "#/data")
    page = visited.page
    asked: list[str] = []

    def preview(route: Route) -> None:
        asked.append(route.request.url.partition("?")[2])
        route.fulfill(json={"rows": [], "next": {"file": "train.jsonl", "first": 9}})

    page.route("**/report?*", lambda route: route.fulfill(json=REPORT))
    page.route("**/preview?*", preview)

    page.get_by_role("link", name="2 jobs with support").click()
    page.get_by_role("link", name="oom").wait_for()
    assert page.get_by_role("row").count() == 3
    page.get_by_role("link", name="support").click()
    page.get_by_text("No row from here on.").wait_for()
    page.get_by_role("listbox").focus()
    page.keyboard.press("ArrowRight")
    page.get_by_text("10 to 19 tokens: 5 rows").last.wait_for()  # below the bars; the first is a tooltip
    page.keyboard.press("Enter")
    page.get_by_text("Rows of 10 to 19 tokens").wait_for()
    expect(page.locator("#examples")).to_be_focused()
    page.get_by_role("button", name="Next rows").click()
    page.get_by_role("button", name="First of these rows", disabled=False).wait_for()
    page.get_by_text("No row of this length").wait_for()
    page.reload()
    page.get_by_text("Rows of 10 to 19 tokens").wait_for()
    page.get_by_text("No row of this length").wait_for()
    chosen = page.get_by_role("listbox").get_by_role("option", selected=True)
    assert chosen.get_attribute("aria-label") == "10 to 19 tokens: 5 rows"
    page.get_by_role("button", name="Show all lengths").click()
    page.get_by_text("Rows of 10 to 19").wait_for(state="detached")
    page.get_by_text("No row from here on.").wait_for()
    of_length, everything = "first={}&rows=5&min_tokens=10&max_tokens=19", "first=1&rows=5"
    assert [one.partition("&")[2] for one in asked] == [
        everything,
        of_length.format(1),
        of_length.format(9) + "&file=train.jsonl",
        of_length.format(9) + "&file=train.jsonl",
        everything,
    ]

    page.get_by_role("button", name="Delete this data set").click()
    page.get_by_role("dialog").get_by_text("2 jobs have used it").wait_for()
    assert page.get_by_role("dialog").get_by_role("link").all_inner_texts() == ["my-first", "oom"]
    assert visited.problems == []


def _is_plan_for_qwen(asked: Request) -> bool:
    return asked.url.endswith("/plan") and (asked.post_data_json or {})["model_name"] == "Qwen/Qwen3-4B"


def _settle(page: Page) -> None:
    """Until the stream is open and everything asked for is drawn, with what that asks for in its turn."""
    page.wait_for_function("() => document.querySelector('.lamp.is-live')")
    page.wait_for_function(
        """async () => {
             for (let quiet = 0; quiet < 3; quiet += 1) {
               await new Promise(done => requestAnimationFrame(() => setTimeout(() => requestIdleCallback(done))));
               if (underWay > 0 || document.querySelector('[aria-busy=true]')) return false;
             }
             return true;
           }"""
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
