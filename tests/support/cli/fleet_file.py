"""The fleet file of jitrctl's tests, and its two account ids."""

DEV, PROD = "111111111111", "222222222222"
FLEET = f"""\
[fleet]
name = "acme"

[ca.factory]
certificate = "factory.pem"
common_name = "sensor-[0-9]{{4,}}"
thing_type  = "sensor"

[account.dev]
id = "{DEV}"
regions = ["eu-central-1"]
role_arn = "arn:aws:iam::{DEV}:role/operator"
ca.factory = {{ mode = "SNI_ONLY" }}

[account.prod]
id = "{PROD}"
regions = ["eu-central-1", "us-east-1"]
role_arn = "arn:aws:iam::{PROD}:role/operator"
ca.factory = {{ mode = "SNI_ONLY" }}
"""
