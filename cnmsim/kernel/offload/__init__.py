"""Caches of the packet path, and nothing else that only makes it faster.

Each is exact: laws compare it with the full path.

- `flow_cache`: what one packet of a flow met, replayed for the next. Hooks: `NetworkNamespace.flows`,
  `Packet.recording`.
- `cached_route`: the headers and route of a UDP socket's datagrams to one peer. Hook: `UdpSocket.offload`.
- `datagram_path`: opaque datagrams from socket to socket without a frame. Hooks: `Link.path`, `Clock.is_idle_until`.

Each module says what invalidates its entries, which law tests hold it, and which bench shows its effect.
"""
