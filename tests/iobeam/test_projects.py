"""What the hub adds to iobeam's API, as values."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from txbridge.errors import AuthError, DecodeError, Forbidden
from txbridge.iobeam import projects
from txbridge.iobeam.errors import BadArgument, NoSuchThing, UnknownCodeError
from txbridge.iobeam.projects import Project, Token
from txbridge.net.operation import Answer, rejection

AT = datetime(2016, 1, 1, tzinfo=UTC)
PUMPS = {"project_id": 7, "project_name": "Pumps", "created": "2016-01-01T00:00:00Z"}
SEEN = {
    "token_id": 5,
    "project_id": 7,
    "read": True,
    "write": True,
    "admin": False,
    "refreshable": True,
    "device_id": "pump-3",
    "created": "2016-01-01T00:00:00Z",
    "expires": None,
}
TOKEN = Token("5", 7, ("read", "write"), True, "pump-3", AT, None)
SECRET = "header.payload.signature"


def answer(document, status=200):
    return Answer(status, body=json.dumps(document).encode())


def refused(operation, status, code, message):
    return rejection(operation, answer({"errors": [{"code": code, "message": message}]}, status))


def test_projects_are_listed_and_made():
    listing = projects.list_projects()
    assert (listing.method, listing.path) == ("GET", ("projects",))
    assert listing.read(answer({"projects": [PUMPS]})) == [Project(7, "Pumps", AT)]
    making = projects.create_project("Pumps", 7)
    assert (making.method, making.path) == ("POST", ("projects",))
    assert json.loads(making.body) == {"project_name": "Pumps", "project_id": 7}
    assert making.read(answer(PUMPS)) == Project(7, "Pumps", AT)


def test_a_project_of_any_number_has_no_number_in_its_request():
    assert json.loads(projects.create_project("Pumps").body) == {"project_name": "Pumps"}


def test_a_project_is_deleted_by_its_number():
    deleting = projects.delete_project(7)
    assert (deleting.method, deleting.path, deleting.body) == ("DELETE", ("projects", "7"), None)
    assert deleting.read(Answer(204)) is None


def test_tokens_are_listed_without_their_texts():
    listing = projects.list_tokens(7)
    assert (listing.method, listing.path, listing.query) == ("GET", ("tokens",), (("project_id", "7"),))
    assert listing.read(answer({"tokens": [SEEN]})) == [TOKEN]


def test_a_token_is_asked_for_with_all_that_it_may_do():
    making = projects.create_token(7, ["write"], refreshable=False, device="pump-3", duration="5w")
    assert (making.method, making.path) == ("GET", ("tokens", "project"))
    assert dict(making.query) == {
        "project_id": "7",
        "duration": "5w",
        "read": "false",
        "write": "true",
        "admin": "false",
        "refreshable": "false",
        "device_id": "pump-3",
    }
    made = making.read(answer({**SEEN, "token": SECRET, "created": "2016-01-01 00:00:00 +0000"}))
    assert (made.text, made.token) == (SECRET, TOKEN)
    assert SECRET not in repr(made)


def test_a_token_that_is_there_already_is_adopted():
    adopting = projects.adopt_token(7, SECRET, ["read", "write"])
    assert (adopting.method, adopting.path) == ("POST", ("tokens", "project"))
    assert json.loads(adopting.body) == {
        "project_id": 7,
        "token": SECRET,
        "read": True,
        "write": True,
        "admin": False,
    }
    assert adopting.read(answer(SEEN)) == TOKEN


def test_a_refusal_does_not_repeat_the_token_that_was_to_be_adopted():
    error = refused(projects.adopt_token(7, SECRET, ["read"]), 400, 1, f"{SECRET} is none")
    assert isinstance(error, UnknownCodeError)
    assert error.message == "*** is none"


def test_a_token_is_revoked_by_its_reference():
    revoking = projects.revoke_token("5")
    assert (revoking.method, revoking.path) == ("DELETE", ("tokens", "5"))


def test_what_is_refused_is_the_key_of_an_account_and_no_token():
    assert type(refused(projects.list_projects(), 401, 1, "unknown")) is AuthError
    assert type(refused(projects.list_projects(), 403, 1, "no")) is Forbidden
    missing = refused(projects.delete_project(7), 404, 32, "there is no project 7")
    assert isinstance(missing, NoSuchThing)
    assert (missing.code, missing.message) == (32, "there is no project 7")


def test_what_nobody_may_have_is_not_asked_for():
    with pytest.raises(BadArgument, match="'delete' is none of read, write, admin"):
        projects.create_token(7, ["delete"])
    with pytest.raises(BadArgument, match="must be an integer above 0"):
        projects.create_project("Pumps", 0)


@pytest.mark.parametrize(
    ("document", "path"),
    [
        ([], ""),
        ({}, "projects"),
        ({"projects": [{**PUMPS, "project_id": "7"}]}, "projects[0].project_id"),
        ({"projects": [{**PUMPS, "created": "yesterday"}]}, "projects[0].created"),
    ],
)
def test_an_answer_of_another_form_is_told_with_its_place(document, path):
    with pytest.raises(DecodeError) as caught:
        projects.list_projects().read(answer(document))
    assert caught.value.path == path


def test_a_token_that_ends_at_no_known_time_is_told_with_its_place():
    with pytest.raises(DecodeError) as caught:
        projects.list_tokens(7).read(answer({"tokens": [{**SEEN, "expires": "soon"}]}))
    assert caught.value.path == "tokens[0].expires"
