"""Who may come in: by password or token, under which host names, and how many times one may be wrong.

Sources: RFC 7617 (Basic), RFC 6750 (Bearer), RFC 7914 (scrypt); cost after the OWASP Password Storage Cheat Sheet.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import ipaddress
import os
import re
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from time import monotonic
from typing import Literal

from edgecolor.credentials import Secret
from edgecolor.errors import ConfigError

Verdict = Literal["granted", "absent", "wrong", "throttled"]
# 16 MiB and about 0.2 s on a desktop, a second or two on a small board: paid once for each password that is tried.
_N, _R, _P = 1 << 14, 8, 5
_MOST_MEMORY, _MOST_WORK = 64 << 20, 1 << 24  # bytes; n * r * p
_FORM = re.compile(r"scrypt\$(\d{1,8})\$(\d{1,4})\$(\d{1,4})\$([A-Za-z0-9+/]+=*)\$([A-Za-z0-9+/]+=*)")
# So many wrong tries at once, and one more after each so many seconds.
_TRIES, _REFILL_S = 10, 5.0
_REMEMBERED = 1024  # addresses
_CHECKS = 4  # passwords being checked or waiting for it; each costs memory and a core


@dataclass(frozen=True)
class PasswordHash:
    """A password as scrypt$n$r$p$salt$hash: RFC 7914's cost, block size and parallelism, then salt and hash in base64."""

    n: int
    r: int
    p: int
    salt: bytes
    hash: bytes

    @staticmethod
    def parse(text: Secret) -> PasswordHash:
        """The text form read back. Raises ConfigError, which does not repeat the text."""
        found = _FORM.fullmatch(text.reveal())
        what = "password_hash is not of the form scrypt$n$r$p$salt$hash; make one with 'edgecolor config hash-password'"
        if found is None:
            raise ConfigError(what)
        n, r, p = (int(number) for number in found.groups()[:3])
        if n < 2 or n & (n - 1) or not r or not p or 128 * n * r > _MOST_MEMORY or n * r * p > _MOST_WORK:
            raise ConfigError(f"password_hash has an impossible or too high cost, n={n}, r={r}, p={p}; usual are {_N}, {_R}, {_P}")
        try:
            salt, digest = (base64.b64decode(part, validate=True) for part in found.groups()[3:])
        except binascii.Error:
            raise ConfigError(what) from None
        if len(digest) < 16:
            raise ConfigError(what)
        return PasswordHash(n, r, p, salt, digest)

    def matches(self, password: bytes) -> bool:
        """Whether this is the password; takes as long for a wrong one."""
        return hmac.compare_digest(_scrypt(password, self.salt, self.n, self.r, self.p, len(self.hash)), self.hash)


def hash_password(password: Secret) -> str:
    """A password -> the text for ``HttpOptions.password_hash``, with a salt of its own. Raises ConfigError when it is empty."""
    if not password:
        raise ConfigError("the password is empty")
    salt = os.urandom(16)
    parts = (base64.b64encode(part).decode() for part in (salt, _scrypt(password.reveal().encode(), salt, _N, _R, _P, 32)))
    return "$".join(("scrypt", str(_N), str(_R), str(_P), *parts))


def _scrypt(password: bytes, salt: bytes, n: int, r: int, p: int, length: int) -> bytes:
    return hashlib.scrypt(password, salt=salt, n=n, r=r, p=p, maxmem=128 * r * (n + p + 2) + (1 << 20), dklen=length)


class Gate:
    """Judges credentials; for one event loop's thread.

    A password that was right is remembered (as a keyed digest), so that it costs no scrypt again. Whoever is wrong too often
    is not heard for a while, right or wrong: else the quick answer for a remembered password could be guessed against.
    """

    def __init__(self, username: str, password: PasswordHash | None, token: Secret, clock: Callable[[], float] = monotonic) -> None:
        self.failures = 0
        self._key = os.urandom(32)  # nothing that is kept here can be looked up elsewhere
        self._username, self._password = self._digest(username.encode()), password
        self._token = self._digest(token.reveal().encode()) if token else None
        self._right: bytes | None = None
        self._checks: dict[bytes, asyncio.Task[bool]] = {}
        self._one_at_a_time = asyncio.Lock()
        self._tries = Tries(clock)

    @property
    def challenge(self) -> str:
        """What WWW-Authenticate asks for."""
        return 'Basic realm="EdgeColor", charset="UTF-8"' if self._password else 'Bearer realm="EdgeColor"'

    async def judge(self, authorization: str | None, token: str | None, address: str) -> Verdict:
        """authorization: that header; token: from the query; address: the client's, by which wrong tries are counted."""
        if authorization is None and token is None:
            return "absent"
        who = network_of(address)
        if not self._tries.left(who):
            return "throttled"
        if token is not None:
            verdict: Verdict = "granted" if self._is_token(token) else "wrong"
        else:
            scheme, _, value = (authorization or "").partition(" ")
            if scheme.lower() == "bearer":
                verdict = "granted" if self._is_token(value.strip()) else "wrong"
            elif scheme.lower() == "basic":
                return await self._judge_basic(value.strip(), who)
            else:
                verdict = "wrong"
        if verdict == "wrong":
            self._fail(who)
        return verdict

    def _is_token(self, given: str) -> bool:
        return self._token is not None and hmac.compare_digest(self._digest(given.encode("utf-8", "surrogateescape")), self._token)

    async def _judge_basic(self, value: str, who: str) -> Verdict:
        try:
            given = base64.b64decode(value.encode("ascii"), validate=True)
        except (binascii.Error, UnicodeEncodeError):
            given = b""
        if self._password is None or b":" not in given:
            self._fail(who)
            return "wrong"
        digest = self._digest(given)
        if self._right is not None and hmac.compare_digest(digest, self._right):
            return "granted"
        check = self._checks.get(digest)
        if check is None:
            if len(self._checks) >= _CHECKS:
                return "throttled"
            # Counted before it is known: many at once, or clients that leave before the answer, are no way around the limit.
            self._tries.spend(who)
            check = self._checks[digest] = asyncio.create_task(self._check(given, digest, who))
        # Shielded: a viewer who leaves does not end the check that others wait for.
        return "granted" if await asyncio.shield(check) else "wrong"

    async def _check(self, given: bytes, digest: bytes, who: str) -> bool:
        assert self._password is not None
        username, _, password = given.partition(b":")
        try:
            async with self._one_at_a_time:
                right = await asyncio.to_thread(self._password.matches, password)
            right &= hmac.compare_digest(self._digest(username), self._username)
            if right:
                self._right = digest
                self._tries.give_back(who)
            else:
                self.failures += 1
            return right
        finally:
            del self._checks[digest]

    def _fail(self, who: str) -> None:
        self.failures += 1
        self._tries.spend(who)

    def _digest(self, value: bytes) -> bytes:
        return hmac.digest(self._key, value, "sha256")


class Tries:
    """How many wrong tries each address has left: ten, and one more every five seconds. The longest unseen are forgotten."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._spent: OrderedDict[str, tuple[float, float]] = OrderedDict()  # tries spent, and when that was so

    def left(self, who: str) -> bool:
        """Whether a try is left."""
        return self._now(who) <= _TRIES - 1

    def spend(self, who: str) -> None:
        """One try less."""
        self._set(who, self._now(who) + 1)

    def give_back(self, who: str) -> None:
        """The last try was right."""
        self._set(who, max(0.0, self._now(who) - 1))

    def _now(self, who: str) -> float:
        spent, when = self._spent.get(who, (0.0, 0.0))
        return max(0.0, spent - (self._clock() - when) / _REFILL_S)

    def _set(self, who: str, spent: float) -> None:
        self._spent[who] = spent, self._clock()
        self._spent.move_to_end(who)
        if len(self._spent) > _REMEMBERED:
            self._spent.popitem(last=False)


class Hosts:
    """Under which names the server answers: else any web page could read a camera by DNS rebinding.

    names: allowed ones besides localhost and the loopback addresses. literals: whether any other IP address is good as well;
    a page that was loaded from an address can not be rebound.
    """

    def __init__(self, names: Iterable[str], literals: bool) -> None:
        self._names = {"localhost", *(_plain(name) for name in names)}
        self._literals = literals

    def allows(self, authority: str) -> bool:
        """authority: HOST or HOST:PORT, as in the Host header."""
        found = re.fullmatch(r"(?:\[([^]]*)\]|([^:]*))(?::[0-9]*)?", authority)
        if found is None:
            return False
        host = found[1] or found[2] or ""
        try:
            return ipaddress.ip_address(host).is_loopback or self._literals
        except ValueError:
            return found[1] is None and _plain(host) in self._names


def _plain(name: str) -> str:
    return name.lower().removesuffix(".")


def network_of(address: str) -> str:
    """What counts as one client: an IPv4 address, or an IPv6 network of 64 bits, in which one machine may take any."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if ip.version == 4 or ip.is_loopback:
        return str(ip)
    return str(ip.ipv4_mapped or ipaddress.ip_network((ip, 64), strict=False))
