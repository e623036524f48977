"""How many requests a key may make: a bucket for each, which fills at a steady rate.

Source: Cosm API v2, "Usage limits": so many a minute, averaged over three.
"""

from __future__ import annotations

from collections import OrderedDict

from attrs import define

__all__ = ["RateLimiter"]

AVERAGED_MINUTES = 3
_ROUNDING = 1e-9  # of sums of floats
MOST_BUCKETS = 10_000  # who was quiet for longest is forgotten, and begins with a full bucket


@define
class _Bucket:
    level: float
    at: float


class RateLimiter:
    """Counts requests.

    Args:
        per_minute: The requests of one key in a minute, averaged over three; above 0.
    """

    def __init__(self, per_minute: float) -> None:
        if not per_minute > 0:
            raise ValueError(f"{per_minute} requests a minute are none")
        self._rate = per_minute / 60
        self._size = per_minute * AVERAGED_MINUTES
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def take(self, who: str, now: float) -> float:
        """Count a request.

        Args:
            who: Whose.
            now: The time in seconds.

        Returns:
            0, or the seconds after which the request may be made; then it was not counted.
        """
        bucket = self._buckets.pop(who, None) or _Bucket(self._size, now)
        self._buckets[who] = bucket
        if len(self._buckets) > MOST_BUCKETS:
            self._buckets.popitem(last=False)
        bucket.level = min(self._size, bucket.level + max(0.0, now - bucket.at) * self._rate)
        bucket.at = now
        if bucket.level < 1 - _ROUNDING:
            return (1 - bucket.level) / self._rate
        bucket.level -= 1
        return 0.0
