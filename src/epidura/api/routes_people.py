"""Coming in, and who may."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field, SecretStr
from starlette.requests import Request
from starlette.responses import Response as PlainResponse

from epidura.api.errors import Fault, SafeJson
from epidura.api.security import ROOMS, V1, Caller, Who, forget, remember
from epidura.api.service import AfterId, AfterNumber, Limit, PatientId, Service, page
from epidura.clinic.people import DIARY_SESSION, WHOLE, Person, Session
from epidura.clinic.record import pseudonym

Password = Annotated[SecretStr, Field(min_length=1, max_length=200)]
PersonName = Annotated[str, Field(min_length=1, max_length=200)]
Login = Annotated[str, Field(min_length=1, max_length=100)]


class Body(BaseModel):
    """Of a request: nothing but its fields."""

    model_config = ConfigDict(extra="forbid")


class LoginBody(Body):
    """Login and password; ``cookie`` for a browser, ``token`` for a program that sends it as a bearer."""

    login: Login
    password: Password
    keep: Literal["cookie", "token"] = "cookie"


class LinkBody(Body):
    """What came after the # of a link to the diary."""

    link: Annotated[SecretStr, Field(min_length=20, max_length=100)]
    keep: Literal["cookie", "token"] = "cookie"


class NewPassword(Body):
    """The password as it is, and as it shall be."""

    old: Password
    new: Password


class SetPassword(Body):
    """A first password, given by the administrator."""

    password: Password


class SetRole(Body):
    """What somebody may do from now on."""

    role: Literal["physician", "nurse", "researcher", "administrator"]


class NewPerson(Body):
    """Somebody who shall log in: with a password, or with issuer and subject of OpenID Connect."""

    name: PersonName
    login: Login
    role: Literal["physician", "nurse", "researcher", "administrator"]
    password: Password | None = None
    issuer: str | None = Field(None, min_length=1, max_length=150)
    subject: str | None = Field(None, min_length=1, max_length=140)


class Erasure(Body):
    """Erasing who a patient is cannot be undone: authority, reason, the pseudonym typed out, and the password once more."""

    authority: str = Field(min_length=3, max_length=200)
    why: str = Field(min_length=3, max_length=500)
    pseudonym: str = Field(min_length=3, max_length=16)
    password: Password


def shown(person: Person) -> dict[str, Any]:
    return {"id": person.id, "name": person.name, "login": person.login, "role": person.role, "active": person.active,
            "subject": person.subject}


def _entered(service: Service, session: Session, keep: str, seconds: int) -> PlainResponse:
    """The answer to who came in."""
    person = session.person
    told = {"person": {"id": person.id, "name": person.name, "role": person.role}, "patient": person.patient, "expires": session.expires}
    if keep == "token":
        return SafeJson(told | {"token": session.token})
    answer = SafeJson(told | {"csrf": session.csrf})
    remember(service.policy, answer, session, seconds)
    return answer


def routes(service: Service) -> APIRouter:
    """Of people."""
    api, people = APIRouter(prefix=V1, tags=["people"]), service.people

    @api.post("/login")
    def login(body: LoginBody, request: Request) -> Any:
        """Come in. Always a new session; one that came with the request ends."""
        session = people.login(body.login, body.password.get_secret_value(), _address(request))
        request.state.entered = session.person
        _end_old(service, request)
        return _entered(service, session, body.keep, int(WHOLE.total_seconds()))

    @api.post("/diary-login")
    def diary_login(body: LinkBody, request: Request) -> Any:
        """Use a one-time link: a session that opens one diary and nothing else."""
        session = people.exchange(body.link.get_secret_value())
        request.state.entered, request.state.patient = session.person, session.person.patient
        _end_old(service, request)
        return _entered(service, session, body.keep, int(DIARY_SESSION.total_seconds()))

    @api.post("/logout", status_code=204)
    def logout(who: Who) -> Response:
        """Go out."""
        people.logout(who.session.key)
        answer = Response(status_code=204)
        forget(service.policy, answer)
        return answer

    @api.get("/me")
    def me(who: Who) -> dict[str, Any]:
        """Who is in, and the csrf value of the session."""
        return {"person": {"id": who.person.id, "name": who.person.name, "role": who.role}, "patient": who.patient,
                "csrf": who.session.csrf, "expires": who.session.expires, "rooms": [room for room, roles in ROOMS.items() if who.role in roles]}

    @api.put("/me/password", status_code=204)
    def password(body: NewPassword, who: Who) -> Response:
        """A new password; all sessions end, this one too."""
        people.confirm(who.person, body.old.get_secret_value(), who.address)
        people.set_password(who.person.id, body.new.get_secret_value())
        answer = Response(status_code=204)
        forget(service.policy, answer)
        return answer

    @api.get("/people")
    def roll(who: Who, after: AfterId = "", limit: Limit = 100) -> dict[str, Any]:
        """Everybody who may come in."""
        return page([shown(each) for each in people.roll(after, limit)], limit, "id")

    @api.post("/people", status_code=201)
    def add(body: NewPerson, who: Who) -> dict[str, Any]:
        """Add somebody of the clinic."""
        if (body.issuer is None) != (body.subject is None):
            raise Fault(422, "subject", "issuer and subject of OpenID Connect belong together", hint="give both or none")
        subject = None if body.issuer is None else f"{body.issuer} {body.subject}"
        secret = body.password.get_secret_value() if body.password is not None else ""
        return shown(people.add(body.name, body.login, body.role, secret, subject))

    @api.post("/people/{person}/deactivate", status_code=204)
    def deactivate(person: PatientId, who: Who) -> Response:
        """Somebody left: no login, and all sessions end."""
        _known(service, person)
        people.deactivate(person)
        return Response(status_code=204)

    @api.put("/people/{person}/password", status_code=204)
    def reset(person: PatientId, body: SetPassword, who: Who) -> Response:
        """Give somebody a new password; all sessions of the person end."""
        _known(service, person)
        people.set_password(person, body.password.get_secret_value())
        return Response(status_code=204)

    @api.put("/people/{person}/role")
    def role(person: PatientId, body: SetRole, who: Who) -> dict[str, Any]:
        """Give somebody another role; all sessions of the person end. The last administrator keeps the role."""
        _known(service, person)
        return shown(people.set_role(person, body.role, who.person, who.address))

    @api.get("/access")
    def access(who: Who, patient: Annotated[str | None, Query(pattern="^[0-9a-f]{32}$")] = None,
               person: Annotated[str | None, Query(pattern="^[0-9a-f]{32}$")] = None, after: AfterNumber = 0, limit: Limit = 100) -> dict[str, Any]:
        """Who looked at what, refused requests included."""
        return page(people.seen(patient, person, after, limit), limit, "id")

    @api.get("/verify")
    def verify(who: Who) -> dict[str, Any]:
        """Follow the chain of events from its start."""
        found = service.record.verify()
        return {"events": found.events, "head": found.head, "whole": not found.breaks,
                "breaks": [{"event": number, "problem": words} for number, words in found.breaks[:100]]}

    @api.post("/patients/{patient}/erase")
    def erase(patient: PatientId, body: Erasure, who: Who) -> dict[str, Any]:
        """Erase who a patient is, on lawful request. Cannot be undone."""
        service.record.state(patient)
        if body.pseudonym != pseudonym(patient):
            raise Fault(422, "pseudonym", "this is not the pseudonym of this patient", got=body.pseudonym, hint="look at the request again")
        people.confirm(who.person, body.password.get_secret_value(), who.address)
        done = service.record.erase(who.person.id, patient, body.authority, body.why)
        people.revoke(patient)
        return {"pseudonym": body.pseudonym, "version": done.version, "erased": done.state["erased"]}

    return api


def _known(service: Service, person: str) -> None:
    try:
        service.people.get(person)
    except ValueError:
        raise Fault(404, "person", "there is no such person", got=person) from None


def _address(request: Request) -> str:
    return str(request.client.host) if request.client else ""


def _end_old(service: Service, request: Request) -> None:
    """A session that came with the request ends where another begins."""
    old = request.scope.get("state", {}).get("caller")
    if isinstance(old, Caller):
        service.people.logout(old.session.key)
