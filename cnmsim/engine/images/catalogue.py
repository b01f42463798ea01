"""What well-known images run: the command, the ports it listens on, and the image's configuration.

Commands are programs of the simulated userland. `service NAME PORT...` stands for a server whose protocol is not
simulated: it accepts connections on its ports. All images have the same small file system.
"""

from __future__ import annotations

from collections.abc import Iterable

from attrs import define, field, frozen

_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_WHOAMI = "#!/bin/sh\nprintf 'Content-Type: text/plain\\r\\n\\r\\n'\necho \"host=$(hostname) client=$REMOTE_ADDR\"\n"
#: Path, content and mode of the files of every image.
FILES: tuple[tuple[str, str, int], ...] = (
    (
        "/etc/os-release",
        'NAME="Alpine Linux"\nID=alpine\nVERSION_ID=3.22.1\nPRETTY_NAME="Alpine Linux v3.22"\n',
        0o644,
    ),
    ("/www/cgi-bin/whoami", _WHOAMI, 0o755),
    ("/www/index.html", "hello from the web server\n", 0o644),
)


@frozen
class ImageMeaning:
    """An image's configuration: `command` (Cmd), `entrypoint`, `exposed` ports as `5432/tcp`, and so on."""

    command: tuple[str, ...] = ("sh",)
    entrypoint: tuple[str, ...] = ()
    exposed: tuple[str, ...] = ()
    env: tuple[str, ...] = (_PATH,)
    working_dir: str = ""
    user: str = ""
    volumes: tuple[str, ...] = ()
    stop_signal: str = ""
    labels: dict[str, str] = field(factory=dict, hash=False)
    #: Users in /etc/passwd besides root and nobody, each with a group of the same name: name to number.
    accounts: dict[str, int] = field(factory=dict, hash=False)
    size: int = 8_317_312
    #: The lines of /etc/os-release, if it is not Alpine's.
    os_release: str = ""

    @property
    def passwd(self) -> str:
        """The text of /etc/passwd."""
        own = "".join(f"{name}:x:{number}:{number}::/home/{name}:/bin/sh\n" for name, number in self.accounts.items())
        return f"root:x:0:0:root:/root:/bin/sh\n{own}nobody:x:65534:65534:nobody:/:/sbin/nologin\n"

    @property
    def group(self) -> str:
        """The text of /etc/group."""
        own = "".join(f"{name}:x:{number}:\n" for name, number in self.accounts.items())
        return f"root:x:0:\n{own}nobody:x:65534:\n"


def _service(name: str, *ports: int | str, volume: str = "", **accounts: int) -> ImageMeaning:
    exposed = tuple(port if isinstance(port, str) else f"{port}/tcp" for port in ports)
    tcp = [port.removesuffix("/tcp") for port in exposed if port.endswith("/tcp")]
    volumes = (volume,) if volume else ()
    return ImageMeaning(("service", name, *tcp), exposed=exposed, volumes=volumes, accounts=accounts)


def _web(*exposed: str, **accounts: int) -> ImageMeaning:
    return ImageMeaning(("httpd", "-f", "-p", "80", "-h", "/www"), exposed=exposed, accounts=accounts)


def _os(name: str, identifier: str, pretty: str, **accounts: int) -> ImageMeaning:
    text = f'NAME="{name}"\nID={identifier}\nPRETTY_NAME="{pretty}"\n'
    return ImageMeaning(os_release=text, accounts=accounts)


_SHELL = ImageMeaning()
#: The server's account in images based on Debian.
_DEBIAN = {"www-data": 33}
_ON_DEBIAN = ImageMeaning(accounts=_DEBIAN)
#: By repository, without `library/` and tag. nginx is the image that the recorded engines ran, which exposes no port.
WELL_KNOWN: dict[str, ImageMeaning] = {
    "adminer": _service("adminer", 8080),
    "alpine": _SHELL,
    "busybox": ImageMeaning(env=(_PATH,), size=4_277_910),
    "caddy": _service("caddy", 80, 443, "443/udp", 2019),
    "cassandra": _service("cassandra", 7000, 7001, 7199, 9042, 9160, cassandra=999),
    "consul": _service("consul", 8300, 8301, "8301/udp", 8500, 8600, "8600/udp", consul=100),
    "couchdb": _service("couchdb", 4369, 5984, 9100, couchdb=5984),
    "curlimages/curl": ImageMeaning(("curl",), accounts={"curl_user": 100}),
    "debian": _os("Debian GNU/Linux", "debian", "Debian GNU/Linux 13 (trixie)", **_DEBIAN),
    # The sample voting application of Docker's own stack files.
    "dockersamples/atsea_app": _service("atsea", 8080),
    "dockersamples/atsea_db": _service("postgres", 5432, volume="/var/lib/postgresql/data", postgres=999),
    "dockersamples/atseasampleshopapp_payment_gateway": _service("payment_gateway", 8443),
    "dockersamples/atseasampleshopapp_reverse_proxy": _service("nginx", 80, 443),
    "dockersamples/visualizer": _service("visualizer", 8080),
    "elasticsearch": _service("elasticsearch", 9200, 9300, elasticsearch=1000),
    "etcd": _service("etcd", 2379, 2380),
    "fedora": _os("Fedora Linux", "fedora", "Fedora Linux 42 (Container Image)"),
    "gitea/gitea": _service("gitea", 22, 3000, git=1000),
    "golang": _ON_DEBIAN,
    "grafana/grafana": _service("grafana", 3000, grafana=472),
    "haproxy": _service("haproxy", 80, haproxy=99),
    "hello-world": ImageMeaning(
        ("echo", "\nHello from Docker!\nThis message shows that your installation appears to be working correctly.\n")
    ),
    "httpd": _web("80/tcp", **_DEBIAN),
    "influxdb": _service("influxdb", 8086),
    "jenkins/jenkins": _service("jenkins", 8080, 50000, jenkins=1000),
    "kibana": _service("kibana", 5601, kibana=1000),
    "mariadb": _service("mariadb", 3306, volume="/var/lib/mysql", mysql=999),
    "memcached": _service("memcached", 11211, memcache=11211),
    "minio/minio": _service("minio", 9000),
    "mongo": _service("mongo", 27017, volume="/data/db", mongodb=999),
    "mysql": _service("mysql", 3306, 33060, volume="/var/lib/mysql", mysql=999),
    "nats": _service("nats", 4222, 6222, 8222),
    "neo4j": _service("neo4j", 7473, 7474, 7687, neo4j=7474),
    "nginx": _web(**_DEBIAN, nginx=101),
    "nicolaka/netshoot": _SHELL,
    "node": ImageMeaning(accounts={**_DEBIAN, "node": 1000}),
    "php": _ON_DEBIAN,
    "postgres": _service("postgres", 5432, volume="/var/lib/postgresql/data", postgres=999),
    "prom/prometheus": _service("prometheus", 9090),
    "python": _ON_DEBIAN,
    "rabbitmq": _service("rabbitmq", 4369, 5671, 5672, 15691, 15692, 25672, rabbitmq=999),
    "redis": _service("redis", 6379, volume="/data", redis=999),
    "registry": _service("registry", 5000, volume="/var/lib/registry"),
    "ruby": _ON_DEBIAN,
    "swaggerapi/petstore": _service("petstore", 8080),
    "tomcat": _service("tomcat", 8080),
    "traefik": _service("traefik", 80),
    "traefik/whoami": _web("80/tcp"),
    "ubuntu": _os("Ubuntu", "ubuntu", "Ubuntu 24.04.2 LTS", **_DEBIAN, ubuntu=1000),
    "valkey/valkey": _service("valkey", 6379, volume="/data", valkey=999),
    "wordpress": _web("80/tcp", **_DEBIAN),
    "zookeeper": _service("zookeeper", 2181, 2888, 3888, 8080, zookeeper=1000),
}


@define
class ImageCatalogue:
    """Maps image names to their configuration, and lists the images that an engine has initially.

    An engine can pull any name; one that is not in `meanings` runs as alpine. With `is_offline` it can pull none.
    """

    meanings: dict[str, ImageMeaning] = field(factory=lambda: dict(WELL_KNOWN))
    present: Iterable[str] = ("busybox", "alpine", "ubuntu", "nginx")
    is_offline: bool = False

    def add(self, repository: str, meaning: ImageMeaning) -> None:
        """Add an image's configuration. If the name has a tag, it applies to that tag only, else to all tags."""
        self.meanings[repository] = meaning

    def meaning(self, repository: str, tag: str = "latest") -> ImageMeaning:
        """Return the configuration of the image that a name refers to."""
        return self.meanings.get(f"{repository}:{tag}") or self.meanings.get(repository) or _SHELL
