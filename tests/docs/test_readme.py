"""What the README shows is run as it stands, each program in a process of its own."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.own_program import run_python, running_python
from tests.support.program import StartedHub, program, run_program, started_hub

README = Path(__file__).parent.parent.parent / "README.rst"
TOML = re.compile(r"^\.\. code-block:: toml\n\n((?:    .*\n|\n)+)", re.MULTILINE)
BLOCK = re.compile(r"^\.\. code-block:: python\n\n((?:    .*\n|\n)+)", re.MULTILINE)


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartedHub]:
    with started_hub(tmp_path_factory.mktemp("readme") / "data") as started:
        yield started


def script(folder: Path, about: str) -> Path:
    """The one program of the README that has this in it, as a file."""
    blocks = [textwrap.dedent(block) for block in BLOCK.findall(README.read_text(encoding="utf-8"))]
    (found,) = [block for block in blocks if about in block]
    path = folder / "snippet.py"
    path.write_text(found, encoding="utf-8")
    return path


def test_the_readme_shows_four_programs() -> None:
    assert len(BLOCK.findall(README.read_text(encoding="utf-8"))) == 4


def test_the_client_writes_and_reads(hub: StartedHub, tmp_path: Path) -> None:
    assert re.fullmatch(
        r"\d+ 21\.5\n", run_python(script(tmp_path, "client.create_feed"), environ=hub.environ)
    )


def test_the_subscriber_gets_history_and_updates(hub: StartedHub, tmp_path: Path) -> None:
    run_program("send", "--title", "Attic", "x=1", environ=hub.environ)
    run_program("send", "1", "pump=off", environ=hub.environ)
    with running_python(script(tmp_path, "PAWSClient"), environ=hub.environ) as subscriber:
        subscriber.expect("'off'")
        run_program("send", "1", "pump=on", environ=hub.environ)
        subscriber.expect("'on'")


def test_the_relay_fills_a_feed(hub: StartedHub, tmp_path: Path) -> None:
    with running_python(script(tmp_path, "RelayService"), environ=hub.environ) as relay:
        for _ in range(100):
            if "This machine" in (
                listed := run_program("feeds", "--search", "This machine", environ=hub.environ).out
            ):
                break
        assert "This machine" in listed
        assert relay.stop() == 0


def test_ten_lines_of_toml_are_a_relay(hub: StartedHub, tmp_path: Path) -> None:
    (block,) = TOML.findall(README.read_text(encoding="utf-8"))
    text = textwrap.dedent(block)
    assert len([line for line in text.splitlines() if line]) <= 10
    # The hub of this test is not at the usual place, and no test listens at a port that others may have.
    text = text.replace("{ feed = 1 }", f'{{ url = "{hub.url}", feed = 1, key.env = "TXBRIDGE_API_KEY" }}')
    (tmp_path / "relay.toml").write_text(text.replace("tcp:9120", "tcp:0"), encoding="utf-8")
    run_program("feeds", "create", "This machine", environ=hub.environ)
    environ = {**hub.environ, "HOME": str(tmp_path)}
    config = ("--config", str(tmp_path / "relay.toml"))
    assert run_program("relay", "check", *config, environ=environ).status == 0
    with program("relay", "run", *config, environ=environ) as relay:
        relay.expect("route machine: hub takes the data", "err")
        assert "ready" in run_program("relay", "status", *config, environ=environ).out
        assert relay.stop() == 0


def test_the_hub_serves_until_it_is_stopped(hub: StartedHub, tmp_path: Path) -> None:
    path = script(tmp_path, "hub_service")
    path.write_text(path.read_text().replace('"hub-data"', repr(str(tmp_path / "hub-data"))))
    with running_python(path, environ=hub.environ) as own:
        url = own.expect(r"^http://\S+$")[0]
        key = (tmp_path / "hub-data" / "owner.key").read_text().strip()
        environ = {**hub.environ, "TXBRIDGE_URL": url, "TXBRIDGE_API_KEY": key}
        assert run_program("send", "--title", "Shed", "x=0", environ=environ).status == 0
        assert own.stop() == 0
