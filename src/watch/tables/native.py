"""Metrics that AWS publishes by itself, as far as panels and alarms read them: a typed list beside our table.

Names, units and dimensions as the services document them (CloudWatch user guides of Bedrock, SageMaker AI,
Kinesis, DynamoDB, CloudWatch Logs, ECS and Elastic Load Balancing, November 2026). What is said here of zeros
matters to alarms: a count that is only published when there are some is missing, not 0, in good times.
"""

from typing import Final

from llmplatform.metrics import STANDARD, Metric, Unit

BEDROCK: Final = "AWS/Bedrock"
SAGEMAKER: Final = "AWS/SageMaker"
ENDPOINT_INSTANCES: Final = "/aws/sagemaker/Endpoints"
KINESIS: Final = "AWS/Kinesis"
DYNAMODB: Final = "AWS/DynamoDB"
LOGS: Final = "AWS/Logs"
SQS: Final = "AWS/SQS"
ECS: Final = "AWS/ECS"
LOAD_BALANCER: Final = "AWS/ApplicationELB"

_VARIANT: Final = ("EndpointName", "VariantName")
_ACCELERATOR: Final = (*_VARIANT, "InstanceId", "AcceleratorId")


def _native(namespace: str, name: str, unit: Unit, meaning: str, *dimension_sets: tuple[str, ...]) -> Metric:
    return Metric(name, unit, STANDARD, namespace, dimension_sets, "aws", meaning)


def _bedrock(name: str, unit: Unit, meaning: str) -> Metric:
    return _native(BEDROCK, name, unit, meaning, ("ModelId",))


def _sagemaker(name: str, unit: Unit, meaning: str) -> Metric:
    return _native(SAGEMAKER, name, unit, meaning, _VARIANT)


def _instance(name: str, meaning: str, *more: tuple[str, ...]) -> Metric:
    return _native(ENDPOINT_INSTANCES, name, "Percent", meaning, _VARIANT, *more)


BEDROCK_INVOCATIONS: Final = _bedrock("Invocations", "Count", "Calls that Bedrock answered.")
BEDROCK_LATENCY: Final = _bedrock(
    "InvocationLatency", "Milliseconds", "From the request to the last token, as Bedrock saw it."
)
BEDROCK_TIME_TO_FIRST_TOKEN: Final = _bedrock(
    "TimeToFirstToken", "Milliseconds", "From the request to the first token of a stream, as Bedrock saw it."
)
BEDROCK_THROTTLES: Final = _bedrock(
    "InvocationThrottles", "Count", "Calls that Bedrock turned away for the quota; no datapoint means none."
)
BEDROCK_CLIENT_ERRORS: Final = _bedrock(
    "InvocationClientErrors", "Count", "Calls that Bedrock refused as faulty; no datapoint means none."
)
BEDROCK_SERVER_ERRORS: Final = _bedrock(
    "InvocationServerErrors", "Count", "Calls that Bedrock failed; no datapoint means none."
)
BEDROCK_INPUT_TOKENS: Final = _bedrock(
    "InputTokenCount", "Count", "Prompt tokens, those from a cache not included."
)
BEDROCK_OUTPUT_TOKENS: Final = _bedrock("OutputTokenCount", "Count", "Tokens generated.")
BEDROCK_QUOTA_USAGE: Final = _bedrock(
    "EstimatedTPMQuotaUsage", "Count", "Tokens that count against the quota a minute, by Bedrock's estimate."
)

ENDPOINT_INVOCATIONS: Final = _sagemaker("Invocations", "None", "Calls of the endpoint.")
ENDPOINT_4XX: Final = _sagemaker(
    "Invocation4XXErrors", "None", "0 or 1 a call: refused as faulty, or throttled (429)."
)
ENDPOINT_5XX: Final = _sagemaker("Invocation5XXErrors", "None", "0 or 1 a call: failed.")
ENDPOINT_MODEL_ERRORS: Final = _sagemaker(
    "InvocationModelErrors", "None", "0 or 1 a call: the container answered with an error or not at all."
)
ENDPOINT_MID_STREAM_ERRORS: Final = _sagemaker(
    "MidStreamErrors", "None", "0 or 1 a stream: broke off after it had begun."
)
ENDPOINT_MODEL_LATENCY: Final = _sagemaker(
    "ModelLatency", "Microseconds", "Time that the container took to answer."
)
ENDPOINT_OVERHEAD_LATENCY: Final = _sagemaker(
    "OverheadLatency", "Microseconds", "Time that SageMaker added to the container's."
)
ENDPOINT_FIRST_CHUNK_LATENCY: Final = _sagemaker(
    "FirstChunkLatency", "Microseconds", "From the request to the first chunk of a stream."
)
ENDPOINT_FIRST_CHUNK_MODEL_LATENCY: Final = _sagemaker(
    "FirstChunkModelLatency", "Microseconds", "The container's part of it."
)
ENDPOINT_CONCURRENT_REQUESTS: Final = _sagemaker(
    "ConcurrentRequestsPerModel", "None", "Requests in flight or waiting at the model."
)

GPU_UTILIZATION: Final = _instance(
    "GPUUtilization",
    "Busy GPUs, summed over an instance's: 400 % when four are busy all the time.",
    _ACCELERATOR,
)
GPU_MEMORY_UTILIZATION: Final = _instance(
    "GPUMemoryUtilization",
    "GPU memory in use, summed over an instance's GPUs: 400 % when four are full.",
    _ACCELERATOR,
)
CPU_UTILIZATION: Final = _instance("CPUUtilization", "Busy cores, summed over an instance's.")
MEMORY_UTILIZATION: Final = _instance("MemoryUtilization", "Memory in use of an instance.")
DISK_UTILIZATION: Final = _instance("DiskUtilization", "Disk space in use of an instance.")

STREAM_INCOMING_RECORDS: Final = _native(
    KINESIS, "IncomingRecords", "Count", "Records put into the stream.", ("StreamName",)
)
STREAM_ITERATOR_AGE: Final = _native(
    KINESIS,
    "GetRecords.IteratorAgeMilliseconds",
    "Milliseconds",
    "Age of the newest record that a consumer has just read.",
    ("StreamName",),
)
STREAM_PUSHED_AGE: Final = _native(
    KINESIS,
    "SubscribeToShardEvent.MillisBehindLatest",
    "Milliseconds",
    "How far behind the stream's tip a consumer is that records are pushed to.",
    ("StreamName", "ConsumerName"),
)
STREAM_WRITE_THROTTLED: Final = _native(
    KINESIS,
    "WriteProvisionedThroughputExceeded",
    "Count",
    "Records that the stream did not take for its limits.",
    ("StreamName",),
)

DEAD_LETTERS: Final = _native(
    SQS, "ApproximateNumberOfMessagesVisible", "Count", "Messages that wait in a queue.", ("QueueName",)
)

TABLE_CONSUMED_READS: Final = _native(
    DYNAMODB, "ConsumedReadCapacityUnits", "Count", "Read units that a table used.", ("TableName",)
)
TABLE_CONSUMED_WRITES: Final = _native(
    DYNAMODB, "ConsumedWriteCapacityUnits", "Count", "Write units that a table used.", ("TableName",)
)
TABLE_READS_THROTTLED: Final = _native(
    DYNAMODB, "ReadThrottleEvents", "Count", "Reads turned away; no datapoint means none.", ("TableName",)
)
TABLE_WRITES_THROTTLED: Final = _native(
    DYNAMODB, "WriteThrottleEvents", "Count", "Writes turned away; no datapoint means none.", ("TableName",)
)

LOGS_INCOMING_BYTES: Final = _native(
    LOGS, "IncomingBytes", "Bytes", "What a log group took in.", ("LogGroupName",)
)
LOGS_INCOMING_EVENTS: Final = _native(
    LOGS, "IncomingLogEvents", "None", "Lines that a log group took in.", ("LogGroupName",)
)
EMF_PARSING_ERRORS: Final = _native(
    LOGS,
    "EMFParsingErrors",
    "None",
    "Lines meant as metrics that are no JSON; no datapoint means none.",
    ("LogGroupName",),
)
EMF_VALIDATION_ERRORS: Final = _native(
    LOGS,
    "EMFValidationErrors",
    "None",
    "Lines meant as metrics that break a rule of the format; no datapoint means none.",
    ("LogGroupName",),
)

SERVICE_CPU: Final = _native(
    ECS, "CPUUtilization", "Percent", "Of what a service's tasks may use.", ("ClusterName", "ServiceName")
)
SERVICE_MEMORY: Final = _native(
    ECS, "MemoryUtilization", "Percent", "Of what a service's tasks may use.", ("ClusterName", "ServiceName")
)
LOAD_BALANCER_5XX: Final = _native(
    LOAD_BALANCER,
    "HTTPCode_ELB_5XX_Count",
    "Count",
    "Requests that the load balancer itself failed; no datapoint means none.",
    ("LoadBalancer",),
)
UNHEALTHY_TARGETS: Final = _native(
    LOAD_BALANCER,
    "UnHealthyHostCount",
    "Count",
    "Tasks that fail their health check.",
    ("TargetGroup", "LoadBalancer"),
)

NATIVE_METRICS: Final = {
    (metric.namespace, metric.name): metric
    for metric in tuple(globals().values())
    if isinstance(metric, Metric)
}
