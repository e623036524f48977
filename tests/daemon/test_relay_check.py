"""What can be known of a configuration before it is run."""

from __future__ import annotations

import json
import socket

import pytest

from tests.support.iobeam_service import make_token
from tests.support.program import bare_environ as bare
from tests.support.program import captured, hub_here, run_program
from txbridge.daemon.assembly import iobeam_account_of
from txbridge.daemon.relay_check import check
from txbridge.daemon.running import DONE, MISCONFIGURED
from txbridge.iobeam import projects
from txbridge.iobeam.operations import register_device, with_token
from txbridge.model.structures import Environment
from txbridge.net.reactor import resolve_reactor

FROM_LINES = '[routes.boiler]\nfrom.lines.listen = "unix:{folder}/lines"\n'
FROM_HOST = "[routes.boiler]\nfrom.host = {{}}\n"
ACCEPT = 'accept = ["time ns -> us", "breaks dropped"]\n'
TO_HUB = 'to.hub.cosm = {{ url = "{url}", feed = 1, key.file = "hub.key" }}\n'


class Checked:
    """What a check of a configuration gave."""

    def __init__(self, folder, text, *, url="http://127.0.0.1:9", key="sesame"):
        self.path = folder / "relay.toml"
        self.path.write_text('state = "state"\n' + text.format(folder=folder, url=url))
        if key is not None:
            (folder / "hub.key").write_text(key)
            (folder / "hub.key").chmod(0o600)

    async def run(self, *, network=False, show=False, as_json=False, environ=None):
        terminal = captured()
        self.status = await check(
            resolve_reactor(),
            terminal,
            str(self.path),
            environ or {"HOME": str(self.path.parent)},
            network=network,
            show=show,
            as_json=as_json,
        )
        self.out, self.err = terminal.out.getvalue(), terminal.err.getvalue()
        return self


async def test_a_configuration_that_can_be_run_is_shown_with_what_each_route_does(tmp_path):
    checked = await Checked(tmp_path, FROM_HOST + TO_HUB + ACCEPT).run()
    assert checked.status == DONE
    assert checked.out.splitlines()[:7] == [
        "route boiler",
        "  from    this machine, every 10 s",
        "  outbox  disk, at most 1 GiB, drop_oldest when full",
        "  to      hub: feed 1 at http://127.0.0.1:9/v2",
        "            loses: time ns -> us",
        "            loses: breaks dropped",
        "            converts: gaps dropped",
    ]
    assert "can be run: txbridge relay run --config" in checked.out
    assert "sesame" not in checked.out + checked.err
    assert not (tmp_path / "state").exists()


async def test_a_loss_that_nothing_accepts_is_a_problem_with_what_to_write(tmp_path):
    checked = await Checked(tmp_path, FROM_HOST + TO_HUB).run()
    assert checked.status == MISCONFIGURED
    assert "loses: breaks dropped (NOT ACCEPTED)" in checked.out
    assert (
        'PROBLEM  routes.boiler.to.hub: it would lose "breaks dropped"; accept = ["breaks dropped"]'
        in checked.out
    )
    assert checked.err.endswith("relay.toml: 2 problems\n")


async def test_every_problem_of_the_file_is_told(tmp_path):
    checked = await Checked(tmp_path, "colour = 1\n[routes.boiler]\nfrom.host = {{}}\nto.hub = {{}}").run()
    assert checked.status == MISCONFIGURED
    assert checked.out.count("PROBLEM") == 2


async def test_what_is_accepted_for_nothing_and_what_survives_little_is_warned_of(tmp_path):
    more = 'accept = ["brakes dropped"]\noutbox.durability = "none"\n'
    checked = await Checked(tmp_path, FROM_LINES + TO_HUB + more).run()
    assert checked.status == DONE
    assert (
        'warning  routes.boiler.to.hub: accepts "brakes dropped", which does not happen there' in checked.out
    )
    assert "does not survive the end of the process" in checked.out


async def test_a_key_that_is_not_there_and_one_that_all_can_read_are_told(tmp_path):
    checked = await Checked(tmp_path, FROM_LINES + TO_HUB, key=None).run()
    assert checked.status == MISCONFIGURED
    assert "hub.key: No such file" in checked.out
    checked = Checked(tmp_path, FROM_LINES + TO_HUB)
    (tmp_path / "hub.key").chmod(0o644)
    assert (await checked.run()).status == DONE
    assert "everybody on this machine can read" in checked.out


async def test_a_state_directory_that_cannot_be_one_is_a_problem(tmp_path):
    (tmp_path / "state").write_text("a file")
    checked = await Checked(tmp_path, FROM_LINES + TO_HUB).run()
    assert checked.status == MISCONFIGURED
    assert "PROBLEM  state: cannot write in" in checked.out


async def test_outboxes_that_may_outgrow_the_disk_are_warned_of(tmp_path):
    checked = await Checked(tmp_path, FROM_LINES + TO_HUB + 'outbox.max_bytes = "1000TiB"\n').run()
    assert checked.status == DONE
    assert "warning  state: the outboxes may take 1e+03 TiB" in checked.out or "1000 TiB" in checked.out


async def test_a_port_that_is_taken_is_warned_of_and_an_endpoint_that_is_none_is_a_problem(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        admin = f'admin.listen = "tcp:{taken.getsockname()[1]}:interface=127.0.0.1"\n'
        checked = await Checked(tmp_path, admin + FROM_LINES + TO_HUB).run()
    assert checked.status == DONE
    assert "now: Address already in use" in checked.out
    assert f"ok       routes.boiler.from.lines.listen: unix:{tmp_path}/lines is free" in checked.out
    checked = await Checked(tmp_path, 'admin.listen = "carrier:pigeon"\n' + FROM_LINES + TO_HUB).run()
    assert checked.status == MISCONFIGURED


async def test_each_destination_is_asked_whether_it_takes_the_key(tmp_path):
    async with hub_here(tmp_path / "hub") as hub:
        await hub.client.create_feed(data=Environment(title="Boiler"))
        text = FROM_LINES + TO_HUB
        checked = Checked(tmp_path, text, url=hub.config.url, key=hub.config.api_key)
        assert (await checked.run(network=True)).status == DONE
        assert "answers; its title is 'Boiler'" in checked.out
        checked = Checked(tmp_path, text, url=hub.config.url, key="wrong")
        assert (await checked.run(network=True)).status == MISCONFIGURED
        assert "PROBLEM  routes.boiler.to.hub: feed 1 at" in checked.out
        assert "401" in checked.out
        assert "; it refuses the key" in checked.out
        checked = Checked(
            tmp_path, text.replace("feed = 1", "feed = 9"), url=hub.config.url, key=hub.config.api_key
        )
        assert (await checked.run(network=True)).status == MISCONFIGURED
        assert "'txbridge feeds create' makes one" in checked.out


async def test_a_service_of_iobeam_is_asked_whether_it_takes_the_token(tmp_path):
    device = '{{ url = "{url}", project = 7, device = "p", token.file = "hub.key" }}'
    async with hub_here(tmp_path / "hub") as hub:
        text = FROM_LINES + f"to.hub.iobeam = {device}\n"
        checked = Checked(tmp_path, text, url=hub.config.url.removesuffix("/v2"), key=make_token())
        assert (await checked.run(network=True)).status == MISCONFIGURED
        assert "PROBLEM  routes.boiler.to.hub: device p of project 7 at http://" in checked.out
        assert "401" in checked.out
        assert "; it refuses the key" in checked.out


async def test_a_device_of_iobeam_that_is_not_there_is_told(tmp_path):
    async with hub_here(tmp_path / "hub") as hub:
        account = iobeam_account_of(hub.reactor, hub.config)
        await account.run(projects.create_project("Pumps", 7))
        token = (await account.run(projects.create_token(7, ("read", "write")))).text
        url = hub.config.url.removesuffix("/v2")
        device = '{{ url = "{url}", project = 7, device = "pump-3", token.file = "hub.key" }}'
        to_file = 'to.hub.cosm = {{ url = "http://127.0.0.1:9", feed = 1, key.file = "hub.key" }}\n'
        text = f"[routes.pump]\nfrom.iobeam = {device}\n{to_file}"
        checked = await Checked(tmp_path, text, url=url, key=token).run(network=True)
        assert checked.status == MISCONFIGURED
        assert "PROBLEM  routes.pump.from: device pump-3 of project 7 at http://" in checked.out
        assert "; 'txbridge iobeam register pump-3' makes it" in checked.out
        await account.run(with_token(register_device(7, "pump-3"), token))
        await checked.run(network=True)
        assert "ok       routes.pump.from: device pump-3 of project 7 at http://" in checked.out
        await account.close()


async def test_nobody_is_asked_when_the_network_is_left_out(tmp_path):
    assert (await Checked(tmp_path, FROM_LINES + TO_HUB).run(network=False)).status == DONE
    checked = await Checked(tmp_path, FROM_LINES + TO_HUB).run(network=True)
    assert checked.status == MISCONFIGURED
    assert "Connection refused; a relay would wait for it" in checked.out


async def test_a_script_gets_everything_as_json(tmp_path):
    checked = await Checked(tmp_path, FROM_HOST + TO_HUB).run(as_json=True)
    told = json.loads(checked.out)
    assert told["problems"] == [one for one in told["problems"] if "would lose" in one]
    assert told["routes"][0]["to"][0]["losses"] == ["time ns -> us", "breaks dropped"]
    assert {one["level"] for one in told["findings"]} == {"ok", "problem"}


async def test_everything_that_holds_can_be_shown_without_secrets(tmp_path):
    checked = await Checked(tmp_path, FROM_LINES + TO_HUB).run(show=True)
    assert 'key = { file = "hub.key" }' in checked.out
    assert 'deadline = "1min"' in checked.out
    assert "sesame" not in checked.out


@pytest.mark.parametrize(
    ("order", "words"),
    [
        ('order = "live_first"', "takes rows in any order"),
        ('clock_policy = "correct"', "the clock of this machine"),
    ],
)
async def test_what_the_ends_cannot_do_is_a_problem(tmp_path, order, words):
    text = FROM_LINES + f"[routes.boiler.to.node]\njoule = {{{{}}}}\n{order}\naccept = ['text dropped']\n"
    checked = await Checked(tmp_path, text).run()
    assert checked.status == MISCONFIGURED
    assert words in checked.out


def test_the_program_ends_with_78_and_reads_the_file_here_by_itself(tmp_path):
    ended = run_program("relay", "check", "--no-network", environ=bare(tmp_path))
    assert (ended.status, "cannot read relay.toml" in ended.out) == (MISCONFIGURED, True)
