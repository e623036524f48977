"""What each verb asks."""

from __future__ import annotations

import json

import pytest

from txbridge.errors import AuthError
from txbridge.iobeam import operations
from txbridge.iobeam.structures import QueryReq, Row
from txbridge.net.operation import Answer, rejection


def asked(operation):
    body = None if operation.body is None else json.loads(operation.body)
    return operation.method, operation.path, dict(operation.query), body


def test_registering_leaves_out_what_the_service_is_to_choose():
    assert asked(operations.register_device(7)) == ("POST", ("devices",), {}, {"project_id": 7})
    assert asked(operations.register_device(7, "p-1", "Pump", "pump"))[3] == {
        "project_id": 7,
        "device_id": "p-1",
        "device_name": "Pump",
        "device_type": "pump",
    }


def test_devices_are_managed_below_their_project():
    of_project = {"project_id": "7"}
    assert asked(operations.list_devices(7)) == ("GET", ("devices",), of_project, None)
    assert asked(operations.read_device(7, "p")) == ("GET", ("devices", "p"), of_project, None)
    assert asked(operations.delete_device(7, "p")) == ("DELETE", ("devices", "p"), of_project, None)
    assert asked(operations.update_device(7, "p", device_name="n")) == (
        "PATCH",
        ("devices", "p"),
        of_project,
        {"project_id": 7, "device_name": "n"},
    )


def test_the_clock_is_asked():
    operation = operations.device_timestamp()
    assert asked(operation)[:2] == ("GET", ("devices", "timestamp"))
    assert operation.read(Answer(200, body=b'{"server_timestamp":5}')) == 5


def test_an_import_is_a_table_and_any_answer_to_it_is_fine():
    operation = operations.import_table(7, "p", ["flow"], [Row(5, (1.5,))])
    method, path, query, body = asked(operation)
    assert (method, path, query) == ("POST", ("imports",), {"fmt": "table"})
    assert body["sources"] == {"fields": ["time", "flow"], "data": [[5, 1.5]]}
    assert operation.headers == {"content-type": "application/json"}
    assert operation.read(Answer(200)) is None
    with pytest.raises(ValueError, match=r"columns\[0\]: 'Time' is reserved"):
        operations.import_table(7, "p", ["Time"], [])


def test_a_query_keeps_a_slash_in_a_name_inside_its_segment():
    query = QueryReq(7, "p", "a/b?c").limit(5)
    for operation in (operations.export(query), operations.query(query)):
        assert asked(operation) == ("GET", ("exports", "7", "p", "a/b?c"), {"limit": "5"}, None)


def test_a_token_is_refreshed_by_itself_and_not_repeated_by_an_error():
    operation = operations.refresh_token("t0ken.of.old")
    assert asked(operation) == ("POST", ("tokens", "project"), {}, {"refresh_token": "t0ken.of.old"})
    assert operation.headers == {"content-type": "application/json"}
    error = rejection(operation, Answer(401, body=b'{"message":"t0ken.of.old is not known"}'))
    assert isinstance(error, AuthError)
    assert "t0ken" not in f"{error} {error!r} {operation!r}"


def test_a_token_travels_in_a_header_that_is_not_shown():
    operation = operations.with_token(operations.device_timestamp(), "t0ken")
    assert operation.headers["authorization"] == "Bearer t0ken"
    assert "t0ken" not in repr(operation)


def test_a_project_token_is_asked_for_with_words_in_lower_case():
    options = {"read": True, "write": False, "refreshable": True, "device_id": "p"}
    assert asked(operations.fetch_token(7, "2w", options))[2] == {
        "project_id": "7",
        "duration": "2w",
        "read": "true",
        "write": "false",
        "refreshable": "true",
        "device_id": "p",
    }


@pytest.mark.parametrize(
    ("duration", "options"),
    [
        ("2", None),
        ("w", None),
        ("2y", None),
        ("-2w", None),
        (None, []),
        (None, {"raed": True}),
        (None, {"read": 1}),
    ],
)
def test_what_no_token_can_be_is_refused(duration, options):
    with pytest.raises(ValueError, match=r"duration|options"):
        operations.fetch_token(7, duration, options)


def test_a_login_is_by_name_and_password():
    operation = operations.login("ann", "pass:w0rd")
    assert asked(operation)[:2] == ("GET", ("tokens", "user"))
    assert operation.headers == {"authorization": "Basic YW5uOnBhc3M6dzByZA=="}
    assert "w0rd" not in str(rejection(operation, Answer(401, body=b'{"message":"pass:w0rd is wrong"}')))
    with pytest.raises(ValueError, match="name"):
        operations.login("a:b", "x")
