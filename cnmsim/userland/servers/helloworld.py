"""testcontainers/helloworld: a web server for tests of Testcontainers, on two ports (`internal/server/server.go`)."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from cnmsim.userland.servers.http_server import HttpServer, Request, Response, date_header, stamp, until_signal

if TYPE_CHECKING:
    from cnmsim.kernel.process import Process

_PAGE = (
    b'<!doctype html>\n\n<html lang="en">\n<head>\n    <title>Hello world</title>\n</head>\n\n'
    b"<body>\n<h1>Hello world</h1>\n</body>\n</html>\n"
)


def answer(process: Process, request: Request) -> Response:
    """Return the response to a request: `/ping` is answered with PONG, `/uuid` with a new UUID."""
    plain = (date_header(process), "Content-Type: text/plain; charset=utf-8")
    if request.path == "/ping":
        return Response(200, plain, b"PONG")
    if request.path == "/uuid":
        drawn = process.clock.stream(f"helloworld/{process.hostname}").randbytes(16)
        return Response(200, plain, str(uuid.UUID(bytes=drawn, version=4)).encode())
    if request.path in ("/", "/index.html"):
        return Response(200, (date_header(process), "Content-Type: text/html; charset=utf-8"), _PAGE)
    return Response(404, plain, b"404 page not found\n")


async def main(process: Process) -> int:
    """Run `helloworld`: serve ports 8080 and 8081, each after `DELAY_START_MSEC` milliseconds."""

    def write(text: str) -> None:
        process.error(f"{stamp(process, '%Y/%m/%d %H:%M:%S')} {text}\n")

    def log(request: Request, response: Response) -> None:
        process.write(
            f"{request.client} - - [{stamp(process, '%d/%b/%Y:%H:%M:%S +0000')}] "
            f'"{request.message.start}" {response.status} {len(response.body)}\n'
        )

    text = process.env.get("DELAY_START_MSEC", "0")
    if not text.isdecimal() or len(text) > 9:
        write(
            f"Environment variable DELAY_START_MSEC could not be parsed as an integer. Found value: {text}. Will use "
            "default value: 0"
        )
        return 1
    write(f"DELAY_START_MSEC: {int(text)}")
    for port in (8080, 8081):
        write(f"Sleeping for {int(text)} ms")
        await process.sleep(int(text) / 1000)
        write(f"Starting server on port {port}")
        server = HttpServer(process, lambda request: answer(process, request), log)
        if problem := server.listen(port):
            write(f"listen tcp :{port}: bind: {problem.lower()}")
            return 1
    write("Ready, listening on 8080 and 8081")
    return await until_signal(process)
