"""A provider of OpenID Connect from PyPI, on a port of its own, whose answers a test can change.

`oidc-provider-mock` ignores PKCE and `max_age`. So `_check_verifier` does what RFC 7636 demands of a provider, and with
`follows_max_age` the provider does what OpenID Connect Core 1.0 demands, and no more: it checks a person again when the
last check is older than `max_age`, or for `prompt=login` (section 3.1.2.1), and sends `auth_time` when the request has
`max_age` (section 2).
"""

import base64
import hashlib
import json
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

import flask
import oidc_provider_mock
import requests
from joserfc import jwt
from joserfc.jwk import RSAKey
from werkzeug.serving import make_server

from tests.support.waiting import PATIENCE_SECONDS

Claims = dict[str, Any]
DISCOVERY = "/.well-known/openid-configuration"
AUTHORIZE, TOKEN, USERINFO = "/oauth2/authorize", "/oauth2/token", "/userinfo"


class OpenIdProvider:
    """`alter_token` gets the claims and the provider's key, and returns the id_token that is sent instead.
    `alter_metadata` and `alter_userinfo` change those documents. `answers_with`: all requests get this status.
    `hold(path)`: requests of this path wait until `release`; `is_held` is set when the first one has arrived.
    `checked_at`: when a person was checked, in seconds since 1970."""

    def __init__(self) -> None:
        self.app = oidc_provider_mock.app(require_nonce=True)
        self.app.before_request(self._before)
        self.app.after_request(self._after)
        self._server = make_server("127.0.0.1", 0, self.app, threaded=True)
        self._server.log = lambda *_args: None  # type: ignore[method-assign]
        self._challenges: dict[str, str] = {}
        self._auth_times: dict[str, int | None] = {}  # of each code
        self.issuer = f"http://localhost:{self._server.server_port}"
        self.reset()

    def reset(self) -> None:
        self.alter_token: Callable[[Claims, RSAKey], str | None] | None = None
        self.alter_metadata: Callable[[Claims], None] | None = None
        self.alter_userinfo: Callable[[Claims], None] | None = None
        self.answers_with: int | None = None
        self.follows_max_age = False
        self.checked_at: dict[str, int] = {}
        self.token_requests: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.held_path, self.is_held, self.is_released = "", threading.Event(), threading.Event()

    def hold(self, path: str) -> None:
        self.held_path = path

    def release(self) -> None:
        self.is_released.set()

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def add_person(self, subject: str, **claims: Any) -> None:
        person = {"auth_time": int(time.time()), **claims}
        requests.put(f"{self.issuer}/users/{subject}", json=person, timeout=60).raise_for_status()

    def approve(self, address: str, subject: str) -> str:
        """What the browser of this person does at the provider. Returns where it goes then."""
        answer = requests.post(address, data={"sub": subject}, allow_redirects=False, timeout=60)
        assert answer.status_code == 302, answer.text
        return answer.headers["Location"]

    def _before(self) -> flask.typing.ResponseReturnValue | None:
        self.paths.append(flask.request.path)
        if flask.request.path == self.held_path:
            self.is_held.set()
            assert self.is_released.wait(PATIENCE_SECONDS)
        if self.answers_with is not None:
            return "out of order", self.answers_with
        if flask.request.path == TOKEN:
            self.token_requests.append(dict(flask.request.form))
            if not self._check_verifier(flask.request.form):
                return {"error": "invalid_grant", "error_description": "code_verifier"}, 400
        return None

    def _check_verifier(self, form: Any) -> bool:
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        return self._challenges.get(form.get("code", "")) == challenge

    def _after(self, response: flask.Response) -> flask.Response:
        path = flask.request.path
        if path == AUTHORIZE and response.status_code == 302:
            assert flask.request.args["code_challenge_method"] == "S256"
            code = parse_qs(urlsplit(response.headers["Location"]).query)["code"][0]
            self._challenges[code] = flask.request.args["code_challenge"]
            self._auth_times[code] = self._check_person(flask.request.form["sub"])
        elif path == TOKEN and response.status_code == 200 and (self.alter_token or self.follows_max_age):
            self._change(response, self._change_token)
        elif path.endswith("openid-configuration") and self.alter_metadata and response.status_code == 200:
            self._change(response, self.alter_metadata)
        elif path == USERINFO and self.alter_userinfo and response.status_code == 200:
            self._change(response, self.alter_userinfo)
        return response

    def _check_person(self, subject: str) -> int | None:
        """Returns what the provider says of its last check of the person."""
        max_age = flask.request.args.get("max_age", type=int)
        now, checked_at = int(time.time()), self.checked_at.get(subject, 0)
        is_too_old = max_age is not None and now - checked_at >= max_age
        if is_too_old or flask.request.args.get("prompt") == "login":
            self.checked_at[subject] = checked_at = now
        return checked_at if max_age is not None else None

    def _change_token(self, answer: Claims) -> None:
        private_key = RSAKey.import_key(flask.g.oidc_provider_mock_storage.jwk.as_dict(is_private=True))
        claims = dict(jwt.decode(answer["id_token"], private_key).claims)
        if self.follows_max_age:
            claims.pop("auth_time", None)
            auth_time = self._auth_times[flask.request.form["code"]]
            claims |= {"auth_time": auth_time} if auth_time is not None else {}
        answer["id_token"] = (self.alter_token or sign)(claims, private_key)

    def _change(self, response: flask.Response, change: Callable[[Claims], None]) -> None:
        content = json.loads(response.get_data())
        change(content)
        response.set_data(json.dumps(content))


def sign(claims: Claims, key: RSAKey, **header: Any) -> str:
    return jwt.encode({"alg": "RS256", "kid": key.thumbprint(), **header}, claims, key)
