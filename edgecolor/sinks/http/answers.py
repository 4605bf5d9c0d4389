"""What all answers have in common: refusals as JSON, and headers."""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable

from aiohttp import ClientConnectionResetError, web

_LOG = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def error(kind: type[web.HTTPException], message: str, headers: dict[str, str] | None = None) -> web.HTTPException:
    """A refusal as JSON: {"error": message}."""
    return kind(text=json.dumps({"error": message}), content_type="application/json", headers=headers)


@web.middleware
async def answer_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Every error is JSON; one that nobody foresaw is logged and tells the viewer nothing of the inside."""
    try:
        return await handler(request)
    except web.HTTPException as refusal:
        if refusal.content_type == "application/json":
            raise
        headers = {"Allow": refusal.headers["Allow"]} if "Allow" in refusal.headers else None
        return web.json_response({"error": refusal.reason}, status=refusal.status, headers=headers)
    except ClientConnectionResetError:
        raise
    except Exception:  # noqa: BLE001 - the last stop before the network
        # Without the query: it may hold the token.
        _LOG.error("%s %s failed", request.method, request.path, exc_info=True)
        return web.json_response({"error": "internal error"}, status=500)


async def set_headers(request: web.Request, response: web.StreamResponse) -> None:
    """What every answer says: keep no copy, guess no type, tell no other site the address (it may hold a token)."""
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["Server"] = "EdgeColor"
