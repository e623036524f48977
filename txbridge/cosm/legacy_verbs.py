"""Version 1 of the API, as the first devices speak it: each write says all there is.

A ``PUT`` of a feed puts the datastreams of its body in the place of those the feed has: what is not
named is deleted with its history, what is new is made, in one write.  So a key needs ``delete`` too where
something goes.  A body that names no datastream at all deletes none: that is somebody who changes a title.
What a body says of the feed itself is merged, as in version 2.

In CSV a feed is one row of values whose positions are the ids; an empty field is a datastream that is
left as it is.

Source: Pachube API v1 documentation; Net::Pachube; xively-rb ``templates`` and ``parsers`` for the formats.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import tzinfo
from typing import TypeVar

from txbridge.codecs import cosm_csv, cosm_json, eeml
from txbridge.codecs.limits import DecodeLimits
from txbridge.cosm.call import DONE, Call, Row, some_feed
from txbridge.cosm.documents import by_position, legacy_feed_document
from txbridge.cosm.refusal import not_found
from txbridge.cosm.rules import writable_datastream, writable_feed
from txbridge.hub.store import FeedRecord, Store
from txbridge.hub.telling import Telling
from txbridge.model.encoding import Structure
from txbridge.model.structures import Datastream, Environment
from txbridge.net.http1 import Response

__all__ = ["LegacyVerbs"]

FORMATS = ("xml", "json", "csv")

S = TypeVar("S", bound=Structure)


class LegacyVerbs:
    """Answers requests to version 1.

    Args:
        store: Keeps the feeds.
        telling: Tells who listens of what was written.
        limits: What a document may cost to read.
        live_seconds: How long after its last write a feed is live.
    """

    def __init__(self, store: Store, telling: Telling, limits: DecodeLimits, live_seconds: float) -> None:
        self._store = store
        self._telling = telling
        self._limits = limits
        self._live_seconds = live_seconds

    def rows(self) -> Sequence[Row]:
        """Their part of the table of version 1."""
        return (
            ("POST", "feeds", self._create_feed, ("xml", "json")),
            ("GET", "feeds/*", self._read_feed, FORMATS),
            ("PUT", "feeds/*", self._replace_feed, FORMATS),
            ("GET", "feeds/*/datastreams/*", self._read_datastream, FORMATS),
            ("PUT", "feeds/*/datastreams/*", self._update_datastream, FORMATS),
        )

    async def _create_feed(self, call: Call) -> Response:
        document = writable_feed(self._decode(call, Environment), creating=True)
        call.permit("post", some_feed(call.principal, None))
        written = await self._telling.after(self._store.create_feed(call.principal.login, document, call.now))
        extension = call.extension or call.output
        collection = "/" + call.request.path.strip("/")
        if call.extension is not None:
            collection = collection[: -len(f".{extension}")]
        # Net::Pachube looks for /digits.xml at the end.
        return call.created(f"{collection}/{written.feed_id}.{extension}")

    async def _read_feed(self, call: Call) -> Response:
        zone = call.zone
        record = await self._store.read_feed(call.feed_id)
        call.permit("get", record)
        return call.document(_encode(call.output, self._shown(call, record), zone))

    async def _replace_feed(self, call: Call) -> Response:
        document = writable_feed(self._decode(call, Environment), creating=False)
        removing = call.guard("delete") if document.datastreams else None
        await self._telling.after(
            self._store.update_feed(call.feed_id, document, call.now, call.guard("put"), removing)
        )
        return DONE

    async def _read_datastream(self, call: Call) -> Response:
        zone, name = call.zone, call.datastream_id
        record = await self._store.read_feed(call.feed_id, [name])
        call.permit("get", record, datastream_id=name)
        feed = self._shown(call, record)
        stream = feed.datastreams.get(name)
        if stream is None:
            raise not_found()
        return call.document(_encode_datastream(call.output, feed, stream, zone))

    async def _update_datastream(self, call: Call) -> Response:
        stream = self._decode(call, Datastream)
        stream.id = None
        guard = call.guard("put", [call.datastream_id])
        await self._telling.after(
            self._store.update_datastream(
                call.feed_id, call.datastream_id, writable_datastream(stream), call.now, guard
            )
        )
        return DONE

    def _decode(self, call: Call, kind: type[S]) -> S:
        if call.written_in == "csv" and "csv" in call.formats:
            return cosm_csv.decode(kind, call.request.body, limits=self._limits, legacy=True)
        return call.decode(kind, self._limits)

    def _shown(self, call: Call, record: FeedRecord) -> Environment:
        return legacy_feed_document(
            record, call.base_url, now=call.now, format=call.output, live_seconds=self._live_seconds
        )


def _encode(output: str, feed: Environment, zone: tzinfo | None) -> bytes:
    if output == "json":
        return cosm_json.encode(feed, zone=zone, legacy=True)
    if output == "xml":
        return eeml.encode(feed, zone=zone, legacy=True)
    return cosm_csv.encode(by_position(feed), legacy=True)


def _encode_datastream(output: str, feed: Environment, stream: Datastream, zone: tzinfo | None) -> bytes:
    if output == "json":
        return cosm_json.encode(stream, zone=zone, versioned=True, legacy=True)
    if output == "xml":
        return eeml.encode(stream, zone=zone, environment=feed, legacy=True)
    return cosm_csv.encode(stream, legacy=True)
