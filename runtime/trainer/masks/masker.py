"""Rows to masked sequences, a batch at a time."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice, pairwise
from typing import TypeVar

from transformers import PreTrainedTokenizerBase

from runtime.model.chat import ChatTemplate
from runtime.trainer.documents import Document
from runtime.trainer.masks.drafts import Draft, Drafter, Part
from runtime.trainer.masks.pieces import Tokens, shared_length, tokens_of
from runtime.trainer.masks.results import Masked, Note, Refusal, Refused
from runtime.trainer.masks.vocabulary import Vocabulary
from runtime.trainer.preferences.pairs import are_a_pair
from state.config import Learn
from state.rows.row import Preference, Row

TOGETHER = 256  # rows whose texts are tokenized in one call

Item = TypeVar("Item")


class Masker:
    """How rows are learned with one tokenizer and one chat template.

    `served` are the tokens at which serving ends an answer. What it finds out of the template it finds out once, so one
    masker is for many rows.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        template: ChatTemplate,
        served: frozenset[int],
        learn: Learn | None = None,
    ) -> None:
        self._tokenizer = tokenizer
        self._vocabulary = Vocabulary(tokenizer, served)
        self._drafter = Drafter(template, self._vocabulary, learn)
        self._whole_drafter = Drafter(template, self._vocabulary, learn, continues=False)

    def masks(self, rows: Iterable[Row]) -> list[Masked | Refused]:
        """What becomes of each row. Their texts are tokenized together: give it one of `batches` at a time."""
        rows = list(rows)
        drafts = [_drafted(self._drafter, row) for row in rows]
        parts = [part for draft in drafts if isinstance(draft, Draft) for part in draft.parts]
        tokens = iter(tokens_of(self._tokenizer, self._vocabulary, [part.piece for part in parts]))
        return [
            _paired(row, self._masked(row, draft, list(islice(tokens, len(draft.parts)))))
            if isinstance(draft, Draft)
            else draft
            for row, draft in zip(rows, drafts, strict=True)
        ]

    def _masked(self, row: Row, draft: Draft, tokens: list[Tokens | None]) -> Masked | Refused:
        if any(part.goes_on for part in draft.parts) and any(found is None or found.is_apart for found in tokens):
            return self._masked_whole(row)
        try:
            return self._assembled(draft, tokens)
        except Refusal as refusal:
            return refusal.refused

    def _masked_whole(self, row: Row) -> Masked | Refused:
        """Serving tokenizes what was said before as a whole: an answer that was tokenized apart does not begin it."""
        draft = _drafted(self._whole_drafter, row)
        if isinstance(draft, Refused):
            return draft
        return self._masked(
            row, draft, tokens_of(self._tokenizer, self._vocabulary, [part.piece for part in draft.parts])
        )

    def _assembled(self, draft: Draft, tokens: Sequence[Tokens | None]) -> Masked:
        sequences: list[Document] = []
        notes = list(draft.notes)
        for part, found in zip(draft.parts, tokens, strict=True):
            if found is None:
                raise Refusal("border_inside_token", f"tokens reach over the beginning of {part.place}")
            if found.is_apart:
                notes.append(Note("border_inside_token", part.place))
            self._add(sequences, part, found)
        stops = {part.end for part in draft.parts if part.end is not None}
        learned = _whole(sequences) if draft.learns_all else sequences
        return Masked(learned, notes, draft.switches, frozenset(stops - self._vocabulary.served))

    def _add(self, sequences: list[Document], part: Part, found: Tokens) -> None:
        """Lengthen the last sequence if it begins the part's prompt; begin another otherwise."""
        text = self._closed(part, found.text)
        last = sequences[-1] if sequences else None
        if part.goes_on and last is not None:
            last.tokens.extend(found.prompt[1:])
        elif last is not None and found.prompt[: len(last.tokens)] == last.tokens:
            last.tokens.extend(found.prompt[len(last.tokens) :])
        else:
            last = Document(found.prompt, [])
            sequences.append(last)
        begin = max(len(last.tokens), 1)  # the first token has nothing before it to be learned from
        last.tokens.extend(text)
        if part.piece.prompt and self._vocabulary.begins_twice(last.tokens):
            raise Refusal("two_begin_tokens", f"the prompt of {part.place} begins with the first token twice")
        if begin >= len(last.tokens):
            raise Refusal("nothing_to_learn", f"{part.place} is a single token: there is nothing to predict")
        last.spans.append((begin, len(last.tokens)))

    def _closed(self, part: Part, text: list[int]) -> list[int]:
        if part.end is None or text[-1:] == [part.end]:
            return text
        if part.is_end_written:
            end = self._vocabulary.text(part.end)
            raise Refusal(
                "no_end_token", f"{part.place} ends with {end!r}, which the tokenizer does not take as a token"
            )
        return [*text, part.end]


def batches(rows: Iterable[Item]) -> Iterator[list[Item]]:
    """The rows, or whatever has one each, in their order: so many together as are worth a call of `Masker.masks`."""
    left = iter(rows)
    while batch := list(islice(left, TOGETHER)):
        yield batch


def _drafted(drafter: Drafter, row: Row) -> Draft | Refused:
    try:
        return drafter.draft(row)
    except Refusal as refusal:
        return refusal.refused


def _paired(row: Row, masked: Masked | Refused) -> Masked | Refused:
    """Both answers of a preference are learned behind the same tokens, or not at all."""
    if isinstance(row, Preference) and isinstance(masked, Masked) and not are_a_pair(masked.sequences):
        return Refused("different_prompt", "chosen and rejected follow different tokens")
    return masked


def _whole(sequences: Sequence[Document]) -> list[Document]:
    """All that is read is learned, but for what the sequence before has shown behind the same tokens."""
    begins = [0, *(shared_length(one.tokens, other.tokens) for one, other in pairwise(sequences))]
    return [_all_of(sequence.tokens, max(begin, 1)) for sequence, begin in zip(sequences, begins, strict=True)]


def _all_of(tokens: list[int], begin: int) -> Document:
    span = (begin, len(tokens))
    return Document(tokens, [span])
