"""The operator's own fields, which the catalogue adds to every body of a model."""

from collections.abc import Mapping


def with_operator_fields(body: dict[str, object], extra: Mapping[str, object]) -> dict[str, object]:
    """`body` with the operator's fields laid over it, object by object; the operator wins."""
    for name, value in extra.items():
        ours = body.get(name)
        if isinstance(ours, dict) and isinstance(value, Mapping):
            body[name] = with_operator_fields(dict(ours), value)
        else:
            body[name] = value
    return body
