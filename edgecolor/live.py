"""The choices that a live feed leaves: when to guess, how often, how smoothly, and how to reach a lost source again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from edgecolor.board import HOTTEST_C
from edgecolor.errors import ConfigError
from edgecolor.temporal import SMOOTHING_S

Mode = Literal["auto", "always", "never"]


@dataclass(frozen=True)
class LiveOptions:
    """How a live feed is treated. Raises ConfigError for values that make no sense.

    colorize: "auto" guesses while the feed is gray and passes it on untouched while it has colours of its own; "always" guesses
    in any case; "never" passes everything on as it is. chroma_rate: most guesses a second, 0 for as many as the board can.
    smoothing: time constant in seconds, 0 for none. on_demand: no guesses while no sink wants colour. retry_first, retry_most:
    seconds between tries to reach a lost source, doubled from one to the other; retry_steady: seconds of frames after which
    they begin anew. hottest: degrees Celsius above which guesses are made less often.
    """

    colorize: Mode = "auto"
    chroma_rate: float = 0.0
    smoothing: float = SMOOTHING_S
    on_demand: bool = True
    retry_first: float = 1.0
    retry_most: float = 30.0
    retry_steady: float = 10.0
    hottest: float = HOTTEST_C

    def __post_init__(self) -> None:
        if self.colorize not in get_args(Mode):
            raise ConfigError(f"colorize is {self.colorize!r}; it must be one of {', '.join(get_args(Mode))}")
        for name in ("chroma_rate", "smoothing", "retry_steady"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise ConfigError(f"{name} is {getattr(self, name)}; it must be 0 or more")
        if not 0 < self.retry_first <= self.retry_most < float("inf"):
            raise ConfigError(f"retry_first is {self.retry_first}, retry_most {self.retry_most}; above 0, and the first the smaller")
