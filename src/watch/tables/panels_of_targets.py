"""The panels of tenants, scores, models and endpoints, beside those that all requests have. Pure."""

from typing import Final

from llmplatform import metrics as ours
from watch.tables import native, thresholds
from watch.tables.panel import Panel
from watch.tables.readings import (
    BACKEND_MODEL,
    ENDPOINT,
    ENDPOINT_TYPE,
    EVAL_DIMENSION,
    MODEL,
    TENANT,
    VARIANT,
    per_gpu,
    read,
)

_TENANT: Final = {"tenant_id": TENANT}
_MODEL: Final = {"model_id": MODEL, "endpoint_type": ENDPOINT_TYPE}
_BEDROCK: Final = {"ModelId": BACKEND_MODEL}
_ENDPOINT: Final = {"endpoint_name": ENDPOINT}
_VARIANT: Final = {"EndpointName": ENDPOINT, "VariantName": VARIANT}
_SCORES: Final = {"tenant_id": TENANT, "model_id": MODEL, "eval_dimension": EVAL_DIMENSION}

TENANT_PANELS: Final = (
    Panel(
        "tenant-slow",
        "tenant",
        "Slow first tokens",
        "What share of streams began later than the objective?",
        "share",
        (read(ours.TTFT_SLOW, "Average", "slow", **_TENANT),),
    ),
    Panel(
        "tenant-spend",
        "tenant",
        "Spend",
        "What has it cost so far?",
        "usd",
        (
            read(ours.COST_TODAY_USD, "Maximum", "today", **_TENANT),
            read(ours.COST_MONTH_TO_DATE_USD, "Maximum", "month to date", **_TENANT),
        ),
    ),
    Panel(
        "tenant-budget",
        "tenant",
        "Daily budget used",
        "Will the day's budget hold?",
        "percent",
        (
            read(ours.BUDGET_USED_PERCENT, "Maximum", "dollars", **_TENANT),
            read(ours.BUDGET_PROJECTED_PERCENT, "Maximum", "dollars at midnight", **_TENANT),
            read(ours.TOKEN_BUDGET_USED_PERCENT, "Maximum", "tokens", **_TENANT),
            read(ours.TOKEN_BUDGET_PROJECTED_PERCENT, "Maximum", "tokens at midnight", **_TENANT),
        ),
        thresholds=(thresholds.BUDGET_USD, thresholds.BUDGET_TOKENS),
    ),
    Panel(
        "tenant-completeness",
        "tenant",
        "Metrics against the ledger",
        "Can the figures on this page be trusted?",
        "percent",
        (read(ours.LEDGER_DIFFERENCE_PERCENT, "Maximum", "difference", **_TENANT),),
        thresholds=(thresholds.LEDGER_DIFFERENCE,),
    ),
    Panel(
        "tenant-scores-missing",
        "tenant",
        "Scores missing",
        "Is there traffic whose quality nobody knows?",
        "state",
        (read(ours.SCORES_MISSING, "Maximum", "missing", **_TENANT),),
        drawn="state",
    ),
)

SCORES_PANELS: Final = (
    Panel(
        "scores-mean",
        "scores",
        "Score",
        "How good are the answers?",
        "score",
        (read(ours.EVAL_SCORE, "Average", "mean", **_SCORES),),
    ),
    Panel(
        "scores-fallen",
        "scores",
        "Detector",
        "Have scores fallen, beyond chance?",
        "state",
        (
            read(ours.SCORE_FALLEN, "Maximum", "fallen", **_SCORES),
            read(ours.SCORE_DROPPED, "Maximum", "15 % below the week before", **_SCORES),
        ),
        drawn="state",
    ),
    Panel(
        "scores-drop",
        "scores",
        "Below the seven days before",
        "How far is the mean below the week before?",
        "percent",
        (read(ours.SCORE_DROP_PERCENT, "Average", "drop", **_SCORES),),
    ),
    Panel(
        "scores-judged",
        "scores",
        "Answers scored",
        "How many answers do the scores rest on?",
        "requests",
        (read(ours.EVAL_SCORE, "SampleCount", "scored", **_SCORES),),
        drawn="stacked",
    ),
)

MODEL_PANELS: Final = (
    Panel(
        "model-spend",
        "model",
        "Spend today",
        "What has this model cost since midnight UTC?",
        "usd",
        (read(ours.COST_TODAY_USD, "Maximum", "today", **_MODEL),),
    ),
    Panel(
        "model-circuit",
        "model",
        "Circuit",
        "Are calls being held back for the model's health?",
        "state",
        (read(ours.CIRCUIT_OPEN, "Maximum", "open", model_id=MODEL),),
        drawn="state",
    ),
    Panel(
        "model-bedrock-calls",
        "model",
        "Bedrock's count",
        "What does Bedrock itself count?",
        "requests",
        (
            read(native.BEDROCK_INVOCATIONS, "Sum", "answered", **_BEDROCK),
            read(native.BEDROCK_THROTTLES, "Sum", "throttled", **_BEDROCK),
            read(native.BEDROCK_CLIENT_ERRORS, "Sum", "refused", **_BEDROCK),
            read(native.BEDROCK_SERVER_ERRORS, "Sum", "failed", **_BEDROCK),
        ),
        drawn="stacked",
        needs="bedrock",
    ),
    Panel(
        "model-bedrock-latency",
        "model",
        "Bedrock's own latency",
        "Is it Bedrock that is slow?",
        "ms",
        (
            read(native.BEDROCK_TIME_TO_FIRST_TOKEN, "p50", "first token p50", **_BEDROCK),
            read(native.BEDROCK_TIME_TO_FIRST_TOKEN, "p99", "first token p99", **_BEDROCK),
            read(native.BEDROCK_LATENCY, "p99", "whole p99", **_BEDROCK),
        ),
        needs="bedrock",
    ),
    Panel(
        "model-bedrock-tokens",
        "model",
        "Bedrock's tokens",
        "What will Bedrock bill, and how near is the quota?",
        "tokens",
        (
            read(native.BEDROCK_INPUT_TOKENS, "Sum", "input", **_BEDROCK),
            read(native.BEDROCK_OUTPUT_TOKENS, "Sum", "output", **_BEDROCK),
            read(native.BEDROCK_QUOTA_USAGE, "Sum", "against the quota", **_BEDROCK),
        ),
        needs="bedrock",
    ),
)

ENDPOINT_PANELS: Final = (
    Panel(
        "endpoint-gpu",
        "endpoint",
        "GPU utilisation, per GPU",
        "Are the GPUs busy, or idle while requests wait?",
        "percent",
        (
            per_gpu(read(native.GPU_UTILIZATION, "Average", "mean", **_VARIANT)),
            per_gpu(read(native.GPU_UTILIZATION, "Maximum", "busiest instance", **_VARIANT)),
        ),
        thresholds=(thresholds.GPUS,),
    ),
    Panel(
        "endpoint-gpu-memory",
        "endpoint",
        "GPU memory, per GPU",
        "How near is the endpoint to running out of GPU memory?",
        "percent",
        (
            per_gpu(read(native.GPU_MEMORY_UTILIZATION, "Average", "mean", **_VARIANT)),
            per_gpu(read(native.GPU_MEMORY_UTILIZATION, "Maximum", "fullest instance", **_VARIANT)),
        ),
        thresholds=(thresholds.GPUS,),
    ),
    Panel(
        "endpoint-in-flight",
        "endpoint",
        "Requests in flight",
        "How many requests does the model work on or keep waiting?",
        "requests",
        (
            read(native.ENDPOINT_CONCURRENT_REQUESTS, "Average", "mean", **_VARIANT),
            read(native.ENDPOINT_CONCURRENT_REQUESTS, "Maximum", "most", **_VARIANT),
        ),
    ),
    Panel(
        "endpoint-instance",
        "endpoint",
        "Instance",
        "Is it the rest of the machine?",
        "percent",
        (
            read(native.CPU_UTILIZATION, "Average", "CPU, summed over cores", **_VARIANT),
            read(native.MEMORY_UTILIZATION, "Average", "memory", **_VARIANT),
            read(native.DISK_UTILIZATION, "Maximum", "disk", **_VARIANT),
        ),
        thresholds=(thresholds.DISK,),
    ),
    Panel(
        "endpoint-calls",
        "endpoint",
        "SageMaker's count",
        "What does SageMaker itself count?",
        "requests",
        (
            read(native.ENDPOINT_INVOCATIONS, "Sum", "calls", **_VARIANT),
            read(native.ENDPOINT_4XX, "Sum", "refused or throttled", **_VARIANT),
            read(native.ENDPOINT_5XX, "Sum", "failed", **_VARIANT),
            read(native.ENDPOINT_MODEL_ERRORS, "Sum", "failed by the container", **_VARIANT),
            read(native.ENDPOINT_MID_STREAM_ERRORS, "Sum", "broke off", **_VARIANT),
        ),
    ),
    Panel(
        "endpoint-model-latency",
        "endpoint",
        "SageMaker's own latency",
        "Is it the container or the platform around it?",
        "ms",
        (
            read(native.ENDPOINT_MODEL_LATENCY, "p99", "container p99", **_VARIANT),
            read(native.ENDPOINT_OVERHEAD_LATENCY, "p99", "SageMaker p99", **_VARIANT),
            read(native.ENDPOINT_FIRST_CHUNK_LATENCY, "p99", "first chunk p99", **_VARIANT),
            read(native.ENDPOINT_FIRST_CHUNK_MODEL_LATENCY, "p99", "first chunk, container p99", **_VARIANT),
        ),
        scale=0.001,
    ),
    Panel(
        "endpoint-unused",
        "endpoint",
        "Unused capacity today",
        "What part of the endpoint's cost did nobody use?",
        "percent",
        (read(ours.UNUSED_CAPACITY_PERCENT, "Maximum", "unused", **_ENDPOINT),),
    ),
)
