"""The web client's files, served from the package: nothing comes from another site."""

from collections.abc import Awaitable, Callable
from pathlib import Path

from aiohttp import web

WEB = Path(__file__).parent / "web"
KINDS = {
    ".html": "text/html",
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
    ".webmanifest": "application/manifest+json",
}
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data: blob:; "
    "media-src 'self' blob: mediastream:; connect-src 'self'; frame-ancestors 'none'; "
    "base-uri 'none'; form-action 'none'",
    "Cache-Control": "no-cache",
    "Permissions-Policy": "camera=(self), microphone=(self)",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Opener-Policy": "same-origin",
}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def page_routes(folder: Path = WEB) -> list[web.RouteDef]:
    """One route per file; / is index.html."""
    files = sorted(path for path in folder.iterdir() if path.suffix in KINDS)
    routes = [web.get(f"/{path.name}", _page(path)) for path in files]
    return [web.get("/", _page(folder / "index.html")), *routes]


def _page(path: Path) -> Handler:
    async def page(_: web.Request) -> web.StreamResponse:
        return web.FileResponse(path, headers={**HEADERS, "Content-Type": KINDS[path.suffix]})

    return page
