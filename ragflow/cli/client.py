"""The HTTP side: one connection to one server, with the session of one user."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import httpx2

from ragflow.cli import passwords
from ragflow.cli.errors import CommandFailed, LoginFailed
from ragflow.cli.grammar import Mode

_PREFIXES = {Mode.ADMIN: "/api/v1/admin", Mode.USER: "/v1"}


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server said. `body` is None when that was no JSON object."""

    status: int
    text: str
    body: dict[str, Any] | None
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def succeeded(self) -> bool:
        return self.status == httpx2.codes.OK and self.body is not None and self.code == 0

    @property
    def code(self) -> Any:
        return self.status if self.body is None else self.body.get("code", self.status)

    @property
    def message(self) -> str:
        if self.body is None:
            return "the server's answer is not JSON"
        return str(self.body.get("message", ""))

    @property
    def data(self) -> Any:
        return None if self.body is None else self.body.get("data")


class Client:
    """Requests below the paths of a mode. There is no time limit: some answers take as long as a model does."""

    def __init__(
        self,
        host: str,
        port: int,
        mode: Mode,
        *,
        public_key: str = "",
        token: str = "",
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        self.mode = mode
        self.token = token
        self.origin = f"http://{f'[{host}]' if ':' in host else host}:{port}"
        self._address = (host, port)
        self._public_key = public_key
        self._transport = transport
        self._http = httpx2.Client(base_url=self.origin, timeout=None, trust_env=False, transport=transport)

    def twin(self) -> Client:
        """Return another client with the same session, for another thread."""
        host, port = self._address
        return Client(host, port, self.mode, public_key=self._public_key, token=self.token, transport=self._transport)

    def close(self) -> None:
        self._http.close()

    def call(self, method: str, path: str, **request: Any) -> Answer:
        """Send a request below the paths of the client's mode. Raises CommandFailed when there is no answer."""
        return self.send(method, _PREFIXES[self.mode] + path, **request)

    def send(self, method: str, path: str, **request: Any) -> Answer:
        """The same for a path from the root."""
        headers = {"Authorization": self.token} if self.token else {}
        try:
            response = self._http.request(method, path, headers=headers, **request)
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise CommandFailed(f"Can't reach the server at {self.origin}: {error}") from None
        try:
            body = response.json()
        except ValueError:
            body = None
        return Answer(
            response.status_code, response.text, body if isinstance(body, dict) else None, dict(response.headers)
        )

    def is_alive(self) -> bool:
        """Tell whether the server answers its ping."""
        try:
            answer = self.send("GET", "/v1/system/ping")
        except CommandFailed:
            return False
        return answer.status == httpx2.codes.OK and answer.text.strip() == "pong"

    def log_in(self, email: str, password: str) -> None:
        """Take a session. Raises LoginFailed."""
        path = "/login" if self.mode is Mode.ADMIN else "/user/login"
        try:
            answer = self.call("POST", path, json={"email": email, "password": self.encrypted(password)})
        except CommandFailed as error:
            raise LoginFailed(str(error)) from None
        if answer.body is None:
            raise LoginFailed(f"Login failed: invalid JSON response (HTTP status {answer.status})")
        if answer.code != 0:
            raise LoginFailed(f"Login failed: {answer.message}")
        token = answer.headers.get("authorization")
        if not token:
            raise LoginFailed("Login failed: missing Authorization header")
        self.token = token

    def encrypted(self, password: str) -> str:
        """Return what is sent for a password: under the key that was chosen, else the server's, else the usual one."""
        if not self._public_key:
            self._public_key = self._offered_key() or passwords.DEFAULT_KEY
        return passwords.encrypted(password, self._public_key)

    def _offered_key(self) -> str:
        answer = self.send("GET", "/v1/system/public_key")
        offered = answer.data.get("public_key") if answer.succeeded and isinstance(answer.data, dict) else None
        return offered if isinstance(offered, str) else ""
