"""The table of the Engine API's operations, in the order of Docker's description (moby `api/swagger.yaml`)."""

from __future__ import annotations

from cnmsim.api.handlers import containers, execs, images, service_logs, system
from cnmsim.api.route import Route, empty_route, json_route, not_simulated
from cnmsim.engine.rest.containers import ContainerApi
from cnmsim.engine.rest.execs import ExecApi
from cnmsim.engine.rest.images import ImageApi
from cnmsim.engine.rest.networks import NetworkApi
from cnmsim.engine.rest.secrets import SecretOrConfigApi
from cnmsim.engine.rest.services import ServiceApi, TaskApi
from cnmsim.engine.rest.swarm import NodeApi, SwarmApi
from cnmsim.engine.rest.system import SystemApi
from cnmsim.engine.rest.volumes import VolumeApi

_BUILD = "building images is not simulated; an image's meaning comes from the catalogue"
_BUILDKIT = "building images is not simulated"
_CHECKPOINTS = "checkpoints are not simulated"
_FILES = "images have no files to save, load or push; pull one by its name"
_PLUGINS = "managed plugins are not simulated; drivers are Python classes"
_REGISTRY = "registries are not simulated: any image can be pulled without a login, and none pushed"

ROUTES: tuple[Route, ...] = (
    json_route("GET", "/containers/json", ContainerApi.list),
    json_route("POST", "/containers/create", ContainerApi.create, 201, requires_body=True),
    json_route("POST", "/containers/prune", ContainerApi.prune),
    Route("GET", "/containers/{id}/json", containers.inspect),
    Route("POST", "/containers/{id}/start", containers.start),
    empty_route("POST", "/containers/{id}/stop", ContainerApi.stop, 204),
    empty_route("POST", "/containers/{id}/restart", ContainerApi.restart, 204),
    empty_route("POST", "/containers/{id}/kill", ContainerApi.kill, 204),
    empty_route("POST", "/containers/{id}/pause", ContainerApi.pause, 204),
    empty_route("POST", "/containers/{id}/unpause", ContainerApi.unpause, 204),
    empty_route("POST", "/containers/{id}/rename", ContainerApi.rename, 204),
    json_route("POST", "/containers/{id}/update", ContainerApi.update),
    empty_route("DELETE", "/containers/{id}", ContainerApi.remove, 204),
    Route("POST", "/containers/{id}/wait", containers.wait),
    Route("GET", "/containers/{id}/logs", containers.logs),
    Route("POST", "/containers/{id}/attach", containers.attach),
    empty_route("POST", "/containers/{id}/resize", ContainerApi.resize),
    json_route("GET", "/containers/{id}/top", ContainerApi.top),
    Route("GET", "/containers/{id}/stats", containers.stats),
    json_route("GET", "/containers/{id}/changes", ContainerApi.changes),
    Route("HEAD", "/containers/{id}/archive", containers.archive_stat),
    Route("GET", "/containers/{id}/archive", containers.archive_get),
    Route("PUT", "/containers/{id}/archive", containers.archive_put),
    not_simulated(
        "GET", "/containers/{id}/export", "containers have no file system to export", images.check_container
    ),
    not_simulated("GET", "/containers/{id}/attach/ws", "attaching by WebSocket is not simulated; attach by upgrade"),
    not_simulated("GET", "/containers/{id}/checkpoints", _CHECKPOINTS),
    not_simulated("POST", "/containers/{id}/checkpoints", _CHECKPOINTS),
    not_simulated("DELETE", "/containers/{id}/checkpoints/{checkpoint}", _CHECKPOINTS),
    json_route("POST", "/containers/{id}/exec", ExecApi.create, 201),
    Route("POST", "/exec/{id}/start", execs.start),
    json_route("GET", "/exec/{id}/json", ExecApi.inspect),
    empty_route("POST", "/exec/{id}/resize", ExecApi.resize),
    json_route("GET", "/images/json", ImageApi.list),
    Route("POST", "/images/create", images.create),
    json_route("POST", "/images/prune", ImageApi.prune),
    not_simulated("GET", "/images/search", "registries are not simulated: there is nothing to search"),
    not_simulated("GET", "/images/get", _FILES, images.check_images),
    not_simulated("GET", "/images/{name}/get", _FILES, images.check_image),
    not_simulated("POST", "/images/load", _FILES),
    not_simulated("POST", "/images/{name}/push", _FILES, images.check_image),
    not_simulated("GET", "/images/{name}/attestations", _FILES),
    not_simulated("POST", "/build", _BUILD),
    not_simulated("POST", "/commit", _BUILD, images.check_container),
    Route("POST", "/build/prune", images.prune_builds),
    json_route("GET", "/images/{name}/json", ImageApi.inspect),
    json_route("GET", "/images/{name}/history", ImageApi.history),
    empty_route("POST", "/images/{name}/tag", ImageApi.tag, 201),
    json_route("DELETE", "/images/{name}", ImageApi.remove),
    json_route("GET", "/networks", NetworkApi.list),
    json_route("POST", "/networks/create", NetworkApi.create, 201),
    json_route("POST", "/networks/prune", NetworkApi.prune),
    json_route("GET", "/networks/{id}", NetworkApi.inspect),
    empty_route("DELETE", "/networks/{id}", NetworkApi.remove, 204),
    empty_route("POST", "/networks/{id}/connect", NetworkApi.connect),
    empty_route("POST", "/networks/{id}/disconnect", NetworkApi.disconnect),
    json_route("GET", "/volumes", VolumeApi.list),
    json_route("POST", "/volumes/create", VolumeApi.create, 201),
    json_route("POST", "/volumes/prune", VolumeApi.prune),
    json_route("GET", "/volumes/{name}", VolumeApi.inspect),
    empty_route("DELETE", "/volumes/{name}", VolumeApi.remove, 204),
    empty_route("PUT", "/volumes/{name}", VolumeApi.update),
    json_route("POST", "/swarm/init", SwarmApi.init),
    empty_route("POST", "/swarm/join", SwarmApi.join),
    empty_route("POST", "/swarm/leave", SwarmApi.leave),
    json_route("GET", "/swarm", SwarmApi.inspect),
    empty_route("POST", "/swarm/update", SwarmApi.update),
    json_route("GET", "/swarm/unlockkey", SwarmApi.unlock_key),
    empty_route("POST", "/swarm/unlock", SwarmApi.unlock),
    json_route("GET", "/nodes", NodeApi.list),
    json_route("GET", "/nodes/{id}", NodeApi.inspect),
    empty_route("POST", "/nodes/{id}/update", NodeApi.update),
    empty_route("DELETE", "/nodes/{id}", NodeApi.remove),
    json_route("GET", "/services", ServiceApi.list),
    json_route("POST", "/services/create", ServiceApi.create, 201),
    json_route("GET", "/services/{id}", ServiceApi.inspect),
    json_route("POST", "/services/{id}/update", ServiceApi.update),
    empty_route("DELETE", "/services/{id}", ServiceApi.remove),
    Route("GET", "/services/{id}/logs", service_logs.service_logs),
    json_route("GET", "/tasks", TaskApi.list),
    json_route("GET", "/tasks/{id}", TaskApi.inspect),
    Route("GET", "/tasks/{id}/logs", service_logs.task_logs),
    json_route("GET", "/secrets", SecretOrConfigApi.list, part="secrets"),
    json_route("POST", "/secrets/create", SecretOrConfigApi.create, 201, part="secrets"),
    json_route("GET", "/secrets/{id}", SecretOrConfigApi.inspect, part="secrets"),
    empty_route("POST", "/secrets/{id}/update", SecretOrConfigApi.update, part="secrets"),
    empty_route("DELETE", "/secrets/{id}", SecretOrConfigApi.remove, 204, part="secrets"),
    json_route("GET", "/configs", SecretOrConfigApi.list, part="configs"),
    json_route("POST", "/configs/create", SecretOrConfigApi.create, 201, part="configs"),
    json_route("GET", "/configs/{id}", SecretOrConfigApi.inspect, part="configs"),
    empty_route("POST", "/configs/{id}/update", SecretOrConfigApi.update, part="configs"),
    empty_route("DELETE", "/configs/{id}", SecretOrConfigApi.remove, 204, part="configs"),
    Route("GET", "/_ping", system.ping),
    json_route("GET", "/version", SystemApi.version),
    json_route("GET", "/info", SystemApi.info),
    json_route("GET", "/system/df", SystemApi.disk_usage),
    Route("GET", "/events", system.events),
    Route("GET", "/plugins", system.plugins),
    Route("GET", "/plugins/{name}/json", system.no_plugin),
    Route("DELETE", "/plugins/{name}", system.no_plugin),
    Route("POST", "/plugins/{name}/enable", system.no_plugin),
    Route("POST", "/plugins/{name}/disable", system.no_plugin),
    Route("POST", "/plugins/{name}/upgrade", system.no_plugin),
    Route("POST", "/plugins/{name}/push", system.no_plugin),
    Route("POST", "/plugins/{name}/set", system.no_plugin),
    not_simulated("GET", "/plugins/privileges", _PLUGINS),
    not_simulated("POST", "/plugins/pull", _PLUGINS),
    not_simulated("POST", "/plugins/create", _PLUGINS),
    not_simulated("POST", "/auth", _REGISTRY),
    not_simulated("GET", "/distribution/{name}/json", _REGISTRY),
    not_simulated("POST", "/session", _BUILDKIT),
    not_simulated("POST", "/grpc", _BUILDKIT),
)
