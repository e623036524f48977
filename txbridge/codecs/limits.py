"""What every decoder obeys: sizes, depths and counts, and an XML parser that opens nothing.

A document comes from a stranger.  Its size is bounded before it is looked at, its number of
elements before it is parsed, and its depth before anything recurses over it.  A single text
needs no bound of its own: it cannot be longer than its document.

An XML document type declaration is refused before the parser sees it, which is the end of
entity expansion, external entities and remote DTDs alike.  For that search to be certain the
bytes must be ASCII-compatible, so the encoding is taken from a short list and *imposed* on the
parser: it would otherwise recognise UTF-16 by its first bytes, in which ``<!DOCTYPE`` looks
different.

The parser is Expat, because it forgets: libxml2 keeps every name it ever saw for as long as its thread
lives, and names are free to choose.  Namespaces are not looked at: no format needs them, and each name
would be a copy of its namespace, which may be half as long as the document.
"""

from __future__ import annotations

import re
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers.expat import ErrorString, ExpatError, ParserCreate

import numpy as np
from attrs import frozen

from txbridge.errors import DecodeError

__all__ = [
    "CLIENT_LIMITS",
    "DEFAULT_LIMITS",
    "DecodeLimits",
    "check_json_depth",
    "count_openings",
    "parse_xml",
]


@frozen(kw_only=True)
class DecodeLimits:
    """How large a document may be.

    Attributes:
        document_bytes: Of the whole document; the hosted service's successors settle on 1 MiB.
        depth: Of nested objects, arrays or elements; the deepest real document has 7.
        elements: Of members, list items, XML elements or CSV rows, estimated upwards from the
            separators in the document.
    """

    document_bytes: int = 1 << 20
    depth: int = 32
    elements: int = 200_000

    def check(self, format: str, data: bytes, separators: bytes) -> None:
        """Refuse a document that is too large, by length and by the bytes that part its elements.

        Raises:
            DecodeError: It is.
        """
        if len(data) > self.document_bytes:
            raise DecodeError(
                format, "", f"{len(data)} bytes are more than the {self.document_bytes} that are allowed"
            )
        if len(data) > 2 * self.elements:  # an element takes at least two bytes
            count = sum(data.count(separator) for separator in separators)
            if count > self.elements:
                raise DecodeError(
                    format, "", f"{count} elements are more than the {self.elements} that are allowed"
                )


DEFAULT_LIMITS = DecodeLimits()
"""For what a stranger sends to us."""

CLIENT_LIMITS = DecodeLimits(document_bytes=64 << 20, elements=8_000_000)
"""For what we asked a server for: a long history is larger than any update."""

# A string that nobody ends runs to the end: were it no match, each quote in it would be tried in turn.
_JSON_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_OPENING = b"[{"


def check_json_depth(data: bytes, depth: int) -> None:
    """Refuse JSON that nests deeper than this; brackets inside strings do not count.

    Raises:
        DecodeError: It does.
    """
    level = 0
    for bracket in _JSON_STRING.sub(b"", data).translate(None, _NOT_BRACKETS):
        if bracket in _OPENING:
            level += 1
            if level > depth:
                raise DecodeError("json", "", f"nested deeper than {depth} levels")
        else:
            level -= 1


_SMALL = 4096  # bytes; below, setting up an array takes longer than counting


def count_openings(data: bytes) -> int:
    """How many ``{`` and ``[`` there are, inside strings too."""
    if len(data) < _SMALL:
        return data.count(b"{") + data.count(b"[")
    # The two differ in one bit, and nothing else becomes a brace when that bit is set.
    return int(np.count_nonzero(np.bitwise_or(np.frombuffer(data, np.uint8), 0x20) == ord("{")))


_XML_DECLARATION = re.compile(rb"<\?xml\s[^>]*?encoding\s*=\s*[\"']([^\"']{1,40})[\"']")
_XML_ENCODINGS = {
    b"utf-8": "utf-8",
    b"utf8": "utf-8",
    b"us-ascii": "us-ascii",
    b"ascii": "us-ascii",
    b"iso-8859-1": "iso-8859-1",
    b"iso-8859-15": "iso-8859-15",
    b"latin1": "iso-8859-1",
    b"windows-1252": "windows-1252",
}
_UTF8_BOM = b"\xef\xbb\xbf"


def _is_deeper(root: Element, depth: int) -> bool:
    level = [root]
    for _ in range(depth):
        level = [child for element in level for child in element]
    return bool(level)


def parse_xml(data: bytes, limits: DecodeLimits) -> Element:
    """Parse an XML document without DTD, entities, network, comments or processing instructions.

    Args:
        data: The document; a byte order mark and white space around it are taken off.
        limits: What it must keep to.

    Returns:
        The root element; names are as they stand in the document, with their prefixes.

    Raises:
        DecodeError: Too large, too deep, with a document type declaration, in an encoding that
            is not on the list, or not well-formed; the reason then is the parser's, after
            ``line:column``.
    """
    limits.check("xml", data, b"<")
    document = data.removeprefix(_UTF8_BOM).strip()
    if b"\0" in document:
        raise DecodeError("xml", "", "the encoding must be UTF-8")
    if b"<!DOCTYPE" in document:
        raise DecodeError("xml", "", "a document type declaration is not accepted")
    encoding = "utf-8"
    declared = _XML_DECLARATION.match(document)
    if declared is not None:
        known = _XML_ENCODINGS.get(declared[1].lower())
        if known is None:
            name = declared[1].decode("ascii", "replace")
            raise DecodeError("xml", "", f"the encoding {name!r} is not accepted, use UTF-8")
        encoding = known
    builder = TreeBuilder()
    parser = ParserCreate(encoding)
    parser.buffer_text = True
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    try:
        parser.Parse(document, True)
    except ExpatError as error:
        where = f"{error.lineno}:{error.offset + 1}"
        raise DecodeError("xml", "", f"{where}: {ErrorString(error.code)}") from None
    root = builder.close()
    if _is_deeper(root, limits.depth):
        raise DecodeError("xml", "", f"nested deeper than {limits.depth} levels")
    return root
