"""Apache httpd: serves the files of htdocs, and writes log lines as the image httpd:2.4 does."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING
from urllib.parse import unquote

from cnmsim.kernel.clock import EPOCH_S
from cnmsim.userland.http.message import http_date
from cnmsim.userland.servers.http_server import HttpServer, Request, Response, date_header, stamp, until_signal

if TYPE_CHECKING:
    from cnmsim.kernel.process import Process

_VERSION = "2.4.66"
_ROOTS = ("/usr/local/apache2/htdocs", "/var/www/html")
_TYPES = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".txt": "text/plain",
    ".png": "image/png",
}


def version(process: Process) -> str:
    """Return Apache's version: the variable `HTTPD_VERSION`, which the image sets, or else a default."""
    return process.env.get("HTTPD_VERSION", _VERSION)


def answer(process: Process, request: Request) -> Response:
    """Return Apache's response to a request for a file below its document root."""
    headers = (date_header(process), f"Server: Apache/{version(process)} (Unix)")
    path = posixpath.normpath("/" + unquote(request.path).lstrip("/"))
    files = process.files
    root = next((folder for folder in _ROOTS if files.is_dir(folder)), _ROOTS[0])
    name = posixpath.join(root, path.lstrip("/"))
    if files.is_dir(name) or path == "/":
        name = posixpath.join(name, "index.html")
    if files.exists(name) and not files.is_dir(name):
        body = files.read(name)
    else:
        text = (
            '<!DOCTYPE HTML PUBLIC "-//IETF//DTD HTML 2.0//EN">\n<html><head>\n<title>404 Not Found</title>\n</head>'
            "<body>\n<h1>Not Found</h1>\n<p>The requested URL was not found on this server.</p>\n</body></html>\n"
        )
        return Response(404, (*headers, "Content-Type: text/html; charset=iso-8859-1"), text.encode())
    kind = _TYPES.get(posixpath.splitext(name)[1], "application/octet-stream")
    return Response(
        200,
        (
            *headers, f"Last-Modified: {http_date(EPOCH_S)}", f'ETag: "{len(body):x}-{EPOCH_S:x}"',
            "Accept-Ranges: bytes", f"Content-Type: {kind}",
        ),
        body,
    )  # fmt: skip


def log(process: Process, request: Request, response: Response) -> None:
    """Write Apache's log line about a request, in the common log format."""
    process.write(
        f'{request.client} - - [{stamp(process, "%d/%b/%Y:%H:%M:%S +0000")}] "{request.message.start}" '
        f"{response.status} {0 if request.method == 'HEAD' else len(response.body)}\n"
    )


async def main(process: Process) -> int:
    """Run `httpd-foreground`, `apache2-foreground` or `httpd`: serve port 80 until a signal ends the process.

    `-v` prints the version, `-t` the result of a syntax check.
    """
    if "-v" in process.argv[1:]:
        process.write(f"Server version: Apache/{version(process)} (Unix)\nServer built:   Jan  1 2026 00:00:00\n")
        return 0
    if {"-t", "configtest"} & set(process.argv[1:]):
        process.error("Syntax OK\n")
        return 0
    server = HttpServer(
        process, lambda request: answer(process, request), lambda request, response: log(process, request, response)
    )
    problem = server.listen(80)
    if problem:
        process.error(f"(98){problem}: AH00072: make_sock: could not bind to address [::]:80\n")
        return 1
    now = stamp(process, "%a %b %d %H:%M:%S.000000 %Y")
    process.error(
        f"[{now}] [mpm_event:notice] [pid 1:tid 1] AH00489: Apache/{version(process)} (Unix) configured -- "
        f"resuming normal operations\n"
        f"[{now}] [core:notice] [pid 1:tid 1] AH00094: Command line: 'httpd -D FOREGROUND'\n"
    )
    return await until_signal(process)
