"""IPsec of a network namespace: states (SAs), policies, and ESP in transport mode (RFC 4301, 4303, 4106).

Modelled is what overlay networks need: AES-GCM, IPv4 and IPv6 without extension headers, transport mode. Tunnel and
BEET mode, AH, IPComp, IKE and forwarded packets are not.
"""

from cnmsim.kernel.xfrm.esp import OVERHEAD, is_available
from cnmsim.kernel.xfrm.layer import COUNTERS, Xfrm, xfrm_of
from cnmsim.kernel.xfrm.policy import Mark, Selector, Template, XfrmPolicy
from cnmsim.kernel.xfrm.state import Limits, XfrmState

__all__ = [
    "COUNTERS",
    "OVERHEAD",
    "Limits",
    "Mark",
    "Selector",
    "Template",
    "Xfrm",
    "XfrmPolicy",
    "XfrmState",
    "is_available",
    "xfrm_of",
]
