"""Where a spoke may want to connect to: `host:port`, in the one form in which it is declared, decided on and resolved.

A name has exactly one form here, so that the manifest's reviewer, the policies and the resolver speak of the same host:
lower case, ASCII (IDNA 2008), no trailing dot, the port always said. Addresses are no names: whoever may use a host by
name may have moved it, and an address in disguise (`2130706433`, `0x7f.1`, `[::ffff:127.0.0.1]`) is how a list of names
is got around. A name whose last label is a number in any notation is therefore refused, as the resolver would take it
for an address.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

import idna

Scheme = Literal["http", "https", "connect"]

DEFAULT_PORTS: dict[Scheme, int] = {"http": 80, "https": 443}

_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_AUTHORITY = re.compile(r"(?P<host>[^\s:/?#@\\\[\]%]+)(:(?P<port>[0-9]{1,5}))?")
_URL = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<authority>[^/?#]*)(?P<target>[^#]*)(#.*)?")
_TARGET = re.compile(r"([/?][\x21-\x7e]*)?")

_MAX_HOST_CHARACTERS = 253
MAX_URL_CHARACTERS = 8 << 10


class DestinationInvalid(ValueError):
    """This names no host that can be connected to; the text says why, and the mend."""


@dataclass(frozen=True, slots=True)
class Destination:
    """A host by name, and a port."""

    host: str
    port: int

    @property
    def id(self) -> str:
        """The one form: `host:port`."""
        return f"{self.host}:{self.port}"

    @property
    def origin(self) -> str:
        """The integrity label of whatever comes from there. A mere host could be taken for another origin's name."""
        return f"untrusted:{self.id}"

    def authority(self, scheme: Scheme) -> str:
        """Return what the Host header of a request says."""
        return self.host if DEFAULT_PORTS.get(scheme) == self.port else self.id


@dataclass(frozen=True, slots=True)
class Url:
    """An absolute http or https URL, taken apart."""

    scheme: Scheme
    destination: Destination
    target: str

    def __str__(self) -> str:
        return f"{self.scheme}://{self.destination.authority(self.scheme)}{self.target}"


def parse_authority(text: str, *, default_port: int | None = None) -> Destination:
    """Return the destination that `host:port` names.

    Raises:
        DestinationInvalid: It names none.
    """
    found = _AUTHORITY.fullmatch(text)
    if found is None:
        raise DestinationInvalid(f"`{text[:80]}` is not of the form host:port: name a host, not an address")
    if found["port"] is None and default_port is None:
        raise DestinationInvalid(f"`{text[:80]}` has no port: add one, such as `:443`")
    port = int(found["port"]) if found["port"] is not None else default_port or 0
    if not 1 <= port <= 65535:
        raise DestinationInvalid(f"`{text[:80]}`: the port is not between 1 and 65535")
    return Destination(_normal(found["host"]), port)


def parse_declared(text: str) -> Destination:
    """Return the destination that a manifest declares, which must be written in its one form.

    Raises:
        DestinationInvalid: It names none, or is written in another form.
    """
    if "*" in text:
        raise DestinationInvalid(f"`{text[:80]}`: wildcards are not taken: name each host")
    destination = parse_authority(text)
    if text != destination.id:
        raise DestinationInvalid(f"write `{text[:80]}` as `{destination.id}`")
    return destination


def parse_url(text: str) -> Url:
    """Return an absolute http or https URL in its parts, without the fragment.

    Raises:
        DestinationInvalid: It is none, or holds what could be read in two ways.
    """
    found = _URL.fullmatch(text) if len(text) <= MAX_URL_CHARACTERS else None
    if found is None:
        raise DestinationInvalid(f"not an absolute URL of at most {MAX_URL_CHARACTERS} characters")
    scheme = found["scheme"].lower()
    if scheme not in ("http", "https"):
        raise DestinationInvalid(f"the scheme `{scheme[:20]}` is not taken: use http or https")
    if not _TARGET.fullmatch(found["target"]):
        raise DestinationInvalid("path and query are ASCII without blanks: percent-encode the rest")
    known: Scheme = "http" if scheme == "http" else "https"
    destination = parse_authority(found["authority"], default_port=DEFAULT_PORTS[known])
    target = found["target"] if found["target"].startswith("/") else f"/{found['target']}"
    return Url(known, destination, target)


def _normal(host: str) -> str:
    try:
        name = idna.encode(host, uts46=True, std3_rules=True).decode() if not host.isascii() else host.lower()
        for label in name.split("."):
            if label.startswith("xn--"):
                idna.decode(label)
    except (idna.IDNAError, UnicodeError) as error:
        raise DestinationInvalid(f"`{host[:80]}` is no host name: {error}") from None
    labels = name.split(".")
    if _NUMBER.fullmatch(labels[-1] or (labels[-2] if len(labels) > 1 else "")):
        raise DestinationInvalid(f"`{host[:80]}` is an address: name a host")
    if name.endswith("."):
        raise DestinationInvalid(f"`{host[:80]}`: leave the last dot out")
    if len(name) > _MAX_HOST_CHARACTERS or not all(map(_LABEL.fullmatch, labels)):
        raise DestinationInvalid(f"`{host[:80]}` is no host name")
    return name
