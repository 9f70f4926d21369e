"""Reads names and ARNs of fleet.toml, and the templates of thing names and attributes.

It checks that a name, or the fixed part of a template, is legal in AWS. The name that a template gives for one device
is checked at admission. Limits are those of the AWS IoT API model (botocore, iot/2015-05-28).
"""

import re

from jitr.admission.naming import ATTRIBUTE_NAME, RESERVED_PREFIX
from jitr_fleet.problems import KeyPosition, show
from jitr_fleet.values import Reader, text

# Fleet, CA and account names become parts of queue, table, function, IoT policy and (hyphens as underscores, so none
# is allowed here) IoT rule names. The tightest is Lambda's 64 characters for all parts together.
OWN_NAME = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*")
OWN_NAME_LENGTH = 31
# The fleet's name is in a bucket's name too, of 63 characters: jitr-<fleet>-crl-<12 digits>-<a Region of up to 14>.
FLEET_NAME_LENGTH = 26

ACCOUNT_ID = re.compile(r"[0-9]{12}")
# Organizations API reference, "Organization".
ORGANIZATION = re.compile(r"o-[a-z0-9]{10,32}")
# IAM user guide, "IAM ARNs": a role's path and name.
ROLE_ARN = re.compile(r"arn:aws(?:-cn|-us-gov)?:iam::([0-9]{12}):role/[\w+=,.@/-]{1,576}", re.ASCII)

# Lambda developer guide, "Function ARNs": a function, perhaps with a version or alias; {…} is filled in for each stage.
_FUNCTION_ARN = re.compile(
    r"arn:(aws|aws-cn|aws-us-gov|\{partition\}):lambda:([a-z0-9-]+|\{region\}):([0-9]{12}|\{account\})"
    r":function:[a-zA-Z0-9_-]{1,64}(?::[a-zA-Z0-9$_-]{1,128})?"
)

# Shape and partition of a Region, offline: (partition, pattern). New Regions of these partitions fit by themselves.
_DIRECTION = "(?:north|south|east|west|central|northeast|northwest|southeast|southwest)"
PARTITIONS = {
    "aws": re.compile(rf"(?:af|ap|ca|eu|il|me|mx|sa|us)-{_DIRECTION}-[1-9]"),
    "aws-cn": re.compile(rf"cn-{_DIRECTION}-[1-9]"),
    "aws-us-gov": re.compile(rf"us-gov-{_DIRECTION}-[1-9]"),
}

# CreateTopic Name; alarms publish to standard topics only (CloudWatch guide, "Using Amazon CloudWatch alarms").
TOPIC = re.compile(
    r"arn:(?:<partition>|aws|aws-cn|aws-us-gov):sns:(?P<region><region>|[a-z0-9-]+):(?:<account>|[0-9]{12}):[a-zA-Z0-9_-]{1,256}"
)

# CreateRole PermissionsBoundary: a managed policy, of the account or of AWS.
BOUNDARY = re.compile(
    r"arn:(?:<partition>|aws|aws-cn|aws-us-gov):iam::(?:<account>|aws|[0-9]{12}):policy/[\w+=,.@/-]{1,512}", re.ASCII
)
# KMS API reference, "KeyId": a key; a multi-Region key, which has the same id in each Region of its account; or an
# alias of the owner, which can be the same in several accounts.
KMS_KEY = re.compile(
    r"arn:(?:<partition>|aws|aws-cn|aws-us-gov):kms:(?P<region><region>|[a-z0-9-]+):(?P<account><account>|[0-9]{12}):"
    r"(?:key/(?P<key>(?P<everywhere>mrk-)[0-9a-f]{32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})"
    r"|alias/(?!aws/)[a-zA-Z0-9/_-]{1,250})"
)
# CloudFormation, "Tag": the characters that most services accept in keys and values.
TAG_KEY = re.compile(r"(?!aws:)[\w .:/=+@-]{1,128}", re.ASCII | re.IGNORECASE)
TAG_VALUE = re.compile(r"[\w .:/=+@-]{0,256}", re.ASCII)
MAX_TAGS = 40  # of 50 per resource; CloudFormation adds three, and other tools may add more

# CreateThing thingName, CreateThingType thingTypeName, CreateThingGroup thingGroupName.
THING_CHARACTERS = "a-zA-Z0-9:_-"
THING_LENGTH = 128
# CreateThing attributePayload: attribute values.
VALUE_CHARACTERS = r"a-zA-Z0-9_.,@/:#=\[\]-"
VALUE_LENGTH = 800

# A field of a template, which the functions fill in for each device.
FIELD = re.compile(r"\{([^{}]*)\}")


def fleet_name(value: object, place: KeyPosition) -> str | None:
    """Read the fleet's own name."""
    return own_name(value, place, most=FLEET_NAME_LENGTH)


def own_name(value: object, place: KeyPosition, *, most: int = OWN_NAME_LENGTH) -> str | None:
    """Read the name of a CA or an account; at most `most` characters."""
    written = text(value, place)
    if written is None:
        return None
    if not OWN_NAME.fullmatch(written) or len(written) > most:
        place.problem(
            f"has the name {show(written)}, which cannot be part of AWS resource names",
            f"use lower-case letters, digits and single hyphens, a letter first, at most {most} characters",
        )
        return None
    return written


def account_id(value: object, place: KeyPosition) -> str | None:
    """Read an AWS account id; it is a text, since a number would lose its leading zeros."""
    if isinstance(value, int) and not isinstance(value, bool):
        place.problem("is an integer, a text is expected", "write it in quotes: ids may begin with a zero")
        return None
    written = text(value, place)
    if written is None:
        return None
    if not ACCOUNT_ID.fullmatch(written):
        place.problem(f"is {show(written)}, which is not an AWS account id", "write its 12 digits, without hyphens")
        return None
    return written


# By CloudFormation's resource types in each Region; tests/fleet/test_names.py compares it with cfn-lint's copy.
REGIONS_WITHOUT_IOT_TYPES = frozenset(
    {
        "af-south-1",
        "ap-east-2",
        "ap-northeast-3",
        "ap-south-2",
        "ap-southeast-3",
        "ap-southeast-4",
        "ap-southeast-6",
        "ap-southeast-7",
        "ca-west-1",
        "eu-central-2",
        "mx-central-1",
    }
)


def region(value: object, place: KeyPosition) -> str | None:
    """Read the name of a Region of one of the partitions aws, aws-cn and aws-us-gov."""
    written = text(value, place)
    if written is None:
        return None
    if partition_of(written) is None:
        place.problem(
            f"is {show(written)}, which is not a Region of {', '.join(PARTITIONS)}",
            'write it like "eu-central-1", without an availability zone',
        )
        return None
    if written in REGIONS_WITHOUT_IOT_TYPES:
        place.problem(
            f"is {written}, where CloudFormation lacks AWS::IoT::ThingType, ThingGroup, CACertificate and Logging",
            "choose another Region: devices can connect to it from anywhere",
        )
        return None
    return written


def organization(value: object, place: KeyPosition) -> str | None:
    """Read the id of an organization in AWS Organizations."""
    written = text(value, place)
    if written is None:
        return None
    if not ORGANIZATION.fullmatch(written):
        place.problem(
            f"is {show(written)}, which is not the id of an organization",
            "write the Id that `aws organizations describe-organization` prints, such as o-a1b2c3d4e5",
        )
        return None
    return written


def role_arn(value: object, place: KeyPosition) -> str | None:
    """Read the ARN of an IAM role; checks.py checks that it is the account's own."""
    written = text(value, place)
    if written is None:
        return None
    if not ROLE_ARN.fullmatch(written):
        place.problem(
            f"is {show(written)}, which is not the ARN of a role", 'write "arn:aws:iam::111111111111:role/NAME"'
        )
        return None
    return written


def function_arn(value: object, place: KeyPosition) -> str | None:
    """Read the ARN of a Lambda function; {partition}, {region} and {account} in it are filled in for each stage."""
    written = text(value, place)
    if written is None:
        return None
    match = _FUNCTION_ARN.fullmatch(written)
    if not match or (match[2] != "{region}" and partition_of(match[2]) is None):
        place.problem(
            f"is {show(written)}, which is not the ARN of a function",
            'write "arn:aws:lambda:{region}:{account}:function:NAME"; {region} and {account} are filled in per stage',
        )
        return None
    return written


def partition_of(name: str) -> str | None:
    """The partition of a Region, by its name; None if it is not the name of a Region."""
    return next((partition for partition, shape in PARTITIONS.items() if shape.fullmatch(name)), None)


def topic(value: object, place: KeyPosition) -> str | None:
    """Read the ARN of an SNS topic; it may hold placeholders for partition, Region and account."""
    written = text(value, place)
    if written is None:
        return None
    if not TOPIC.fullmatch(written):
        place.problem(
            f"is {show(written)}, which is not the ARN of an SNS topic for alarms",
            'write "arn:<partition>:sns:<region>:<account>:on-call", with <partition>, <region> and <account> as they '
            "are here, or with one value for all stages; alarms cannot use FIFO topics",
        )
        return None
    return written


def boundary(value: object, place: KeyPosition) -> str | None:
    """Read the ARN of a managed policy; it may hold placeholders for partition and account."""
    written = text(value, place)
    if written is None:
        return None
    if not BOUNDARY.fullmatch(written):
        place.problem(
            f"is {show(written)}, which is not the ARN of a managed policy",
            'write "arn:<partition>:iam::<account>:policy/boundary", with <partition> and <account> as they are here, '
            "or with one value for all stages",
        )
        return None
    return written


def kms_key(value: object, place: KeyPosition) -> str | None:
    """Read the ARN of a KMS key or alias; it may hold placeholders for partition, Region and account."""
    written = text(value, place)
    if written is None:
        return None
    if not KMS_KEY.fullmatch(written):
        place.problem(
            f"is {show(written)}, which is not the ARN of your own KMS key",
            'write "arn:<partition>:kms:<region>:<account>:alias/jitr", with <partition>, <region> and <account> as '
            "they are here, or with one value for all stages; or with key/ and the key's id",
        )
        return None
    return written


def tags(value: object, place: KeyPosition) -> dict[str, str] | None:
    """Read a table of tags; returns the legal ones."""
    if not isinstance(value, dict):
        place.problem("is not a table", 'write { team = "iot" }')
        return None
    if len(value) > MAX_TAGS:
        place.problem(f"holds {len(value)} tags", f"keep {MAX_TAGS}: AWS allows 50, and adds some itself")
    good: dict[str, str] = {}
    for name, written in value.items():
        here = place.at(name)
        if not TAG_KEY.fullmatch(name):
            here.problem(
                "is not a legal tag", "use 1 to 128 of a-z A-Z 0-9 space _ . : / = + @ -, not beginning with aws:"
            )
        elif not isinstance(written, str) or not TAG_VALUE.fullmatch(written):
            here.problem("has no legal value", "use up to 256 of a-z A-Z 0-9 space _ . : / = + @ -, in quotes")
        else:
            good[name] = written
    return good


def thing_word(value: object, place: KeyPosition) -> str | None:
    """Read the name of a thing type or a thing group: `[a-zA-Z0-9:_-]{1,128}`, not a template."""
    written = text(value, place)
    if written is None:
        return None
    if "{" in written or "}" in written:
        place.problem("holds braces, but this key takes no template", "write the name itself")
        return None
    return written if _legal(written, written, THING_CHARACTERS, THING_LENGTH, place) else None


def thing_name(value: object, place: KeyPosition) -> str | None:
    """Read the template of thing names; it must use a field, otherwise all devices would be the same thing."""
    written = template(THING_CHARACTERS, THING_LENGTH)(value, place)
    if isinstance(written, str) and not FIELD.search(written):
        place.problem(
            f"is {show(written)}, the same name for every device",
            "use a field that differs between devices: {common_name}",
        )
        return None
    return written if isinstance(written, str) else None


def template(characters: str, length: int) -> Reader:
    """Read a text with `{field}` in it; all other characters are in `characters`, the content of a regex class.

    Which fields exist depends on the CA's patterns: templates.py checks that.
    """

    def read(value: object, place: KeyPosition) -> str | None:
        written = text(value, place)
        if written is None:
            return None
        literal = FIELD.sub("", written)
        if "{" in literal or "}" in literal:
            place.problem(f"is {show(written)}, whose braces do not match", "write fields like {common_name}")
            return None
        return written if _legal(literal, written, characters, length, place) else None

    return read


def attributes(value: object, place: KeyPosition) -> dict[str, str] | None:
    """Read a table of attribute names and value templates; returns the legal ones."""
    if not isinstance(value, dict):
        place.problem("is not a table", 'write { model = "{organizational_unit}" }')
        return None
    read_value = template(VALUE_CHARACTERS, VALUE_LENGTH)
    good: dict[str, str] = {}
    for name, written in value.items():
        here = place.at(name)
        if not ATTRIBUTE_NAME.fullmatch(name):
            here.problem("is not a legal attribute name", "AWS IoT allows 1 to 128 of a-z A-Z 0-9 _ . , @ / : # -")
        elif name.casefold().startswith(RESERVED_PREFIX):
            here.problem(f"begins with {RESERVED_PREFIX}, which is reserved for jitr's own attribute", "rename it")
        read = read_value(written, here)
        if read is not None:
            good[name] = read
    return good


def _legal(literal: str, written: str, characters: str, length: int, place: KeyPosition) -> bool:
    """Report what AWS IoT would not accept in `literal`, the part of `written` outside of its fields."""
    wrong = re.sub(f"[{characters}]", "", literal)
    if wrong:
        named = "".join(dict.fromkeys(wrong))
        allowed = " ".join(characters.replace("\\", ""))
        for group in ("a-z", "A-Z", "0-9"):
            allowed = allowed.replace(" ".join(group), group)
        place.problem(f"is {show(written)}; AWS IoT does not allow {show(named)} in it", f"use {allowed}")
    if len(literal) > length:
        place.problem(f"is {len(literal)} characters long", f"AWS IoT allows {length}: shorten it")
    return not wrong and len(literal) <= length
