"""An answer is on screen while it is spoken, and not a breath longer than that."""

from hypothesis import given
from hypothesis import strategies as st

from foveal.output.captions import BREATH_NS, MAX_READING_NS, MIN_READING_NS, Captions
from stream.clock import NS_PER_S, VirtualClock

STEP_NS = NS_PER_S // 10
Sentences = list[tuple[str, int]]


def text(sentence: str, question: str = "What is this?") -> str:
    return f"Q: {question}\nA: {sentence}"


async def test_each_sentence_is_shown_while_it_is_spoken() -> None:
    clock, captions, shown = VirtualClock(), Captions(), []
    captions.ask("What is this?", clock.now_ns())
    captions.say("A cup. ", 2 * NS_PER_S, clock.now_ns())
    captions.say("It holds coffee.", 3 * NS_PER_S, clock.now_ns())
    for second in range(8):
        await clock.sleep_until(second * NS_PER_S)
        shown.append(captions.at(clock.now_ns()))
    first, second_one = text("A cup."), text("It holds coffee.")
    # Two seconds and three of speech, a breath, then nothing.
    assert shown == [first, first, *[second_one] * 4, None, None]


def test_a_newer_answer_takes_the_place_at_once() -> None:
    captions = Captions()
    captions.ask("What is this?", 0)
    for sentence in ("A cup.", "It holds coffee.", "People drink from it."):
        captions.say(sentence, 4 * NS_PER_S, 0)
    assert captions.at(NS_PER_S) == text("A cup.")
    captions.ask("And that?", 2 * NS_PER_S)
    assert captions.at(2 * NS_PER_S) is None  # cut off, before the answer has its first sentence
    captions.say("A cat.", NS_PER_S, 2 * NS_PER_S + STEP_NS)
    assert captions.at(2 * NS_PER_S + STEP_NS) == text("A cat.", "And that?")
    assert captions.at(9 * NS_PER_S) is None  # what was cut off does not come back


def test_answers_after_the_last_picture_are_shown_one_after_the_other() -> None:
    captions = Captions()
    assert captions.at(NS_PER_S) is None  # the last picture
    for question, sentence in (("One?", "First."), ("Two?", "Second.")):
        captions.ask(question, NS_PER_S)
        captions.say(sentence, 2 * NS_PER_S, NS_PER_S)
    rest = list(captions.rest(NS_PER_S))
    assert [shown for shown, _ in rest] == [text("First.", "One?"), text("Second.", "Two?")]
    assert [duration_ns for _, duration_ns in rest] == [2 * NS_PER_S + BREATH_NS] * 2


def test_what_nobody_speaks_can_be_read() -> None:
    captions = Captions()
    for at_s, answer, least_ns, most_ns in (
        (0, "Yes.", MIN_READING_NS, MIN_READING_NS),
        (20, "word " * 400, MAX_READING_NS, MAX_READING_NS),
        (40, "A cat is a small carnivore that people keep. " * 2, MIN_READING_NS, MAX_READING_NS),
    ):
        captions.ask("What is this?", at_s * NS_PER_S)
        captions.read(answer, at_s * NS_PER_S)
        ((shown, duration_ns),) = captions.rest(at_s * NS_PER_S)
        assert shown == text(answer.strip())
        assert least_ns <= duration_ns <= most_ns


@given(
    st.lists(
        st.tuples(
            st.lists(st.tuples(st.text(max_size=30), st.integers(0, 8 * NS_PER_S)), max_size=4),
            st.integers(1, 20 * NS_PER_S),
        ),
        max_size=12,
    )
)
def test_nothing_is_ever_shown_late(turns: list[tuple[Sentences, int]]) -> None:
    """What is on screen belongs to the newest question, and is spoken or just was."""
    captions, now_ns = Captions(), 0
    for number, (sentences, until_next_ns) in enumerate(turns):
        captions.ask(str(number), now_ns)
        ends_ns, spoken_ns = now_ns, []
        for sentence, duration_ns in sentences:
            captions.say(sentence, duration_ns, now_ns)
            ends_ns += duration_ns
            spoken_ns.append((text(sentence.strip(), str(number)), ends_ns))
        for at_ns in range(now_ns, now_ns + until_next_ns, NS_PER_S):
            shown = captions.at(at_ns)
            if shown is not None:
                assert shown in [one for one, end_ns in spoken_ns if at_ns < end_ns + BREATH_NS]
        now_ns += until_next_ns
    for shown, duration_ns in captions.rest(now_ns):
        now_ns += duration_ns
        assert shown in [one for one, _ in spoken_ns]
    assert captions.at(now_ns) is None and list(captions.rest(now_ns)) == []
