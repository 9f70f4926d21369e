"""What tests add to the draft fleet file: every option of [stack], and accounts in other partitions."""

EVERYTHING = """
[stack]
tags = { team = "iot", "cost centre" = "4711" }
permission_boundary = "arn:<partition>:iam::<account>:policy/boundary"
termination_protection = true
iot_logging = "warn"
snap_start = true
kms_key = "arn:<partition>:kms:<region>:<account>:alias/jitr"
"""
CHINA_AND_GOVERNMENT = """
[account.cn]
id = "333333333333"
regions = ["cn-north-1", "cn-northwest-1"]
ca.factory = { mode = "SNI_ONLY" }

[account.gov]
id = "444444444444"
regions = ["us-gov-west-1"]
ca.factory = { mode = "SNI_ONLY" }
"""
