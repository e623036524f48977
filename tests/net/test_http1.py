"""The HTTP server's core: what old devices send is read, what is ambiguous is refused."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from txbridge.net.http1 import (
    Close,
    CloseRequested,
    Event,
    HttpLimits,
    HttpServerConnection,
    Request,
    RequestReceived,
    Response,
    UpgradeRequested,
    loggable_path,
    plain_refusal,
)

DATE = "Mon, 03 Jun 2013 09:20:00 GMT"
OK = Response(200)


class Peer:
    """A connection with a clock of its own, and what came out of it."""

    def __init__(self, **options) -> None:
        self.time = 1000.0
        self.connection = HttpServerConnection(now=lambda: self.time, date=lambda: DATE, **options)
        self.sent = b""
        self.events: list[Event] = []

    def take(self, events: list[Event]) -> list[Event]:
        self.sent += self.connection.data_to_send()
        self.events += events
        return events

    def send(self, data: bytes) -> list[Event]:
        return self.take(self.connection.receive_data(data))

    def answer(self, response: Response = OK) -> list[Event]:
        self.connection.respond(response)
        return self.take(self.connection.advance())

    def wait(self, seconds: float) -> list[Event]:
        self.time += seconds
        return self.take(self.connection.handle_deadline(self.time))

    def run(self, pieces, response: Response = OK) -> Peer:
        """Send every piece and answer every request as it comes."""
        for piece in pieces:
            events = self.send(piece)
            while events and isinstance(events[0], RequestReceived):
                events = self.answer(response)
        return self

    @property
    def requests(self) -> list[Request]:
        return [event.request for event in self.events if isinstance(event, RequestReceived)]

    @property
    def closed(self) -> bool:
        return any(isinstance(event, CloseRequested) for event in self.events)


def request_of(data: bytes, **options) -> Request:
    """The one request these bytes are."""
    (event,) = Peer(**options).send(data)
    assert isinstance(event, RequestReceived), event
    return event.request


def refusal_of(data: bytes, **options) -> int:
    """The status these bytes are refused with; the connection must close."""
    peer = Peer(**options)
    assert peer.send(data) == [CloseRequested(Close.HALF)]
    head = read_answer(peer.sent)[1]
    assert head["connection"] == "close"
    assert peer.requests == []
    return read_answer(peer.sent)[0]


def read_answer(data: bytes) -> tuple[int, dict[str, str], bytes]:
    """Read the first answer as a strict client would: ``Name: value`` lines and a length."""
    head, end, body = data.partition(b"\r\n\r\n")
    assert end, data
    first, *lines = head.decode("latin-1").split("\r\n")
    version, status, reason = first.split(" ", 2)
    assert version == "HTTP/1.1"
    assert reason
    headers = {}
    for line in lines:
        name, separator, value = line.partition(": ")
        assert separator, line
        assert name.lower() not in headers, line
        assert len(value) < 64, line
        headers[name.lower()] = value
    return int(status), headers, body


ARDUINO = (
    b"PUT /v2/feeds/7021/datastreams/0.csv HTTP/1.1\n"
    b"Host: api.pachube.com\n"
    b"X-PachubeApiKey: k7Q\n"
    b"User-Agent: Arduino\r\n"
    b"Content-Length: 4\n"
    b"Content-Type: text/csv\n"
    b"Connection: close\n"
    b"\r\n"
    b"21.5\0"
)

PLAIN = b"GET /v2/feeds/7021.json?key=k7Q HTTP/1.1\r\nHost: h\r\nAccept: */*\r\n\r\n"
SIZED = b"PUT /v2/feeds/7021 HTTP/1.1\r\nHost: h\r\nContent-Length: 6\r\n\r\n0,18.6"
CHUNKED = (
    b"POST /v2/feeds HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
    b'5;name="a;b"\r\n{"a":\r\n2\n1}\n0\r\nTrailer: dropped\r\n\r\n'
)
GZIPPED_BODY = gzip.compress(b'{"title":"Attic"}', mtime=0)
GZIPPED = (
    b"POST /v2/feeds HTTP/1.1\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(GZIPPED_BODY)
) + GZIPPED_BODY
EXPECTING = b"PUT /v2/feeds/1 HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n{}"
FOLDED = b"\r\n\nGET / HTTP/1.0\nX-Long: one\n\ttwo\r\n  three\nX-Last: 1\n\n"


# ------------------------------------------------------------------------------ reading a request


def test_a_request_is_read_in_all_its_parts():
    request = request_of(
        b"put /v2/feeds/7%2F1.json?key=a?b&c=%20 HTTP/1.1\r\nHost: h:8080\r\nX-Odd_Name:\t caf\xe9 \r\n"
        b"Accept: text/csv\r\nAccept: text/xml\r\nContent-Length: 2\r\n\r\nhi",
        client="192.0.2.7",
        secure=True,
    )
    assert request == Request(
        method="PUT",
        path="/v2/feeds/7%2F1.json",
        query="key=a?b&c=%20",
        headers={
            "host": "h:8080",
            "x-odd_name": "café",
            "accept": "text/csv, text/xml",
            "content-length": "2",
        },
        body=b"hi",
        client="192.0.2.7",
        secure=True,
        version="1.1",
    )


def test_a_request_hides_its_secrets_in_its_repr():
    request = request_of(b"GET /v2/keys/k7Qk7Q?key=k7Qk7Q HTTP/1.1\r\nX-ApiKey: k7Qk7Q\r\n\r\n")
    assert "k7Qk7Q" not in repr(request)
    assert "k7Qk7Q" not in repr(RequestReceived(request))


def test_what_an_arduino_sends_is_answered_and_its_surplus_byte_dropped():
    """Bare LF and CR LF mixed, ``\\n\\r\\n`` at the end of the head, one byte too many."""
    peer = Peer().run([ARDUINO])
    (request,) = peer.requests
    assert (request.method, request.path) == ("PUT", "/v2/feeds/7021/datastreams/0.csv")
    assert request.headers["x-pachubeapikey"] == "k7Q"
    assert request.headers["user-agent"] == "Arduino"
    assert request.body == b"21.5"
    status, headers, body = read_answer(peer.sent)
    assert (status, headers["connection"], headers["content-length"], body) == (200, "close", "0", b"")
    assert peer.events[1:] == [CloseRequested(Close.HALF)]


def test_a_late_surplus_byte_is_dropped_too():
    peer = Peer().run([ARDUINO[:-1], b"\0"])
    assert len(peer.requests) == 1
    assert peer.sent.count(b"HTTP/1.1 ") == 1


@pytest.mark.parametrize("surplus", [b"\n", b"\r\n", b"\r\n\r\n\n"])
def test_surplus_line_ends_on_a_kept_connection_are_skipped(surplus):
    peer = Peer().run([SIZED + surplus + SIZED])
    assert [request.body for request in peer.requests] == [b"0,18.6", b"0,18.6"]
    assert not peer.closed


def test_surplus_garbage_on_a_kept_connection_is_refused():
    peer = Peer().run([SIZED + b"\0"])
    assert len(peer.requests) == 1
    assert b"HTTP/1.1 400 Bad Request\r\n" in peer.sent
    assert peer.closed


def test_the_blank_before_the_version_may_be_missing():
    request = request_of(b"POST /v2/feeds/7301/datastreams.csvHTTP/1.1\r\nContent-Length: 6\r\n\r\n0,18.6")
    assert (request.path, request.version) == ("/v2/feeds/7301/datastreams.csv", "1.1")


@pytest.mark.parametrize(
    ("target", "path", "query", "host"),
    [
        (b"http://api.cosm.com/v2/feeds?q=1", "/v2/feeds", "q=1", "api.cosm.com"),
        (b"HTTP://user:word@api.cosm.com:8080", "/", "", "api.cosm.com:8080"),
        (b"https://api.cosm.com?q=/", "/", "q=/", "api.cosm.com"),
        (b"/v2/feeds/?", "/v2/feeds/", "", "other"),
        (b"//v2", "//v2", "", "other"),
        (b"/v2/?tag=caf\xc3\xa9", "/v2/", "tag=caf%C3%A9", "other"),
    ],
)
def test_a_target_becomes_a_path_and_a_query(target, path, query, host):
    request = request_of(b"GET " + target + b" HTTP/1.1\r\nHost: other\r\n\r\n")
    assert (request.path, request.query, request.headers["host"]) == (path, query, host)


def test_options_may_ask_about_the_whole_server():
    assert request_of(b"OPTIONS * HTTP/1.1\r\n\r\n").path == "/"


def test_folded_lines_are_joined():
    assert request_of(FOLDED).headers == {"x-long": "one two three", "x-last": "1"}


def test_folding_continues_the_last_of_repeated_headers():
    request = request_of(b"GET / HTTP/1.1\r\nA: 1\r\nB: 2\r\nA: 3\r\n 4\r\n\r\n")
    assert request.headers == {"a": "1, 3 4", "b": "2"}


def test_a_chunked_body_is_joined_and_its_extensions_and_trailers_dropped():
    request = request_of(CHUNKED)
    assert request.body == b'{"a":1}'
    assert "trailer" not in request.headers


def test_a_method_without_a_body_needs_no_length():
    for method in (b"GET", b"DELETE", b"HEAD", b"OPTIONS", b"POST", b"PUT"):
        assert request_of(method + b" /v2/keys HTTP/1.1\r\n\r\n").body == b""


def test_the_same_length_said_twice_is_one_length():
    assert request_of(b"PUT / HTTP/1.1\nContent-Length: 2\nContent-Length: 2\n\nhi").body == b"hi"


@pytest.mark.parametrize(
    ("encoding", "data"),
    [
        ("gzip", gzip.compress(b"0,18.6", mtime=0)),
        ("x-gzip", gzip.compress(b"0,18.6", mtime=0)),
        ("GZIP", gzip.compress(b"0,", mtime=0) + gzip.compress(b"18.6", mtime=0) + b"\0\0"),
        ("deflate", zlib.compress(b"0,18.6")),
        ("deflate", zlib.compress(b"0,18.6")[2:-4]),
        ("identity", b"0,18.6"),
    ],
)
def test_a_compressed_body_is_inflated(encoding, data):
    head = f"PUT / HTTP/1.1\r\nContent-Encoding: {encoding}\r\nContent-Length: {len(data)}\r\n\r\n"
    request = request_of(head.encode() + data)
    assert request.body == b"0,18.6"
    assert "content-encoding" not in request.headers


def test_an_empty_body_needs_no_inflating():
    assert request_of(b"PUT / HTTP/1.1\r\nContent-Encoding: gzip\r\nContent-Length: 0\r\n\r\n").body == b""


# ---------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("status", "data"),
    [
        (400, b"\x16\x03\x01\x02\x00\x01"),  # a TLS greeting
        (400, b" /v2/feeds/1.csv HTTP/1.1\r\n\r\n"),  # libxively's DELETE has no method
        (400, b"GET\r\n\r\n"),
        (400, b"GET /\r\n\r\n"),
        (400, b"GET HTTP/1.1\r\n\r\n"),
        (400, b"GET /a b HTTP/1.1\r\n\r\n"),
        (400, b"G(T / HTTP/1.1\r\n\r\n"),
        (400, b"GET / HTPP/1.1\r\n\r\n"),
        (400, b"GET v2/feeds HTTP/1.1\r\n\r\n"),
        (400, b"GET ftp://h/v2 HTTP/1.1\r\n\r\n"),
        (400, b"GET http:///v2 HTTP/1.1\r\n\r\n"),
        (400, b"GET * HTTP/1.1\r\n\r\n"),
        (400, b"GET /\0 HTTP/1.1\r\n\r\n"),
        (400, b"GET / HTTP/1.1\r\nno colon\r\n\r\n"),
        (400, b"GET / HTTP/1.1\r\n: no name\r\n\r\n"),
        (400, b"GET / HTTP/1.1\r\nHost : h\r\n\r\n"),
        (400, b"GET / HTTP/1.1\r\n folded: first\r\n\r\n"),
        (400, b"GET / HTTP/1.1\r\nA: \0\r\n\r\n"),
        (400, b"GET / HTTP/1.1\r\nA: 1\rB: 2\r\n\r\n"),
        (400, b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
        (400, b"PUT / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nhi"),
        (400, b"PUT / HTTP/1.1\r\nContent-Length: 1, 2\r\n\r\nhi"),
        (400, b"PUT / HTTP/1.1\r\nContent-Length: +2\r\n\r\nhi"),
        (400, b"PUT / HTTP/1.1\r\nContent-Length: 0x2\r\n\r\nhi"),
        (400, b"PUT / HTTP/1.1\r\nContent-Length: \xb2\r\n\r\nhi"),
        (400, b"PUT / HTTP/1.1\r\nContent-Length:\r\n\r\nhi"),
        (400, b"PUT / HTTP/1.1\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        (400, b"PUT / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
        (400, b"PUT / HTTP/1.1\r\nTransfer-Encoding: identity\r\n\r\n"),
        (400, b"PUT / HTTP/1.1\nTransfer-Encoding: chunked\nTransfer-Encoding: chunked\n\n0\n\n"),
        (400, b"PUT / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        (400, b"PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n"),
        (400, b"PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n"),
        (400, b"PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0x1\r\n"),
        (400, b"PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n\r\n"),
        (400, b"PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n"),
        (400, b"PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1;" + b"x" * 2000),
        (400, b"PUT / HTTP/1.1\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnope"),
        (400, b"PUT / HTTP/1.1\nContent-Encoding: gzip\nContent-Length: 9\n\n" + GZIPPED_BODY[:9]),
        (411, b"POST / HTTP/1.1\r\nContent-Type: text/csv\r\n\r\n"),
        (411, b"POST / HTTP/1.0\r\n\r\n"),
        (413, b"PUT / HTTP/1.1\r\nContent-Length: 1048577\r\n\r\n"),
        (413, b"PUT / HTTP/1.1\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n"),
        (413, b"PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n100001\r\n"),
        (413, b"PUT / HTTP/1.1\nTransfer-Encoding: chunked\n\n80000\n" + b"x" * 0x80000 + b"\n80001\n"),
        (414, b"GET /" + b"x" * 8192 + b" HTTP/1.1\r\n\r\n"),
        (414, b"GET /" + b"x" * 8192),
        (415, b"PUT / HTTP/1.1\r\nContent-Encoding: br\r\nContent-Length: 2\r\n\r\nhi"),
        (417, b"PUT / HTTP/1.1\r\nExpect: a miracle\r\nContent-Length: 2\r\n\r\nhi"),
        (431, b"GET / HTTP/1.1\r\n" + b"A: 1\r\n" * 101 + b"\r\n"),
        (431, b"GET / HTTP/1.1\r\nA: " + b"x" * 16384 + b"\r\n\r\n"),
        (431, b"GET / HTTP/1.1\r\nA: " + b"x" * 16384),
        (501, b"TRACE / HTTP/1.1\r\n\r\n"),
        (501, b"CONNECT h:80 HTTP/1.1\r\n\r\n"),
        (505, b"GET / HTTP/2.0\r\n\r\n"),
        (501, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    ],
)
def test_what_cannot_be_a_request_is_refused(status, data):
    assert refusal_of(data) == status


def test_limits_may_be_lower():
    limits = HttpLimits(head=64, request_line=32, headers=2, body=4)
    assert refusal_of(b"GET /" + b"x" * 40 + b" HTTP/1.1\r\n\r\n", limits=limits) == 414
    assert refusal_of(b"GET / HTTP/1.1\r\nA: " + b"x" * 60 + b"\r\n\r\n", limits=limits) == 431
    assert refusal_of(b"GET / HTTP/1.1\r\nA: 1\r\nB: 2\r\nC: 3\r\n\r\n", limits=limits) == 431
    assert refusal_of(b"PUT / HTTP/1.1\r\nContent-Length: 5\r\n\r\nabcde", limits=limits) == 413
    assert request_of(b"PUT / HTTP/1.1\r\nContent-Length: 4\r\n\r\nabcd", limits=limits).body == b"abcd"


def test_what_is_exactly_at_the_limit_is_accepted():
    line = b"GET /" + b"x" * (8192 - 14) + b" HTTP/1.1"
    assert len(line) == 8192
    assert len(request_of(line + b"\n\n").path) == 8179
    head = b"GET / HTTP/1.1\nA: "
    head += b"x" * (16384 - len(head) - 2) + b"\n\n"
    assert len(head) == 16384
    assert len(request_of(head).headers["a"]) == 16364
    assert len(request_of(b"GET / HTTP/1.1\n" + b"A:\n" * 100 + b"\n").headers["a"]) == 2 * 99


def test_a_gzip_bomb_is_stopped_at_the_limit():
    bomb = gzip.compress(b"\0" * (64 << 20), 9)
    head = b"PUT / HTTP/1.1\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb)
    assert len(bomb) < 1 << 20
    assert refusal_of(head + bomb) == 413


def test_a_body_that_inflates_to_exactly_the_limit_is_accepted():
    data = gzip.compress(b"x" * 1000)
    head = b"PUT / HTTP/1.1\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(data)
    assert len(request_of(head + data, limits=HttpLimits(body=1000)).body) == 1000
    assert refusal_of(head + data, limits=HttpLimits(body=999)) == 413


def test_many_gzip_members_are_refused():
    data = gzip.compress(b"") * 65
    head = b"PUT / HTTP/1.1\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(data)
    assert refusal_of(head + data) == 400


def test_chunks_of_one_byte_are_bounded_by_what_frames_them():
    limits = HttpLimits(body=100, head=100)
    head = b"PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    few, many = b"1\r\nx\r\n" * 35, b"1\r\nx\r\n" * 60
    assert request_of(head + few + b"0\r\n\r\n", limits=limits).body == b"x" * 35
    assert refusal_of(head + many + b"0\r\n\r\n", limits=limits) == 413
    assert refusal_of(head + b"0\r\n" + b"A: 1\r\n" * 60, limits=limits) == 413


def test_a_refusal_may_have_the_sites_own_body():
    def refuse(status, reason, path):
        assert path == "/"
        return Response(status, (("Content-Type", "application/json"),), b'{"errors":"%s"}' % reason.encode())

    peer = Peer(refuse=refuse)
    peer.send(b"GET / HTTP/1.1\r\nno colon\r\n\r\n")
    status, headers, body = read_answer(peer.sent)
    assert (status, headers["content-type"]) == (400, "application/json")
    assert body == b'{"errors":"a header line has no colon"}'


def test_a_refusal_is_worded_for_the_address_as_soon_as_that_is_known():
    def refuse(status, reason, path):
        return Response(status, (), path.encode() or b"nowhere")

    for sent, path in [
        (b"POST /a?b HTTP/1.1\r\n", b"/a"),
        (b"GET / http\r\n", b"nowhere"),
        (b"\xff", b"nowhere"),
    ]:
        peer = Peer(refuse=refuse)
        peer.send(b"GET /before HTTP/1.1\r\nHost: a\r\n\r\n")
        peer.answer(Response(200))
        peer.sent = b""
        peer.send(sent + b"Host: a\r\nContent-Length: x\r\n\r\n")
        assert read_answer(peer.sent)[2] == path


def test_a_refusal_is_one_line_of_text_otherwise():
    peer = Peer()
    peer.send(b"GET / HTTP/3.0\r\n\r\n")
    _, headers, body = read_answer(peer.sent)
    assert headers["content-type"] == "text/plain; charset=utf-8"
    assert body == b"HTTP Version Not Supported: only HTTP/1.1 and HTTP/1.0 are spoken here\n"


def test_a_refusal_does_not_repeat_a_headers_value():
    peer = Peer()
    peer.send(b"GET / HTTP/1.1\r\nX-ApiKey: secret\0\r\n\r\n")
    assert b"x-apikey" in peer.sent
    assert b"secret" not in peer.sent


def test_a_refused_head_request_gets_no_body():
    peer = Peer()
    peer.send(b"HEAD / HTTP/1.1\r\nno colon\r\n\r\n")
    status, headers, body = read_answer(peer.sent)
    assert (status, body) == (400, b"")
    assert int(headers["content-length"]) > 0


def test_a_refusal_after_a_head_request_has_its_body():
    peer = Peer().run([b"HEAD / HTTP/1.1\r\n\r\n"])
    peer.sent = b""
    peer.send(b"GET")
    peer.wait(21)
    status, headers, body = read_answer(peer.sent)
    assert (status, len(body)) == (408, int(headers["content-length"]))


# --------------------------------------------------------------------------- one connection's life


def test_a_connection_is_kept_or_closed_as_the_client_says():
    for line, connection, kept in [
        (b"HTTP/1.1\r\n", None, True),
        (b"HTTP/1.1\r\nConnection: Keep-Alive\r\n", None, True),
        (b"HTTP/1.1\r\nConnection: foo, CLOSE\r\n", "close", False),
        (b"HTTP/1.1\r\nConnection: keep-alive\r\nConnection: close\r\n", "close", False),
        (b"HTTP/1.0\r\n", "close", False),
        (b"HTTP/1.0\r\nConnection: keep-alive\r\n", "keep-alive", True),
    ]:
        peer = Peer().run([b"GET / " + line + b"\r\n"])
        assert read_answer(peer.sent)[1].get("connection") == connection, line
        assert peer.closed is not kept, line


def test_the_site_may_close():
    peer = Peer().run([PLAIN], Response(200, (("Connection", "close"),)))
    assert read_answer(peer.sent)[1]["connection"] == "close"
    assert peer.closed


def test_pipelined_requests_are_handed_out_one_at_a_time():
    peer = Peer()
    assert len(peer.send(PLAIN + SIZED + CHUNKED)) == 1
    assert peer.send(b"") == []
    assert peer.requests[-1].method == "GET"
    peer.answer()
    assert peer.requests[-1].method == "PUT"
    peer.answer()
    assert peer.requests[-1].method == "POST"
    assert peer.answer() == []
    assert len(peer.requests) == 3


def test_reading_pauses_when_the_pipeline_is_full_and_goes_on_after():
    peer = Peer(limits=HttpLimits(pipeline=100))
    peer.send(PLAIN)
    assert peer.connection.wants_data
    peer.send(PLAIN * 2)
    assert not peer.connection.wants_data
    peer.answer()
    assert peer.connection.wants_data


def test_what_follows_a_close_is_not_read():
    peer = Peer().run([b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n" + PLAIN, PLAIN])
    assert len(peer.requests) == 1


def test_responding_to_nothing_is_a_mistake():
    with pytest.raises(RuntimeError, match="no request"):
        Peer().connection.respond(OK)


def test_an_expectation_is_met_once_and_before_the_body():
    peer = Peer()
    head, _, body = EXPECTING.partition(b"{")
    assert peer.send(head) == []
    assert peer.sent == b"HTTP/1.1 100 Continue\r\n\r\n"
    peer.run([b"{" + body])
    assert peer.requests[0].body == b"{}"
    assert peer.sent.count(b"100 Continue") == 1
    assert peer.sent.count(b"200 OK") == 1


@pytest.mark.parametrize(
    "data",
    [
        b"PUT / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 9999999\r\n\r\n",
        b"PUT / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Encoding: br\r\nContent-Length: 9\r\n\r\n",
        b"PUT / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n",
        b"GET / HTTP/1.1\r\nExpect: 100-continue\r\n\r\n",
    ],
)
def test_no_interim_answer_without_an_acceptable_body(data):
    peer = Peer()
    peer.send(data)
    assert b"100 Continue" not in peer.sent


def test_the_answer_to_a_half_closed_client_still_comes():
    peer = Peer()
    peer.send(PLAIN)
    assert peer.take(peer.connection.receive_eof()) == []
    assert peer.answer() == [CloseRequested(Close.FULL)]
    assert read_answer(peer.sent)[0] == 200


def test_every_pipelined_request_of_a_half_closed_client_is_answered():
    peer = Peer()
    peer.send(PLAIN * 3)
    peer.take(peer.connection.receive_eof())
    peer.answer()
    peer.answer()
    assert peer.answer() == [CloseRequested(Close.FULL)]
    assert peer.sent.count(b"200 OK") == 3


def test_an_idle_client_that_goes_is_let_go():
    peer = Peer()
    assert peer.take(peer.connection.receive_eof()) == [CloseRequested(Close.FULL)]
    assert peer.sent == b""


@pytest.mark.parametrize("data", [PLAIN[:-1], SIZED[:-1], CHUNKED[:-1]])
def test_a_request_that_ends_too_early_is_refused(data):
    peer = Peer()
    peer.send(data)
    assert peer.take(peer.connection.receive_eof()) == [CloseRequested(Close.FULL)]
    assert read_answer(peer.sent)[0] == 400
    assert peer.requests == []


def test_a_client_that_closes_after_our_half_is_let_go_at_once():
    peer = Peer().run([ARDUINO])
    assert peer.take(peer.connection.receive_eof()) == [CloseRequested(Close.FULL)]


def test_an_idle_connection_can_be_ended():
    peer = Peer()
    peer.connection.close_after_response()
    assert peer.take(peer.connection.advance()) == [CloseRequested(Close.FULL)]
    assert peer.sent == b""


def test_a_busy_connection_is_ended_after_its_answer():
    peer = Peer()
    peer.send(PLAIN + PLAIN)
    peer.connection.close_after_response()
    assert peer.take(peer.connection.advance()) == []
    assert peer.answer() == [CloseRequested(Close.HALF)]
    assert read_answer(peer.sent)[1]["connection"] == "close"
    assert len(peer.requests) == 1


def test_a_request_that_has_begun_is_answered_before_the_end():
    peer = Peer()
    peer.send(SIZED[:10])
    peer.connection.close_after_response()
    assert peer.take(peer.connection.advance()) == []
    peer.run([SIZED[10:]])
    assert len(peer.requests) == 1
    assert peer.closed


def test_a_client_can_be_refused_before_it_asks():
    peer = Peer()
    peer.connection.refuse(503, "there are too many connections")
    assert peer.take(peer.connection.advance()) == [CloseRequested(Close.HALF)]
    assert read_answer(peer.sent)[0] == 503
    peer.connection.refuse(503, "once is enough")
    assert peer.connection.data_to_send() == b""


# --------------------------------------------------------------------------------------- websocket

WEBSOCKET = (
    b"GET /ws HTTP/1.1\r\nHost: h\r\nUpgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


def test_a_websocket_is_handed_over_with_everything_that_came():
    peer = Peer(upgrades=True)
    (event,) = peer.send(WEBSOCKET + b"\x81\x80frame")
    assert isinstance(event, UpgradeRequested)
    assert event.request.path == "/ws"
    assert event.data == WEBSOCKET + b"\x81\x80frame"
    assert peer.sent == b""
    assert peer.connection.next_deadline() is None


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"GET", b"PUT"),
        (b"HTTP/1.1", b"HTTP/1.0"),
        (b"keep-alive, Upgrade", b"keep-alive"),
        (b"WebSocket", b"h2c"),
    ],
)
def test_what_is_no_websocket_is_a_request(old, new):
    (event,) = Peer(upgrades=True).send(WEBSOCKET.replace(old, new, 1))
    assert isinstance(event, RequestReceived)


def test_an_upgrade_nobody_wants_is_a_request():
    assert request_of(WEBSOCKET).headers["upgrade"] == "WebSocket"


# ----------------------------------------------------------------------------------------- answers


def test_an_answer_leaves_as_one_piece_with_its_length():
    peer = Peer()
    peer.send(PLAIN)
    peer.connection.respond(Response(201, (("Location", "http://h/v2/feeds/7303"),), b"body"))
    assert peer.connection.data_to_send() == (
        b"HTTP/1.1 201 Created\r\nDate: Mon, 03 Jun 2013 09:20:00 GMT\r\n"
        b"Location: http://h/v2/feeds/7303\r\nContent-Length: 4\r\n\r\nbody"
    )
    assert peer.connection.data_to_send() == b""


def test_the_connections_own_headers_are_not_the_sites():
    own = (
        ("content-length", "77"),
        ("Transfer-Encoding", "chunked"),
        ("date", "never"),
        ("Connection", "keep-alive"),
        ("X-Mine", "yes"),
    )
    peer = Peer().run([PLAIN], Response(200, own, b"body"))
    assert read_answer(peer.sent) == (
        200,
        {"date": DATE, "x-mine": "yes", "content-length": "4"},
        b"body",
    )


def test_the_answer_to_head_has_the_length_of_the_body_it_has_not():
    peer = Peer().run([b"HEAD / HTTP/1.1\r\n\r\n"], Response(200, (), b"12345"))
    status, headers, body = read_answer(peer.sent)
    assert (status, headers["content-length"], body) == (200, "5", b"")


@pytest.mark.parametrize("status", [204, 304])
def test_an_answer_without_content_has_neither_body_nor_length(status):
    peer = Peer().run([PLAIN], Response(status, (("ETag", '"1"'),), b"not sent"))
    assert read_answer(peer.sent) == (status, {"date": DATE, "etag": '"1"'}, b"")


BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:109.0) Gecko/20100101 Firefox/115.0"


@pytest.mark.parametrize(
    ("agent", "headers", "told"),
    [
        (BROWSER, (), 1),
        (BROWSER, (("X-content-type-options", "nosniff"),), 1),
        ("libxively/0.1", (), 0),
        (None, (), 0),
    ],
)
def test_a_browser_is_told_once_not_to_guess_what_an_answer_is(agent, headers, told):
    connection = HttpServerConnection(now=lambda: 0.0, date=lambda: DATE)
    line = f"User-Agent: {agent}\r\n" if agent else ""
    connection.receive_data(f"GET / HTTP/1.1\r\nHost: h\r\n{line}\r\n".encode())
    connection.respond(Response(200, headers, b"<script>"))
    assert connection.data_to_send().lower().count(b"x-content-type-options: nosniff\r\n") == told


def test_a_log_shows_no_segment_that_may_be_a_key():
    assert loggable_path(f"/v2/keys/{'k' * 43}/regenerate") == "/v2/keys/…/regenerate"
    assert loggable_path("/v2/feeds/7021/datastreams/t") == "/v2/feeds/7021/datastreams/t"


def test_an_unusual_status_still_has_a_reason():
    peer = Peer().run([PLAIN], Response(299))
    assert peer.sent.startswith(b"HTTP/1.1 299 Unknown\r\n")


@pytest.mark.parametrize(
    "response",
    [
        Response(100),
        Response(600),
        Response(200, (("A", "1\r\nB: 2"),)),
        Response(200, (("A", "1\n"),)),
        Response(200, (("A\r\nB", "1"),)),
        Response(200, (("", "1"),)),
        Response(200, (("A", "\u20ac"),)),
    ],
)
def test_an_answer_that_cannot_be_written_leaves_room_for_another(response):
    peer = Peer()
    peer.send(PLAIN)
    with pytest.raises(ValueError):  # noqa: PT011 - three different messages
        peer.connection.respond(response)
    peer.answer(plain_refusal(500, "the server failed on this request"))
    assert read_answer(peer.sent)[0] == 500


LONG = Response(200, (("Content-Type", "application/json"),), b'{"a":1}' * 100)


@pytest.mark.parametrize(
    ("accept", "compressed"),
    [
        ("gzip", True),
        ("GZIP, deflate", True),
        ("x-gzip", True),
        ("gzip;q=0.1", True),
        ("gzip; q=0", False),
        ("gzip;q=0.000, deflate", False),
        ("gzip;q=nonsense", False),
        ("identity", False),
        ("*", False),
        ("", False),
    ],
)
def test_an_answer_is_compressed_for_who_accepts_it(accept, compressed):
    peer = Peer().run([f"GET / HTTP/1.1\r\nAccept-Encoding: {accept}\r\n\r\n".encode()], LONG)
    _, headers, body = read_answer(peer.sent)
    assert int(headers["content-length"]) == len(body)
    assert headers.get("content-encoding") == ("gzip" if compressed else None)
    assert headers.get("vary") == ("Accept-Encoding" if compressed else None)
    assert (gzip.decompress(body) if compressed else body) == LONG.body


def gzip_answer(response: Response, method: bytes = b"GET") -> tuple[int, dict[str, str], bytes]:
    """The answer to somebody who accepts gzip."""
    return read_answer(Peer().run([method + b" / HTTP/1.1\r\nAccept-Encoding: gzip\r\n\r\n"], response).sent)


@pytest.mark.parametrize(
    ("vary", "expected"),
    [
        ("Accept", "Accept, Accept-Encoding"),
        ("Accept, accept-encoding", "Accept, accept-encoding"),
        ("*", "*"),
    ],
)
def test_an_existing_vary_is_kept(vary, expected):
    _, headers, _ = gzip_answer(Response(200, (("Vary", vary),), LONG.body))
    assert headers["vary"] == expected
    assert headers["content-encoding"] == "gzip"


@pytest.mark.parametrize(
    "response",
    [
        Response(200, (), b"x" * 511),
        Response(200, (("Content-Type", "image/png"),), b"x" * 600),
        Response(200, (("Content-Encoding", "br"),), b"x" * 600),
        Response(200, (), Random(1).randbytes(600)),
    ],
)
def test_what_gains_nothing_is_not_compressed(response):
    _, headers, body = gzip_answer(response)
    assert body == response.body
    assert headers.get("content-encoding") != "gzip"
    assert "vary" not in headers


def test_head_and_get_announce_the_same_compressed_length():
    _, of_get, _ = gzip_answer(LONG)
    _, of_head, body = gzip_answer(LONG, b"HEAD")
    assert of_head == of_get
    assert body == b""


# --------------------------------------------------------------------------------------- deadlines


def test_an_idle_connection_is_closed_without_a_word():
    peer = Peer()
    assert peer.connection.next_deadline() == 1075.0
    assert peer.wait(74) == []
    assert peer.wait(1) == [CloseRequested(Close.FULL)]
    assert peer.sent == b""


def test_a_slow_head_times_out_however_steadily_it_comes():
    """Slowloris: a byte now and then does not move the deadline."""
    peer = Peer()
    peer.send(b"\r\n")
    peer.wait(30)
    for byte in PLAIN[:19]:
        peer.send(bytes([byte]))
        assert peer.wait(1) == []
    assert peer.wait(1) == [CloseRequested(Close.HALF)]
    assert read_answer(peer.sent)[0] == 408


def test_blank_lines_do_not_keep_an_idle_connection_open():
    peer = Peer()
    for _ in range(74):
        peer.send(b"\r\n")
        assert peer.wait(1) == []
    assert peer.wait(1) == [CloseRequested(Close.FULL)]


@pytest.mark.parametrize("data", [SIZED, CHUNKED])
def test_a_slow_body_times_out(data):
    peer = Peer()
    peer.send(data[:-5])
    assert peer.wait(59) == []
    peer.send(data[-5:-4])
    assert peer.wait(1) == [CloseRequested(Close.HALF)]
    assert read_answer(peer.sent)[0] == 408


def test_a_request_that_is_out_has_no_deadline():
    peer = Peer()
    peer.send(PLAIN)
    assert peer.connection.next_deadline() is None
    assert peer.wait(9999) == []
    peer.answer()
    assert peer.connection.next_deadline() == peer.time + 75


def test_a_client_that_does_not_read_is_cut_off_and_given_nothing_more():
    peer = Peer()
    peer.send(PLAIN + PLAIN)
    peer.connection.respond(OK)
    peer.connection.sending_stalled()
    assert peer.take(peer.connection.advance()) == []
    assert peer.wait(59) == []
    peer.connection.sending_stalled()
    assert peer.wait(1) == [CloseRequested(Close.ABORT)]
    assert peer.connection.next_deadline() is None


def test_a_client_that_reads_in_time_gets_its_next_request_answered():
    peer = Peer()
    peer.send(PLAIN + PLAIN)
    peer.connection.respond(OK)
    peer.connection.sending_stalled()
    peer.wait(59)
    peer.connection.sending_resumed()
    assert len(peer.take(peer.connection.advance())) == 1
    peer.answer()
    assert peer.connection.next_deadline() == peer.time + 75


def test_reading_pauses_while_a_client_does_not_read():
    peer = Peer(limits=HttpLimits(pipeline=100)).run([PLAIN])
    peer.connection.sending_stalled()
    peer.send(PLAIN * 2)
    assert not peer.connection.wants_data
    assert len(peer.requests) == 1


def test_the_idle_time_of_a_slow_reader_counts_from_when_it_has_read():
    peer = Peer().run([PLAIN])
    peer.connection.sending_stalled()
    peer.time += 50
    peer.connection.sending_resumed()
    assert peer.connection.next_deadline() == peer.time + 75


def test_closing_goes_from_polite_to_final():
    peer = Peer().run([ARDUINO])
    assert peer.events[-1] == CloseRequested(Close.HALF)
    assert peer.wait(4) == []
    assert peer.wait(1) == [CloseRequested(Close.FULL)]
    assert peer.wait(59) == []
    assert peer.wait(1) == [CloseRequested(Close.ABORT)]
    assert peer.wait(9999) == []


# ------------------------------------------------------------------- the same events at every split

STREAMS = {
    "arduino": ARDUINO,
    "plain": PLAIN,
    "sized": SIZED + b"\n" + SIZED,
    "chunked": CHUNKED + PLAIN,
    "gzipped": GZIPPED,
    "expecting": EXPECTING,
    "folded": FOLDED,
    "pipelined": PLAIN + SIZED + CHUNKED + GZIPPED + EXPECTING + PLAIN,
    "mixed": b"GET /a HTTP/1.1\nA: 1\r\n\nGET /b HTTP/1.1\r\nB: \r\n\r\n\r\nGET /c HTTP/1.1\n\nX",
    "garbage": SIZED + b"\xff\xff",
    "no colon": b"GET / HTTP/1.1\r\nHost: h\r\nno colon\r\n\r\n",
    "two lengths": b"PUT / HTTP/1.1\nContent-Length: 1\nContent-Length: 2\n\nab",
    "bad chunk": b"PUT / HTTP/1.1\nTransfer-Encoding: chunked\n\n3\r\nabcd\r\n0\r\n\r\n",
    "bad chunk end": b"PUT / HTTP/1.1\nTransfer-Encoding: chunked\n\n3\r\nabc\rd\n0\r\n\r\n",
    "long line": b"GET /" + b"x" * 200 + b" HTTP/1.1\r\n\r\n",
    "long head": b"GET / HTTP/1.1\r\nA: " + b"x" * 400 + b"\r\n\r\n",
    "large body": b"PUT / HTTP/1.1\nTransfer-Encoding: chunked\n\n65\n" + b"x" * 0x65 + b"\n0\n\n",
}
SMALL = HttpLimits(head=300, request_line=150, body=100)


def outcome(pieces) -> tuple[list[Request], bool, bytes]:
    peer = Peer(limits=SMALL).run(pieces)
    return peer.requests, peer.closed, peer.sent


@pytest.mark.parametrize("data", STREAMS.values(), ids=STREAMS.keys())
def test_where_the_bytes_are_split_changes_nothing(data):
    whole = outcome([data])
    assert whole[0] or whole[1]
    assert outcome([data[at : at + 1] for at in range(len(data))]) == whole
    for cut in range(1, len(data)):
        assert outcome([data[:cut], data[cut:]]) == whole, cut


# -------------------------------------------------------------------------------------------- fuzz


FRAGMENTS = st.sampled_from(
    [
        b"GET ",
        b"PUT /",
        b"HEAD ",
        b" HTTP/1.1",
        b" HTTP/1.0",
        b"\r\n",
        b"\n",
        b"\r",
        b"\r\n\r\n",
        b"\n\r\n",
        b"Content-Length: ",
        b"Transfer-Encoding: chunked\r\n",
        b"Content-Encoding: gzip\r\n",
        b"Expect: 100-continue\n",
        b"Connection: close\n",
        b"Upgrade: websocket\r\nConnection: upgrade\r\n",
        b"Accept-Encoding: gzip;q=",
        b": ",
        b";",
        b",",
        b" ",
        b"0",
        b"5",
        b"ff",
        b"\0",
        GZIPPED_BODY,
        PLAIN,
        SIZED,
        CHUNKED,
    ]
)


@given(st.lists(FRAGMENTS | st.binary(max_size=20), max_size=25), st.booleans())
def test_whatever_comes_is_read_refused_or_waited_for(pieces, upgrades):
    peer = Peer(limits=SMALL, upgrades=upgrades)
    peer.run(pieces, LONG)
    peer.take(peer.connection.receive_eof())
    for _ in range(5):
        peer.wait(100)
    upgraded = any(isinstance(event, UpgradeRequested) for event in peer.events)
    assert peer.closed is not upgraded
    for request in peer.requests:
        assert request.path.startswith("/")
        assert len(request.body) <= SMALL.body
        assert all(name == name.lower() for name in request.headers)


@given(
    st.lists(st.sampled_from([PLAIN, SIZED, CHUNKED, GZIPPED, FOLDED, ARDUINO, b"\r\n", b"!"]), max_size=5),
    st.lists(st.integers(0, 800), max_size=6),
)
def test_any_split_of_any_pipeline_gives_the_same(parts, cuts):
    data = b"".join(parts)
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    pieces = [data[start:end] for start, end in pairwise(edges)]
    assert outcome(pieces) == outcome([data])


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=8), st.booleans())
def test_a_body_comes_out_of_its_chunks_as_it_went_in(chunks, bare):
    end = b"\n" if bare else b"\r\n"
    head = end.join([b"PUT / HTTP/1.1", b"Transfer-Encoding: chunked", b"", b""])
    coded = b"".join(b"%X%b%b%b" % (len(chunk), end, chunk, end) for chunk in chunks)
    assert request_of(head + coded + b"0" + end + end).body == b"".join(chunks)


@pytest.mark.parametrize(
    ("framing", "piece"),
    [(b"Content-Length: 1000000", b"xy"), (b"Transfer-Encoding: chunked", b"2\r\nxy\r\n")],
)
def test_a_body_in_small_pieces_takes_little_more_memory_than_its_bytes(framing, piece):
    connection = HttpServerConnection(now=lambda: 0.0, date=lambda: "")
    connection.receive_data(b"PUT / HTTP/1.1\r\n" + framing + b"\r\n\r\n")
    tracemalloc.start()
    try:
        for _ in range(15_000):
            assert connection.receive_data(piece) == []
        assert connection.held_bytes == 30_000
        assert tracemalloc.get_traced_memory()[0] < 100_000
    finally:
        tracemalloc.stop()
