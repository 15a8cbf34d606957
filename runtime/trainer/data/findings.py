"""What was found in a data set's rows, gathered by its id, and said in words."""

from collections.abc import Iterable
from itertools import islice
from typing import get_args

from msgspec import Struct, structs

from runtime.messages.report import Finding, Kind, Place, Severity
from runtime.messages.rows import Line

FIRST = 20  # rows that are named of each finding
SEVERITIES: tuple[Severity, ...] = get_args(Severity)


class Words(Struct, frozen=True):
    """How a finding is said, behind the number of its rows."""

    severity: Severity
    message: str
    fix: str | None = None
    kind: Kind = "remark"


UNUSABLE = Words(
    "error",
    "cannot be used",
    "Mend these rows, or leave them out with skip_invalid: true, of the upload or of training_config",
    "invalid",
)
REFUSED = Words(
    "error",
    "cannot be learned exactly with this model's chat template and tokenizer",
    "Mend these rows, or leave them out with training_config.skip_invalid: true",
    "refused",
)
WORDS = {
    "duplicate": Words(
        "warning",
        "say the same as a row before: what they say is learned so much more often",
        "Remove them, unless that is meant",
    ),
    "near_empty_answer": Words(
        "warning",
        "have an answer that is blank, or of a single token before the end",
        "Right for labels such as yes and no; otherwise complete or remove these rows",
    ),
    "nothing_to_predict": Words(
        "warning",
        "are texts of a single token, in which there is nothing to predict: a job leaves them out",
    ),
    "eval_leak": Words(
        "warning",
        "of the held-out files are among the rows to train on: the evaluation loss will say what was learned by heart",
        "Remove them from one of the two",
    ),
    "eval_prompt_leak": Words(
        "warning",
        "of the held-out files ask what a row to train on asks, with the same answer or with another one",
        "Remove them from one of the two",
    ),
    "switches_differ": Words(
        "warning",
        "tell the chat template otherwise than most rows whether the model is to think; an adapter is asked in one way",
        "Keep rows with thoughts and rows without in data sets of their own",
    ),
    # the masks' own remarks
    "special_token_in_text": Words(
        "warning",
        "hold the text of a special token in what is only read; it becomes that token, as it would in a request",
        "Write it otherwise, unless that is meant",
    ),
    "content_trimmed": Words(
        "note", "lose blanks at the ends of a content, because the chat template strips them; requests do, too"
    ),
    "prompt_ends_with_blank": Words(
        "warning",
        "have a prompt that ends with a blank, which most tokenizers would make part of the next word",
        "Move the blank to the beginning of the completion, and ask without it",
    ),
    "border_inside_token": Words(
        "note",
        "have an answer whose first token would reach into the prompt; it is tokenized apart, as a request is",
    ),
    "end_added": Words(
        "note", "have answers that the chat template does not end: the model's end token is added and learned"
    ),
    "ended_by_next_turn": Words(
        "note", "have answers that end with the token that begins the next turn; the model learns to write it"
    ),
    "not_asked": Words("note", "begin with an answer, which is read and not learned: nothing is asked before it"),
}


class _Found(Struct):
    words: Words
    count: int = 0
    first: list[Place] = []


class Findings:
    def __init__(self) -> None:
        self._found: dict[tuple[Kind, str], _Found] = {}

    def add(self, id_: str, place: Place, words: Words | None = None) -> None:
        """One row. `words` are those of the id unless they are given."""
        self.add_all(id_, 1, [place], words)

    def add_all(self, id_: str, count: int, first: Iterable[Place], words: Words | None = None) -> None:
        """So many rows, of which the first ones are named."""
        if not count:
            return
        said = words or WORDS[id_]
        found = self._found.setdefault((said.kind, id_), _Found(said))
        found.count += count
        if len(found.first) < FIRST:
            found.first += islice(first, FIRST - len(found.first))

    def reported(self, num_rows: int, num_held_out: int) -> list[Finding]:
        """What fails a job first, then what concerns most rows."""
        found = [
            _finding(id_, each, num_held_out if id_.startswith("eval_") else num_rows)
            for (_, id_), each in self._found.items()
        ]
        return sorted(found, key=lambda finding: (SEVERITIES.index(finding.severity), -finding.count))


def _finding(id_: str, found: _Found, of: int) -> Finding:
    first, words = found.first[0], found.words
    message = f"{found.count} of {of} rows {words.message}"
    if first.message:
        message += f". The first, {first.file} line {first.line}: {first.message}"
    return Finding(
        id=id_,
        kind=words.kind,
        severity=words.severity,
        count=found.count,
        share=round(found.count / of, 6),
        first=found.first,
        message=message,
        fix=words.fix,
    )


def place(line: Line, at: str = "", value: str = "", message: str = "", same_as: Line | None = None) -> Place:
    return Place(**structs.asdict(line), at=at, value=value, message=message, same_as=same_as)
