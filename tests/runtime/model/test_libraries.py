"""What a process that computes imports, and what it does without."""

import shutil
import subprocess
import sys
from pathlib import Path

from tests.server import CHECKOUT

LOADED = """
import sys
from runtime.model import libraries
libraries.load()
import torch, runtime.trainer.recipe, runtime.inference.engine
names = vars(sys.modules["transformers.utils.import_utils"])
print("a compiler:", {"torch._dynamo.convert_frame", "torch._inductor.compile_fx"} & set(sys.modules))
print("a part for many machines:", {"torch.distributed.fsdp", "torch.distributed.checkpoint"} & set(sys.modules))
torch.testing.assert_close(torch.ones(1), torch.ones(1))
print("compile is torch's:", torch.compile.__module__ == "torch")
print("models listed again:", names["create_import_structure_from_path"].__wrapped__.cache_info().hits == 0)
"""
COMPUTES = """
from pathlib import Path
from tests import completing, jobs
root = Path(sys.argv[1])
folder = jobs.make(root, adapter_name="mine", training_config={"max_steps": 2})
jobs.train_here(folder)
completing.complete(runtime.inference.engine.Engine(root), root / "models" / "toy", root / "adapters" / "mine")
print("trained:", jobs.status(folder).status)
print("an algebra:", {"sympy.core", "torch.utils._sympy.functions"} & set(sys.modules))
"""
COMPILES = """
import sympy
from sympy import Basic as Held
from torch.fx.experimental.symbolic_shapes import guard_or_false, guard_or_true, sym_eq
print("numbers are none:", [isinstance(3, Held), isinstance(torch.ones(1), sympy.Basic), "sympy.core" in sys.modules])
print("equal:", sym_eq((2, 3), [2, 3]), sym_eq(torch.Size([2]), (3,)))
print("symbols are:", isinstance(sympy.Symbol("s"), Held), isinstance(sympy.Symbol("s"), sympy.Basic))
print("an algebra's submodule is one:", sympy.core.Basic is sympy.Basic)
size = torch.fx.experimental.symbolic_shapes.ShapeEnv().create_unbacked_symint()
print("of a symbol:", guard_or_false(size > 3), guard_or_true(size > 3), guard_or_true(sym_eq((size, 3), (size, 2))))
import torch._dynamo.eval_frame
print("a submodule is one:", torch._dynamo.eval_frame is sys.modules["torch._dynamo.eval_frame"])
print("as is a light one:", torch._dynamo.config is sys.modules["torch._dynamo.config"])
print("compiled:", torch.compile(lambda x: x + 1, backend="eager", dynamic=True)(torch.ones(1)).item())
"""
OTHER_VERSIONS = """
import sys
from importlib.abc import MetaPathFinder
from runtime.model import libraries
class Surprised(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "peft.tuners" and "torch._dynamo.convert_frame" not in sys.modules:
            import torch
            torch._dynamo.disable(fn=print, reason="of another version", wrapping=False)
            with torch._dynamo.disable():
                torch._dynamo.graph_break("also", skip_frame=True)
            raise TypeError("not as it was")
sys.meta_path.insert(0, Surprised())
libraries.load()
import peft, torch, transformers
print("whole:", "torch._dynamo.convert_frame" in sys.modules, torch.distributed.is_available())
"""


def test_what_computes_brings_no_compiler_and_no_algebra_in_until_they_are_asked_for(tmp_path: Path, toy: Path) -> None:
    """Else a trainer starts 2.3 s of CPU time later, and takes 155 MB more."""
    shutil.copytree(toy, tmp_path / "models" / "toy")

    done = subprocess.run(
        [sys.executable, "-c", LOADED + COMPUTES + COMPILES, str(tmp_path)],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout.splitlines() == [
        "a compiler: set()",
        "a part for many machines: set()",
        "compile is torch's: True",
        "models listed again: False",
        "trained: completed",
        "an algebra: set()",
        "numbers are none: [False, False, False]",
        "equal: True False",
        "symbols are: True True",
        "an algebra's submodule is one: True",
        "of a symbol: False True False",
        "a submodule is one: True",
        "as is a light one: True",
        "compiled: 2.0",
    ]


def test_with_versions_that_need_all_of_torch_it_is_imported_whole() -> None:
    done = subprocess.run(
        [sys.executable, "-c", OTHER_VERSIONS], cwd=CHECKOUT, capture_output=True, text=True, check=True
    )

    assert done.stdout == "whole: True True\n"
    assert "TypeError('not as it was')" in done.stderr
