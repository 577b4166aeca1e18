"""An identity provider on loopback: OpenID Connect, plain OAuth 2, GitHub's and Feishu's ways, with faults on demand.

with IdentityProvider() as provider:
    url = provider.visit(authorization_url)   # somebody logs in there; the address of the callback
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey

CLIENT_ID, CLIENT_SECRET = "ragflow", "planted secret of a client: +/="
KEY = RSAKey.generate_key(2048, parameters={"kid": "first", "use": "sig"})
STRANGERS_KEY = RSAKey.generate_key(2048, parameters={"kid": "first", "use": "sig"})


class IdentityProvider:
    """Everything about it can be changed between requests; `asked` is what the token endpoint was sent."""

    def __init__(self) -> None:
        self.claims: dict[str, Any] = {"sub": "7", "email": "eve@example.org", "email_verified": True, "name": "Eve"}
        self.profile: dict[str, Any] | None = None  # of the userinfo endpoint; None: the claims
        self.github_emails: Any = [{"email": "eve@example.org", "primary": True, "verified": True}]
        self.granted_scope: str | None = None
        self.change_token: Callable[[dict[str, Any]], dict[str, Any]] = lambda claims: claims
        self.sign: Callable[[dict[str, Any]], str] = lambda claims: jwt.encode(
            {"alg": "RS256", "kid": "first"}, claims, KEY
        )
        self.described: dict[str, Any] = {}  # laid over the description of the issuer
        self.broken: dict[str, tuple[int, bytes]] = {}  # by path: a status and a body
        self.asked: list[dict[str, str]] = []
        self.cookies: list[str] = []  # that were sent along
        self._codes: dict[str, dict[str, str]] = {}

    def __enter__(self) -> Self:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        return self

    def __exit__(self, *_exc: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def channel(self, kind: str, **fields: Any) -> dict[str, Any]:
        """Return the configuration of a channel at this provider."""
        common = {
            "type": kind,
            "client_id": CLIENT_ID,
            "client_secret": CLIENT_SECRET,
            "redirect_uri": "http://testserver/v1/user/oauth/callback/corp",
        }
        places = {
            "authorization_url": f"{self.url}/authorize",
            "token_url": f"{self.url}/token",
            "userinfo_url": f"{self.url}/{'user' if kind == 'github' else 'userinfo'}",
        }
        if kind == "feishu":
            places["app_token_url"] = f"{self.url}/app-token"
            places |= {"token_url": f"{self.url}/user-token", "userinfo_url": f"{self.url}/user-info"}
        return common | ({"issuer": self.url} if kind == "oidc" else places) | fields

    def visit(self, address: str) -> str:
        """Log in as a person does, and return the address that the browser is sent back to."""
        sent = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
        assert sent["response_type"] == "code"
        code = secrets.token_hex(16)
        self._codes[code] = sent
        return f"{sent['redirect_uri']}?{urlencode({'code': code, 'state': sent['state']})}"

    # What the endpoints answer.

    def description(self) -> dict[str, Any]:
        return {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "userinfo_endpoint": f"{self.url}/userinfo",
            "jwks_uri": f"{self.url}/keys",
        } | self.described

    def keys(self) -> Any:
        unknown = {"kty": "AKP", "kid": "later", "alg": "ML-DSA-44", "pub": "AA"}
        return {"keys": [unknown, {"kty": "EC"}, *KeySet([KEY]).as_dict()["keys"]]}

    def tokens(self, form: dict[str, str], basic: str) -> tuple[int, Any]:
        self.asked.append(form)
        started = self._codes.pop(form.get("code", ""), None)
        if started is None or not self._is_client(form, basic):
            return 400, {"error": "invalid_grant"}
        assert started["code_challenge_method"] == "S256"
        challenge = base64.urlsafe_b64encode(hashlib.sha256(form["code_verifier"].encode()).digest()).rstrip(b"=")
        if challenge.decode() != started["code_challenge"] or form["redirect_uri"] != started["redirect_uri"]:
            return 400, {"error": "invalid_grant"}
        answer = {"access_token": "planted-access-token", "token_type": "Bearer"}
        if self.granted_scope is not None:
            answer["scope"] = self.granted_scope
        if "nonce" in started:
            now = int(time.time())
            claims = {"iss": self.url, "aud": CLIENT_ID, "iat": now, "exp": now + 300, "nonce": started["nonce"]}
            answer["id_token"] = self.sign(self.change_token(claims | self.claims))
        return 200, answer

    def feishu(self, path: str, body: dict[str, str], authorization: str) -> tuple[int, Any]:
        """Everything is answered with 200; the envelope says how it went."""
        if path == "/app-token":
            is_client = body == {"app_id": CLIENT_ID, "app_secret": CLIENT_SECRET}
            token = {"app_access_token": "planted-app-token", "expire": 7200}
            return 200, {"code": 0, "msg": "ok", **token} if is_client else {"code": 10003, "msg": "invalid app_id"}
        if path == "/user-token":
            self.asked.append(body)
            is_known = self._codes.pop(body.get("code", ""), None) and body["grant_type"] == "authorization_code"
            if authorization != "Bearer planted-app-token" or not is_known:
                return 200, {"code": 20003, "msg": "invalid code"}
            scope = "contact:user.email:readonly" if self.granted_scope is None else self.granted_scope
            return 200, {"code": 0, "data": {"access_token": "planted-access-token", "scope": scope}}
        if authorization != "Bearer planted-access-token":
            return 200, {"code": 99991663, "msg": "invalid access token"}
        profile = {name: value for name, value in self.claims.items() if name != "email_verified"}
        return 200, {"code": 0, "msg": "success", "data": profile}

    @staticmethod
    def _is_client(form: dict[str, str], basic: str) -> bool:
        quoted = f"{CLIENT_ID}:planted%20secret%20of%20a%20client%3A%20%2B%2F%3D"
        in_header = basic == "Basic " + base64.b64encode(quoted.encode()).decode()
        return in_header or (form.get("client_id"), form.get("client_secret")) == (CLIENT_ID, CLIENT_SECRET)

    def answer(self, path: str, form: dict[str, str], authorization: str) -> tuple[int, Any]:
        if path == "/.well-known/openid-configuration":
            return 200, self.description()
        if path == "/keys":
            return 200, self.keys()
        if path == "/token":
            return self.tokens(form, authorization)
        if path in {"/app-token", "/user-token", "/user-info"}:
            return self.feishu(path, form, authorization)
        if authorization != "Bearer planted-access-token":
            return 401, {"error": "invalid_token"}
        if path == "/user/emails":
            return 200, self.github_emails
        return 200, self.claims if self.profile is None else self.profile


def _handler(provider: IdentityProvider) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer({})

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            is_json = self.headers["Content-Type"].startswith("application/json")
            form = json.loads(body) if is_json else {name: values[0] for name, values in parse_qs(body).items()}
            self._answer(form)

        def _answer(self, form: dict[str, str]) -> None:
            provider.cookies += self.headers.get_all("Cookie", [])
            if self.path in provider.broken:
                status, content = provider.broken[self.path]
            else:
                status, found = provider.answer(self.path, form, self.headers.get("Authorization", ""))
                content = json.dumps(found).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Set-Cookie", "session=somebody; Path=/")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    return Handler
