"""Battery and temperature as Linux tells them; what the machine has not is None."""

from dataclasses import dataclass
from pathlib import Path

SYSFS = Path("/sys/class")
LOW_BATTERY, FINE_BATTERY = 15, 20  # percent: an alert starts at the first, ends at the second
HOT, COOL = 85.0, 80.0  # degrees Celsius, likewise


@dataclass(frozen=True, slots=True)
class PowerReading:
    """One reading."""

    battery: int | None = None  # percent, 0..100; the emptiest where there are several
    charging: bool | None = None
    temperature: float | None = None  # degrees Celsius, the hottest zone


def read_power(sysfs: Path = SYSFS) -> PowerReading:
    """Read now; sensors that are absent or broken are left out."""
    batteries = [
        folder
        for folder in sorted(sysfs.glob("power_supply/*"))
        # A mouse's battery says "Device"; only the machine's own count.
        if _text(folder / "type") == "Battery" and _text(folder / "scope") != "Device"
    ]
    levels = [level for one in batteries if (level := _whole(one / "capacity")) is not None]
    statuses = [status for one in batteries if (status := _text(one / "status"))]
    zones = [_whole(path) for path in sorted(sysfs.glob("thermal/thermal_zone*/temp"))]
    # Zones that are switched off report 0, negative or absurd values.
    hot = [zone / 1000 for zone in zones if zone is not None and 0 < zone < 200_000]
    return PowerReading(
        battery=min(max(min(levels), 0), 100) if levels else None,
        charging=any(one in ("Charging", "Full") for one in statuses) if statuses else None,
        temperature=round(max(hot), 1) if hot else None,
    )


def power_alerts(reading: PowerReading, active: frozenset[str]) -> dict[str, str]:
    """Alert id -> words for what is wrong now. `active` ids end later than they start."""
    alerts = {}
    level, heat = reading.battery, reading.temperature
    limit = FINE_BATTERY - 1 if "battery-low" in active else LOW_BATTERY
    if level is not None and not reading.charging and level <= limit:
        alerts["battery-low"] = f"Battery at {level} %"
    limit_c = COOL if "hot" in active else HOT
    if heat is not None and heat >= limit_c:
        alerts["hot"] = f"Device at {heat:.0f} °C"
    return alerts


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""


def _whole(path: Path) -> int | None:
    try:
        return int(_text(path))
    except ValueError:
        return None
