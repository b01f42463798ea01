"""Find the ports that a command line names, as in `--port 8000` or `http.server 8000`, and servers' default ports."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath

from attrs import evolve, frozen

from cnmsim.digits import is_number

SHELLS = frozenset(("sh", "ash", "bash", "dash"))
#: Scripts and supervisors that images use as entrypoint: they execute their arguments.
WRAPPERS = frozenset(
    (
        "catatonit", "docker-entrypoint", "docker-entrypoint.sh", "dumb-init", "entrypoint", "entrypoint.sh", "env",
        "exec", "gosu", "s6-svscan", "su-exec", "tini", "tini-static", "start-notebook.sh", "docker-php-entrypoint",
        "npx", "poetry", "pipenv", "uv", "bundle", "pdm", "run.sh",
    )
)  # fmt: skip
_KEYWORDS = frozenset(
    "! : [ . break case cd continue do done elif else esac eval exec exit export fi for if in local printf read "  # noqa: SIM905
    "return set shift source test then trap true false ulimit umask unset until wait while { } ( )".split()
)
_PREFIXES = frozenset(("exec", "!", "then", "do", "else", "if", "while", "until", "elif", "{", "(", "time", "nohup"))
#: Options whose value is a port. Options of clients (`--db-port`, `--smtp-port`) are not among them.
_PORT_OPTION = re.compile(
    r"--?(?:[\w.]+[.-])??(?:(?:http|https|listen|server|web|webui|ui|api|grpc|rest|metrics|admin|health|tcp)[._-])?"
    r"port",
    re.IGNORECASE,
)
_CLIENT_OPTION = re.compile(
    r"(?:db|database|redis|mysql|postgres|pg|mongo|smtp|mail|proxy|remote|peer|ldap|amqp|upstream|advertise|debug)",
    re.IGNORECASE,
)
#: Options whose value is an address with a port.
_ADDRESS_OPTION = re.compile(
    r"--?(?:bind|listen|listen[.-]?addr(?:ess)?|(?:[\w-]+\.)*(?:web|http|https|grpc|console|api|server)?[.-]?"
    r"(?:listen[.-])?addr(?:ess)?|listen-(?:client|metrics|peer)-urls|entry[Pp]oints\.[\w-]+\.address|http|"
    r"telemetry\.addr|web\.telemetry-address)"
)
_ENDPOINT = re.compile(
    r"(?:[a-z][a-z0-9+]*://)?(?P<host>\[[0-9a-fA-F:.]*\]|[\w.*-]*):(?P<port>[0-9]{1,5})(?:/(?P<protocol>udp|tcp))?/?"
)
_LOOPBACK = re.compile(r"127\.[0-9]+\.[0-9]+\.[0-9]+|localhost|::1|\[::1\]")
_VARIABLE = re.compile(r"\$(?:\{(\w+)(?::?-([^}]*))?\}|(\w+))")


@frozen
class ServerProgram:
    """A server program that is listed in this module's table, with its default port.

    `port_options` and `address_options` are the options that set the port and the address. `is_on_loopback` is True
    if the program listens on loopback by default. `takes_argument` is True if its first argument that is no option is
    `[ADDRESS:]PORT`.
    """

    port: int
    is_on_loopback: bool = False
    port_options: tuple[str, ...] = ()
    address_options: tuple[str, ...] = ("--host", "--bind", "--address", "--ip", "--hostname")
    takes_argument: bool = False  # the first argument without option is `[ADDRESS:]PORT`


#: By program, or by program and subcommand. The defaults are those of the programs' documentation.
_SERVERS: dict[str, ServerProgram] = {
    "artisan serve": ServerProgram(8000, True),
    "daphne": ServerProgram(8000, True, ("-p",), ("-b", "--bind")),
    "django runserver": ServerProgram(8000, True, takes_argument=True),
    "flask run": ServerProgram(5000, True, ("-p",), ("-h", "--host")),
    "gunicorn": ServerProgram(8000, False, (), ("-b", "--bind")),
    "http-server": ServerProgram(8080, False, ("-p",), ("-a",)),
    "http.server": ServerProgram(8000, False, (), ("-b", "--bind"), takes_argument=True),
    "hugo server": ServerProgram(1313, True, ("-p",)),
    "hypercorn": ServerProgram(8000, True, (), ("-b", "--bind")),
    "jekyll serve": ServerProgram(4000, True, ("-P",), ("-H", "--host")),
    "json-server": ServerProgram(3000, True, ("-p",), ("-H", "--host")),
    "mailhog": ServerProgram(8025),
    "memcached": ServerProgram(11211, False, ("-p",), ("-l",)),
    "mkdocs serve": ServerProgram(8000, True, (), ("-a", "--dev-addr")),
    "mongod": ServerProgram(27017, False, (), ("--bind_ip",)),
    "mysqld": ServerProgram(3306, False, ("-P",), ("--bind-address",)),
    "mariadbd": ServerProgram(3306, False, ("-P",), ("--bind-address",)),
    "nats-server": ServerProgram(4222, False, ("-p",), ("-a",)),
    "next dev": ServerProgram(3000, False, ("-p",), ("-H", "--hostname")),
    "next start": ServerProgram(3000, False, ("-p",), ("-H", "--hostname")),
    "ng serve": ServerProgram(4200, True),
    "php -S": ServerProgram(8000, True),
    "postgres": ServerProgram(5432, False, ("-p",), ("-h",)),
    "puma": ServerProgram(9292, False, ("-p",), ("-b", "--bind")),
    "rackup": ServerProgram(9292, True, ("-p",), ("-o", "--host")),
    "rails s": ServerProgram(3000, True, ("-p",), ("-b", "--binding")),
    "rails server": ServerProgram(3000, True, ("-p",), ("-b", "--binding")),
    "redis-server": ServerProgram(6379),
    "serve": ServerProgram(3000, False, ("-p", "-l"), ("--listen",)),
    "sshd": ServerProgram(22, False, ("-p",)),
    "streamlit run": ServerProgram(8501, False, ("--server.port",), ("--server.address",)),
    "uvicorn": ServerProgram(8000, True),
    "valkey-server": ServerProgram(6379),
    "vite": ServerProgram(5173, True),
    "vite preview": ServerProgram(4173, True),
    "waitress-serve": ServerProgram(8080),
}
#: Programs that run another program, by file or module.
_INTERPRETERS = re.compile(r"(?:python|pypy|node|php|ruby|perl|java|deno|bun)[0-9.]*")


@frozen
class CommandPort:
    """A port that a program listens on according to its command line.

    `evidence` is the text from which the port was read. `address` is the address that the program binds, "" for all.
    `is_default` is True if the command line names no port, so that this is the program's default.
    """

    number: int
    protocol: str
    evidence: str
    address: str = ""
    is_default: bool = False  # the port is the program's default: the command line names none


def command_ports(argv: Sequence[str], env: Mapping[str, str]) -> list[CommandPort]:
    """Return the ports on which the program of a command line listens.

    `env` has the values of variables in the command line, and may itself set a server's port.
    """
    ports: dict[tuple[int, str], CommandPort] = {}
    for words in commands_of(argv, env):
        for port in _ports_of(words, env):
            ports.setdefault((port.number, port.protocol), port)
    return list(ports.values())


def replaced_ports(argv: Sequence[str], env: Mapping[str, str]) -> set[int]:
    """Return the default ports of the servers in a command line that states other ports for them."""
    return {
        server.port
        for words in commands_of(argv, env)
        for server in _server(words)[1:2]
        if isinstance(server, ServerProgram) and not any(port.is_default for port in _ports_of(words, env))
    }


def commands_of(argv: Sequence[str], env: Mapping[str, str]) -> list[list[str]]:
    """Return the commands that a command line runs, each as a list of words, with variables expanded from `env`.

    This is the command line itself, or for `sh -c SCRIPT` the simple commands of the script.
    """
    words = unwrapped(list(argv))
    if len(words) >= 3 and PurePosixPath(words[0]).name in SHELLS and re.fullmatch(r"-[a-z]*c", words[1]):
        return [unwrapped(command) for command in script_commands(_expanded(words[2], env))]
    return [[_expanded(word, env) for word in words]] if words else []


def wildcard_option(argv: Sequence[str]) -> tuple[str, ...]:
    """Return the option that makes a server listen on all addresses, such as `("--host", "0.0.0.0")`.

    Return () if the command runs no known server, or one that listens on more than loopback already.
    """
    words = unwrapped(list(argv))
    if not words:
        return ()
    _, server, arguments = _server(words)
    if server is None or not server.is_on_loopback or _address(server, arguments):
        return ()
    if server.takes_argument:
        is_bare = any(is_number(word) for word in arguments)
        return () if is_bare or any(":" in word for word in arguments) else (f"0.0.0.0:{server.port}",)
    return (server.address_options[-1], "0.0.0.0")  # noqa: S104 - the wildcard address is what is meant


def unwrapped(words: list[str]) -> list[str]:
    """Return a command without leading entrypoint scripts and supervisors: `tini -- nginx` becomes `nginx`."""
    while len(words) > 1 and PurePosixPath(words[0]).name in WRAPPERS:
        rest = words[1:]
        while rest and (rest[0] in {"--", "run", "exec", "-g", "-s"} or re.match(r"[A-Za-z_]\w*=", rest[0])):
            rest = rest[1:]
        if PurePosixPath(words[0]).name in {"gosu", "su-exec"}:
            rest = rest[1:]
        if not rest or rest[0].startswith("-"):
            return words
        words = rest
    return words


def script_commands(script: str) -> list[list[str]]:
    """Split a shell script into simple commands, each a list of words without leading keywords and assignments."""
    commands: list[list[str]] = []
    for part in re.split(r"&&|\|\||[;|&\n]", script.replace("\\\n", " ")):
        try:
            words = shlex.split(part, comments=True)
        except ValueError:  # a quoted separator split it: use the rest of the script
            continue
        while words and (words[0] in _PREFIXES or re.match(r"[A-Za-z_]\w*=", words[0])):
            words.pop(0)
        if words and words[0] not in {"for", "case", "function"} and not words[0].endswith(")"):
            commands.append(words)
    return commands


def programs_of(script: str) -> list[str]:
    """Return the names of the programs that a shell script runs, except the shell's own commands such as `cd`."""
    names = [PurePosixPath(words[0]).name for words in script_commands(script)]
    return [name for name in names if name and name not in _KEYWORDS and "$" not in name]


def _expanded(text: str, env: Mapping[str, str]) -> str:
    def value(match: re.Match[str]) -> str:
        return env.get(match[1] or match[3]) or match[2] or match[0]

    return _VARIABLE.sub(value, text)


def _server(words: list[str]) -> tuple[str, ServerProgram | None, list[str]]:
    """Return the server that a command runs: its name, its entry in the table of servers, and its arguments.

    The entry is `None` if the table does not have it.
    """
    name = PurePosixPath(words[0]).name.removesuffix(".js").removesuffix(".py")
    rest = words[1:]
    if _INTERPRETERS.fullmatch(name):
        if "-S" in rest and name.startswith("php"):
            return "php -S", _SERVERS["php -S"], rest[rest.index("-S") + 1 :]
        if rest[:1] == ["-m"] and len(rest) > 1:
            name, rest = rest[1], rest[2:]
        else:
            script = next((word for word in rest if not word.startswith("-")), "")
            if script and name != "java":  # the options before a jar are the program's own (`-Dserver.port`)
                rest = rest[rest.index(script) + 1 :]
            name = PurePosixPath(script).name.removesuffix(".js").removesuffix(".py") or name
    if name in {"manage", "django-admin", "django"} and "runserver" in rest:
        return "django runserver", _SERVERS["django runserver"], rest[rest.index("runserver") + 1 :]
    subcommand = next((word for word in rest if not word.startswith("-")), "")
    entry = _SERVERS.get(f"{name} {subcommand}")
    if entry is not None:
        return f"{name} {subcommand}", entry, [word for word in rest if word != subcommand]
    return name, _SERVERS.get(name), rest


def _ports_of(words: list[str], env: Mapping[str, str]) -> Iterator[CommandPort]:
    name, server, arguments = _server(words)
    if name == "gunicorn":
        arguments = [*shlex.split(env.get("GUNICORN_CMD_ARGS", "")), *arguments]
    address = _address(server, arguments)
    found: list[CommandPort] = []
    for option, value in _options(arguments):
        found += _of_option(server, option, value, address)
    if name == "php -S" and arguments:
        found += _endpoints(arguments[0], f"-S {arguments[0]}")
    if server is not None and server.takes_argument and not found:
        argument = next((word for word in arguments if re.fullmatch(r"(?:[\w.:\[\]-]*:)?[0-9]{2,5}", word)), "")
        if argument:
            is_bare = is_number(argument)
            host = address if is_bare else argument.rpartition(":")[0]
            host = "127.0.0.1" if (is_bare and not address and server.is_on_loopback) else host
            found.append(CommandPort(int(argument.rpartition(":")[2]), "tcp", f"{name} {argument}", _bound(host)))
    if not found and server is not None and not _is_configured(name, env):
        host = address or ("127.0.0.1" if server.is_on_loopback else "")
        found.append(CommandPort(server.port, "tcp", name, _bound(host), is_default=True))
    default_host = "127.0.0.1" if server is not None and server.is_on_loopback and not address else ""
    for port in found:
        if default_host and not port.address and ":" not in port.evidence and not _is_configured(name, env):
            yield evolve(port, address=default_host)
        else:
            yield port


def _is_configured(name: str, env: Mapping[str, str]) -> bool:
    """Return True if environment variables set the address or port of the server `name`."""
    prefix = {"flask run": "FLASK_RUN_", "uvicorn": "UVICORN_", "gunicorn": "GUNICORN_CMD_"}.get(name, "")
    return bool(prefix) and any(key.startswith(prefix) for key in env)


def _options(arguments: Sequence[str]) -> Iterator[tuple[str, str]]:
    for number, word in enumerate(arguments):
        if not word.startswith("-"):
            continue
        option, equals, value = word.partition("=")
        if not equals and number + 1 < len(arguments):
            value = arguments[number + 1]
        yield option, value.strip("\"'")


def _of_option(server: ServerProgram | None, option: str, value: str, address: str) -> Iterator[CommandPort]:
    evidence = f"{option} {value}"
    short = server.port_options if server is not None else ("-p",)
    is_port = option in short or (_PORT_OPTION.fullmatch(option) and not _CLIENT_OPTION.search(option))
    if option.startswith("-D"):  # a Java system property, whose `=` belongs to the value
        is_port = option in {"-Dserver.port", "-Dhttp.port", "-Dquarkus.http.port"}
    if is_port and is_number(value) and 0 < int(value) < 65536:
        yield CommandPort(int(value), "tcp", evidence, _bound(address))
        return
    addresses = server.address_options if server is not None else ("-b", "-l", "--host")
    if (is_port or option in addresses or _ADDRESS_OPTION.fullmatch(option)) and "://" not in value.partition(":")[0]:
        yield from _endpoints(value, evidence)


def _endpoints(text: str, evidence: str) -> Iterator[CommandPort]:
    for part in text.split(","):
        match = _ENDPOINT.fullmatch(part.strip())
        if match and 0 < int(match["port"]) < 65536:
            yield CommandPort(int(match["port"]), match["protocol"] or "tcp", evidence, _bound(match["host"]))


def _address(server: ServerProgram | None, arguments: Sequence[str]) -> str:
    """Return the address in a server's arguments to which it binds, "" if they contain none."""
    if server is None:
        return ""
    for number, word in enumerate(arguments):
        option, equals, value = word.partition("=")
        if option not in server.address_options:
            continue
        following = arguments[number + 1] if number + 1 < len(arguments) else ""
        value = value if equals else following
        if not value or value.startswith("-"):
            return "0.0.0.0"  # noqa: S104 - `--host` without a value means all addresses
        return value.partition(":")[0] if value.count(":") == 1 else value
    return ""


def _bound(host: str) -> str:
    """Return the address to bind for a HOST argument: a loopback address for a loopback host, else "" (any)."""
    return "127.0.0.1" if _LOOPBACK.fullmatch(host) else ""
