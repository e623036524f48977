"""What a client may write of keys, users and triggers, without a server around it."""

from __future__ import annotations

import pytest

from txbridge.cosm.account_rules import writable_key, writable_trigger, writable_user
from txbridge.cosm.refusal import Refusal
from txbridge.model.accounts import Key, Permission, Resource, Trigger, User


def key(*permissions, **members):
    return Key(
        **{"label": "x", "permissions": list(permissions) or [Permission(access_methods=["get"])], **members}
    )


def words(work, *arguments, **options):
    with pytest.raises(Refusal) as raised:
        work(*arguments, **options)
    assert raised.value.status == 422
    return raised.value.errors


def test_what_a_client_cannot_choose_is_dropped():
    written = writable_key(key(api_key="mine", user="somebody"))
    assert (written.api_key, written.user, written.private_access) == (None, None, False)
    user = writable_user(
        User(login="ann", password="open sesame", api_key="k", roles=["admin"], feeds_count=7), creating=True
    )
    assert (user.api_key, user.roles, user.feeds_count) == (None, [], None)
    trigger = writable_trigger(
        Trigger(
            id=9,
            user="bob",
            url="http://x/",
            trigger_type="GT",
            threshold_value=1,
            environment_id=1,
            stream_id="a",
        )
    )
    assert (trigger.id, trigger.user, trigger.trigger_type) == (None, None, "gt")


def test_methods_are_read_in_any_case():
    assert writable_key(key(Permission(access_methods=[" GET", "Put"]))).permissions[0].access_methods == [
        "get",
        "put",
    ]


def test_a_change_keeps_what_it_does_not_mention():
    known = key(private_access=True, expires_at="2030-01-01T00:00:00Z")
    written = writable_key(Key(label="y"), known=known)
    assert (written.label, written.private_access, written.expires_at) == ("y", True, known.expires_at)
    assert written.permissions == known.permissions


@pytest.mark.parametrize("source_ip", ["10.0.0.1", "10.0.0.0/8", " fd00::/8", "10.0.0.1/8"])
def test_an_address_or_a_network_may_limit_a_key(source_ip):
    writable_key(key(Permission(access_methods=["get"], source_ip=source_ip)))


def test_every_broken_rule_is_told_once():
    many = [Permission(access_methods=["get"], resources=[Resource()]) for _ in range(5)]
    assert words(writable_key, key(*many)) == "Resources must have a feed id or a datastream trigger id"
    assert "Permissions are too many" in words(writable_key, key(*many * 30))
    assert "not valid text" in words(writable_key, key(label="\x00"))


def test_a_trigger_is_judged_as_it_will_be():
    known = Trigger(id=1, url="http://x/", trigger_type="change", environment_id=1, stream_id="a")
    assert "Threshold value can't be blank" in words(
        writable_trigger, Trigger(trigger_type="gt"), known=known
    )
    changed = writable_trigger(Trigger(trigger_type="gt", threshold_value="5"), known=known)
    assert (changed.trigger_type, changed.url) == ("gt", None)


def test_a_user_may_be_changed_without_a_password_and_not_with_a_short_one():
    assert writable_user(User(about="me"), creating=False).about == "me"
    assert "Password must have" in words(writable_user, User(password="short"), creating=False)
