"""The contract's own values: what they hide, and how a code is made."""

from __future__ import annotations

from datetime import UTC, datetime

from txbridge.hub.products import Activation, DeviceRecord, ProductRecord, activation_code, device_key

THEN = datetime(2013, 6, 3, tzinfo=UTC)


def test_a_code_is_the_lower_case_hmac_sha1_of_the_serial():
    """The second test case of RFC 2202, and a secret as the service showed them."""
    assert (
        activation_code(b"Jefe", "what do ya want for nothing?") == "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"
    )
    code = activation_code(bytes.fromhex("0b" * 20), "Hi There")
    assert code == "b617318655057264e28bc0b6fb378c8ef146be00"


def test_secrets_codes_and_digests_do_not_show():
    device = DeviceRecord("p", "ann", "A1", "sesame", THEN)
    assert "sesame" not in repr(device)
    assert "sesame" not in repr(ProductRecord("p", "ann", "x", b"sesame", THEN))
    assert "sesame" not in repr(Activation(device, 1, (), None, b"sesame"))


def test_the_key_of_a_device_reaches_its_feed_alone():
    (permission,) = device_key("A1", 7).permissions
    assert [(one.feed_id, one.datastream_id) for one in permission.resources] == [(7, None)]
