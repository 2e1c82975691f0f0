"""OpenID Connect, through Authlib (extra ``oidc``): the code flow with PKCE, state and nonce.

Who comes in must be a person of the clinic already, with the issuer's subject: nobody is added because an issuer knows them.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from epidura.api.errors import Fault, log
from epidura.api.security import V1, remember
from epidura.api.service import Service
from epidura.clinic.people import WHOLE, same
from epidura.errors import BadInput

STATE = "epidura-oidc"
WAIT = timedelta(minutes=10)
"""For a person at the issuer's page. Choice of this project."""
MOST = 1000
"""Logins on their way at once; more are refused."""
LEEWAY = 60
"""s that the issuer's clock may differ."""
ALGORITHMS = ("RS256", "ES256", "PS256", "EdDSA")
"""Of an ID token's signature; never none and never one with a shared secret."""


@dataclass(frozen=True)
class Trip:
    """A login on its way to the issuer and back."""

    state: str
    nonce: str
    verifier: str
    until: datetime


class Oidc:
    """A client of one issuer.

    Args:
        issuer: its address, https.
        client_id, client_secret: as registered there.
        redirect: address of this server's callback, as registered there.
        clock: for tests.
        transport: of httpx, for tests.

    Raises:
        BadInput: an issuer without TLS, or Authlib is not installed.
    """

    def __init__(self, issuer: str, client_id: str, client_secret: str, redirect: str, clock: Callable[[], datetime],
                 transport: Any = None):
        if not issuer.startswith("https://"):
            raise BadInput("issuer", "an issuer is reached by https", got=issuer)
        try:
            import authlib.oidc.core  # noqa: F401
            import httpx
        except ImportError:
            raise BadInput("oidc", "OpenID Connect needs Authlib and httpx", hint="pip install 'epidura[oidc]'") from None
        self.issuer, self.client_id, self._secret, self.redirect, self.clock = issuer, client_id, client_secret, redirect, clock
        self._http = httpx.Client(transport=transport, timeout=10.0, follow_redirects=False)
        self._trips: dict[str, Trip] = {}
        self._lock = threading.Lock()

    def start(self) -> tuple[str, str]:
        """Address of the issuer's page, and the state that the browser keeps."""
        from authlib.oauth2.rfc6749.parameters import prepare_grant_uri
        from authlib.oauth2.rfc7636 import create_s256_code_challenge

        now = self.clock()
        trip = Trip(secrets.token_urlsafe(32), secrets.token_urlsafe(32), secrets.token_urlsafe(48), now + WAIT)
        with self._lock:
            self._trips = {key: each for key, each in self._trips.items() if each.until > now}
            if len(self._trips) >= MOST:
                raise Fault(429, "oidc", "too many logins on their way", hint="try again in a few minutes", headers={"Retry-After": "60"})
            self._trips[trip.state] = trip
        address = prepare_grant_uri(self._about()["authorization_endpoint"], self.client_id, "code", self.redirect, "openid", trip.state,
                                    nonce=trip.nonce, code_challenge=create_s256_code_challenge(trip.verifier), code_challenge_method="S256")
        return str(address), trip.state

    def subject(self, state: str, kept: str, code: str) -> str:
        """Who the issuer says came back; a trip ends once.

        Raises:
            Fault: another browser's or an old trip, or the issuer's token does not hold.
        """
        with self._lock:
            trip = self._trips.pop(state, None)
        if trip is None or not same(kept, state) or trip.until <= self.clock():
            raise Fault(401, "state", "this login was not begun here, or too long ago", hint="begin again")
        try:
            return self._vouched(trip, code)
        except Exception as failure:  # an issuer can answer with anything
            log.warning("OpenID Connect: %s: %s", type(failure).__name__, failure)
            raise Fault(401, "code", "the issuer does not vouch for this login", hint="begin again") from None

    def _vouched(self, trip: Trip, code: str) -> str:
        from authlib.oidc.core import CodeIDToken
        from joserfc import jwt
        from joserfc.jwk import KeySet

        about = self._about()
        told = self._json(self._http.post(about["token_endpoint"], auth=(self.client_id, self._secret), data={
            "grant_type": "authorization_code", "code": code, "redirect_uri": self.redirect, "code_verifier": trip.verifier}))
        published: Any = self._json(self._http.get(about["jwks_uri"]))
        keys = KeySet.import_key_set(published)
        token = jwt.decode(told["id_token"], keys, algorithms=list(ALGORITHMS))
        claims = CodeIDToken(token.claims, token.header, {"iss": {"essential": True, "value": self.issuer},
                                                          "aud": {"essential": True, "value": self.client_id}},
                             {"nonce": trip.nonce, "client_id": self.client_id})
        claims.validate(now=int(self.clock().timestamp()), leeway=LEEWAY)
        return str(claims["sub"])

    def _about(self) -> dict[str, Any]:
        try:
            found = self._json(self._http.get(f"{self.issuer.rstrip('/')}/.well-known/openid-configuration"))
        except Exception as failure:
            log.warning("OpenID Connect: %s: %s", type(failure).__name__, failure)
            raise Fault(503, "oidc", "the issuer does not answer", hint="try again, or log in with a password") from None
        if found.get("issuer") != self.issuer or not all(str(found.get(name, "")).startswith("https://") for name in (
                "authorization_endpoint", "token_endpoint", "jwks_uri")):
            raise Fault(503, "oidc", "the issuer describes itself as another one")
        return found

    @staticmethod
    def _json(response: Any) -> dict[str, Any]:
        response.raise_for_status()
        return dict(response.json())


def routes(service: Service) -> APIRouter:
    """Of OpenID Connect; they say so where none is set up."""
    api = APIRouter(prefix=V1, tags=["people"])

    def client() -> Any:
        if service.oidc is None:
            raise Fault(404, "oidc", "OpenID Connect is not set up here", hint="epidura serve --oidc FILE")
        return service.oidc

    @api.get("/oidc/start", status_code=303, response_class=Response)
    def start(request: Request) -> Response:
        """Go to the issuer's page."""
        address, state = client().start()
        answer = RedirectResponse(address, status_code=303)
        # lax: the browser comes back from another site
        answer.set_cookie(STATE, state, max_age=int(WAIT.total_seconds()), path=f"{V1}/oidc", secure=service.policy.secure, httponly=True,
                          samesite="lax")
        return answer

    @api.get("/oidc/callback", response_class=HTMLResponse)
    def callback(request: Request, state: str = "", code: str = "") -> Response:
        """Come back from it."""
        subject = client().subject(state, request.cookies.get(STATE, ""), code)
        session = service.people.by_subject(client().issuer, subject)
        answer = HTMLResponse('<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Epidura</title></head>'
                              '<body><p>You are logged in. <a href="/">Go on</a></p></body></html>')
        answer.delete_cookie(STATE, path=f"{V1}/oidc")
        remember(service.policy, answer, session, int(WHOLE.total_seconds()))
        return answer

    return api
