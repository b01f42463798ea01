"""The nft command (nftables 1.1.3): reads options and input. The kernel package executes the commands."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnmsim.kernel.errno_text import strerror
from cnmsim.kernel.netfilter.nftables import NfTables, NftError
from cnmsim.kernel.netfilter.nftables.list_options import ListOptions
from cnmsim.userland.invocation import absolute_path, read_all
from cnmsim.userland.libc.getopt import getopt

if TYPE_CHECKING:
    from cnmsim.kernel.process import Process

_LONG = {
    "handle": "a", "file=": "f", "version": "v", "numeric": "n", "stateless": "s", "terse": "t", "json": "j",
}  # fmt: skip


async def main(process: Process) -> int:
    """Run `nft [-a] COMMAND…` or `nft -f FILE`. If one command is invalid, none of them takes effect."""
    options = getopt(process.argv[1:], "af:vnstj", _LONG)
    if "v" in options:
        process.write("nftables v1.1.3 (Commodore Bullmoose #4)\n")
        return 0
    name, origin = options.get("f"), ""
    if name is None:
        if not options.operands:
            process.error("nft: no command specified\n")
            return 1
        source = " ".join(options.operands)
    elif name == "-":
        source, origin = (await read_all(process.stdin)).decode(errors="replace"), "/dev/stdin"
    else:
        try:
            source, origin = process.files.read(absolute_path(process, name)).decode(errors="replace"), name
        except OSError as error:
            process.error(f'internal:0:0-0: Error: Could not open file "{name}": {strerror(error)}\n\n\n')
            return 1
    try:
        output = NfTables.of(process.namespace.netfilter).execute(
            source,
            options=ListOptions("a" in options, "s" not in options, "t" not in options, "j" in options),
            warn=process.error,
        )
    except NftError as error:
        process.error(error.text(source, origin))
        return 1
    process.write(output)
    return 0
