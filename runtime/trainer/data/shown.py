"""Some rows of a data set, as a model learns them."""

from itertools import dropwhile, islice

from transformers import PreTrainedTokenizerBase

from runtime.messages.preview import Next, Preview, Question, Remark, Sequence, Shown
from runtime.trainer.data import texts
from runtime.trainer.data.reader import Reader, ReadRow, every, reading
from runtime.trainer.documents import Document
from runtime.trainer.masks.results import Masked, Refused
from state.errors import ServiceError
from state.rows.problems import Problem


def show(asked: Question) -> Preview:
    """Raises ServiceError for a model or data that is of no use, and for a file that is not the data set's."""
    rows = reading(asked.rows)
    if asked.file is not None and asked.file not in rows.files:
        raise ServiceError(f"{asked.file} is no file of {asked.rows.name}'s rows: there is {', '.join(rows.files)}")
    reader = Reader.of(asked)
    found = dropwhile(lambda row: asked.file not in {None, row.file}, every(rows))
    if asked.min_tokens is None and asked.max_tokens is None:
        read = list(reader.read(islice(found, asked.first - 1, asked.first + asked.count)))
    else:  # they may be few and far apart
        fitting = (row for row in reader.read(islice(found, asked.first - 1, None)) if _is_of_length(row, asked))
        read = list(islice(fitting, asked.count + 1))
    return Preview(
        dataset_name=asked.rows.name,
        model_name=asked.model_name,
        rows=[_shown(reader.base.tokenizer, row) for row in read[: asked.count]],
        next=_next(read[asked.count :]),
    )


def _is_of_length(row: ReadRow, asked: Question) -> bool:
    """Whether a row is learned and has the tokens that are asked for, as a report's `per_row` counts them."""
    if not isinstance(row.outcome, Masked):
        return False
    length = sum(map(len, row.outcome.sequences))
    return (asked.min_tokens or 0) <= length and (asked.max_tokens is None or length <= asked.max_tokens)


def _next(left: list[ReadRow]) -> Next | None:
    return Next(left[0].line.file, left[0].line.row) if left else None


def _shown(tokenizer: PreTrainedTokenizerBase, row: ReadRow) -> Shown:
    line = row.line
    match row.outcome:
        case Masked(sequences=sequences, notes=notes, switches=switches):
            return Shown(
                file=line.file,
                line=line.line,
                row=line.row,
                sequences=[_sequence(tokenizer, document) for document in sequences],
                switches=dict(switches),
                notes=[Remark(id=note.id, at=note.at, value=note.value) for note in notes],
            )
        case Refused(id=id_, message=message):
            return Shown(file=line.file, line=line.line, row=line.row, problem=message, problem_id=id_)
        case Problem(id=id_, at=at, message=message):
            sentence = f"{at}: {message}" if at else message
            return Shown(file=line.file, line=line.line, row=line.row, problem=sentence, problem_id=id_)


def _sequence(tokenizer: PreTrainedTokenizerBase, document: Document) -> Sequence:
    return Sequence(
        num_tokens=len(document), num_learned=document.num_targets, pieces=texts.pieces(tokenizer, document)
    )
