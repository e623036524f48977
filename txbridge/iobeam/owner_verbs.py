"""What an owner does: log in, make projects, and hand out, adopt and revoke their tokens.

An owner's *user token* is an API key of the hub that is limited in no way; logging in with the account's
password makes one that expires in a day.  Projects are the hub's own addition to what clients ask, and so are
the list of tokens, revoking one, and *adopting* one: that makes the text of a token which an old device has
burnt in good for a project of this hub, whatever it says of its own expiry.

Source: iobeam's Go and Node clients for ``tokens`` and ``users/me``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from secrets import token_bytes
from typing import Any

from attrs import evolve

from txbridge.hub.auth import EVERYTHING, Accounts, Credentials, digest_of, generate_key, may_everything
from txbridge.hub.projects import REFRESH_DAYS, ProjectRecord, Projects, TokenRecord
from txbridge.hub.store import KeyRecord, Missing, Store, Taken
from txbridge.iobeam.call import DONE, Call, Verb, answer, service_time
from txbridge.iobeam.imports import take_device_id, take_number, take_text
from txbridge.iobeam.refusal import TAKEN, Refusal, bad_request, forbidden, not_found, unauthorized
from txbridge.iobeam.tokens import (
    DEFAULT_DURATION,
    SIGNATURE_BYTES,
    is_token_text,
    mint,
    parse_duration,
    project_of,
    user_number,
)
from txbridge.model.accounts import Key
from txbridge.net.http1 import Response

__all__ = ["OwnerVerbs"]

LOGIN_DURATION = timedelta(days=1)
# What tells of a password, and whose page had it sent.
_BASIC = ("authorization", "origin", "sec-fetch-site", "host")
LOGIN_LABEL = "iobeam login"
MAX_LOGINS = 100  # that are good at once; some clients log in each time they are started


class OwnerVerbs:
    """Answers requests of owners, and of whoever exchanges a token.

    Args:
        store: Keeps the keys.
        projects: Keeps projects and tokens.
        accounts: Finds whose key a user token is.
        count: Told of each request, by whose it is; raises when there are too many.
    """

    def __init__(
        self, store: Store, projects: Projects, accounts: Accounts, count: Callable[[str], None]
    ) -> None:
        self._store = store
        self._projects = projects
        self._accounts = accounts
        self._count = count

    def rows(self) -> Sequence[tuple[str, str, Verb]]:
        """Their part of the server's table: method, path, verb."""
        return (
            ("GET", "tokens/user", self._log_in),
            ("GET", "users/me", self._read_user),
            ("GET", "tokens/project", self._fetch_token),
            ("POST", "tokens/project", self._refresh_or_adopt),
            ("GET", "tokens", self._list_tokens),
            ("DELETE", "tokens/*", self._delete_token),
            ("GET", "projects", self._list_projects),
            ("POST", "projects", self._create_project),
            ("GET", "projects/*", self._read_project),
            ("DELETE", "projects/*", self._delete_project),
        )

    async def own_project(self, call: Call, number: int) -> ProjectRecord:
        """A project, if a user token of its owner came with a request.

        Raises:
            Refusal: 401, nobody's came; 403, it is limited.
            Missing: There is no such project, or it is somebody else's.
        """
        return await self._project(await self._login(call), number)

    # ----------------------------------------------------------------------------------------- users

    async def _log_in(self, call: Call) -> Response:
        headers = call.request.headers
        credentials = Credentials.of({name: headers[name] for name in _BASIC if name in headers}, None)
        name, password = call.parameters.get("name", ""), call.parameters.get("password", "")
        if credentials is None and name and password:
            credentials = Credentials(password, name)
        login = await self._owner(credentials, "Basic")
        await self._tidy_logins(login, call.now)
        text, expires = generate_key(), call.now + LOGIN_DURATION
        key = Key(label=LOGIN_LABEL, expires_at=expires, private_access=True, permissions=list(EVERYTHING))
        await self._store.create_key(KeyRecord(digest_of(text), login, key))
        return answer(
            {
                "token": text,
                "user_id": user_number(login),
                "created": service_time(call.now),
                "expires": service_time(expires),
            }
        )

    async def _tidy_logins(self, login: str, now: datetime) -> None:
        """Remove the user tokens that have expired, and the oldest of too many."""
        logins = [
            (record.digest, expires)
            for record in await self._store.list_keys(login)
            if record.key.label == LOGIN_LABEL and (expires := record.key.expires_at) is not None
        ]
        kept = [digest for digest, expires in logins if expires > now][1 - MAX_LOGINS :]
        for digest, _ in logins:
            if digest not in kept:
                self._accounts.forget(digest)
                with suppress(Missing):  # somebody else has just logged in
                    await self._store.delete_key(digest)

    async def _read_user(self, call: Call) -> Response:
        login = await self._login(call)
        user = (await self._store.read_account(login)).user
        return answer({"user_id": user_number(login), "username": login, "email": user.email or ""})

    async def _login(self, call: Call) -> str:
        """Whose user token came with a request.

        Raises:
            Refusal: 401, nobody's; 403, it is limited.
        """
        return await self._owner(Credentials(call.bearer), "Bearer")

    async def _owner(self, credentials: Credentials | None, scheme: str) -> str:
        principal = await self._accounts.authenticate(credentials)
        if principal is None:
            raise unauthorized(scheme)
        self._count(principal.reference or principal.login)
        if not may_everything(principal):
            raise forbidden("the key is limited: projects are managed with one that may do everything")
        return principal.login

    # -------------------------------------------------------------------------------------- projects

    async def _list_projects(self, call: Call) -> Response:
        login = await self._login(call)
        projects = await self._projects.list_projects(login)
        name = call.parameters.get("name")
        if name is None:
            everything = {"read": True, "write": True, "admin": True}
            listed = [{**_described(project), "permissions": everything} for project in projects]
            return answer({"projects": listed})
        for project in projects:
            if project.name == name:
                return answer(_one_project(project))
        raise not_found("project")

    async def _create_project(self, call: Call) -> Response:
        login = await self._login(call)
        document = call.document()
        name = take_text(document, "project_name")
        if name is None:
            raise bad_request("project_name", "is missing")
        number = None if document.get("project_id") is None else take_number(document, "project_id")
        try:
            project = await self._projects.create_project(login, name, call.now, number)
        except Taken:
            raise Refusal(422, f"there is a project with the number {number} already", code=TAKEN) from None
        return answer(_one_project(project), 201)

    async def _read_project(self, call: Call) -> Response:
        return answer(_one_project(await self.own_project(call, _number(call))))

    async def _delete_project(self, call: Call) -> Response:
        project = await self.own_project(call, _number(call))
        await self._projects.delete_project(project.id)
        return DONE

    async def _project_asked(self, call: Call) -> ProjectRecord:
        """The project that the query names, which must be of whose user token came."""
        login, number = await self._login(call), call.number("project_id")
        if number is None:
            raise bad_request("project_id", "is missing")
        return await self._project(login, number)

    async def _project(self, login: str, number: int) -> ProjectRecord:
        """A project of an account; that there is somebody else's is told to nobody."""
        project = await self._projects.read_project(number)
        if project.owner != login:
            raise Missing("project")
        return project

    # ---------------------------------------------------------------------------------------- tokens

    async def _fetch_token(self, call: Call) -> Response:
        project = await self._project_asked(call)
        device = take_device_id({"device_id": call.parameters.get("device_id") or None})
        flags = {name: call.flag(name) for name in ("read", "write", "admin", "refreshable")}
        duration = DEFAULT_DURATION
        if call.parameters.get("duration"):
            try:
                duration = parse_duration(call.parameters["duration"])
            except ValueError as error:
                raise bad_request("duration", str(error)) from None
        return await self._grant(call, project, _rights(project.id, call.now, device, flags), duration)

    async def _refresh_or_adopt(self, call: Call) -> Response:
        document = call.document()
        if "token" in document:
            return await self._adopt(call, document)
        text = document.get("refresh_token")
        if not isinstance(text, str):
            raise bad_request("refresh_token", "must be the text of a token")
        old = await self._projects.find_token(digest_of(text))
        if old is None:
            raise unauthorized()
        if old.expires is not None and call.now >= old.expires + timedelta(days=REFRESH_DAYS):
            raise unauthorized()
        self._count(f"token {old.id}")
        if not old.refreshable:
            raise forbidden("the token cannot be refreshed: its owner can hand out a new one")
        project = await self._projects.read_project(old.project_id)
        duration = DEFAULT_DURATION if old.expires is None else old.expires - old.created
        return await self._grant(call, project, evolve(old, created=call.now, parent=old.id), duration)

    async def _adopt(self, call: Call, document: dict[str, Any]) -> Response:
        login = await self._login(call)
        project = await self._project(login, take_number(document, "project_id"))
        text = document["token"]
        if not isinstance(text, str) or not is_token_text(text):
            raise bad_request(
                "token", "must be the text of a token: 32 to 4096 letters, digits, and . _ - + / ="
            )
        if await self._store.find_key(digest_of(text)) is not None:
            raise bad_request("token", "is a key: tokens of projects are adopted")
        said = project_of(text)
        if said is not None and said != project.id:
            raise bad_request("token", f"says that it opens project {said}, not {project.id}")
        flags: dict[str, bool | None] = {}
        for name in ("read", "write", "admin", "refreshable"):
            flags[name] = document.get(name)
            if flags[name] is not None and not isinstance(flags[name], bool):
                raise bad_request(name, "must be true or false")
        record = _rights(project.id, call.now, take_device_id(document), flags)
        try:
            record = await self._projects.create_token(evolve(record, digest=digest_of(text)))
        except Taken:
            raise Refusal(422, "the token is known already", code=TAKEN) from None
        return answer(_granted(record, project, None))

    async def _grant(
        self, call: Call, project: ProjectRecord, record: TokenRecord, duration: timedelta
    ) -> Response:
        """Make a new token like this one, and tell its text, which is never told again."""
        created = call.now.replace(microsecond=0)
        expires = created + duration
        text = mint(
            project.id,
            user_number(project.owner),
            int(expires.timestamp()),
            read=record.read,
            write=record.write,
            admin=record.admin,
            signature=token_bytes(SIGNATURE_BYTES),
        )
        record = evolve(record, digest=digest_of(text), created=created, expires=expires)
        return answer(_granted(await self._projects.create_token(record), project, text))

    async def _list_tokens(self, call: Call) -> Response:
        project = await self._project_asked(call)
        records = await self._projects.list_tokens(project.id)
        return answer({"tokens": [_listed(record) for record in records]})

    async def _delete_token(self, call: Call) -> Response:
        login = await self._login(call)
        record = await self._projects.read_token(_number(call))
        try:
            await self._project(login, record.project_id)
        except Missing:
            raise Missing("token") from None
        await self._projects.delete_token(record.id)
        return DONE


def _number(call: Call) -> int:
    """The number in an address; 0, which nothing has, when it is none."""
    text = call.names[0]
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else 0


def _rights(
    project_id: int, now: datetime, device_id: str | None, flags: dict[str, bool | None]
) -> TokenRecord:
    """A token that may do what was asked for, and nothing else; reading and writing when nothing was."""
    asked = [flags[name] for name in ("read", "write", "admin")]
    read, write, admin = (True, True, False) if asked == [None] * 3 else map(bool, asked)
    if not (read or write or admin):
        raise bad_request("read, write and admin", "are all false: such a token opens nothing")
    return TokenRecord(
        b"", project_id, now, None, device_id, read, write, admin, flags["refreshable"] is not False
    )


def _iso(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"


def _described(project: ProjectRecord) -> dict[str, Any]:
    return {"project_id": project.id, "project_name": project.name, "created": _iso(project.created)}


def _one_project(project: ProjectRecord) -> dict[str, Any]:
    owner = [{"user_id": user_number(project.owner)}]
    permissions = {"read": owner, "write": owner, "admin": owner}
    return {**_described(project), "user_id": user_number(project.owner), "permissions": permissions}


def _said(record: TokenRecord) -> dict[str, Any]:
    return {
        "token_id": record.id,
        "project_id": record.project_id,
        "device_id": record.device_id,
        "read": record.read,
        "write": record.write,
        "admin": record.admin,
        "refreshable": record.refreshable,
    }


def _granted(record: TokenRecord, project: ProjectRecord, text: str | None) -> dict[str, Any]:
    return {
        **({} if text is None else {"token": text}),
        **_said(record),
        "user_id": user_number(project.owner),
        "created": service_time(record.created),
        "expires": None if record.expires is None else service_time(record.expires),
    }


def _listed(record: TokenRecord) -> dict[str, Any]:
    expires = None if record.expires is None else _iso(record.expires)
    return {**_said(record), "created": _iso(record.created), "expires": expires, "parent_id": record.parent}
