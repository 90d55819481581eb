"""The stash: tables of values that all processes of a server see.

    from tricorn.heavy import stash

    stash.put("sessions", "user:1", {"name": "Ada"})
    stash.get("sessions", "user:1")
    sessions = stash.table("sessions")
    sessions["user:2"] = {"name": "Grace"}

They live in the memory of one process, so they are there over reloads and crashes of workers, and gone when
the server is started anew, or upgraded. It is no database and no cache of Redis' kind: values do not expire,
and nothing is done in one step but a single operation.

Knows: what is asked of the stash, and what is answered. Must not know: where the tables are, processes.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType
from typing import Any

from tricorn.heavy import directory, messages
from tricorn.heavy.client import TIMEOUT, _Connection
from tricorn.heavy.errors import (
    DirtyError,
    StashError,
    StashKeyNotFoundError,  # noqa: F401 - for who imports it from here, as from Gunicorn's
    StashTableNotFoundError,
)
from tricorn.heavy.messages import Kind

__all__ = [
    *("StashClient", "StashError", "StashKeyNotFoundError", "StashTable", "StashTableNotFoundError"),
    *("clear", "delete", "delete_table", "ensure", "exists", "get", "info", "keys", "put", "table"),
    "tables",
]


class StashClient:
    """Asks the stash. It holds nothing open. timeout: of one operation, seconds.

    All methods raise StashError where the stash cannot be asked.
    """

    def __init__(self, timeout: float | None = TIMEOUT) -> None:
        self.timeout = timeout

    def put(self, table: str, key: str, value: Any) -> None:
        """Keep a value. The table is made if there is none. Raises DirtyProtocolError: it cannot be sent."""
        self._ask("put", table, key, messages.encoded(value))

    def get(self, table: str, key: str, default: Any = None) -> Any:
        """The value, or the default where there is no such key."""
        found = self._ask("get", table, key)
        return default if found is None else messages.decoded(found)

    def delete(self, table: str, key: str) -> bool:
        """Whether it was there."""
        return bool(self._ask("delete", table, key))

    def keys(self, table: str, pattern: str | None = None) -> list[str]:
        """pattern: as of a shell, "user:*"."""
        return list(self._ask("keys", table, pattern))

    def clear(self, table: str) -> None:
        """Delete all that is in it."""
        self._ask("clear", table)

    def info(self, table: str) -> dict[str, Any]:
        """{"table": its name, "size": how many keys it has, "bytes": of their values}. Raises
        StashTableNotFoundError."""
        return dict(self._ask("info", table))

    def ensure(self, table: str) -> None:
        """Make it, if there is none."""
        self._ask("ensure", table)

    def exists(self, table: str, key: str | None = None) -> bool:
        """Whether there is such a table; with a key, whether that is in it."""
        return bool(self._ask("exists", table, key))

    def delete_table(self, table: str) -> bool:
        """Whether it was there."""
        return bool(self._ask("delete_table", table))

    def tables(self) -> list[str]:
        """The names of all."""
        return list(self._ask("tables", ""))

    def table(self, name: str) -> StashTable:
        """One table, as a dict."""
        return StashTable(self, name)

    def close(self) -> None:
        """There is nothing to close; for programs that do."""

    def __enter__(self) -> StashClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _ask(self, op: str, table: str, key: str | None = None, value: bytes | None = None) -> Any:
        place = directory.stash_place()
        if place is None:
            raise StashError("there is no stash; it comes with heavy workers (dirty_apps, dirty_workers)")
        question = {"op": op, "table": table, "key": key, "value": value}
        try:
            with _Connection(place, self.timeout) as connection:
                connection.send(messages.framed(Kind.ASK, question))
                kind, payload = connection.receive()
        except DirtyError as error:
            raise StashError(f"the stash cannot be asked: {error.message}") from error
        answer = messages.decoded(payload)
        if kind is Kind.ERROR and isinstance(answer, dict):
            raise DirtyError.from_dict(answer)
        return answer


class StashTable:
    """One table, as a dict. A loop over its items asks once for each."""

    def __init__(self, client: StashClient, name: str) -> None:
        self._client = client
        self._name = name

    @property
    def name(self) -> str:
        return self._name

    def __getitem__(self, key: str) -> Any:
        found = self._client._ask("get", self._name, key)
        if found is None:
            raise KeyError(key)
        return messages.decoded(found)

    def __setitem__(self, key: str, value: Any) -> None:
        self._client.put(self._name, key, value)

    def __delitem__(self, key: str) -> None:
        if not self._client.delete(self._name, key):
            raise KeyError(key)

    def __contains__(self, key: str) -> bool:
        return self._client.exists(self._name, key)

    def __iter__(self) -> Iterator[str]:
        return iter(self._client.keys(self._name))

    def __len__(self) -> int:
        try:
            return int(self._client.info(self._name)["size"])
        except StashTableNotFoundError:
            return 0

    def get(self, key: str, default: Any = None) -> Any:
        """The value, or the default."""
        return self._client.get(self._name, key, default)

    def keys(self, pattern: str | None = None) -> list[str]:
        """pattern: as of a shell."""
        return self._client.keys(self._name, pattern)

    def clear(self) -> None:
        """Delete all that is in it."""
        self._client.clear(self._name)

    def items(self) -> Iterator[tuple[str, Any]]:
        """Keys that are deleted meanwhile are left out."""
        for key in self._client.keys(self._name):
            found = self._client._ask("get", self._name, key)
            if found is not None:
                yield key, messages.decoded(found)

    def values(self) -> Iterator[Any]:
        """As `items`."""
        return (value for _, value in self.items())


_CLIENT = StashClient()

put = _CLIENT.put
get = _CLIENT.get
delete = _CLIENT.delete
keys = _CLIENT.keys
clear = _CLIENT.clear
info = _CLIENT.info
ensure = _CLIENT.ensure
exists = _CLIENT.exists
delete_table = _CLIENT.delete_table
tables = _CLIENT.tables
table = _CLIENT.table
