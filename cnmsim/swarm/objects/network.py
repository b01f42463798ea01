"""Networks of a cluster, and attachments of tasks and nodes to them."""

from __future__ import annotations

from attrs import field, frozen

from cnmsim.swarm.objects.base import Annotations, Driver, Labels, Meta


@frozen
class IpamConfig:
    """The configuration of one subnet. All values are strings.

    `subnet` and `range` are prefixes such as `10.0.1.0/24`; `gateway` and the values of `reserved` are addresses.
    """

    subnet: str = ""
    range: str = ""
    gateway: str = ""
    reserved: Labels = field(factory=dict)


@frozen
class IpamOptions:
    """The IPAM driver of a network and its subnets."""

    driver: Driver | None = None
    configs: tuple[IpamConfig, ...] = ()


@frozen
class NetworkSpec:
    """The spec of a network.

    `config_from` is the name of the network whose configuration is used, "" for none. `ingress` marks the network of
    the routing mesh.
    """

    annotations: Annotations = field(factory=Annotations)
    driver: Driver | None = None
    ipv6_enabled: bool = False
    internal: bool = False
    attachable: bool = False
    ingress: bool = False
    ipam: IpamOptions | None = None
    config_from: str = ""


@frozen(eq=False)
class Network:
    """A network. `driver_state` and `ipam` are set by the allocator."""

    id: str
    spec: NetworkSpec = field(factory=NetworkSpec)
    meta: Meta = field(factory=Meta)
    driver_state: Driver | None = None
    ipam: IpamOptions | None = None
    pending_delete: bool = False

    @property
    def name(self) -> str:
        """The network's name."""
        return self.spec.annotations.name

    @property
    def is_ingress(self) -> bool:
        """Whether this is the ingress network of the routing mesh.

        Old versions marked it with a label instead of a flag.
        """
        annotations = self.spec.annotations
        return self.spec.ingress or (
            annotations.name == "ingress" and "com.docker.swarm.internal" in annotations.labels
        )


@frozen
class NetworkAttachmentConfig:
    """A network to which a task spec requests an attachment. `target` is the network's id."""

    target: str = ""
    aliases: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    driver_opts: Labels | None = None


@frozen(eq=False)
class NetworkAttachment:
    """The attachment of a task or node to a network. `addresses` are in prefix form, such as `10.0.1.3/24`."""

    network: Network
    addresses: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    driver_attachment_opts: Labels | None = None
