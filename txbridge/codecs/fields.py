"""Wire names, one constant each, and the namespaces of the XML formats.

The constants carry the names that txPachube and txcosm gave them, so that
``Environment(**{DataFields.Title: "Attic"})`` goes on working.

Source: txcosm ``__init__.py``; Cosm API v2, "API resource attributes".  txcosm's constant for
``receive_forum_notifications`` held a misspelt name, which no server ever knew; ours is right.
"""

from __future__ import annotations

from typing import Final

__all__ = [
    "EEML_005_NAMESPACE",
    "EEML_NAMESPACE",
    "OPENSEARCH_NAMESPACE",
    "XSI_NAMESPACE",
    "DataFields",
    "DataFormats",
    "namespace_map",
]

EEML_NAMESPACE: Final = "http://www.eeml.org/xsd/0.5.1"
EEML_005_NAMESPACE: Final = "http://www.eeml.org/xsd/005"
OPENSEARCH_NAMESPACE: Final = "http://a9.com/-/spec/opensearch/1.1/"
XSI_NAMESPACE: Final = "http://www.w3.org/2001/XMLSchema-instance"

namespace_map: Final = {
    "eeml": EEML_NAMESPACE,
    "opensearch": OPENSEARCH_NAMESPACE,
    "xsi": XSI_NAMESPACE,
}
"""Prefix -> namespace."""


class DataFormats:
    """The formats a document can have; a graph is only ever read."""

    JSON: Final = "json"
    XML: Final = "xml"
    CSV: Final = "csv"
    PNG: Final = "png"


class DataFields:
    """The members of the wire formats."""

    About: Final = "about"
    Access_Method: Final = "access_method"
    Access_Methods: Final = "access_methods"
    Api_Key: Final = "api_key"
    At: Final = "at"
    Auto_Feed_Url: Final = "auto_feed_url"
    Creatable_Role: Final = "creatable_role"
    Creatable_Roles: Final = "creatable_roles"
    Created: Final = "created"
    Creator: Final = "creator"
    Current_Value: Final = "current_value"
    Daily_Api_Access_Count: Final = "daily_api_access_count"
    Data: Final = "data"
    Datapoints: Final = "datapoints"
    Datapoints_Function: Final = "datapoints_function"
    Datastream_Id: Final = "datastream_id"
    Datastream_Trigger: Final = "datastream-trigger"
    Datastream_Trigger_Id: Final = "datastream_trigger_id"
    Datastream_Triggers: Final = "datastream-triggers"
    Datastreams: Final = "datastreams"
    Datastreams_Allowed: Final = "datastreams_allowed"
    Datastreams_Count: Final = "datastreams_count"
    Deliver_Email: Final = "deliver_email"
    Description: Final = "description"
    Device_Serial: Final = "device_serial"
    Display_Activity: Final = "display_activity"
    Display_Information: Final = "display_information"
    Display_Stats: Final = "display_stats"
    Disposition: Final = "disposition"
    Domain: Final = "domain"
    Elevation: Final = "ele"
    Email: Final = "email"
    Environment: Final = "environment"
    Environment_Id: Final = "environment_id"
    Expires_At: Final = "expires_at"
    Exposure: Final = "exposure"
    Feed: Final = "feed"
    Feed_Id: Final = "feed_id"
    Feeds_Count: Final = "feeds_count"
    First_Name: Final = "first_name"
    Full_Name: Final = "full_name"
    Icon: Final = "icon"
    Id: Final = "id"
    Items_Per_Page: Final = "itemsPerPage"
    Key: Final = "key"
    Keys: Final = "keys"
    Label: Final = "label"
    Last_Name: Final = "last_name"
    Latitude: Final = "lat"
    Location: Final = "location"
    Login: Final = "login"
    Longitude: Final = "lon"
    Maximum_Value: Final = "max_value"
    Minimum_Interval: Final = "minimum_interval"
    Minimum_Value: Final = "min_value"
    Name: Final = "name"
    Notified_At: Final = "notified_at"
    Organisation: Final = "organisation"
    Password: Final = "password"
    Permission: Final = "permission"
    Permissions: Final = "permissions"
    Private: Final = "private"
    Private_Access: Final = "private_access"
    Product_Id: Final = "product_id"
    Receive_Forum_Notifications: Final = "receive_forum_notifications"
    Referer: Final = "referer"
    Resource: Final = "resource"
    Resources: Final = "resources"
    Results: Final = "results"
    Role: Final = "role"
    Roles: Final = "roles"
    Source_Ip: Final = "source_ip"
    Start_Index: Final = "startIndex"
    Status: Final = "status"
    Stream_Id: Final = "stream_id"
    Subscribed_To_Mailings: Final = "subscribed_to_mailings"
    Symbol: Final = "symbol"
    Tag: Final = "tag"
    Tags: Final = "tags"
    Threshold_Value: Final = "threshold_value"
    Time_Zone: Final = "time_zone"
    Timestamp: Final = "timestamp"
    Timezone: Final = "timezone"
    Title: Final = "title"
    Total_Api_Access_Count: Final = "total_api_access_count"
    Total_Results: Final = "totalResults"
    Trigger_Type: Final = "trigger_type"
    Triggering_Datastream: Final = "triggering_datastream"
    Type: Final = "type"
    Unit: Final = "unit"
    Updated: Final = "updated"
    Url: Final = "url"
    User: Final = "user"
    Users: Final = "users"
    Value: Final = "value"
    Version: Final = "version"
    Waypoint: Final = "waypoint"
    Waypoints: Final = "waypoints"
    Website: Final = "website"
