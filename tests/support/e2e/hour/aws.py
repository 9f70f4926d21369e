"""Gives the call that a command of the AWS CLI gives: `aws iot enable-topic-rule --rule-name NAME --endpoint-url URL`.

Stands in for the AWS CLI where jitrctl prints its commands: strings and flags, no lists and no files.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import boto3
from botocore import xform_name

if TYPE_CHECKING:
    from collections.abc import Sequence

_OF_THE_CLIENT = {"--region": "region_name", "--endpoint-url": "endpoint_url"}


def main(words: Sequence[str]) -> int:
    """Give the call, and print its answer as JSON."""
    service, operation, *options = words
    given = dict(_pairs(options))
    client = boto3.client(  # type: ignore[call-overload]
        service, **{_OF_THE_CLIENT[name]: given.pop(name) for name in _OF_THE_CLIENT if name in given}
    )
    method = operation.replace("-", "_")
    shape = client.meta.service_model.operation_model(client.meta.method_to_api_mapping[method]).input_shape
    members = {f"--{xform_name(member, '-')}": member for member in shape.members}
    answer: dict[str, Any] = getattr(client, method)(**{members[name]: value for name, value in given.items()})
    answer.pop("ResponseMetadata")
    if answer:
        json.dump(answer, sys.stdout, indent=4, default=str)
        sys.stdout.write("\n")
    return 0


def _pairs(options: Sequence[str]) -> list[tuple[str, Any]]:
    """Options with their values; one without is a flag."""
    pairs: list[tuple[str, Any]] = []
    for word in options:
        if word.startswith("--"):
            pairs.append((word, True))
        else:
            pairs[-1] = (pairs[-1][0], word)
    return pairs


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
