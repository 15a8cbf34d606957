"""Families of chat models for the tests: tokenizers made on the spot, and templates in the families' documented forms.

The templates in chat_templates/ are the tests' own. Each has what its family is known for: ends of turns, who may
speak, what becomes of old thoughts, how tools are called.
"""

import functools
import json
from datetime import datetime

from msgspec import Struct
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from runtime.model.chat import ChatTemplate
from tests.server import CHECKOUT

TEMPLATES = CHECKOUT / "tests" / "chat_templates"
NOW = datetime(2026, 11, 25, 12)  # noqa: DTZ001  the clock of a machine, as templates show it
WORDS = (  # how GPT-4, Llama 3 and Qwen divide a text: line ends stay together, digits do not
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
THINKING = ("<think>", "</think>", "<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>")
LLAMA = ("<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")
DEEPSEEK = tuple(  # the family writes a full-width bar and a block where others have | and _
    "<\uff5c" + name.replace("_", "\u2581") + "\uff5c>"
    for name in (
        "begin_of_sentence",
        "end_of_sentence",
        "User",
        "Assistant",
        *(f"tool_{name}" for name in ("calls_begin", "call_begin", "sep", "call_end", "calls_end")),
        *(f"tool_{name}" for name in ("outputs_begin", "outputs_end")),
    )
)
MISTRAL = ("INST", "TOOL_RESULTS", "AVAILABLE_TOOLS")

DOCUMENTS = (  # what the tokenizers learn from: never line by line, or no token would have two line ends
    "What is the sum of two and three? It is five.\n\nWhat is the sum of two numbers? Add them.\n\nHello there!\n\n",
    "def add(a, b):\n    return a + b\n\n\ndef double(n):\n    return 2 * n\n\n\nprint(add(2, double(3)))\n",
    "Be brief. Be kind.\n\n- Say what the answer is.\n- Say why it is so.\n\nThe user asks, the assistant answers.\n\n",
    "<user>\nHi\n</user>\n<assistant>\n\nHello there, what is it?\n\n</assistant>\n\n",
) * 4


class Family(Struct, frozen=True):
    special: tuple[str, ...]
    end: str
    """The tokenizer's end token; `served` is where the model's own settings end answers, if elsewhere."""
    begin: str | None = None
    served: tuple[str, ...] = ()
    added: tuple[str, ...] = ()
    is_metaspace: bool = False


FAMILIES = {
    "chatml": Family(("<|im_start|>", "<|im_end|>", "<|endoftext|>"), "<|im_end|>"),
    "deepseek_r1": Family(DEEPSEEK, DEEPSEEK[1], DEEPSEEK[0], added=THINKING),
    "gemma": Family(("<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>"), "<eos>", "<bos>"),
    "glm4": Family(
        ("[gMASK]", "<sop>", "<|system|>", "<|user|>", "<|assistant|>", "<|observation|>", "<|endoftext|>"),
        "<|endoftext|>",
        served=("<|endoftext|>", "<|user|>", "<|observation|>"),
        added=THINKING,
    ),
    "gpt_oss": Family(
        ("<|start|>", "<|end|>", "<|message|>", "<|channel|>", "<|return|>", "<|call|>"),
        "<|return|>",
        served=("<|return|>", "<|call|>"),
    ),
    "llama2": Family(("<s>", "</s>"), "</s>", "<s>", is_metaspace=True),
    "llama3": Family(LLAMA, "<|eot_id|>", "<|begin_of_text|>"),
    "llama32": Family(LLAMA, "<|eot_id|>", "<|begin_of_text|>"),
    "mistral3": Family(
        ("<s>", "</s>", "[TOOL_CALLS]", *(f"[{name}]" for name in MISTRAL), *(f"[/{name}]" for name in MISTRAL)),
        "</s>",
        "<s>",
        is_metaspace=True,
    ),
    "phi3": Family(
        ("<s>", "<|endoftext|>", "<|user|>", "<|assistant|>", "<|system|>", "<|end|>"),
        "<|endoftext|>",
        served=("<|endoftext|>", "<|end|>", "<|assistant|>"),
        is_metaspace=True,
    ),
    "qwen3": Family(("<|im_start|>", "<|im_end|>", "<|endoftext|>"), "<|im_end|>", added=THINKING),
    "qwen35": Family(("<|im_start|>", "<|im_end|>", "<|endoftext|>"), "<|im_end|>", added=THINKING),
    "default": Family(("<s>", "</s>"), "</s>", "<s>", is_metaspace=True),
    "tiny-python": Family((), "<|endoftext|>"),
}
OF_TOOLS = {
    # families that differ in nothing but how they call tools
    "mistral13": Family(
        (
            "<s>",
            "</s>",
            "[TOOL_CALLS]",
            "[ARGS]",
            *(f"[{name}]" for name in MISTRAL),
            *(f"[/{name}]" for name in MISTRAL),
        ),
        "</s>",
        "<s>",
    ),
    "phi4": Family(
        (
            *("<|endoftext|>", "<|user|>", "<|assistant|>", "<|system|>", "<|end|>"),
            *("<|tool|>", "<|/tool|>", "<|tool_call|>", "<|/tool_call|>"),
        ),
        "<|endoftext|>",
        served=("<|endoftext|>", "<|end|>"),
    ),
}


def tokenizer(family: str) -> PreTrainedTokenizerBase:
    """A tokenizer of the family's kind, with its template. It is the test's own."""
    if family == "tiny-python":
        return AutoTokenizer.from_pretrained(CHECKOUT / "models" / "tiny-python")
    about = (FAMILIES | OF_TOOLS)[family]
    backend = Tokenizer.from_str(_metaspace() if about.is_metaspace else _byte_level())
    backend.add_special_tokens([AddedToken(text, normalized=False, special=True) for text in about.special])
    if about.begin is not None:
        begins = processors.TemplateProcessing(
            single=f"{about.begin} $A", special_tokens=[(about.begin, backend.token_to_id(about.begin))]
        )
        backend.post_processor = begins
    backend.add_tokens([AddedToken(text, normalized=False) for text in about.added])
    begin = {} if about.begin is None else {"bos_token": about.begin}
    made = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token=about.end, **begin)
    if family != "default":
        made.chat_template = source(family)
    return made


def source(family: str) -> str:
    return (TEMPLATES / f"{family}.jinja").read_text()


def template(of: PreTrainedTokenizerBase) -> ChatTemplate:
    """A tokenizer's own, on a day that does not pass."""
    return ChatTemplate(of, now=lambda: NOW)


def served(family: str, of: PreTrainedTokenizerBase) -> frozenset[int]:
    about = FAMILIES[family]
    return frozenset(int(of.vocab[text]) for text in about.served or (about.end,))


@functools.cache
def _byte_level() -> str:
    """Like Qwen's. It is trained on whole documents: line by line, it would have no token of two line ends."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(WORDS), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    made.train_from_iterator(
        DOCUMENTS, trainers.BpeTrainer(vocab_size=600, initial_alphabet=alphabet, show_progress=False)
    )
    assert made.token_to_id("ĊĊ") is not None
    return made.to_str()


@functools.cache
def _metaspace() -> str:
    """Like Llama 2's: blanks are letters, a text begins with one, and bytes make up what the vocabulary lacks."""
    made = Tokenizer(models.BPE(byte_fallback=True, fuse_unk=True))
    made.normalizer = normalizers.Replace(" ", "▁")
    made.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="first", split=False)
    made.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    special = [f"<0x{byte:02X}>" for byte in range(256)]
    made.train_from_iterator(
        DOCUMENTS, trainers.BpeTrainer(vocab_size=600, special_tokens=special, max_token_length=12, show_progress=False)
    )
    written = json.loads(made.to_str())
    written["added_tokens"] = []  # the bytes are ordinary tokens, as Llama 2's are
    return json.dumps(written)
