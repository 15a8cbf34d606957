"""A newcomer's way through the dashboard, in a real browser, with a real trainer."""

import io
import shutil
import tarfile
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.dashboard.conftest import Visit
from tests.server import CHECKOUT, Server

PROMPT = "### Instruction:\nAdd two numbers\n\n### Response:\n"
ROWS = b"prompt,completion\nWhich colour has grass?,\nWhich colour has the sky?,blue\n"


def test_from_the_empty_page_to_a_compared_adapter(
    start_server: Callable[..., Server], visit: Callable[..., Visit], tmp_path: Path
) -> None:
    shutil.copytree(CHECKOUT / "models" / "tiny-python", tmp_path / "models" / "tiny-python")
    server = start_server()
    visited = visit(server)
    page = visited.page

    # the first job, by keyboard alone
    expect(page.get_by_role("heading", name="Teach a small model")).to_be_focused()
    _tab_to(page, "Start the example")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="my-first").wait_for()
    page.locator(".cursor").first.wait_for()
    page.get_by_role("link", name="Compare with the base").wait_for()
    expect(page).to_have_title("my-first · Lathe")
    page.get_by_text("Loss of my-first fell from").wait_for()
    assert (tmp_path / "adapters" / "my-first" / "adapter_model.safetensors").exists()

    # before and after, side by side; a model that is not there keeps the others from nothing
    _compare(page, server)

    # what is on the screen is in the address: a reload changes nothing
    page.get_by_label("Scale").select_option("log")
    page.get_by_role("button", name="Zoom in").click()
    page.wait_for_url(lambda address: "y=log" in address and "from=" in address)
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
    page.get_by_text("of the form as it is").wait_for()
    assert "2" in page.locator(".plan dd").first.inner_text()

    # a draft outlives a reload; a job that was started can be stopped, and does not end by itself before
    page.goto(f"http://localhost:{server.port}/#/new")
    page.reload()
    assert page.get_by_role("textbox", name="Name").input_value() == "my-second"
    page.locator("summary", has_text="Training").click()
    page.get_by_label("Steps at most").fill("1000000")
    page.get_by_label("Learning rate").fill("1e-6")  # with which it cannot fail either
    page.keyboard.press("Control+Enter")
    page.get_by_role("heading", name="my-second").wait_for()
    page.locator("main .state", has_text="running").wait_for()  # from then on its buttons stay where they are
    page.get_by_role("button", name="Stop", exact=True).click()
    page.get_by_role("button", name="Stop the job").click()
    page.locator("main .state", has_text="cancelled").wait_for()
    assert page.evaluate("() => document.activeElement !== document.body")

    _keep_house(page, tmp_path)
    # the browser's own lines about what was refused: a model that is not there, the plan, two imports, the rows
    refused = [problem[problem.index("status of") :][10:13] for problem in visited.problems]
    assert refused == ["404", "400", "400", "400", "400"]


def _compare(page: Page, server: Server) -> None:
    job = page.url
    page.get_by_role("link", name="Compare with the base").click()
    assert page.locator("#ask").input_value() == PROMPT  # what the job itself has answered on its way
    page.goto(page.url.replace("my-first", "my-first%2Cgone"))
    page.get_by_role("button", name="Ask all 3").click()
    answers = {name: page.get_by_label(f"Answer of {name}", exact=True) for name in ("tiny-python", "my-first", "gone")}
    answers["gone"].get_by_text("Model gone not available").wait_for()
    for name in ("tiny-python", "my-first"):
        answers[name].get_by_text("tokens ·").wait_for()

    said = answers["my-first"].locator(".said").inner_text()
    asked = {"prompt": PROMPT, "max_tokens": 256, "temperature": 0, "model": "my-first"}
    reply = server.post("/../v1/completions", asked).json()
    assert said == reply["choices"][0]["text"].strip()
    assert answers["my-first"].locator(".differs").count() > 0

    page.reload()  # asks nobody again
    assert answers["my-first"].locator(".said").inner_text() == said
    page.get_by_role("button", name="Leave gone out").click()
    answers["gone"].wait_for(state="detached")
    page.get_by_text("As code").click()
    printed = io.StringIO()
    with redirect_stdout(printed):
        exec(page.get_by_label("The question in Python").inner_text())  # noqa: S102  as whoever copies it does
    assert f"my-first\n{said}" in printed.getvalue()
    assert '"prompt": "### Instruction' in page.get_by_label("The question in curl").inner_text()
    page.goto(job)


def _keep_house(page: Page, root: Path) -> None:
    page.get_by_role("navigation", name="Pages").get_by_role("link", name="Adapters").click()
    page.get_by_role("button", name="Load my-first").click()
    page.get_by_role("button", name="Unload my-first").wait_for()
    page.get_by_role("link", name="my-first", exact=True).click()

    page.get_by_role("button", name="Describe…").click()
    page.get_by_label("Description").fill("My first <b>one</b>")
    page.get_by_label("Tags").fill("python, small")
    page.get_by_role("button", name="Save").click()
    page.get_by_text("My first <b>one</b>").wait_for()
    page.get_by_role("button", name="Rename…").click()
    page.get_by_label("New name").fill("adder")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="adder", exact=True).wait_for()
    page.locator(".tags li").first.wait_for()
    assert page.locator(".tags li").all_inner_texts() == ["python", "small"]
    assert (root / "adapters" / "adder").is_dir()

    page.get_by_role("link", name="Export").click()
    page.get_by_role("button", name="Export as A whole model").click()
    page.get_by_text("vllm serve ./exports/adder-merged").wait_for()
    assert (root / "exports" / "adder-merged" / "model.safetensors").is_file()

    # it and its job know each other, by whatever name
    page.locator("main").get_by_role("link", name="job ").click()
    page.get_by_role("heading", name="my-first").wait_for()
    page.get_by_role("link", name="The adapter").click()
    page.get_by_role("heading", name="adder", exact=True).wait_for()

    page.get_by_role("button", name="Delete this adapter").click()
    page.get_by_text("./adapters/adder").last.wait_for()
    archive = _archive(root / "adapters" / "adder")
    page.get_by_role("button", name="Delete for good").click()
    page.get_by_text("No adapter yet").wait_for()
    assert not (root / "adapters" / "adder").exists()
    _bring_in(page, archive)

    page.get_by_role("navigation", name="Pages").get_by_role("link", name="Data").click()
    page.locator("input[type=file]").set_input_files({"name": "pairs.csv", "mimeType": "text/csv", "buffer": ROWS})
    page.get_by_role("button", name="Upload").click()
    page.get_by_text("line 2").wait_for()  # which has no answer
    page.get_by_label("Leave out rows").check()
    page.get_by_role("button", name="Upload").click()
    page.get_by_role("heading", name="pairs", exact=True).wait_for()
    page.locator("mark.learned", has_text="blue").wait_for()
    page.get_by_role("link", name="Train on it").click()
    page.get_by_role("heading", name="New job").wait_for()


def _archive(folder: Path) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        archive.add(folder, folder.name)
    return packed.getvalue()


def _bring_in(page: Page, archive: bytes) -> None:
    """Import an adapter; what is no archive is refused, and a name that cannot be one at its field."""
    offered = page.locator("input[type=file]")
    offered.set_input_files({"name": "noise.zip", "mimeType": "application/zip", "buffer": b"noise"})
    page.get_by_role("button", name="Import").click()
    page.get_by_text("The archive cannot be read").wait_for()
    page.get_by_role("button", name="Not now").click()
    offered.set_input_files({"name": "from afar.tar.gz", "mimeType": "application/gzip", "buffer": archive})
    assert page.get_by_label("Name").input_value() == "from-afar"
    page.get_by_label("Name").fill("a/b")
    page.get_by_role("button", name="Import").click()
    page.locator("#adapter-name-error").wait_for()
    page.get_by_label("Name").fill("far")
    page.get_by_label("Description").fill("From another machine")
    page.get_by_role("button", name="Import").click()
    page.get_by_role("heading", name="far", exact=True).wait_for()
    page.get_by_text("From another machine").wait_for()
    assert page.locator("main").get_by_role("link", name="job ").count() == 0  # of that machine's


def _tab_to(page: Page, name: str) -> None:
    for _ in range(30):
        page.keyboard.press("Tab")
        if page.evaluate("() => document.activeElement.textContent.trim()") == name:
            return
    raise AssertionError(f"no {name} on the way of Tab")
