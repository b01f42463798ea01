"""How much work `import cnmsim` and the first answer are, as ratios to starting the bare interpreter."""

import resource
import subprocess
import sys
import tempfile
from pathlib import Path


def used():
    """Return the seconds of work that child processes have done."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


#: Ten services, of which one is asked for another.
PROJECT = """
services:
  proxy: {image: "traefik:v3.4", ports: ["80:80"], networks: [front]}
  web: {image: "nginx:1.29", networks: [front, back]}
  api: {image: "node:22", command: node server.js, environment: {PORT: 3000}, networks: [back]}
  worker: {image: "node:22", command: node worker.js, networks: [back]}
  db: {image: "postgres:17", networks: [back]}
  cache: {image: "redis:8", networks: [back]}
  queue: {image: "rabbitmq:4", networks: [back]}
  metrics: {image: prom/prometheus, networks: [back]}
  charts: {image: grafana/grafana, ports: ["3000:3000"], networks: [front, back]}
  mail: {image: axllent/mailpit, networks: [back]}
networks: {front: {}, back: {}}
"""


def seconds(*arguments):
    rounds = []
    for _ in range(15):
        begin = used()
        subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
        rounds.append(used() - begin)
    return min(rounds)


def show(name, took, bare):
    print(f"{name}: {took / bare:.2f} times a bare interpreter ({took * 1e3:.0f} ms to {bare * 1e3:.0f} ms)")


def main():
    bare = seconds("-c", "pass")
    for name, code in (("import cnmsim", "import cnmsim"), ("import Lab", "from cnmsim import Lab")):
        show(name, seconds("-c", code), bare)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "compose.yaml"
        path.write_text(PROJECT, encoding="utf-8")
        show("cnmsim trace, ten services", seconds("-m", "cnmsim", "trace", str(path), "web", "db:5432"), bare)


if __name__ == "__main__":
    main()
