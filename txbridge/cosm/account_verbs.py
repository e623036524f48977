"""Keys and users: the verbs by which an account manages who may do what.

The text of a key is told once, in the ``Location`` of the answer that makes it.  What is stored is its
digest, so everywhere else a key is named by a reference, such as ``ref-1f0c…``: lists show it as
``api_key``, and an address takes it in the place of the key.

A key that is limited in any way, to feeds, addresses or hosts, manages nothing; and no key can give
what it has not.  The account that the first start made manages the other accounts; each other account
sees and changes itself alone.

Source: Cosm API v2, "API keys", "List all keys", "Regenerate a key"; users as txcosm's tests have them.
"""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

from attrs import evolve

from txbridge.codecs.limits import DecodeLimits
from txbridge.cosm.account_rules import writable_key, writable_user
from txbridge.cosm.call import DONE, Call, Row, permit_account
from txbridge.cosm.refusal import forbidden, invalid, not_found
from txbridge.hub.auth import OWNER, Accounts, digest_of, generate_key, may_everything
from txbridge.hub.passwords import Passwords
from txbridge.hub.store import AccountRecord, KeyRecord, Missing, Store, Taken
from txbridge.hub.telling import Telling
from txbridge.model.accounts import Key, KeyList, User, UserList
from txbridge.net.http1 import Response

__all__ = ["AccountVerbs"]

FORMATS = ("json", "xml")
REFERENCE = "ref-"


class AccountVerbs:
    """Answers requests about keys and users.

    Args:
        store: Keeps them.
        accounts: Is told of keys that changed.
        passwords: Hashes passwords; None when the hub takes none.
        limits: What a document may cost to read.
        telling: Is told what a write did to a feed.
    """

    def __init__(
        self,
        store: Store,
        accounts: Accounts,
        passwords: Passwords | None,
        limits: DecodeLimits,
        telling: Telling,
    ) -> None:
        self._store = store
        self._accounts = accounts
        self._passwords = passwords
        self._limits = limits
        self._telling = telling

    def rows(self) -> Sequence[Row]:
        """Their part of the server's table."""
        return (
            ("GET", "keys", self._list_keys, FORMATS),
            ("POST", "keys", self._create_key, FORMATS),
            ("GET", "keys/*", self._read_key, FORMATS),
            ("PUT", "keys/*", self._update_key, FORMATS),
            ("DELETE", "keys/*", self._delete_key, FORMATS),
            ("POST", "keys/*/regenerate", self._regenerate_key, FORMATS),
            ("GET", "users", self._list_users, FORMATS),
            ("POST", "users", self._create_user, FORMATS),
            ("GET", "users/*", self._read_user, FORMATS),
            ("PUT", "users/*", self._update_user, FORMATS),
            ("DELETE", "users/*", self._delete_user, FORMATS),
        )

    # ------------------------------------------------------------------------------------------ keys

    async def _list_keys(self, call: Call) -> Response:
        permit_account(call)
        records = await self._store.list_keys(call.principal.login, call.asked_feed)
        return call.answer(KeyList(keys=[_shown(record) for record in records]))

    async def _create_key(self, call: Call) -> Response:
        permit_account(call)
        key = await self._checked(writable_key(call.decode(Key, self._limits)), call)
        text = generate_key()
        await self._store.create_key(KeyRecord(digest_of(text), call.principal.login, key))
        return call.created(f"/v2/keys/{text}")

    async def _read_key(self, call: Call) -> Response:
        name = call.names[0]
        record = await self._find(call)
        shown = _shown(record)
        if not name.startswith(REFERENCE):
            shown.api_key = name
        return call.answer(shown)

    async def _update_key(self, call: Call) -> Response:
        record = await self._find(call)
        key = writable_key(call.decode(Key, self._limits), known=record.key)
        await self._store.update_key(record.digest, await self._checked(key, call))
        self._accounts.forget(record.digest)
        return DONE

    async def _delete_key(self, call: Call) -> Response:
        record = await self._find(call)
        await self._store.delete_key(record.digest)
        self._accounts.forget(record.digest)
        return DONE

    async def _regenerate_key(self, call: Call) -> Response:
        record = await self._find(call)
        _permit_giving(call, record.key)
        text = generate_key()
        await self._store.update_key(record.digest, record.key, digest_of(text))
        self._accounts.forget(record.digest)
        return evolve(call.created(f"/v2/keys/{text}"), status=200)

    async def _find(self, call: Call) -> KeyRecord:
        """The key that an address names, if it is the account's own."""
        permit_account(call)
        name = call.names[0]
        if name.startswith(REFERENCE):
            record = await self._store.find_key_by_reference(name)
        else:
            record = await self._store.find_key(digest_of(name))
        if record is None or record.login != call.principal.login:
            raise not_found()
        return record

    async def _checked(self, key: Key, call: Call) -> Key:
        """Refuse a key that names feeds there are not, or may more than the one that makes it."""
        _permit_giving(call, key)
        for feed_id in sorted(
            {
                resource.feed_id
                for permission in key.permissions or []
                for resource in permission.resources
                if resource.feed_id is not None
            }
        ):
            try:
                await self._store.read_feed(feed_id, [])
            except Missing:
                raise invalid([f"Resources: there is no feed {feed_id}"]) from None
        return key

    # ----------------------------------------------------------------------------------------- users

    async def _list_users(self, call: Call) -> Response:
        permit_account(call)
        if call.principal.login == OWNER:
            records = await self._store.list_accounts()
        else:
            records = [await self._store.read_account(call.principal.login)]
        return call.answer(UserList(users=[_profile(record) for record in records]))

    async def _create_user(self, call: Call) -> Response:
        permit_account(call)
        if call.principal.login != OWNER:
            raise forbidden()
        user = writable_user(call.decode(User, self._limits), creating=True)
        login = user.login or ""
        try:
            await self._store.create_account(login, None, await self._record(user))
        except Taken:
            raise invalid(["Login has already been taken"]) from None
        return call.created(f"/v2/users/{quote(login, safe='')}")

    async def _read_user(self, call: Call) -> Response:
        return call.answer(_profile(await self._store.read_account(self._own(call))))

    async def _update_user(self, call: Call) -> Response:
        login = self._own(call)
        user = writable_user(call.decode(User, self._limits), creating=False)
        if user.password is not None and not may_everything(call.principal):
            raise forbidden()  # a password opens everything
        user.login = login
        await self._store.update_account(await self._record(user))
        return DONE

    async def _delete_user(self, call: Call) -> Response:
        login = self._own(call)
        if call.principal.login != OWNER or login == OWNER:
            raise forbidden()
        keys = await self._store.list_keys(login)
        removed = await self._store.delete_account(login)
        for record in keys:
            self._accounts.forget(record.digest)
        for written in removed:
            self._telling.tell(written)
        return DONE

    def _own(self, call: Call) -> str:
        """The login that an address names, if the account may see it."""
        permit_account(call)
        login = call.names[0]
        if call.principal.login not in (OWNER, login):
            raise forbidden()
        return login

    async def _record(self, user: User) -> AccountRecord:
        password = None
        if user.password is not None:
            if self._passwords is None:
                raise invalid(["Password: this hub takes none"])
            password = await self._passwords.hash(user.password)
        return AccountRecord(user, password)


def _permit_giving(call: Call, key: Key) -> None:
    """Refuse to tell the text of a key that may more than the one that asks."""
    methods = {method for permission in key.permissions or [] for method in permission.access_methods}
    if not methods <= permit_account(call) or (key.private_access and not call.principal.private_access):
        raise forbidden()


def _shown(record: KeyRecord) -> Key:
    return evolve(record.key, api_key=record.reference)


def _profile(record: AccountRecord) -> User:
    user = record.user
    is_owner = user.login == OWNER
    user.roles = ["admin", "user"] if is_owner else ["user"]
    user.creatable_roles = ["user"] if is_owner else []
    return user
