"""A Grafana that keeps folders and dashboards as the real one does, on a socket.

Held to Grafana's HTTP API (Folder, Dashboard and Search API, versions 10 to 12): a uid is one dashboard's, a
title is one dashboard's in a folder, a folder must be there first, each save is a version, a save that does
not say `overwrite` must name the newest version, and numbers are Grafana's own to give.
"""

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

TOKEN = "glsa_a-service-account"
VIEWER_TOKEN = "glsa_may-only-look"
_MOST_UID_CHARS = 40


@dataclass
class GrafanaApi:
    """What it holds, for a test to look at and to arrange."""

    url: str = ""
    folders: dict[str, str] = field(default_factory=dict)
    """Title by uid."""
    dashboards: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By uid: `dashboard`, `folder_uid` and `message`."""
    saves: list[str] = field(default_factory=list)
    """The uid of each save, in order."""
    migrates_to: int | None = None
    """The schema version that it stores everything in, as newer ones do."""
    _ids: Any = field(default_factory=lambda: itertools.count(1))

    def version(self, uid: str) -> int:
        """The version of a dashboard."""
        return int(self.dashboards[uid]["dashboard"]["version"])

    def put(self, dashboard: dict[str, Any], folder_uid: str = "", **options: Any) -> web.Response:
        """Save, as POST /api/dashboards/db does."""
        uid = dashboard.get("uid") or f"g{next(self._ids)}"
        title = dashboard.get("title")
        if not title:
            return _told(400, "Dashboard title cannot be empty")
        if len(uid) > _MOST_UID_CHARS:
            return _told(400, "uid contains illegal characters or is too long")
        if folder_uid and folder_uid not in self.folders:
            return _told(404, "folder not found")
        known = self.dashboards.get(uid)
        overwrite = options.get("overwrite", False)
        if known and not overwrite and dashboard.get("version") != known["dashboard"]["version"]:
            return _told(412, "The dashboard has been changed by someone else", status="version-mismatch")
        same_title = (
            other
            for other, stored in self.dashboards.items()
            if (stored["dashboard"]["title"], stored["folder_uid"]) == (title, folder_uid) and other != uid
        )
        if next(same_title, None) and not overwrite:
            return _told(412, "A dashboard with the same name already exists", status="name-exists")
        saved = {**dashboard, "uid": uid}
        saved["id"] = known["dashboard"]["id"] if known else next(self._ids)
        saved["version"] = known["dashboard"]["version"] + 1 if known else 1
        if self.migrates_to is not None:
            saved["schemaVersion"] = max(self.migrates_to, saved.get("schemaVersion", 0))
        self.dashboards[uid] = {
            "dashboard": saved,
            "folder_uid": folder_uid,
            "message": options.get("message", ""),
        }
        self.saves.append(uid)
        facts = {"id": saved["id"], "uid": uid, "url": f"/d/{uid}/x", "version": saved["version"]}
        return web.json_response({**facts, "status": "success", "slug": "x"})


@asynccontextmanager
async def grafana_api() -> AsyncIterator[GrafanaApi]:
    """A workspace with nothing in it."""
    held = GrafanaApi()
    application = web.Application(middlewares=[_door])
    application.add_routes([*_of_folders(held), *_of_dashboards(held)])
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        held.url = f"http://{host}:{port}"
        yield held
    finally:
        await runner.cleanup()


@web.middleware
async def _door(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    token = request.headers.get("authorization", "").removeprefix("Bearer ")
    if token not in {TOKEN, VIEWER_TOKEN}:
        return _told(401, "Unauthorized")
    if token == VIEWER_TOKEN and request.method != "GET":
        return _told(403, "You'll need additional permissions to perform this action")
    return await handler(request)


def _of_folders(held: GrafanaApi) -> list[web.RouteDef]:
    async def get_folder(request: web.Request) -> web.Response:
        uid = request.match_info["uid"]
        if uid not in held.folders:
            return _told(404, "folder not found")
        return web.json_response({"uid": uid, "title": held.folders[uid]})

    async def post_folder(request: web.Request) -> web.Response:
        asked = await request.json()
        if asked["uid"] in held.folders:
            return _told(412, "The folder has been changed by someone else")
        if asked["title"] in held.folders.values():
            return _told(409, "a folder with the same name already exists in the current location")
        held.folders[asked["uid"]] = asked["title"]
        return web.json_response(asked)

    async def put_folder(request: web.Request) -> web.Response:
        uid = request.match_info["uid"]
        held.folders[uid] = (await request.json())["title"]
        return web.json_response({"uid": uid, "title": held.folders[uid]})

    async def delete_folder(request: web.Request) -> web.Response:
        uid = request.match_info["uid"]
        if held.folders.pop(uid, None) is None:
            return _told(404, "folder not found")
        for other in [one for one, stored in held.dashboards.items() if stored["folder_uid"] == uid]:
            del held.dashboards[other]
        return web.json_response({"message": "Folder deleted"})

    return [
        web.get("/api/folders/{uid}", get_folder),
        web.post("/api/folders", post_folder),
        web.put("/api/folders/{uid}", put_folder),
        web.delete("/api/folders/{uid}", delete_folder),
    ]


def _of_dashboards(held: GrafanaApi) -> list[web.RouteDef]:
    async def get_dashboard(request: web.Request) -> web.Response:
        stored = held.dashboards.get(request.match_info["uid"])
        if stored is None:
            return _told(404, "Dashboard not found")
        meta = {"folderUid": stored["folder_uid"], "version": stored["dashboard"]["version"]}
        return web.json_response({"dashboard": stored["dashboard"], "meta": meta})

    async def post_dashboard(request: web.Request) -> web.Response:
        asked = await request.json()
        options = {name: asked[name] for name in ("overwrite", "message") if name in asked}
        return held.put(asked["dashboard"], asked.get("folderUid", ""), **options)

    async def delete_dashboard(request: web.Request) -> web.Response:
        if held.dashboards.pop(request.match_info["uid"], None) is None:
            return _told(404, "Dashboard not found")
        return web.json_response({"message": "deleted"})

    async def search(request: web.Request) -> web.Response:
        tags, folders = request.query.getall("tag", []), request.query.getall("folderUIDs", [])
        limit, page = int(request.query.get("limit", 1_000)), int(request.query.get("page", 1))
        found = [
            {
                "uid": uid,
                "title": stored["dashboard"]["title"],
                "type": "dash-db",
                "tags": stored["dashboard"].get("tags", []),
                **({"folderUid": stored["folder_uid"]} if stored["folder_uid"] else {}),
            }
            for uid, stored in sorted(held.dashboards.items())
            if set(tags) <= set(stored["dashboard"].get("tags", []))
            and (not folders or stored["folder_uid"] in folders)
        ]
        return web.json_response(found[(page - 1) * limit : page * limit])

    return [
        web.get("/api/dashboards/uid/{uid}", get_dashboard),
        web.post("/api/dashboards/db", post_dashboard),
        web.delete("/api/dashboards/uid/{uid}", delete_dashboard),
        web.get("/api/search", search),
    ]


def _told(code: int, message: str, **more: str) -> web.Response:
    return web.json_response({"message": message, **more}, status=code)
