"""nf_tables: the command language of nft, its tables, and their traversal by packets.

Source: Linux net/netfilter/nf_tables_api.c and nft_*.c, nftables 1.1.3.
"""

from __future__ import annotations

from cnmsim.kernel.netfilter.nftables.errors import NftError
from cnmsim.kernel.netfilter.nftables.nf_tables import NfTables

__all__ = ["NfTables", "NftError"]
