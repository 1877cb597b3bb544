"""What no process may do, whatever is attached to its role one day.

Changing who may do what, and taking away a key, a table, a copy or a retention is allowed to none of them.
Here it is forbidden too, so that a policy which somebody adds by hand, or in haste, does not open it.
"""

from typing import Final

from infra.permissions.statement import ANY, Statement

_FORBIDDEN: Final = {
    "iam": (ANY,),
    "sts": ("AssumeRole", "GetFederationToken"),
    "kms": (
        "CreateGrant",
        "CreateKey",
        "DeleteAlias",
        "DisableKey",
        "DisableKeyRotation",
        "PutKeyPolicy",
        "ScheduleKeyDeletion",
        "UpdateAlias",
    ),
    "dynamodb": (
        "CreateBackup",
        "DeleteTable",
        "ExportTableToPointInTime",
        "PutResourcePolicy",
        "UpdateContinuousBackups",
        "UpdateTable",
        "UpdateTimeToLive",
    ),
    "kinesis": ("DecreaseStreamRetentionPeriod", "DeleteStream", "PutResourcePolicy", "StopStreamEncryption"),
    "logs": (
        "CreateExportTask",
        "DeleteLogGroup",
        "DeleteLogStream",
        "DeleteRetentionPolicy",
        "DeleteSubscriptionFilter",
        "DisassociateKmsKey",
        "PutRetentionPolicy",
        "PutSubscriptionFilter",
    ),
    "s3": (
        "DeleteBucket",
        "DeleteBucketPolicy",
        "DeleteObjectVersion",
        "PutBucketPolicy",
        "PutBucketVersioning",
        "PutEncryptionConfiguration",
        "PutLifecycleConfiguration",
        "PutReplicationConfiguration",
    ),
    "sns": ("DeleteTopic", "SetTopicAttributes", "Subscribe"),
    "ssm": ("DeleteParameter", "DeleteParameters"),
}


def guard() -> Statement:
    """The one statement that every role has."""
    return Statement(
        "Never",
        tuple(f"{service}:{name}" for service, names in _FORBIDDEN.items() for name in names),
        (ANY,),
        effect="Deny",
    )
