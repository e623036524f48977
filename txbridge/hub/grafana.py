"""The history as a data source of Grafana: the JSON API that its JSON data source plugins ask.

A target is ``feed/datastream``, such as ``1/temperature``.  The key comes as everywhere: in the header
``X-ApiKey``, or as HTTP Basic.  A time that is too long for every point is sampled, at a distance that
gives about as many points as the panel has room for.

Source: the README of ``simpod/grafana-json-datasource``, "API".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from math import ceil, isfinite
from typing import Any

import msgspec
from attrs import frozen
from twisted.internet.interfaces import IReactorTime

from txbridge.errors import Closed, StoreError
from txbridge.hub.auth import Accounts, Credentials, Principal, may
from txbridge.hub.rates import RateLimiter
from txbridge.hub.store import FeedRecord, FeedSearch, HistoryQuery, Missing, Store
from txbridge.model.instants import parse_instant
from txbridge.model.numbers import parse_number
from txbridge.model.structures import Datapoint
from txbridge.net.deferred import deferred
from txbridge.net.http1 import Request, Response

__all__ = ["Grafana"]

PREFIX = "/grafana"
MAX_TARGETS = 100
MAX_POINTS = 10_000
MAX_FEEDS = 1000  # whose datastreams a search looks through
RAW_SECONDS = 6 * 3600
STEPS = (30, 60, 300, 900, 1800, 3600, 10800, 21600, 43200, 86400)


class _Refused(Exception):
    def __init__(self, status: int, reason: str, headers: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.headers = headers


@frozen
class _Asked:
    """A request whose key is known."""

    request: Request
    principal: Principal
    document: Mapping[str, Any]

    def may_read(self, record: FeedRecord, datastream_id: str | None, interval: int | None = None) -> bool:
        return may(
            self.principal,
            "get",
            record,
            datastream_id=datastream_id,
            client=self.request.client,
            referer=self.request.headers.get("referer", ""),
            interval=interval,
        )


class Grafana:
    """Answers what Grafana asks below ``/grafana``.

    Args:
        store: Has the history.
        accounts: Finds whose key a request carries.
        clock: Tells the time.
        limiter: Counts a key's requests with those it makes elsewhere; None lets it make any number.
    """

    def __init__(
        self, store: Store, accounts: Accounts, clock: IReactorTime, limiter: RateLimiter | None = None
    ) -> None:
        self._store = store
        self._accounts = accounts
        self._clock = clock
        self._limiter = limiter
        self._verbs = {
            "search": self._search,
            "metrics": self._search,
            "query": self._query,
            "annotations": self._annotations,
        }

    @deferred
    async def respond(self, request: Request) -> Response:
        """Answer a request whose path begins with ``/grafana``."""
        try:
            return await self._respond(request)
        except _Refused as error:
            return _json(error.status, {"message": error.reason}, error.headers)
        except Missing as error:  # deleted a moment ago
            return _json(404, {"message": f"there is no such {error.what}"})
        except (StoreError, Closed):
            return _json(503, {"message": "the storage is not available at the moment"})

    async def _respond(self, request: Request) -> Response:
        principal = await self._accounts.authenticate(Credentials.of(request.headers, None))
        if principal is None:
            raise _Refused(401, "give a valid API key in the header X-ApiKey")
        if self._limiter is not None:
            wait = self._limiter.take(principal.reference or principal.login, self._clock.seconds())
            if wait:
                raise _Refused(
                    429, "more requests came with this key than may", (("Retry-After", str(ceil(wait))),)
                )
        name = request.path.removeprefix(PREFIX).strip("/")
        if name == "":
            return _json(200, {"message": "txbridge hub"})
        verb = self._verbs.get(name)
        if verb is None or request.method != "POST":
            raise _Refused(404, "there is search, query and annotations here, to be asked by POST")
        return _json(200, await verb(_Asked(request, principal, _document(request.body))))

    async def _search(self, asked: _Asked) -> list[Any]:
        text = asked.document.get("target", asked.document.get("metric"))
        principal = asked.principal
        search = FeedSearch(principal.login, principal.private_access, limit=MAX_FEEDS)
        _, records = await self._store.list_feeds(search)
        found = (
            f"{record.environment.id}/{name}"
            for record in records
            for name in record.environment.datastreams
            if asked.may_read(record, name)
        )
        wanted = text.casefold() if isinstance(text, str) else ""
        return [target for target in found if wanted in target.casefold()]

    async def _query(self, asked: _Asked) -> list[Any]:
        start, end = _range(asked.document)
        room = _room(asked.document.get("maxDataPoints"))
        targets = asked.document.get("targets")
        if not isinstance(targets, list) or len(targets) > MAX_TARGETS:
            raise _Refused(400, f"targets must be a list of at most {MAX_TARGETS}")
        answers: list[Any] = []
        for target in targets:
            if not isinstance(target, dict) or target.get("hide") is True:
                continue
            name = str(target.get("target", ""))
            points = await self._points(asked, name, start, end, room)
            if target.get("type") == "table":
                columns = [{"text": "Time", "type": "time"}, {"text": name, "type": "number"}]
                answers.append(
                    {"type": "table", "columns": columns, "rows": [[at, value] for value, at in points]}
                )
            else:
                answers.append({"target": name, "datapoints": points})
        return answers

    async def _points(
        self, asked: _Asked, target: str, start: datetime, end: datetime, room: int
    ) -> list[list[float]]:
        number, _, name = target.partition("/")
        if not (number.isascii() and number.isdigit() and len(number) < 19 and name):
            raise _Refused(400, f"a target is feed/datastream, not {target[:100]!r}")
        feed_id = int(number)
        seconds = (end - start).total_seconds()
        step = next((step for step in STEPS if seconds / step <= room), STEPS[-1])
        try:
            record = await self._store.read_feed(feed_id, [name])
            intervals = ([0] if seconds <= RAW_SECONDS else []) + [step]
            for interval in intervals:
                if not asked.may_read(record, name, interval):
                    raise _Refused(403, f"the key may not read {target[:100]}")
                query = HistoryQuery(start, end, limit=MAX_POINTS, interval=interval)
                histories = await self._store.read_history(feed_id, [name], query)
                points = histories[0].datapoints if histories else ()
                if interval or len(points) < MAX_POINTS:
                    break
        except Missing:
            return []
        return list(_numbers(points))

    async def _annotations(self, asked: _Asked) -> list[Any]:
        """What triggers of the account fired, in that time."""
        start, end = _range(asked.document)
        marks: list[Any] = []
        for record in await self._store.list_triggers(asked.principal.login):
            trigger = record.trigger
            feed = await self._store.read_feed(trigger.environment_id or 0, [])
            if not asked.may_read(feed, trigger.stream_id):
                continue
            what = f"{trigger.trigger_type} {trigger.threshold_value or ''}".strip()
            marks += [
                {
                    "time": int(line.at.timestamp() * 1000),
                    "title": f"trigger {trigger.id}: {what}",
                    "text": line.outcome or "not delivered yet",
                    "tags": [f"{trigger.environment_id}/{trigger.stream_id}"],
                }
                for line in await self._store.list_notices(trigger.id or 0)
                if start <= line.at <= end
            ]
        return marks


def _document(body: bytes) -> Mapping[str, Any]:
    try:
        document = msgspec.json.decode(body or b"{}")
    except (ValueError, RecursionError):
        raise _Refused(400, "the body is no JSON") from None
    if not isinstance(document, dict):
        raise _Refused(400, "the body must be a JSON object")
    return document


def _range(document: Mapping[str, Any]) -> tuple[datetime, datetime]:
    spoken = document.get("range")
    try:
        start, end = (parse_instant(str(spoken[name])) for name in ("from", "to"))  # type: ignore[index]
    except (TypeError, KeyError, ValueError):
        raise _Refused(400, "range must have from and to as instants") from None
    if end < start:
        raise _Refused(400, "range ends before it begins")
    return start, end


def _room(value: Any) -> int:
    """The points that a panel has room for."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return MAX_POINTS
    return int(max(1, min(MAX_POINTS, value)))


def _numbers(points: Any) -> Iterator[list[float]]:
    point: Datapoint
    for point in points:
        number = parse_number(point.value or "")
        if number is not None and point.at is not None and isfinite(value := float(number)):
            yield [value, int(point.at.astimezone(UTC).timestamp() * 1000)]


def _json(status: int, document: Any, more: tuple[tuple[str, str], ...] = ()) -> Response:
    headers = (("Content-Type", "application/json; charset=utf-8"), ("Cache-Control", "no-store"), *more)
    return Response(status, headers, msgspec.json.encode(document))  # a million points take it 0.2 s
