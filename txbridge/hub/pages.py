"""The hub's page: files of the package, with headers that let a browser load nothing else.

They are read when the hub starts and kept in memory; together they are a few hundred kilobytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from hashlib import blake2b
from importlib.resources import files
from importlib.resources.abc import Traversable

from txbridge.net.http1 import Request, Response

__all__ = ["Pages"]

CONTENT_TYPES = {
    "css": "text/css; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "json": "application/json",
    "svg": "image/svg+xml",
}

SECURITY = (
    (
        "Content-Security-Policy",
        (
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
            "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
            "require-trusted-types-for 'script'; trusted-types 'none'"
        ),
    ),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
)


class Pages:
    """Answers requests for the page: ``/`` and what is below ``/web/``."""

    def __init__(self) -> None:
        self._found: Mapping[str, Response] = {path: _response(file) for path, file in _files()}

    def respond(self, request: Request) -> Response | None:
        """The file at an address, or None when there is none."""
        found = self._found.get(request.path)
        if found is None or request.method not in ("GET", "HEAD"):
            return None
        tag = dict(found.headers)["ETag"]
        if tag in request.headers.get("if-none-match", ""):
            return Response(304, tuple(pair for pair in found.headers if pair[0] != "Content-Type"))
        return found


def _files() -> Iterator[tuple[str, Traversable]]:
    web = files("txbridge.hub").joinpath("web")
    yield "/", web.joinpath("index.html")
    for folder, prefix in ((web, "/web/"), (web.joinpath("vendor"), "/web/vendor/")):
        for file in folder.iterdir():
            if file.is_file() and file.name.rpartition(".")[2] in CONTENT_TYPES:
                yield prefix + file.name, file


def _response(file: Traversable) -> Response:
    body = file.read_bytes()
    headers = (
        ("Content-Type", CONTENT_TYPES[file.name.rpartition(".")[2]]),
        ("Cache-Control", "no-cache"),
        ("ETag", f'"{blake2b(body, digest_size=8).hexdigest()}"'),
        *SECURITY,
    )
    return Response(200, headers, body)
