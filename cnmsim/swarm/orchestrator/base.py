"""The event loop shared by the orchestrators of replicated and of global services.

An orchestrator reconciles: it compares the tasks in the store with the services' specs, and creates new tasks or sets
the desired state of existing ones until both agree. It does this when it starts, and after every change of a task,
service or node. While it reads the events of a transaction it only queues what to check; `_tick` then processes the
queues.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

from cnmsim.swarm.objects import Service, Task
from cnmsim.swarm.orchestrator.restart import RestartSupervisor
from cnmsim.swarm.orchestrator.tasks import NewId, remove_service_tasks
from cnmsim.swarm.orchestrator.updater import UpdateSupervisor
from cnmsim.swarm.store import Event, EventKind, Store
from cnmsim.swarm.store.loop import StoreLoop


class ServiceOrchestrator(StoreLoop):
    """Maintains the tasks of one kind of service. A subclass selects the services and reconciles their tasks."""

    def __init__(self, store: Store, new_id: NewId) -> None:
        super().__init__(store)
        self._new_id = new_id
        self._restarts = RestartSupervisor(store, new_id)
        self._updates = UpdateSupervisor(store, self._restarts, new_id)
        #: Ids of ended tasks that may need a replacement, in the order they were found.
        self._restart_queue: dict[str, None] = {}

    def stop(self) -> None:
        """Stop following the store; cancel all updates and delayed starts."""
        super().stop()
        self._updates.cancel_all()
        self._restarts.cancel_all()

    def _on_changes(self, events: Sequence[Event]) -> None:
        for event in events:
            self._restarts.on_event(event)
            self._updates.on_event(event)
            match event.object:
                case Task():
                    self._on_task(event)
                case Service():
                    self._on_service(event)
                case _:
                    self._on_node(event)
        self._tick()

    def _on_service(self, event: Event) -> None:
        service: Service = event.object
        if not self._owns(service):
            return
        if event.kind is EventKind.DELETE:
            remove_service_tasks(self._store, service)
            self._restarts.forget_service(service.id)
            self._updates.cancel(service.id)
            self._forget_service(service.id)
        else:
            self._on_service_changed(service)

    @staticmethod
    @abstractmethod
    def _owns(service: Service) -> bool: ...

    @abstractmethod
    def _on_task(self, event: Event) -> None: ...

    @abstractmethod
    def _on_service_changed(self, service: Service) -> None: ...

    @abstractmethod
    def _forget_service(self, service_id: str) -> None: ...

    @abstractmethod
    def _on_node(self, event: Event) -> None: ...

    @abstractmethod
    def _tick(self) -> None: ...
