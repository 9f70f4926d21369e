"""The actions and resources that an AWS IoT policy can name.

Sources: AWS IoT developer guide, "AWS IoT Core policy actions", "AWS IoT Core action resources" and "Direct messaging
policy examples" (read in November 2026); the operations that a device can call over HTTPS have actions of the same
names (boto3's `iot-data` and `iot-jobs-data`; a test holds the list to them). Older pages write the actions on job
executions as `iot:`, today's as `iotjobsdata:`; both are taken. Actions of AWS IoT Greengrass stand in the same
policies (Greengrass V2 developer guide, "Device authentication and authorization") and are not looked at.
"""

from jitr_fleet.authorization.wildcards import matches

# Action → the type of its resource: what the last part of the ARN begins with; "" where only `*` will do.
ACTIONS = {
    "iot:Connect": "client",
    "iot:Publish": "topic",
    "iot:RetainPublish": "topic",
    "iot:Receive": "topic",
    "iot:Subscribe": "topicfilter",
    "iot:GetRetainedMessage": "topic",
    "iot:ListRetainedMessages": "",
    "iot:DeleteConnection": "client",
    "iot:GetConnection": "client",
    "iot:ListSubscriptions": "client",
    "iot:SendDirectMessage": "client",
    "iot:GetThingShadow": "thing",
    "iot:UpdateThingShadow": "thing",
    "iot:DeleteThingShadow": "thing",
    "iot:ListNamedShadowsForThing": "thing",
    "iot:AssumeRoleWithCertificate": "rolealias",
    **{
        f"{service}:{operation}": "thing"
        for service in ("iotjobsdata", "iot")
        for operation in (
            "DescribeJobExecution",
            "GetPendingJobExecutions",
            "StartNextPendingJobExecution",
            "UpdateJobExecution",
        )
    },
    "iotjobsdata:StartCommandExecution": "thing",
}
_NOT_LOOKED_AT = "greengrass:"
RESOURCE_TYPES = tuple(sorted({kind for kind in ACTIONS.values() if kind}))


def is_known(action: str) -> bool:
    """Whether an action, which may hold wildcards, names one that a device can carry out, or is Greengrass's."""
    if action.lower().startswith(_NOT_LOOKED_AT):
        return True
    return any(matches(action.lower(), known.lower()) for known in ACTIONS)
