"""Who is let in: passwords, tokens, host names, and how often one may be wrong."""

from __future__ import annotations

import asyncio
import base64
import functools
import socket
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from aiohttp import web

from edgecolor.credentials import Secret
from edgecolor.errors import ConfigError
from edgecolor.sinks.http import access
from edgecolor.sinks.http.access import Gate, Hosts, PasswordHash, Tries, hash_password, network_of
from edgecolor.sinks.http.transport import Listener

# RFC 7914, section 12: scrypt("password", "NaCl", n=1024, r=8, p=16), the first 32 of its 64 bytes.
RFC_SALT = base64.b64encode(b"NaCl").decode()
RFC_HASH = base64.b64encode(bytes.fromhex("fdbabe1c9d3472007856e7190d01e9fe7c6ad7cbc8237830e77376634b373162")).decode()
RFC = f"scrypt$1024$8$16${RFC_SALT}${RFC_HASH}"
TOKEN = "0123456789abcdef"


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def in_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        asyncio.run(test(*args, **kwargs))

    return run


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_the_rfcs_own_hash_is_understood() -> None:
    known = PasswordHash.parse(Secret(RFC))
    assert known.matches(b"password") and not known.matches(b"Password") and not known.matches(b"")


def test_a_password_is_hashed_with_a_salt_of_its_own_and_found_again() -> None:
    one, two = hash_password(Secret("grün: Ü")), hash_password(Secret("grün: Ü"))
    assert one != two and one.startswith("scrypt$16384$8$5$") and base64.b64encode("grün".encode()).decode()[:5] not in one
    assert PasswordHash.parse(Secret(one)).matches("grün: Ü".encode())
    with pytest.raises(ConfigError, match="empty"):
        hash_password(Secret())


@pytest.mark.parametrize(
    "text",
    [
        "hunter22",
        "scrypt$1024$8$16$TmFDbA==",
        RFC.replace("1024", "1000"),
        RFC.replace("1024", "1"),
        RFC.replace("$8$", "$0$"),
        RFC.replace("1024", "67108864"),
        RFC.replace("$16$", "$9999$"),
        RFC[:-24],
        RFC.replace(RFC_HASH, "AAAA"),
        RFC + "\n",
    ],
)
def test_a_hash_that_is_none_is_refused_without_being_repeated(text: str) -> None:
    with pytest.raises(ConfigError, match="password_hash") as caught:
        PasswordHash.parse(Secret(text))
    assert "hunter22" not in str(caught.value) and RFC_HASH[:12] not in str(caught.value)


@in_loop
async def test_password_and_token_open_and_nothing_else_does() -> None:
    gate = Gate("eve", PasswordHash.parse(Secret(RFC)), Secret(TOKEN))
    judge = functools.partial(gate.judge, address="192.0.2.7")
    assert await judge(None, None) == "absent"
    assert await judge(basic("eve", "password"), None) == "granted"
    assert await judge(f"Bearer {TOKEN}", None) == await judge(None, TOKEN) == await judge(f"bearer {TOKEN}", None) == "granted"
    wrong = (basic("eve", "wrong"), basic("bob", "password"), "Basic !!!", "Basic", "Basic ZXZl", "Bearer", f"Digest {TOKEN}", "")
    for authorization in wrong:
        assert await judge(authorization, None) == "wrong", authorization
    assert await judge(None, "") == "wrong"
    assert gate.failures == 9


@in_loop
async def test_without_a_token_none_opens_and_without_a_password_none_does() -> None:
    assert await Gate("eve", PasswordHash.parse(Secret(RFC)), Secret()).judge("Bearer ", None, "192.0.2.7") == "wrong"
    assert await Gate("", None, Secret(TOKEN)).judge(basic("", ""), None, "192.0.2.7") == "wrong"


@in_loop
async def test_fifty_viewers_at_once_cost_one_scrypt(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    original = access._scrypt
    monkeypatch.setattr(access, "_scrypt", lambda *args: calls.append(1) or original(*args))
    gate = Gate("eve", PasswordHash.parse(Secret(RFC)), Secret())
    verdicts = await asyncio.gather(*(gate.judge(basic("eve", "password"), None, "192.0.2.7") for _ in range(50)))
    assert set(verdicts) == {"granted"} and len(calls) == 1
    assert await gate.judge(basic("eve", "password"), None, "192.0.2.8") == "granted" and len(calls) == 1


@in_loop
async def test_whoever_is_wrong_too_often_is_not_heard_for_a_while_and_nobody_else_suffers() -> None:
    clock = Clock()
    gate = Gate("eve", PasswordHash.parse(Secret(RFC)), Secret(TOKEN), clock)
    assert await gate.judge(basic("eve", "password"), None, "192.0.2.7") == "granted"
    for _ in range(10):
        assert await gate.judge(None, "x" * 16, "192.0.2.7") == "wrong"
    # Neither the right token nor the remembered password: an answer would tell the guesser what is right.
    assert await gate.judge(None, TOKEN, "192.0.2.7") == await gate.judge(basic("eve", "password"), None, "192.0.2.7") == "throttled"
    assert await gate.judge(None, TOKEN, "192.0.2.8") == "granted"
    clock.now += 5
    assert await gate.judge(None, TOKEN, "192.0.2.7") == "granted"


@in_loop
async def test_many_wrong_passwords_at_once_are_no_way_around_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    monkeypatch.setattr(access, "_scrypt", lambda *args: calls.append(1) or b"x" * 32)
    gate = Gate("eve", PasswordHash.parse(Secret(RFC)), Secret(), Clock())
    verdicts = await asyncio.gather(*(gate.judge(basic("eve", f"{n}"), None, "192.0.2.7") for n in range(50)))
    assert verdicts.count("throttled") >= 40 and len(calls) <= 10


@in_loop
async def test_leaving_before_the_answer_is_counted_too() -> None:
    gate = Gate("eve", PasswordHash.parse(Secret(RFC)), Secret(), Clock())
    for n in range(10):
        asked = asyncio.create_task(gate.judge(basic("eve", f"{n}"), None, "192.0.2.7"))
        await asyncio.sleep(0)
        asked.cancel()
        await asyncio.gather(asked, return_exceptions=True)
        await asyncio.gather(*gate._checks.values())
    assert await gate.judge(basic("eve", "password"), None, "192.0.2.7") == "throttled"


def test_the_list_of_the_wrong_does_not_grow_without_end() -> None:
    tries = Tries(Clock())
    for n in range(5000):
        tries.spend(f"2001:db8:{n:x}::/64")
    assert len(tries._spent) <= 1024


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8::1:2:3:4", "2001:db8::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::1"),
        ("nonsense", "nonsense"),
    ],
)
def test_one_machine_is_one_client_whatever_address_it_takes(address: str, network: str) -> None:
    assert network_of(address) == network


@pytest.mark.parametrize("name", ["localhost", "LOCALHOST:80", "localhost.", "127.0.0.1", "127.9.9.9:8080", "[::1]", "[::1]:8080"])
def test_loopback_names_are_always_answered(name: str) -> None:
    assert Hosts((), literals=False).allows(name)


@pytest.mark.parametrize(
    "name",
    ["evil.example", "192.0.2.1", "", ":80", "localhost.evil.example", "[localhost]", "127.0.0.1.evil.example", "a b", "[::1", "\udcff",
     "localhost:8a"],
)
def test_other_names_are_not(name: str) -> None:
    assert not Hosts((), literals=False).allows(name)


def test_names_that_were_given_and_addresses_are_answered_beyond_loopback() -> None:
    hosts = Hosts(("Camera.Example",), literals=True)
    assert all(hosts.allows(name) for name in ("camera.example:8443", "CAMERA.EXAMPLE.", "192.0.2.1:80", "[2001:db8::1]:80", "localhost"))
    assert not any(hosts.allows(name) for name in ("evil.example", "sub.camera.example", "camera.example.evil"))


def test_who_comes_in_the_moment_of_the_end_is_let_go_at_once() -> None:
    async def come_late() -> None:
        listener = Listener(web.Application(), 4)
        address = listener.bind("127.0.0.1", 0)
        await listener.listen(None)
        await asyncio.sleep(0.05)  # the accept waits
        with socket.create_connection(address) as late:
            await asyncio.sleep(0)
            await listener.stop()
            late.settimeout(5)
            with pytest.raises(ConnectionResetError):
                late.recv(1)

    asyncio.run(come_late())
