"""What is done with a hub's data, by the program, while the hub runs and when it does not."""

from __future__ import annotations

import json

from tests.support.program import bare_environ, run_program, started_hub


def test_the_hub_runs_without_an_action_and_names_them_in_its_help(tmp_path):
    with started_hub(tmp_path / "data") as hub:
        assert hub.url.startswith("http://")
    shown = run_program("hub", "--help", environ=bare_environ(tmp_path))
    assert "Without an ACTION it runs a hub." in shown.out
    assert "backup" in shown.out


def test_the_data_may_be_said_before_the_action_or_after_it(tmp_path):
    with started_hub(tmp_path / "data") as hub:
        for words in (("--data", hub.data, "backup"), ("backup", "--data", hub.data)):
            target = tmp_path / f"{words[0]}.sqlite"
            done = run_program("hub", *map(str, words), str(target), "--json", environ=bare_environ(tmp_path))
            assert (done.status, done.err) == (0, "")
            assert json.loads(done.out)["bytes"] == target.stat().st_size


def test_a_data_directory_without_a_store_is_named(tmp_path):
    done = run_program(
        "hub", "backup", "--data", str(tmp_path), str(tmp_path / "copy"), environ=bare_environ(tmp_path)
    )
    assert (done.status, done.err) == (1, f"txbridge: there is no store in {tmp_path}\n")
