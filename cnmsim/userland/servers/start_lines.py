"""The lines that well-known servers write to their log when they are ready, their access log lines and versions.

Programs that wait for a server look for such a line, e.g. `database system is ready to accept connections`. The texts
are those of the servers' images. The lines about a port that is taken are those of the programs' sources or of public
logs of real servers: PostgreSQL 16 (pqcomm.c, postmaster.c), Redis 8, MySQL 8 (mysqld.cc), MariaDB, Apache httpd 2.4
(AH00072), nginx (`still could not bind()`), Node.js (EADDRINUSE), gunicorn (sock.py) and uvicorn (asyncio's error). A
program that tries several times (nginx, gunicorn) writes its lines here for one attempt only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnmsim.userland.servers.http_server import stamp

if TYPE_CHECKING:
    from cnmsim.kernel.process import Process

#: By server: the format of the time, and the lines, in which `{t}` is the time, `{port}` the first port and `{v}` the
#: version.
_LINES: dict[str, tuple[str, str]] = {
    "postgres": (
        "%Y-%m-%d %H:%M:%S.000 UTC",
        (
            "PostgreSQL init process complete; ready for start up.\n\n"
            "{t} [1] LOG:  starting PostgreSQL {v} on x86_64-pc-linux-gnu, compiled by gcc (Debian 14.2.0-19) "
            "14.2.0, 64-bit\n"
            '{t} [1] LOG:  listening on IPv4 address "0.0.0.0", port {port}\n'
            '{t} [1] LOG:  listening on IPv6 address "::", port {port}\n'
            '{t} [1] LOG:  listening on Unix socket "/var/run/postgresql/.s.PGSQL.{port}"\n'
            "{t} [1] LOG:  database system is ready to accept connections\n"
        ),
    ),
    "redis": (
        "%d %b %Y %H:%M:%S.000",
        (
            "1:C {t} * oO0OoO0OoO0Oo Redis is starting oO0OoO0OoO0Oo\n"
            "1:C {t} * Redis version={v}, bits=64, commit=00000000, modified=0, pid=1, just started\n"
            "1:M {t} * Running mode=standalone, port={port}.\n"
            "1:M {t} * Server initialized\n"
            "1:M {t} * Ready to accept connections tcp\n"
        ),
    ),
    "mysql": (
        "%Y-%m-%dT%H:%M:%S.000000Z",
        (
            "{t} 0 [System] [MY-010116] [Server] /usr/sbin/mysqld (mysqld {v}) starting as process 1\n"
            "{t} 0 [System] [MY-010931] [Server] /usr/sbin/mysqld: ready for connections. Version: '{v}'  socket: "
            "'/var/run/mysqld/mysqld.sock'  port: {port}  MySQL Community Server - GPL.\n"
        ),
    ),
    "mariadb": (
        "%Y-%m-%d %H:%M:%S",
        (
            "{t} 0 [Note] Server socket created on IP: '0.0.0.0', port: '{port}'.\n"
            "{t} 0 [Note] mariadbd: ready for connections.\n"
            "Version: '{v}-MariaDB-ubu2404'  socket: '/run/mysqld/mysqld.sock'  port: {port}  mariadb.org binary "
            "distribution\n"
        ),
    ),
    "mongo": (
        "%Y-%m-%dT%H:%M:%S.000+00:00",
        (
            '{{"t":{{"$date":"{t}"}},"s":"I",  "c":"NETWORK",  "id":23015,   "ctx":"listener","msg":"Listening on",'
            '"attr":{{"address":"0.0.0.0"}}}}\n'
            '{{"t":{{"$date":"{t}"}},"s":"I",  "c":"NETWORK",  "id":23016,   "ctx":"listener","msg":"Waiting for '
            'connections","attr":{{"port":{port},"ssl":"off"}}}}\n'
        ),
    ),
    "rabbitmq": (
        "%Y-%m-%d %H:%M:%S.000000+00:00",
        (
            "{t} [info] <0.254.0>  Starting RabbitMQ {v} on Erlang 27.3.4.2 [jit]\n"
            "{t} [info] <0.600.0> started TCP listener on [::]:5672\n"
            "{t} [info] <0.500.0> Server startup complete; 4 plugins started.\n"
        ),
    ),
    "elasticsearch": (
        "%Y-%m-%dT%H:%M:%S.000Z",
        '{{"@timestamp":"{t}", "log.level": "INFO", "message":"started"}}\n',
    ),
    "grafana": (
        "%Y-%m-%dT%H:%M:%S.000000000Z",
        (
            'logger=http.server t={t} level=info msg="HTTP Server Listen" address=[::]:{port} protocol=http subUrl= '
            "socket=\n"
        ),
    ),
    "prometheus": (
        "%Y-%m-%dT%H:%M:%S.000Z",
        (
            'time={t} level=INFO source=web.go:654 msg="Start listening for connections" component=web '
            "address=0.0.0.0:{port}\n"
            'time={t} level=INFO source=main.go:1288 msg="Server is ready to receive web requests."\n'
        ),
    ),
    "traefik": ("%Y-%m-%dT%H:%M:%SZ", "{t} INF Traefik version {v} built on 2025-11-07T00:00:00Z version={v}\n"),
    "gunicorn": (
        "%Y-%m-%d %H:%M:%S +0000",
        "[{t}] [1] [INFO] Starting gunicorn 23.0.0\n[{t}] [1] [INFO] Listening at: http://0.0.0.0:{port} (1)\n",
    ),
    "uvicorn": (
        "",
        (
            "INFO:     Started server process [1]\nINFO:     Waiting for application startup.\n"
            "INFO:     Application startup complete.\n"
            "INFO:     Uvicorn running on http://0.0.0.0:{port} (Press CTRL+C to quit)\n"
        ),
    ),
    "flask": ("", " * Running on http://127.0.0.1:{port}\nPress CTRL+C to quit\n"),
    "kafka": ("%Y-%m-%d %H:%M:%S,000", "[{t}] INFO [KafkaRaftServer nodeId=1] Kafka Server started\n"),
    "tomcat": (
        "%d-%b-%Y %H:%M:%S.000",
        "{t} INFO [main] org.apache.catalina.startup.Catalina.start Server startup in [700] milliseconds\n",
    ),
    "minio": ("", "MinIO Object Storage Server\nAPI: http://0.0.0.0:9000 \nWebUI: http://0.0.0.0:9001 \n"),
    "nats": (
        "%Y/%m/%d %H:%M:%S.000000",
        "[1] {t} [INF] Listening for client connections on 0.0.0.0:4222\n[1] {t} [INF] Server is ready\n",
    ),
    "registry": (
        "%Y-%m-%dT%H:%M:%S.000000000Z",
        'time="{t}" level=info msg="listening on [::]:{port}" go.version=go1.23 version=3.0.0\n',
    ),
    "php-fpm": (
        "%d-%b-%Y %H:%M:%S",
        "[{t}] NOTICE: fpm is running, pid 1\n[{t}] NOTICE: ready to handle connections\n",
    ),
    "memcached": ("", ""),
}
#: Access log lines: the format of the time, and the line.
_ACCESS: dict[str, tuple[str, str]] = {
    "uvicorn": ("", 'INFO:     {client}:{port} - "{start}" 200 OK\n'),
    "gunicorn": ("%d/%b/%Y:%H:%M:%S +0000", '{client} - - [{t}] "{start}" 200 {size} "-" "{agent}"\n'),
    "flask": ("%d/%b/%Y %H:%M:%S", '{client} - - [{t}] "{start}" 200 -\n'),
    "nginx": ("%d/%b/%Y:%H:%M:%S +0000", '{client} - - [{t}] "{start}" 200 {size} "-" "{agent}" "-"\n'),
    "httpd": ("%d/%b/%Y:%H:%M:%S +0000", '{client} - - [{t}] "{start}" 200 {size} "-" "{agent}"\n'),
    "tomcat": ("%d/%b/%Y:%H:%M:%S +0000", '{client} - - [{t}] "{start}" 200 {size}\n'),
}


#: What programs print for `--version` and its like.
_VERSION_LINES = {
    "caddy": "v{}", "haproxy": "HAProxy version {} - https://haproxy.org/",
    "traefik": "Version:      {}\nCodename:     cheddar\nOS/Arch:      linux/amd64",
    "go": "go version go{} linux/amd64",
    "mariadb": "mariadb from {}-MariaDB, client 15.2 for debian-linux-gnu (x86_64) using  EditLine wrapper",
    "mariadbd": "mariadbd  Ver {}-MariaDB-ubu2404 for debian-linux-gnu on x86_64 (mariadb.org binary distribution)",
    "memcached": "memcached {}", "mongod": "db version v{}",
    "mysql": "mysql  Ver {} for Linux on x86_64 (MySQL Community Server - GPL)",
    "mysqld": "/usr/sbin/mysqld  Ver {} for Linux on x86_64 (MySQL Community Server - GPL)",
    "node": "v{}", "php": "PHP {} (cli) (NTS)", "postgres": "postgres (PostgreSQL) {}",
    "psql": "psql (PostgreSQL) {}",
    "python": "Python {}", "python3": "Python {}", "rabbitmqctl": "{}",
    "redis-server": "Redis server v={} sha=00000000:0 malloc=jemalloc-5.3.0 bits=64 build=0",
    "valkey-server": "Valkey server v={} sha=00000000:0 malloc=jemalloc-5.3.0 bits=64 build=0",
}  # fmt: skip


def start_lines(process: Process, server: str, port: int, version: str) -> str:
    """Return the lines that the program `server` writes when it is ready to serve `port`.

    Return "" if these are not known. `version` is the program's version, which some of them contain.
    """
    form, lines = _LINES.get(server, ("", ""))
    return lines.format(t=stamp(process, form), port=port, v=version)


#: By server: the form of a time stamp, and the lines that the program writes when another one has its port.
_TAKEN: dict[str, tuple[str, str]] = {
    "postgres": (
        "%Y-%m-%d %H:%M:%S.000 UTC",
        (
            '{t} [1] LOG:  could not bind IPv4 address "0.0.0.0": Address already in use\n'
            "{t} [1] HINT:  Is another postmaster already running on port {port}?"
            " If not, wait a few seconds and retry.\n"
            '{t} [1] LOG:  could not bind IPv6 address "::": Address already in use\n'
            "{t} [1] HINT:  Is another postmaster already running on port {port}?"
            " If not, wait a few seconds and retry.\n"
            '{t} [1] WARNING:  could not create listen socket for "*"\n'
            "{t} [1] FATAL:  could not create any TCP/IP sockets\n"
            "{t} [1] LOG:  database system is shut down\n"
        ),
    ),
    "redis": (
        "%d %b %Y %H:%M:%S.000",
        (
            "1:M {t} # Warning: Could not create server TCP listening socket *:{port}: bind: Address already in use\n"
            "1:M {t} # Failed listening on port {port} (tcp), aborting.\n"
        ),
    ),
    "mysql": (
        "%Y-%m-%dT%H:%M:%S.000000Z",
        (
            "{t} 0 [ERROR] [MY-010262] [Server] Can't start server: Bind on TCP/IP port: Address already in use\n"
            "{t} 0 [ERROR] [MY-010257] [Server] Do you already have another mysqld server running on port: {port} ?\n"
            "{t} 0 [ERROR] [MY-010119] [Server] Aborting\n"
        ),
    ),
    "mariadb": (
        "%Y-%m-%d %H:%M:%S",
        (
            "{t} 0 [ERROR] Can't start server: Bind on TCP/IP port. Got error: 98: Address already in use\n"
            "{t} 0 [ERROR] Do you already have another server running on port: {port} ?\n"
            "{t} 0 [ERROR] Aborting\n"
        ),
    ),
    "httpd": (
        "",
        (
            "(98)Address already in use: AH00072: make_sock: could not bind to address [::]:{port}\n"
            "(98)Address already in use: AH00072: make_sock: could not bind to address 0.0.0.0:{port}\n"
            "no listening sockets available, shutting down\nAH00015: Unable to open logs\n"
        ),
    ),
    "nginx": (
        "%Y/%m/%d %H:%M:%S",
        (
            "{t} [emerg] 1#1: bind() to 0.0.0.0:{port} failed (98: Address already in use)\n"
            "{t} [emerg] 1#1: still could not bind()\n"
        ),
    ),
    "gunicorn": (
        "%Y-%m-%d %H:%M:%S +0000",
        (
            "[{t}] [1] [INFO] Starting gunicorn 23.0.0\n"
            "[{t}] [1] [ERROR] Connection in use: ('0.0.0.0', {port})\n"
            "[{t}] [1] [ERROR] Retrying in 1 second.\n"
            "[{t}] [1] [ERROR] Can't connect to ('0.0.0.0', {port})\n"
        ),
    ),
    "uvicorn": (
        "",
        (
            "ERROR:    [Errno 98] error while attempting to bind on address ('0.0.0.0', {port}): "
            "address already in use\n"
        ),
    ),
    "node": ("", "Error: listen EADDRINUSE: address already in use :::{port}\n"),
}
_TAKEN["valkey"] = _TAKEN["redis"]


def taken_lines(process: Process, server: str, port: int) -> str:
    """Return the lines that the program `server` writes before it exits because `port` is in use.

    If these are not known, return the line that a Go program writes.
    """
    form, lines = _TAKEN.get(server, ("", "listen tcp :{port}: bind: address already in use\n"))
    return lines.format(t=stamp(process, form), port=port)


def version_line(program: str, arguments: list[str], version: str) -> str:
    """Return what `program` prints if the last of its arguments asks for its version, such as `--version`.

    Return "" if it does not, or if `version` is "".
    """
    is_asked = arguments and arguments[-1] in ("--version", "-v", "-V", "version")
    return _VERSION_LINES.get(program, "").format(version) + "\n" if is_asked and version else ""


def access_line(process: Process, server: str, request: bytes, client: str, client_port: int, size: int) -> str:
    """Return the access log line that the program `server` writes about an HTTP request, "" if it writes none.

    `request` is the received text of the request, `size` the number of bytes in the response's body.
    """
    form, line = _ACCESS.get(server, ("", ""))
    head = request.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
    agent = next((item.partition(":")[2].strip() for item in head if item.lower().startswith("user-agent:")), "-")
    return line.format(t=stamp(process, form), client=client, port=client_port, start=head[0], size=size, agent=agent)
