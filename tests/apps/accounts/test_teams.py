from __future__ import annotations

from unittest.mock import patch

import pytest
from django.core import mail

from apps.accounts import selectors, throttles
from apps.accounts.authentication import principal_of_user
from apps.accounts.models import Membership
from apps.accounts.tasks import send_invitation
from tests.apps.accounts.conftest import Web, join

NOT_YOURS = (109, "No authorization.", False)


def outcome(answer):
    return answer["code"], answer["message"], answer.get("data", "absent")


def team(web: Web, path: str = "") -> str:
    assert web.user is not None
    return f"/v1/tenant/{web.user.pk}/user{path}"


def roles(web: Web) -> dict[str, str]:
    return {row["email"]: row["role"] for row in web.call("GET", "/v1/tenant/list")["data"]}


def test_from_invitation_to_leaving(ada: Web, bob: Web, profile: str):
    invited = ada.call("POST", team(ada), {"email": "BOB@example.org"})
    assert outcome(invited) == (
        0, "success", {"id": bob.user.pk, "avatar": None, "email": "bob@example.org", "nickname": "Bob"}
    )  # fmt: skip
    assert roles(bob) == {"bob@example.org": "owner", "ada@example.org": "invite"}
    (member,) = ada.call("GET", team(ada, "/list"))["data"]
    assert (member["user_id"], member["role"], len(member["id"])) == (bob.user.pk, "invite", 32)
    assert set(member) >= {
        "id", "user_id", "status", "role", "nickname", "email", "avatar", "is_authenticated", "is_active",
        "is_anonymous", "update_date", "is_superuser", "delta_seconds",
    }  # fmt: skip
    assert bob.call("PUT", f"/v1/tenant/agree/{ada.user.pk}")["data"] is True
    assert roles(bob)["ada@example.org"] == "normal"
    assert bob.call("DELETE", team(ada, f"/{bob.user.pk}"))["data"] is True
    assert roles(bob) == {"bob@example.org": "owner"}
    assert bob.call("DELETE", team(ada, f"/{bob.user.pk}"))["data"] is True  # also when nothing matches


def test_the_invitation_is_mailed(ada: Web, bob: Web):
    ada.call("POST", team(ada), {"email": "bob@example.org"})
    send_invitation(Membership.objects.get(is_pending=True).pk)
    (sent,) = mail.outbox
    assert (sent.subject, sent.to) == ("RAGFlow Invitation", ["bob@example.org"])
    bob.call("PUT", f"/v1/tenant/agree/{ada.user.pk}")
    for membership in [*Membership.objects.all()]:
        send_invitation(membership.pk)
    assert len(mail.outbox) == 1


def test_invitations_are_no_way_to_flood_a_mailbox(ada: Web, bob: Web, profile: str):
    with patch.object(throttles, "INVITATIONS_OF_TENANT", throttles.Limit("invitations", 2, 3600)):
        statuses = []
        for _ in range(3):
            statuses.append(ada.call("POST", team(ada), {"email": "bob@example.org"})["status"])
            ada.call("DELETE", team(ada, f"/{bob.user.pk}"))
    assert statuses == [200, 200, 429]


def test_an_invitation_stands_without_a_mail_server(ada: Web, bob: Web, settings):
    settings.EMAIL_BACKEND = "django.core.mail.backends.dummy.EmailBackend"
    assert ada.call("POST", team(ada), {"email": "bob@example.org"})["code"] == 0
    send_invitation(Membership.objects.get(is_pending=True).pk)


@pytest.mark.parametrize(
    ("role", "is_pending", "message"),
    [
        ("editor", False, "bob@example.org is already in the team."),
        ("viewer", False, "bob@example.org is already in the team."),
        ("editor", True, "bob@example.org is in the team, but the role: invite is invalid."),
    ],
)
def test_whoever_is_in_the_team_cannot_be_invited(ada: Web, bob: Web, profile: str, role, is_pending, message):
    join(ada, bob, role, is_pending=is_pending)
    assert outcome(ada.call("POST", team(ada), {"email": "bob@example.org"})) == (102, message, "absent")


def test_nor_can_the_owner_or_nobody(ada: Web, profile: str):
    owner = ada.call("POST", team(ada), {"email": "ada@example.org"})
    assert outcome(owner) == (102, "ada@example.org is the owner of the team.", "absent")
    nobody = ada.call("POST", team(ada), {"email": "no@example.org"})
    assert outcome(nobody) == (102, "User not found.", "absent")
    assert ada.call("POST", team(ada), {})["message"] == "required argument are missing: email; "
    assert ada.call("POST", team(ada), {"email": 5})["code"] == 101
    assert ada.call("POST", team(ada), {"email": "a", "role": "owner"})["code"] == 101


@pytest.mark.parametrize("role", ["editor", "viewer", "invited", "stranger"])
def test_only_administrators_manage_a_team(ada: Web, bob: Web, new_person, profile: str, role: str):
    carol = new_person("carol@example.org")
    join(ada, carol)
    if role != "stranger":
        join(ada, bob, "admin" if role == "invited" else role, is_pending=role == "invited")
    for method, path, body in [
        ("GET", "/list", None),
        ("POST", "", {"email": "carol@example.org"}),
        ("DELETE", f"/{carol.user.pk}", None),
        ("DELETE", f"/{ada.user.pk}", None),
        ("PUT", f"/{carol.user.pk}", {"role": "admin"}),
        ("PUT", f"/{bob.user.pk}", {"role": "admin"}),
    ]:
        assert outcome(bob.call(method, team(ada, path), body)) == NOT_YOURS, (method, path)


def test_an_administrator_manages_members_but_not_administrators(ada: Web, bob: Web, new_person):
    carol, dave = new_person("carol@example.org"), new_person("dave@example.org")
    join(ada, bob, "admin")
    join(ada, dave, "admin")
    assert bob.call("POST", team(ada), {"email": "carol@example.org", "role": "viewer"})["code"] == 0
    assert bob.call("PUT", team(ada, f"/{carol.user.pk}"), {"role": "editor"})["data"] is True
    assert Membership.objects.get(user=carol.user, tenant_id=ada.user.pk).role == "editor"
    for method, path, body in [
        ("PUT", f"/{carol.user.pk}", {"role": "admin"}),
        ("PUT", f"/{dave.user.pk}", {"role": "viewer"}),
        ("PUT", f"/{ada.user.pk}", {"role": "viewer"}),
        ("DELETE", f"/{dave.user.pk}", None),
        ("DELETE", f"/{ada.user.pk}", None),
    ]:
        assert outcome(bob.call(method, team(ada, path), body)) == NOT_YOURS, (method, path)
    assert ada.call("DELETE", team(ada, f"/{dave.user.pk}"))["data"] is True
    assert bob.call("DELETE", team(ada, f"/{bob.user.pk}"))["data"] is True  # anybody may leave


def test_the_owner_cannot_leave(ada: Web, profile: str):
    assert outcome(ada.call("DELETE", team(ada, f"/{ada.user.pk}"))) == NOT_YOURS
    assert ada.call("GET", "/v1/user/tenant_info")["code"] == 0


@pytest.mark.parametrize(("method", "body"), [("PUT", {"role": "viewer"}), ("DELETE", None)])
def test_an_administrator_and_a_member_who_becomes_one_at_this_moment(ada: Web, bob: Web, new_person, method, body):
    eve = new_person("eve@example.org", nickname="Eve")
    join(ada, bob, "admin")
    join(ada, eve, "editor")

    def read_and_promote(*ids: str) -> Membership | None:
        found = read(*ids)
        Membership.objects.filter(pk=found.pk, user=eve.user).update(role="admin")
        return found

    read = selectors.membership_of
    with patch.object(selectors, "membership_of", read_and_promote):
        assert outcome(bob.call(method, team(ada, f"/{eve.user.pk}"), body)) == NOT_YOURS
    # What was refused is rolled back, and here that is the promotion, too.
    assert Membership.objects.get(tenant_id=ada.user.pk, user=eve.user).role == "editor"


def test_a_role_for_somebody_who_leaves_at_this_moment(ada: Web, bob: Web):
    def read_and_leave(*ids: str) -> Membership | None:
        found = read(*ids)
        Membership.objects.filter(pk=found.pk).delete()
        return found

    join(ada, bob, "editor")
    read = selectors.membership_of
    with patch.object(selectors, "membership_of", read_and_leave):
        assert ada.call("PUT", team(ada, f"/{bob.user.pk}"), {"role": "viewer"})["message"] == "User not found."


def test_agreeing_to_what_is_withdrawn_at_this_moment(ada: Web, bob: Web):
    ada.call("POST", team(ada), {"email": "bob@example.org"})
    seen = Membership.objects.get(is_pending=True)
    Membership.objects.filter(pk=seen.pk).delete()
    with patch.object(selectors, "membership_of", return_value=seen):
        assert bob.call("PUT", f"/v1/tenant/agree/{ada.user.pk}")["data"] is True
    assert roles(bob) == {"bob@example.org": "owner"}


def test_agreeing_without_an_invitation_changes_nothing(ada: Web, bob: Web):
    assert bob.call("PUT", f"/v1/tenant/agree/{ada.user.pk}")["data"] is True
    assert bob.call("PUT", "/v1/tenant/agree/%00")["data"] is True
    assert roles(bob) == {"bob@example.org": "owner"}


@pytest.mark.parametrize(
    ("role", "is_pending", "edits", "administers"),
    [
        ("admin", False, True, True),
        ("editor", False, True, False),
        ("viewer", False, False, False),
        ("admin", True, False, False),
        (None, False, False, False),
    ],
)
def test_what_roles_allow(ada: Web, bob: Web, role, is_pending, edits, administers):
    if role:
        join(ada, bob, role, is_pending=is_pending)
    principal = principal_of_user(bob.user)
    assert selectors.can_edit(principal, ada.user.pk) is edits
    assert selectors.can_administer(principal, ada.user.pk) is administers
    assert selectors.can_edit(principal, bob.user.pk)
