"""Caches that speed up the processing of packets, and change no result.

The tests in tests/laws compare each cache with the slow path, the processing of a packet without caches.

- `flow_cache`: the decisions about one packet of a flow, reused for later packets. Hooks: `NetworkNamespace.flows`,
  `Packet.recording`.
- `cached_route`: the headers and route of a UDP socket's datagrams to one peer. Hook: `UdpSocket.offload`.
- `datagram_path`: datagrams whose content is an object instead of bytes, passed from socket to socket without a
  frame. Hooks: `Link.path`, `Clock.is_idle_until`.

Each module says what invalidates its entries, which tests check it, and which benchmark shows its effect.
"""
