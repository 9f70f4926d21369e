"""Calls AWS IoT's data plane about shadows: writes a thing's first one, and never over one that exists.

UpdateThingShadow merges its state into a shadow that exists. Its `version` makes it conditional on the latest one, but
which version a shadow has that does not exist is not documented: that of one that was deleted in the last 48 hours goes
on (developer guide, "Interacting with shadows"). So GetThingShadow is asked first, and its 404 is what is relied upon.
Between the two calls only another party can write one: the claim keeps other runs of jitr out, and the device is not
ACTIVE yet.
"""

from typing import Any

from jitr.aws.calls import calling
from jitr.errors import Reason, Rejected

_REFUSALS = frozenset({"InvalidRequestException", "RequestEntityTooLargeException"})


class Shadows:
    """The classic shadows of one account and Region; safe for threads."""

    def __init__(self, client: Any) -> None:
        """`client` is boto3's `iot-data`."""
        self._client = client

    def exists(self, thing_name: str) -> bool:
        """Whether a thing has a classic shadow.

        Raises Unavailable, NotPermitted.
        """
        try:
            with calling("GetThingShadow"):
                self._client.get_thing_shadow(thingName=thing_name)
        except self._client.exceptions.ResourceNotFoundException:
            return False
        return True

    def write_first(self, thing_name: str, document: str) -> bool:
        """Write a thing's classic shadow, unless it has one; returns whether it was written.

        Raises Rejected(REQUEST_REFUSED) when AWS IoT does not take the document; Unavailable, NotPermitted.
        """
        if self.exists(thing_name):
            return False
        errors = self._client.exceptions
        try:
            with calling("UpdateThingShadow"):
                self._client.update_thing_shadow(thingName=thing_name, payload=document.encode())
        except errors.ConflictException:
            return False  # another party is writing it
        except errors.ClientError as error:
            if error.response["Error"]["Code"] not in _REFUSALS:
                raise
            message = error.response["Error"].get("Message", "no message")
            raise Rejected(Reason.REQUEST_REFUSED, f"UpdateThingShadow: {message}") from error
        return True
