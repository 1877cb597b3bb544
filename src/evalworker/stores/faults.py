"""How a store fails. What it would not take is in no message: a row quotes what was said."""

from llmplatform.errors import TelemetryFault


class StoreUnavailable(TelemetryFault):
    """A store did not do what it was asked; the same call may succeed later."""

    code = "store_unavailable"


class StoreRefused(TelemetryFault):
    """A store will not take this, however often it is asked."""

    code = "store_refused"
