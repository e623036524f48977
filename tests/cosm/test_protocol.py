"""PAWS without I/O: both ends, and the bounded queue."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from txbridge.cosm.messages import MAX_HEAD, read_request, write_answer
from txbridge.cosm.protocol import (
    Answered,
    Broken,
    Failed,
    Gone,
    Late,
    Malformed,
    PawsConnection,
    PawsLimits,
    PawsRequest,
    PawsServerConnection,
    Pushed,
    Rejected,
    Silent,
    Subscribed,
    Unmatched,
    Unsubscribed,
)
from txbridge.errors import ConnectionLost, RemoteProtocolError, TimedOut

KEY = {"X-ApiKey": "KEY"}


def no_time() -> float:
    return 0.0


@given(st.lists(st.binary() | st.text('{}[]":,\\abc01 \n').map(str.encode)))
def test_random_bytes_never_raise(chunks):
    server = PawsServerConnection(now=no_time, limits=PawsLimits(max_document=64))
    framed = PawsServerConnection(now=no_time, framed=True)
    client, framed_client = PawsConnection(), PawsConnection(framed=True)
    for asking in (client, framed_client):
        asking.request("t", "get", "/a")
        asking.subscribe("u", "/b")
    for chunk in chunks:
        for core in (server, framed, client, framed_client):
            assert isinstance(core.receive_data(chunk), list)


# -- the server's core


def requests(*messages: object, **limits: int) -> tuple[PawsServerConnection, list]:
    core = PawsServerConnection(now=no_time, limits=PawsLimits(**limits))
    return core, core.receive_data(b"".join(json.dumps(message).encode() for message in messages))


def subscriber(count: int = 1, **limits: int):
    messages = [{"method": "subscribe", "resource": f"/feeds/{n}", "token": f"t{n}"} for n in range(count)]
    core, events = requests(*messages, **limits)
    core.knows()
    subscriptions = [core.subscribe(event) for event in events]
    for event in events:
        core.answer(core.begin(), write_answer(200, echo=event.echo, token=event.token))
    while core.data_to_send():
        pass
    return core, subscriptions


def everything(core) -> list[bytes]:
    messages = []
    while data := core.data_to_send():
        messages.append(data)
    return messages


def test_after_what_is_not_json_a_stream_is_read_no_more():
    core = PawsServerConnection(now=no_time)
    first, second = core.receive_data(b'{"method":"get","resource":"/a"}x')
    assert isinstance(first, PawsRequest)
    assert second == Broken("unexpected character at offset 32")
    assert core.receive_data(b'{"method":"get","resource":"/a"}') == []


def test_a_balanced_document_that_is_not_json_ends_a_stream_too():
    core = PawsServerConnection(now=no_time)
    events = core.receive_data(b'{"a":b}{"method":"get","resource":"/a"}')
    assert [type(event) for event in events] == [Broken]
    assert core.receive_data(b'{"method":"get","resource":"/a"}') == []


def test_on_a_websocket_the_next_message_is_read_again():
    core = PawsServerConnection(now=no_time, framed=True)
    assert core.receive_data(b"[") == [Broken("unexpected character at offset 0")]
    assert core.receive_data(b'{"a":') == [Broken("unexpected end at offset 5")]
    assert core.receive_data(b"") == [Broken("unexpected end at offset 0")]
    (event,) = core.receive_data(b' {"method":"get",\n"resource":"/a"}\n')
    assert isinstance(event, PawsRequest)


def test_answers_leave_in_the_order_of_the_requests():
    core, events = requests({"method": "get", "resource": "/a"}, {"method": "get", "resource": "/b"})
    first, second = (core.begin() for _ in events)
    core.answer(second, b"{2}")
    assert core.data_to_send() == b""
    core.answer(first, b"{1}")
    assert everything(core) == [b"{1}\n", b"{2}\n"]
    assert core.pending == 0


def test_a_push_leaves_after_the_answers_of_what_was_begun_before_it():
    core, (subscription,) = subscriber()
    core.receive_data(b'{"method":"put","resource":"/feeds/0"}')
    place = core.begin()
    core.push(subscription, b"{}")
    assert core.data_to_send() == b""
    core.answer(place, b'{"status":200}')
    assert everything(core) == [b'{"status":200}\n', b'{"body":{},"resource":"/feeds/0","token":"t0"}\n']


def test_a_server_that_owes_too_many_answers_wants_no_more_requests():
    core, events = requests(
        {"method": "get", "resource": "/a"}, {"method": "get", "resource": "/b"}, max_requests=2
    )
    assert not core.wants_data
    for _ in events:
        core.answer(core.begin(), b"{}")
    assert not core.wants_data
    core.data_to_send()
    assert core.wants_data


def test_a_server_that_owes_too_many_bytes_wants_no_more_requests():
    core, _ = requests({"method": "get", "resource": "/a"}, max_answers=10)
    core.answer(core.begin(), b"{" + b" " * 20 + b"}")
    assert not core.wants_data
    core.data_to_send()
    assert core.wants_data


def request_of(method: str, resource: str, token: str | None = None) -> PawsRequest:
    message = {"method": method, "resource": resource}
    if token is not None:
        message["token"] = token
    request = read_request(json.dumps(message).encode())
    assert isinstance(request, PawsRequest)
    return request


def test_the_same_subscription_again_is_the_same():
    core = PawsServerConnection(now=no_time)
    first = core.subscribe(request_of("subscribe", "/feeds/1", "t"))
    assert core.subscribe(request_of("subscribe", "/feeds/1", "t")) is first
    assert core.subscribe(request_of("subscribe", "/feeds/1", "u")) is not first
    assert core.subscribe(request_of("subscribe", "/feeds/1")) is not first
    assert len(list(core.subscriptions)) == 3


def test_dropping_a_subscription_leaves_one_that_was_made_in_its_place():
    core = PawsServerConnection(now=no_time)
    first = core.subscribe(request_of("subscribe", "/feeds/1", "t"))
    core.unsubscribe(request_of("unsubscribe", "/feeds/1", "t"))
    second = core.subscribe(request_of("subscribe", "/feeds/1", "t"))
    core.drop(first)
    assert list(core.subscriptions) == [second]
    core.drop(second)
    assert list(core.subscriptions) == []


def test_unsubscribing_with_the_token_ends_that_subscription():
    core = PawsServerConnection(now=no_time)
    first = core.subscribe(request_of("subscribe", "/feeds/1", "t"))
    core.subscribe(request_of("subscribe", "/feeds/1", "u"))
    assert core.unsubscribe(request_of("unsubscribe", "/feeds/1", "t")) == [first]
    assert len(list(core.subscriptions)) == 1


@pytest.mark.parametrize("token", [None, "fresh"])
def test_unsubscribing_without_the_token_ends_all_to_the_resource(token):
    core = PawsServerConnection(now=no_time)
    for known in ("t", "u"):
        core.subscribe(request_of("subscribe", "/feeds/1", known))
    core.subscribe(request_of("subscribe", "/feeds/2", "t"))
    assert len(core.unsubscribe(request_of("unsubscribe", "/feeds/1", token))) == 2
    assert [one.resource for one in core.subscriptions] == ["/feeds/2"]


def test_subscriptions_are_bounded():
    core = PawsServerConnection(now=no_time, limits=PawsLimits(max_subscriptions=1))
    assert core.subscribe(request_of("subscribe", "/feeds/1")) is not None
    assert core.subscribe(request_of("subscribe", "/feeds/2")) is None
    assert core.subscribe(request_of("subscribe", "/feeds/1")) is not None


def test_a_full_queue_keeps_the_newest_push_of_each_subscription():
    core, (first, second) = subscriber(2, queue_messages=4)
    for number in range(10):
        assert core.push(first, b'{"n":%d}' % number)
    assert core.push(second, b'{"n":0}')
    assert [json.loads(message) for message in everything(core)] == [
        {"body": {"n": 9}, "resource": "/feeds/0", "token": "t0", "skipped": 9},
        {"body": {"n": 0}, "resource": "/feeds/1", "token": "t1"},
    ]
    core.push(first, b'{"n":10}')
    assert json.loads(core.data_to_send()) == {"body": {"n": 10}, "resource": "/feeds/0", "token": "t0"}


def test_a_full_queue_still_sends_an_answer_before_the_push_its_write_caused():
    core, (subscription,) = subscriber(queue_messages=1)
    for number in range(3):
        core.push(subscription, b'{"n":%d}' % number)
    core.receive_data(b'{"method":"put","resource":"/feeds/0"}')
    place = core.begin()
    core.push(subscription, b'{"n":3}')
    core.answer(place, b'{"status":200}')
    assert core.data_to_send() == b'{"status":200}\n'
    assert json.loads(core.data_to_send())["skipped"] == 3


def test_a_queue_is_bounded_in_bytes_too():
    core, (subscription,) = subscriber(queue_bytes=1000)
    body = b'{"x":"' + b"x" * 300 + b'"}'
    for _ in range(10):
        assert core.push(subscription, body)
    (message,) = everything(core)
    assert json.loads(message)["skipped"] == 9


def test_one_push_larger_than_the_bound_is_still_sent():
    core, (subscription,) = subscriber(queue_bytes=10)
    assert core.push(subscription, b'{"x":"' + b"x" * 300 + b'"}')
    assert len(everything(core)) == 1


def test_pushes_that_do_not_fit_even_one_by_one_close_the_connection():
    core, subscriptions = subscriber(5, queue_bytes=1000)
    body = b'{"x":"' + b"x" * 300 + b'"}'
    assert [core.push(subscription, body) for subscription in subscriptions] == [
        True,
        True,
        True,
        False,
        False,
    ]


@given(st.lists(st.tuples(st.sampled_from(["push", "send"]), st.integers(0, 2))))
def test_every_update_is_delivered_or_counted_and_the_queue_stays_bounded(steps):
    core, subscriptions = subscriber(3, queue_messages=5)
    pushed = [0, 0, 0]
    seen = [0, 0, 0]
    newest = [-1, -1, -1]

    def see(data: bytes) -> None:
        message = json.loads(data)
        which = int(message["token"][1:])
        seen[which] += 1 + message.get("skipped", 0)
        assert message["body"]["n"] == seen[which] - 1
        newest[which] = message["body"]["n"]

    for what, which in steps:
        if what == "push":
            core.push(subscriptions[which], b'{"n":%d}' % pushed[which])
            pushed[which] += 1
        elif data := core.data_to_send():
            see(data)
        assert len(core._queue) <= 6
    for data in everything(core):
        see(data)
    assert seen == pushed
    assert newest == [count - 1 for count in pushed]


@pytest.mark.parametrize("piece", [b'{"method":"get",', b'{"a":"', b'{"a":{'])
def test_a_message_that_does_not_end_is_late(piece):
    now = 100.0
    core = PawsServerConnection(now=lambda: now)
    core.knows()
    core.receive_data(b" " + piece)
    now = 130.0
    core.receive_data(b" ")
    assert core.next_deadline() == 160
    assert core.handle_deadline(159) == []
    assert core.handle_deadline(160) == [Late("the message took longer than 60 seconds")]
    assert core.receive_data(b'"}{"method":"get","resource":"/a"}') == []
    assert core.next_deadline() is None


def test_a_client_that_is_not_read_is_not_late():
    core = PawsServerConnection(now=no_time, limits=PawsLimits(max_requests=2))
    core.knows()
    core.receive_data(b'{"method":"get","resource":"/a"}' * 2 + b'{"method":')
    assert not core.wants_data
    assert core.handle_deadline(60) == []
    place = core.begin()
    core.answer(place, b"{}")
    core.data_to_send()
    assert core.wants_data
    assert core.handle_deadline(119) == []
    assert core.handle_deadline(120) == [Late("the message took longer than 60 seconds")]


def test_a_client_whose_first_request_is_not_answered_is_no_stranger_yet():
    core = PawsServerConnection(now=no_time)
    core.receive_data(b'{"method":"get","resource":"/a"}')
    place = core.begin()
    assert core.handle_deadline(300) == []
    core.answer(place, b"{}")
    assert core.handle_deadline(599) == []
    assert core.handle_deadline(600) == [Late("no request has succeeded in 300 seconds")]


def test_a_message_that_ends_is_not_late_and_the_next_has_its_own_time():
    now = 100.0
    core = PawsServerConnection(now=lambda: now)
    core.knows()
    message = b'{"method":"get","resource":"/a"}'
    core.receive_data(message[:5])
    now = 150.0
    assert len(core.receive_data(message[5:] + message[:5])) == 1
    assert core.next_deadline() == 210
    core.receive_data(message[5:])
    assert core.next_deadline() is None


@pytest.mark.parametrize("framed", [False, True])
def test_who_never_succeeds_is_let_go(framed):
    core = PawsServerConnection(now=lambda: 100.0, framed=framed)
    core.receive_data(b'{"method":"get","resource":"/a"}')
    core.answer(core.begin(), b"{}")
    assert core.next_deadline() == 400
    assert core.handle_deadline(400) == [Late("no request has succeeded in 300 seconds")]
    assert core.receive_data(b'{"method":"get","resource":"/a"}') == []


def test_everything_that_is_held_is_told_and_in_the_end_nothing_is_held():
    told: list[int] = []
    core = PawsServerConnection(now=no_time, hold=told.append)
    request = json.dumps({"method": "put", "resource": "/feeds/1", "body": "x" * 100_000}).encode()
    core.receive_data(request[:-1])
    assert told == [len(request) - 1]
    (event,) = core.receive_data(request[-1:])
    assert core.held_bytes == len(request)
    place = core.begin()
    subscription = core.subscribe(event)
    core.push(subscription, b"y" * 50_000)
    assert told[-1] == len(request) + 50_000
    core.answer(place, b"z" * 30_000)
    assert told[-1] == 80_000
    core.data_to_send()
    assert told[-1] == 50_000
    core.data_to_send()
    assert told[-1] == 0
    core.receive_data(request[:-1])
    core.receive_eof()
    assert told[-1] == 0


def test_a_server_that_holds_too_many_bytes_of_requests_wants_no_more():
    put = {"method": "put", "resource": "/feeds/1", "body": "x" * 600}
    core, _ = requests(put, put, max_request_bytes=1000)
    assert not core.wants_data
    core.answer(core.begin(), b"{}")
    assert core.wants_data


def test_all_but_the_body_of_a_request_is_bounded():
    long = {"method": "subscribe", "resource": "/feeds/1", "token": "t" * MAX_HEAD}
    body = {"method": "put", "resource": "/feeds/1", "body": "t" * MAX_HEAD}
    _, (refused, read) = requests(long, body)
    assert refused == Malformed(f"all but the body is longer than {MAX_HEAD} bytes")
    assert isinstance(read, PawsRequest)


# -- the client's core


def test_a_request_is_one_line_of_json():
    client = PawsConnection()
    client.request("t-1", "PUT", "/feeds/1", headers=KEY, params={"a": True}, body=b'{"title":"\xc3\xa4"}')
    client.subscribe("t-2", "/feeds/2", headers=KEY, params={"datapoints": True})
    client.unsubscribe("t-3", "/feeds/3")
    messages = everything(client)
    assert all(message.endswith(b"}\n") and message.count(b"\n") == 1 for message in messages)
    assert [json.loads(message) for message in messages] == [
        {
            "method": "put",
            "resource": "/feeds/1",
            "headers": KEY,
            "params": {"a": True},
            "body": '{"title":"ä"}',
            "token": "t-1",
        },
        {
            "method": "subscribe",
            "resource": "/feeds/2",
            "headers": KEY,
            "params": {"datapoints": True},
            "token": "t-2",
        },
        {"method": "unsubscribe", "resource": "/feeds/3", "headers": {}, "token": "t-3"},
    ]


def test_what_the_client_asks_the_server_reads():
    client = PawsConnection(framed=True)
    client.request("t", "post", "/feeds", headers=KEY, body="x,1\n")
    request = read_request(client.data_to_send())
    assert isinstance(request, PawsRequest)
    assert (request.method, request.resource, request.body) == ("post", "/feeds", b"x,1\n")


ANSWERS = (
    b'{"body":{"id":"pump","current_value":21.50},'
    b'"headers":{"CONTENT_TYPE":"application/json; charset=utf-8"},'
    b'"resource":"/feeds/1","token":"t-1","status":200}\n'
    b'{"resource":"/feeds/2","token":"t-2","status":200}\n'
    b'{"body":{"id":2},"resource":"/feeds/2","token":"t-2"}\n'
    b'{"body":{"id":2},"resource":"/feeds/2","token":"t-2","skipped":3}\n'
    b'{"resource":"/feeds/2","token":"t-2","status":404,"body":"Not found: it is gone"}\n'
)
EVENTS = [
    Answered(
        "t-1",
        200,
        {"content-type": "application/json; charset=utf-8"},
        b'{"id":"pump","current_value":21.50}',
    ),
    Subscribed("t-2", "/feeds/2"),
    Pushed("t-2", "/feeds/2", b'{"id":2}'),
    Pushed("t-2", "/feeds/2", b'{"id":2}', 3),
    Gone("t-2", "/feeds/2", 404, "Not found: it is gone"),
]


def test_answers_and_pushes_find_who_asked_at_every_cut():
    for cut in range(len(ANSWERS) + 1):
        client = PawsConnection()
        client.request("t-1", "get", "/feeds/1")
        client.subscribe("t-2", "/feeds/2")
        assert client.receive_data(ANSWERS[:cut]) + client.receive_data(ANSWERS[cut:]) == EVENTS
        assert not client.subscriptions


def test_without_a_token_an_answer_goes_to_the_oldest_request_for_its_resource():
    client = PawsConnection()
    for token in ("a", "b", "c"):
        client.request(token, "get", "/feeds/2" if token == "a" else "/feeds/1")
    assert client.receive_data(b'{"resource":"/feeds/1","status":200}') == [Answered("b", 200)]
    assert client.receive_data(b'{"resource":"/feeds/1","status":404,"body":"Not found: x"}') == [
        Answered("c", 404, {}, b"Not found: x")
    ]
    assert client.receive_data(b'{"status":400,"body":"Syntax Error: x"}') == [
        Answered("a", 400, {}, b"Syntax Error: x")
    ]


def test_without_a_token_a_push_goes_to_every_subscription_of_its_resource():
    client = PawsConnection()
    for token in ("a", "b"):
        client.subscribe(token, "/feeds/1")
    assert client.receive_data(b'{"resource":"/feeds/1","status":200}' * 2) == [
        Subscribed("a", "/feeds/1"),
        Subscribed("b", "/feeds/1"),
    ]
    assert client.receive_data(b'{"body":{"id":1},"resource":"/feeds/1"}') == [
        Pushed("a", "/feeds/1", b'{"id":1}'),
        Pushed("b", "/feeds/1", b'{"id":1}'),
    ]


def test_a_push_before_the_answer_to_unsubscribing_is_not_delivered():
    client = PawsConnection()
    client.subscribe("t", "/feeds/1")
    client.receive_data(b'{"resource":"/feeds/1","token":"t","status":200}')
    client.unsubscribe("t", "/feeds/1")
    assert client.receive_data(b'{"body":{},"resource":"/feeds/1","token":"t"}') == []
    assert client.receive_data(b'{"resource":"/feeds/1","token":"t","status":200}') == [
        Unsubscribed("t", "/feeds/1")
    ]
    assert client.receive_data(b'{"body":{},"resource":"/feeds/1","token":"t"}') == [
        Unmatched("/feeds/1", "t", None, "{}")
    ]


def test_a_refused_subscription_says_why():
    client = PawsConnection()
    client.subscribe("t", "/feeds/1")
    assert client.receive_data(
        b'{"body":"Forbidden: You are not authorized","resource":"/feeds/1","token":"t","status":403}'
    ) == [Rejected("t", "/feeds/1", 403, "Forbidden: You are not authorized")]
    assert not client.subscriptions


def test_what_nobody_waits_for_is_told_and_harms_nothing():
    client = PawsConnection()
    client.request("a", "get", "/feeds/1")
    client.request("b", "get", "/feeds/1")
    assert client.receive_data(b'{"status":400,"body":"Syntax Error: x"}') == [
        Unmatched(None, None, 400, "Syntax Error: x")
    ]
    assert client.receive_data(b'{"token":"late","status":200}') == [Unmatched(None, "late", 200, "")]
    assert client.receive_data(b'{"token":"b","status":200}') == [Answered("b", 200)]


def test_a_request_that_takes_too_long_fails_and_its_late_answer_harms_nothing():
    client = PawsConnection()
    client.request("a", "get", "/feeds/1", now=100, timeout=30, name="read_feed")
    client.request("b", "get", "/feeds/2", now=100, timeout=20)
    assert client.next_deadline() == 120
    assert client.handle_deadline(119) == []
    (failed,) = client.handle_deadline(120)
    assert isinstance(failed, Failed)
    assert failed.token == "b"
    assert isinstance(failed.error, TimedOut)
    assert (failed.error.operation, failed.error.phase, failed.error.seconds) == (
        "get",
        "answer",
        20,
    )
    assert client.receive_data(b'{"token":"b","status":200}') == [Unmatched(None, "b", 200, "")]
    assert client.receive_data(b'{"token":"a","status":200}') == [Answered("a", 200)]
    assert client.next_deadline() is None


def test_a_cancelled_request_that_was_not_sent_is_never_sent():
    client = PawsConnection()
    client.request("a", "get", "/feeds/1", now=0, timeout=30)
    client.cancel("a")
    assert client.data_to_send() == b""
    assert client.next_deadline() is None
    client.request("a", "get", "/feeds/1", now=1, timeout=30)
    assert client.next_deadline() == 31


def test_when_the_connection_goes_everything_in_flight_fails():
    client = PawsConnection()
    client.request("a", "get", "/feeds/1", now=0, timeout=1, name="read_feed")
    client.subscribe("b", "/feeds/2")
    failed = client.receive_eof("reset")
    assert [event.token for event in failed if isinstance(event, Failed)] == ["a", "b"]
    assert [str(event.error) for event in failed if isinstance(event, Failed)] == [
        "read_feed: connection lost: reset",
        "subscribe: connection lost: reset",
    ]
    assert all(isinstance(event.error, ConnectionLost) for event in failed if isinstance(event, Failed))
    assert client.next_deadline() is None
    assert client.data_to_send() == b""
    assert client.is_closed
    with pytest.raises(ValueError, match="closed"):
        client.request("c", "get", "/feeds/1")


def test_a_server_that_does_not_speak_json_fails_everything_in_flight():
    client = PawsConnection()
    client.request("a", "get", "/feeds/1")
    broken, failed = client.receive_data(b"HTTP/1.1 400 Bad Request\r\n")
    assert broken == Broken("unexpected character at offset 0")
    assert isinstance(failed, Failed)
    assert isinstance(failed.error, RemoteProtocolError)
    assert client.receive_data(b'{"token":"a","status":200}') == []


def test_a_token_is_in_flight_once():
    client = PawsConnection()
    client.request("a", "get", "/a")
    with pytest.raises(ValueError, match="token is in flight"):
        client.request("a", "get", "/a")
    client.receive_data(b'{"token":"a","status":200}')
    client.request("a", "get", "/a")


def test_a_silent_peer_is_asked_and_then_given_up():
    client = PawsConnection()
    client.watch(60, 10, now=0)
    assert client.next_deadline() == 60
    assert client.handle_deadline(60) == []
    probe = read_request(client.data_to_send())
    assert isinstance(probe, PawsRequest)
    assert probe.method == "unsubscribe"
    assert client.handle_deadline(70) == [Silent()]
    assert client.next_deadline() is None


def test_a_peer_that_speaks_is_not_asked():
    client = PawsConnection()
    client.watch(60, 10, now=0)
    client.receive_data(b"\n")
    assert client.handle_deadline(60) == []
    assert client.data_to_send() == b""
    assert client.handle_deadline(120) == []
    assert client.data_to_send() != b""
    assert client.receive_data(b'{"resource":"/feeds/0","token":"txbridge-probe","status":200}') == []
    assert client.handle_deadline(130) == []
    assert client.next_deadline() == 190


def test_no_secret_is_in_a_repr():
    request = read_request(
        b'{"method":"get","resource":"/keys/SECRET","headers":{"X-ApiKey":"SECRET"},"params":{"key":"SECRET"}}'
    )
    assert "SECRET" not in repr(request)
