"""One script per action: what is said once it is decided what to do."""

from collections.abc import Iterator

from perception.scene.reader import Scene
from reasoning.generation.config import PolicyConfig
from reasoning.generation.tokens import neutralise
from reasoning.rules.answers.appearance_answers import AppearanceAnswers
from reasoning.rules.answers.memory_answers import recall
from reasoning.rules.answers.search_answers import SearchAnswers
from reasoning.rules.answers.visual_answers import VisualAnswers
from reasoning.rules.parsing import listed
from reasoning.rules.policy import Action
from reasoning.rules.script import DONT_KNOW, Say, Script, ScriptPiece, ScriptState
from reasoning.rules.small_talk import reply
from reasoning.verification.answer_types import answer_type
from reasoning.verification.rerank import SupportScorer


class ActionScripts:
    """The table of actions."""

    def __init__(self, scene: Scene, support: SupportScorer, policy: PolicyConfig) -> None:
        seen = VisualAnswers(scene)
        looks = AppearanceAnswers(scene, seen.listing)
        searches = SearchAnswers(support, policy)
        self._table: dict[Action, Script] = {
            "name": seen.name,
            "list": seen.list,
            "find": seen.find,
            "read": seen.read,
            "check": seen.check,
            "count": seen.count,
            "look": looks.look,
            "state": looks.state,
            "talk": _talk,
            "look_up_thing": searches.look_up_thing,
            "learn_thing": searches.learn_thing,
            "ask_text": searches.ask_text,
            "give_up": _give_up,
            "recall": recall,
        }

    def play(self, action: Action, turn: ScriptState, question: str) -> Iterator[ScriptPiece]:
        """The script of an action; nobody is named by their looks."""
        if action in ("name", "look_up_thing") and answer_type(question) == "who":
            return iter((Say(f"{DONT_KNOW} who that is: I name things, not people."),))
        return self._table[action](turn, question)


def _talk(turn: ScriptState, question: str) -> Iterator[ScriptPiece]:
    yield Say(reply(question))


def _give_up(turn: ScriptState, question: str) -> Iterator[ScriptPiece]:
    notes = [neutralise(one.title) for one in turn.evidence if one.tier == "own"]
    read = f" Your notes under {listed(notes)} do not say." if notes else ""
    yield Say(f"{DONT_KNOW}: neither what I see nor what I can look up tells that.{read}")
