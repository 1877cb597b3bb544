"""The Query protocol of CloudWatch's alarms, spoken whole: by botocore's own model of the service.

The SDK that the product pins speaks it (of the others, JSON passes, and CBOR has no library there), and over
it the emulator leaves most out (of an alarm: dimensions, period, actions, times; of history: its data). Here
a request becomes what the emulator takes as JSON, and its JSON answer becomes XML with every member that the
model has.
"""

import functools
import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from importlib import import_module
from typing import Any, ClassVar
from xml.sax.saxutils import escape

Answer = tuple[int, dict[str, str], bytes]
Handler = Callable[..., Answer]
OK_STATUS = 200
NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
NAMESPACE = "http://monitoring.amazonaws.com/doc/2010-08-01/"


class QueryProtocol:
    """Wraps the emulator's handlers; `cloudwatch` is its module."""

    OPERATIONS: ClassVar[dict[str, str]] = {
        "_describe_alarms": "DescribeAlarms",
        "_describe_alarms_for_metric": "DescribeAlarmsForMetric",
        "_describe_alarm_history": "DescribeAlarmHistory",
        "_get_metric_data": "GetMetricData",
        "_list_metrics": "ListMetrics",
        "_put_composite_alarm": "PutCompositeAlarm",
        "_put_metric_alarm": "PutMetricAlarm",
        "_set_alarm_state": "SetAlarmState",
    }

    def __init__(self, cloudwatch: Any) -> None:
        self._its = vars(cloudwatch)

    @functools.cached_property
    def _model(self) -> Any:
        return import_module("botocore.session").Session().get_service_model("cloudwatch")

    def spoken(self, operation: str, handler: Handler) -> Handler:
        """Wrap a handler of the emulator; CBOR and JSON pass as they are."""

        def speak(
            params: Mapping[str, Any],
            data: Mapping[str, Any],
            is_cbor: bool,  # noqa: FBT001  # as the emulator calls it
            is_json: bool = False,  # noqa: FBT001, FBT002  # likewise
        ) -> Answer:
            if is_cbor or is_json:
                return handler(params, data, is_cbor, is_json)
            model = self._model.operation_model(operation)
            status, _, body = handler(params, _read(model.input_shape, _tree(params)), False, True)
            answer = json.loads(body)
            if status != OK_STATUS:
                refused: Answer = self._its["_error"](answer["__type"], answer["message"], status)
                return refused
            shape = model.output_shape
            result = (
                "" if shape is None else f"<{operation}Result>{_members(shape, answer)}</{operation}Result>"
            )
            return _response(operation, result, self._its["new_uuid"]())

        return speak


def _response(operation: str, result: str, request_id: str) -> Answer:
    document = (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<{operation}Response xmlns="{NAMESPACE}">{result}'
        f"<ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata></{operation}Response>"
    )
    return OK_STATUS, {"Content-Type": "text/xml"}, document.encode()


def _tree(params: Mapping[str, Any]) -> dict[str, Any]:
    """Make `Dimensions.member.1.Name=x` a path through dictionaries."""
    tree: dict[str, Any] = {}
    for path, values in params.items():
        *folders, leaf = path.split(".")
        at = tree
        for folder in folders:
            below = at.get(folder)
            if not isinstance(below, dict):
                below = at[folder] = {}
            at = below
        at.setdefault(leaf, values[0] if isinstance(values, list) else values)
    return tree


def _read(shape: Any, told: Any) -> Any:
    match shape.type_name:
        case "structure":
            return {name: _read(shape.members[name], told[name]) for name in shape.members if name in told}
        case "list":
            members = told.get("member", {}) if isinstance(told, dict) else {}
            return [_read(shape.member, members[at]) for at in sorted(members, key=int)]
        case "boolean":
            return told == "true"
        case "integer" | "long":
            return int(told)
        case "double" | "float":
            return float(told)
        case _:
            return told


def _members(shape: Any, told: Mapping[str, Any]) -> str:
    return "".join(
        f"<{name}>{_written(member, told[name])}</{name}>"
        for name, member in shape.members.items()
        if told.get(name) is not None
    )


def _written(shape: Any, value: Any) -> str:
    match shape.type_name:
        case "structure":
            return _members(shape, value)
        case "list":
            return "".join(f"<member>{_written(shape.member, item)}</member>" for item in value)
        case "boolean":
            return "true" if value else "false"
        case "timestamp":
            return _instant(value)
        case "double" | "float":
            return repr(float(value))
        case _:
            return escape(NOT_XML.sub("\N{REPLACEMENT CHARACTER}", str(value)))


def _instant(value: Any) -> str:
    """Write seconds since 1970 as an ISO instant in milliseconds."""
    at = datetime.fromtimestamp(float(value), UTC)
    return f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03d}Z"
