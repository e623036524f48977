"""What the server says when it says no, in the words old clients print.

A `Refusal` is raised by whoever finds the reason and becomes an error body at one place.
The titles and sentences below are those of the hosted service where they are known: clients
show them to people, none parses them, and python-eeml takes the first child of the XML as
the title and the second as the message.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Sequence

from txbridge.errors import DecodeError, EncodeError

__all__ = [
    "Refusal",
    "bad_request",
    "error_body",
    "forbidden",
    "invalid",
    "no_route",
    "not_acceptable",
    "not_found",
    "too_often",
    "unauthorized",
    "unavailable",
    "undecodable",
    "unwritable",
]

MAX_SENTENCES = 20
"""The most sentences of one refusal: enough to mend a document, too few to echo a flood."""

_NOT_IN_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_PARSER_TITLES = {"json": "JSON Parser Error", "xml": "XML Parser Error", "csv": "CSV Parser Error"}


class Refusal(Exception):
    """A request that is answered with an error.

    Attributes:
        status: The HTTP status.
        title: Its short name, such as ``"Forbidden"``.
        errors: The explanation; several sentences are joined with ``", "``.
        retry_after: The seconds after which the request may be made again, or None.
    """

    def __init__(self, status: int, title: str, errors: str, retry_after: float | None = None) -> None:
        super().__init__(status, title, errors)
        self.status = status
        self.title = title
        self.errors = errors
        self.retry_after = retry_after


def bad_request(errors: str) -> Refusal:
    """400: the parameters contradict each other or cannot be read."""
    return Refusal(400, "Bad Request", errors)


def unauthorized() -> Refusal:
    """401: no key, or one that is unknown or expired."""
    return Refusal(401, "Unauthorized", "You must supply a valid API key")


def forbidden() -> Refusal:
    """403: the key may not do this.  Source: recorded from the service."""
    return Refusal(403, "Forbidden", "You do not have the necessary permissions to access this resource")


def too_often(retry_after: float, whose: str = "API key") -> Refusal:
    """403: more requests are made than may be.  Source: Cosm API v2, "Usage limits"."""
    return Refusal(403, "Forbidden", f"You have exceeded the rate limit of your {whose}", retry_after)


def unavailable(errors: str, retry_after: float) -> Refusal:
    """503: not now.  Version 1 said so too of who asked too often.  Source: "HTTP status codes"."""
    return Refusal(503, "Service Unavailable", errors, retry_after)


def not_found() -> Refusal:
    """404: there is no such thing.  Source: recorded from the service."""
    return Refusal(404, "Not found", "I'm sorry we are unable to find the resource you are looking for.")


def no_route(method: str, path: str) -> Refusal:
    """404: there is no such address, or it does not know this method.

    Args:
        method: The HTTP method.
        path: The raw path; shown with the prefix ``/api``, as the service did.
    """
    shown = path if len(path) <= 500 else path[:499] + "…"
    return Refusal(404, "Not found", f'No route matches [{method}] "/api{shown}"')


def not_acceptable(errors: str) -> Refusal:
    """406: the resource is not to be had in that format."""
    return Refusal(406, "Not Acceptable", errors)


def invalid(sentences: Sequence[str]) -> Refusal:
    """422: the document can be read and breaks rules of the data model."""
    shown = list(sentences[:MAX_SENTENCES])
    if len(sentences) > MAX_SENTENCES:
        shown.append(f"and {len(sentences) - MAX_SENTENCES} more")
    return Refusal(422, "Unprocessable Entity", ", ".join(shown))


def undecodable(error: DecodeError) -> Refusal:
    """400 or 422: what a codec found wrong with a document."""
    reason = f"{error.path}: {error.reason}" if error.path else error.reason
    if error.invalid:
        return invalid([reason])
    return Refusal(400, _PARSER_TITLES.get(error.format, "Bad Request"), reason)


def unwritable(error: EncodeError) -> Refusal:
    """406: what is stored cannot be written in the format that was asked for."""
    where = f"{error.path}: " if error.path else ""
    return not_acceptable(f"{where}{error.reason}: ask for it in another format")


def error_body(format: str, title: str, errors: str) -> tuple[str, bytes]:
    """The body of an error.

    Args:
        format: ``"json"`` or ``"xml"``; anything else is told in one line of plain text.
        title: The short name.
        errors: The explanation.

    Returns:
        The content type, and the body.

    Source: Cosm API v2, "HTTP status codes"; python-eeml ``datastream.py`` for the XML.
    """
    if format == "json":
        document = json.dumps({"title": title, "errors": errors}, ensure_ascii=False, separators=(",", ":"))
        return "application/json; charset=utf-8", document.encode("utf-8", "replace")
    if format == "xml":
        named, explained = (html.escape(_NOT_IN_XML.sub("�", text), quote=False) for text in (title, errors))
        text = (
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            f"<errors>\n  <title>{named}</title>\n  <error>{explained}</error>\n</errors>\n"
        )
        return "application/xml; charset=utf-8", text.encode("utf-8")
    line = " ".join(f"{title}: {errors}".split())
    return "text/plain; charset=utf-8", f"{line}\n".encode("utf-8", "replace")
