"""Home Assistant's device discovery: one retained message that makes every entity appear.

Source: Home Assistant's MQTT documentation, "Discovery messages and payloads": topic
`<prefix>/device/<object id>/config`, keys `device`, `origin` and `components`.
"""

import json
from typing import Any

from devices.mqtt.homie import HomieDevice, HomieNode, HomieProperty, HomieTopics, bounds

MAX_STATE = 255  # characters; Home Assistant refuses longer states
_CLASSES = {
    "battery": "battery",
    "charging": "battery_charging",
    "temperature": "temperature",
    "busy": "running",
}
_AVAILABLE = "{{ 'online' if value in ('ready', 'sleeping') else 'offline' }}"
# An answer is a JSON object: its words become the state, the rest attributes.
_ANSWER = f"{{{{ (value_json.text or value_json.error or '')[:{MAX_STATE}] }}}}"


def discovery_topic(device: HomieDevice, prefix: str = "homeassistant") -> str:
    """Where Home Assistant looks for the device."""
    return f"{prefix}/device/{device.id}/config"


def discovery_payload(device: HomieDevice, topics: HomieTopics, version: str) -> str:
    """The retained JSON message; an empty one removes the device again."""
    components = {}
    for node in device.nodes:
        for one in node.properties:
            component = _component(device, node, one, topics)
            if component is not None:
                components[f"{node.id}-{one.id}"] = component
    payload = {
        "device": {"identifiers": [device.id], "name": device.name, "manufacturer": "Foveal"},
        "origin": {"name": "foveal", "sw_version": version},
        "availability": [{"topic": topics.state, "value_template": _AVAILABLE}],
        "components": components,
        "qos": 1,
    }
    return json.dumps(payload, ensure_ascii=False)


def _component(
    device: HomieDevice, node: HomieNode, one: HomieProperty, topics: HomieTopics
) -> dict[str, Any] | None:
    """One entity; None for what Home Assistant has no entity for (a list of answers)."""
    topic = topics.value(node.id, one.id)
    platform = _platform(one)
    if one.datatype == "json" and one.id != "answer":
        return None
    entity: dict[str, Any] = {
        "platform": platform,
        "unique_id": f"{device.id}-{node.id}-{one.id}",
        "name": one.name,
    }
    if one.retained:
        entity["state_topic"] = topic
    if one.settable:
        entity["command_topic"] = f"{topic}/set"
    if one.unit:
        entity["unit_of_measurement"] = one.unit
    if not one.settable and one.id in _CLASSES:
        entity["device_class"] = _CLASSES[one.id]
    return {**entity, **_details(one, platform, topic)}


def _platform(one: HomieProperty) -> str:
    if one.settable:
        names = {"boolean": "switch", "enum": "select", "integer": "number", "float": "number"}
        return names.get(one.datatype, "text")
    return "binary_sensor" if one.datatype == "boolean" else "sensor"


def _details(one: HomieProperty, platform: str, topic: str) -> dict[str, Any]:
    if one.datatype == "boolean":
        return {"payload_on": "true", "payload_off": "false"}
    if platform == "select":
        return {"options": one.format.split(",")}
    if platform == "text":
        return {"max": MAX_STATE}
    if platform == "number":
        names = zip(("min", "max", "step"), bounds(one), strict=True)
        return {name: value for name, value in names if value is not None}
    if one.datatype == "json":
        return {"value_template": _ANSWER, "json_attributes_topic": topic}
    return {}
