"""What a fleet's files may leave to the stack: `<partition>`, `<region>` and `<account>` in ARNs.

IoT's own policy variables look like ${iot:…}, so these look different. Which there are, `fleet.policy` decides.
"""

import aws_cdk as cdk

from jitr_fleet.policy import PLACEHOLDERS


def fill_placeholders(text: str, stack: cdk.Stack) -> str:
    """Put the stack's own values in."""
    values = dict(zip(PLACEHOLDERS, (stack.partition, stack.region, stack.account), strict=True))
    for placeholder, value in values.items():
        text = text.replace(placeholder, value)
    return text
