"""traefik/whoami: responds with its host name, its addresses, and the request it received (`app.go`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnmsim.digits import is_number
from cnmsim.kernel.address import format_ip
from cnmsim.userland.http.message import Message
from cnmsim.userland.servers.http_server import HttpServer, Request, Response, date_header, stamp, until_signal

if TYPE_CHECKING:
    from cnmsim.kernel.process import Process


def answer(process: Process, request: Request) -> Response:
    """Return whoami's response to a request: a text with the container's name and addresses and with the request.

    The response to `/health` has no body.
    """
    headers = (date_header(process), "Content-Type: text/plain; charset=utf-8")
    if request.path == "/health":
        return Response(200, headers)
    name = process.env.get("WHOAMI_NAME", "")
    lines = [f"Name: {name}"] if name else []
    lines.append(f"Hostname: {process.hostname}")
    lines += [
        f"IP: {format_ip(item.address)}"
        for device in process.namespace.devices.values()
        for item in sorted(device.addresses, key=lambda item: len(item.address))
    ]
    client = f"[{request.client}]" if ":" in request.client else request.client
    lines += [f"RemoteAddr: {client}:{request.client_port}", f"{request.method} {request.target} HTTP/1.1"]
    lines.append(f"Host: {request.header('Host', '')}")
    lines += sorted(f"{key}: {value}" for key, value in _headers(request.message) if key.lower() != "host")
    return Response(200, headers, ("\n".join([*lines, ""]) + "\n").encode())


def _headers(message: Message) -> list[tuple[str, str]]:
    return [("-".join(part.capitalize() for part in key.split("-")), value) for key, value in message.headers]


async def main(process: Process) -> int:
    """Run `whoami [--port PORT] [--name NAME] [--verbose]`: serve the port until a signal ends the process."""
    words = process.argv[1:]
    options = dict(zip(words, [*words[1:], ""], strict=False)) | dict(
        word.split("=", 1) for word in words if "=" in word
    )
    port = options.get("--port") or options.get("-port") or process.env.get("WHOAMI_PORT_NUMBER", "80")
    process.env.setdefault("WHOAMI_NAME", options.get("--name") or options.get("-name") or "")
    is_verbose = any(word.lstrip("-") == "verbose" for word in words)

    def log(request: Request, _response: Response) -> None:
        if is_verbose:
            process.error(
                f"{request.client}:{request.client_port} - - [{stamp(process, '%d/%b/%Y:%H:%M:%S +0000')}] "
                f'"{request.message.start}" - -\n'
            )

    server = HttpServer(process, lambda request: answer(process, request), log)
    problem = server.listen(int(port) if is_number(port) else 80)
    now = stamp(process, "%Y/%m/%d %H:%M:%S")
    process.error(f"{now} Starting up on port {port}\n")
    if problem:
        process.error(f"{now} listen tcp :{port}: bind: {problem.lower()}\n")
        return 1
    return await until_signal(process)
