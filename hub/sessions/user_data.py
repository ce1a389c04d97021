"""User data: what users say of themselves, checked as it comes in. Who gets to see it is for the policies (`share`)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from hub.errors import RequestInvalid
from hub.mediation import schema
from hub.store.user_data import Attribute, UserDataStore

MAX_VALUE_BYTES: Final = 16 << 10
MAX_TAGS: Final = 16

_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,62}")
_TAG: Final = re.compile(r"[a-z0-9][a-z0-9_.:-]{0,63}")


class UserData:
    """The attributes of all users.

    Args:
        store: Where they are kept.
    """

    def __init__(self, store: UserDataStore) -> None:
        self._store = store

    async def set(self, user: str, name: str, value_json: str, confidentiality: Sequence[str]) -> None:
        """Set an attribute, in place of what it was.

        Raises:
            RequestInvalid: The name, the value or a tag is none.
            QuotaExceeded: The value is too large, or there are too many attributes.
            AuditUnavailable: It could not be written.
        """
        if not _NAME.fullmatch(name):
            raise RequestInvalid("name: a-z, 0-9 and _, at most 63, starting with a letter")
        tags = sorted(set(confidentiality))
        if len(tags) > MAX_TAGS:
            raise RequestInvalid(f"confidentiality: more than {MAX_TAGS} tags")
        for tag in tags:
            if not _TAG.fullmatch(tag):
                raise RequestInvalid("confidentiality: a tag is of a-z, 0-9, _, ., : and -, at most 64")
        value = schema.parse(value_json, what="value", max_bytes=MAX_VALUE_BYTES)
        text = schema.canonical(value, what="value").decode()
        await self._store.set(user, Attribute(name, text, tuple(tags)))

    async def list_for(self, user: str) -> list[Attribute]:
        """Return a user's attributes, by name.

        Raises:
            AuditUnavailable: The database could not be read.
        """
        return await self._store.list_for(user)

    async def delete(self, user: str, name: str) -> None:
        """Remove an attribute.

        Raises:
            EntityNotFound: There is none of this name.
            AuditUnavailable: It could not be written.
        """
        await self._store.delete(user, name)
