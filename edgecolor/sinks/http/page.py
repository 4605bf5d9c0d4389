"""The page, and the policy that lets nothing run on it but its own script and style."""

from __future__ import annotations

import base64
import functools
import hashlib
import re
from pathlib import Path


@functools.cache
def read_page() -> tuple[str, str]:
    """The page as text, and its Content-Security-Policy."""
    page = (Path(__file__).parent / "page.html").read_text("utf-8")
    return page, content_security_policy(page)


def content_security_policy(page: str) -> str:
    """Lets the page's own inline script and style run, by their hashes, and nothing from elsewhere (CSP Level 3)."""

    def hashes(tag: str) -> str:
        bodies = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        return " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(body.encode()).digest()).decode()}'" for body in bodies)

    return (
        f"default-src 'none'; img-src 'self' data:; connect-src 'self'; script-src {hashes('script')}; style-src {hashes('style')}; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
    )
