"""The httpd applet of busybox: serves the files of a folder and runs the scripts in its /cgi-bin."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING
from urllib.parse import unquote

from attrs import define

from cnmsim.digits import is_number
from cnmsim.kernel.address import bracketed
from cnmsim.kernel.clock import EPOCH_S
from cnmsim.kernel.errno_text import strerror
from cnmsim.kernel.files import Pipe
from cnmsim.userland.busybox.applet import complain, read_options
from cnmsim.userland.http.message import REASONS, HttpError, Message, Stream, http_date
from cnmsim.userland.invocation import absolute_path, read_all
from cnmsim.userland.servers import apache

if TYPE_CHECKING:
    from cnmsim.kernel.process import Process
    from cnmsim.kernel.sockets.tcp import TcpSocket

_SYNOPSIS = "[-ifv[v]] [-p [IP:]PORT] [-u USER[:GRP]] [-h HOME] or httpd -d/-e/-m STRING"
_BACKLOG = 9
_READ_TIMEOUT_S = 60
_TYPES = {
    "html": "text/html", "htm": "text/html", "txt": "text/plain", "css": "text/css", "js": "application/javascript",
    "json": "application/json", "png": "image/png", "jpg": "image/jpeg", "gif": "image/gif", "svg": "image/svg+xml",
}  # fmt: skip
_ERRORS = {
    400: "Unsupported method", 404: "The requested URL was not found", 500: "Internal Server Error",
    501: "The requested method is not recognized",
}  # fmt: skip


@define(eq=False)
class _Server:
    process: Process
    home: str
    address: str
    port: int

    async def serve(self, listener: TcpSocket) -> int:
        """Accept connections until the program is killed, and serve each of them in a separate task."""
        while True:
            connection = await listener.accept()
            self.process.task(self._converse(connection))

    async def _converse(self, connection: TcpSocket) -> None:
        stream = Stream(connection, self.process.clock)
        stream.idle_timeout_s = _READ_TIMEOUT_S
        try:
            request = await stream.head()
            if request is not None:
                length = request.header("Content-Length") or "0"
                if is_number(length) and int(length):
                    request.body = await stream.body(request)
                connection.send(await self._answer(request, connection))
                connection.shutdown_write()
                while await stream.fill():
                    stream.buffer = b""
        except HttpError:
            connection.send(self._error(400))
        except OSError:
            pass  # the client closed the connection
        finally:
            connection.close()

    async def _answer(self, request: Message, connection: TcpSocket) -> bytes:
        words = request.start.split()
        if len(words) < 2:
            return self._error(400)
        method, target = words[0], words[1]
        path, _, query = target.partition("?")
        path = posixpath.normpath(unquote(path))
        if path.startswith("/cgi-bin/"):
            return await self._run_cgi(request, method, path, query, connection)
        if method not in ("GET", "HEAD"):
            return self._error(501)
        return self._file(target, path)

    def _head(self, status: int, headers: list[str]) -> bytes:
        lines = [
            f"HTTP/1.1 {status} {REASONS[status]}", f"Date: {http_date(self.process.clock.unix_s)}",
            "Connection: close", *headers, "", "",
        ]  # fmt: skip
        return "\r\n".join(lines).encode()

    def _error(self, status: int) -> bytes:
        title = f"{status} {REASONS[status]}"
        text = (
            f"<HTML><HEAD><TITLE>{title}</TITLE></HEAD>\n<BODY><H1>{title}</H1>\n{_ERRORS[status]}\n</BODY></HTML>\n"
        )
        return self._head(status, ["Content-type: text/html"]) + text.encode()

    def _file(self, target: str, path: str) -> bytes:
        files = self.process.files
        path_served = posixpath.join(self.home, path.lstrip("/"))
        if files.is_dir(path_served):
            if not target.partition("?")[0].endswith("/"):
                return self._head(302, ["Content-type: text/html", f"Location: {path}/"])
            path_served = posixpath.join(path_served, "index.html")
        if not files.exists(path_served) or files.is_dir(path_served):
            return self._error(404)
        body = files.read(path_served)
        kind = _TYPES.get(posixpath.splitext(path_served)[1].lstrip("."), "application/octet-stream")
        headers = [
            f"Content-type: {kind}", "Accept-Ranges: bytes", f"Last-Modified: {http_date(EPOCH_S)}",
            f'ETag: "{EPOCH_S:x}-{len(body):x}"', f"Content-Length: {len(body)}",
        ]  # fmt: skip
        # busybox sends the body for HEAD requests, too.
        return self._head(200, headers) + body

    async def _run_cgi(self, request: Message, method: str, path: str, query: str, connection: TcpSocket) -> bytes:
        address, port = connection.getpeername()
        client = bracketed(address)
        path_served = posixpath.join(self.home, path.lstrip("/"))
        files = self.process.files
        if not files.exists(path_served):
            return self._error(404)
        from cnmsim.userland.sh.command import run_script

        output = Pipe(self.process.clock)
        body = Pipe(self.process.clock)
        body.write(request.body)
        body.close()
        environment = {
            **self.process.env, "REMOTE_ADDR": client, "REMOTE_PORT": str(port), "REQUEST_METHOD": method,
            "QUERY_STRING": query, "SCRIPT_NAME": path, "PATH_INFO": "", "GATEWAY_INTERFACE": "CGI/1.1",
            "SERVER_PROTOCOL": "HTTP/1.1", "SERVER_SOFTWARE": "busybox httpd/1.37.0",
            "HTTP_HOST": request.header("Host") or "", "CONTENT_LENGTH": str(len(request.body)),
            "PWD": posixpath.dirname(path_served),
        }  # fmt: skip

        async def script(process: Process) -> int:
            return await run_script(process, path_served, [])

        child = self.process.start(script, [path_served], env=environment, stdin=body, stdout=output)
        child.exited.add_done_callback(lambda _: output.close())
        printed = await read_all(output)
        return (b"" if printed.startswith(b"HTTP/") else b"HTTP/1.1 200 OK\r\n") + printed


async def main(process: Process) -> int:
    """Run `httpd [-f] [-p [IP:]PORT] [-h FOLDER]`. Without `-f` it continues in the background once it listens."""
    if process.files.is_dir("/usr/local/apache2"):
        return await apache.main(process)  # Apache has this name, too
    options = read_options(process, "fvp:u:h:", _SYNOPSIS)
    where = options.get("p", "80") or "80"
    address, _, port = where.rpartition(":")
    if not is_number(port) or not 0 < int(port) < 65536:
        return complain(process, f"bad port '{port}'")
    home = absolute_path(process, options.get("h", ".") or ".")
    address = address.strip("[]")
    if not process.files.is_dir(home):
        cause = "Not a directory" if process.files.exists(home) else "No such file or directory"
        return complain(process, f"can't change directory to '{options.get('h')}': {cause}")
    listener = process.tcp(4 if address and ":" not in address else 6)
    listener.reuse_address = True
    try:
        listener.bind((address or "::", int(port)))
        listener.listen(_BACKLOG)
    except (OSError, ValueError) as error:
        text = strerror(error) if isinstance(error, OSError) else f"bad address '{address}'"
        return complain(process, f"bind: {text}" if isinstance(error, OSError) else text)

    async def serve(server: Process) -> int:
        return await _Server(server, home, address, int(port)).serve(listener)

    if "f" in options:
        return await serve(process)
    process.daemonise(serve, listener)
    return 0
