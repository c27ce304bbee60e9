"""The calls of the Kubernetes API that a run needs, by the official client. Each has a time limit; none is repeated."""

import os
from collections.abc import Callable
from typing import Any, BinaryIO

from gbench.base import strict_json
from gbench.errors import GbenchError, InfrastructureError
from gbench.runners.following import NoAnswer
from gbench.runners.kubernetes_manifest import API, NODE, PLURAL

CONNECT_S, ANSWER_S = 10.0, 30.0
STREAM_S = 60.0  # longest silence of a command in a pod
LOGIN = {
    401: ("the cluster does not accept your credentials", "log in again"),
    403: ("you may not do this in the cluster", "ask its administrators for the rights in docs/kubernetes.md"),
}
STDOUT, STATUS = 1, 3  # channels of a command's stream


class Refused(InfrastructureError):
    """The API refuses a call."""

    def __init__(self, status: int, what: str) -> None:
        self.status = status
        why, hint = LOGIN.get(status, ("the cluster's API refuses that", "fix that, then try again"))
        super().__init__(f"{why} ({status}: {what})", hint)


class Cluster:
    """The cluster and the namespace of the current context of the kubeconfig."""

    def __init__(self) -> None:
        """Raises InfrastructureError: there is no client, or no usable kubeconfig."""
        try:
            from kubernetes import client, config
        except ImportError as error:
            raise InfrastructureError(
                "--runner kubernetes needs the package kubernetes", "pip install 'gbench[kubernetes]'"
            ) from error
        import urllib3
        import yaml

        self._failed = (urllib3.exceptions.HTTPError, OSError)
        self._api_failed = client.ApiException
        settings = client.Configuration()
        settings.retries = False
        file = os.environ.get("KUBECONFIG") or config.KUBE_CONFIG_DEFAULT_LOCATION
        try:
            config.load_kube_config(file, client_configuration=settings)
            context = config.list_kube_config_contexts(file)[1]["context"]
            self.namespace = str(context.get("namespace") or "default")
        except (config.ConfigException, yaml.YAMLError, OSError, LookupError, TypeError, ValueError) as error:
            raise InfrastructureError(
                f"the kubeconfig {file} can't be used ({' '.join(str(error).split())})",
                "fix it, or name another with KUBECONFIG; `kubectl config current-context` must show the cluster",
            ) from error
        self.name = f"{settings.host}, namespace {self.namespace}"
        api = client.ApiClient(settings)
        self._core, self._custom = client.CoreV1Api(api), client.CustomObjectsApi(api)

    def create_job(self, manifest: dict[str, Any]) -> None:
        """Raises NoAnswer, Refused."""
        self._call(self._custom.create_namespaced_custom_object, *API, self.namespace, PLURAL, manifest)

    def job(self, name: str) -> dict[str, Any] | None:
        """The TrainJob; None: there is none. Raises NoAnswer, Refused."""
        return self._found(self._custom.get_namespaced_custom_object, *API, self.namespace, PLURAL, name)

    def delete_job(self, name: str) -> None:
        """Delete it, if it is there, and then its pods. Raises NoAnswer, Refused."""
        self._found(
            self._custom.delete_namespaced_custom_object,
            *(*API, self.namespace, PLURAL, name),
            propagation_policy="Foreground",
        )

    def pods(self, label: str) -> list[dict[str, Any]]:
        """Raises NoAnswer, Refused."""
        return list(self._json(self._core.list_namespaced_pod, self.namespace, label_selector=label).get("items") or [])

    def pod(self, name: str) -> dict[str, Any] | None:
        """Raises NoAnswer, Refused."""
        return self._found(self._core.read_namespaced_pod, name, self.namespace)

    def create_pod(self, manifest: dict[str, Any]) -> None:
        """Raises NoAnswer, Refused."""
        self._call(self._core.create_namespaced_pod, self.namespace, manifest)

    def delete_pod(self, name: str) -> None:
        """Raises NoAnswer, Refused."""
        self._found(self._core.delete_namespaced_pod, name, self.namespace, grace_period_seconds=0)

    def log(self, pod: str, since_s: int | None) -> list[str]:
        """The lines of the last seconds of a pod's output, each after its time. Raises NoAnswer, Refused."""
        since = {} if since_s is None else {"since_seconds": since_s}
        log = self._core.read_namespaced_pod_log
        data = self._call(log, pod, self.namespace, container=NODE, timestamps=True, **since)
        return [line for line in data.decode("utf-8", errors="replace").split("\n") if line]

    def run_in(self, pod: str, command: list[str], output: BinaryIO | None = None) -> str:
        """Run a command in a pod, and write its output; what the API says of its end, empty if it went well.

        Raises NoAnswer: it broke off. OSError: the output can't be written.
        """
        import websocket
        from kubernetes.stream import stream

        websocket.setdefaulttimeout(STREAM_S)
        kinds = {"container": NODE, "command": command, "stdout": True, "stderr": False, "stdin": False, "tty": False}
        try:
            running = stream(
                self._core.connect_get_namespaced_pod_exec,
                *(pod, self.namespace),
                **kinds,
                binary=True,
                _preload_content=False,
            )
        except self._api_failed as error:
            if isinstance(error.__context__, GbenchError):  # a request to stop, which the client takes for an error
                raise error.__context__ from None
            raise NoAnswer(_short(error.reason)) from error
        try:
            status = b""
            while running.is_open():
                # in this order: read_all gives the output of both reads, and forgets the channels
                status = running.peek_channel(STATUS, timeout=STREAM_S) or status
                data = running.read_all()
                if not data and not status and running.is_open():
                    raise NoAnswer(f"{pod} sent nothing for {STREAM_S:g} s")
                if output is not None:
                    output.write(data)
        except (websocket.WebSocketException, ConnectionError, TimeoutError) as error:
            raise NoAnswer(_short(error)) from error
        finally:
            running.close(timeout=1)
        return _problem(status)

    def _found(self, function: Callable[..., Any], *values: Any, **options: Any) -> dict[str, Any] | None:
        try:
            return self._json(function, *values, **options)
        except Refused as error:
            if error.status == 404:
                return None
            raise

    def _json(self, function: Callable[..., Any], *values: Any, **options: Any) -> dict[str, Any]:
        data = self._call(function, *values, **options)
        try:
            return dict(strict_json.loads(data))
        except (ValueError, TypeError) as error:
            raise NoAnswer("the API answers no JSON") from error

    def _call(self, function: Callable[..., Any], *values: Any, **options: Any) -> bytes:
        limits = {"_preload_content": False, "_request_timeout": (CONNECT_S, ANSWER_S)}
        try:
            return bytes(function(*values, **options, **limits).data)
        except self._api_failed as error:
            what = _message(error)
            if not error.status or error.status in (408, 429) or error.status >= 500:
                raise NoAnswer(f"{error.status or ''} {what}".strip()) from error
            raise Refused(error.status, what) from error
        except self._failed as error:
            raise NoAnswer(_short(error)) from error


def _message(error: Any) -> str:
    """What the API says of a failure."""
    try:
        return _short(strict_json.loads(error.body)["message"])
    except (ValueError, LookupError, TypeError):
        return _short(error.reason)


def _problem(status: bytes) -> str:
    """What the last message of a command's stream says; empty if the command went well. Raises NoAnswer: no message."""
    try:
        end = strict_json.loads(status)
        return "" if end["status"] == "Success" else _short(end.get("message") or end["status"])
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise NoAnswer("the connection to the pod broke off") from error


def _short(text: object) -> str:
    return " ".join(str(text).split())[:300]
