"""What needs no broker: payloads, topics, descriptions, the outbox, back-off, the sensors."""

import asyncio
import json
import math
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from devices.board.power import PowerReading, power_alerts, read_power
from devices.mqtt.home_assistant import discovery_payload, discovery_topic
from devices.mqtt.homie import (
    EMPTY,
    MAX_PAYLOAD,
    Datatype,
    HomieDevice,
    HomieNode,
    HomieProperty,
    HomieTopics,
    bounds,
    description,
    format_value,
    parse_value,
)
from devices.mqtt.link import Backoff, MqttMessage, Outbox
from devices.mqtt.options import BridgeOptions, Broker, parse_broker
from devices.mqtt.questions import (
    MAX_ID,
    MqttQuestion,
    answer_payload,
    foveal_device,
    parse_question,
    readable_parts,
    refusal_payload,
)
from stream.clock import NS_PER_MS, NS_PER_S
from stream.errors import ConfigError, PromptError
from stream.events import MAX_QUESTION_CHARS

PROPERTIES = [
    HomieProperty("a", "A", "string", settable=True),
    HomieProperty("b", "B", "integer", "-10:10:3", settable=True),
    HomieProperty("c", "C", "float", "0:1", settable=True),
    HomieProperty("d", "D", "boolean", settable=True),
    HomieProperty("e", "E", "enum", "low,high", settable=True),
    HomieProperty("f", "F", "json", settable=True),
    HomieProperty("g", "G", "integer", settable=True),
    HomieProperty("h", "H", "float", ":5:0.5", settable=True),
]
TOPICS = HomieTopics("glasses")
PAYLOADS = st.one_of(
    st.binary(max_size=64),
    st.text(max_size=64).map(str.encode),
    st.integers().map(lambda number: str(number).encode()),
    st.floats().map(lambda number: str(number).encode()),
    st.sampled_from(
        [b"true", b"false", b"low", b"{}", b"[1]", b"1e999", b"NaN", b"\0", b"[" * 4000]
    ),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=6,
)


@given(st.sampled_from(PROPERTIES), PAYLOADS)
@example(PROPERTIES[7], b"8.9885e307")  # its steps are more than a float can count
def test_any_payload_is_a_value_of_the_format_or_refused(
    one: HomieProperty, payload: bytes
) -> None:
    try:
        value = parse_value(one, payload)
    except ConfigError:
        return
    again = parse_value(one, format_value(one, value).encode())
    assert again == value
    if isinstance(value, int | float) and not isinstance(value, bool):
        least, most, _ = bounds(one)
        assert math.isfinite(value)
        assert (least is None or value >= least) and (most is None or value <= most)


@pytest.mark.parametrize(
    ("id_", "payload", "value"),
    [
        ("a", "hello", "hello"),
        ("a", EMPTY, ""),
        ("b", "3", 2),
        ("b", "-10", -10),
        ("c", "0.25", 0.25),
        ("d", "false", False),
        ("e", "high", "high"),
        ("f", '{"x": 1}', '{"x": 1}'),
        ("h", "4.8", 5.0),
    ],
)
def test_good_commands(id_: str, payload: str, value: object) -> None:
    one = next(one for one in PROPERTIES if one.id == id_)
    assert parse_value(one, payload.encode()) == value


@pytest.mark.parametrize(
    ("id_", "payload"),
    [
        ("a", ""),
        ("a", "x" * (MAX_PAYLOAD + 1)),
        ("a", "bell\x07"),
        ("b", "11"),
        ("b", "1.5"),
        ("b", " 1"),
        ("b", "٣"),  # a digit, but no ASCII one
        ("c", "nan"),
        ("d", "True"),
        ("e", "low,high"),
        ("f", "1"),
        ("f", "NaN"),
        ("g", "9" * 40),
    ],
)
def test_bad_commands(id_: str, payload: str) -> None:
    one = next(one for one in PROPERTIES if one.id == id_)
    with pytest.raises(ConfigError, match="expected"):
        parse_value(one, payload.encode())


@pytest.mark.parametrize(
    ("kind", "format_", "value"),
    [
        ("boolean", "", 1),
        ("integer", "", True),
        ("integer", "", 1.5),
        ("float", "", math.inf),
        ("enum", "a,b", "c"),
        ("string", "", 3),
    ],
)
def test_values_of_another_type_are_not_told(kind: Datatype, format_: str, value: object) -> None:
    with pytest.raises(ConfigError, match="expected a value"):
        format_value(HomieProperty("x", "X", kind, format_), value)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("payload", "known"),
    [
        (b'{"id": "7", "text": ""}', ("7", "")),
        (b'{"id": "7", "text": "a cup?", "point": [9]}', ("7", "a cup?")),
        (b'{"id": ["7"], "text": "a cup?"}', ("", "a cup?")),
        (b"[]", ("", "")),
        (b"{", ("", "")),
        (b"\xff", ("", "")),
    ],
)
def test_a_refusal_keeps_what_could_be_read(payload: bytes, known: tuple[str, str]) -> None:
    with pytest.raises(PromptError) as refused:
        parse_question(payload)
    told = json.loads(refusal_payload(readable_parts(payload), str(refused.value)))
    assert (told["id"], told["question"]) == known and told["error"]


@given(st.one_of(PAYLOADS, JSON.map(lambda value: json.dumps(value).encode())))
def test_any_payload_is_a_question_or_refused(payload: bytes) -> None:
    try:
        ask = parse_question(payload)
    except PromptError:
        assert len(readable_parts(payload).id) <= MAX_ID
        return
    assert 0 < len(ask.text) <= MAX_QUESTION_CHARS and len(ask.id) <= MAX_ID
    assert ask.text.replace("\n", " ").replace("\t", " ").isprintable()
    assert ask.point is None or all(0 <= share <= 1 for share in ask.point)
    assert json.loads(answer_payload(ask, {"text": "x"}))["question"] == ask.text


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"?!",
        b'{"text": ""}',
        b'{"text": 1}',
        b'{"text": "a", "id": ""}',
        b'{"text": "a", "point": [2, 0]}',
        b'{"text": "a", "point": [true, 0]}',
        b'{"text": "a", "point": [0.1]}',
        b'{"text": "a\\u0000"}',
        b'{"id": "a"}',
        b"a" * (MAX_QUESTION_CHARS + 1),
    ],
)
def test_what_is_no_question(payload: bytes) -> None:
    with pytest.raises(PromptError):
        parse_question(payload)


def test_refusals_name_the_question_they_belong_to() -> None:
    assert json.loads(refusal_payload(MqttQuestion("why?", "7"), "busy")) == {
        "id": "7",
        "question": "why?",
        "text": "",
        "error": "busy",
    }


@given(st.text(max_size=60))
def test_only_topics_of_commands_are_commands(text: str) -> None:
    for topic in (text, f"{TOPICS.root}/{text}", f"{TOPICS.root}/a/{text}/set"):
        target = TOPICS.command(topic)
        assert target is None or f"{TOPICS.root}/{target[0]}/{target[1]}/set" == topic


def test_the_description_has_a_version_that_follows_its_content() -> None:
    first, second = (foveal_device("glasses", name) for name in ("One", "Two"))
    told, other = json.loads(description(first)), json.loads(description(second))
    assert told["homie"] == "5.0"
    assert told["nodes"]["assistant"]["properties"]["ask"]["retained"] is False
    assert told["version"] != other["version"]
    assert told == json.loads(description(foveal_device("glasses", "One")))


def test_bad_devices_are_refused() -> None:
    with pytest.raises(ConfigError, match="a-z"):
        foveal_device("My Glasses")
    with pytest.raises(ConfigError, match="different ids"):
        HomieDevice("a", "A", (HomieNode("n", "N", ()), HomieNode("n", "N", ())))
    with pytest.raises(ConfigError, match="min:max:step"):
        HomieProperty("x", "X", "integer", "low:high")
    with pytest.raises(ConfigError, match="min <= max"):
        HomieProperty("x", "X", "integer", "5:1")
    with pytest.raises(ConfigError, match="settable"):
        foveal_device(settings=(HomieProperty("x", "X", "boolean"),))


def test_home_assistant_is_told_every_entity_it_can_show() -> None:
    device = foveal_device("glasses", "Glasses", tuple(PROPERTIES))
    config = json.loads(discovery_payload(device, TOPICS, "1.2"))
    assert discovery_topic(device) == "homeassistant/device/glasses/config"
    entities = config["components"]
    assert entities["assistant-ask"]["platform"] == "text"
    assert "state_topic" not in entities["assistant-ask"]
    assert entities["device-battery"]["device_class"] == "battery"
    assert entities["device-camera"]["payload_on"] == "true"
    assert entities["settings-e"]["options"] == ["low", "high"]
    assert (entities["settings-b"]["min"], entities["settings-b"]["step"]) == (-10, 3)
    assert "assistant-recent" not in entities
    ids = [entity["unique_id"] for entity in entities.values()]
    assert len(set(ids)) == len(ids)


TOPIC_NAMES = st.sampled_from(["a", "b", "c"])


@given(st.integers(1, 4), st.lists(st.tuples(TOPIC_NAMES, st.booleans(), st.booleans())))
def test_the_outbox_is_bounded_and_counts_all_it_loses(
    capacity: int, steps: list[tuple[str, bool, bool]]
) -> None:
    async def run() -> None:
        outbox = Outbox(capacity)
        put = taken = 0
        for topic, every, take in steps:
            answers = sum(one.every for one in outbox._items)
            outbox.put(MqttMessage(topic, str(put), every=every))
            put += 1
            assert len(outbox) <= capacity
            # An answer only ever gives way to another answer.
            assert sum(one.every for one in outbox._items) >= min(answers, capacity)
            if take:
                first = await outbox.take()
                if first.payload.endswith("0"):
                    outbox.give_back(first)
                else:
                    taken += 1
        assert put == taken + len(outbox) + sum(outbox.dropped.values())

    asyncio.run(run())


@given(st.integers(1, 2**20), st.lists(st.integers(0, 60), max_size=80))
def test_pauses_grow_within_their_bound(seed: int, lasted_s: list[int]) -> None:
    backoff = Backoff(500 * NS_PER_MS, 30 * NS_PER_S, seed)
    for lasted in lasted_s:
        delay_ns = backoff.next_ns(lasted * NS_PER_S)
        assert 250 * NS_PER_MS <= delay_ns <= 30 * NS_PER_S
        if lasted > 30:
            assert delay_ns <= 500 * NS_PER_MS  # it had been up: back soon


def test_pauses_double_up_to_the_longest() -> None:
    backoff = Backoff(NS_PER_S, 8 * NS_PER_S, 1)
    delays = [backoff.next_ns(0) / NS_PER_S for _ in range(6)]
    for delay, full in zip(delays, (1, 2, 4, 8, 8, 8), strict=True):
        assert full / 2 <= delay <= full


def test_addresses() -> None:
    assert parse_broker("mqtt://box.local") == Broker("box.local", 1883)
    tls = parse_broker("mqtts://me:p%40ss@[::1]:99")
    assert tls == Broker("::1", 99, True, "me", "p@ss")
    assert "p@ss" not in repr(tls) + str(tls)
    assert parse_broker("mqtt://me@box", "given").password == "given"
    for bad in ("http://box", "mqtt://", "mqtt://box:99999", "mqtt://u:secret@box/path", "box"):
        with pytest.raises(ConfigError) as caught:
            parse_broker(bad)
        assert "secret" not in str(caught.value)
    with pytest.raises(ConfigError, match="mqtts"):
        parse_broker("mqtt://box", ca_file=Path("ca.pem"))
    with pytest.raises(ConfigError, match="PEM"):
        parse_broker("mqtts://box", ca_file=Path("/nonexistent/ca.pem")).tls_context()
    with pytest.raises(ConfigError, match="positive"):
        BridgeOptions(outbox=0)


def test_sensors_are_read_as_linux_tells_them(tmp_path: Path) -> None:
    assert read_power(tmp_path) == PowerReading()
    for name, files in {
        "power_supply/BAT0": {"type": "Battery", "capacity": "12", "status": "Discharging"},
        "power_supply/hid-mouse": {"type": "Battery", "scope": "Device", "capacity": "3"},
        "power_supply/AC": {"type": "Mains", "online": "0"},
        "thermal/thermal_zone0": {"temp": "88500"},
        "thermal/thermal_zone1": {"temp": "-274000"},
        "thermal/thermal_zone2": {"temp": "broken"},
    }.items():
        (tmp_path / name).mkdir(parents=True)
        for file, text in files.items():
            (tmp_path / name / file).write_text(text + "\n")
    reading = read_power(tmp_path)
    assert reading == PowerReading(12, False, 88.5)
    assert set(power_alerts(reading, frozenset())) == {"battery-low", "hot"}
    between = PowerReading(17, False, 82.0)  # alerts do not flutter around one limit
    assert power_alerts(between, frozenset()) == {}
    assert set(power_alerts(between, frozenset({"battery-low", "hot"}))) == {"battery-low", "hot"}
    assert power_alerts(PowerReading(5, True), frozenset()) == {}
