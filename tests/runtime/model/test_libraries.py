"""What a trainer imports, and what it does without."""

import subprocess
import sys

from tests.server import CHECKOUT


def test_a_trainers_imports_bring_no_compiler_in() -> None:
    program = (
        "import sys, torch; compiling = torch.compile;"
        "from runtime.model import libraries; libraries.load();"
        "import runtime.trainer.recipe;"
        "assert torch.compile is compiling; print('torch._inductor.compile_fx' in sys.modules)"
    )

    done = subprocess.run([sys.executable, "-c", program], cwd=CHECKOUT, capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "False"
