"""The many ways to spell what is another's: its key, its id in an address, its name in a header.

Each is tried for a tenant that there is and for one that there is not. None has the key itself where keys
belong: who has that, has the tenant. Pure.
"""

import base64
from collections.abc import Callable, Mapping
from typing import Final

from integration.isolation.subjects import ATTACKER, Subject
from llmplatform import apikeys
from llmplatform.ids import TenantId

Headers = tuple[tuple[str, str], ...]

_WIDE: Final = {code: code + 0xFEE0 for code in range(0x21, 0x7F)}
"""Latin letters as East Asian scripts have them, which some compare as equal."""
_CYRILLIC: Final = str.maketrans("aeiop", "аеіор")  # noqa: RUF001  # that look alike is the point


def bearer(key: str) -> tuple[str, str]:
    """The header that a key belongs in."""
    return ("Authorization", f"Bearer {key}")


def _with_secret(key: str, change: Callable[[str], str]) -> str:
    name, _, secret = key.rpartition("_")
    return f"{name}_{change(secret)}"


def _other_last(secret: str) -> str:
    return secret[:-1] + ("0" if secret[-1] != "0" else "1")


def almost_keys(of: Subject, own: str) -> Mapping[str, Headers]:
    """Headers with what is almost the key of a tenant, by what is done; `own` is the attacker's key."""
    tenant, key = of.tenant, of.key
    own_secret = own.rpartition("_")[2]
    secret = key.rpartition("_")[2]
    minted = apikeys.mint(TenantId(tenant), bytes(range(32)))
    in_their_name = f"llmp_{tenant}_{own_secret}"
    basic = base64.b64encode(f"{tenant}:{key}".encode()).decode()
    keys = {
        "a revoked one": of.old_key,
        "one made up": minted,
        "the attacker's secret under its name": in_their_name,
        "its secret under the attacker's name": f"llmp_{ATTACKER}_{secret}",
        "its secret under an operator's name": f"llmp-operator_{secret}",
        "its secret under the billing role's name": f"llmp-billing_{secret}",
        "in upper case": key.upper(),
        "its name in upper case": key.replace(tenant, tenant.upper()),
        "its secret's case swapped": _with_secret(key, str.swapcase),
        "another last letter": _with_secret(key, _other_last),
        "a letter short": key[:-1],
        "a letter long": f"{key}0",
        "a blank in it": _with_secret(key, lambda text: f"{text[:9]} {text[9:]}"),
        "a tab in it": _with_secret(key, lambda text: f"{text[:9]}\t{text[9:]}"),
        "an unseen blank behind it": f"{key}\u200b",
        "wide letters": key.translate(_WIDE),
        "Cyrillic letters in its name": key.replace(tenant, tenant.translate(_CYRILLIC)),
        "in quotes": f'"{key}"',
        "percent-encoded": key.replace("_", "%5F"),
        "behind another in one header": f"{own}, {key}",
        "a pattern": f"llmp_{tenant}_*",
        "its stored hash": of.key_hash,
        "its public id": of.key_hash[:12],
        "its name alone": tenant,
    }
    return {
        **{said: (bearer(given),) for said, given in keys.items()},
        "without a scheme": (("Authorization", key),),
        "by another scheme": (("Authorization", f"Basic {basic}"),),
        "in headers of others": (
            ("X-Api-Key", key),
            ("Proxy-Authorization", f"Bearer {key}"),
            ("Api-Key", key),
        ),
        "in a cookie": (("Cookie", f"authorization={key}; watch_session={key}; key={key}"),),
        "a made-up one before the attacker's own": (bearer(minted), bearer(own)),
        "a made-up one behind the attacker's own": (bearer(own), bearer(minted)),
        "itself before the attacker's own": (bearer(key), bearer(own)),
        "itself behind the attacker's own": (bearer(own), bearer(key)),
    }


def claims(tenant: str) -> Mapping[str, Headers]:
    """Headers that claim to be of a tenant, beside the attacker's own key, by what is done."""
    return {
        "named": (("X-Tenant-Id", tenant),),
        "named before the own": (("X-Tenant-Id", tenant), ("X-Tenant-Id", ATTACKER)),
        "named behind the own": (("X-Tenant-Id", ATTACKER), ("X-Tenant-Id", tenant)),
        "in one header with the own": (("X-Tenant-Id", f"{ATTACKER}, {tenant}"),),
        "in upper case": (("X-Tenant-Id", tenant.upper()),),
        "in wide letters": (("X-Tenant-Id", tenant.translate(_WIDE)),),
    }


def foreign_headers(of: Subject) -> Headers:
    """Headers that others' proxies and our own back ends heed, with a tenant's words."""
    return (
        ("X-Forwarded-User", of.tenant),
        ("X-Original-URL", f"/tenants/{of.tenant}"),
        ("X-Rewrite-URL", f"/v1/tenants/{of.tenant}/costs"),
        ("X-HTTP-Method-Override", "GET"),
        ("X-Amzn-Trace-Id", f"Root={of.words['xray']};Sampled=1"),
        ("X-Request-Id", of.request),
        ("X-Amzn-Oidc-Identity", of.tenant),
    )


def _per_letter(text: str) -> str:
    return "".join(f"%{letter:02X}" for letter in text.encode())


LETTERS: Final[Mapping[str, Callable[[str], str]]] = {
    "as it is": str,
    "percent-encoded": _per_letter,
    "percent-encoded twice": lambda word: _per_letter(word).replace("%", "%25"),
    "in upper case": str.upper,
    "in wide letters": lambda word: _per_letter(word.translate(_WIDE)),
    "in Cyrillic letters": lambda word: _per_letter(word.translate(_CYRILLIC)),
    "as a pattern": lambda word: f"{word[:4]}%2A",
}
"""Ways to spell a word, by what is done."""

IDS: Final[Mapping[str, Callable[[str], str]]] = {
    **LETTERS,
    "below the own, and up again": lambda word: f"{ATTACKER}/../{word}",
    "the same in percents": lambda word: f"{ATTACKER}/%2e%2e/{word}",
    "with encoded slashes": lambda word: f"{ATTACKER}%2F..%2F{word}",
    "with slashes the other way": lambda word: f"{ATTACKER}%5C..%5C{word}",
    "behind a parameter of a segment": lambda word: f"{ATTACKER};/../{word}",
    "with a dot before it": lambda word: f"./{word}",
    "with two slashes before it": lambda word: f"/{word}",
    "with a slash behind it": lambda word: f"{word}/",
    "with a file's ending": lambda word: f"{word}.json",
    "with an encoded mark of a fragment": lambda word: f"{word}%23{ATTACKER}",
    "with an encoded query": lambda word: f"{word}%3Ftenant_id={ATTACKER}",
    "with a blank behind it": lambda word: f"{word}%20",
    "with a zero byte behind it": lambda word: f"{word}%00",
    "with a line's end and a header": lambda word: f"{word}%0D%0AX-Tenant-Id:%20{ATTACKER}",
    "in a list with the own": lambda word: f"{ATTACKER},{word}",
}
"""Ways to put a word where an address has one, by what is done."""
