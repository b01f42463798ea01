"""curl for HTTP. TLS is not simulated: for https URLs the TCP connection succeeds and the handshake fails."""

from __future__ import annotations

import base64
import errno
import re
from contextlib import suppress
from typing import TYPE_CHECKING

from attrs import define, field

from cnmsim.digits import is_number
from cnmsim.kernel.address import Address, family_of, format_endpoint, format_ip, parse_ip
from cnmsim.kernel.clock import NS_PER_S
from cnmsim.kernel.errno_text import strerror
from cnmsim.kernel.task import wait_for
from cnmsim.kernel.unix_stream import UnixStream
from cnmsim.userland.busybox.echo import unescape
from cnmsim.userland.deadline import remaining_s, to_ns
from cnmsim.userland.http.message import HttpError, Message, Stream, Url, UrlError
from cnmsim.userland.http.unix_socket import connect_unix
from cnmsim.userland.invocation import absolute_path
from cnmsim.userland.libc.getopt import Options, UsageError, getopt
from cnmsim.userland.libc.resolver import ResolveError, Resolver

if TYPE_CHECKING:
    from cnmsim.kernel.process import Process
    from cnmsim.kernel.sockets.tcp import TcpSocket

VERSION = "8.14.1"
_MAX_REDIRECTIONS = 50
_CONNECT_TIMEOUT_S = 300.0
_KEEPALIVE_S, _KEEPALIVE_PROBES = 60, 9
_LONG = {
    "silent": "s", "show-error": "S", "verbose": "v", "include": "i", "head": "I", "output=": "o", "write-out=": "w",
    "max-time=": "m", "connect-timeout=": "connect-timeout", "header=": "H", "globoff": "g", "request=": "X",
    "data=": "d", "data-raw=": "d", "data-binary=": "d", "data-urlencode=": "d", "json=": "json", "insecure": "k",
    "resolve=": "resolve", "ipv4": "4", "ipv6": "6", "location": "L", "fail": "f", "user=": "u", "user-agent=": "A",
    "referer=": "e", "remote-name": "O", "noproxy=": "noproxy", "proxy=": "x", "interface=": "interface",
    "retry=": "retry", "retry-delay=": "retry-delay", "retry-connrefused": "retry-connrefused",
    "compressed": "compressed", "no-progress-meter": "no-progress-meter", "http1.1": "http1.1", "http1.0": "0",
    "no-buffer": "N", "version": "V", "url=": "url", "get": "G", "cookie=": "b", "local-port=": "local-port",
    "unix-socket=": "unix-socket", "fail-with-body": "fail-with-body", "path-as-is": "path-as-is",
    "tcp-nodelay": "tcp-nodelay", "dump-header=": "D", "connect-to=": "connect-to",
    "keepalive-time=": "keepalive-time", "keepalive-cnt=": "keepalive-cnt", "no-keepalive": "no-keepalive",
}  # fmt: skip
_METER = (
    "  % Total    % Received % Xferd  Average Speed   Time    Time     Time  Current\n"
    "                                 Dload  Upload   Total   Spent    Left  Speed\n"
)


#: Regular expressions for getopt's error texts, and curl's wording of each.
_USAGE_TEXTS = {
    r"invalid option -- '(.)'": r"option -\1: is unknown",
    r"unrecognized option '(--.*)'": r"option \1: is unknown",
    r"option requires an argument -- '(.)'": r"option -\1: requires parameter",
    r"option '(--.*)' requires an argument": r"option \1: requires parameter",
}


class _CurlError(Exception):
    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


@define(eq=False)
class _Transfer:
    process: Process
    options: Options
    url: Url
    started_ns: int
    text: str
    answer: Message | None = None
    values: dict[str, str] = field(factory=dict)
    connected_ns: int = 0
    resolved_ns: int = 0
    first_byte_ns: int = 0
    size: int = 0
    redirections: int = 0

    @property
    def max_time_s(self) -> float:
        return _seconds_option(self.options, "m")

    def elapsed_ms(self) -> int:
        return round((self.process.clock.now_ns - self.started_ns) / 1_000_000)

    def log_verbose(self, text: str) -> None:
        if "v" in self.options:
            self.process.error(f"* {text}\n")

    def remaining(self, phase_s: float = 0.0) -> float | None:
        limits = [to_ns(limit) for limit in (self.max_time_s, phase_s) if limit]
        return remaining_s(self.process.clock, self.started_ns + min(limits)) if limits else None

    async def run(self) -> bytes:
        """Fetch the URL and return the body. Follow redirections if -L was given.

        Raises `_CurlError` if that fails.
        """
        while True:
            body = await self._transfer_once()
            location = self.answer.header("Location") if self.answer else None
            if "L" not in self.options or not location or not 300 <= self._status() < 400:
                return body
            self.redirections += 1
            if self.redirections > _MAX_REDIRECTIONS:
                raise _CurlError(47, f"Maximum ({_MAX_REDIRECTIONS}) redirects followed")
            self.url = self.url.redirected(location)

    def _status(self) -> int:
        return self.answer.status if self.answer is not None else 0

    async def _transfer_once(self) -> bytes:
        if self.url.scheme not in ("http", "https"):
            raise _CurlError(1, f'Protocol "{self.url.scheme}" not supported')
        self.size = 0
        path = self.options.get("unix-socket")
        socket = self._connect_unix(path) if path else await self._connect(await self._addresses())
        stream = Stream(socket, self.process.clock)
        if self.max_time_s:
            stream.until_ns = self.started_ns + to_ns(self.max_time_s)
        try:
            if self.url.scheme == "https":
                raise _CurlError(35, "TLS connect error: error:00000000:lib(0)::reason(0)")
            return await self._exchange(socket, stream)
        except TimeoutError:
            expected = self.answer.header("Content-Length") if self.answer else None
            out_of = f" out of {expected}" if expected else ""
            raise _CurlError(
                28,
                f"Operation timed out after {self.elapsed_ms()} milliseconds with "
                f"{self.size + len(stream.buffer)}{out_of} bytes "
                f"received",
            ) from None
        except OSError as error:
            raise _CurlError(56, f"Recv failure: {strerror(error)}") from None
        except HttpError as error:
            if str(error) == "body is cut short" and self.answer is not None:
                length = int(self.answer.header("Content-Length") or 0)
                raise _CurlError(18, f"end of response with {length - len(stream.buffer)} bytes missing") from None
            raise _CurlError(1, "Received HTTP/0.9 when not allowed") from None
        finally:
            socket.close()
            self.log_verbose("shutting down connection #0")

    def _connect_unix(self, path: str) -> UnixStream:
        text = f"Failed to connect to {self.url.host} port {self.url.port} after {self.elapsed_ms()} ms: "
        try:
            connection = connect_unix(self.process, path)
        except OSError:
            raise _CurlError(7, f"{text}Could not connect to server") from None
        self.connected_ns = self.process.clock.now_ns
        self.log_verbose(f"Connected to {self.url.host} ({path}) port 0")
        return connection

    async def _addresses(self) -> list[Address]:
        host = self.url.host
        for entry in self.options.every("resolve"):
            name, _, rest = entry.lstrip("+-").partition(":")
            port, _, addresses = rest.partition(":")
            if name.lower() == host.lower() and port in ("*", str(self.url.port)):
                return [parse_ip(text.strip("[]")) for text in addresses.split(",")]
        family = self.options.family
        if host == "localhost":
            return [parse_ip(text) for text in ("::1", "127.0.0.1") if not family or (family == 6) == (":" in text)]
        resolver = Resolver(self.process)
        limit = self.remaining(_seconds_option(self.options, "connect-timeout") or _CONNECT_TIMEOUT_S)
        try:
            resolved = await wait_for(self.process.clock, resolver.addresses(host, family), limit)
        except ResolveError:
            raise _CurlError(6, f"Could not resolve host: {host}") from None
        except TimeoutError:
            raise _CurlError(28, f"Resolving timed out after {self.elapsed_ms()} milliseconds") from None
        self.resolved_ns = self.process.clock.now_ns
        if self.url.literal is None:
            self.log_verbose(f"Host {host}:{self.url.port} was resolved.")
            for kind, size in (("IPv6", 16), ("IPv4", 4)):
                texts = [format_ip(address) for address in resolved if len(address) == size]
                self.log_verbose(f"{kind}: {', '.join(texts) or '(none)'}")
        return resolved

    async def _connect(self, addresses: list[Address]) -> TcpSocket:
        max_time_s = _seconds_option(self.options, "connect-timeout") or _CONNECT_TIMEOUT_S
        for number, address in enumerate(addresses):
            self.log_verbose(f"  Trying {format_endpoint(address, self.url.port)}...")
            socket = self.process.tcp(family_of(address))
            left = self.remaining(max_time_s)
            # If more addresses follow, this one gets only half of the remaining time.
            share = left / 2 if left is not None and number + 1 < len(addresses) else left
            try:
                self._keep_alive(socket)
                self._bind(socket)
                await socket.connect((address, self.url.port), share)
            except OSError as error:
                socket.close()
                is_own_timeout = isinstance(error, TimeoutError) and left is not None
                if is_own_timeout and (self.remaining(max_time_s) or 0) <= 0:
                    raise _CurlError(28, f"Connection timed out after {self.elapsed_ms()} milliseconds") from None
                self.log_verbose(f"connect to {format_ip(address)} port {self.url.port} failed: {strerror(error)}")
                continue
            self.connected_ns = self.process.clock.now_ns
            local, local_port = socket.getsockname()
            self.values |= {
                "remote_ip": format_ip(address), "remote_port": str(self.url.port),
                "local_ip": format_ip(local), "local_port": str(local_port),
            }  # fmt: skip
            self.log_verbose(f"Connected to {self.url.host} ({format_ip(address)}) port {self.url.port}")
            self.log_verbose("using HTTP/1.x")
            return socket
        raise _CurlError(
            7,
            f"Failed to connect to {self.url.host} port {self.url.port} after {self.elapsed_ms()} ms: Could not "
            f"connect to server",
        )

    def _keep_alive(self, socket: TcpSocket) -> None:
        if "no-keepalive" not in self.options:
            every_s = _integer_option(self.options, "keepalive-time", _KEEPALIVE_S)
            probes = _integer_option(self.options, "keepalive-cnt", _KEEPALIVE_PROBES)
            # curl ignores errors of setsockopt(2), e.g. for values out of range.
            with suppress(OSError):
                socket.set_keepalive(idle_s=every_s, interval_s=every_s, probes=probes)

    def _bind(self, socket: TcpSocket) -> None:
        where, ports = self.options.get("interface"), self.options.get("local-port")
        address = bytes(4 if socket.family == 4 else 16)
        if where is not None:
            try:
                address = parse_ip(where)
            except ValueError:
                socket.bind_device(where)
                if ports is None:
                    return
        elif ports is None:
            return
        first, _, last = (ports or "0").partition("-")
        for port in range(int(first), int(last or first) + 1):
            try:
                socket.bind((address, port))
            except OSError as error:
                if error.errno == errno.EADDRINUSE and port < int(last or first):
                    continue
                raise _CurlError(45, f"bind failed with errno {error.errno}: {strerror(error)}") from None
            return

    async def _exchange(self, socket: TcpSocket | UnixStream, stream: Stream) -> bytes:
        head, body = self._request()
        if "v" in self.options:
            self.process.error("".join(f"> {line}\n" for line in [*head, ""]))
        socket.send("\r\n".join([*head, "", ""]).encode() + body)
        self.log_verbose("Request completely sent off")
        answer = await stream.head()
        self.first_byte_ns = self.process.clock.now_ns
        if answer is None:
            raise _CurlError(52, "Empty reply from server")
        self.answer = answer
        status = answer.status
        if "v" in self.options:
            self.process.error("".join(f"< {line}\n" for line in [*answer.head_text.splitlines(), ""]))
        if "I" in self.options or "i" in self.options:
            self.process.write(answer.head_text.encode("latin-1") + b"\r\n")
        if "f" in self.options and status >= 400:
            raise _CurlError(22, f"The requested URL returned error: {status}")
        if "I" in self.options or status in (204, 304):
            return b""
        writes = not self.options.every("o") and "O" not in self.options and "L" not in self.options
        body_bytes = await stream.body(answer, on_data=self._write if writes else None)
        self.size += len(body_bytes)
        return body_bytes

    def _write(self, data: bytes) -> None:
        self.size += len(data)
        self.process.write(data)

    def _request(self) -> tuple[list[str], bytes]:
        options = self.options
        data = "&".join(self._data(text) for text in options.every("d"))
        target = self.url.target
        has_data = bool(options.every("d") or options.every("json"))
        if has_data and "G" in options:
            target += ("&" if "?" in target else "?") + data
            has_data, data = False, ""
        data = options.get("json", data) or ""
        method = options.get("X") or ("HEAD" if "I" in options else "POST" if has_data else "GET")
        headers = {"host": f"Host: {self.url.host_header}"}
        if "u" in options:
            token = base64.b64encode((options.get("u") or "").encode()).decode()
            headers["authorization"] = f"Authorization: Basic {token}"
        headers["user-agent"] = f"User-Agent: {options.get('A', f'curl/{VERSION}')}"
        headers["accept"] = "Accept: */*"
        if "b" in options:
            headers["cookie"] = f"Cookie: {options.get('b')}"
        if has_data:
            headers["content-length"] = f"Content-Length: {len(data.encode())}"
            kind = "application/json" if "json" in options else "application/x-www-form-urlencoded"
            headers["content-type"] = f"Content-Type: {kind}"
        for line in options.every("H"):
            name, _, value = line.partition(":")
            if value.strip():
                headers[name.strip().lower()] = f"{name.strip()}: {value.strip()}"
            else:
                headers.pop(name.strip().lower(), None)
        return [f"{method} {target} HTTP/1.1", *headers.values()], data.encode() if has_data else b""

    def _data(self, text: str) -> str:
        if not text.startswith("@"):
            return text
        try:
            return self.process.files.read(absolute_path(self.process, text[1:])).decode(errors="surrogateescape")
        except OSError:
            raise _CurlError(26, f"Failed to open {text[1:]}") from None

    def format_write_out(self, template: str, code: int, message: str) -> str:
        """Return what `-w FORMAT` prints: `template` with variables such as `%{http_code}` replaced by their values.

        `code` is curl's exit status, `message` its error text.
        """
        now_ns = self.process.clock.now_ns

        def span(at_ns: int) -> str:
            return f"{max(0, at_ns - self.started_ns) / NS_PER_S:.6f}"

        status = f"{self._status():03d}"
        values = {
            "http_code": status, "response_code": status, "size_download": str(self.size), "time_total": span(now_ns),
            "time_connect": span(self.connected_ns), "time_namelookup": span(self.resolved_ns),
            "time_starttransfer": span(self.first_byte_ns), "url_effective": self.text, "url": self.text,
            "content_type": (self.answer.header("Content-Type") or "") if self.answer else "", "exitcode": str(code),
            "errormsg": message, "num_redirects": str(self.redirections),
            "num_connects": str(int(bool(self.connected_ns))), "scheme": self.url.scheme, "http_version": "1.1",
            "method": self.options.get("X") or "GET", "remote_ip": "", "remote_port": "0", "local_ip": "",
            "local_port": "0", **self.values,
        }  # fmt: skip
        text = re.sub(r"%\{(\w+)\}", lambda match: values.get(match[1], ""), template)
        return unescape(text.replace("%%", "%"))


def _seconds_option(options: Options, name: str) -> float:
    text = options.get(name)
    if not text:
        return 0.0
    try:
        return float(text)
    except ValueError:
        raise UsageError(f"option {name}: expected a proper numerical parameter") from None


def _integer_option(options: Options, name: str, default: int) -> int:
    text = options.get(name) or str(default)
    if not is_number(text):
        raise UsageError(f"option {name}: expected a proper numerical parameter")
    return int(text) or default


async def main(process: Process) -> int:
    """Run `curl [-sSvifIgLk46] [-o FILE] [-w FORMAT] [-m SECS] [-H LINE] [-X METHOD] [-d DATA] URL…`."""
    hint = "curl: try 'curl --help' or 'curl --manual' for more information\n"
    try:
        options = getopt(process.argv[1:], "#sSvifIgkL46OGNV0o:w:m:H:X:d:u:A:e:x:b:D:", _LONG)
        for name in ("m", "connect-timeout"):
            _seconds_option(options, name)
        for name in ("keepalive-time", "keepalive-cnt"):
            _integer_option(options, name, 0)
    except UsageError as error:
        process.error(f"curl: {_curl_usage_text(str(error))}\n{hint}")
        return 2
    if "V" in options:
        process.write(f"curl {VERSION} (cnmsim)\nProtocols: http\n")
        return 0
    urls = options.operands + options.every("url")
    if not urls:
        process.error(hint)
        return 2
    code = 0
    for number, text in enumerate(urls):
        code = await _fetch(process, options, text, number)
    return code


def _curl_usage_text(text: str) -> str:
    """Convert getopt's error text to curl's wording. Any other text is returned unchanged."""
    for pattern, wording in _USAGE_TEXTS.items():
        if re.fullmatch(pattern, text):
            return re.sub(pattern, wording, text)
    return text


async def _fetch(process: Process, options: Options, text: str, number: int) -> int:
    is_silent = "s" in options
    has_meter = not is_silent and "no-progress-meter" not in options and "I" not in options
    code, message = 0, ""
    body = b""
    try:
        transfer = _Transfer(process, options, Url.parse(text), process.clock.now_ns, text)
    except (UrlError, ValueError) as error:
        if not is_silent or "S" in options:
            process.error(f"curl: (3) URL rejected: {error}\n")
        return 3
    if has_meter:
        process.error(_METER)
    try:
        body = await transfer.run()
    except _CurlError as error:
        code, message = error.code, str(error)
    except (UrlError, ValueError) as error:
        code, message = 3, f"URL rejected: {error}"
    if has_meter:
        process.error(_meter_line(transfer.size))
    outputs = options.every("o")
    target = outputs[min(number, len(outputs) - 1)] if outputs else None
    if "O" in options:
        target = transfer.url.target.partition("?")[0].rpartition("/")[2] or None
    if not code or body:
        code, message = _store(process, target, body) or (code, message)
    if code and (not is_silent or "S" in options):
        process.error(f"curl: ({code}) {message}\n")
    if "w" in options:
        process.write(transfer.format_write_out(options.get("w") or "", code, message))
    return code


def _store(process: Process, target: str | None, body: bytes) -> tuple[int, str] | None:
    if target is None or target == "-":
        process.write(body)
    elif target != "/dev/null":
        try:
            process.files.write(absolute_path(process, target), body)
        except OSError:
            return 23, "Failure writing output to destination"
    return None


def _meter_line(size: int) -> str:
    share = "100" if size else "  0"
    return (
        f"\r{share} {size:>5}  {share} {size:>5}    0     0 {size * 1000 if size else 0:>6}      0 --:--:-- --:--:-- "
        f"--:--:-- {size * 1000 if size else 0:>5}\n"
    )
