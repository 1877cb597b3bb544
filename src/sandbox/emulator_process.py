"""The emulator's own process: run by file name, with the emulator's own interpreter.

Nothing of ours can be imported here, and this is imported by nothing of ours: the emulator pins another
botocore than the product has. Arguments: a bound TCP socket's descriptor to serve on. It ends when
standard input does, so it cannot outlive its parent, however that one dies.
"""

import asyncio
import os
import signal
import sys
import threading
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any


def end_with_parent() -> None:
    """Wait for the end of standard input, then ask ourselves to stop."""
    while os.read(0, 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def beside(name: str) -> ModuleType:
    """Load a file or a package of this folder that needs nothing of ours."""
    path = Path(__file__).with_name(name)
    within = [str(path)] if path.is_dir() else None
    file = path / "__init__.py" if within else path.with_suffix(".py")
    spec = spec_from_file_location(f"sandbox_{name}", file, submodule_search_locations=within)
    if spec is None or spec.loader is None:
        raise ImportError(name)
    module = module_from_spec(spec)
    sys.modules[module.__name__] = module  # a package finds its own files by it
    spec.loader.exec_module(module)
    return module


def meter_services() -> None:
    """Have Kinesis, DynamoDB and Logs publish what they publish on AWS: the emulator's do not."""
    figures, metering = beside("service_metrics"), beside("emulator_metering")
    cloudwatch = import_module("ministack.services.cloudwatch")
    iterators = vars(import_module("ministack.services.kinesis"))["_shard_iterators"]
    handlers = vars(import_module("ministack.app"))["SERVICE_HANDLERS"]
    store = metering.MinuteStore(vars(cloudwatch)["_metric_bucket"], vars(cloudwatch)["_dims_key"])

    def stream_of(iterator: str) -> str | None:
        known: dict[str, Any] | None = iterators.get(iterator)
        return known["stream"] if known else None

    def kinesis(*call: Any) -> Any:
        return figures.kinesis_figures(figures.Answered(*call), stream_of)

    def dynamodb(*call: Any) -> Any:
        return figures.dynamodb_figures(figures.Answered(*call))

    def logs(*call: Any) -> Any:
        return figures.logs_figures(figures.Answered(*call))

    for service, observe in (("kinesis", kinesis), ("dynamodb", dynamodb), ("logs", logs)):
        handlers[service] = metering.metered(handlers[service], observe, store)


def main() -> None:
    """Serve until SIGTERM."""
    threading.Thread(target=end_with_parent, daemon=True).start()
    # Its alarm evaluation ignores dimensions, M of N and missing data (measured: an alarm of tenant a
    # rang on a datapoint of tenant b), and it has no setting that turns it off.
    beside("inside_emulator").change_cloudwatch()
    meter_services()
    config = import_module("hypercorn.config").Config()
    config.bind = [f"fd://{sys.argv[1]}"]
    config.keep_alive_timeout = 75.0
    serve = import_module("hypercorn.asyncio").serve
    asyncio.run(serve(import_module("ministack.app").app, config))


if __name__ == "__main__":
    main()
