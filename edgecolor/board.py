"""The board's own state: how hot it is, whether its firmware slows it down, and how much less we then ask of it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

THERMAL = Path("/sys/class/thermal")
# Raspberry Pi: the kernel's view of the firmware's answer, where the kernel has it.
THROTTLED = Path("/sys/devices/platform/soc/soc:firmware/get_throttled")
VCGENCMD = ("vcgencmd", "get_throttled")
# Raspberry Pi documentation, vcgencmd get_throttled: under-voltage, frequency capped, throttled, soft temperature limit; now.
# The same bits 16 higher tell what has been since the start, which is no reason to hold back today.
_NOW = 0xF
_PROGRAM_S = 2.0
_PLAUSIBLE_C = (-40.0, 150.0)  # some zones of some boards report 0 K, or a constant beyond this

HOTTEST_C = 80.0  # a Raspberry Pi 4 begins to throttle here
_COOL_C = 5.0  # below the limit, before more is asked again
_STEP_S, _RECOVERY_S = 15.0, 60.0  # heat follows load slowly
_LEAST_SHARE = 1 / 16


@dataclass(frozen=True)
class Reading:
    """temperature_c: the hottest zone, None where the board has none. throttled: None where the board does not tell."""

    temperature_c: float | None = None
    throttled: bool | None = None


def read_output(command: Sequence[str]) -> str | None:
    """What a program prints, None when it is absent, fails or hangs."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_PROGRAM_S, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout


class Board:
    """Reads temperature and throttling. Costs up to a process start each time: not for a frame's path.

    thermal: folder of the zones. throttled: the firmware's file. ask: gives what ``vcgencmd get_throttled`` prints, or None;
    it is not asked again once it gave nothing.
    """

    def __init__(
        self, thermal: Path = THERMAL, throttled: Path = THROTTLED, ask: Callable[[], str | None] = lambda: read_output(VCGENCMD)
    ) -> None:
        self._thermal, self._throttled = thermal, throttled
        self._ask: Callable[[], str | None] | None = ask

    def read(self) -> Reading:
        """The board now. What can not be read is None; nothing is raised."""
        return Reading(self._temperature(), self._is_throttled())

    def _temperature(self) -> float | None:
        found = []
        try:
            zones = sorted(self._thermal.glob("thermal_zone*/temp"))
        except OSError:  # no descriptor is left, most likely
            zones = []
        for path in zones:
            text = _text(path)
            try:
                celsius = int(text) / 1000 if text else None  # millidegrees
            except ValueError:
                continue
            if celsius is not None and _PLAUSIBLE_C[0] < celsius < _PLAUSIBLE_C[1] and celsius != 0:
                found.append(celsius)
        return max(found, default=None)

    def _is_throttled(self) -> bool | None:
        text = _text(self._throttled)
        if text is None and self._ask is not None:
            text = self._ask()
            if text is None:
                self._ask = None
        try:
            # The file holds 50005, the program prints throttled=0x50005: hexadecimal both.
            return None if text is None else bool(int(text.strip().removeprefix("throttled="), 16) & _NOW)
        except ValueError:
            return None


class BackOff:
    """The share of its work that a board is asked for: halved every 15 s while it is too hot or throttled, doubled every minute after.

    hottest: limit in degrees Celsius. Between it and 5 degrees less nothing changes.
    """

    def __init__(self, hottest: float = HOTTEST_C) -> None:
        self.share = 1.0
        self._hottest = hottest
        self._good_since: float | None = None
        self._halved_at: float | None = None

    def update(self, reading: Reading, time: float) -> float:
        """Take a reading, made at ``time`` in seconds, into account; returns the new share, 1 to 1/16."""
        temperature = reading.temperature_c
        if reading.throttled or (temperature is not None and temperature > self._hottest):
            if self._halved_at is None or time - self._halved_at >= _STEP_S:
                self.share, self._halved_at = max(_LEAST_SHARE, self.share / 2), time
            self._good_since = None
        elif temperature is not None and temperature > self._hottest - _COOL_C:
            self._good_since = None
        elif self._good_since is None:
            self._good_since = time
        elif time - self._good_since >= _RECOVERY_S:
            self.share, self._good_since = min(1.0, self.share * 2), time
        return self.share


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:  # absent, or a sensor that does not answer now
        return None
