"""A node's worker: what it hands to the executor."""

from cnmsim.errors import InvalidParameter
from cnmsim.kernel.clock import Clock
from cnmsim.swarm.agent.worker import Worker
from cnmsim.swarm.dispatcher.messages import AssignmentsMessage
from cnmsim.swarm.objects import (
    Config,
    ConfigReference,
    ContainerSpec,
    FileTarget,
    Secret,
    SecretReference,
    Task,
    TaskSpec,
    TaskState,
)


class RefusingExecutor:
    """Records the dependencies of every task and creates no controller."""

    def __init__(self):
        self.dependencies = []

    def controller(self, task, dependencies):
        self.dependencies.append(dependencies)
        raise InvalidParameter("no controller")


def test_controller_gets_the_secrets_and_configs_of_its_task_that_were_assigned():
    executor, reports = RefusingExecutor(), []
    worker = Worker(Clock(), executor, lambda identity, status: reports.append((identity, status.state)))
    target = FileTarget("x")
    container = ContainerSpec(
        "alpine",
        secrets=(SecretReference("s1", "a", target), SecretReference("absent", "b", target)),
        configs=(ConfigReference("c1", "a", target), ConfigReference("absent", "b", target)),
    )
    task, secret, config = Task("t", TaskSpec(container)), Secret("s1"), Config("c1")
    assigned = [secret, Secret("of another task"), config, Config("of another task"), task]
    worker.apply(AssignmentsMessage("complete", "", "1", tuple(("update", item) for item in assigned)))
    (granted,) = executor.dependencies
    assert (granted.secrets, granted.configs) == ({"s1": secret}, {"c1": config})
    assert reports == [("t", TaskState.REJECTED)]
