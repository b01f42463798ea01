"""busybox wget for HTTP. TLS and FTP are not simulated."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from attrs import define

from cnmsim.kernel.address import Address, family_of, format_endpoint
from cnmsim.kernel.errno_text import strerror
from cnmsim.userland.busybox.applet import connect_error_text, show_usage, usage_errors
from cnmsim.userland.deadline import deadline_ns
from cnmsim.userland.http.message import BadIpv6Error, HttpError, Message, Stream, Url, UrlError
from cnmsim.userland.invocation import absolute_path
from cnmsim.userland.libc.getopt import Options, getopt
from cnmsim.userland.libc.resolver import ResolveError, Resolver

if TYPE_CHECKING:
    from cnmsim.kernel.process import Process
    from cnmsim.kernel.sockets.tcp import TcpSocket

_SYNOPSIS = (
    "[-cqS] [--spider] [-O FILE] [-o LOGFILE] [--header STR]\n\t[--post-data STR | --post-file FILE] [-Y on/off]\n"
    "\t[--no-check-certificate] [-P DIR] [-U AGENT] [-T SEC] URL..."
)
_MAX_REDIRECTIONS = 5
_REDIRECTIONS = (301, 302, 303, 307, 308)
_TIMEOUT_S = 900


class _Failure(Exception):
    """Raised to end wget with this error text and a non-zero exit status."""


@define(eq=False)
class _Download:
    process: Process
    options: Options
    url: Url
    timeout_s: float

    @property
    def is_quiet(self) -> bool:
        return "q" in self.options

    def log(self, text: str) -> None:
        if not self.is_quiet:
            self.process.error(text)

    async def run(self) -> None:
        """Fetch the URL and save the body. Raises `_Failure` if that fails."""
        name = posixpath.basename(self.url.target.partition("?")[0]) or "index.html"
        for _ in range(_MAX_REDIRECTIONS + 1):
            stream, answer = await self._request()
            location = answer.header("Location")
            if answer.status in _REDIRECTIONS and location:
                stream.socket.close()
                self._follow(location)
                continue
            if answer.status not in (200, 201, 202, 203, 204, 206):
                stream.socket.close()
                raise _Failure(f"server returned error: {answer.start}")
            if "spider" in self.options:
                stream.socket.close()
                self.log("remote file exists\n")
                return
            try:
                await self._save(stream, answer, name)
            finally:
                stream.socket.close()
            return
        raise _Failure("too many redirections")

    def _follow(self, location: str) -> None:
        try:
            self.url = self.url.redirected(location)
        except UrlError as error:
            raise _Failure(f"bad redirection: {error}") from None

    async def _address(self) -> Address:
        resolver = Resolver(self.process)
        try:
            return (await resolver.addresses(self.url.host, self.options.family))[0]
        except ResolveError:
            raise _Failure(f"bad address '{self.url.host_header}'") from None

    async def _connect(self) -> TcpSocket:
        address = await self._address()
        self.log(f"Connecting to {self.url.host_header} ({format_endpoint(address, self.url.port)})\n")
        socket = self.process.tcp(family_of(address))
        until_ns = deadline_ns(self.process.clock, self.timeout_s)
        try:
            await socket.connect((address, self.url.port), self.timeout_s)
        except OSError as error:
            if isinstance(error, TimeoutError) and self.process.clock.now_ns >= until_ns:
                raise _Failure("download timed out") from None
            raise _Failure(connect_error_text(address, error)) from None
        return socket

    async def _request(self) -> tuple[Stream, Message]:
        if self.url.scheme != "http":
            raise _Failure(f"not an http or ftp url: {self.url.scheme}://{self.url.host_header}{self.url.target}")
        stream = Stream(await self._connect(), self.process.clock)
        stream.idle_timeout_s = self.timeout_s
        try:
            stream.socket.send(self._request_text().encode())
            answer = await stream.head()
        except TimeoutError:
            raise _Failure("download timed out") from None
        except OSError as error:
            raise _Failure(f"error getting response: {strerror(error)}") from None
        except HttpError:
            raise _Failure("error getting response") from None
        if answer is None:
            raise _Failure("error getting response")
        if "S" in self.options:
            self.process.error("".join(f"  {line}\n" for line in answer.head_text.splitlines()) + "  \n")
        try:
            _ = answer.status
        except HttpError:
            raise _Failure("bad response from server") from None
        return stream, answer

    def _request_text(self) -> str:
        extra = self.options.every("header")
        header_names = {line.partition(":")[0].strip().lower() for line in extra}
        data = self.options.get("post-data")
        path = self.options.get("post-file")
        if path is not None:
            data = self.process.files.read(absolute_path(self.process, path)).decode(errors="surrogateescape")
        method = "POST" if data is not None else "HEAD" if "spider" in self.options else "GET"
        lines = [f"{method} {self.url.target} HTTP/1.1"]
        if "host" not in header_names:
            lines.append(f"Host: {self.url.host_header}")
        if "user-agent" not in header_names:
            lines.append(f"User-Agent: {self.options.get('U', 'Wget')}")
        lines += ["Connection: close", *extra]
        if data is not None:
            lines.append("Content-Type: application/x-www-form-urlencoded")
            lines.append(f"Content-Length: {len(data)}")
        return "\r\n".join(lines) + "\r\n\r\n" + (data or "")

    async def _save(self, stream: Stream, answer: Message, name: str) -> None:
        target = self.options.get("O")
        path = ""
        if target is None:
            folder = self.options.get("P")
            path = absolute_path(self.process, posixpath.join(folder, name) if folder else name)
            if self.process.files.exists(path) and "c" not in self.options:
                raise _Failure(f"can't open '{name}': File exists")
        elif target != "-":
            path = absolute_path(self.process, target)
        shown = target if target not in (None, "-") else name
        self.log("writing to stdout\n" if target == "-" else f"saving to '{shown}'\n")
        try:
            body = await stream.body(answer, has_none=answer.status == 204)
        except TimeoutError:
            raise _Failure("download timed out") from None
        except OSError as error:
            raise _Failure(f"read error: {strerror(error)}") from None
        except HttpError:
            raise _Failure("connection closed prematurely") from None
        if target == "-":
            self.process.write(body)
        elif path != "/dev/null":
            try:
                self.process.files.write(path, body)
            except OSError as error:
                raise _Failure(f"can't open '{shown}': {strerror(error)}") from None
        # busybox starts the progress line with a carriage return only on a terminal.
        start = "\r" if "TERM" in self.process.env else ""
        label = posixpath.basename(target or name)
        self.log(f"{start}{label:<20.20} 100% |{'*' * 32}| {_size(len(body)):>5}  0:00:00 ETA\n")
        self.log("written to stdout\n" if target == "-" else f"'{shown}' saved\n")


def _size(count: int) -> str:
    for unit in ("", "k", "M", "G"):
        if count < 100_000:
            return f"{count}{unit}"
        count //= 1024
    return f"{count}T"


async def main(process: Process) -> int:
    """Run `wget [-qS] [--spider] [-O FILE] [-T SECS] [--header TEXT] [--post-data TEXT] URL…`."""
    long = (
        "spider", "header=", "post-data=", "post-file=", "no-check-certificate", "quiet", "timeout=", "tries=",
        "output-document=", "user-agent=", "server-response", "no-verbose", "proxy=", "continue", "directory-prefix=",
    )  # fmt: skip
    table = {name: name.rstrip("=") for name in long} | {
        "quiet": "q", "timeout=": "T", "output-document=": "O", "user-agent=": "U", "server-response": "S",
        "tries=": "t", "no-verbose": "nv", "continue": "c", "directory-prefix=": "P",
    }  # fmt: skip
    with usage_errors(process, _SYNOPSIS):
        options = getopt(process.argv[1:], "cqSO:T:t:P:U:Y:46n:", table)
        timeout_s = options.seconds("T", _TIMEOUT_S) or _TIMEOUT_S
    if not options.operands:
        return show_usage(process, _SYNOPSIS)
    for text in options.operands:
        try:
            await _Download(process, options, Url.parse(text), timeout_s).run()
        except BadIpv6Error as error:
            process.error(f"wget: bad address '{error.host}'\n")
            return 1
        except (_Failure, UrlError) as failure:
            process.error(f"wget: {failure}\n")
            return 1
        except OSError as error:
            process.error(f"wget: {strerror(error)}\n")
            return 1
    return 0
