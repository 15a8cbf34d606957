"""docs/how-to.md keeps its word: all that it says to type is typed, in its order, and does what it says."""

import json
import re
import shlex
import sys
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

from tests.cli.conftest import Lathe
from tests.server import CHECKOUT, Server


def test_the_pages_commands_do_what_it_says(training: Server, tmp_path: Path) -> None:
    lathe = Lathe(tmp_path, LATHE_URL=f"http://localhost:{training.port}", TMPDIR=str(tmp_path))

    printed = {title: _typed(blocks, lathe, training) for title, blocks in _sections(training)}

    double = "def double(n):\n    return 2 * n"
    assert printed["Train on your own data"].endswith(f"status=completed\n{double}\n")
    assert "«It is 5.<|endoftext|>»" in printed["Train on chats"]
    watched = printed["Watch a job"]
    assert "step=30 loss=" in watched
    assert "Completed: the adapter is adapters/faq" in watched
    assert watched.count('"status":"completed"') == 1
    states = re.findall(r"(\w+) successfully$|^status\t(\w+)$", printed["Pause, stop and resume a job"], re.MULTILINE)
    assert states == [("paused", ""), ("resumed", ""), ("cancelled", ""), ("", "cancelled")]
    assert '"status":"deleted"' in printed["Pause, stop and resume a job"]
    names, answer = printed["Use an adapter from OpenAI's client"].split("\n", maxsplit=1)
    assert "'faq'" in names
    assert answer == f"{double}\n{double}"
    assert printed["Export an adapter"] == "./exports/faq-merged\n"
    assert (training.root / "exports" / "faq-merged" / "model.safetensors").exists()
    assert printed["Make folders by hand"].endswith("status=completed\n")
    job = json.loads((training.job_folder("mine") / "job.json").read_text())
    assert job == {"model_name": "tiny-python", "training_config": {"max_steps": 20, "learning_rate": 5e-3}}
    by_hand = printed["Debug a trainer by hand"]
    assert "step 20/20" in by_hand
    assert by_hand.endswith("Completed: the adapter is adapters/tiny-python-mine\n")
    for name in ("faq", "tiny-python-mine"):
        assert training.delete(f"/adapters/{name}").status_code == 200


def _sections(server: Server) -> list[tuple[str, list[tuple[str, str]]]]:
    """The page's sections that have something to type, for this server."""
    page = (CHECKOUT / "docs" / "how-to.md").read_text()
    page = page.replace("localhost:5001", f"localhost:{server.port}")
    page = page.replace(".venv/bin/python", shlex.quote(sys.executable))
    parts = (part.partition("\n") for part in page.split("\n## ")[1:])
    return [(title, re.findall(r"```(bash|python)\n(.*?)```", text, flags=re.DOTALL)) for title, _, text in parts]


def _typed(blocks: list[tuple[str, str]], lathe: Lathe, server: Server) -> str:
    """What a section's commands print, typed in a shell that stays open, in the data root; or its Python."""
    if blocks[0][0] == "python":
        with redirect_stdout(StringIO()) as printed:
            exec(blocks[0][1], {})  # noqa: S102  the page's own script
        return printed.getvalue()
    script = "".join(commands for _, commands in blocks)
    done = lathe.script(script, server.root)
    assert done.code == 0, f"{script}\n{done.out}\n{done.err}"
    return done.out
