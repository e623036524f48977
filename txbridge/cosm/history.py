"""Which part of the history a request asks for.

The parameters grew over the years: a window by ``start``, ``end`` and ``duration`` in any
pair, sampling by ``interval``, two spellings of a limit.  Here they become one
`HistoryQuery`.  A window wider than its interval allows is refused with the limit's name, or
narrowed when the server is set up so.

Source: Cosm API v2, "Historical data"; "Usage limits" for the caps.
"""

from __future__ import annotations

import re
from calendar import monthrange
from datetime import datetime, timedelta
from typing import Literal

from attrs import frozen

from txbridge.cosm.negotiation import Parameters
from txbridge.cosm.refusal import bad_request, invalid
from txbridge.hub.store import HistoryQuery
from txbridge.model.instants import shorten

__all__ = [
    "INTERVALS",
    "Duration",
    "Interval",
    "WindowLimits",
    "asks_for_history",
    "parse_deletion",
    "parse_duration",
    "parse_history",
]

DEFAULT_LIMIT = 100
MAX_LIMIT = 1000
MAX_PAGE = 1_000_000

WindowLimits = Literal["refuse", "clamp"]
"""What becomes of a window wider than its interval allows: 422, or the bound that was given is kept."""

TRIGGERS = ("start", "end", "duration", "limit", "find_previous", "interval", "interval_type")
"""The parameters that turn a read into a history read."""

FUNCTIONS = ("average", "min", "max", "sum")

_DURATION = re.compile(r"([0-9]{1,9})\s*([a-z]*)", re.IGNORECASE)
_SECONDS_OF = {"": 1, "second": 1, "minute": 60, "hour": 3600, "day": 86400, "week": 604800}
_MONTHS_OF = {"month": 1, "year": 12}


@frozen
class Interval:
    """A distance of sampled points.

    Attributes:
        seconds: 0 is every stored point.
        widest: The widest window it may be asked for.
        named: That width in words.
    """

    seconds: int
    widest: timedelta
    named: str


INTERVALS = (
    Interval(0, timedelta(hours=6), "6 hours"),
    Interval(30, timedelta(hours=12), "12 hours"),
    Interval(60, timedelta(hours=24), "24 hours"),
    Interval(300, timedelta(days=5), "5 days"),
    Interval(900, timedelta(days=14), "14 days"),
    Interval(1800, timedelta(days=31), "31 days"),
    Interval(3600, timedelta(days=31), "31 days"),
    Interval(10800, timedelta(days=90), "90 days"),
    Interval(21600, timedelta(days=180), "180 days"),
    Interval(43200, timedelta(days=366), "1 year"),  # a calendar year can have 366 days
    Interval(86400, timedelta(days=366), "1 year"),
)
"""Every interval there is; others are rounded up to the next, or down to a day."""


@frozen
class Duration:
    """A length of time; months have the length the calendar gives them.

    Attributes:
        months: Calendar months.
        seconds: Seconds.
    """

    months: int = 0
    seconds: int = 0

    def after(self, at: datetime) -> datetime:
        """The instant this long after another.

        Raises:
            OverflowError: It is beyond the year 9999.
        """
        return _shifted(at, self.months) + timedelta(seconds=self.seconds)

    def before(self, at: datetime) -> datetime:
        """The instant this long before another.

        Raises:
            OverflowError: It is before the year 1.
        """
        return _shifted(at, -self.months) - timedelta(seconds=self.seconds)


def _shifted(at: datetime, months: int) -> datetime:
    if months == 0:
        return at
    year, month = divmod(at.year * 12 + at.month - 1 + months, 12)
    if not 1 <= year <= 9999:
        raise OverflowError("beyond the calendar")
    return at.replace(year=year, month=month + 1, day=min(at.day, monthrange(year, month + 1)[1]))


def parse_duration(text: str) -> Duration:
    """Read ``<integer><unit>``, such as ``6hours``, ``1day`` or ``2months``; a bare number is seconds.

    Raises:
        ValueError: It is something else.
    """
    match = _DURATION.fullmatch(text.strip())
    if match is not None:
        count, unit = int(match[1]), match[2].lower().removesuffix("s")
        if unit in _SECONDS_OF and (unit or not match[2]):
            return Duration(seconds=count * _SECONDS_OF[unit])
        if unit in _MONTHS_OF:
            return Duration(months=count * _MONTHS_OF[unit])
    raise ValueError(
        f"{shorten(text)!r} is not a number of seconds, minutes, hours, days, weeks, months or years"
    )


def asks_for_history(parameters: Parameters) -> bool:
    """Whether a read wants history."""
    return any(name in parameters for name in TRIGGERS)


def parse_history(
    parameters: Parameters, now: datetime, *, window_limits: WindowLimits = "refuse"
) -> HistoryQuery | None:
    """The history a read asks for, or None when it asks for none.

    Args:
        parameters: Of the request.
        now: The default end of the window.
        window_limits: What becomes of a window that is too wide.

    Raises:
        Refusal: 400 or 422, naming the parameter.
    """
    if not asks_for_history(parameters):
        return None
    interval = _interval(parameters)
    start, end = _window(parameters, now, interval, window_limits)
    limit, skip = _page(parameters)
    sampled = interval.seconds > 0
    function = parameters.choice("function", FUNCTIONS, "") or None
    if function is not None and not sampled:
        raise invalid(["Function needs an interval"])
    discrete = sampled and function is None and parameters.text("interval_type") == "discrete"
    return HistoryQuery(
        start=start,
        end=end,
        limit=limit,
        interval=interval.seconds,
        discrete=discrete,
        find_previous=parameters.flag("find_previous", lenient=True) and not discrete,
        function=function,
        skip=skip,
    )


def parse_deletion(parameters: Parameters) -> tuple[datetime | None, datetime | None]:
    """The bounds of the datapoints to delete, both inclusive; None is unbounded.

    Raises:
        Refusal: 400 when no bound is given, or one too many; 422 when one is malformed.
    """
    start, end, duration = _bounds(parameters)
    if start is None and end is None:
        raise bad_request("Give start, end, or one of them with a duration")
    try:
        if duration is not None and start is not None:
            end = duration.after(start)
        elif duration is not None and end is not None:
            start = duration.before(end)
    except OverflowError:
        raise invalid(["Duration is too long"]) from None
    if start is not None and end is not None and start > end:
        raise invalid(["Start must not be after end"])
    return start, end


def _bounds(parameters: Parameters) -> tuple[datetime | None, datetime | None, Duration | None]:
    start, end, text = parameters.instant("start"), parameters.instant("end"), parameters.text("duration")
    if text is None:
        return start, end, None
    if start is not None and end is not None:
        raise bad_request("Give two of start, end and duration, not all three")
    try:
        return start, end, parse_duration(text)
    except ValueError as error:
        raise invalid([f"Duration is malformed: {error}"]) from None


def _window(
    parameters: Parameters, now: datetime, interval: Interval, window_limits: WindowLimits
) -> tuple[datetime, datetime]:
    start, end, duration = _bounds(parameters)
    from_start = start is not None
    try:
        if start is not None:
            # A device whose clock is ahead of ours asks for nothing yet, not for nonsense.
            end = end or (duration.after(start) if duration is not None else max(now, start))
        else:
            end = end or now
            start = duration.before(end) if duration is not None else end - interval.widest
    except OverflowError:
        raise invalid(["The window reaches beyond the calendar"]) from None
    if start > end:
        raise invalid(["Start must not be after end"])
    if end - start <= interval.widest:
        return start, end
    if window_limits == "clamp":
        return (start, start + interval.widest) if from_start else (end - interval.widest, end)
    raise invalid(
        [f"The window must not be longer than {interval.named} with an interval of {interval.seconds}"]
    )


def _interval(parameters: Parameters) -> Interval:
    asked = parameters.integer("interval") or 0
    return next((interval for interval in INTERVALS if interval.seconds >= asked), INTERVALS[-1])


def _page(parameters: Parameters) -> tuple[int, int]:
    limit = parameters.integer("limit")
    if limit is None:
        limit = parameters.integer("per_page")
    limit = DEFAULT_LIMIT if limit is None else min(max(limit, 1), MAX_LIMIT)
    page = parameters.integer("page")
    return limit, 0 if page is None else (min(max(page, 1), MAX_PAGE) - 1) * limit
