"""A tokenizer as llama.cpp wants it, from what transformers really does with it.

Llama.cpp has two algorithms for these models. Byte-level BPE (GPT-2's) splits the text by one of the patterns that it
knows by name, then merges by rank. SentencePiece's joins the pair whose whole has the highest score. What would not
give the same tokens is refused.
"""

import json
from typing import Any

from gguf import GGUFWriter, TokenType
from msgspec import Struct
from transformers import PreTrainedTokenizerBase

from runtime.export.asking import Asking
from state.errors import ServiceError

_LETTERS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
SPLITS = {  # a pattern before the bytes: llama.cpp's name for it, and whether a whole word of the vocabulary stays one
    (rf"{_LETTERS}\p{{N}}{{1,3}}{_REST}", True): "llama-bpe",
    (rf"{_LETTERS}\p{{N}}{_REST}", False): "qwen2",
}
SPACE = "▁"


class Vocabulary(Struct, frozen=True):
    """`scores` are SentencePiece's, `merges` are BPE's; `pre` is the name of the splitting pattern."""

    kind: str
    pre: str
    tokens: dict[int, str]
    merges: list[str] | None = None
    scores: dict[str, float] | None = None
    adds_space: bool = False


def write(writer: GGUFWriter, asking: Asking, size: int, model_name: str) -> None:
    """Tell the writer a tokenizer, filled up to `size` tokens, and how the model is asked. Raises ServiceError."""
    tokenizer = asking.tokenizer
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise ServiceError(f"Model {model_name} has a tokenizer without a tokenizer.json, which GGUF needs")
    written = json.loads(backend.to_str())
    added = {token["id"]: token for token in written["added_tokens"]}
    try:
        vocabulary = _vocabulary(written)
    except ValueError as error:
        raise ServiceError(f"Model {model_name} has a tokenizer that llama.cpp does not know: {error}") from error
    tokens = vocabulary.tokens | {number: token["content"] for number, token in added.items()}
    if max(tokens) >= size:
        raise ServiceError(f"Model {model_name} has more tokens, {max(tokens) + 1}, than embeddings, {size}")
    texts = [tokens.get(number, f"[PAD{number}]") for number in range(size)]
    writer.add_tokenizer_model(vocabulary.kind)
    writer.add_tokenizer_pre(vocabulary.pre)
    writer.add_token_list(texts)
    writer.add_token_types([_type(number, tokens, added, tokenizer) for number in range(size)])
    if vocabulary.merges is not None:
        writer.add_token_merges(vocabulary.merges)
    if vocabulary.scores is not None:
        writer.add_token_scores([vocabulary.scores.get(text, 0.0) for text in texts])
        writer.add_add_space_prefix(vocabulary.adds_space)
    _write_special(writer, tokenizer)
    _write_ends(writer, asking)
    writer.add_chat_template(asking.template)


def _write_special(writer: GGUFWriter, tokenizer: PreTrainedTokenizerBase) -> None:
    adders = {
        "bos_token_id": writer.add_bos_token_id,
        "unk_token_id": writer.add_unk_token_id,
        "pad_token_id": writer.add_pad_token_id,
    }
    for name, add in adders.items():
        number = getattr(tokenizer, name)
        if number is not None:
            add(number)
    tried = tokenizer("a")["input_ids"]
    writer.add_add_bos_token(tried[0] == tokenizer.bos_token_id)
    writer.add_add_eos_token(tried[-1] == tokenizer.eos_token_id)


def _write_ends(writer: GGUFWriter, asking: Asking) -> None:
    """The tokens that end answers: llama.cpp has names for three, the tokenizer's own end token among them.

    Any more are in the Modelfile; those of the known families it finds by their texts.
    """
    own = asking.tokenizer.eos_token_id
    ends = [*([] if own is None else [own]), *(token for token in asking.ends if token != own)]
    for token, add in zip(
        ends, (writer.add_eos_token_id, writer.add_eot_token_id, writer.add_eom_token_id), strict=False
    ):
        add(token)


def _type(
    number: int, tokens: dict[int, str], added: dict[int, dict[str, Any]], tokenizer: PreTrainedTokenizerBase
) -> TokenType:
    if number not in tokens:
        return TokenType.UNUSED
    if number == tokenizer.unk_token_id:
        return TokenType.UNKNOWN
    if number in added:
        return TokenType.CONTROL if added[number]["special"] else TokenType.USER_DEFINED
    return TokenType.BYTE if tokens[number] in _BYTES else TokenType.NORMAL


def _vocabulary(written: dict[str, Any]) -> Vocabulary:
    """Raises ValueError for what llama.cpp would split or merge otherwise."""
    model = written["model"]
    if model["type"] != "BPE":
        raise ValueError(f"it is {model['type']}, not BPE")
    merges = [tuple(merge.split(" ")) if isinstance(merge, str) else tuple(merge) for merge in model["merges"]]
    tokens = {number: token for token, number in model["vocab"].items()}
    if model.get("byte_fallback"):
        added = {token["content"] for token in written["added_tokens"]}
        scores = _scores(model["vocab"].keys() - added - _BYTES, merges)
        if not model["vocab"].keys() >= _BYTES:
            raise ValueError("it has no tokens for single bytes")
        return Vocabulary("llama", "default", tokens, scores=scores, adds_space=_adds_space(written))
    pre = _pattern(written["pre_tokenizer"], ignores_merges=bool(model.get("ignore_merges")))
    if written["normalizer"] not in (None, {"type": "NFC"}):  # llama.cpp takes text as normal
        raise ValueError(f"it normalizes the text by {written['normalizer']['type']}")
    return Vocabulary("gpt2", pre, tokens, merges=[" ".join(merge) for merge in merges])


def _pattern(pre_tokenizer: dict[str, Any] | None, *, ignores_merges: bool) -> str:
    """Llama.cpp's name for how the text is split before it is merged."""
    steps = (pre_tokenizer or {}).get("pretokenizers") or [pre_tokenizer or {}]
    kinds = [step.get("type") for step in steps]
    last = steps[-1]
    if kinds[-1] != "ByteLevel" or last.get("add_prefix_space"):
        raise ValueError("it does not work on bytes as GPT-2's does")
    if kinds == ["ByteLevel"] and last["use_regex"] and not ignores_merges:
        return "gpt-2"
    if kinds == ["Digits", "ByteLevel"] and steps[0]["individual_digits"] and last["use_regex"] and not ignores_merges:
        return "smollm"
    if kinds == ["Split", "ByteLevel"] and not last["use_regex"] and steps[0]["behavior"] == "Isolated":
        found = SPLITS.get((steps[0]["pattern"].get("Regex"), ignores_merges))
        if found is not None:
            return found
    raise ValueError("it splits the text by a pattern of its own")


def _scores(tokens: set[str], merges: list[tuple[str, ...]]) -> dict[str, float]:
    """SentencePiece's scores for the order of these merges: the earlier a token is made, the higher.

    Raises ValueError where scores alone do not tell the merges: SentencePiece joins any two tokens whose whole is one.
    """
    scores: dict[str, float] = {}
    last = None
    for rank, merge in enumerate(merges):
        made = "".join(merge)
        if made in scores and made != last:
            raise ValueError("its merges have no order that SentencePiece's scores could give")
        scores.setdefault(made, -float(rank))
        last = made
    known = set(merges)
    for token in tokens:
        for at in range(1, len(token)):
            pair = (token[:at], token[at:])
            if pair not in known and tokens.issuperset(pair):
                raise ValueError("it leaves tokens apart that SentencePiece would join")
    return scores


def _adds_space(written: dict[str, Any]) -> bool:
    """Whether a space is put before the text. Raises ValueError where more is done to it than spaces become '▁'."""
    normalizer, pre_tokenizer = written["normalizer"] or {}, written["pre_tokenizer"] or {}
    steps = normalizer.get("normalizers") or ([normalizer] if normalizer else [])
    prepends = {"type": "Prepend", "prepend": SPACE}
    replaces = {"type": "Replace", "pattern": {"String": " "}, "content": SPACE}
    if pre_tokenizer.get("type") == "Metaspace" and not steps and not pre_tokenizer.get("split"):
        return bool(pre_tokenizer["prepend_scheme"] != "never")
    if pre_tokenizer and pre_tokenizer.get("pattern") != {"String": " "}:
        raise ValueError("it splits the text before it merges")
    if steps == [prepends, replaces]:
        return True
    if steps == [replaces]:
        return False
    raise ValueError("it changes the text before it merges")


_BYTES = frozenset(f"<0x{byte:02X}>" for byte in range(256))
