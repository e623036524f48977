"""A relay's outbox whose process is killed at five hundred random points keeps all that it accepted."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.support.program import ROOT, bare_environ

KILLS = 500


def test_five_hundred_sudden_deaths_lose_nothing_that_was_accepted(tmp_path):
    script = Path(__file__).parent.parent / "support" / "killed_outbox.py"
    command = [sys.executable, str(script), str(tmp_path / "outbox"), str(KILLS), "20131125"]
    environ = bare_environ(tmp_path, PYTHONPATH=str(ROOT))
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    account = json.loads(done.stdout)
    assert account["kills"] == KILLS
    assert account["accepted"] > KILLS
    assert account["missing"] == []
