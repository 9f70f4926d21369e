"""Fills the placeholders `<partition>`, `<region>` and `<account>` in the ARNs of a fleet's files.

They differ in form from IoT's own policy variables, ${iot:…}. The list is in `jitr_fleet.policy`.
"""

import aws_cdk as cdk

from jitr_fleet.policy import PLACEHOLDERS


def fill_placeholders(text: str, stack: cdk.Stack) -> str:
    """Replace the placeholders in a text by the stack's own values."""
    values = dict(zip(PLACEHOLDERS, (stack.partition, stack.region, stack.account), strict=True))
    for placeholder, value in values.items():
        text = text.replace(placeholder, value)
    return text
