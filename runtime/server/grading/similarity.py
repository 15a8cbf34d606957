"""How alike two texts are, from 0 to 1.

    fuzzy_match       rapidfuzz's ratio: of the letters of both, the share that is in a longest common subsequence
    bleu              of a sentence: Papineni et al. 2002, up to 4 words in a row; where none match, smoothed as in
                      mteval-v13a (Chen and Cherry 2014, method 3)
    gleu              Wu et al. 2016, section 4.3: the smaller of precision and recall of 1 to 4 words in a row
    rouge_1…rouge_5   Lin 2004: the F-measure of so many words in a row, whatever their case
    rouge_l           the F-measure of a longest common subsequence of words

Words are runs of letters and digits, and single letters of scripts that put no spaces between words. For BLEU and GLEU
punctuation marks count as well.
"""

import math
import re
from collections import Counter
from collections.abc import Callable
from functools import partial

from rapidfuzz import fuzz
from rapidfuzz.distance import LCSseq

from state.graders import Metric

UNSPACED = "\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
"""Thai, Lao, Japanese, Chinese."""
LONGEST = 4  # words in a row, of BLEU and GLEU

_WORD = re.compile(rf"[{UNSPACED}]|[^\W_{UNSPACED}]+")
_WORD_OR_MARK = re.compile(rf"[{UNSPACED}]|[^\W_{UNSPACED}]+|[^\w\s]|_")

Grams = Counter[tuple[str, ...]]


def measured(metric: Metric, text: str, reference: str) -> float:
    """By a metric that can be had here (`MEASURES`)."""
    return MEASURES[metric](text, reference)


def _fuzzy_match(text: str, reference: str) -> float:
    return fuzz.ratio(text, reference) / 100


def _bleu(text: str, reference: str) -> float:
    said, wanted = _WORD_OR_MARK.findall(text), _WORD_OR_MARK.findall(reference)
    log_precisions = []
    smoothing = 1.0
    for count in range(1, min(LONGEST, len(said)) + 1):
        matches, total = _matches(said, wanted, count), len(said) - count + 1
        if matches == 0:
            smoothing *= 2
        log_precisions.append(math.log((matches or 1 / smoothing) / total))
    if not log_precisions or not _matches(said, wanted, 1):
        return 0.0
    brevity = min(0.0, 1 - len(wanted) / len(said))
    return math.exp(brevity + sum(log_precisions) / len(log_precisions))


def _gleu(text: str, reference: str) -> float:
    said, wanted = _WORD_OR_MARK.findall(text), _WORD_OR_MARK.findall(reference)
    matches = sum(_matches(said, wanted, count) for count in range(1, LONGEST + 1))
    most = max(sum(max(0, len(words) - count + 1) for count in range(1, LONGEST + 1)) for words in (said, wanted))
    return matches / most if most else 0.0


def _rouge(count: int, text: str, reference: str) -> float:
    said, wanted = _WORD.findall(text.lower()), _WORD.findall(reference.lower())
    totals = max(0, len(said) - count + 1) + max(0, len(wanted) - count + 1)
    return 2 * _matches(said, wanted, count) / totals if totals else 0.0


def _rouge_l(text: str, reference: str) -> float:
    said, wanted = _WORD.findall(text.lower()), _WORD.findall(reference.lower())
    totals = len(said) + len(wanted)
    return 2 * LCSseq.similarity(said, wanted) / totals if totals else 0.0


def _matches(said: list[str], wanted: list[str], count: int) -> int:
    """Of so many words in a row, how many are in both, each as often as in the one that has it less often."""
    return (_grams(said, count) & _grams(wanted, count)).total()


def _grams(words: list[str], count: int) -> Grams:
    return Counter(zip(*(words[start:] for start in range(count)), strict=False))


MEASURES: dict[Metric, Callable[[str, str], float]] = {
    "fuzzy_match": _fuzzy_match,
    "bleu": _bleu,
    "gleu": _gleu,
    "rouge_1": partial(_rouge, 1),
    "rouge_2": partial(_rouge, 2),
    "rouge_3": partial(_rouge, 3),
    "rouge_4": partial(_rouge, 4),
    "rouge_5": partial(_rouge, 5),
    "rouge_l": _rouge_l,
}
