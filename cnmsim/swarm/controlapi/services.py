"""Operations on services (moby/swarmkit `manager/controlapi/service.go`)."""

from __future__ import annotations

from collections.abc import Iterable

from attrs import evolve, frozen

from cnmsim.swarm.allocator import is_ingress_needed
from cnmsim.swarm.controlapi.common import (
    Filters,
    Operations,
    find_one,
    grpc_errors,
    require_arguments,
    require_stored,
)
from cnmsim.swarm.controlapi.service_spec import check_service_spec, is_job
from cnmsim.swarm.errors import (
    NameConflict,
    RpcAlreadyExists,
    RpcFailedPrecondition,
    RpcInvalidArgument,
    RpcUnimplemented,
)
from cnmsim.swarm.objects import (
    Global,
    GlobalJob,
    JobStatus,
    PortConfig,
    PublishMode,
    Replicated,
    ReplicatedJob,
    Service,
    ServiceSpec,
    TaskState,
    UpdateState,
    UpdateStatus,
)
from cnmsim.swarm.objects.defaults import interpolate


@frozen
class ServiceStatus:
    """Counts of a service's tasks: running ones, the desired number, and (for a job) completed ones."""

    service_id: str
    running: int = 0
    desired: int = 0
    completed: int = 0


class ServiceOperations(Operations):
    """Create, change, list and remove services."""

    @grpc_errors
    def create_service(self, spec: ServiceSpec) -> Service:
        """Create a service and return it.

        Raises a `SwarmError` if the spec is invalid, the name or a published port is in use, a secret or config that
        the spec refers to is missing, or the ingress network is needed but missing.
        """
        check_service_spec(spec, self.profile)
        self._check_networks(spec)
        self._check_ports(spec, "")
        now = self.store.now_ns
        job_status = JobStatus(last_execution_ns=now) if is_job(spec) else None
        service = Service(self.new_id(), spec, spec_version=0, job_status=job_status)
        self._check_ingress(service)
        self._check_references(spec)
        try:
            return self.store.update(lambda tx: tx.create(service))
        except NameConflict as error:
            raise RpcAlreadyExists(f"{error.message}: service {spec.annotations.name} already exists") from None

    @grpc_errors
    def get_service(self, service_id: str, *, insert_defaults: bool = False) -> Service:
        """Return a service by id. With `insert_defaults`, unset fields of its spec are filled in with their defaults.

        Raises `RpcNotFound` if there is no service with this id.
        """
        service = require_stored("service", service_id, self.store.services)
        return evolve(service, spec=interpolate(service.spec)) if insert_defaults else service

    def find_service(self, reference: str, *, insert_defaults: bool = False) -> Service:
        """Return a service by id, name or id prefix.

        With `insert_defaults`, unset fields of its spec are filled in with their defaults. Raises `NotFound` if no
        service matches, `InvalidParameter` if several do.
        """
        service = find_one("service", reference, self.store.services.get(reference), self.list_services)
        return self.get_service(service.id, insert_defaults=insert_defaults)

    @grpc_errors
    def update_service(self, service_id: str, version: int, spec: ServiceSpec, *, rollback: bool = False) -> Service:
        """Change a service's spec to `spec` and return the service.

        With `rollback`, the service gets its previous spec back, and `spec` is only validated. `version` is the
        version of the service that the caller read. Raises a `SwarmError` if `spec` is invalid or changes the name or
        mode of the service, or if the service has changed since that version.
        """
        require_arguments(service_id)
        check_service_spec(spec, self.profile)
        self._check_networks(spec)
        service = self.get_service(service_id)
        if spec.endpoint is not None and spec.endpoint != service.spec.endpoint:
            self._check_ports(spec, service_id)
        if (
            spec.networks != service.spec.networks
            and (spec.networks or service.spec.networks)
            and spec.task.networks == service.spec.task.networks
        ):
            raise RpcUnimplemented("networks must be migrated to TaskSpec before being changed")
        self._check_references(spec)
        if type(service.spec.mode) is not type(spec.mode):
            raise RpcUnimplemented("service mode change is not allowed")
        if service.name != spec.annotations.name:
            raise RpcUnimplemented("renaming services is not supported")
        changed = evolve(service, meta=evolve(service.meta, version=version))
        if service.job_status is not None:
            iteration = service.job_status.job_iteration + 1
            changed = evolve(changed, job_status=JobStatus(iteration, self.store.now_ns))
        changed = self._rolled_back(changed) if rollback else _with_new_spec(changed, spec)
        self._check_ingress(changed)
        return self.store.update(lambda tx: tx.replace(changed))

    def _rolled_back(self, service: Service) -> Service:
        if service.previous_spec is None:
            raise RpcFailedPrecondition(f"service {service.id} does not have a previous spec")
        return evolve(
            service,
            spec=service.previous_spec,
            spec_version=service.previous_spec_version,
            previous_spec=service.spec,
            previous_spec_version=service.spec_version,
            update_status=UpdateStatus(
                UpdateState.ROLLBACK_STARTED, self.store.now_ns, None, "manually requested rollback"
            ),
        )

    @grpc_errors
    def remove_service(self, service_id: str) -> None:
        """Remove a service; the orchestrator then removes its tasks.

        Raises `RpcNotFound` if there is no service with this id.
        """
        self.get_service(service_id)
        self.store.update(lambda tx: tx.delete(Service, service_id))

    def list_services(self, filters: Filters | None = None) -> list[Service]:
        """Return the services that pass the filters, in order of creation; `None` means no filters."""
        chosen = filters or Filters()
        return [
            service
            for service in self.store.services
            if chosen.passes(service.id, service.name, service.spec.annotations.labels)
            and (not chosen.runtimes or service.spec.task.runtime in chosen.runtimes)
        ]

    def service_statuses(self, service_ids: Iterable[str]) -> list[ServiceStatus]:
        """Return the task counts of the service of each id, in the order of `service_ids`.

        Ids of removed services are allowed: their tasks may still exist.
        """
        return [self._status(service_id) for service_id in service_ids]

    def _status(self, service_id: str) -> ServiceStatus:
        service = self.store.services.get(service_id)
        mode = service.spec.mode if service is not None else None
        iteration = service.job_status.job_iteration if service is not None and service.job_status else None
        running = completed = desired = 0
        if isinstance(mode, Replicated):
            desired = mode.replicas
        elif isinstance(mode, ReplicatedJob):
            desired = mode.max_concurrent
        counts_tasks = isinstance(mode, Global | GlobalJob)
        for task in self.store.tasks.by_service(service_id):
            if iteration is not None:
                if task.job_iteration != iteration:
                    continue
                completed += task.state is TaskState.COMPLETE
            running += task.state is TaskState.RUNNING
            if counts_tasks:
                is_unfinished = task.desired_state is TaskState.COMPLETE and task.state is not TaskState.COMPLETE
                desired += task.desired_state is TaskState.RUNNING or is_unfinished
        return ServiceStatus(service_id, running, desired, completed)

    # ---- checks against the store

    def _check_networks(self, spec: ServiceSpec) -> None:
        for attachment in spec.task.networks:
            network = self.store.networks.get(attachment.target)
            if network is not None and network.is_ingress:
                raise RpcInvalidArgument(
                    f'Service cannot be explicitly attached to the ingress network "{network.name}"'
                )

    def _check_ingress(self, service: Service) -> None:
        if is_ingress_needed(service) and not self.store.networks.count("ingress", True):
            raise RpcFailedPrecondition("service needs ingress network, but no ingress network is present")

    def _check_ports(self, spec: ServiceSpec, service_id: str) -> None:
        """Raise `RpcInvalidArgument` if a service other than `service_id` uses one of the spec's published ports."""
        requested = [port for port in spec.endpoint.ports if port.published_port] if spec.endpoint is not None else []
        if not requested:
            return
        ingress = {_port_key(port) for port in requested if port.publish_mode is PublishMode.INGRESS}
        host = {_port_key(port) for port in requested if port.publish_mode is PublishMode.HOST}
        for service in self.store.services.find("published", True):
            if service.id == service_id:
                continue
            for endpoint in (service.spec.endpoint, service.endpoint):
                for port in endpoint.ports if endpoint is not None else ():
                    _check_port(port, service, ingress, host)

    def _check_references(self, spec: ServiceSpec) -> None:
        """Raise `RpcInvalidArgument` if a referenced secret or config is missing or has another name."""
        container = spec.task.container
        if container is None:
            return
        secrets = [
            (reference.secret_name, self.store.secrets.get(reference.secret_id)) for reference in container.secrets
        ]
        _refuse_missing("secret", [name for name, stored in secrets if stored is None or stored.name != name])
        configs = [(config.config_name, self.store.configs.get(config.config_id)) for config in container.configs]
        _refuse_missing("config", [name for name, stored in configs if stored is None or stored.name != name])


def _with_new_spec(service: Service, spec: ServiceSpec) -> Service:
    return evolve(
        service,
        previous_spec=service.spec,
        previous_spec_version=service.spec_version,
        spec=spec,
        spec_version=service.meta.version,
        update_status=None,
    )


def _port_key(port: PortConfig) -> tuple[str, int]:
    return port.protocol, port.published_port


def _check_port(
    port: PortConfig, service: Service, ingress: set[tuple[str, int]], host: set[tuple[str, int]]
) -> None:
    place = _port_key(port)
    if not port.published_port:
        return
    in_use = f"port '{port.published_port}' is already in use by service '{service.name}' ({service.id})"
    if port.publish_mode is PublishMode.HOST:
        if place in ingress:
            raise RpcInvalidArgument(f"{in_use} as a host-published port")
    elif place in ingress or place in host:
        raise RpcInvalidArgument(f"{in_use} as an ingress port")


def _refuse_missing(kind: str, names: list[str]) -> None:
    if names:
        raise RpcInvalidArgument(f"{kind}{'s' if len(names) > 1 else ''} not found: {', '.join(names)}")
