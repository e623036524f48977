"""The rules that keys, users and triggers must keep before they are stored.

Source: Cosm API v2, "API keys", "API resource attributes", "Triggers"; xively-rb ``key.rb``,
``permission.rb``, ``resource.rb``, ``trigger.rb``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import ip_network

from attrs import evolve, fields

from txbridge.cosm.refusal import invalid
from txbridge.hub.auth import METHODS
from txbridge.hub.passwords import LONGEST_PASSWORD
from txbridge.model.accounts import Key, Permission, Resource, Trigger, User
from txbridge.model.numbers import parse_number
from txbridge.model.texts import MAX_TEXT, is_login
from txbridge.net.webhook import webhook_problem

__all__ = ["writable_key", "writable_trigger", "writable_user"]

MAX_PERMISSIONS = 100
MAX_RESOURCES = 1000
MAX_URL = 2000
SHORTEST_PASSWORD = 8

_TRIGGER_MEMBERS = ("environment_id", "stream_id", "url", "trigger_type", "threshold_value")
_NO_TEXT = re.compile("[\x00-\x1f\x7f\ud800-\udfff\ufffe\uffff]")


def writable_key(document: Key, *, known: Key | None = None) -> Key:
    """What a client may write of a key.

    Args:
        document: As it was decoded.
        known: What the key was; what the document does not say stays so.  None for a new key.

    Raises:
        Refusal: 422 with every broken rule.
    """
    if known is not None:
        for name in ("label", "expires_at", "private_access", "permissions"):
            if getattr(document, name) is None:
                setattr(document, name, getattr(known, name))
    document.api_key = document.user = None
    document.private_access = document.private_access is True
    problems: list[str] = []
    if document.label is None or not document.label.strip():
        problems.append("Label can't be blank")
    if not document.permissions:
        problems.append("Permissions can't be blank")
    elif len(document.permissions) > MAX_PERMISSIONS:
        problems.append(f"Permissions are too many (maximum is {MAX_PERMISSIONS})")
    else:
        for permission in document.permissions:
            problems += _permission_problems(permission)
    problems += _text_problems([("Label", document.label)])
    if problems:
        raise invalid(list(dict.fromkeys(problems)))
    return document


def _permission_problems(permission: Permission) -> list[str]:
    problems: list[str] = []
    permission.access_methods = [method.strip().lower() for method in permission.access_methods]
    if not permission.access_methods:
        problems.append("Permissions access methods can't be blank")
    elif not set(permission.access_methods) <= set(METHODS):
        problems.append(f"Permissions access methods must be among {', '.join(METHODS)}")
    if permission.source_ip and not _is_network(permission.source_ip):
        problems.append("Permissions source ip is neither an address nor a network")
    if permission.minimum_interval is not None and permission.minimum_interval < 0:
        problems.append("Permissions minimum interval can't be negative")
    if len(permission.resources) > MAX_RESOURCES:
        problems.append(f"Permissions resources are too many (maximum is {MAX_RESOURCES})")
    for resource in permission.resources:
        problems += _resource_problems(resource)
    return [
        *problems,
        *_text_problems(
            [("Permissions label", permission.label), ("Permissions referer", permission.referer)]
        ),
    ]


def _resource_problems(resource: Resource) -> list[str]:
    if resource.feed_id is None and resource.datastream_trigger_id is None:
        if resource.datastream_id is not None:
            return ["Resources datastream id needs a feed id"]
        return ["Resources must have a feed id or a datastream trigger id"]
    return _text_problems([("Resources datastream id", resource.datastream_id)])


def _is_network(text: str) -> bool:
    try:
        ip_network(text.strip(), strict=False)
    except ValueError:
        return False
    return True


def writable_user(document: User, *, creating: bool) -> User:
    """What a client may write of an account.

    Args:
        document: As it was decoded.
        creating: Whether a login and a password are needed.

    Raises:
        Refusal: 422 with every broken rule.
    """
    problems: list[str] = []
    document.api_key = None
    document.roles = document.creatable_roles = []
    document.feeds_count = document.datastreams_count = document.datastreams_allowed = None
    document.daily_api_access_count = document.total_api_access_count = None
    if creating and not (document.login or "").strip():
        problems.append("Login can't be blank")
    elif creating and not is_login(document.login or ""):
        problems.append("Login is invalid: use up to 40 letters, digits, _, . and -")
    if document.password is None and creating:
        problems.append("Password can't be blank")
    elif (
        document.password is not None and not SHORTEST_PASSWORD <= len(document.password) <= LONGEST_PASSWORD
    ):
        problems.append(f"Password must have {SHORTEST_PASSWORD} to {LONGEST_PASSWORD} characters")
    problems += _text_problems(
        (member.name.replace("_", " ").capitalize(), value)
        for member in fields(User)
        if member.name != "password" and isinstance(value := getattr(document, member.name), str)
    )
    if problems:
        raise invalid(problems)
    return document


def writable_trigger(document: Trigger, *, known: Trigger | None = None) -> Trigger:
    """What a client may write of a trigger.

    Args:
        document: As it was decoded.
        known: What the trigger was; None for a new one.

    Raises:
        Refusal: 422 with every broken rule.
    """
    problems: list[str] = []
    document.id = document.user = document.notified_at = None
    whole = document
    if known is not None:
        for name in ("environment_id", "stream_id"):
            if getattr(document, name) not in (None, getattr(known, name)):
                problems.append(f"{name.replace('_', ' ').capitalize()} can't be changed")
        said = {name: value for name in _TRIGGER_MEMBERS if (value := getattr(document, name)) is not None}
        whole = evolve(known, **said)
    for name in _TRIGGER_MEMBERS:
        text = getattr(whole, name)
        if name != "threshold_value" and (text is None or not str(text).strip()):
            problems.append(f"{name.replace('_', ' ').capitalize()} can't be blank")
    if whole.trigger_type is not None and whole.trigger_type.strip():
        kind = whole.trigger_type = whole.trigger_type.strip().lower()
        document.trigger_type = kind if document.trigger_type is not None else None
        if kind not in (*Trigger.Comparisons, *Trigger.Watches):
            problems.append(
                f"Trigger type must be among {', '.join((*Trigger.Comparisons, *Trigger.Watches))}"
            )
        elif kind in Trigger.Comparisons:
            problems += _threshold_problems(kind, whole.threshold_value)
    if whole.url is not None and whole.url.strip():
        problem = webhook_problem(whole.url)
        if len(whole.url) > MAX_URL:
            problems.append(f"Url is too long (maximum is {MAX_URL} characters)")
        elif problem is not None:
            problems.append(f"Url {problem}")
    problems += _text_problems([("Threshold value", whole.threshold_value)])
    if problems:
        raise invalid(problems)
    return document


def _threshold_problems(kind: str, threshold: str | None) -> list[str]:
    if threshold is None or not threshold.strip():
        return ["Threshold value can't be blank"]
    if kind != "eq" and parse_number(threshold) is None:
        return ["Threshold value is not a number"]
    return []


def _text_problems(texts: Iterable[tuple[str, str | None]]) -> list[str]:
    problems: list[str] = []
    for name, text in texts:
        if text is not None and len(text) > MAX_TEXT:
            problems.append(f"{name} is too long (maximum is {MAX_TEXT} characters)")
        elif text is not None and _NO_TEXT.search(text.replace("\n", "").replace("\t", "")):
            problems.append(f"{name} is not valid text")
    return problems
