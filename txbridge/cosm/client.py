"""The client people hold: the Cosm v2 verbs with a default key and feed, over HTTP.

`Verbs` has every verb and knows no transport; `Client` is `Verbs` over HTTP.  A method is a
sentence: build the operation, run it.  Names, arguments and their order are those of txPachube
and txcosm, so ported code changes its imports.  What is different on purpose: what fails,
fails with an error of `txbridge.errors` instead of ``None`` or ``False``.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal, TypeVar, overload

from twisted.internet.defer import Deferred

from txbridge.cosm import operations
from txbridge.cosm.operations import Data, Id, Parameters
from txbridge.cosm.walk import FeedPages, HistoryWalk
from txbridge.errors import ConfigError
from txbridge.model.accounts import Key, KeyList, Trigger, TriggerList, User, UserList
from txbridge.model.structures import Datapoint, Datastream, Environment, EnvironmentList
from txbridge.net.deferred import deferred
from txbridge.net.http import HttpCarrier
from txbridge.net.operation import Carrier, Operation
from txbridge.net.proxy import Proxy
from txbridge.net.tls import ClientTls

__all__ = ["DEFAULT_URL", "Client", "Verbs"]

DEFAULT_URL = "http://127.0.0.1:8080/v2"
"""Where the embedded hub serves unless it is told otherwise; the hosted services are gone."""

Structured = Literal["json", "xml"]

T = TypeVar("T")


class Verbs:
    """Every verb of the Cosm v2 API, run by a carrier.

    Each method returns a Deferred that is already under way; cancelling it gives the exchange
    up.  ``api_key`` and ``feed_id`` stand for the client's own when they are not given.
    ``format`` is ``"json"``, ``"xml"``, ``"csv"`` or, for `read_datastream`, ``"png"``; reads give
    structures for the first two, text for CSV and bytes for a picture.  ``data`` is a structure,
    or a document that is already encoded in the format.  ``parameters`` may hold flags, instants
    and lists as they are; see the function of the same name in `txbridge.cosm.operations` for
    what each verb knows.

    Every method may fail with:

    - `EncodeError`: an argument is missing or cannot be sent; nothing was sent.
    - `AuthError`, `Forbidden`, `NotFound`, `RateLimited`, `ServerFailed` or another
      `RequestRejected`: the server answered no.
    - `ConnectError`, `ConnectionLost`, `TimedOut`: there was no answer.
    - `DecodeError`, `RemoteProtocolError`: the answer cannot be understood.

    Attributes:
        api_key: The key that is used when a method is given none.
        feed_id: The feed that is meant when a method is given none.
        timezone: How reads ask for their timestamps to be shown: hours from UTC, or a place
            name such as ``"London"``; None is UTC.  Structures hold UTC in any case.
    """

    def __init__(
        self,
        carrier: Carrier,
        api_key: str | None = None,
        feed_id: Id = None,
        *,
        timezone: str | float | None = None,
    ) -> None:
        self._carrier = carrier
        self.api_key = api_key
        self.feed_id = feed_id
        self.timezone = timezone

    def __repr__(self) -> str:
        return f"{type(self).__name__}(feed_id={self.feed_id!r}, carrier={self._carrier!r})"

    @property
    def skew(self) -> float | None:
        """How many seconds the server's clock is ahead of this machine's.

        It is measured with each answer over HTTP; None before the first, and over a socket.
        """
        return self._carrier.skew if isinstance(self._carrier, HttpCarrier) else None

    @deferred
    async def run(self, operation: Operation[T], api_key: str | None = None) -> T:
        """Run any operation with this client's key, or another.

        Args:
            operation: Of `txbridge.cosm.operations`, or your own.
            api_key: The key to use instead.
        """
        key = self.api_key if api_key is None else api_key
        return await self._carrier.run(operations.with_api_key(operation, key))

    # -- feeds

    @overload
    def list_feeds(
        self, api_key: str | None = None, format: Structured = "json", parameters: Parameters | None = None
    ) -> Deferred[EnvironmentList]: ...
    @overload
    def list_feeds(
        self, api_key: str | None = None, format: str = ..., parameters: Parameters | None = None
    ) -> Deferred[Any]: ...
    @deferred
    async def list_feeds(
        self, api_key: str | None = None, format: str = "json", parameters: Parameters | None = None
    ) -> Any:
        """List or search feeds: one page, 50 feeds unless ``per_page`` says more.

        See `walk_feeds` for all pages.
        """
        operation = operations.list_feeds(format=format, parameters=self._zoned(parameters))
        return await self.run(operation, api_key)

    @deferred
    async def create_feed(self, api_key: str | None = None, format: str = "json", data: Data = None) -> str:
        """Make a feed from an `Environment` with a title; fires with the new feed's id."""
        return await self.run(operations.create_feed(data=data, format=format), api_key)

    @overload
    def read_feed(
        self,
        api_key: str | None = None,
        feed_id: Id = None,
        format: Structured = "json",
        parameters: Parameters | None = None,
    ) -> Deferred[Environment]: ...
    @overload
    def read_feed(
        self,
        api_key: str | None = None,
        feed_id: Id = None,
        format: str = ...,
        parameters: Parameters | None = None,
    ) -> Deferred[Any]: ...
    @deferred
    async def read_feed(
        self,
        api_key: str | None = None,
        feed_id: Id = None,
        format: str = "json",
        parameters: Parameters | None = None,
    ) -> Any:
        """Read a feed with its current values, or with history."""
        operation = operations.read_feed(
            self._feed(feed_id), format=format, parameters=self._zoned(parameters)
        )
        return await self.run(operation, api_key)

    @deferred
    async def update_feed(
        self, api_key: str | None = None, feed_id: Id = None, format: str = "json", data: Data = None
    ) -> bool:
        """Merge a document into a feed, new datastreams included; fires with True."""
        operation = operations.update_feed(self._feed(feed_id), data=data, format=format)
        return await self.run(operation, api_key)

    @deferred
    async def delete_feed(self, api_key: str | None = None, feed_id: Id = None) -> bool:
        """Delete a feed with all its history; fires with True."""
        return await self.run(operations.delete_feed(self._feed(feed_id)), api_key)

    # -- datastreams

    @deferred
    async def create_datastream(
        self, api_key: str | None = None, feed_id: Id = None, format: str = "json", data: Data = None
    ) -> str:
        """Add a `Datastream` to a feed; fires with its id."""
        operation = operations.create_datastream(self._feed(feed_id), data=data, format=format)
        return await self.run(operation, api_key)

    @overload
    def read_datastream(
        self,
        api_key: str | None = None,
        feed_id: Id = None,
        datastream_id: Id = None,
        format: Structured = "json",
        parameters: Parameters | None = None,
    ) -> Deferred[Datastream]: ...
    @overload
    def read_datastream(
        self,
        api_key: str | None = None,
        feed_id: Id = None,
        datastream_id: Id = None,
        format: str = ...,
        parameters: Parameters | None = None,
    ) -> Deferred[Any]: ...
    @deferred
    async def read_datastream(
        self,
        api_key: str | None = None,
        feed_id: Id = None,
        datastream_id: Id = None,
        format: str = "json",
        parameters: Parameters | None = None,
    ) -> Any:
        """Read a datastream with its current value, with history, or as a picture.

        See `walk_history` for more history than one answer holds.
        """
        operation = operations.read_datastream(
            self._feed(feed_id), datastream_id, format=format, parameters=self._zoned(parameters)
        )
        return await self.run(operation, api_key)

    @deferred
    async def update_datastream(
        self,
        api_key: str | None = None,
        feed_id: Id = None,
        datastream_id: Id = None,
        format: str = "json",
        data: Data = None,
    ) -> bool:
        """Merge a `Datastream` into one that exists; fires with True."""
        operation = operations.update_datastream(self._feed(feed_id), datastream_id, data=data, format=format)
        return await self.run(operation, api_key)

    @deferred
    async def delete_datastream(
        self, api_key: str | None = None, feed_id: Id = None, datastream_id: Id = None
    ) -> bool:
        """Delete a datastream with its history; fires with True."""
        return await self.run(operations.delete_datastream(self._feed(feed_id), datastream_id), api_key)

    # -- datapoints

    @deferred
    async def create_datapoints(
        self,
        api_key: str | None = None,
        feed_id: Id = None,
        datastream_id: Id = None,
        format: str = "json",
        data: Data | Sequence[Datapoint] = None,
    ) -> bool:
        """Record up to 500 `Datapoint` values, all or none; fires with True."""
        operation = operations.create_datapoints(self._feed(feed_id), datastream_id, data=data, format=format)
        return await self.run(operation, api_key)

    @overload
    def read_datapoint(
        self,
        api_key: str | None = None,
        feed_id: Id = None,
        datastream_id: Id = None,
        format: Structured = "json",
        timestamp: datetime | str | None = None,
    ) -> Deferred[Datapoint]: ...
    @overload
    def read_datapoint(
        self,
        api_key: str | None = None,
        feed_id: Id = None,
        datastream_id: Id = None,
        format: str = ...,
        timestamp: datetime | str | None = None,
    ) -> Deferred[Any]: ...
    @deferred
    async def read_datapoint(
        self,
        api_key: str | None = None,
        feed_id: Id = None,
        datastream_id: Id = None,
        format: str = "json",
        timestamp: datetime | str | None = None,
    ) -> Any:
        """Read the datapoint at exactly one instant."""
        operation = operations.read_datapoint(
            self._feed(feed_id), datastream_id, timestamp, format=format, parameters=self._zoned(None)
        )
        return await self.run(operation, api_key)

    @deferred
    async def update_datapoint(
        self,
        api_key: str | None = None,
        feed_id: Id = None,
        datastream_id: Id = None,
        format: str = "json",
        timestamp: datetime | str | None = None,
        data: Data = None,
    ) -> bool:
        """Change the value of a datapoint that exists; fires with True."""
        operation = operations.update_datapoint(
            self._feed(feed_id), datastream_id, timestamp, data=data, format=format
        )
        return await self.run(operation, api_key)

    @deferred
    async def delete_datapoint(
        self,
        api_key: str | None = None,
        feed_id: Id = None,
        datastream_id: Id = None,
        timestamp: datetime | str | None = None,
    ) -> bool:
        """Delete the datapoint at exactly one instant; fires with True."""
        operation = operations.delete_datapoint(self._feed(feed_id), datastream_id, timestamp)
        return await self.run(operation, api_key)

    @deferred
    async def delete_datapoints(
        self,
        api_key: str | None = None,
        feed_id: Id = None,
        datastream_id: Id = None,
        parameters: Parameters | None = None,
    ) -> bool:
        """Delete the datapoints between ``start`` and ``end``, both included; fires with True."""
        operation = operations.delete_datapoints(self._feed(feed_id), datastream_id, parameters=parameters)
        return await self.run(operation, api_key)

    # -- triggers

    @deferred
    async def list_triggers(
        self, api_key: str | None = None, format: str = "json", parameters: Parameters | None = None
    ) -> TriggerList:
        """List triggers; ``parameters`` may hold ``feed_id``."""
        return await self.run(operations.list_triggers(format=format, parameters=parameters), api_key)

    @deferred
    async def create_trigger(
        self, api_key: str | None = None, format: str = "json", data: Data = None
    ) -> str:
        """Make a `Trigger`; fires with its id."""
        return await self.run(operations.create_trigger(data=data, format=format), api_key)

    @deferred
    async def read_trigger(
        self, api_key: str | None = None, trigger_id: Id = None, format: str = "json"
    ) -> Trigger:
        """Read a trigger."""
        return await self.run(operations.read_trigger(trigger_id, format=format), api_key)

    @deferred
    async def update_trigger(
        self, api_key: str | None = None, trigger_id: Id = None, format: str = "json", data: Data = None
    ) -> bool:
        """Merge a `Trigger` into one that exists; fires with True."""
        operation = operations.update_trigger(trigger_id, data=data, format=format)
        return await self.run(operation, api_key)

    @deferred
    async def delete_trigger(self, api_key: str | None = None, trigger_id: Id = None) -> bool:
        """Delete a trigger; fires with True."""
        return await self.run(operations.delete_trigger(trigger_id), api_key)

    # -- users

    @deferred
    async def list_users(self, api_key: str | None = None, format: str = "json") -> UserList:
        """List the users that the key may see."""
        return await self.run(operations.list_users(format=format), api_key)

    @deferred
    async def create_user(self, api_key: str | None = None, format: str = "json", data: Data = None) -> str:
        """Make a `User`; fires with the login."""
        return await self.run(operations.create_user(data=data, format=format), api_key)

    @deferred
    async def read_user(self, api_key: str | None = None, user_id: Id = None, format: str = "json") -> User:
        """Read a user by login."""
        return await self.run(operations.read_user(user_id, format=format), api_key)

    @deferred
    async def update_user(
        self, api_key: str | None = None, user_id: Id = None, format: str = "json", data: Data = None
    ) -> bool:
        """Merge a `User` into one that exists; fires with True."""
        return await self.run(operations.update_user(user_id, data=data, format=format), api_key)

    @deferred
    async def delete_user(self, api_key: str | None = None, user_id: Id = None) -> bool:
        """Delete a user; fires with True."""
        return await self.run(operations.delete_user(user_id), api_key)

    # -- keys

    @deferred
    async def list_api_keys(
        self, api_key: str | None = None, format: str = "json", parameters: Parameters | None = None
    ) -> KeyList:
        """List the account's keys; ``parameters`` may hold ``feed_id``."""
        return await self.run(operations.list_api_keys(format=format, parameters=parameters), api_key)

    @deferred
    async def create_api_key(
        self, api_key: str | None = None, format: str = "json", data: Data = None
    ) -> str:
        """Make a `Key` with a label and permissions; fires with the key itself."""
        return await self.run(operations.create_api_key(data=data, format=format), api_key)

    @deferred
    async def read_api_key(self, api_key: str | None = None, key_id: Id = None, format: str = "json") -> Key:
        """Read what a key may do."""
        return await self.run(operations.read_api_key(key_id, format=format), api_key)

    @deferred
    async def update_api_key(
        self, api_key: str | None = None, key_id: Id = None, format: str = "json", data: Data = None
    ) -> bool:
        """Change what a key may do; fires with True."""
        return await self.run(operations.update_api_key(key_id, data=data, format=format), api_key)

    @deferred
    async def delete_api_key(self, api_key: str | None = None, key_id: Id = None) -> bool:
        """Delete a key; fires with True."""
        return await self.run(operations.delete_api_key(key_id), api_key)

    @deferred
    async def regenerate_api_key(self, api_key: str | None = None, key_id: Id = None) -> str:
        """Replace a key by a new one with the same permissions; fires with the new key."""
        return await self.run(operations.regenerate_api_key(key_id), api_key)

    # -- what no single answer holds

    def walk_feeds(self, api_key: str | None = None, parameters: Parameters | None = None) -> FeedPages:
        """Read a list of feeds page by page.

        Args:
            api_key: The key to use instead.
            parameters: Of the search, see `txbridge.cosm.operations.list_feeds`; ``per_page`` is
                100 unless given.
        """
        return FeedPages(lambda page: self.list_feeds(api_key, parameters=page), parameters)

    @deferred
    async def list_all_feeds(
        self, api_key: str | None = None, parameters: Parameters | None = None, at_most: int = 10_000
    ) -> list[Environment]:
        """List the feeds of all pages.

        Args:
            api_key: The key to use instead.
            parameters: Of the search.
            at_most: How many feeds to hold in memory; those after them are not read.
        """
        pages = self.walk_feeds(api_key, parameters)
        feeds: list[Environment] = []
        while len(feeds) < at_most and (page := await pages.next_page()) is not None:
            feeds += page.feeds
        return feeds[:at_most]

    def walk_history(
        self,
        datastream_id: Id,
        start: datetime | str,
        end: datetime | str,
        *,
        interval: int = 0,
        feed_id: Id = None,
        api_key: str | None = None,
    ) -> HistoryWalk:
        """Read a datastream's whole history between two instants, however long.

        Args:
            datastream_id: The datastream.
            start: The first instant: an aware datetime, or ISO 8601 text.
            end: The last instant.
            interval: 0 for every stored point, or the seconds between sampled ones: 30, 60, 300,
                900, 1800, 3600, 10800, 21600, 43200 or 86400.
            feed_id: The feed to read instead.
            api_key: The key to use instead.

        Returns:
            A walk whose ``next_datapoints()`` gives the next points, and none at the end.

        Raises:
            EncodeError: An instant has no time zone, or there is no such interval.
        """
        return HistoryWalk(
            lambda window: self.read_datastream(api_key, feed_id, datastream_id, parameters=window),
            start,
            end,
            interval,
        )

    def _feed(self, feed_id: Id) -> Id:
        return self.feed_id if feed_id is None else feed_id

    def _zoned(self, parameters: Parameters | None) -> Parameters | None:
        if self.timezone is None or (parameters is not None and "timezone" in parameters):
            return parameters
        return {**(parameters or {}), "timezone": self.timezone}


class Client(Verbs):
    """The REST client.

    One client may be shared by a whole program: requests run side by side over a pool of
    connections that stay open.  Close it at the end.
    """

    def __init__(
        self,
        api_key: str | None = None,
        feed_id: Id = None,
        *,
        url: str = DEFAULT_URL,
        timezone: str | float | None = None,
        deadline: float = 30.0,
        pool_size: int = 16,
        trust: ClientTls | None = None,
        proxy: Proxy | None = None,
        reactor: Any = None,
        carrier: Carrier | None = None,
    ) -> None:
        """Prepare a client; nothing is connected before the first request.

        Args:
            api_key: The default key.
            feed_id: The default feed.
            url: The API's base, with its version: ``https://hub.example/v2``.
            timezone: See `Verbs`.
            deadline: Seconds that a whole exchange may take, from connecting to the last byte.
            pool_size: How many requests may be under way at once; more wait their turn.
            trust: Whom to trust over TLS; None for the system's roots.
            proxy: Go through it; see `txbridge.net.proxy.proxy_from_environment`.
            reactor: Where it runs; None is the global one.
            carrier: What runs the operations instead of HTTP to ``url``.  It stays yours to close,
                and only ``api_key``, ``feed_id`` and ``timezone`` mean anything beside it.

        Raises:
            ConfigError: The URL is not one that can be asked.
        """
        self._settings: dict[str, Any] = {
            "deadline": deadline,
            "pool_size": pool_size,
            "trust": trust,
            "proxy": proxy,
            "reactor": reactor,
        }
        self._url = url
        self._made: list[HttpCarrier] = []
        super().__init__(
            self._connect_to(url) if carrier is None else carrier, api_key, feed_id, timezone=timezone
        )

    @property
    def api_url(self) -> str:
        """The API's base; assigning it makes later requests go to another server.

        Raises:
            ConfigError: On assignment: the URL is not one that can be asked, or the client was
                given a carrier, which decides where requests go.
        """
        return self._url

    @api_url.setter
    def api_url(self, url: str) -> None:
        if not self._made:
            raise ConfigError(["api_url: this client was given a carrier, which decides where requests go"])
        self._carrier = self._connect_to(url)
        self._url = url

    @deferred
    async def close(self) -> None:
        """Close the pooled connections."""
        while self._made:
            await self._made.pop().close()

    def _connect_to(self, url: str) -> HttpCarrier:
        made = HttpCarrier(url, **self._settings)
        self._made.append(made)
        return made
