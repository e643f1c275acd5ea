"""Homie 5 topics, and the document that describes a device. Pure: no network.

Source: The Homie Convention 5.0 (homieiot.github.io): `base/5/device/node/property`, commands on
`.../set`, `$state`, `$description`, `$alert/<id>`, `$log/<level>`.
"""

import json
import zlib
from dataclasses import dataclass
from typing import Any, Literal

from devices.mqtt.homie_properties import ID, HomieDevice, HomieProperty, check_id

State = Literal["init", "ready", "disconnected", "sleeping", "lost"]
LogLevel = Literal["debug", "info", "warn", "error", "fatal"]


@dataclass(frozen=True, slots=True)
class HomieTopics:
    """Every topic of one device."""

    device_id: str
    base: str = "homie"

    def __post_init__(self) -> None:
        check_id(self.device_id)
        check_id(self.base)

    @property
    def root(self) -> str:
        """`base/5/device`."""
        return f"{self.base}/5/{self.device_id}"

    @property
    def state(self) -> str:
        """Where the device's state is retained, and the last will goes."""
        return f"{self.root}/$state"

    @property
    def description(self) -> str:
        """Where the device's description is retained."""
        return f"{self.root}/$description"

    @property
    def commands(self) -> str:
        """The subscription that covers every command."""
        return f"{self.root}/+/+/set"

    def value(self, node_id: str, property_id: str) -> str:
        """Where a property's value is published."""
        return f"{self.root}/{node_id}/{property_id}"

    def alert(self, alert_id: str) -> str:
        """Where an alert is retained until it is over."""
        return f"{self.root}/$alert/{check_id(alert_id)}"

    @property
    def alerts(self) -> str:
        """The subscription that covers every alert."""
        return f"{self.root}/$alert/+"

    def log(self, level: LogLevel) -> str:
        """Where log lines go, not retained."""
        return f"{self.root}/$log/{level}"

    def command(self, topic: str) -> tuple[str, str] | None:
        """(node, property) of a command topic; None for any other topic."""
        prefix = self.root + "/"
        if not topic.startswith(prefix):
            return None
        match topic[len(prefix) :].split("/"):
            case [node_id, property_id, "set"] if ID.match(node_id) and ID.match(property_id):
                return node_id, property_id
        return None


def description(device: HomieDevice) -> str:
    """The `$description` document. Its version changes whenever its content does."""
    nodes: dict[str, Any] = {}
    for node in device.nodes:
        properties = {one.id: _describe(one) for one in node.properties}
        nodes[node.id] = {"name": node.name, "properties": properties}
    body = {"homie": "5.0", "name": device.name, "nodes": nodes}
    version = zlib.crc32(json.dumps(body, sort_keys=True).encode())
    return json.dumps({**body, "version": version}, ensure_ascii=False)


def _describe(one: HomieProperty) -> dict[str, Any]:
    told: dict[str, Any] = {"name": one.name, "datatype": one.datatype}
    for key in ("format", "unit"):
        if getattr(one, key):
            told[key] = getattr(one, key)
    return {**told, "settable": one.settable, "retained": one.retained}
