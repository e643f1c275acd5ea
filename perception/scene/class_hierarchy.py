"""Which names are kinds of which: ImageNet's classes under COCO's, and the words people use.

ImageNet numbers its classes along WordNet's tree, so most kinds are a few ranges of numbers.
"""

from functools import lru_cache

from perception.scene.name_matching import words_of
from perception.scene.recogniser import EVERYDAY

# How well a class fits: by its name, by another word or with an adjective, by its group.
EXACT, HEAD, GROUP = 1.0, 0.9, 0.8

# COCO's class -> ImageNet's numbers; `a-b` with both ends.
_KINDS = {
    "person": "981-983",
    "bicycle": "444 671",
    "car": "407 436 468 511 609 627 656 661 751 817",
    "motorcycle": "665 670",
    "airplane": "404 895",
    "bus": "654 779 874",
    "train": "466 547 565 705 820 829",
    "truck": "555 569 675 717 734 864 867",
    "boat": "403 472 484 510 554 576 625 628 724 780 814 833 871 914",
    "traffic light": "920",
    "parking meter": "704",
    "bench": "703",
    "bird": "7-24 80-100 127-146",
    "cat": "281-287",
    "dog": "151-268 273-275",
    "horse": "339",
    "sheep": "348-349",
    "cow": "345-347",
    "elephant": "101 385-386",
    "bear": "294-297",
    "zebra": "340",
    "backpack": "414",
    "umbrella": "879",
    "handbag": "636 748",
    "tie": "451 457 906",
    "skis": "795",
    "ball": "429-430 522 574 722 768 805 852 890",
    "tennis racket": "752",
    "bottle": "440 720 737 898 907",
    "wine glass": "441 572 966",
    "cup": "504 647 967-969",
    "knife": "499 623",
    "spoon": "618 910",
    "bowl": "659 809 925-926",
    "banana": "954",
    "apple": "948",
    "sandwich": "933",
    "orange": "950",
    "broccoli": "937",
    "hot dog": "934",
    "pizza": "963",
    "chair": "423 559 765 857",
    "couch": "831",
    "potted plant": "738",
    "bed": "431 516 520 564",
    "table": "526 532 736",
    "toilet": "861",
    "television": "664 782 851",
    "laptop": "620 681",
    "computer mouse": "673",
    "remote control": "761",
    "keyboard": "508 878",
    "cell phone": "487",
    "microwave": "651",
    "oven": "766 827",
    "toaster": "859",
    "sink": "896",
    "refrigerator": "760",
    "book": "917 921",
    "clock": "409 530 892",
    "vase": "883",
    "teddy bear": "850",
    "hair dryer": "589",
}
# Classes whose kinds are no finer names, only other or odd words for the same thing.
_PLAIN = frozenset(
    (
        *("person", "boat", "train", "traffic light", "parking meter", "cat", "horse", "backpack"),
        *("umbrella", "tie", "skis", "tennis racket", "banana", "orange", "broccoli", "hot dog"),
        *("pizza", "potted plant", "bed", "toilet", "television", "laptop", "computer mouse"),
        *("remote control", "cell phone", "microwave", "oven", "toaster", "sink", "refrigerator"),
        *("book", "vase", "teddy bear", "hair dryer", "bowl", "wine glass"),
    )
)
# More words for COCO's classes than EVERYDAY has.
_WORDS = {
    "person": "human|boy|girl|guy|lady|somebody|someone|anybody|anyone|baby|kid|pedestrian",
    "bicycle": "push bike|cycle",
    "car": "automobile|sedan|taxi|cab",
    "motorcycle": "scooter|moped",
    "airplane": "aeroplane|jet|airliner",
    "truck": "van|pickup",
    "boat": "canoe|kayak|sailboat|yacht|ferry",
    "cat": "kitten|kitty",
    "dog": "puppy|hound|doggy",
    "horse": "pony",
    "sheep": "lamb|ram",
    "cow": "bull|calf|ox",
    "traffic light": "stoplight|traffic signal",
    "handbag": "purse",
    "suitcase": "luggage|trunk",
    "ball": "football|basketball|soccer ball",
    "bottle": "flask",
    "wine glass": "goblet|glass",
    "cup": "glass|teacup|coffee cup|beaker|tumbler",
    "bowl": "mixing bowl|salad bowl",
    "cell phone": "smartphone|mobile|iphone",
    "couch": "settee|loveseat",
    "potted plant": "plant|flowerpot|pot plant|flower",
    "table": "desk|coffee table|kitchen table",
    "television": "telly|display|computer screen",
    "laptop": "notebook|computer|macbook",
    "computer mouse": "mouse",
    "oven": "cooker",
    "sink": "basin|washbowl",
    "hair dryer": "hair drier|blow dryer",
    "donut": "dough nut",
    "tie": "bow tie",
    "clock": "wall clock",
    "book": "novel|magazine|textbook",
}
_GROUPS = {
    "animal|creature|pet": "bird|cat|dog|horse|sheep|cow|elephant|bear|zebra|giraffe",
    "vehicle": "bicycle|car|motorcycle|airplane|bus|train|truck|boat",
    "furniture": "chair|couch|bed|table|bench",
    "seat": "chair|couch|bench",
    "fruit": "banana|apple|orange",
    "vegetable": "broccoli|carrot",
    "food": "banana|apple|sandwich|orange|broccoli|carrot|hot dog|pizza|donut|cake",
    "cutlery|silverware|utensil": "fork|knife|spoon",
    "dish|tableware|crockery": "bowl|cup",
    "drink|beverage": "bottle|cup|wine glass",
    "appliance": "microwave|oven|toaster|refrigerator|sink",
    "bag|luggage": "backpack|handbag|suitcase",
    "toy": "teddy bear|kite|ball|frisbee",
    "electronics|gadget|device": "television|laptop|computer mouse|remote control|keyboard|"
    "cell phone",
    "container|vessel": "bottle|cup|bowl|vase|wine glass",
}

Phrase = tuple[str, ...]


@lru_cache(maxsize=1)
def kinds() -> tuple[tuple[int, ...], ...]:
    """For each of EVERYDAY's names, the ImageNet classes that are kinds of it."""
    return tuple(_numbers(_KINDS.get(names[0], "")) for names in EVERYDAY)


def has_finer(label: int) -> bool:
    """Whether a kind of one of EVERYDAY's names is worth saying instead of it."""
    return EVERYDAY[label][0] not in _PLAIN and bool(kinds()[label])


def fitting(phrase: str) -> dict[int, float]:
    """EVERYDAY's names that a phrase means, with how well each fits, 0..1; often none.

    "red mug" means a cup, "animal" any of ten; "dog" does not mean a hot dog.
    """
    words = words_of(phrase)
    for length in range(len(words), 0, -1):  # the longest name at the phrase's end is meant
        found = _names().get(words[-length:])
        if found is not None:
            weight = EXACT if length == len(words) else HEAD
            return {label: weight * fit for label, fit in found}
    return {}


@lru_cache(maxsize=1)
def _names() -> dict[Phrase, tuple[tuple[int, float], ...]]:
    """Words of a name or a group -> the labels that it stands for."""
    table: dict[Phrase, dict[int, float]] = {}
    index = {names[0]: number for number, names in enumerate(EVERYDAY)}
    for label, names in enumerate(EVERYDAY):
        # Nobody is told whether the person they see is a woman.
        same = names if names[0] != "person" else ("person", "people", "somebody", "anyone")
        for name in same:
            table.setdefault(words_of(name), {})[label] = EXACT
        for name in (*names, *_split(_WORDS.get(names[0], ""))):
            table.setdefault(words_of(name), {}).setdefault(label, HEAD)
    for groups, members in _GROUPS.items():
        for group in _split(groups):
            row = table.setdefault(words_of(group), {})
            for member in _split(members):
                row.setdefault(index[member], GROUP)
    return {words: tuple(row.items()) for words, row in table.items()}


def _split(text: str) -> list[str]:
    return text.split("|") if text else []


def _numbers(text: str) -> tuple[int, ...]:
    numbers: list[int] = []
    for part in text.split():
        first, _, last = part.partition("-")
        numbers += range(int(first), int(last or first) + 1)
    return tuple(numbers)
