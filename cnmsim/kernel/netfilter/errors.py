"""What can go wrong with an iptables command, in iptables' own words and with its exit statuses."""

from __future__ import annotations

from cnmsim.kernel.netfilter.hooks import VERSION, program_name


class IptablesError(Exception):
    """An iptables command failed and changed nothing: `status` is its exit status, `text` what it printed."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


class ParameterProblemError(Exception):
    """The command line is wrong; the program's name is put before the message by whoever knows the family."""

    def __init__(self, message: str, *, status: int = 2, is_bare: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.is_bare = is_bare

    def to_error(self, family: int) -> IptablesError:
        """Give the error as the program of that family prints it."""
        program = program_name(family)
        hint = f"\nTry `{program} -h' or '{program} --help' for more information." if self.status == 2 else ""
        head = "" if self.is_bare else f"{program} {VERSION}: "
        return IptablesError(self.status, f"{head}{self.message}{hint}")


def kernel_refusal(family: int, operation: str, errno_text: str, what: str) -> IptablesError:
    """Give the error of a command that the kernel refuses, such as `RULE_APPEND failed (Invalid argument)`."""
    return IptablesError(4, f"{program_name(family)} {VERSION}:  {operation} failed ({errno_text}): {what}")


def plain_failure(family: int, message: str) -> IptablesError:
    """Give the error of a command that names something which does not exist, such as a chain (exit status 1)."""
    return IptablesError(1, f"{program_name(family)}: {message}")
