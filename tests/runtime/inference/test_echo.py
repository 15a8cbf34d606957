"""A prompt that is said again, with the log probabilities that transformers and PEFT compute for its tokens."""

from pathlib import Path
from typing import Any

import pytest
import torch
from msgspec import structs
from peft import PeftModel
from transformers import AutoModelForCausalLM

from runtime.inference import echo, ragged
from runtime.inference.engine import Engine
from runtime.messages.inference import Generated, TextDelta
from runtime.model.bases import quantization
from runtime.model.text import TokenTexts, begins
from runtime.model.tokenizers import load_tokenizer
from state.errors import ServiceError
from tests.completing import answers, base_of, complete, request, together

PRECISION = 3e-2  # of bf16, in a log probability
TEXT = "def add(a, b):\n    return a + b\n\nprint(add(1, 2))  # höchstens 3 🙂"
SCORED: dict[str, Any] = {"echo": True, "top_logprobs": 1, "max_new_tokens": 1}


@pytest.fixture
def base(biased: Path) -> Path:
    return biased / "models" / "toy"


@pytest.fixture
def mine(biased: Path) -> Path:
    return biased / "adapters" / "mine"


@pytest.fixture
def engine(biased: Path) -> Engine:
    return Engine(biased / ".cache")


def outside(base: Path, adapter: Path | None) -> Any:
    """The same weights, as transformers and PEFT load them."""
    model: Any = AutoModelForCausalLM.from_pretrained(
        str(base), quantization_config=quantization(torch.bfloat16), dtype=torch.bfloat16
    )
    return (PeftModel.from_pretrained(model, str(adapter)) if adapter else model).eval()


@torch.inference_mode()
def forward(model: Any, tokens: list[int]) -> torch.Tensor:
    """The log probabilities [T, V] behind each token."""
    found: torch.Tensor = model(torch.tensor([tokens])).logits[0].float().log_softmax(-1)
    return found


def own(generated: Generated) -> list[float]:
    """The log probabilities of a prompt's tokens."""
    assert generated.echo is not None
    return [token.logprob for token in generated.echo.logprobs]


def test_each_token_of_a_prompt_is_as_likely_as_outside_for_base_and_adapter_side_by_side(
    engine: Engine, base: Path, mine: Path, passes: list[list[int]]
) -> None:
    """In chunks, in pieces of chunks, and beside others that are not scored."""
    tokens = load_tokenizer(str(base))(TEXT)["input_ids"]
    plain = complete(engine, base, prompt="x = ", max_new_tokens=20)
    base_of(engine).scored_chunk = 7
    passes.clear()

    found = together(
        engine,
        [
            request(1, base, None, prompt="x = ", max_new_tokens=20),
            request(2, base, mine, prompt=tokens, **SCORED),
            request(3, base, None, prompt=tokens, **SCORED),
        ],
    )

    assert found[0] == plain
    assert max(number for sizes in passes for number in sizes) == 7
    assert [7, 1] in passes or [1, 7] in passes
    for adapter, one in ((mine, found[1]), (None, found[2])):
        log_probabilities_TV = forward(outside(base, adapter), tokens)
        follow = torch.tensor(tokens[1:])[:, None]
        assert own(one) == pytest.approx(log_probabilities_TV[:-1].gather(1, follow)[:, 0].tolist(), abs=PRECISION)
        assert one.echo is not None
        assert one.logprobs is not None
        most = [token.top[0].logprob for token in (*one.echo.logprobs, *one.logprobs)]
        assert most == pytest.approx(log_probabilities_TV.max(-1).values.tolist(), abs=PRECISION)
    assert own(found[1]) != own(found[2])


def test_a_log_softmax_sees_a_piece_of_a_prompt_and_all_pieces_are_the_whole(
    engine: Engine, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = list(range(100, 200))
    whole = complete(engine, base, prompt=tokens, **SCORED)
    pieces: list[int] = []
    likely = echo._likely

    def observed(logits_TV: torch.Tensor, *others: Any) -> Any:
        pieces.append(len(logits_TV))
        return likely(logits_TV, *others)

    monkeypatch.setattr(echo, "_likely", observed)
    monkeypatch.setattr(echo, "PIECE_BYTES", 30 * 4 * 2048)

    assert complete(engine, base, prompt=tokens, **SCORED) == whole
    assert pieces == [30, 30, 30, 9]


def test_a_token_that_is_the_most_likely_one_has_the_very_number_of_the_most_likely_one(
    engine: Engine, base: Path
) -> None:
    greedy = complete(engine, base, prompt=[5, 6, 7], max_new_tokens=20, top_logprobs=1)
    assert greedy.logprobs is not None
    said = complete(engine, base, prompt=[5, 6, 7], max_new_tokens=0, top_logprobs=1, echo=True)
    assert said.echo is not None
    tokens = [5, 6, 7, *load_tokenizer(str(base))(greedy.text)["input_ids"]]

    found = complete(engine, base, prompt=tokens, **SCORED)

    assert found.echo is not None
    written = found.echo.logprobs[2:]
    assert any(token.logprob == token.top[0].logprob for token in written)
    for token in written:
        assert (token.logprob == token.top[0].logprob) == (token.token == token.top[0].token)


def test_none_but_the_prompt_is_said_where_no_token_is_asked_for(
    engine: Engine, base: Path, passes: list[list[int]]
) -> None:
    found = complete(engine, base, prompt=[5, 6, 7], echo=True, max_new_tokens=0)
    scored = complete(engine, base, prompt=[5, 6, 7], echo=True, max_new_tokens=0, top_logprobs=2)

    assert passes == [[3], [3]]
    assert (found.text, found.completion_tokens, found.finish_reason) == ("", 0, "length")
    assert found.echo is not None
    assert (found.echo.first, found.echo.logprobs, found.logprobs) == (None, [], None)
    assert scored.logprobs == []
    assert len(own(scored)) == 2


def test_a_text_that_ends_at_once_still_has_an_entry_for_the_token_that_ends_it(engine: Engine, base: Path) -> None:
    following = complete(engine, base, prompt=[5, 6], top_logprobs=1, max_new_tokens=1)
    loaded = base_of(engine)
    scores = complete(engine, base, prompt=[5, 6], **SCORED)
    end = next(token for token in range(2048) if loaded.texts[token] == following.text)
    loaded.end_tokens = frozenset({end})

    found = complete(engine, base, prompt=[5, 6], **SCORED)

    assert (found.text, found.finish_reason) == ("", "stop")
    assert found.logprobs == scores.logprobs
    assert found.logprobs is not None
    assert found.logprobs[0].begin == len(found.echo.text if found.echo else "")


@pytest.mark.parametrize("as_text", [True, False])
def test_a_prompt_is_said_as_it_came_and_each_token_begins_where_its_text_does(
    engine: Engine,
    base: Path,
    as_text: bool,  # noqa: FBT001
) -> None:
    text = "<|endoftext|>" + TEXT
    tokens = load_tokenizer(str(base))(text)["input_ids"]
    assert len(tokens) > len({*tokens}) > 30

    found = complete(engine, base, prompt=text if as_text else tokens, echo=True, top_logprobs=0, max_new_tokens=3)

    assert found.echo is not None
    assert found.logprobs is not None
    assert found.echo.text == text
    assert found.echo.first == "<|endoftext|>"
    whole = text + found.text
    for token in (*found.echo.logprobs, *found.logprobs):
        if "\ufffd" not in token.token:
            assert whole[token.begin :].startswith(token.token)
    parts = [token.begin for token in found.echo.logprobs if "\ufffd" in token.token]
    assert set(parts) == {whole.index("ö"), whole.index("🙂")}


def test_a_token_that_the_tokenizer_adds_takes_no_place_in_the_text(base: Path) -> None:
    tokenizer = load_tokenizer(str(base))
    tokenizer.bos_token = tokenizer.eos_token
    texts = TokenTexts(tokenizer)
    tokens = tokenizer("def f(")["input_ids"]
    end = tokenizer.eos_token_id

    said = echo.PromptEcho(tokenizer, texts, "def f(", [end, *tokens], 0)

    assert said.text == "def f("
    assert said._begins == [0, *begins(tokenizer, texts, tokens)[1]]


def test_a_streamed_echo_comes_with_the_first_piece_alone(engine: Engine, base: Path) -> None:
    asked = structs.replace(request(1, base, None, echo=True, top_logprobs=1, max_new_tokens=5), stream=True)
    whole = complete(engine, base, echo=True, top_logprobs=1, max_new_tokens=5)
    engine.add(asked)

    deltas: list[TextDelta] = []
    while not engine.is_idle:
        engine.step()
        deltas += [reply for reply in engine.take_replies() if isinstance(reply, TextDelta)]

    assert [delta.echo for delta in deltas] == [whole.echo, None, None, None, None]
    assert [token for delta in deltas for token in delta.logprobs or []] == whole.logprobs


def test_a_model_whose_sequences_are_not_batched_scores_them_one_after_another(
    engine: Engine, biased: Path, base: Path, mine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = list(range(100, 150))
    batched = [complete(engine, base, adapter, prompt=tokens, **SCORED) for adapter in (None, mine)]

    def cannot(*_: object) -> None:
        raise NotImplementedError

    monkeypatch.setattr(ragged, "_together", cannot)
    alone = Engine(biased / ".cache")
    found = together(alone, [request(1, base, None, tokens, **SCORED), request(2, base, mine, tokens, **SCORED)])

    assert not base_of(alone).runner.is_batched
    for one, other in zip(found, batched, strict=True):
        assert own(one) == pytest.approx(own(other), abs=PRECISION)


def test_logits_that_are_no_numbers_refuse_the_prompt_alone(engine: Engine, base: Path) -> None:
    complete(engine, base, max_new_tokens=1)
    loaded = base_of(engine)
    logits = loaded.runner.logits

    def spoiled(chunks: Any) -> torch.Tensor:
        found = logits(chunks)
        return torch.cat(
            [
                part.index_fill(0, torch.tensor([2]), torch.nan) if chunk.wants_all_logits else part
                for chunk, part in zip(chunks, found.split([chunk.num_logits for chunk in chunks]), strict=True)
            ]
        )

    loaded.runner = structs.replace(loaded.runner, logits=spoiled)
    found = answers(
        engine, [request(1, base, None, [5, 6, 7, 8, 9], **SCORED), request(2, base, None, [5], max_new_tokens=1)]
    )

    assert "NaN or infinity after 3 tokens of the prompt" in getattr(found[0], "message", "")
    assert isinstance(found[1], Generated)


def test_impossible_tokens_have_a_number_that_json_has(base: Path) -> None:
    tokenizer = load_tokenizer(str(base))
    said = echo.PromptEcho(tokenizer, TokenTexts(tokenizer), None, [5, 6], 2)
    logits_TV = torch.full((2, 10), -torch.inf)
    logits_TV[:, 3] = 0.0

    said.take(logits_TV)

    [token] = said.said().logprobs
    assert (token.logprob, len(token.top)) == (-9999.0, 1)


def test_an_empty_prompt_has_nothing_to_be_said(engine: Engine, base: Path) -> None:
    with pytest.raises(ServiceError, match="prompt must not be empty"):
        complete(engine, base, prompt=[], **SCORED)
