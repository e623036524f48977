"""The configuration's file, and the secrets that it names."""

from __future__ import annotations

import pytest

from txbridge.daemon.relay_files import load_relay_config, read_secrets, secret_warnings
from txbridge.daemon.tables import Secret
from txbridge.errors import ConfigError

SHORT = '[routes.boiler]\nfrom.host = {}\nto.hub.cosm = { feed = 1, key.file = "hub.key" }\n'


def problems(call, *arguments):
    with pytest.raises(ConfigError) as caught:
        call(*arguments)
    return "\n".join(caught.value.problems)


def test_a_file_is_read_and_its_paths_are_relative_to_it(tmp_path):
    path = tmp_path / "relay.toml"
    path.write_text(SHORT)
    config = load_relay_config(str(path), {"HOME": "/h"})
    assert config.routes["boiler"].secrets == (Secret("file", str(tmp_path / "hub.key")),)


def test_a_file_that_an_editor_of_windows_wrote_is_read(tmp_path):
    path = tmp_path / "relay.toml"
    path.write_bytes(b"\xef\xbb\xbf" + SHORT.replace("\n", "\r\n").encode())
    assert load_relay_config(str(path), {"HOME": "/h"}).routes


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "No such file"), (b"\xff\xfe", "there is no text in it"), (b"#" * (1 << 21), "too long")],
)
def test_what_is_no_configuration_is_named(tmp_path, content, words):
    path = tmp_path / "relay.toml"
    if content is not None:
        path.write_bytes(content)
    found = problems(load_relay_config, str(path), {})
    assert words in found
    assert str(path) in found


def test_secrets_come_from_files_the_environment_and_credentials(tmp_path):
    (tmp_path / "a").write_text("one\n")
    (tmp_path / "b").write_text("two")
    where = [Secret("file", str(tmp_path / "a")), Secret("credential", "b"), Secret("env", "KEY")]
    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path), "KEY": " three "}
    assert read_secrets(where, environ) == dict(zip(where, ("one", "two", "three"), strict=True))


def test_every_secret_that_is_missing_is_told_and_none_is_shown(tmp_path):
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "lines").write_text("open\nsesame")
    found = problems(
        read_secrets,
        [
            Secret("file", str(tmp_path / "none")),
            Secret("file", str(tmp_path / "empty")),
            Secret("file", str(tmp_path / "lines")),
            Secret("credential", "x"),
            Secret("env", "KEY"),
        ],
        {},
    )
    for words in (
        f"cannot read {tmp_path}/none: No such file",
        f"{tmp_path}/empty: there is no key in it",
        f"{tmp_path}/lines: a key is one line",
        "credential x: systemd gave no credentials",
        "the environment has no KEY",
    ):
        assert words in found
    assert "sesame" not in found


def test_a_key_that_everybody_can_read_is_warned_of(tmp_path):
    for name, mode in (("open", 0o644), ("closed", 0o600)):
        (tmp_path / name).write_text("k")
        (tmp_path / name).chmod(mode)
    where = [Secret("file", str(tmp_path / name)) for name in ("open", "closed", "none")]
    (warning,) = secret_warnings([*where, Secret("env", "KEY")])
    assert f"everybody on this machine can read {tmp_path}/open" in warning
