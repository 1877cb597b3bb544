"""What a bucket is called in the account that a session is of: bucket names are shared by all of AWS."""

import aioboto3

from llmplatform.aws.tables import Bucket


async def bucket_name(session: aioboto3.Session, bucket: Bucket, *, endpoint_url: str | None = None) -> str:
    """The name of `bucket` in the session's account and region; asks STS who that is.

    `endpoint_url` for an emulator that the environment does not name.
    """
    async with session.client("sts", endpoint_url=endpoint_url) as sts:
        identity = await sts.get_caller_identity()
    return bucket.name(identity["Account"], session.region_name or "")
