"""A lab of hosts, engines and networks, and the files that describe one."""

from cnmsim.kernel.command import ExecResult
from cnmsim.lab.host import Host
from cnmsim.lab.lab import Lab

__all__ = ["ExecResult", "Host", "Lab"]
