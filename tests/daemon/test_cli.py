"""The program as its users run it: a hub and its commands in processes of their own."""

from __future__ import annotations

import json
import signal
import socket
import ssl
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.client import HTTPConnection
from threading import Semaphore

import pytest

from tests.support.certificates import Authority
from tests.support.program import PATIENCE, bare_environ, program, run_program, started_hub
from txbridge.daemon.cli import main, parser

WRITERS = 16


def connected(hub):
    return closing(socket.create_connection(("127.0.0.1", hub.port), timeout=PATIENCE))


def wait_until_closed(hub):
    """Wait until it listens no more, which says that a signal has arrived."""
    while True:
        try:
            with connected(hub):
                continue
        except (ConnectionRefusedError, ConnectionResetError):  # reset: it closed while we connected
            return


def received(connection, ending):
    """What comes until it ends so, or the connection does."""
    data = b""
    while not data.endswith(ending) and (chunk := connection.recv(65536)):
        data += chunk
    return data


def put(hub, feed_id, body, *, expect=False):
    """The head of a write."""
    lines = [
        f"PUT /v2/feeds/{feed_id}.csv HTTP/1.1",
        "Host: hub",
        f"X-ApiKey: {hub.key}",
        f"Content-Length: {len(body)}",
        *(["Expect: 100-continue"] if expect else []),
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def write_until_told(hub, feed_id, name, written):
    """Write again and again over one connection until an answer says that it was the last."""
    with closing(HTTPConnection("127.0.0.1", hub.port, timeout=PATIENCE)) as connection:
        while True:
            connection.request("PUT", f"/v2/feeds/{feed_id}.csv", f"{name},1", {"X-ApiKey": hub.key})
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 200
            written.release()
            if answer.getheader("Connection") is not None:
                return answer.getheader("Connection")


# ------------------------------------------------------------------------------------------ hub


@pytest.mark.parametrize("offered", [["http/1.1"], ["h2", "http/1.1"]])
def test_a_client_that_offers_protocols_over_tls_is_served_http_1(tmp_path, offered):
    """Browsers, curl and most libraries offer some."""
    authority = Authority()
    identity = authority.issue("hub.test")
    (tmp_path / "key.pem").write_bytes(identity.key_pem())
    (tmp_path / "cert.pem").write_bytes(identity.pem)
    secure = f"ssl:0:interface=127.0.0.1:privateKey={tmp_path}/key.pem:certKey={tmp_path}/cert.pem"
    trust = ssl.create_default_context(cadata=authority.pem.decode())
    trust.set_alpn_protocols(offered)
    with started_hub(tmp_path / "data", "--listen", secure) as hub:
        port = int(hub.program.expect(r"^listening on https://127.0.0.1:(\d+)$")[1])
        with (
            socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as plain,
            trust.wrap_socket(plain, server_hostname="hub.test") as connection,
        ):
            assert connection.selected_alpn_protocol() == "http/1.1"
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: hub.test\r\nConnection: close\r\n\r\n")
            assert received(connection, b"ok\n").startswith(b"HTTP/1.1 200 OK")


def test_the_first_start_keeps_the_key_for_its_owner_and_says_where(tmp_path):
    with started_hub(tmp_path / "data") as hub:
        key_file = hub.data / "owner.key"
        assert stat.S_IMODE(key_file.stat().st_mode) == 0o600
        assert hub.program.expect("its key is in (.*)$", "err")[1] == str(key_file)
        assert hub.key not in hub.program.out + hub.program.err
        with connected(hub) as connection:
            connection.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
            assert received(connection, b"ok\n").startswith(b"HTTP/1.1 200 ")
        assert hub.program.stop() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_being_stopped_is_the_usual_end_of_a_hub(tmp_path, number):
    with started_hub(tmp_path / "data") as hub:
        assert hub.program.stop(number) == 0
        assert hub.program.out.count("\n") == 1
        assert "Traceback" not in hub.program.err


def test_a_write_that_was_accepted_is_answered_before_the_hub_ends(tmp_path):
    with started_hub(tmp_path / "data") as hub:
        feed = run_program("send", "--title", "Boiler", "temp=1", "--json", environ=hub.environ)
        feed_id = json.loads(feed.out)["feed"]
        body = b"temp,2020-01-01T06:00:00Z,42"
        with connected(hub) as connection:
            connection.sendall(put(hub, feed_id, body, expect=True))
            assert received(connection, b"\r\n\r\n").startswith(b"HTTP/1.1 100 ")
            hub.program.process.send_signal(signal.SIGTERM)
            wait_until_closed(hub)
            connection.sendall(body)
            answer = received(connection, b"nothing")
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert hub.program.wait() == 0
    with started_hub(tmp_path / "data", key=hub.key) as hub:
        history = run_program("history", str(feed_id), "--start", "2020-01-01", "--csv", environ=hub.environ)
        assert "temp,2020-01-01T06:00:00.000000Z,42" in history.out


def test_writers_that_keep_their_connections_are_told_of_the_end_with_an_answer(tmp_path):
    """None of them sees its connection close on a request that it has sent."""
    with started_hub(tmp_path / "data") as hub, ThreadPoolExecutor(WRITERS) as threads:
        made = run_program("feeds", "create", "Boiler", environ=hub.environ)
        written = Semaphore(0)
        writers = [
            threads.submit(write_until_told, hub, made.out.strip(), f"s{number}", written)
            for number in range(WRITERS)
        ]
        for _ in range(20 * WRITERS):
            assert written.acquire(timeout=PATIENCE)
        assert hub.program.stop() == 0
        assert [writer.result(PATIENCE) for writer in writers] == ["close"] * WRITERS


def test_a_key_that_is_given_is_the_owners_and_no_file_is_made(tmp_path):
    (tmp_path / "key").write_text("any text will do\n")
    arguments = ("--api-key-file", str(tmp_path / "key"))
    with started_hub(tmp_path / "data", *arguments, key="any text will do") as hub:
        assert run_program("feeds", environ=hub.environ).status == 0
        assert not (hub.data / "owner.key").exists()
        assert "any text" not in hub.program.err


def test_the_key_the_hub_made_may_be_given_back_to_it(tmp_path):
    with started_hub(tmp_path / "data") as hub:
        key = hub.key
    arguments = ("--api-key-file", str(tmp_path / "data" / "owner.key"))
    with started_hub(tmp_path / "data", *arguments) as hub:
        assert hub.key == key
        assert run_program("feeds", environ=hub.environ).status == 0


def test_a_second_hub_on_the_same_data_is_refused(tmp_path):
    with started_hub(tmp_path / "data") as hub:
        arguments = ("hub", "--data", str(hub.data), "--listen", "tcp:0:interface=127.0.0.1")
        second = run_program(*arguments, environ=bare_environ(tmp_path))
        assert second.status == 1
        assert "in use by another process" in second.err
        assert second.err.count("\n") == 1


def test_a_port_that_is_taken_is_named(tmp_path):
    with started_hub(tmp_path / "data") as hub:
        endpoint = f"tcp:{hub.port}:interface=127.0.0.1"
        arguments = ("hub", "--data", str(tmp_path / "other"), "--listen", endpoint)
        second = run_program(*arguments, environ=bare_environ(tmp_path))
        assert second.status == 1
        said = f"txbridge: cannot listen at {endpoint}: Address already in use; --listen chooses another"
        assert second.err.splitlines()[-1] == said


def test_a_command_whose_output_is_closed_is_done_all_the_same(tmp_path):
    with started_hub(tmp_path / "data") as hub:
        program = (sys.executable, "-m", "txbridge", "feeds", "create", "Boiler")
        closed = ("sh", "-c", '"$@" >&-', "sh", *program)
        done = subprocess.run(
            closed, env=hub.environ, stderr=subprocess.PIPE, text=True, timeout=PATIENCE, check=False
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert "Boiler" in run_program("feeds", environ=hub.environ).out


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (("--listen", "8080", "--listen", "x"), 2, "tcp:8080"),
        (("--listen", "tcp:nonsense"), 1, "'tcp:nonsense'"),
        (("--data", "/proc/nowhere"), 1, "cannot keep data in /proc/nowhere"),
    ],
)
def test_what_a_hub_cannot_do_is_told_without_a_traceback(tmp_path, arguments, status, words):
    ended = run_program("hub", "--data", str(tmp_path / "data"), *arguments, environ=bare_environ(tmp_path))
    assert ended.status == status
    assert words in ended.err
    assert all(line.startswith("txbridge: ") for line in ended.err.splitlines())
    assert ended.out == ""


def test_the_socket_api_is_served_over_tcp_where_it_is_told(tmp_path):
    with started_hub(tmp_path / "data", "--paws-tcp", "tcp:0:interface=127.0.0.1") as hub:
        port = hub.program.expect(r"^listening on paws tcp://127\.0\.0\.1:(\d+)$")[1]
        with closing(socket.create_connection(("127.0.0.1", int(port)), timeout=PATIENCE)) as connection:
            request = {"method": "get", "resource": "/feeds", "headers": {"X-ApiKey": hub.key}, "token": "t"}
            connection.sendall(json.dumps(request).encode())
            answer = json.loads(received(connection, b"\n"))
        assert (answer["status"], answer["token"]) == (200, "t")


def test_a_hub_listens_at_a_unix_socket_and_over_tls(tmp_path):
    certificate = tmp_path / "certificate.pem"
    identity = Authority().issue("localhost")
    certificate.write_bytes(identity.key_pem() + identity.pem)
    arguments = ("--listen", f"unix:{tmp_path / 'sock'}", "--listen", f"ssl:0:privateKey={certificate}")
    with started_hub(tmp_path / "data", *arguments) as hub:
        hub.program.expect(rf"^listening on http\+unix:{tmp_path / 'sock'}$")
        hub.program.expect(r"^listening on https://0\.0\.0\.0:\d+$")
        with closing(socket.socket(socket.AF_UNIX)) as connection:
            connection.settimeout(PATIENCE)
            connection.connect(str(tmp_path / "sock"))
            connection.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
            assert received(connection, b"ok\n").endswith(b"ok\n")


def test_the_service_manager_is_told_when_the_hub_is_ready_and_when_it_stops(tmp_path):
    path = str(tmp_path / "notify")
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as manager:
        manager.settimeout(PATIENCE)
        manager.bind(path)
        environ = bare_environ(tmp_path, NOTIFY_SOCKET=path)
        arguments = ("hub", "--data", str(tmp_path / "data"), "--listen", "tcp:0:interface=127.0.0.1")
        with program(*arguments, environ=environ) as running:
            assert manager.recv(100) == b"READY=1"
            running.process.send_signal(signal.SIGTERM)
            assert manager.recv(100) == b"STOPPING=1"
            assert running.wait() == 0


# ------------------------------------------------------------------------------------- commands


def test_a_day_with_the_commands(tmp_path):
    with started_hub(tmp_path / "data") as hub:

        def run(*arguments, input=""):
            ended = run_program(*arguments, environ=hub.environ, input=input)
            assert (ended.status, ended.err) == (0, "")
            return ended.out

        feed = run("feeds", "create", "Boiler room", "--tag", "heat").strip()
        assert run("send", feed, "temp=21.50", "pump=on") == f"sent 2 points to feed {feed}\n"
        lines = "".join(f"temp,2020-01-01T0{hour}:00:00Z,{hour}\n" for hour in range(5))
        assert json.loads(run("send", feed, "--json", input=lines)) == {"feed": int(feed), "points": 5}
        assert "Boiler room" in run("feeds", "--search", "boiler")
        assert json.loads(run("feeds", "--json"))["results"][0]["title"] == "Boiler room"
        assert json.loads(run("feeds", "--json", "show", feed))["datastreams"][1]["current_value"] == "21.50"
        history = ("history", feed, "temp", "--start", "2020-01-01", "--end", "2020-01-01T12:00:00Z")
        assert run(*history).splitlines()[3].split() == ["2020-01-01", "03:00:00.000Z", "temp", "3"]
        assert "temp" in run(*history, "--plot")
        points = json.loads(run(*history, "--json"))["datastreams"][0]["datapoints"]
        assert [point["value"] for point in points[:5]] == ["0", "1", "2", "3", "4"]
        copied = run("send", "--title", "Copy", "--json", input=run(*history, "--csv", "--limit", "5"))
        assert json.loads(copied)["points"] == 5
        ended = run_program("feeds", "delete", feed, environ=hub.environ)
        assert (ended.status, ended.err) == (0, f"txbridge: feed {feed} is deleted\n")


def test_each_way_to_fail_has_its_status_and_its_line(tmp_path):
    with started_hub(tmp_path / "data") as hub:
        nothing_there = run_program("feeds", "show", "9", environ=hub.environ)
        wrong_key = run_program("feeds", environ={**hub.environ, "TXBRIDGE_API_KEY": "wrong"})
        keyless = {name: text for name, text in hub.environ.items() if name != "TXBRIDGE_API_KEY"}
        no_key = [run_program(*words, environ=keyless) for words in (("feeds",), ("hub", "project", "list"))]
        bad_line = run_program("send", "1", "-", environ=hub.environ, input="nonsense\n")
        environ = hub.environ
    away = run_program("tail", "1", environ=environ)
    assert [ended.status for ended in (nothing_there, wrong_key, bad_line, away)] == [1, 77, 1, 69]
    assert "unable to find" in nothing_there.err
    assert "TXBRIDGE_API_KEY" in wrong_key.err
    for ended in no_key:
        assert ended.status == 77
        assert ended.err.startswith(
            "txbridge: the hub wants a key, and none was given; --api-key-file, TXBRI"
        )
    assert "line 1: 'nonsense'" in bad_line.err
    assert "cannot connect to 127.0.0.1" in away.err
    for ended in (nothing_there, wrong_key, bad_line, away):
        assert ended.out == ""
        assert ended.err.startswith("txbridge: ")
        assert ended.err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "COMMAND"),
        (("hub", "--listen", "x"), "'x' is no endpoint"),
        (("hub", "--api-key-file", "/nowhere/key"), "cannot read /nowhere/key: No such file"),
        (("hub", "--port=80"), "unrecognized arguments: --port=80; see 'txbridge hub --help'"),
        (("hub", "--port", "80"), "unrecognized arguments: --port; see 'txbridge hub --help'"),
        (("hub", "--data", "x", "--port", "80", "export", "y"), "unrecognized arguments: --port; see"),
        (("hub", "--data", "x", "exports"), "argument [ACTION]: invalid choice: 'exports'"),
        (("--port", "80"), "unrecognized arguments: --port; see 'txbridge --help'"),
        (("feeds", "show", "x"), "'x' is not the number of a feed"),
        (("send",), "say to which feed"),
        (("send", "1", "temp"), "'temp' is not DATASTREAM=VALUE"),
        (("send", "x", "temp", "--at", "soon"), "--at: 'soon' is neither"),
        (("send", "1", "--at", "now"), "lines of standard input have timestamps"),
        (("history", "1", "--limit", "0"), "'0' is not a number of points"),
        (("history", "1", "--interval", "7", "--start", "soon"), "--interval: '7' is not one of"),
        (("history", "1", "--csv", "--json"), "not allowed with"),
        (("tail", "1", "--url", "nowhere"), "--url: it is no address of a hub"),
        (("demo", "--duration", "-1"), "--duration"),
        (("joule",), "ACTION"),
        (("joule", "read", "/a", "--start", "nonsense"), "--start: 'nonsense' is no time"),
        (("joule", "read", "/a", "--start", "2000", "--end", "1000"), "'1000' is not after '2000'"),
        (("joule", "read", "/a", "--live", "--end", "now"), "--live: what happens from now on has no --end"),
        (("joule", "intervals", "/a", "--end", "nonsense"), "--end: 'nonsense' is no time"),
        (("joule", "copy", "x", "cosm:new:A"), "'x' is neither joule:/path"),
        (("joule", "copy", "cosm:new:A", "cosm:7", "--url", "x"), "--url: it is no address"),
        (("joule", "copy", "cosm:new:A", "cosm:7"), "'cosm:new:A' is a new feed, which has nothing to copy"),
    ],
)
def test_wrong_words_are_told_before_anything_is_done(arguments, words, capsys):
    try:
        status = main(arguments)
    except SystemExit as ended:  # as argparse does it
        status = ended.code
    said = capsys.readouterr().err
    assert status == 2
    assert words in said
    assert all(line.startswith("txbridge: ") for line in said.splitlines())


def test_a_key_may_be_in_a_file(tmp_path):
    with started_hub(tmp_path / "data") as hub:
        file = str(hub.data / "owner.key")
        bare = bare_environ(tmp_path, TXBRIDGE_URL=hub.url)
        assert run_program("feeds", environ={**bare, "TXBRIDGE_API_KEY_FILE": file}).status == 0
        assert run_program("feeds", "--api-key-file", file, environ=bare).status == 0
        assert run_program("feeds", environ=bare).status == 77
        missing = run_program("feeds", environ={**bare, "TXBRIDGE_API_KEY_FILE": "/nowhere"})
        assert (missing.status, missing.out) == (2, "")
        assert "TXBRIDGE_API_KEY_FILE: cannot read /nowhere" in missing.err


# ----------------------------------------------------------------------------------------- help


@pytest.mark.parametrize("command", ["hub", "demo", "feeds", "send", "tail", "history", "joule"])
def test_every_command_explains_itself_with_examples(command, capsys):
    with pytest.raises(SystemExit) as caught:
        parser().parse_args([command, "--help"])
    assert caught.value.code == 0
    shown = capsys.readouterr().out
    assert f"usage: txbridge {command}" in shown
    assert f"examples:\n  txbridge {command}" in shown


@pytest.mark.parametrize("action", ["ls", "info", "read", "intervals", "copy"])
def test_every_action_at_a_node_explains_itself_with_examples(action, capsys):
    with pytest.raises(SystemExit) as caught:
        parser().parse_args(["joule", action, "--help"])
    assert caught.value.code == 0
    shown = capsys.readouterr().out
    assert f"examples:\n  txbridge joule {action}" in shown
    assert "TXBRIDGE_JOULE_URL" in shown


def test_a_node_that_is_not_there_and_one_that_nobody_knows_have_their_statuses(tmp_path):
    away = bare_environ(tmp_path, TXBRIDGE_JOULE_URL="http://127.0.0.1:1", TXBRIDGE_JOULE_API_KEY="secret")
    no_answer = run_program("joule", "ls", environ=away)
    unknown = run_program("joule", "ls", "--node", "attic", environ=bare_environ(tmp_path))
    assert (no_answer.status, unknown.status) == (69, 2)
    assert "is a node running there?" in no_answer.err
    assert "Node ['attic'] is not available" in unknown.err
    for ended in (no_answer, unknown):
        assert (ended.out, ended.err.count("\n")) == ("", 1)
        assert "secret" not in ended.err


def test_the_program_tells_its_version_and_its_statuses(capsys):
    for option in ("--version", "--help"):
        with pytest.raises(SystemExit):
            parser().parse_args([option])
    shown = capsys.readouterr().out
    assert shown.startswith("txbridge 0.")
    assert "69 hub unreachable" in shown
