"""Owners log in, make projects, and hand out, adopt and revoke tokens."""

from __future__ import annotations

import base64
import json
from datetime import timedelta

import pytest
import pytest_twisted
from twisted.internet.defer import ensureDeferred, gatherResults

from tests.support.hub import KEY, NOON, STRANGER, document, header, running_hub, text
from tests.support.iobeam import PROJECT, Project, error_of
from txbridge.hub import sqlite_projects
from txbridge.hub.auth import OWNER
from txbridge.iobeam import owner_verbs
from txbridge.model.accounts import Permission, Resource

EVERYTHING = Permission(access_methods=["get", "put", "post", "delete"])
OWNERS_KEY = "the-first-accounts-key-0123456789"
PASSWORD = "correct horse"


@pytest_twisted.async_yield_fixture
async def project(tmp_path):
    async with running_hub(tmp_path) as hub:
        project = Project(hub)
        await project.make()
        yield project


def basic(login, password):
    return {"authorization": "Basic " + base64.b64encode(f"{login}:{password}".encode()).decode()}


def claims(token):
    payload = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))


def old_token(project_id=PROJECT, **members):
    """A token as the service made them: a key number, the old alphabet, padding."""
    header = base64.b64encode(b'{"typ":"JWT","alg":"HS256","kid":10}').decode()
    payload = base64.b64encode(
        json.dumps({"uid": 1, "pid": project_id, "exp": 1, **members}).encode()
    ).decode()
    return f"{header}.{payload}.{base64.b64encode(b'/' * 32).decode()}"


async def refresh(project, token):
    return await project.ask("POST", "tokens/project", {"refresh_token": token}, token=" ")


# -------------------------------------------------------------------------------------------- log in


@pytest_twisted.ensureDeferred
async def test_a_password_is_exchanged_for_a_user_token_of_a_day(project):
    assert (
        await project.hub.ask("PUT", "/v2/users/keeper.json", json.dumps({"password": PASSWORD}))
    ).status == 200
    response = await project.get("tokens/user", token="", headers=basic("keeper", PASSWORD))
    found = document(response)
    assert response.status == 200
    assert (found["created"], found["expires"]) == ("2013-06-03 12:00:00 +0000", "2013-06-04 12:00:00 +0000")
    assert (await project.get("projects", token=found["token"])).status == 200
    project.hub.clock.advance(86_400)
    assert (await project.get("projects", token=found["token"])).status == 401


@pytest_twisted.ensureDeferred
async def test_the_java_client_gives_name_and_password_as_parameters(project):
    response = await project.get(f"tokens/user?name=keeper&password={KEY}", token="")
    assert response.status == 200
    me = document(await project.get("users/me", token=document(response)["token"]))
    assert me == {"user_id": document(response)["user_id"], "username": "keeper", "email": ""}


@pytest_twisted.ensureDeferred
async def test_user_tokens_that_have_expired_are_forgotten(project):
    for _ in range(3):
        assert (await project.get("tokens/user", token="", headers=basic("keeper", KEY))).status == 200
        project.hub.clock.advance(86_400)
    assert len(await project.hub.store.list_keys("keeper")) == 2


@pytest_twisted.ensureDeferred
async def test_a_page_of_another_site_does_not_log_in_with_the_password_that_a_browser_adds(project):
    for origin, status in [("http://evil.test", 401), ("http://127.0.0.1:8080", 200)]:
        headers = {**basic("keeper", KEY), "origin": origin, "x-apikey": STRANGER}
        assert (await project.get("tokens/user", token="", headers=headers)).status == status


@pytest_twisted.ensureDeferred
async def test_who_logs_in_twice_at_once_is_let_in_twice_after_a_token_has_expired(project):
    async def log_in():
        return (await project.get("tokens/user", token="", headers=basic("keeper", KEY))).status

    assert await log_in() == 200
    project.hub.clock.advance(86_400)
    assert await gatherResults([ensureDeferred(log_in()) for _ in range(5)]) == [200] * 5
    assert len(await project.hub.store.list_keys("keeper")) == 6


@pytest_twisted.ensureDeferred
async def test_a_device_that_logs_in_all_day_has_its_latest_user_tokens(project, monkeypatch):
    monkeypatch.setattr(owner_verbs, "MAX_LOGINS", 3)
    tokens = []
    for _ in range(5):
        response = await project.get("tokens/user", token="", headers=basic("keeper", KEY))
        tokens.append(document(response)["token"])
    statuses = [(await project.get("projects", token=token)).status for token in (KEY, *tokens)]
    assert statuses == [200, 401, 401, 200, 200, 200]


@pytest.mark.parametrize("password", ["wrong", STRANGER, ""])
@pytest_twisted.ensureDeferred
async def test_a_wrong_password_is_refused(project, password):
    response = await project.get("tokens/user", token="", headers=basic("keeper", password))
    assert (response.status, header(response, "www-authenticate")) == (401, 'Basic realm="iobeam"')
    assert (await project.get(f"tokens/user?name=keeper&password={password}", token="")).status == 401


@pytest.mark.parametrize(
    "permissions",
    [
        [Permission(access_methods=["get"])],
        [Permission(access_methods=["get", "put", "post", "delete"], resources=[Resource(feed_id=1)])],
        [Permission(access_methods=["get", "put", "post", "delete"], source_ip="10.0.0.1")],
    ],
)
@pytest_twisted.ensureDeferred
async def test_a_limited_key_is_no_user_token(project, permissions):
    await project.hub.replace_key("keeper", "limited-key", *permissions, private_access=True)
    for method, target in (
        ("GET", "projects"),
        ("POST", "projects"),
        ("GET", f"tokens/project?project_id={PROJECT}"),
        ("GET", f"tokens?project_id={PROJECT}"),
    ):
        response = await project.ask(method, target, {"project_name": "x"}, token="limited-key")
        assert response.status == 403
    assert (await project.get("tokens/user", token="", headers=basic("keeper", "limited-key"))).status == 403


@pytest_twisted.ensureDeferred
async def test_a_key_without_access_to_what_is_private_is_no_user_token(project):
    """Devices are private feeds: such a key would give what it has not."""
    await project.hub.replace_key("keeper", "blind-key", EVERYTHING, private_access=False)
    assert (await project.get("projects", token="blind-key")).status == 403


@pytest_twisted.ensureDeferred
async def test_a_project_token_is_no_user_token(project):
    for method, target in (
        ("GET", "projects"),
        ("DELETE", f"projects/{PROJECT}"),
        ("GET", f"tokens/project?project_id={PROJECT}"),
        ("GET", f"tokens?project_id={PROJECT}"),
        ("DELETE", "tokens/1"),
        ("GET", "users/me"),
    ):
        assert (await project.ask(method, target)).status == 401


# ------------------------------------------------------------------------------------------ projects


@pytest_twisted.ensureDeferred
async def test_a_project_is_made_with_the_number_that_old_devices_know(project):
    found = document(await project.get(f"projects/{PROJECT}", token=KEY))
    assert (found["project_id"], found["project_name"]) == (PROJECT, "Greenhouse")
    assert found["created"] == "2013-06-03T12:00:00Z"
    response = await project.ask(
        "POST", "projects", {"project_name": "x", "project_id": PROJECT}, token=STRANGER
    )
    assert (response.status, error_of(response)["code"]) == (422, 33)


@pytest_twisted.ensureDeferred
async def test_projects_are_their_owners_alone(project):
    response = await project.ask("POST", "projects", {"project_name": "Barn"}, token=STRANGER)
    assert response.status == 201
    theirs = document(response)["project_id"]
    listed = document(await project.get("projects", token=KEY))["projects"]
    assert [one["project_name"] for one in listed] == ["Greenhouse"]
    assert document(await project.get("projects?name=Greenhouse", token=KEY))["project_id"] == PROJECT
    token_id = (await project.hub.projects.list_tokens(PROJECT))[0].id
    for method, target in (
        ("GET", f"projects/{PROJECT}"),
        ("DELETE", f"projects/{PROJECT}"),
        ("GET", f"tokens?project_id={PROJECT}"),
        ("GET", f"tokens/project?project_id={PROJECT}"),
        ("DELETE", f"tokens/{token_id}"),
        ("GET", "projects?name=Greenhouse"),
        ("GET", "projects/0"),
        ("GET", "projects/x"),
        ("GET", "projects/" + "9" * 30),
        ("DELETE", "tokens/x"),
    ):
        response = await project.ask(method, target, token=STRANGER)
        assert (response.status, error_of(response)["code"]) == (404, 32)
    adoption = {"project_id": PROJECT, "token": old_token()}
    assert (await project.ask("POST", "tokens/project", adoption, token=STRANGER)).status == 404
    assert (await project.get(f"projects/{theirs}", token=STRANGER)).status == 200


@pytest.mark.parametrize(
    "body", [{}, {"project_name": ""}, {"project_name": 7}, {"project_name": "x", "project_id": -1}]
)
@pytest_twisted.ensureDeferred
async def test_a_project_that_cannot_be_is_refused(project, body):
    assert (await project.ask("POST", "projects", body, token=KEY)).status == 400


@pytest_twisted.ensureDeferred
async def test_a_project_that_is_deleted_leaves_the_feeds_of_its_devices(project):
    feed_id = await project.device()
    assert (await project.ask("DELETE", f"projects/{PROJECT}", token=KEY)).status == 204
    assert (await project.get("devices")).status == 401
    assert (await project.hub.get(f"/v2/feeds/{feed_id}.json")).status == 200


@pytest_twisted.ensureDeferred
async def test_an_account_that_is_deleted_takes_its_projects_along_and_who_listens_is_told(project):
    await project.hub.add_account(OWNER, OWNERS_KEY)
    feed_id = await project.device()
    told = []
    project.hub.live.listen(feed_id, told.append)
    assert (await project.hub.ask("DELETE", "/v2/users/keeper", key=OWNERS_KEY)).status == 200
    assert [written.deleted for written in told] == [True]
    assert (await project.get("devices")).status == 401


@pytest_twisted.ensureDeferred
async def test_there_are_only_so_many_projects_and_tokens(project, monkeypatch):
    monkeypatch.setattr(sqlite_projects, "MAX_PROJECTS", 1)
    response = await project.ask("POST", "projects", {"project_name": "Barn"}, token=KEY)
    assert response.status == 422
    assert error_of(response)["message"].startswith("there is no room: an account can have at most")
    monkeypatch.setattr(sqlite_projects, "MAX_TOKENS", 1)
    for response in (
        await project.get(f"tokens/project?project_id={PROJECT}", token=KEY),
        await refresh(project, project.token),
    ):
        assert response.status == 422
        assert error_of(response)["message"].startswith("there is no room: a project can have at most")


# -------------------------------------------------------------------------------------------- tokens


@pytest_twisted.ensureDeferred
async def test_a_token_says_what_every_client_reads(project):
    query = f"project_id={PROJECT}&read=True&write=False&admin=true&duration=2d&include_user=false"
    response = await project.get(f"tokens/project?{query}", token=KEY)
    found = document(response)
    expires = int((NOON + timedelta(days=2)).timestamp())
    assert claims(found["token"]) == {"uid": found["user_id"], "pid": PROJECT, "exp": expires, "pms": 5}
    assert (found["created"], found["expires"]) == ("2013-06-03 12:00:00 +0000", "2013-06-05 12:00:00 +0000")
    assert (found["project_id"], found["device_id"], found["refreshable"]) == (PROJECT, None, True)
    assert (found["read"], found["write"], found["admin"]) == (True, False, True)


@pytest_twisted.ensureDeferred
async def test_a_token_for_which_nothing_is_asked_reads_and_writes_for_ninety_days(project):
    found = document(await project.get(f"tokens/project?project_id={PROJECT}", token=KEY))
    assert (found["read"], found["write"], found["admin"]) == (True, True, False)
    assert claims(found["token"])["exp"] == int((NOON + timedelta(days=90)).timestamp())


@pytest.mark.parametrize(
    ("query", "status", "start"),
    [
        ("read=true", 400, "project_id is missing"),
        ("project_id=x", 400, "project_id must be"),
        ("project_id=7", 404, "there is no such project"),
        (f"project_id={PROJECT}&duration=1y", 400, "duration must be"),
        (f"project_id={PROJECT}&read=maybe", 400, "read must be"),
        (f"project_id={PROJECT}&read=false", 400, "read, write and admin are all false"),
        (f"project_id={PROJECT}&device_id=pump-3", 404, "there is no such device"),
        (f"project_id={PROJECT}&device_id=a%20b", 400, "device_id must be"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_a_token_that_cannot_be_is_refused(project, query, status, start):
    response = await project.get(f"tokens/project?{query}", token=KEY)
    assert response.status == status
    assert error_of(response)["message"].startswith(start)


@pytest_twisted.ensureDeferred
async def test_a_token_is_refreshed_and_the_old_one_goes_on(project):
    """The Python client goes on with the old one until it is started again."""
    old = await project.new_token(duration="10d", write="true", read="true")
    project.hub.clock.advance(9 * 86_400)
    response = await refresh(project, old)
    assert response.status == 200
    new = document(response)
    assert new["token"] != old
    assert (new["read"], new["write"], new["admin"]) == (True, True, False)
    assert claims(new["token"])["exp"] == int((NOON + timedelta(days=19)).timestamp())
    for token in (old, new["token"]):
        assert (await project.get("devices", token=token)).status == 200
    project.hub.clock.advance(86_400)
    assert (await project.get("devices", token=old)).status == 401
    assert (await project.get("devices", token=new["token"])).status == 200


@pytest_twisted.ensureDeferred
async def test_a_token_is_refreshed_up_to_thirty_days_after_it_expired(project):
    old = await project.new_token(duration="1d")
    project.hub.clock.advance(31 * 86_400 - 1)
    assert (await refresh(project, old)).status == 200
    project.hub.clock.advance(1)
    assert (await refresh(project, old)).status == 401


@pytest_twisted.ensureDeferred
async def test_a_token_of_a_device_is_refreshed_into_one_of_that_device(project):
    await project.device()
    old = await project.new_token(device_id="pump-3")
    assert document(await refresh(project, old))["device_id"] == "pump-3"


@pytest_twisted.ensureDeferred
async def test_what_is_not_to_be_refreshed_is_not(project):
    fixed = await project.new_token(refreshable="False")
    assert (await refresh(project, fixed)).status == 403
    assert (await refresh(project, "nobody.knows.it")).status == 401
    assert (await refresh(project, 7)).status == 400
    assert (await project.ask("POST", "tokens/project", {}, token=" ")).status == 400


@pytest_twisted.ensureDeferred
async def test_the_token_that_an_old_device_has_burnt_in_is_adopted(project):
    burnt_in = old_token()
    adoption = {"project_id": PROJECT, "token": burnt_in, "read": False, "write": True}
    response = await project.ask("POST", "tokens/project", adoption, token=KEY)
    found = document(response)
    assert response.status == 200
    assert burnt_in not in text(response)
    assert (found["expires"], found["read"], found["write"]) == (None, False, True)
    project.token = burnt_in
    await project.device()
    assert (await project.send(["a"], [[1, 1]])).status == 200
    response = await refresh(project, burnt_in)
    assert response.status == 200
    assert claims(document(response)["token"])["exp"] == int((NOON + timedelta(days=90)).timestamp())


@pytest_twisted.ensureDeferred
async def test_a_key_is_not_adopted(project):
    """It would outlive the key, and the key would open nothing but this project."""
    key = document(await project.get(f"tokens/user?name=keeper&password={KEY}", token=""))["token"]
    adoption = {"project_id": PROJECT, "token": key}
    response = await project.ask("POST", "tokens/project", adoption, token=KEY)
    assert response.status == 400
    assert error_of(response)["message"] == "token is a key: tokens of projects are adopted"


@pytest_twisted.ensureDeferred
async def test_a_token_is_adopted_once(project):
    adoption = {"project_id": PROJECT, "token": old_token()}
    assert (await project.ask("POST", "tokens/project", adoption, token=KEY)).status == 200
    response = await project.ask("POST", "tokens/project", adoption, token=KEY)
    assert (response.status, error_of(response)["code"]) == (422, 33)


@pytest.mark.parametrize(
    ("members", "start"),
    [
        ({"token": 7}, "token must be the text"),
        ({"token": "short"}, "token must be the text"),
        ({"token": old_token() + "\n"}, "token must be the text"),
        ({"token": old_token(7)}, "token says that it opens project 7"),
        ({"read": "yes"}, "read must be true or false"),
        ({"write": False}, "read, write and admin are all false"),
        ({"project_id": None}, "project_id must be"),
        ({"device_id": "?"}, "device_id must be"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_what_cannot_be_adopted_is_refused_without_being_repeated(project, members, start):
    adoption = {"project_id": PROJECT, "token": old_token(), **members}
    response = await project.ask("POST", "tokens/project", adoption, token=KEY)
    assert response.status == 400
    assert error_of(response)["message"].startswith(start)
    assert str(adoption["token"]) not in text(response)


@pytest_twisted.ensureDeferred
async def test_tokens_are_listed_without_their_texts_and_revoked_with_what_came_of_them(project):
    leaked = await project.new_token(duration="1d", read="true")
    successor = document(await refresh(project, leaked))
    listed = document(await project.get(f"tokens?project_id={PROJECT}", token=KEY))
    first, second, third = listed["tokens"]
    assert not [text for text in (project.token, leaked, successor["token"]) if text in json.dumps(listed)]
    assert (second["read"], second["write"], second["expires"]) == (True, False, "2013-06-04T12:00:00Z")
    assert (third["token_id"], third["parent_id"]) == (successor["token_id"], second["token_id"])
    assert (await project.ask("DELETE", f"tokens/{second['token_id']}", token=KEY)).status == 204
    for token in (leaked, successor["token"]):
        assert (await project.get("devices", token=token)).status == 401
        assert (await refresh(project, token)).status == 401
    assert (await project.get("devices")).status == 200
    assert (await project.ask("DELETE", f"tokens/{second['token_id']}", token=KEY)).status == 404
    assert first["parent_id"] is None
    assert (await project.get("tokens", token=KEY)).status == 400
