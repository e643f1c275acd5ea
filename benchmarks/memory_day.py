"""A made-up day for `benchmarks.memory`: rooms, things that are put down here and there, words.

Who is asked for what is planted: a thing of one colour is seen a few times in different rooms, and
the question is where it was last. Half of the questions use another word than the record does
("mug" for a cup). In between, the same thing of another colour is seen, others talk of it, and the
wearer asks for it in vain. One sight in ten has no name. Meanings are vectors of the names with
noise that leaves a cosine of about MEANING: what a region encoder gives of a picture, simulated.
All words are general English, written before anything was measured.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from retrieval.encoders.text import Vectors, unit_rows
from retrieval.memory.events import LOOK_BYTES, Event, Sight, quantise
from stream.clock import NS_PER_S

EVENTS_PER_HOUR = 360
SIGHTS = 5  # of an event
NAMELESS = 0.1
MEANING = 0.65
COLOURS = [
    "red",
    "blue",
    "green",
    "yellow",
    "white",
    "black",
    "brown",
    "grey",
    "pink",
    "orange",
    "purple",
    "silver",
]
THINGS = {  # what the record calls it: what the wearer may call it
    "cup": "mug",
    "sofa": "couch",
    "keys": "keyring",
    "bag": "purse",
    "pan": "skillet",
    "jacket": "coat",
    "sneakers": "trainers",
    "notebook": "notepad",
    "wallet": "billfold",
    "bottle": "flask",
    "scissors": "shears",
    "umbrella": "brolly",
    "hat": "cap",
    "book": "novel",
    "plate": "dish",
    "headphones": "earphones",
    "charger": "power adapter",
    "watch": "wristwatch",
    "letter": "envelope",
    "glasses": "spectacles",
    "phone": "mobile",
    "toolbox": "tool kit",
    "blanket": "throw",
    "basket": "hamper",
    "torch": "flashlight",
    "suitcase": "luggage",
    "screwdriver": "hand tool",
    "jumper": "sweater",
    "tablet": "handheld computer",
    "pen": "biro",
}
ROOMS = {
    "kitchen": "stove sink fridge kettle counter cupboard toaster",
    "living room": "television armchair fireplace carpet bookshelf coffee table",
    "bedroom": "bed wardrobe pillow mirror bedside lamp curtain",
    "bathroom": "bathtub washbasin towel rail shower toothbrush soap dish",
    "office": "desk monitor keyboard printer whiteboard office chair",
    "garage": "car workbench bicycle ladder paint tin tyre",
    "garden": "bench flowerbed wheelbarrow hedge watering can fence",
    "hall": "coat rack shoe shelf doormat staircase front door wall clock",
    "supermarket": "shopping trolley shelf checkout freezer fruit stand price tag",
    "bus": "seat handrail window ticket machine stop button driver's cabin",
}  # fmt: skip
SIGNS = (
    "EXIT",
    "Please close the door",
    "Half price today",
    "Line 12 to the station",
    "No parking",
    "Opening hours 9 to 6",
    "Mind the step",
    "Recycling on Thursdays",
    "Use by the end of the week",
)
REMARKS = (
    "We should call them back before Friday.",
    "It is colder than I thought.",
    "Did you hear what happened at work?",
    "I have to be there by six.",
    "That one was really good.",
    "Let us eat early tonight.",
    "I think it starts to rain.",
)
QUESTIONS = (
    "Where did I leave the {0}?",
    "Where did I last see the {0}?",
    "Where is my {0}?",
    "Where did I put the {0}?",
)

Encode = Callable[[Sequence[str]], Vectors]


@dataclass(frozen=True, slots=True)
class Asked:
    """A question, the event that answers it, and whether it is asked in other words."""

    text: str
    event: str
    other_word: bool


@dataclass(frozen=True, slots=True, eq=False)
class Moment:
    """An event with its sights."""

    event: Event
    sights: tuple[Sight, ...]

    @property
    def words(self) -> str:
        """All that is told of it, as one text: what peers of words and texts are given."""
        names = ", ".join(dict.fromkeys(sight.name for sight in self.sights if sight.name))
        return ". ".join(filter(None, (names, self.event.text, self.event.said)))


@dataclass(frozen=True, slots=True, eq=False)
class _Plan:
    """The names that each event holds, and what is said in it."""

    room: str
    names: list[str]
    said: str = ""


class Day:
    """Some hours of a wearer's day, the same for the same seed."""

    def __init__(self, hours: float, questions: int, encode: Encode, seed: int = 0) -> None:
        rng = random.Random(seed)
        count = round(hours * EVENTS_PER_HOUR)
        self.hours, self._seed = hours, seed
        self._plans = [_plan(rng, number) for number in range(count)]
        self.asked = _plant(rng, self._plans, questions)
        names = sorted({name for plan in self._plans for name in plan.names})
        self._vectors = dict(zip(names, encode(names), strict=True))

    def moments(self) -> Iterator[Moment]:
        """The events in order, made as they are asked for."""
        rng, numbers = random.Random(self._seed), np.random.default_rng(self._seed)
        length = 3600 * NS_PER_S // EVENTS_PER_HOUR
        for number, plan in enumerate(self._plans):
            start = number * length
            end = start + length
            sights, vectors = [], []
            for track, name in enumerate(plan.names):
                vectors.append(_noisy(self._vectors[name], numbers))
                x, y = rng.randrange(500), rng.randrange(300)
                sights.append(
                    Sight(
                        event=f"e{number}",
                        track=number * 10 + track,
                        name="" if rng.random() < NAMELESS else name,
                        confidence=0.8,
                        box=(x, y, x + 60, y + 60),
                        meaning=quantise(vectors[-1]),
                        look=numbers.bytes(LOOK_BYTES),
                        start_ns=start,
                        end_ns=end,
                    )
                )
            frame = quantise(unit_rows(np.mean(vectors, axis=0, keepdims=True))[0])
            text = rng.choice(SIGNS) if rng.random() < 0.3 else ""
            said = plan.said or (rng.choice(REMARKS) if rng.random() < 0.4 else "")
            event = Event(
                f"e{number}", "day", start, end, None, text, said, "wearer" if said else "", frame
            )
            yield Moment(event, tuple(sights))


def _plan(rng: random.Random, number: int) -> _Plan:
    """Five minutes in a room, furniture of it, and things of any colour."""
    room = list(ROOMS)[(number // 30 * 7) % len(ROOMS)]
    names = rng.sample(_furniture(room), SIGHTS - 2)
    names += [f"{rng.choice(COLOURS)} {rng.choice(list(THINGS))}" for _ in range(2)]
    return _Plan(room, names)


def _furniture(room: str) -> list[str]:
    words = ROOMS[room].split()
    return words[: SIGHTS + 1]


def _plant(rng: random.Random, plans: list[_Plan], questions: int) -> list[Asked]:
    """Put things where they are to be found; nothing else of that name and colour is there."""
    wanted = rng.sample([f"{c} {t}" for c in COLOURS for t in THINGS], questions)
    banned = set(wanted)
    for plan in plans:
        plan.names[:] = [
            name if name not in banned else f"{name.split()[0]} door" for name in plan.names
        ]
    asked = []
    for number, name in enumerate(wanted):
        places = sorted(rng.sample(range(len(plans) * 9 // 10), rng.randint(2, 5)))
        for place in places:
            plans[place].names[-1 if name not in plans[place].names else 0] = name
        last = places[-1]
        _distract(rng, plans, name, last)
        thing = name.split()[1]
        other = number % 2 == 1
        word = THINGS[thing] if other else thing
        text = rng.choice(QUESTIONS).format(f"{name.split()[0]} {word}")
        asked.append(Asked(text, f"e{last}", other))
    # A later planting may have taken a place: what is true is what is there in the end.
    settled = [_settled(one, name, plans) for one, name in zip(asked, wanted, strict=True)]
    return [one for one in settled if one is not None]


def _distract(rng: random.Random, plans: list[_Plan], name: str, last: int) -> None:
    """Talk of it, a question for it, and the same in another colour, all after it was seen."""
    colour, thing = name.split()
    for said in (f"I should clean the {name} some day.", f"Where is my {name}?"):
        if rng.random() < 0.3:
            at = rng.randrange(last + 1, len(plans))
            plans[at] = _Plan(plans[at].room, plans[at].names, said)
    at = rng.randrange(last + 1, len(plans))
    if plans[at].names[0].split()[0] not in COLOURS:
        plans[at].names[0] = f"{rng.choice([c for c in COLOURS if c != colour])} {thing}"


def _settled(asked: Asked, name: str, plans: Sequence[_Plan]) -> Asked | None:
    places = [number for number, plan in enumerate(plans) if name in plan.names]
    return Asked(asked.text, f"e{places[-1]}", asked.other_word) if places else None


def _noisy(vector: Vectors, rng: np.random.Generator) -> Vectors:
    """A unit vector whose cosine with a unit vector is about MEANING."""
    noise = rng.normal(size=vector.shape).astype(np.float32)
    noise -= (noise @ vector) * vector
    noise /= np.linalg.norm(noise)
    return np.asarray(MEANING * vector + np.sqrt(1 - MEANING**2) * noise, np.float32)
