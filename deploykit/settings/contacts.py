"""`[contacts]`: whom one asks when something goes wrong, beside who is on call."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from deploykit.model import Record
from deploykit.settings.types import Zone

Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DAYS: tuple[Day, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def _minutes(text: object) -> object:
    """Turn `09:00-18:00` into minutes of the day; `00:00-24:00` is all day, and `22:00-06:00` ends on the next one."""
    match = re.fullmatch(r"([01]\d|2[0-3]):([0-5]\d)-(?:([01]\d|2[0-3]):([0-5]\d)|24:00)", str(text))
    if match is None:
        msg = "write hours such as 09:00-18:00"
        raise ValueError(msg)
    begin = int(match[1]) * 60 + int(match[2])
    end = 24 * 60 if match[3] is None else int(match[3]) * 60 + int(match[4])
    if begin == end:
        msg = "these hours are empty; all day is 00:00-24:00"
        raise ValueError(msg)
    return begin, end


class ContactSettings(Record):
    """One line of an escalation matrix: who, how and when.

    Attributes:
        slack: The person's name in the chat.
        phone: A number; one of both is needed.
        hours: From and to, in minutes of the day there; written `09:00-18:00`.
        days: The days on which the hours begin.
    """

    name: Annotated[str, Field(min_length=1)]
    slack: str = ""
    phone: str = ""
    hours: Annotated[tuple[int, int], BeforeValidator(_minutes)] = (0, 24 * 60)
    days: Annotated[tuple[Day, ...], Field(min_length=1)] = DAYS
    timezone: Zone = "UTC"

    @model_validator(mode="after")
    def _can_be_reached(self) -> Self:
        if not (self.slack or self.phone):
            msg = f"{self.name} has neither slack nor phone"
            raise ValueError(msg)
        return self


class ContactsSettings(Record):
    """The four contacts of the checklist's head; the first, who is on call, is asked of the pager.

    Attributes:
        database: The channel of the database's administrators.
        infrastructure: The channel of who looks after the infrastructure.
        product: The escalation matrix: the first who is there now is the one to ask.
    """

    database: str = "database-oncall"
    infrastructure: str = "infra-oncall"
    product: tuple[ContactSettings, ...] = ()
