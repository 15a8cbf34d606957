"""Graders, as OpenAI's fine-tuning API describes them: what gives a model's answer its score.

Texts may hold templates, `{{item.answer}}` of the row and `{{sample.output_text}}` of the answer.
"""

from typing import Literal

import msgspec
from msgspec import Struct

from state.errors import ServiceError

Metric = Literal[
    "cosine", "fuzzy_match", "bleu", "gleu", "meteor", "rouge_1", "rouge_2", "rouge_3", "rouge_4", "rouge_5", "rouge_l"
]


class _Grader(Struct, frozen=True, kw_only=True, tag_field="type", forbid_unknown_fields=True, omit_defaults=True):
    pass


class StringCheck(_Grader, frozen=True, kw_only=True, tag="string_check"):
    """1 where `input` equals the reference, does not, or contains it (`like`; `ilike` in any case); else 0."""

    name: str
    input: str
    reference: str
    operation: Literal["eq", "ne", "like", "ilike"]


class TextSimilarity(_Grader, frozen=True, kw_only=True, tag="text_similarity"):
    """How alike two texts are, from 0 to 1. `pass_threshold` is taken and changes nothing."""

    name: str
    input: str
    reference: str
    evaluation_metric: Metric
    pass_threshold: float | None = None


class Python(Struct, frozen=True, tag_field="type", tag="python"):
    """Known, and refused in words."""


class ScoreModel(Struct, frozen=True, tag_field="type", tag="score_model"):
    """Likewise."""


class LabelModel(Struct, frozen=True, tag_field="type", tag="label_model"):
    """Likewise."""


Part = StringCheck | TextSimilarity
AnyPart = Part | Python | ScoreModel | LabelModel


class Multi(_Grader, frozen=True, kw_only=True, tag="multi"):
    """What a formula makes of other graders' scores, which go by their keys in it."""

    name: str = "multi"
    graders: dict[str, object]
    """Graders by their keys, as OpenAI's guide has them; or one grader, as its client's types have it."""
    calculate_output: str

    def parts(self) -> dict[str, AnyPart]:
        """The graders by the names that the formula has for them. Raises ServiceError for what is none."""
        alone = isinstance(self.graders.get("type"), str)
        given = {str(self.graders.get("name", "")): self.graders} if alone else self.graders
        try:
            return {name: msgspec.convert(part, AnyPart) for name, part in given.items()}
        except msgspec.ValidationError as error:
            raise ServiceError(f"grader.graders: {error}", param="grader") from error


Grader = StringCheck | TextSimilarity | Multi
AnyGrader = Grader | Python | ScoreModel | LabelModel
