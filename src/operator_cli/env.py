"""`llm-platform env`: how to reach the running laptop platform, for a shell or for a program."""

import json
import os
import shlex

from operator_cli.connection import loopback_without_proxy
from sandbox.state import Running, read_running, state_folder


def environment_of(running: Running) -> dict[str, str]:
    """The variables that connect OpenAI clients, AWS SDKs, browsers and callers of the billing API to it."""
    return {
        "OPENAI_BASE_URL": running.openai_base_url,
        "OPENAI_API_KEY": running.key_of() or "",
        "CONSOLE_URL": running.console_url,
        "WATCH_PUBLIC_URL": running.console_url,  # where alarms put by hand lead to
        "BILLING_URL": running.billing_url,
        "BILLING_API_KEY": running.sandbox.role_keys.get("billing", ""),
        **running.sandbox.environment,
        **running.sandbox.settings,
        # Without it a cost job by hand would know other endpoints than the one beside it.
        "LLM_PLATFORM_CATALOGUE": str(running.sandbox.catalogue),
        **loopback_without_proxy(os.environ),
    }


def show_env(*, as_json: bool) -> None:
    """Print them. Raises NothingRuns."""
    running = read_running(state_folder())
    variables = environment_of(running)
    if as_json:
        facts = {
            "environment": variables,
            "gateway_url": running.gateway_url,
            "billing_url": running.billing_url,
            "console_url": running.console_url,
            "role_keys": running.sandbox.role_keys,
            "tenants": {tenant.tenant_id: tenant.api_key for tenant in running.sandbox.tenants},
            "catalogue": str(running.sandbox.catalogue),
            "emf_address": running.sandbox.emf_address,
            "otlp_url": running.sandbox.otlp_url,
            "pid": running.pid,
        }
        print(json.dumps(facts, indent=2))
        return
    # A profile or a session token of the caller's would stand in the way of the sandbox's own credentials.
    print("unset AWS_PROFILE AWS_SESSION_TOKEN")
    for name, value in variables.items():
        print(f"export {name}={shlex.quote(value)}")
