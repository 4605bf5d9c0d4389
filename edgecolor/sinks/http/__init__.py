"""HTTP: a page, MJPEG streams, snapshots, health, state and metrics, for those who may see them.

views: frames to JPEG, once for all viewers of a view. access: who may come in. transport: connections and their limits.
metrics: Prometheus. page: the page and its policy. answers: what all answers have in common. options: what can be chosen.
server: the sink that joins them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgecolor.sinks.http.access import hash_password
from edgecolor.sinks.http.options import HttpOptions, is_loopback, parse_address

if TYPE_CHECKING:
    from edgecolor.sinks.http.server import HttpSink

__all__ = ["HttpOptions", "HttpSink", "hash_password", "is_loopback", "parse_address"]


def __getattr__(name: str) -> Any:
    """The sink is loaded when it is used: to check options takes no web server."""
    if name == "HttpSink":
        from edgecolor.sinks.http.server import HttpSink

        return HttpSink
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
