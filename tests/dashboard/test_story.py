"""A newcomer's way through the dashboard, in a real browser, with a real trainer."""

import shutil
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Page

from tests.dashboard.conftest import Visit
from tests.server import CHECKOUT, Server


def test_from_the_empty_page_to_an_adapter(
    start_server: Callable[..., Server], visit: Callable[..., Visit], tmp_path: Path
) -> None:
    shutil.copytree(CHECKOUT / "models" / "tiny-python", tmp_path / "models" / "tiny-python")
    server = start_server()
    visited = visit(server)
    page = visited.page

    # the first job, by keyboard alone
    page.get_by_role("heading", name="Teach a small model").wait_for()
    _tab_to(page, "Start the example")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="my-first").wait_for()
    page.locator(".cursor").first.wait_for()
    page.get_by_role("link", name="Compare with the base").wait_for()
    assert page.title() == "my-first · Lathe"
    assert page.get_by_text("Loss of my-first fell from").is_visible()
    assert (tmp_path / "adapters" / "my-first" / "adapter_model.safetensors").exists()

    # what is on the screen is in the address: a reload changes nothing
    page.get_by_label("Scale").select_option("log")
    page.get_by_role("button", name="Zoom in").click()
    assert "y=log" in page.url
    assert "from=" in page.url
    page.reload()
    page.get_by_role("button", name="Show all", disabled=False).wait_for()
    assert page.get_by_label("Scale").input_value() == "log"
    page.get_by_role("link", name="Samples").click()
    page.get_by_text("Before training").wait_for()

    # the same again, by the form: a refusal stands at its field, and the plan comes by itself
    page.get_by_role("link", name="Same settings again").click()
    page.get_by_text("Pasted texts").click()
    page.get_by_role("textbox", name="Texts").fill("### Instruction:\nSay hi\n\n### Response:\nhi\n---\nA second text")
    page.get_by_role("textbox", name="Name").fill("my-first")
    page.get_by_text("adapter_name 'my-first' is taken").wait_for()
    assert page.get_by_role("textbox", name="Name").get_attribute("aria-invalid") == "true"
    page.get_by_role("textbox", name="Name").fill("my-second")
    page.locator(".plan").get_by_text("Examples").wait_for()
    assert "2" in page.locator(".plan dd").first.inner_text()

    # a draft outlives a reload; a job that was started can be stopped
    page.goto(f"http://localhost:{server.port}/#/new")
    page.reload()
    assert page.get_by_role("textbox", name="Name").input_value() == "my-second"
    page.keyboard.press("Control+Enter")
    page.get_by_role("heading", name="my-second").wait_for()
    page.get_by_role("button", name="Stop", exact=True).click()
    page.get_by_role("button", name="Stop the job").click()
    page.locator("main .state", has_text="cancelled").wait_for()
    assert page.evaluate("() => document.activeElement !== document.body")
    assert visited.problems == [_refused(visited.problems)]


def _refused(problems: list[str]) -> str:
    """The browser's own line about the plan that was refused."""
    return next(problem for problem in problems if "400" in problem)


def _tab_to(page: Page, name: str) -> None:
    for _ in range(30):
        page.keyboard.press("Tab")
        if page.evaluate("() => document.activeElement.textContent.trim()") == name:
            return
    raise AssertionError(f"no {name} on the way of Tab")
