"""Documents and tokens of iobeam."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from txbridge.errors import DecodeError
from txbridge.iobeam import codec
from txbridge.iobeam.codec import TokenPayload, token_payload
from txbridge.iobeam.structures import DataStore, ExportedPoint, ExportedSeries, TimeUnit
from txbridge.net.operation import Answer


def token(payload, encode=base64.urlsafe_b64encode, strip=b"=", header=None):
    head = {"typ": "JWT", "alg": "HS256", "kid": 10} if header is None else header
    parts = [encode(json.dumps(part).encode()).rstrip(strip) for part in (head, payload)]
    return b".".join([*parts, encode(b"\xfb\xff" * 16).rstrip(strip)]).decode()


PAYLOAD = {"uid": 3, "pid": 7, "exp": 1450000000, "pms": 7, "x": "ÿÿÿ>>>???"}


class TestTokens:
    @pytest.mark.parametrize("encode", [base64.urlsafe_b64encode, base64.b64encode])
    @pytest.mark.parametrize("strip", [b"=", b""])
    def test_either_alphabet_with_padding_or_without_is_read(self, encode, strip):
        found = token_payload(token(PAYLOAD, encode, strip))
        assert found == TokenPayload(project_id=7, user_id=3, expires=1450000000, permissions=7)

    @pytest.mark.parametrize("kid", [10, "10", None])
    def test_the_header_does_not_matter(self, kid):
        assert token_payload(token(PAYLOAD, header={"kid": kid})).project_id == 7

    def test_a_token_without_an_expiry_never_expires(self):
        assert token_payload(token({"pid": 7})).expires is None

    @pytest.mark.parametrize(
        "text", ["abc", "a.b", "a.b.c", "a.é.c", "a.W10.c", "a..c", "a." + "x" * 9000 + ".c"]
    )
    def test_what_is_no_token_is_refused_without_repeating_it(self, text):
        with pytest.raises(ValueError, match=r"^token: is no project token: ") as caught:
            token_payload(text)
        assert text not in str(caught.value)

    @given(st.text(max_size=60))
    def test_no_text_makes_it_fail_in_another_way(self, text):
        with pytest.raises(ValueError, match=r"^token: is no project token: "):
            token_payload(f"{text}.{text}")


class TestRequests:
    def test_a_table_has_the_time_first_and_null_where_there_is_no_value(self):
        store = DataStore(["flow", "on", "who"])
        store.add(1450000000123, {"flow": 4.5, "on": True, "who": "pump “3”"})
        store.add(1450000001123, {"flow": 2**63})
        body = codec.write_table(7, "pump-3", store.columns(), list(store.waiting().values()))
        assert json.loads(body) == {
            "project_id": 7,
            "device_id": "pump-3",
            "timefmt": "usec",
            "sources": {
                "fields": ["time", "flow", "on", "who"],
                "data": [
                    [1450000000123000, 4.5, True, "pump “3”"],
                    [1450000001123000, 2**63, None, None],
                ],
            },
        }

    def test_what_is_none_is_left_out(self):
        assert codec.write_json({"project_id": 7, "device_id": None}) == b'{"project_id":7}'


class TestAnswers:
    def test_a_device_is_read_with_and_without_what_only_some_services_say(self):
        assert codec.read_device(b'{"device_id":"p"}').device_name is None
        found = codec.read_device(
            b'{"device_id":"p","device_name":"n","project_id":7,"device_type":null,'
            b'"created":"2016-07-01 10:00:00 +0000","new":1}'
        )
        assert (found.device_name, found.project_id, found.device_type) == ("n", 7, None)
        assert found.created == datetime(2016, 7, 1, 10, tzinfo=UTC)

    def test_a_date_of_any_length_takes_no_time(self):
        """A pattern that looks from each character to the end would take seconds."""
        body = json.dumps({"device_id": "p", "created": "1 " * 20_000}).encode()
        begun = process_time()
        assert codec.read_device(body).created is None
        assert process_time() - begun < 1

    @pytest.mark.parametrize("body", [b'[{"device_id":"p"}]', b'{"devices":[{"device_id":"p"}]}'])
    def test_devices_come_in_an_array_or_in_an_object(self, body):
        assert [one.device_id for one in codec.read_devices(body)] == ["p"]

    @pytest.mark.parametrize(
        "said", ["2016-07-01 10:00:00 +0000", "2016-07-01T10:00:00Z", "2016-07-01T12:00:00+02:00"]
    )
    def test_a_token_says_when_it_expires_in_several_ways(self, said):
        body = json.dumps({"token": "t", "expires": said, "project_id": 7, "read": True, "token_id": 12})
        found = codec.read_token(body.encode())
        assert found.expires == datetime(2016, 7, 1, 10, tzinfo=UTC)
        assert (found.project_id, found.read, found.write, found.token_id) == (7, True, False, "12")

    def test_what_a_token_expires_in_another_way_does_not_matter_and_it_is_not_shown(self):
        found = codec.read_token(b'{"token":"s3cret","expires":"soon"}')
        assert found.expires is None
        assert "s3cret" not in repr(found)

    def test_an_answer_without_a_token_is_told_with_its_place(self):
        with pytest.raises(DecodeError, match="token: must be text, not null or absent"):
            codec.read_token(b"{}")

    def test_a_clock_is_read(self):
        assert codec.read_timestamp(b'{"server_timestamp":1450000000123}') == 1450000000123

    @pytest.mark.parametrize(
        ("said", "unit", "at"),
        [
            ("", TimeUnit.MILLISECONDS, 5000),
            ("", TimeUnit.MICROSECONDS, 5),
            (',"timefmt":"sec"', TimeUnit.MICROSECONDS, 5_000_000),
        ],
    )
    def test_times_count_what_was_asked_for_unless_the_answer_says_otherwise(self, said, unit, at):
        body = f'{{"result":[{{"device_id":"p","name":"s","data":[{{"time":5,"value":1}}]}}]{said}}}'
        (found,) = codec.read_export(body.encode(), unit)
        assert found == ExportedSeries("p", "s", (ExportedPoint(at, 1),))

    def test_values_keep_their_types_and_points_are_in_order(self):
        data = [{"time": 2, "value": True}, {"time": 1, "value": 2**60}, {"time": 3, "value": "x"}]
        body = json.dumps({"result": [{"device_id": "p", "name": "s", "data": data}]}).encode()
        (found,) = codec.read_export(body)
        assert [point.value for point in found.points] == [2**60, True, "x"]

    @pytest.mark.parametrize(
        ("body", "path"),
        [
            (b"{}", "result"),
            (b'{"result":{}}', "result"),
            (b'{"result":[{"device_id":"p"}]}', "result[0].name"),
            (b'{"result":[{"device_id":"p","name":"s","data":[{"time":1.5}]}]}', "result[0].data[0].time"),
            (
                b'{"result":[{"device_id":"p","name":"s","data":[{"time":1,"value":[]}]}]}',
                "result[0].data[0].value",
            ),
            (b'{"result":[],"timefmt":"timeval"}', "timefmt"),
            (b"<html>", ""),
        ],
    )
    def test_what_is_no_export_is_told_with_its_place(self, body, path):
        with pytest.raises(DecodeError) as caught:
            codec.read_export(body)
        assert caught.value.path == path

    def test_a_query_is_given_as_it_came(self):
        assert codec.read_query(b'{"result":[],"timefmt":"msec"}') == {"result": [], "timefmt": "msec"}
        with pytest.raises(DecodeError, match="result: must be an array, not null or absent"):
            codec.read_query(b'{"errors":[]}')


class TestRefusals:
    @pytest.mark.parametrize("key", ["detailed_message", "details"])
    def test_the_long_text_has_two_names(self, key):
        body = json.dumps({"errors": [{"code": 150, "message": "in use", key: "p-1\nis there"}]}).encode()
        assert codec.read_refusal(Answer(422, body=body)) == ("in use", "code 150: p-1 is there")

    @pytest.mark.parametrize(
        ("body", "words"),
        [
            (b"", ("", "")),
            (b"<html>", ("", "")),
            (b"[]", ("", "")),
            (b'{"errors":[5]}', ("", "")),
            (b'{"errors":[{"code":"x"}]}', ("", "")),
            (b'{"errors":[{"code":31,"message":"m","details":"m"}]}', ("m", "code 31")),
            (b'{"message":"bad token"}', ("bad token", "")),
            (b'{"errors":[]}', ("", "")),
            (b"\xff", ("", "")),
        ],
    )
    def test_what_has_another_form_says_what_it_can(self, body, words):
        assert codec.read_refusal(Answer(400, body=body)) == words
