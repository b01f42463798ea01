"""Values of iptables options: parsers and canonical formats of protocols, ports, address masks, marks and words."""

from __future__ import annotations

from cnmsim.digits import is_number, parse_c_number
from cnmsim.kernel.address import Address, format_ip, parse_ip
from cnmsim.kernel.netfilter.errors import ParameterProblemError
from cnmsim.kernel.netfilter.netdb import LONG_PROTOCOL_NAMES, PRINTED_PROTOCOLS, PROTOCOLS, SERVICE_NAMES, SERVICES


def parse_protocol(text: str) -> int:
    """Parse a protocol number or name into the number; 0 stands for any protocol.

    Raises `ParameterProblemError` for an unknown name.
    """
    number = int(text) if is_number(text) else PROTOCOLS.get(text.lower(), -1)
    if not 0 <= number <= 255:
        raise ParameterProblemError(f'unknown protocol "{text}" specified')
    return number


def protocol_text(number: int) -> str:
    """Return a protocol as iptables-save prints it: its name if iptables itself knows one, else the number."""
    return PRINTED_PROTOCOLS.get(number, str(number))


def protocol_long_text(number: int) -> str:
    """Return a protocol as a listing without -n prints it: its name in /etc/protocols, or else its number."""
    return LONG_PROTOCOL_NAMES.get(number, str(number))


def parse_port(text: str) -> int:
    """Parse a port number or service name into the port. Raises `ParameterProblemError` for any other text."""
    port = int(text) if is_number(text) else SERVICES.get(text, -1)
    if not 0 <= port <= 65535:
        raise ParameterProblemError(f"invalid port/service `{text}' specified")
    return port


def port_text(port: int, *, is_numeric: bool) -> str:
    """Return a port as text: its number if `is_numeric`, else the name of its service."""
    return str(port) if is_numeric else SERVICE_NAMES.get(port, str(port))


def parse_port_range(text: str) -> tuple[int, int]:
    """Parse `80`, `80:90`, `:90` or `80:` into the first and the last port.

    Raises `ParameterProblemError` for any other text, and if the first port is greater than the last.
    """
    low_text, colon, high_text = text.partition(":")
    if not colon:
        port = parse_port(text)
        return port, port
    low = parse_port(low_text) if low_text else 0
    high = parse_port(high_text) if high_text else 65535
    if low > high:
        raise ParameterProblemError("invalid portrange (min > max)")
    return low, high


def port_range_text(low: int, high: int) -> str:
    """Return a range as `80` or `80:90`."""
    return str(low) if low == high else f"{low}:{high}"


def parse_number(text: str, limit: int) -> int | None:
    """Parse a decimal, 0x or 0-octal number. Return None if it is invalid or greater than `limit`."""
    try:
        value = parse_c_number(text)
    except ValueError:
        return None
    return value if 0 <= value <= limit else None


def parse_family_address(text: str, family: int, message: str) -> Address:
    """Parse an address of family 4 or 6. Raises `ParameterProblemError` with `message` for anything else."""
    try:
        address = parse_ip(text)
    except ValueError:
        address = b""
    if len(address) != (16 if family == 6 else 4):
        raise ParameterProblemError(message)
    return address


def parse_mark(text: str, module: str, option: str) -> tuple[int, int]:
    """Parse a mark `value[/mask]`, both numbers of 32 bits, into value and mask.

    Without `/mask`, the mask is all ones. Raises `ParameterProblemError` for any other text. Its message contains
    `module`, the extension, and `option`.
    """
    value_text, slash, mask_text = text.partition("/")
    value = parse_number(value_text, 0xFFFFFFFF)
    mask = parse_number(mask_text, 0xFFFFFFFF) if slash else 0xFFFFFFFF
    if value is None or mask is None:
        raise ParameterProblemError(f'{module}: bad integer value for option "--{option}", or out of range.\n')
    return value, mask


def parse_host_mask(text: str, family: int) -> tuple[Address, int]:
    """Parse an address of `family` with an optional prefix length or mask, such as `10.0.0.0/8`.

    Return the address with the bits outside the mask cleared, and the mask as a number. Raises
    `ParameterProblemError` if the text is invalid.
    """
    bits = 128 if family == 6 else 32
    host, slash, mask_text = text.partition("/")
    mask = _parse_mask(mask_text, family, bits) if slash else (1 << bits) - 1
    address = _parse_host(host, family)
    return (int.from_bytes(address) & mask).to_bytes(bits // 8), mask


def _parse_host(host: str, family: int) -> Address:
    if family == 4 and is_number(host) and int(host) < 256:
        # The short form of inet_aton: `0/0`, `10/8`.
        return bytes((int(host), 0, 0, 0)) if int(host) else bytes(4)
    return parse_family_address(host, family, f"host/network `{host}' not found")


def _parse_mask(text: str, family: int, bits: int) -> int:
    if is_number(text) and int(text) <= bits:
        length = int(text)
        return ((1 << length) - 1) << (bits - length)
    if ("." in text and family == 4) or (":" in text and family == 6):
        try:
            return int.from_bytes(parse_ip(text))
        except ValueError:
            pass
    raise ParameterProblemError(f"invalid mask `{text}' specified")


def mask_length(mask: int, bits: int) -> int | None:
    """Return the prefix length of a mask of `bits` bits, or None if its ones are not contiguous from the left."""
    inverted = mask ^ ((1 << bits) - 1)
    return None if inverted & (inverted + 1) else bits - inverted.bit_length()


def host_mask_text(address: Address, mask: int, *, always_length: bool = True) -> str:
    """Return an address and its mask as iptables-save prints them, such as `10.0.0.0/8`.

    A mask without a prefix length (with gaps between its ones) is printed as an address. Without `always_length`, a
    mask of all ones is omitted.
    """
    bits = len(address) * 8
    length = mask_length(mask, bits)
    if length is None:
        return f"{format_ip(address)}/{format_ip(mask.to_bytes(bits // 8))}"
    if length == bits and not always_length:
        return format_ip(address)
    return f"{format_ip(address)}/{length}"


_PLAIN = frozenset("_-0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")


def quoted(text: str) -> str:
    """Return free text as iptables-save prints it.

    A plain word is returned unchanged, any other text in double quotes with escapes.
    """
    if text and _PLAIN.issuperset(text):
        return text
    return '"' + "".join("\\" + letter if letter in "\"\\'" else letter for letter in text) + '"'


def split_words(text: str) -> list[str]:
    """Split the text of a rule into words, and remove the quotes that `quoted` adds.

    In double quotes a backslash escapes any character; single quotes are accepted, too. Raises
    `ParameterProblemError` if a quote is not closed.
    """
    words: list[str] = []
    word: list[str] | None = None
    quote = ""
    letters = iter(text)
    for letter in letters:
        if quote:
            if letter == quote:
                quote = ""
            elif letter == "\\" and quote == '"':
                word = [] if word is None else word
                word.append(next(letters, ""))
            else:
                word = [] if word is None else word
                word.append(letter)
        elif letter in "\"'":
            quote = letter
            word = [] if word is None else word
        elif letter.isspace():
            if word is not None:
                words.append("".join(word))
            word = None
        else:
            word = [] if word is None else word
            word.append(letter)
    if quote:
        raise ParameterProblemError(f"unclosed quotes in `{text}'")
    if word is not None:
        words.append("".join(word))
    return words
