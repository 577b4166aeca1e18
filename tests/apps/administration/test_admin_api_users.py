"""Users at the admin API, by the tables of the contract."""

from __future__ import annotations

import orjson
import pytest
from django.core.files.storage import default_storage
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.accounts.models import APIToken, AuditEntry, Membership, Tenant, User
from apps.accounts.services import create_token
from apps.accounts.services.sessions import start_session
from apps.administration import services
from apps.administration.errors import AdminError
from apps.chats.models import Assistant
from apps.datasets.models import KnowledgeBase
from apps.documents.models import Document, File
from ragflow.engine.errors import StoreError
from tests.apps.accounts.conftest import PASSWORD, Web, encrypted, join
from tests.apps.administration.conftest import PATH, outcome
from tests.apps.conftest import API

GONE = (400, 404, "User 'nobody@example.org' not found")


def active(email: str) -> bool:
    return User.objects.get(email=email).is_active


class TestList:
    def test_all_users_by_address(self, ask, ada: Web, profile: str):
        answer = ask("GET", "users")
        assert (answer["code"], answer["message"]) == (0, "Get all users")
        assert [user["email"] for user in answer["data"]] == ["ada@example.org", "root@example.org"]
        shown = answer["data"][0]
        assert set(shown) == {"email", "nickname", "create_date", "is_active", "is_superuser"}
        assert (shown["nickname"], shown["is_active"], shown["is_superuser"]) == ("Ada", "1", False)
        assert shown["create_date"].endswith(" GMT")

    def test_capitals_do_not_come_first(self, ask, new_person):
        for email in ("Zoe@example.org", "bob@example.org"):
            new_person(email)
        emails = [user["email"] for user in ask("GET", "users")["data"]]
        assert emails == ["bob@example.org", "root@example.org", "Zoe@example.org"]

    def test_the_number_of_queries(self, ask, new_person):
        with CaptureQueriesContext(
            connection,
        ) as few:
            ask("GET", "users")
        for _ in range(5):
            new_person()
        with CaptureQueriesContext(connection) as many:
            ask("GET", "users")
        assert len(few) == len(many) == 2  # the login, the users


class TestShow:
    def test_one_or_none(self, ask, ada: Web, profile: str):
        (shown,) = ask("GET", "users/ADA%40example.org")["data"]
        assert set(shown) == {
            *("avatar", "email", "language", "last_login_time", "is_active", "is_anonymous", "login_channel"),
            *("status", "is_superuser", "create_date", "update_date"),
        }
        assert ask("GET", "users/nobody@example.org")["data"] == []
        assert ask("GET", "users//token_list")["data"] == []


class TestCreate:
    def make(self, ask, **fields: object):
        return ask("POST", "users", {"username": "new@example.org", "password": encrypted("secret")} | fields)

    def test_a_user_with_a_tenant_who_can_log_in(self, ask, anonymous: Web, profile: str):
        answer = self.make(ask)
        assert (answer["code"], answer["message"]) == (0, "User created successfully")
        user = User.objects.get(email="new@example.org")
        assert answer["data"] == {
            "id": user.pk,
            "email": "new@example.org",
            "nickname": "",
            "login_channel": "password",
            "is_superuser": False,
        }
        assert Membership.objects.get(user=user, tenant_id=user.pk).role == "owner"
        body = {"email": "new@example.org", "password": encrypted("secret")}
        assert anonymous.call("POST", "/v1/user/login", body)["code"] == 0
        assert anonymous.call("POST", f"{PATH}login", body)["message"] == "Not admin"

    def test_by_a_client_of_the_version_before(self, ask):
        body = {"user_name": "new@example.org", "password": encrypted("secret"), "role": "user"}
        assert ask("POST", "users", body)["data"]["email"] == "new@example.org"

    def test_an_administrator(self, ask, anonymous: Web):
        assert self.make(ask, role="admin")["data"]["is_superuser"] is True
        body = {"email": "new@example.org", "password": encrypted("secret")}
        assert anonymous.call("POST", f"{PATH}login", body)["code"] == 0

    def test_refusals(self, ask, profile: str):
        required = (400, 400, "Username and password are required")
        assert outcome(ask("POST", "users", {})) == required
        assert outcome(ask("POST", "users", {"username": "x@example.org"})) == required
        assert outcome(self.make(ask, username="x")) == (400, 400, "Invalid email address: x!")
        assert outcome(self.make(ask, username="a+b@example.org"))[1] == 400
        taken = (400, 409, "User 'ROOT@example.org' already exists")
        assert outcome(self.make(ask, username="ROOT@example.org")) == taken
        assert outcome(self.make(ask, role="king"))[:2] == (400, 400)
        assert outcome(self.make(ask, username=["x"]))[:2] == (400, 400)
        assert outcome(self.make(ask, password="!" * 5000))[:2] == (400, -1)
        assert User.objects.count() == 1


class TestChange:
    def test_password(self, ask, ada: Web, anonymous: Web, profile: str):
        path = "users/ada@example.org/password"
        answer = ask("PUT", path, {"new_password": encrypted("other")})
        assert (answer["code"], answer["message"]) == (0, "Password updated successfully!")
        again = ask("PUT", path, {"new_password": encrypted("other")})
        assert (again["code"], again["message"]) == (0, "Same password, no need to update!")
        assert ada.call("GET", "/v1/user/info")["status"] == 401
        body = {"email": "ada@example.org", "password": encrypted("other")}
        assert anonymous.call("POST", "/v1/user/login", body)["code"] == 0

    def test_ones_own_password_keeps_the_login(self, ask):
        assert ask("PUT", "users/root@example.org/password", {"new_password": encrypted("other")})["code"] == 0
        assert ask("GET", "version")["code"] == 0

    def test_a_password_does_not_bring_an_ended_login_back(self, ada: Web):
        """The administrator has logged in again since the request began."""
        seen = User.objects.get(email="ada@example.org")
        newer = start_session(user=User.objects.get(pk=seen.pk))
        assert services.set_password(user=seen, field=encrypted("other"), keep_login=True)
        assert Web(newer.token).call("GET", "/v1/user/info")["code"] == 0

    def test_password_refusals(self, ask, ada: Web, profile: str):
        path = "users/{}/password"
        assert outcome(ask("PUT", path.format("ada@example.org"), {})) == (400, 400, "New password is required")
        assert outcome(ask("PUT", path.format("nobody@example.org"), {"new_password": encrypted("x")})) == GONE
        assert outcome(ask("PUT", path.format("ada@example.org"), {"new_password": 1}))[:2] == (400, 500)
        assert User.objects.get(email="ada@example.org").check_password(PASSWORD)

    def test_activation(self, ask, ada: Web, profile: str):
        path = "users/ada@example.org/activate"
        key = create_token(tenant=Tenant.objects.get(pk=ada.user.pk)).secret
        assert ask("PUT", path, {"activate_status": "ON"})["message"] == "User activate status is already on!"
        answer = ask("PUT", path, {"activate_status": "Off"})
        assert (answer["code"], answer["message"]) == (0, "Turn off user activate status successfully!")
        assert Web(f"Bearer {key}").call("GET", "/v1/user/info")["status"] == 401
        assert ask("PUT", path, {"activate_status": "off"})["message"] == "User activate status is already off!"
        assert ask("PUT", path, {"activate_status": "on"})["message"] == "Turn on user activate status successfully!"
        assert Web(f"Bearer {key}").call("GET", "/v1/user/info")["status"] == 200
        assert ada.call("GET", "/v1/user/info")["status"] == 401, "the login from before does not come back"

    def test_activation_refusals(self, ask, profile: str):
        path = "users/nobody@example.org/activate"
        assert outcome(ask("PUT", path, {})) == (400, 400, "Activation status is required")
        assert outcome(ask("PUT", path, {"activate_status": "up"})) == (400, 400, "Invalid activate_status: up")
        assert outcome(ask("PUT", path, {"activate_status": "on"})) == GONE
        own = ask("PUT", "users/root@example.org/activate", {"activate_status": "off"})
        assert outcome(own) == (400, 409, "can't deactivate current user: root@example.org")
        assert active("root@example.org")

    def test_grant_and_revoke(self, ask, ada: Web, profile: str):
        path = "users/Ada@example.org/admin"
        assert ask("DELETE", path)["message"] == "ada@example.org isn't superuser, yet!"
        assert ask("PUT", path)["message"] == "Grant successfully!"
        assert ada.call("GET", f"{PATH}users")["code"] == 0
        assert ask("PUT", path)["message"] == "ada@example.org is already superuser!"
        assert ask("DELETE", path)["message"] == "Revoke successfully!"
        assert ada.call("GET", f"{PATH}users")["code"] == 403
        assert not User.objects.get(email="ada@example.org").is_staff

    @pytest.mark.parametrize("method", ["PUT", "DELETE"])
    def test_grant_refusals(self, ask, method: str):
        own = (400, 409, "can't grant current user: Root@example.org")
        assert outcome(ask(method, "users/Root@example.org/admin")) == own
        assert outcome(ask(method, "users/nobody@example.org/admin")) == GONE

    def test_two_who_take_each_others_rights_leave_one_administrator(self, root: Web, new_person):
        """Both requests have passed the check of the caller when the first one is carried out."""
        eve = new_person("eve@example.org", is_operator=True)
        assert services.set_administrator(user=eve.user, administrator=False)
        refused = "root@example.org is the only administrator left."
        with pytest.raises(AdminError, match=refused) as caught:
            services.set_administrator(user=root.user, administrator=False)
        assert caught.value.code == 409
        with pytest.raises(AdminError, match=refused):
            services.set_active(user=root.user, active=False)
        assert active("root@example.org")


class TestWhatAUserHas:
    def test_datasets(self, ask, ada: Web, new_person, profile: str):
        bob = new_person("bob@example.org")
        join(bob, ada)
        for owner, name, permission in ((ada, "own", "me"), (bob, "shared", "team"), (bob, "private", "me")):
            KnowledgeBase.objects.create(tenant_id=owner.user.pk, name=name, permission=permission)
        answer = ask("GET", "users/ada@example.org/datasets")
        assert {row["name"]: row["permission"] for row in answer["data"]} == {"own": "me", "shared": "team"}
        assert set(answer["data"][0]) == {
            *("name", "avatar", "language", "permission", "doc_num", "token_num", "chunk_num", "status"),
            *("create_date", "update_date"),
        }
        assert outcome(ask("GET", "users/nobody@example.org/datasets")) == GONE

    def test_agents(self, ask, ada: Web):
        assert ask("GET", "users/ada@example.org/agents")["data"] == []
        assert outcome(ask("GET", "users/nobody@example.org/agents")) == GONE


class TestDelete:
    @pytest.fixture
    def owner(self, api: API, run_tasks) -> User:
        """A deactivated user with some of everything."""
        dataset = api.create_dataset()
        api.upload(dataset["id"], ("a.txt", b"What is left of me?"))
        document = Document.objects.get()
        api.call("POST", f"/api/v1/datasets/{dataset['id']}/chunks", {"document_ids": [document.pk]})
        run_tasks()
        content = b'--b\r\nContent-Disposition: form-data; name="file"; filename="b.txt"\r\n\r\nb\r\n--b--\r\n'
        assert api.send("POST", "/api/v1/file/upload", content, "multipart/form-data; boundary=b")["code"] == 0
        api.call("POST", "/api/v1/chats", {"name": "chat"})
        user = User.objects.get(pk=api.tenant.pk)
        User.objects.filter(pk=user.pk).update(is_active=False)
        return user

    def test_everything_of_the_user_goes(self, ask, owner: User, store, other: API, profile: str):
        kept = other.create_dataset("of somebody else")
        locations = [Document.objects.get().location, File.objects.exclude(location="").get().location]
        assert all(map(default_storage.exists, locations))
        dataset_id = Document.objects.get().dataset_id
        answer = ask("DELETE", f"users/{owner.email}")
        assert (answer["code"], answer["data"]) == (0, None)
        lines = answer["message"].split("\n")
        assert (lines[0], lines[-1]) == ("Successfully deleted user. Details:", "Delete done!")
        assert "1 datasets with their documents deleted." in lines
        assert not User.objects.filter(pk=owner.pk).exists()
        assert not Tenant.objects.filter(pk=owner.pk).exists()
        assert not Document.objects.exists()
        assert not File.objects.filter(tenant_id=owner.pk).exists()
        assert not Assistant.objects.exists()
        assert not APIToken.objects.filter(tenant_id=owner.pk).exists()
        assert not any(map(default_storage.exists, locations))
        assert not store.list_chunks(dataset_id, Document().pk, offset=0, limit=1).chunks
        assert KnowledgeBase.objects.get().pk == kept["id"]
        assert outcome(ask("DELETE", f"users/{owner.email}")) == (400, 404, f"User '{owner.email}' not found")

    def test_documents_that_the_user_added_elsewhere(self, ask, owner: User, other: API):
        dataset = other.create_dataset("team")
        (mine, theirs) = other.upload(dataset["id"], ("mine.txt", b"1"), ("theirs.txt", b"2"))
        Document.objects.filter(pk=mine["id"]).update(created_by=owner.pk)
        assert ask("DELETE", f"users/{owner.email}")["code"] == 0
        assert Document.objects.get().pk == theirs["id"]
        assert KnowledgeBase.objects.get().document_count == 1

    def test_a_failing_store_leaves_the_rest_to_the_next_call(self, ask, owner: User, monkeypatch):
        def fail(*_args: object, **_kwargs: object) -> None:
            raise StoreError("The index is away.")

        with monkeypatch.context() as patch:
            patch.setattr("apps.datasets.services.doc_store", fail)
            text = "An internal error occurred during user deletion. Some operations may have completed."
            assert outcome(ask("DELETE", f"users/{owner.email}")) == (400, -1, text)
        assert User.objects.filter(pk=owner.pk).exists()
        assert ask("DELETE", f"users/{owner.email}")["code"] == 0
        assert not User.objects.filter(pk=owner.pk).exists()

    def test_one_of_two_calls_at_once_deletes(self, ask, owner: User, monkeypatch):
        """The other one has read the user before and comes too late."""
        found = User.objects.get(pk=owner.pk)
        assert ask("DELETE", f"users/{owner.email}")["code"] == 0
        monkeypatch.setattr("apps.administration.selectors.user_named", lambda _email: found)
        assert outcome(ask("DELETE", f"users/{owner.email}")) == (400, 404, f"User '{owner.email}' not found")
        assert AuditEntry.objects.filter(action="delete", object_kind="user").count() == 1

    def test_one_who_is_activated_meanwhile_stays(self, ask, owner: User, monkeypatch):
        def activate(_user: User) -> int:
            return User.objects.filter(pk=owner.pk).update(is_active=True)

        monkeypatch.setitem(services._STEPS, "users activated", activate)
        expected = f"{owner.pk} is active and can't be deleted."
        assert outcome(ask("DELETE", f"users/{owner.email}")) == (400, -1, expected)
        assert active(owner.email)
        assert Tenant.objects.filter(pk=owner.pk).exists()

    def test_refusals(self, ask, root: Web, ada: Web, profile: str):
        expected = f"{ada.user.pk} is active and can't be deleted."
        assert outcome(ask("DELETE", "users/ada@example.org")) == (400, -1, expected)
        User.objects.filter(pk=ada.user.pk).update(is_active=False, is_superuser=True)
        assert outcome(ask("DELETE", "users/ada@example.org")) == (400, -1, "Can't delete the super user.")
        assert outcome(ask("DELETE", "users/nobody@example.org")) == GONE
        assert User.objects.count() == 2


def test_no_answer_holds_a_hash_or_a_key(ask, root: Web, ada: Web, profile: str):
    """What is stored of passwords and logins is in no answer of any operation that reads."""
    ask("POST", "users/ada@example.org/keys")
    ada.user.refresh_from_db()
    root.user.refresh_from_db()
    stored = [APIToken.objects.get().digest]
    stored += [value for user in (ada.user, root.user) for value in (user.password, user.session_digest)]
    for path in (
        *("users", "users/ada@example.org", "users/ada@example.org/keys", "users/ada@example.org/datasets"),
        *("services", "services/1", "configs", "variables", "environments", "version"),
    ):
        answer = orjson.dumps({**ask("GET", path), "headers": ""}).decode()
        for secret in stored:
            assert secret not in answer, path
