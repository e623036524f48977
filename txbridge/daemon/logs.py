"""Where the program's log goes: to stderr, and little of it.

The parts of txbridge log when something changes (a destination went away, it returned), so that much
is shown; of everything else only warnings are.  Under systemd the journal adds the time itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TextIO

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


def log_observer(
    stream: TextIO, environ: Mapping[str, str], *, verbose: bool, edges: bool = True
) -> ILogObserver:
    """What writes the log.

    Args:
        stream: Where to.
        environ: ``JOURNAL_STREAM`` says that systemd's journal reads it.
        verbose: Whether everything is wanted.
        edges: Whether changes are; a command that tells them in its own words wants errors only.
    """
    predicate = LogLevelFilterPredicate(defaultLogLevel=LogLevel.info if verbose else LogLevel.warn)
    own = LogLevel.debug if verbose else LogLevel.info if edges else LogLevel.error
    predicate.setLogLevelForNamespace("txbridge", own)
    text = _journal_text if "JOURNAL_STREAM" in environ else formatEventAsClassicLogText
    return FilteringLogObserver(FileLogObserver(stream, text), [predicate])


def start_logging(observer: ILogObserver) -> None:
    """Log to this observer from now on; standard output stays as it is."""
    globalLogBeginner.beginLoggingTo([observer], redirectStandardIO=False)


def _journal_text(event: LogEvent) -> str | None:
    text = eventAsText(event, includeTimestamp=False)
    return text.replace("\n", "\n\t") + "\n" if text else None
