"""nginx: serves the files of /usr/share/nginx/html, and writes log lines as nginx does.

The formats are those of the image nginx:1.29 (`docker-entrypoint.sh`, `nginx.conf`).
"""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING
from urllib.parse import unquote

from cnmsim.kernel.clock import EPOCH_S
from cnmsim.kernel.procfs import KERNEL_RELEASE
from cnmsim.userland.http.message import REASONS, http_date
from cnmsim.userland.servers.http_server import HttpServer, Request, Response, date_header, stamp, until_signal

if TYPE_CHECKING:
    from cnmsim.kernel.process import Process

_VERSION = "1.29.4"
_ROOT = "/usr/share/nginx/html"
_ENTRYPOINT = """\
/docker-entrypoint.sh: /docker-entrypoint.d/ is not empty, will attempt to perform configuration
/docker-entrypoint.sh: Looking for shell scripts in /docker-entrypoint.d/
/docker-entrypoint.sh: Launching /docker-entrypoint.d/10-listen-on-ipv6-by-default.sh
10-listen-on-ipv6-by-default.sh: info: Getting the checksum of /etc/nginx/conf.d/default.conf
10-listen-on-ipv6-by-default.sh: info: Enabled listen on IPv6 in /etc/nginx/conf.d/default.conf
/docker-entrypoint.sh: Sourcing /docker-entrypoint.d/15-local-resolvers.envsh
/docker-entrypoint.sh: Launching /docker-entrypoint.d/20-envsubst-on-templates.sh
/docker-entrypoint.sh: Launching /docker-entrypoint.d/30-tune-worker-processes.sh
/docker-entrypoint.sh: Configuration complete; ready for start up
"""
_NOTICES = (
    'using the "epoll" event method', "nginx/{version}", "built by gcc 14.2.0 (Debian 14.2.0-19) ",
    f"OS: Linux {KERNEL_RELEASE}", "getrlimit(RLIMIT_NOFILE): 1048576:1048576", "start worker processes",
    "start worker process 29",
)  # fmt: skip
_TYPES = {
    ".css": "text/css", ".gif": "image/gif", ".htm": "text/html", ".html": "text/html", ".jpg": "image/jpeg",
    ".js": "application/javascript", ".json": "application/json", ".png": "image/png", ".svg": "image/svg+xml",
    ".txt": "text/plain", ".xml": "text/xml",
}  # fmt: skip


def version(process: Process) -> str:
    """Return nginx's version: the variable `NGINX_VERSION`, which the image sets, or else a default."""
    return process.env.get("NGINX_VERSION", _VERSION)


def start_lines(process: Process) -> str:
    """Return the text that the image writes when it starts: the lines of its entrypoint and nginx's notices."""
    now = stamp(process, "%Y/%m/%d %H:%M:%S")
    notices = (text.replace("{version}", version(process)) for text in _NOTICES)
    return _ENTRYPOINT + "".join(f"{now} [notice] 1#1: {text}\n" for text in notices)


def answer(process: Process, request: Request) -> Response:
    """Return nginx's response to a request for a file below /usr/share/nginx/html."""
    headers = (f"Server: nginx/{version(process)}", date_header(process))
    if request.method not in {"GET", "HEAD"}:
        return _error(process, 405, headers)
    path = posixpath.normpath("/" + unquote(request.path).lstrip("/"))
    file = posixpath.join(_ROOT, path.lstrip("/"))
    files = process.files
    if files.is_dir(file) and path != "/" and not request.path.endswith("/"):
        return Response(
            301, (*headers, "Content-Type: text/html", f"Location: http://{request.header('Host')}{path}/")
        )
    name = posixpath.join(file, "index.html") if request.path.endswith("/") else file
    if files.exists(name) and not files.is_dir(name):
        body = files.read(name)
    else:
        _log_error(process, request, name)
        return _error(process, 404, headers)
    kind = _TYPES.get(posixpath.splitext(name)[1], "application/octet-stream")
    return Response(
        200,
        (
            *headers, f"Content-Type: {kind}", f"Last-Modified: {http_date(EPOCH_S)}",
            f'ETag: "{EPOCH_S:x}-{len(body):x}"', "Accept-Ranges: bytes",
        ),
        body,
    )  # fmt: skip


def _error(process: Process, status: int, headers: tuple[str, ...]) -> Response:
    title = f"{status} {'Not Allowed' if status == 405 else REASONS[status]}"
    body = (
        f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n"
        f"<hr><center>nginx/{version(process)}</center>\r\n</body>\r\n</html>\r\n"
    )
    return Response(status, (*headers, "Content-Type: text/html"), body.encode())


def _log_error(process: Process, request: Request, name: str) -> None:
    process.error(
        f'{stamp(process, "%Y/%m/%d %H:%M:%S")} [error] 29#29: *1 open() "{name}" failed (2: No such file or '
        f'directory), client: {request.client}, server: localhost, request: "{request.message.start}", '
        f'host: "{request.header("Host")}"\n'
    )


def log(process: Process, request: Request, response: Response) -> None:
    """Write nginx's log line about a request, in the image's log format `main`."""
    process.write(
        f'{request.client} - - [{stamp(process, "%d/%b/%Y:%H:%M:%S +0000")}] "{request.message.start}" '
        f'{response.status} {0 if request.method == "HEAD" else len(response.body)} "{request.header("Referer")}" '
        f'"{request.header("User-Agent")}" "{request.header("X-Forwarded-For")}"\n'
    )


async def main(process: Process) -> int:
    """Run `nginx [-g DIRECTIVES] [-t]`: serve port 80 until a signal ends it."""
    if "-t" in process.argv:
        process.error(
            "nginx: the configuration file /etc/nginx/nginx.conf syntax is ok\n"
            "nginx: configuration file /etc/nginx/nginx.conf test is successful\n"
        )
        return 0
    if "-v" in process.argv:
        process.error(f"nginx version: nginx/{version(process)}\n")
        return 0
    server = HttpServer(
        process, lambda request: answer(process, request), lambda request, response: log(process, request, response)
    )
    problem = server.listen(80)
    if problem:
        is_taken = problem == "Address already in use"
        start = f"{stamp(process, '%Y/%m/%d %H:%M:%S')} [emerg] 1#1: "
        process.error(f"{start}bind() to 0.0.0.0:80 failed ({'98: ' if is_taken else ''}{problem})\n")
        if is_taken:
            process.error(f"{start}still could not bind()\n")
        return 1
    process.error(start_lines(process))
    return await until_signal(process)
