"""What an annotator is asked: the steps of PixSearch's data recipe (arXiv 2601.19060, section 4).

(i) What type of question is it?  (ii) Which atomic sub-questions does it hold, and which of them
need a search?  N interleaved answers; which one is best?  (iii) For each search: region, image or
words, and which words?
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, get_args

from stream.events import QueryKind
from stream.geometry import Point, Rle

QuestionType = Literal[
    "ocr", "ocr_reasoning", "multi_hop", "fine_grained", "attribute", "counting", "binary",
    "social", "physical", "factoid",
]  # fmt: skip
QUESTION_TYPES: tuple[QuestionType, ...] = get_args(QuestionType)
# Only these three are kept as questions that search (PixSearch, Table 10).
SEARCHED_TYPES: tuple[QuestionType, ...] = ("multi_hop", "fine_grained", "factoid")
MARK = "<search>"  # where a candidate answer wants a search


@dataclass(frozen=True, slots=True)
class NamedMask:
    """A thing of a picture whose mask and name are known."""

    name: str
    mask: Rle


@dataclass(frozen=True, slots=True)
class AnnotatedPicture:
    """A picture with what is known to be in it."""

    image: str  # as records name it
    size: tuple[int, int]  # height, width
    things: tuple[NamedMask, ...]
    whole: str = ""  # the name of the picture as a whole, where its things have no masks


@dataclass(frozen=True, slots=True)
class QuestionSample:
    """A question of a picture with its known answer, before it is interleaved with searches.

    In `answer`, as in candidates, `[dog|0]` is the word dog for the thing number 0.
    """

    id: str
    image: str
    size: tuple[int, int]  # height, width
    question: str
    answer: str
    things: tuple[NamedMask, ...] = ()
    target: int | None = None  # the thing that is asked about
    point: Point | None = None
    title: str = ""  # the knowledge entry that tells the answer, when known


@dataclass(frozen=True, slots=True)
class SubQuestion:
    """One atomic part of a question."""

    text: str
    needs_search: bool


class Annotator(Protocol):
    """A model that turns samples into search-interleaved answers, step by step."""

    name: str

    def question_type(self, sample: QuestionSample) -> QuestionType:
        """Which of the ten types the question is."""

    def decompose(self, sample: QuestionSample) -> Sequence[SubQuestion]:
        """Atomic sub-questions in the order they are answered, each with whether it needs one."""

    def responses(
        self, sample: QuestionSample, plan: Sequence[SubQuestion], count: int
    ) -> Sequence[str]:
        """`count` candidate answers with `<search>` where they would search."""

    def refine(
        self, sample: QuestionSample, plan: Sequence[SubQuestion], candidates: Sequence[str]
    ) -> str:
        """The best candidate, its marks put right."""

    def queries(
        self, sample: QuestionSample, before: str, after: str
    ) -> Sequence[tuple[QueryKind, str]]:  # modality, words
        """Queries for the mark between `before` and `after`, the best first; words for text."""
