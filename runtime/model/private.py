"""What other libraries don't offer publicly, and Lathe uses all the same.

Each function names the version that it was read in. tests/runtime/model/test_private.py says what is lost when a newer
version has it no more. torch and transformers are imported late: `uncompiled` is used while they are imported first.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import copy
from functools import partial, wraps
from importlib import import_module
from pathlib import Path
from typing import Any

COMPARISON = "torch.testing._comparison"


@contextmanager
def uncompiled() -> Iterator[None]:
    """What is imported in this block and decorates functions with torch.compile gets them as they are.

    Read in bitsandbytes 0.50.2 (backends/default/ops.py). No setting of it or of torch 2.13 says the same before
    torch's compiler is imported.
    """
    torch: Any = import_module("torch")
    own = torch.compile
    torch.compile = _as_it_is
    try:
        yield
    finally:
        torch.compile = own


def leave_out_distributed() -> None:
    """Have torch say that it was built without `torch.distributed`, as some builds of it are.

    Read in transformers 5.23.0 (utils/import_utils.py) and huggingface_hub 2.4.0 (serialization/_torch.py): nothing
    else keeps them from importing what spreads a tensor over machines. And in torch 2.13 (testing/_comparison.py),
    which asks as torch itself is imported, and remembers the answer.
    """
    names = vars(import_module("torch.distributed"))
    names["is_available"] = wraps(names["is_available"])(lambda: False)
    vars(import_module(COMPARISON))["_HAS_DTENSOR"] = False
    sys.modules.setdefault("torch.distributed.tensor", None)  # type: ignore[arg-type]  # typeshed does not know of it


def bring_distributed_in() -> None:
    """Undo `leave_out_distributed`."""
    names = vars(import_module("torch.distributed"))
    names["is_available"] = getattr(names["is_available"], "__wrapped__", names["is_available"])
    vars(import_module(COMPARISON))["_HAS_DTENSOR"] = names["is_available"]()
    if sys.modules.get("torch.distributed.tensor") is None:
        sys.modules.pop("torch.distributed.tensor", None)


def list_models_once() -> None:
    """Have transformers find out once what its models' files define: it reads 1,600 files of source for it.

    Read in transformers 5.23.0 (utils/import_utils.py): it remembers this by the path, and once says `models`, once
    `models/__init__.py`.
    """
    names = vars(import_module("transformers.utils.import_utils"))
    own = names["create_import_structure_from_path"]

    @wraps(own)
    def remembered(path: str | Path) -> object:
        folder = Path(path)
        return own(folder.parent if folder.name == "__init__.py" else folder)

    names["create_import_structure_from_path"] = remembered


def _as_it_is(function: Callable[..., Any] | None = None, **_: object) -> Callable[..., Any]:
    """In the place of torch.compile, used as a decorator with options or without."""
    return function if function is not None else _as_it_is


@contextmanager
def weights_read_by_pread() -> Iterator[None]:
    """`from_pretrained` reads tensors into memory of their own in this block, instead of mapping the files.

    Read in transformers 5.23.0 (modeling_utils.py): it does so by itself on MPS and Windows only, and takes no option.
    """
    names = vars(import_module("transformers.modeling_utils"))
    own = names["safe_open"]
    names["safe_open"] = partial(_opened_by_pread, own)
    try:
        yield
    finally:
        names["safe_open"] = own


def _opened_by_pread(opened: Callable[..., Any], file: str, **options: object) -> Any:  # noqa: ANN401  safetensors' own
    return opened(file, **options | {"backend": "pread"})


def attention_of(config: Any) -> str:  # noqa: ANN401  a transformers configuration
    """The attention implementation that a loaded model has, as `set_attn_implementation` takes it.

    Read in transformers 5.23.0 (configuration_utils.py): it can be set publicly, and not be read.
    """
    implementation: str = config._attn_implementation  # noqa: SLF001
    return implementation


def compiled_chat_template(source: str) -> Any:  # noqa: ANN401  a jinja2.Template
    """A chat template in transformers' own sandbox, with the functions and tags that it gives to templates.

    Read in transformers 5.23.0 (utils/chat_template_utils.py): its public `render_jinja_template` takes no clock.
    """
    names = vars(import_module("transformers.utils.chat_template_utils"))
    compiled: Any = names["_compile_jinja_template"](source)
    return compiled


def replace_forward(module: Any, forward: Callable[..., Any]) -> None:  # noqa: ANN401  any nn.Module
    """Have one module compute by `forward`, and keep its class, hooks and parameters.

    Read in torch 2.13.0 (nn/modules/module.py): a call looks `forward` up on the module itself. peft finds its layers
    by their class, so a module of another class would not do.
    """
    vars(module)["forward"] = forward


def dequantized(layer: Any) -> Any:  # noqa: ANN401  a Linear4bit; a torch.Tensor
    """A 4-bit layer's weights [O, I], also of one that an evaluation has repacked for a CPU with AVX512-BF16.

    Read in bitsandbytes 0.50.2 (functional.py): its public `dequantize_4bit` takes no repacked weights, and its own
    way back quantizes the blocks' scales once more. The layer stays as it is.
    """
    functional: Any = import_module("bitsandbytes.functional")
    weight, state = layer.weight.data, layer.weight.quant_state
    if getattr(state, "packing_format_for_cpu", False):
        state = copy(state)
        state.original_nested = False
        weight, state = functional._convert_weight_packed_for_cpu_inverse(weight, state)  # noqa: SLF001
        state.absmax = state.absmax.float()
    return functional.dequantize_4bit(weight, state)
