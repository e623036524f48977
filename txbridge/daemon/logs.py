"""Where the program's log goes: to stderr, and little of it.

The parts of txbridge log when something changes (a destination went away, it returned), so that much
is shown; of everything else only warnings are.  Under systemd the journal adds the time itself.  As JSON, an
event is an object on a line of its own, with its fields beside its text.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, TextIO

from twisted.logger import (
    FileLogObserver,
    FilteringLogObserver,
    ILogObserver,
    LogEvent,
    LogLevel,
    LogLevelFilterPredicate,
    eventAsText,
    formatEventAsClassicLogText,
    globalLogBeginner,
)

__all__ = ["log_observer", "start_logging"]

_SIMPLE = (str, int, float, bool, type(None), dict)


def log_observer(
    stream: TextIO,
    environ: Mapping[str, str],
    *,
    verbose: bool,
    edges: bool = True,
    as_json: bool = False,
) -> ILogObserver:
    """What writes the log.

    Args:
        stream: Where to.
        environ: ``JOURNAL_STREAM`` says that systemd's journal reads it.
        verbose: Whether everything is wanted.
        edges: Whether changes are; a command that tells them in its own words wants errors only.
        as_json: Whether each event is written as a JSON object.
    """
    predicate = LogLevelFilterPredicate(defaultLogLevel=LogLevel.info if verbose else LogLevel.warn)
    own = LogLevel.debug if verbose else LogLevel.info if edges else LogLevel.error
    predicate.setLogLevelForNamespace("txbridge", own)
    text = _journal_text if "JOURNAL_STREAM" in environ else formatEventAsClassicLogText
    if as_json:
        text = _json_text
    return FilteringLogObserver(FileLogObserver(stream, text), [predicate])


def start_logging(observer: ILogObserver) -> None:
    """Log to this observer from now on; standard output stays as it is."""
    globalLogBeginner.beginLoggingTo([observer], redirectStandardIO=False)


def _journal_text(event: LogEvent) -> str | None:
    text = eventAsText(event, includeTimestamp=False)
    return text.replace("\n", "\n\t") + "\n" if text else None


def _json_text(event: LogEvent) -> str | None:
    text = eventAsText(event, includeTimestamp=False, includeTraceback=False, includeSystem=False)
    if not text:
        return None
    failure = event.get("log_failure")
    level = event.get("log_level")
    at = datetime.fromtimestamp(event.get("log_time", 0.0), UTC)
    members: dict[str, Any] = {
        "time": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "level": "info" if level is None else level.name,
        "logger": event.get("log_namespace", ""),
        "text": text,
    }
    members |= {
        name: value
        for name, value in event.items()
        if not name.startswith("log_") and name not in members and isinstance(value, _SIMPLE)
    }
    if failure is not None:
        members["traceback"] = failure.getTraceback()
    return json.dumps(members, ensure_ascii=False, default=str) + "\n"
