"""A server process for tests, put together from the real pipeline and HTTP sink, with what no command line offers: a source
or a network of the test's own. Scripts that the tests start import it."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import numpy as np

from edgecolor.colorizer import Colorizer
from edgecolor.live import LiveOptions
from edgecolor.logs import LogOptions, start_logging
from edgecolor.serving import LiveServer, Parts
from edgecolor.sinks.http import HttpOptions
from edgecolor.sinks.publish import PublishOptions


class Vivid:
    """A network whose colours are strong and known: a* falls from left to right, b* is high."""

    size = (64, 64)

    def __call__(self, luma, color_range):
        ab = np.empty((16, 16, 2), np.float32)
        ab[..., 0] = np.linspace(45, -45, 16, dtype=np.float32)
        ab[..., 1] = 40
        return ab


class Gray:
    """A network that is quick and sees no colour anywhere."""

    size = (16, 16)

    def __call__(self, luma, color_range):
        return np.zeros((4, 4, 2), np.float32)


def serve_live(
    source: Any, network: Any = None, http: HttpOptions | None = None, live: LiveOptions | None = None,
    publish: PublishOptions | None = None,
) -> None:
    """Serve until a signal comes or the source ends, then exit; by default at a free port of 127.0.0.1."""
    start_logging(LogOptions("warning"))
    parts = Parts(
        source, Colorizer(network=network or Vivid()), http or HttpOptions(address="127.0.0.1:0"), live or LiveOptions(),
        publish or PublishOptions(),
    )

    async def serve() -> None:
        await LiveServer(parts).run()

    asyncio.run(serve())
    sys.exit(0)
