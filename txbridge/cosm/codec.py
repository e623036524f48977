"""What a Cosm server says when it says no, in any of the shapes there are.

The documents of feeds, datastreams and the rest are shared structures, whose codecs are in
``txbridge.codecs``.  What is Cosm's own is the error body: an object whose ``errors`` is a
text, an array or an object of arrays; XML whose first child is the title and whose others are
messages; one line of text.  A proxy in between may answer with a page of HTML, which says
nothing that a caller wants to read.

Nothing here ever fails: whoever is refused needs the status more than a second error.
"""

from __future__ import annotations

import json
from typing import Any

from txbridge.codecs.limits import DEFAULT_LIMITS, parse_xml
from txbridge.errors import DecodeError
from txbridge.model.instants import shorten
from txbridge.net.operation import Answer

__all__ = ["read_refusal"]

MAX_BODY = 64 << 10
"""The longest error body that is read; the longest known ones list a few hundred sentences."""

MAX_TEXT = 1000
"""The longest title or explanation that is kept: they end up in logs and on screens."""


def read_refusal(answer: Answer) -> tuple[str, str]:
    """The title and the explanation of a refusal; ``""`` for what it does not say.

    Source: Cosm API v2, "HTTP status codes"; the iOS sample application, which shows all three
    shapes of ``errors``; python-eeml, which takes the children of the XML by position.
    """
    if len(answer.body) > MAX_BODY or "html" in answer.headers.get("content-type", "").lower():
        return "", ""
    text = answer.body.decode("utf-8", "replace").strip("\ufeff \t\r\n")
    if text[:1] == "{":
        title, sentences = _from_json(text)
    elif text[:1] == "<":
        title, sentences = _from_xml(text)
    else:
        title, sentences = _from_line(text)
    return _clean(title), _clean(", ".join(sentences))


def _from_json(text: str) -> tuple[str, list[str]]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return "", []
    title = document.get("title")
    return (title if isinstance(title, str) else ""), _sentences(document.get("errors"))


def _sentences(errors: Any) -> list[str]:
    if isinstance(errors, dict):
        return [f"{name} {sentence}" for name, said in errors.items() for sentence in _texts(said)]
    return _texts(errors)


def _texts(said: Any) -> list[str]:
    return [text for text in (said if isinstance(said, list) else [said]) if isinstance(text, str)]


def _from_xml(text: str) -> tuple[str, list[str]]:
    try:
        root = parse_xml(text.encode("utf-8"), DEFAULT_LIMITS)
    except DecodeError:
        return "", []
    words = ["".join(map(str, child.itertext())) for child in root]
    return (words[0], words[1:]) if words else (root.text or "", [])


def _from_line(text: str) -> tuple[str, list[str]]:
    line = text.partition("\n")[0]
    title, separator, explanation = line.partition(": ")
    return (title, [explanation]) if separator else ("", [line])


def _clean(text: str) -> str:
    """One line of printable text: what a peer says must not draw on a terminal."""
    printable = "".join(character if character.isprintable() else " " for character in text)
    return shorten(" ".join(printable.split()), MAX_TEXT)
