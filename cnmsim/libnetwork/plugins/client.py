"""Calls to a plugin: JSON requests and responses, retried as Docker does.

Source: moby `pkg/plugins/{client,errors}.go` (docker-v29.7.2).
"""

from __future__ import annotations

from typing import Any

from attrs import define, field

from cnmsim.errors import SystemFault
from cnmsim.gojson.encode import encode
from cnmsim.gojson.scanner import GoJsonError
from cnmsim.gojson.unmarshal import Str, Struct, unmarshal
from cnmsim.libnetwork.plugins.discovery import PluginAddress
from cnmsim.libnetwork.plugins.main_thread_executor import MainThreadExecutor
from cnmsim.libnetwork.plugins.policy import PluginPolicy

_NOT_FOUND = 404
_OK = 200


class PluginFault(SystemFault):
    """Error: a plugin responded with the HTTP status `plugin_status`, which is not 200."""

    def __init__(self, message: str, plugin_status: int = 500) -> None:
        super().__init__(message)
        self.plugin_status = plugin_status

    @property
    def is_not_implemented(self) -> bool:
        """Whether the response means that the plugin does not implement the method."""
        return self.plugin_status == _NOT_FOUND


_ERROR_RESPONSE = Struct("plugins.responseErr", (Str("Err"),))


@define
class PluginClient:
    """A client of one plugin. While it waits for a response, `executor` runs the calls that other threads submit.

    `policy` decides about retries and timeouts. The engine's log lines are appended to `log`.
    """

    address: PluginAddress
    policy: PluginPolicy
    executor: MainThreadExecutor = field(repr=False)
    log: list[str] = field(repr=False)

    def call(self, method: str, argument: Any, struct: Struct) -> dict[str, Any]:
        """Call the plugin's method `method`, e.g. `NetworkDriver.Join`, and decode the response as `struct`.

        The request's body is `argument` as JSON; it is empty if `argument` is `None`. Raises `PluginFault` if the
        plugin responds with an HTTP error, `SystemFault` for other failures; both have the engine's message.
        """
        body = b"" if argument is None else encode(argument).encode() + b"\n"
        content = self._call_with_retry(method, body)
        try:
            return unmarshal(content, struct)
        except GoJsonError as error:
            self.log.append(f"{method}: error reading plugin resp: {error}")
            if len(content) > self.policy.reply_limit:
                raise SystemFault(f"{method}: the response exceeds {self.policy.reply_limit} bytes") from None
            raise SystemFault(str(error)) from None

    def _call_with_retry(self, method: str, body: bytes) -> bytes:
        from cnmsim.libnetwork.plugins.exchange import Exchange, ExchangeError

        pauses = self.policy.pauses()
        while True:
            exchange = Exchange(self.address, self.policy, method, body)
            try:
                status, content = self.executor.run_until_done(exchange.run)
            except ExchangeError as error:
                pause = next(pauses, None)
                if pause is None:
                    raise SystemFault(str(error)) from None
                # The engine reads the request's body from a buffer, which is empty after the first attempt. So a
                # retry has no body.
                body = b"" if error.is_sent else body
                self.log.append(f"Unable to connect to plugin: {method}: {error}, retrying in {pause:g}s")
                self.policy.pause(pause, self.executor.run_until_done)
                continue
            if status != _OK:
                raise PluginFault(f"{method}: {_reason(content)}", status)
            return content


def _reason(content: bytes) -> str:
    """Return the field `Err` of a plugin's error response, or the whole text if it has no such field."""
    try:
        reason: str = unmarshal(content, _ERROR_RESPONSE)["Err"]
    except GoJsonError:
        reason = ""
    return reason or content.decode(errors="replace")
