"""A request that found its route and whose key is known, and how its answer is written.

What every verb of the server needs: the ids and the document of the request, whether its key may do
what it asks, and answers in the format it speaks.

Source: Cosm API v2, "API resources", "Data formats".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine, Mapping, Sequence
from datetime import datetime, tzinfo
from hashlib import blake2b
from typing import Any, Protocol, TypeVar

from attrs import frozen
from twisted.internet.defer import Deferred

from txbridge.codecs import cosm_csv, cosm_json, eeml
from txbridge.codecs.limits import DecodeLimits
from txbridge.codecs.timezones import zone_of
from txbridge.cosm.negotiation import CONTENT_TYPES, Parameters, body_format, instant_of, jsonp_name
from txbridge.cosm.refusal import Refusal, bad_request, forbidden, not_acceptable, not_found
from txbridge.errors import DecodeError
from txbridge.hub.auth import METHODS, Principal, is_unlimited, may
from txbridge.hub.store import FeedRecord, Guard
from txbridge.model.encoding import Structure
from txbridge.model.instants import shorten
from txbridge.model.structures import Environment
from txbridge.net.http1 import Request, Response

__all__ = [
    "ALL_FORMATS",
    "CODECS",
    "DONE",
    "Call",
    "Row",
    "Verb",
    "resource_number",
    "is_allowed",
    "other_formats",
    "permit_account",
    "some_feed",
    "wrapped",
]

S = TypeVar("S", bound=Structure)

ALL_FORMATS = ("json", "xml", "csv")

DONE = Response(200)
"""A successful write has no body: weewx-xively fails on one.  Source: "API resources"."""

LONGEST_HEADER = 63
"""The longest header value libxively has room for.  Source: ``xi_config.h``."""

_NUMBER = re.compile(r"[0-9]{1,18}")


class _Codec(Protocol):
    """What the modules of the formats have in common."""

    def encode(self, structure: Structure, *, zone: tzinfo | None = None) -> bytes:
        """Write a structure."""

    def decode(self, kind: type[S], data: bytes, *, limits: DecodeLimits = ...) -> S:
        """Read a structure."""


CODECS: Mapping[str, _Codec] = {"json": cosm_json, "xml": eeml, "csv": cosm_csv}


@frozen
class Call:
    """A request that found its route and whose key is known.

    Attributes:
        request: As it came.
        names: The ids in the address, decoded.
        extension: The address's format extension.
        parameters: The query.
        formats: What the resource is available as.
        output: The format of the answer.
        principal: Whose key it is.
        now: When it came.
        base_url: Scheme and host that the request knows us by.
    """

    request: Request
    names: tuple[str, ...]
    extension: str | None
    parameters: Parameters
    formats: tuple[str, ...]
    output: str
    principal: Principal
    now: datetime
    base_url: str

    @property
    def feed_id(self) -> int:
        """The feed's number.

        Raises:
            Refusal: 404, it is none.
        """
        return resource_number(self.names[0])

    @property
    def asked_feed(self) -> int | None:
        """The parameter ``feed_id``; None when there is none, 0 (no feed) when it is no number."""
        text = self.parameters.text("feed_id")
        if text is None:
            return None
        return int(text) if _NUMBER.fullmatch(text) else 0

    @property
    def datastream_id(self) -> str:
        """The datastream's id."""
        return self.names[1]

    @property
    def at(self) -> datetime:
        """The instant at the end of the address.

        Raises:
            Refusal: 404, it is none.
        """
        try:
            return instant_of(self.names[-1])
        except ValueError:
            raise not_found() from None

    @property
    def zone(self) -> tzinfo | None:
        """The offset timestamps are shown in; None is UTC.

        Raises:
            Refusal: 400, there is no such zone.
        """
        text = self.parameters.text("timezone")
        if text is None:
            return None
        try:
            return zone_of(text)
        except ValueError:
            raise bad_request(f"Timezone is unknown: {shorten(text)!r}") from None

    @property
    def written_in(self) -> str:
        """The format of the body."""
        headers = self.request.headers
        content_type, accept = headers.get("content-type", ""), headers.get("accept", "")
        return body_format(self.extension, content_type, accept, self.request.body)

    def decode(self, kind: type[S], limits: DecodeLimits) -> S:
        """The document in the body.

        Raises:
            Refusal: 406, the resource does not take documents of that format.
            DecodeError: It is none of that kind.
        """
        if self.written_in not in self.formats:
            raise other_formats(self.formats, self.written_in)
        return CODECS[self.written_in].decode(kind, self.request.body, limits=limits)

    def expect(self, element: str, *, found: bool) -> None:
        """Refuse XML without the element its address is about: that is another document, not a blank member.

        Raises:
            DecodeError: 400.

        Source: xively-rb, its specs of ``parsers/xml``.
        """
        if not found and self.written_in == "xml":
            raise DecodeError("xml", "", f"expected {element!r} elements, found none")

    def may(self, method: str, record: FeedRecord, *, datastream_id: str | None = None) -> bool:
        """Whether the key may do this to a feed, or to one datastream of it."""
        return is_allowed(self.principal, self.request, method, record, datastream_id)

    def permit(
        self,
        method: str,
        record: FeedRecord,
        *,
        datastream_id: str | None = None,
        interval: int | None = None,
    ) -> None:
        """Refuse what the key may not do.

        Raises:
            Refusal: 403.
        """
        if not is_allowed(self.principal, self.request, method, record, datastream_id, interval):
            raise forbidden()

    def guard(self, method: str, datastream_ids: Sequence[str | None] = (None,)) -> Guard:
        """What refuses a write from inside its transaction."""

        def guard(record: FeedRecord) -> None:
            for datastream_id in datastream_ids:
                self.permit(method, record, datastream_id=datastream_id)

        return guard

    def document(self, body: bytes) -> Response:
        """A successful read: the document, or 304 when the client has it already."""
        content_type = CONTENT_TYPES[self.output]
        headers: tuple[tuple[str, str], ...] = ()
        if self.output == "json":
            content_type, headers, body = wrapped(self.request.query, content_type, body)
        # Weak, because the connection may compress the body.
        tag = f'W/"{blake2b(body, digest_size=8).hexdigest()}"'
        headers = (*headers, ("ETag", tag), ("Cache-Control", "private, no-cache"))
        if _matches(self.request.headers.get("if-none-match", ""), tag):
            return Response(304, headers)
        return Response(200, (("Content-Type", content_type), *headers), body)

    def created(self, path: str) -> Response:
        """A successful creation, and where what was made can be found."""
        location = self.base_url + path
        if len(location) > LONGEST_HEADER:
            location = path
        return Response(201, (("Location", location), ("Content-Type", CONTENT_TYPES[self.output])))

    def answer(self, structure: Structure) -> Response:
        """A successful read of a structure, in the format of the answer."""
        return self.document(CODECS[self.output].encode(structure, zone=self.zone))


Verb = Callable[[Call], Coroutine[Deferred[Any], Any, Response]]
"""Answers a call."""


Row = tuple[str, str, Verb, tuple[str, ...]]
"""What a table of the server has for a verb: method, path, verb, formats."""


def other_formats(formats: Sequence[str], asked: str) -> Refusal:
    """406: the resource is there, but not as that."""
    return not_acceptable(f"This resource is available as {', '.join(formats)}, not as {asked}")


def resource_number(name: str) -> int:
    """The number of a feed, or of another thing, in an address.

    Raises:
        Refusal: 404, it is none.
    """
    if _NUMBER.fullmatch(name) is None:
        raise not_found()
    return int(name)


def is_allowed(
    principal: Principal,
    request: Request,
    method: str,
    record: FeedRecord,
    datastream_id: str | None,
    interval: int | None = None,
) -> bool:
    """Whether somebody may do this, asking as they do."""
    return may(
        principal,
        method,
        record,
        datastream_id=datastream_id,
        client=request.client,
        referer=request.headers.get("referer", ""),
        interval=interval,
    )


def some_feed(principal: Principal, feed_id: int | None) -> FeedRecord:
    """A public feed of this account's own, to ask a key's permissions about."""
    return FeedRecord(principal.login, Environment(id=feed_id, private=False))


def permit_account(call: Call) -> set[str]:
    """Refuse a key that is limited in any way.

    Returns:
        The methods that an unlimited permission of the key names: what it can give to another key.
    """
    method = "get" if call.request.method == "HEAD" else call.request.method
    call.permit(method, some_feed(call.principal, None))
    grantable = {
        known.lower()
        for permission in call.principal.permissions
        if is_unlimited(permission)
        for known in permission.access_methods
    }
    if method.lower() not in grantable:
        raise forbidden()
    return grantable & set(METHODS)


def wrapped(query: str, content_type: str, body: bytes) -> tuple[str, tuple[tuple[str, str], ...], bytes]:
    """JSON, inside a function call when a callback is named."""
    name = jsonp_name(query)
    if name is None:
        return content_type, (), body
    # Two characters that JSON allows inside text and JavaScript long did not.
    body = body.replace(b"\xe2\x80\xa8", b"\\u2028").replace(b"\xe2\x80\xa9", b"\\u2029")
    return CONTENT_TYPES["js"], (("X-Content-Type-Options", "nosniff"),), b"%s(%s)" % (name.encode(), body)


def _matches(if_none_match: str, tag: str) -> bool:
    if not if_none_match:
        return False
    opaque = tag.removeprefix("W/")
    known = (one.strip().removeprefix("W/") for one in if_none_match.split(","))
    return any(one in (opaque, "*") for one in known)
