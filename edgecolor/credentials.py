"""Passwords and tokens: where they are read from, and how they are kept out of everything that is shown."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from urllib.parse import quote, unquote

from edgecolor.errors import CredentialsError

HIDDEN = "***"
_LONGEST = 4096  # bytes; nobody's password is longer, and a wrong path may be a large file
# Some cameras want the password in the path or the query: ?user=admin&password=x, /user=admin_password=x_channel=1.sdp.
_NAMED_SECRET = re.compile(r"(?i)((?:pas(?:s(?:word|wd)?)?|pwd?|psw|token|secret|key|auth)=)[^&;#\s]*")
# Each maker has another name for it, so that in an address all is hidden but what is known to be none and tells cameras apart.
_HARMLESS = (
    "action|app|audio|buffer|cam|camera|ch|channel|chn|cmd|codec|compression|format|fps|framerate|h|height|loginuse|maxfps|mode|monitor|"
    "port|profile|proto|protocol|quality|rate|resolution|scale|size|src|stream|streamtype|subtype|transportmode|type|unicast|user|username|"
    "usr|video|videocodec|view|w|width"
)
_NAMED = re.compile(
    rf"(?i)(?<![^&;?#/\s])(?:{_HARMLESS})=[^=&;?#/\s]*(?![^&;?#/\s])|(?P<name>[^=&;?#/\s]{{1,64}}=)(?P<value>[^&;#\s]*)"
)
_SHORT_NUMBER = re.compile(r"\d{1,2}[:,.)]?")  # and what may follow an address in a sentence
_AUTHORITY = re.compile(r"(?s)^([A-Za-z][A-Za-z0-9+.-]*://)(.*)$")


class Secret:
    """A string that shows itself as *** wherever it is printed, logged or formatted; ``reveal`` gives it. False when empty."""

    __slots__ = ("_value",)

    def __init__(self, value: str = "") -> None:
        self._value = value

    def reveal(self) -> str:
        """The string itself: for the one call that needs it."""
        return self._value

    def __repr__(self) -> str:
        return f"Secret({HIDDEN!r})" if self._value else "Secret('')"

    def __str__(self) -> str:
        return HIDDEN if self._value else ""

    def __format__(self, specification: str) -> str:
        return format(str(self), specification)

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._value == other._value

    def __hash__(self) -> int:
        return hash((Secret, self._value))

    def __reduce__(self) -> str:
        raise TypeError("a Secret is not pickled")


def without_password(url: str) -> str:
    """An address as it may be shown: the password of user:password@host is left out, and what may be one in name=value is hidden.

    Values of names that are known to be harmless are shown, and numbers up to 99. A password that was not percent-encoded, and
    so may hold / ? # or @, is left out as well: everything up to the last @ is taken for user and password. Names
    without a scheme are returned unchanged, but for password= and its like.
    """
    address = _AUTHORITY.match(url)
    if address is None:
        return _NAMED_SECRET.sub(rf"\g<1>{HIDDEN}", url)
    scheme, rest = address.groups()
    userinfo, at, place = rest.rpartition("@")
    user = userinfo.partition(":")[0]
    return scheme + user + (at if user else "") + _NAMED.sub(_shown, place)


def has_password(text: str) -> bool:
    """Whether a text is an address with a password in it, or holds password=... or its like."""
    address = _AUTHORITY.match(text)
    return (address is not None and ":" in address[2].rpartition("@")[0]) or _NAMED_SECRET.search(text) is not None


def _shown(named: re.Match[str]) -> str:
    harmless = named["name"] is None or (_SHORT_NUMBER.fullmatch(named["value"]) and not _NAMED_SECRET.search(named[0]))
    return named[0] if harmless else named["name"] + HIDDEN


def split_address(url: str) -> tuple[str, str, Secret]:
    """scheme://user:password@place -> (scheme://place, user, password), both decoded; empty where the address has none."""
    address = _AUTHORITY.match(url)
    if address is None:
        return url, "", Secret()
    scheme, rest = address.groups()
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    if "@" not in authority:
        # Either no user at all, or a password with / ? # in it, which has a colon and no port number before that character.
        port = authority.rpartition(":")[2]
        if "@" not in rest or ":" not in authority or port.isdigit() or authority.endswith("]"):
            return url, "", Secret()
        userinfo, _, place = rest.rpartition("@")
    else:
        userinfo, _, after = authority.rpartition("@")
        place = after + rest[len(authority) :]
    user, _, password = userinfo.partition(":")
    return scheme + place, unquote(user), Secret(unquote(password))


def with_password(url: str, user: str, password: Secret) -> Secret:
    """An address without credentials -> the same with them, percent-encoded, for a library that wants them in the address.

    A Secret, because the result must not be shown. ``url`` unchanged when ``user`` is empty.
    """
    address = _AUTHORITY.match(url)
    if not user or address is None:
        return Secret(url)
    return Secret(f"{address[1]}{quote(user, safe='')}:{quote(password.reveal(), safe='')}@{address[2]}")


def read_secret(path: str | Path) -> Secret:
    """The first line of a file that only its owner and group may read.

    A name without a slash is looked up in systemd's $CREDENTIALS_DIRECTORY first (LoadCredential=, see systemd.exec(5)).
    Raises CredentialsError: unreadable, empty, not text, or readable or writable by everybody.
    """
    place = _place(path)
    try:
        with place.open("rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise CredentialsError(f"{place}: not a regular file")
            if status.st_mode & (stat.S_IROTH | stat.S_IWOTH):
                raise CredentialsError(f"{place}: everybody on this machine can read or change it; chmod 600 {place}")
            content = file.read(_LONGEST + 1)
    except IsADirectoryError:
        raise CredentialsError(f"{place}: is a folder, not a file") from None
    except CredentialsError:
        raise
    except OSError as error:
        raise CredentialsError(f"{place}: can not be read: {error.strerror}") from None
    try:
        line = content.decode().split("\n", 1)[0].rstrip("\r")
    except UnicodeDecodeError:
        # Without the cause: its message and its object attribute hold the file's content.
        line = None
    if line is None or len(content) > _LONGEST or "\0" in line:
        raise CredentialsError(f"{place}: is not a short text file")
    if not line:
        raise CredentialsError(f"{place}: its first line is empty")
    return Secret(line)


def read_credentials(path: str | Path) -> tuple[str, Secret]:
    """User and password from a file whose first line is user:password. Raises CredentialsError like ``read_secret``."""
    user, colon, password = read_secret(path).reveal().partition(":")
    if not colon or not user:
        raise CredentialsError(f"{_place(path)}: its first line is not user:password")
    return user, Secret(password)


def _place(path: str | Path) -> Path:
    folder = os.environ.get("CREDENTIALS_DIRECTORY", "")
    if folder and "/" not in str(path) and (given := Path(folder) / path).is_file():
        return given.resolve()
    return Path(path)
