"""What iobeam's clients read when the server says no."""

from __future__ import annotations

import json

from txbridge.iobeam.refusal import Refusal, bad_request, error_body, not_found, unauthorized


def test_the_longer_text_is_under_both_names_that_clients_look_for():
    body = json.loads(error_body(Refusal(422, "the device id is in use already", code=150)))
    text = "the device id is in use already"
    assert body == {"errors": [{"code": 150, "message": text, "detailed_message": text, "details": text}]}


def test_where_the_service_had_no_code_it_is_the_status():
    assert bad_request("limit", "must be at least 1").code == 400
    assert not_found("device").code == 32


def test_what_is_sent_comes_back_shortened():
    body = error_body(bad_request("x" * 5000, "is too long"))
    assert len(body) < 2000


def test_who_is_not_known_learns_how_to_say_who_they_are():
    assert unauthorized("Basic").headers == (("WWW-Authenticate", 'Basic realm="iobeam"'),)
