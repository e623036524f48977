"""The ``timezone`` parameter: hours from UTC, or the place names of Ruby on Rails.

It only says how instants are shown.

Source: Cosm API v2, "Time zones"; the names and what they stand for are those of Rails'
``ActiveSupport::TimeZone``, in the spellings of 2013 (``"Kyev"``, ``"Rangoon"``), which are
case-sensitive.
"""

from __future__ import annotations

import re
from datetime import UTC, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo

from txbridge.model.instants import shorten

__all__ = ["zone_of"]

_HOURS = re.compile(r"[+-]?[0-9]{1,2}(?:\.[0-9]{1,6})?")

_PLACES = {
    "Pacific/Midway": ("International Date Line West", "Midway Island"),
    "Pacific/Pago_Pago": ("American Samoa",),
    "Pacific/Apia": ("Samoa",),
    "Pacific/Honolulu": ("Hawaii",),
    "America/Juneau": ("Alaska",),
    "America/Los_Angeles": ("Pacific Time (US & Canada)",),
    "America/Tijuana": ("Tijuana",),
    "America/Phoenix": ("Arizona",),
    "America/Chihuahua": ("Chihuahua",),
    "America/Mazatlan": ("Mazatlan",),
    "America/Denver": ("Mountain Time (US & Canada)",),
    "America/Guatemala": ("Central America",),
    "America/Chicago": ("Central Time (US & Canada)",),
    "America/Mexico_City": ("Guadalajara", "Mexico City"),
    "America/Monterrey": ("Monterrey",),
    "America/Regina": ("Saskatchewan",),
    "America/Bogota": ("Bogota",),
    "America/New_York": ("Eastern Time (US & Canada)",),
    "America/Indiana/Indianapolis": ("Indiana (East)",),
    "America/Lima": ("Lima", "Quito"),
    "America/Caracas": ("Caracas",),
    "America/Halifax": ("Atlantic Time (Canada)",),
    "America/La_Paz": ("La Paz",),
    "America/Santiago": ("Santiago",),
    "America/St_Johns": ("Newfoundland",),
    "America/Sao_Paulo": ("Brasilia",),
    "America/Argentina/Buenos_Aires": ("Buenos Aires",),
    "America/Guyana": ("Georgetown",),
    "America/Nuuk": ("Greenland",),
    "Atlantic/South_Georgia": ("Mid-Atlantic",),
    "Atlantic/Azores": ("Azores",),
    "Atlantic/Cape_Verde": ("Cape Verde Is.",),
    "Africa/Casablanca": ("Casablanca",),
    "Africa/Monrovia": ("Monrovia",),
    "Europe/Dublin": ("Dublin",),
    "Europe/London": ("Edinburgh", "London"),
    "Europe/Lisbon": ("Lisbon",),
    "Europe/Amsterdam": ("Amsterdam",),
    "Europe/Belgrade": ("Belgrade",),
    "Europe/Berlin": ("Berlin",),
    "Europe/Zurich": ("Bern",),
    "Europe/Bratislava": ("Bratislava",),
    "Europe/Brussels": ("Brussels",),
    "Europe/Budapest": ("Budapest",),
    "Europe/Copenhagen": ("Copenhagen",),
    "Europe/Ljubljana": ("Ljubljana",),
    "Europe/Madrid": ("Madrid",),
    "Europe/Paris": ("Paris",),
    "Europe/Prague": ("Prague",),
    "Europe/Rome": ("Rome",),
    "Europe/Sarajevo": ("Sarajevo",),
    "Europe/Skopje": ("Skopje",),
    "Europe/Stockholm": ("Stockholm",),
    "Europe/Vienna": ("Vienna",),
    "Europe/Warsaw": ("Warsaw",),
    "Africa/Algiers": ("West Central Africa",),
    "Europe/Zagreb": ("Zagreb",),
    "Europe/Athens": ("Athens",),
    "Europe/Bucharest": ("Bucharest",),
    "Africa/Cairo": ("Cairo",),
    "Africa/Harare": ("Harare",),
    "Europe/Helsinki": ("Helsinki",),
    "Europe/Istanbul": ("Istanbul",),
    "Asia/Jerusalem": ("Jerusalem",),
    "Europe/Kyiv": ("Kyev", "Kyiv"),
    "Europe/Minsk": ("Minsk",),
    "Africa/Johannesburg": ("Pretoria",),
    "Europe/Riga": ("Riga",),
    "Europe/Sofia": ("Sofia",),
    "Europe/Tallinn": ("Tallinn",),
    "Europe/Vilnius": ("Vilnius",),
    "Asia/Baghdad": ("Baghdad",),
    "Asia/Kuwait": ("Kuwait",),
    "Europe/Moscow": ("Moscow", "St. Petersburg"),
    "Europe/Volgograd": ("Volgograd",),
    "Africa/Nairobi": ("Nairobi",),
    "Asia/Riyadh": ("Riyadh",),
    "Asia/Tehran": ("Tehran",),
    "Asia/Muscat": ("Abu Dhabi", "Muscat"),
    "Asia/Baku": ("Baku",),
    "Asia/Tbilisi": ("Tbilisi",),
    "Asia/Yerevan": ("Yerevan",),
    "Asia/Kabul": ("Kabul",),
    "Asia/Yekaterinburg": ("Ekaterinburg",),
    "Asia/Karachi": ("Islamabad", "Karachi"),
    "Asia/Tashkent": ("Tashkent",),
    "Asia/Kolkata": ("Chennai", "Kolkata", "Mumbai", "New Delhi"),
    "Asia/Colombo": ("Sri Jayawardenepura",),
    "Asia/Kathmandu": ("Kathmandu",),
    "Asia/Almaty": ("Almaty",),
    "Asia/Dhaka": ("Astana", "Dhaka"),
    "Asia/Novosibirsk": ("Novosibirsk",),
    "Asia/Yangon": ("Rangoon",),
    "Asia/Bangkok": ("Bangkok", "Hanoi"),
    "Asia/Jakarta": ("Jakarta",),
    "Asia/Krasnoyarsk": ("Krasnoyarsk",),
    "Asia/Shanghai": ("Beijing",),
    "Asia/Chongqing": ("Chongqing",),
    "Asia/Hong_Kong": ("Hong Kong",),
    "Asia/Irkutsk": ("Irkutsk",),
    "Asia/Kuala_Lumpur": ("Kuala Lumpur",),
    "Australia/Perth": ("Perth",),
    "Asia/Singapore": ("Singapore",),
    "Asia/Taipei": ("Taipei",),
    "Asia/Ulaanbaatar": ("Ulaan Bataar", "Ulaanbaatar"),
    "Asia/Urumqi": ("Urumqi",),
    "Asia/Tokyo": ("Osaka", "Sapporo", "Tokyo"),
    "Asia/Seoul": ("Seoul",),
    "Asia/Yakutsk": ("Yakutsk",),
    "Australia/Adelaide": ("Adelaide",),
    "Australia/Darwin": ("Darwin",),
    "Australia/Brisbane": ("Brisbane",),
    "Australia/Melbourne": ("Canberra", "Melbourne"),
    "Pacific/Guam": ("Guam",),
    "Australia/Hobart": ("Hobart",),
    "Pacific/Port_Moresby": ("Port Moresby",),
    "Australia/Sydney": ("Sydney",),
    "Asia/Vladivostok": ("Vladivostok",),
    "Asia/Magadan": ("Magadan",),
    "Pacific/Noumea": ("New Caledonia",),
    "Pacific/Guadalcanal": ("Solomon Is.",),
    "Pacific/Auckland": ("Auckland", "Wellington"),
    "Pacific/Fiji": ("Fiji",),
    "Asia/Kamchatka": ("Kamchatka",),
    "Pacific/Majuro": ("Marshall Is.",),
    "Pacific/Tongatapu": ("Nuku'alofa",),
}

_ZONES = {place: zone for zone, places in _PLACES.items() for place in places}


def zone_of(text: str) -> tzinfo:
    """The zone that a ``timezone`` parameter names.

    Args:
        text: Hours from UTC such as ``-3.5``, ``+1``, ``8`` or ``5.75``, kept to the minute, or
            a place name such as ``London``.  The plus sign of a query that was not
            percent-encoded arrives as a blank; blanks around the text are dropped.

    Raises:
        ValueError: 24 hours or more, or no such place.
    """
    name = text.strip()
    if _HOURS.fullmatch(name):
        minutes = round(float(name) * 60)
        if abs(minutes) < 24 * 60:
            return timezone(timedelta(minutes=minutes)) if minutes else UTC
    if name == "UTC":
        return UTC
    zone = _ZONES.get(name)
    if zone is None:
        raise ValueError(f"{shorten(text)!r} is neither hours from UTC nor the name of a time zone")
    return ZoneInfo(zone)
