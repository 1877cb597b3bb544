"""Grafana's HTTP API, as far as dashboards need it: folders and dashboards by uid, found again by tag.

Of Amazon Managed Grafana it is the same API, with the token of a service account of the workspace. What is to
be put and what is to go is decided in `applying`.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, Self
from urllib.parse import quote

import httpx

from llmplatform.errors import ConfigFault

_WITHIN_S: Final = 30.0
_PAGE: Final = 1_000
_MOST_PAGES: Final = 100

Json = Mapping[str, Any]


class GrafanaFault(ConfigFault):
    """Grafana did not do what it was asked."""

    code = "grafana"


@dataclass(frozen=True, slots=True)
class Found:
    """A dashboard, as a search tells of it."""

    uid: str
    title: str
    folder_uid: str
    tags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Stored:
    """A dashboard, as it is stored."""

    dashboard: Json
    folder_uid: str

    @property
    def version(self) -> int:
        """How often it was saved."""
        return int(self.dashboard.get("version", 0))


class Grafana:
    """A workspace. Raises GrafanaFault where it cannot be reached, refuses, or makes no sense."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    @classmethod
    @asynccontextmanager
    async def at(cls, url: str, token: str) -> AsyncIterator[Self]:
        """The workspace at an address, with a service account's token."""
        async with httpx.AsyncClient(
            base_url=url.rstrip("/"),
            headers={"authorization": f"Bearer {token}", "accept": "application/json"},
            timeout=_WITHIN_S,
        ) as client:
            yield cls(client)

    async def folder(self, uid: str) -> str | None:
        """The title of a folder, None where there is none."""
        reply = await self._ask("GET", f"/api/folders/{_part(uid)}", may_be_missing=True)
        return None if reply is None else str(reply["title"])

    async def put_folder(self, uid: str, title: str) -> None:
        """A folder with this uid and title, made or renamed."""
        known = await self.folder(uid)
        if known is None:
            await self._ask("POST", "/api/folders", {"uid": uid, "title": title})
        elif known != title:
            await self._ask("PUT", f"/api/folders/{_part(uid)}", {"title": title, "overwrite": True})

    async def delete_folder(self, uid: str) -> bool:
        """Delete a folder; False, and it stays, where something is in it or it is gone already."""
        if await self.folder(uid) is None or await self._search(folderUIDs=uid):
            return False
        await self._ask("DELETE", f"/api/folders/{_part(uid)}", may_be_missing=True)
        return True

    async def tagged(self, tag: str) -> list[Found]:
        """The dashboards with a tag."""
        return [
            Found(
                str(item["uid"]),
                str(item.get("title", "")),
                str(item.get("folderUid") or ""),
                tuple(map(str, item.get("tags") or ())),
            )
            for item in await self._search(type="dash-db", tag=tag)
        ]

    async def dashboard(self, uid: str) -> Stored | None:
        """A dashboard, None where there is none."""
        reply = await self._ask("GET", f"/api/dashboards/uid/{_part(uid)}", may_be_missing=True)
        if reply is None:
            return None
        return Stored(reply["dashboard"], str(reply.get("meta", {}).get("folderUid") or ""))

    async def put_dashboard(self, dashboard: Json, folder_uid: str, message: str) -> int:
        """Save a dashboard in a folder, over what has its uid; its new version."""
        body = {
            "dashboard": {**dashboard, "id": None},
            "folderUid": folder_uid,
            "message": message,
            "overwrite": True,
        }
        reply = await self._ask("POST", "/api/dashboards/db", body)
        return int(reply["version"]) if reply else 0

    async def delete_dashboard(self, uid: str) -> None:
        """Delete a dashboard, if it is there."""
        await self._ask("DELETE", f"/api/dashboards/uid/{_part(uid)}", may_be_missing=True)

    async def _search(self, **query: str) -> list[Json]:
        found: list[Json] = []
        for page in range(1, _MOST_PAGES + 1):
            asked = {**query, "limit": str(_PAGE), "page": str(page)}
            items = await self._ask("GET", "/api/search", query=asked)
            found += items or []
            if not items or len(items) < _PAGE:
                break
        return found

    async def _ask(
        self,
        method: str,
        path: str,
        body: Json | None = None,
        *,
        query: Mapping[str, str] | None = None,
        may_be_missing: bool = False,
    ) -> Any:
        """The reply's JSON; None for a 404 that may be."""
        what = f"{method} {path}"
        try:
            reply = await self._client.request(method, path, json=body, params=query)
        except httpx.HTTPError as error:
            raise GrafanaFault(
                f"Grafana at {self._client.base_url} cannot be reached ({type(error).__name__})"
            ) from error
        if reply.status_code == httpx.codes.NOT_FOUND and may_be_missing:
            return None
        if not reply.is_success:
            raise GrafanaFault(_told(what, reply))
        try:
            return reply.json()
        except ValueError:
            raise GrafanaFault(f"{what}: the answer is no JSON; is GRAFANA_URL Grafana's address?") from None


_MEANINGS: Final[Mapping[int, str]] = {
    401: "the token is not known or has expired: GRAFANA_TOKEN is a service account's",
    403: "the service account may not do this: it needs the role Editor (Admin to make folders' permissions)",
    404: "there is no such thing; a dashboard's folder must be there first",
    409: "something else has this name already",
    412: "something else has this name or uid, or somebody saved it meanwhile",
}


def _told(what: str, reply: httpx.Response) -> str:
    try:
        said = reply.json()
    except ValueError:
        said = {}
    message = said.get("message") or said.get("status") if isinstance(said, dict) else None
    meaning = _MEANINGS.get(reply.status_code, "")
    return f"{what}: {reply.status_code} {message or reply.reason_phrase}" + (
        f" ({meaning})" if meaning else ""
    )


def _part(text: str) -> str:
    return quote(text, safe="")
