"""What runs inside the emulator's process and makes its CloudWatch tell the truth; loaded by path from there.

Standard library and the emulator's own packages only: nothing of ours can be imported in that interpreter.
What is changed, and why, each room says: `alarms` (states, actions, history), `metrics` (GetMetricData),
`query` (the protocol that our SDK speaks), `documents` (what a notification says), `tagging` (of alarms).
"""

from importlib import import_module

from .alarms import Alarms
from .metrics import Eviction, Metrics
from .query import QueryProtocol
from .tagging import AlarmTags


def change_cloudwatch() -> None:
    """Put our functions in the places of the emulator's, before it serves."""
    cloudwatch = import_module("ministack.services.cloudwatch")
    sns = import_module("ministack.services.sns")
    places = vars(cloudwatch)
    alarms = Alarms(cloudwatch, sns)
    protocol = QueryProtocol(cloudwatch)
    changed = alarms.places() | {"_get_metric_data": Metrics(cloudwatch).get_metric_data}
    for place, operation in QueryProtocol.OPERATIONS.items():
        changed[place] = protocol.spoken(operation, changed.get(place, places[place]))
    changed["_evict_old_metrics"] = Eviction(places["_evict_old_metrics"])
    places.update(changed)
    AlarmTags(cloudwatch, import_module("ministack.services.tagging")).put_in_place()
