"""The files of our pages: read once, under addresses that change with their content, kept for a year.

Nothing comes from elsewhere and nothing is built: what lies in `static/` is what is served.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from watch.console.viewer import NotThere

_FOLDER: Final = Path(__file__).parent / "static"
_TYPES: Final[Mapping[str, str]] = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    "": "text/plain; charset=utf-8",
}
_HASH_CHARS: Final = 12
_FOR_A_YEAR: Final = "public, max-age=31536000, immutable"


@dataclass(frozen=True, slots=True)
class Asset:
    """A file."""

    url: str
    type: str
    body: bytes


@lru_cache(maxsize=1)
def assets() -> Mapping[str, Asset]:
    """All files, by their names in `static/`."""
    found = {}
    for path in sorted(_FOLDER.rglob("*")):
        if path.is_file() and path.suffix in _TYPES:
            name, body = path.relative_to(_FOLDER).as_posix(), path.read_bytes()
            digest = hashlib.sha256(body).hexdigest()[:_HASH_CHARS]
            found[name] = Asset(f"/static/{digest}/{name}", _TYPES[path.suffix], body)
    return found


def asset_url(name: str) -> str:
    """The address of a file in `static/`. Raises KeyError where there is none: a template's mistake."""
    return assets()[name].url


def static_route() -> Route:
    """The route that serves them; an address with an old hash is not found."""
    by_url = {asset.url: asset for asset in assets().values()}

    async def static(request: Request) -> Response:
        asset = by_url.get(request.url.path)
        if asset is None:
            raise NotThere("file")
        return Response(asset.body, headers={"cache-control": _FOR_A_YEAR}, media_type=asset.type)

    return Route("/static/{path:path}", static)
