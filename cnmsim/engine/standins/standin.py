"""The stand-in, which runs in place of a program that is not simulated, and the decision whether one is needed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from attrs import evolve, field, frozen

from cnmsim.engine.containers.executables import (
    CommandNotExecutableError,
    CommandNotFoundError,
    find_program,
)
from cnmsim.engine.standins.commandline import SHELLS, programs_of, script_commands, unwrapped
from cnmsim.engine.standins.hints import is_server_configuration, names_of
from cnmsim.engine.standins.knowledge import port_knowledge
from cnmsim.engine.standins.knownport import KnownPort

if TYPE_CHECKING:
    from cnmsim.engine.containers.container import Container
    from cnmsim.engine.context import EngineContext
    from cnmsim.engine.images.catalogue import ImageMeaning
    from cnmsim.kernel.process import Process, Program

#: The program of `programs` that serves the ports of a stand-in.
_SERVER = "service"
#: Servers that are simulated with their default configuration.
_CONFIGURABLE = frozenset(("httpd", "nginx"))
#: Words of commands that do one task and end.
_ONE_SHOT = re.compile(
    r"(?:-V|--version|--help|version|help|migrate|makemigrations|collectstatic|createsuperuser|init|install|ci|build|"
    r"compile|test|lint|check|seed|upgrade|deploy|setup|db:\w+|migration:\w+|migrations?:\w+|create|restore|backup|"
    r"dump)"
)
_QUESTIONS = frozenset(("-V", "-h", "-help", "-v", "-version", "--help", "--version", "help", "version"))
_TOOLS = frozenset(
    ("pip", "pip3", "composer", "apk", "apt-get", "apt", "yum", "dnf", "alembic", "flyway", "liquibase")
)
#: Simulated programs that an image with a known list of programs has only if it lists them.
APPLICATION_PROGRAMS = frozenset(
    (
        "apache2-foreground", "apachectl", "healthcheck.sh", "httpd-foreground", "mariadb-admin", "mongo",
        "mongosh", "mysqladmin",
        "nginx", "pg_isready", "rabbitmq-diagnostics", "redis-cli", "valkey-cli", "/whoami", "/helloworld",
        "/bin/ryuk", "socat",
        "addgroup", "adduser", "chpasswd", "delgroup", "deluser", "groupadd", "groupdel", "groupmod", "runuser",
        "useradd", "userdel", "usermod",
    )
)  # fmt: skip
#: Names of programs that say nothing, such as those of init scripts. The image's name takes their place.
_GENERIC = re.compile(
    r"-.*|init|run|start|entrypoint|wrapper|agent|server|serve|s6|bash|sh|eswrapper|[\w-]+\.(?:sh|json|ya?ml)"
)
#: Options of interpreters that take the program as text, and what in such a text keeps it running.
_INLINE = frozenset(("-c", "-e", "-r", "-p", "--eval", "--print"))
_STAYS = re.compile(r"serve|[Ll]isten|[Ss]leep|while|setInterval|\.run\(|wait|accept")
#: A script that exits after its last command, whatever that is.
_EXITS = re.compile(r"[;\n]\s*exit(?:\s+[0-9]+)?\s*;?\s*$")
_LANGUAGES = re.compile(r"(?:python|pypy|node|php|ruby|irb|jshell|deno|bun|psql|mysql)[0-9.]*")


@frozen(eq=False)
class StandIn:
    """A program that takes the place of `program`, which is not simulated: it listens on `ports` and sends replies.

    `server` selects the replies, such as `postgres`; `image` is the image's name, `version` the version of the
    image's program, "" if it is not known. If `is_complete`, the real program is assumed to listen on no other ports.
    A stand-in with `ends` listens on nothing and exits with status 0 at once. `container` is the name of the
    container in which the stand-in runs.
    """

    server: str
    program: str
    image: str
    serve: Program = field(repr=False)
    ports: tuple[KnownPort, ...] = ()
    is_complete: bool = False
    ends: bool = False
    version: str = ""
    container: str = ""

    async def __call__(self, process: Process) -> int:
        """Run the stand-in in `process`, whose arguments are those of the replaced program.

        Return the exit status.
        """
        return await self.serve(process)

    @property
    def comm(self) -> str:
        """The name of the process: that of the program, also if an init script or a shell starts it."""
        return self.program

    def port(self, protocol: str, number: int) -> KnownPort | None:
        """Return the port with this protocol and number, `None` if the program is not known to listen on it."""
        return next((port for port in self.ports if (port.protocol, port.number) == (protocol, number)), None)


def choose_program(
    context: EngineContext, container: Container, argv: list[str], env: Mapping[str, str]
) -> tuple[Program, list[str]]:
    """Return the program that a container's command line runs, and the arguments to start it with.

    For a program that the image has or may have, but that is not simulated, return a `StandIn`. Raises
    `CommandNotFoundError` or `CommandNotExecutableError` for a program that the image does not have.
    """
    programs = container_programs(context, container)
    meaning = container.image.meaning
    try:
        program, words = find_program(argv, env, container.files, programs)
    except (CommandNotFoundError, CommandNotExecutableError):
        words = unwrapped(argv)
        if words is argv and argv[1:2] and argv[1].startswith("-") and _names_program(meaning.command):
            words = [*meaning.command[:1], *argv[1:]] if list(meaning.entrypoint) == argv[:1] else argv
        if words != argv:
            return choose_program(context, container, words, env)
        if not _may_have(container, argv[0]):
            raise
    else:
        is_stand_in = isinstance(program, StandIn) or _runs_others(container, words, programs)
        is_stand_in = is_stand_in or _is_configured(context, container, words)
        if not is_stand_in and not _lacks_script(container, words):
            return program, words
    return _stand_in(context, container, argv, env), argv


def choose_exec_program(
    context: EngineContext, container: Container, argv: list[str], env: Mapping[str, str]
) -> tuple[Program, list[str]]:
    """Return the program that an exec's command line runs, and the arguments to start it with.

    For a program that the image has or may have, but that is not simulated, return a `StandIn`, which exits at once.
    Raises `CommandNotFoundError` or `CommandNotExecutableError` for a program that the image does not have.
    """
    try:
        program, words = find_program(argv, env, container.files, container_programs(context, container))
    except (CommandNotFoundError, CommandNotExecutableError):
        is_unknown = not container.image.meaning.title
        if not _may_have(container, argv[0]) or not (is_unknown or "/" in argv[0]):
            raise
        return _ended_stand_in(context, container, PurePosixPath(argv[0]).name), argv
    if _runs_others(container, words, container_programs(context, container)):
        return _ended_stand_in(context, container, _name_of_program(words)), words
    return program, words


def _ended_stand_in(context: EngineContext, container: Container, name: str) -> StandIn:
    image = container.image
    return StandIn(name, name, image.repository, context.programs[_SERVER], ends=True, version=image.meaning.version)


def can_decide(context: EngineContext, container: Container, argv: list[str]) -> bool:
    """Return True if a health check's programs are all simulated, so that its exit status can be trusted."""
    programs = container_programs(context, container)
    if len(argv) >= 3 and PurePosixPath(argv[0]).name in SHELLS and re.fullmatch(r"-[a-z]*c", argv[1]):
        names = programs_of(argv[2])
    else:
        names = [PurePosixPath(argv[0]).name] if argv else []
    found = [programs.get(name) for name in names]
    return not any(isinstance(program, StandIn) for program in found) and (
        container.image.meaning.is_closed or None not in found
    )


def container_programs(context: EngineContext, container: Container) -> Mapping[str, Program]:
    """Return the programs of a container by name.

    These are the simulated programs, and stand-ins for others that the image lists.
    """
    meaning = container.image.meaning
    if not meaning.programs and not meaning.is_closed:
        return context.programs
    identity = _Identity(context.programs)
    return _with_stand_ins(identity, meaning.programs, meaning.is_closed, container.image.repository, meaning.version)


class _Identity:
    """A wrapper that makes a mapping usable as a cache key. It is equal only to a wrapper of the same object."""

    def __init__(self, programs: Mapping[str, Program]) -> None:
        self.programs = programs

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Identity) and other.programs is self.programs

    def __hash__(self) -> int:
        return id(self.programs)


@lru_cache(maxsize=64)
def _with_stand_ins(
    simulated: _Identity, names: tuple[str, ...], is_closed: bool, image: str, version: str
) -> Mapping[str, Program]:
    programs = simulated.programs
    if _SERVER not in programs:
        return programs
    if is_closed:
        hidden = APPLICATION_PROGRAMS - set(names)
        programs = {name: program for name, program in programs.items() if name not in hidden}
    stand_ins = {name: StandIn(name, name, image, programs[_SERVER], ends=True, version=version) for name in names}
    return {**stand_ins, **programs}


def _may_have(container: Container, name: str) -> bool:
    """Return True if the program `name`, which the image does not list and which is not simulated, may still exist.

    It may come from an image whose programs are not all known, or from a mount.
    """
    if not container.image.meaning.is_closed:
        return True
    path = PurePosixPath(name)
    folders = [mount.destination for mount in container.mounts]
    if not path.is_absolute() and "/" not in name:
        return False
    path = PurePosixPath(container.config.get("WorkingDir") or "/") / path
    return any(path.is_relative_to(folder) for folder in folders)


def _is_configured(context: EngineContext, container: Container, argv: list[str]) -> bool:
    """Return True if a command runs the image's web server with configuration files of the user.

    Such a server needs a stand-in, because it is simulated with its default configuration only.
    """
    meaning = container.image.meaning
    default = unwrapped([*meaning.entrypoint, *meaning.command])
    if meaning.server not in _CONFIGURABLE or not default or unwrapped(argv)[0] != default[0]:
        return False
    if any(is_server_configuration(mount.destination) for mount in container.mounts):
        return True
    names = names_of(container.name, container.config.get("Labels") or {})
    return any(name in context.images.catalogue.hints.configured for name in names)


def _lacks_script(container: Container, argv: list[str]) -> bool:
    """Return True if a shell is to run a script file of the image, whose content is not simulated."""
    if len(argv) < 2 or PurePosixPath(argv[0]).name not in SHELLS or container.image.meaning.is_closed:
        return False
    script = next((word for word in argv[1:] if not word.startswith("-")), "")
    is_command = any(re.fullmatch(r"-[a-z]*c", word) for word in argv[1:])
    path = str(PurePosixPath(container.config.get("WorkingDir") or "/") / script)
    return bool(script) and not is_command and not container.files.exists(path)


def _runs_others(container: Container, argv: list[str], programs: Mapping[str, Program]) -> bool:
    """Return True if a script after `sh -c` runs programs that the image may have, but that are not simulated."""
    if len(argv) < 3 or PurePosixPath(argv[0]).name not in SHELLS or not re.fullmatch(r"-[a-z]*c", argv[1]):
        return False
    is_open = not container.image.meaning.is_closed
    others = [programs.get(name) for name in programs_of(argv[2])]
    return any(isinstance(program, StandIn) or (program is None and is_open) for program in others)


def _stand_in(context: EngineContext, container: Container, argv: list[str], env: Mapping[str, str]) -> StandIn:
    meaning, hints = container.image.meaning, context.images.catalogue.hints
    labels = container.config.get("Labels") or {}
    names = names_of(container.name, labels)
    program = _name_of_program(argv)
    if program in _QUESTIONS:  # the entrypoint runs the image's program with this argument
        program = (meaning.command or (meaning.title,))[0]
    if meaning.title and _GENERIC.fullmatch(program):
        program = container.image.repository.rpartition("/")[2]
    base = StandIn(
        meaning.server or program, program, container.image.repository, context.programs[_SERVER],
        version=meaning.version,
        container=container.name,
    )  # fmt: skip
    if any(name in hints.completing for name in names) or _only_asks(unwrapped(argv)):
        return evolve(base, ends=True)
    known = port_knowledge(
        argv, env, name=container.name, config=container.config, host_config=container.host_config,
        meaning=meaning, hints=hints,
    )  # fmt: skip
    if not known.ports and _ends(argv, meaning, has_input=bool(container.config.get("OpenStdin"))):
        return evolve(base, ends=True)
    return evolve(base, ports=known.ports, is_complete=known.is_complete)


def _names_program(command: Sequence[str]) -> bool:
    """Return True if an image's command begins with a program, not with an option of its entrypoint."""
    return bool(command) and not command[0].startswith("-")


def _only_asks(words: list[str]) -> bool:
    """Return True if a command's only argument asks for the program's version or help."""
    return len(words) <= 2 and words[-1] in _QUESTIONS


def _name_of_program(argv: list[str]) -> str:
    words = unwrapped(argv)
    if len(words) >= 3 and PurePosixPath(words[0]).name in SHELLS:
        commands = [command for command in script_commands(words[2]) if unwrapped(command)]
        words = unwrapped(commands[-1]) if commands else words
    return PurePosixPath(words[0]).name


def _ends(argv: list[str], meaning: ImageMeaning, *, has_input: bool) -> bool:
    """Return True if a command does one task and ends, as opposed to a server. Its stand-in then ends at once, too.

    `has_input` is True if the command's stdin is open: an interpreter without a script then waits for input.
    """
    words = unwrapped(argv)
    name = PurePosixPath(words[0]).name
    if len(words) >= 3 and name in SHELLS:
        commands = script_commands(words[2])
        if _EXITS.search(words[2]):
            return True
        return bool(commands) and all(_ends(unwrapped(command), meaning, has_input=has_input) for command in commands)
    if name in _TOOLS or (meaning.is_closed and name != meaning.server):
        return True
    if _LANGUAGES.fullmatch(name) and len(words) == 1:
        return not has_input  # an interactive interpreter ends at the end of its input
    if _LANGUAGES.fullmatch(name) and len(words) > 2 and words[1] in _INLINE:
        return _STAYS.search(" ".join(words[2:])) is None
    return any(_ONE_SHOT.fullmatch(word) for word in words[1:4])
