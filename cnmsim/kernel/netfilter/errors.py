"""Errors of iptables commands, with iptables' own messages and exit statuses."""

from __future__ import annotations

from cnmsim.kernel.netfilter.hooks import NFT, Variant, program_name


class IptablesError(Exception):
    """An iptables command failed and changed nothing. `status` is its exit status, `text` its message on stderr."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


class ParameterProblemError(Exception):
    """Error: the command line is invalid.

    `to_error` converts it to an `IptablesError`, whose text begins with the name and version of the program. If
    `is_bare` is True, the text does not begin so. `status` is the exit status.
    """

    def __init__(self, message: str, *, status: int = 2, is_bare: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.is_bare = is_bare

    def to_error(self, family: int, variant: Variant = NFT) -> IptablesError:
        """Return the error that `iptables` (family 4) or `ip6tables` (family 6) of that variant prints."""
        program = program_name(family)
        hint = f"\nTry `{program} -h' or '{program} --help' for more information." if self.status == 2 else ""
        head = "" if self.is_bare else f"{program} {variant.version}: "
        return IptablesError(self.status, f"{head}{self.text(variant)}{hint}")

    def text(self, variant: Variant) -> str:
        """Return the message in the wording of a variant (nf_tables or legacy)."""
        return self.message


class UnknownTargetError(ParameterProblemError):
    """Error: the name after `-j` is neither a target nor a user-defined chain."""

    def __init__(self, name: str) -> None:
        super().__init__(f"Chain '{name}' does not exist")
        self.name = name

    def text(self, variant: Variant) -> str:
        """Return the message in the wording of a variant.

        iptables-legacy reports an unknown chain as a target whose library is missing.
        """
        if variant.is_legacy:
            return f"Couldn't load target `{self.name}':No such file or directory\n"
        return self.message


#: Messages of iptables-legacy that differ from the text of the errno, by that text (libiptc).
_LEGACY_TEXTS = {"Invalid argument": "Invalid argument. Run `dmesg' for more information."}


def kernel_refusal(
    family: int, operation: str, errno_text: str, what: str, variant: Variant = NFT, legacy_text: str = ""
) -> IptablesError:
    """Return the error of a command that the kernel refuses.

    `family` (4 or 6) and `variant` select the program whose message it is. The text of iptables-nft ends in
    `operation`, `errno_text` and `what`, e.g. `RULE_APPEND failed (Invalid argument): rule in chain FORWARD`.
    iptables-legacy prints only the text of the errno, or `legacy_text` for an error that it detects itself.
    """
    if variant.is_legacy:
        return plain_failure(family, legacy_text or _LEGACY_TEXTS.get(errno_text, f"{errno_text}."))
    return IptablesError(4, f"{program_name(family)} {variant.version}:  {operation} failed ({errno_text}): {what}")


def plain_failure(family: int, message: str) -> IptablesError:
    """Return an error with exit status 1 whose text is only the program's name and `message`, without the version."""
    return IptablesError(1, f"{program_name(family)}: {message}")
