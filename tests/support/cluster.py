"""A swarm of Docker hosts on one segment."""

from cnmsim import Lab
from cnmsim.lab.host import Host


class Cluster:
    """Docker hosts on one segment, the first of them the manager of a swarm."""

    def __init__(self, count: int, *, managers: int = 1, engine: str = "29.7.2") -> None:
        self.lab = Lab(engine=engine)
        self.hosts = [
            self.lab.add_host(f"node{number}", f"10.9.0.{number}/24", docker=True) for number in range(1, count + 1)
        ]
        first = self.docker(1)
        first.swarm.init(advertise_addr="10.9.0.1")
        tokens = first.swarm.tokens
        for number in range(2, count + 1):
            self.docker(number).swarm.join(tokens.manager if number <= managers else tokens.worker, "10.9.0.1:2377")

    def docker(self, number: int):
        return self.hosts[number - 1].docker

    def isolate(self, host: Host) -> None:
        host.exec("iptables -I INPUT -i eth0 -j DROP; iptables -I OUTPUT -o eth0 -j DROP")

    def rejoin(self, host: Host) -> None:
        host.exec("iptables -D INPUT -i eth0 -j DROP; iptables -D OUTPUT -o eth0 -j DROP")

    def leaders(self) -> list[str]:
        found = []
        for host in self.hosts:
            manager_node = host.docker.cluster.manager_node if host.has_docker else None
            if manager_node is not None and manager_node.raft.is_leading:
                found.append(host.name)
        return found
