from __future__ import annotations

import io
import re
from datetime import timedelta
from unittest.mock import patch

import pytest
from django.core import mail
from django.test import Client
from django.utils import timezone
from PIL import Image

from apps.accounts.models import PasswordRecovery, User
from apps.accounts.services import recovery
from tests.apps.accounts.conftest import Web, encrypted

EMAIL = "ada@example.org"
FORGET = "/v1/user/forget/"


def outcome(answer):
    return answer["code"], answer["message"], answer["data"]


def pass_time(**by):
    """Let everything have happened earlier."""
    row = PasswordRecovery.objects.get()
    for name in ("captcha_until", "code_until", "code_sent_at", "locked_until", "verified_until"):
        if value := getattr(row, name):
            setattr(row, name, value - timedelta(**by))
    row.save()


@pytest.fixture
def known(ada: Web, profile: str):
    """Ada's account, in both profiles."""


def see_captcha(web: Web, email: str = EMAIL) -> str:
    with patch("apps.accounts.views.recovery.picture_of", return_value=b"") as picture:
        assert web.get(f"{FORGET}captcha", {"email": email}).status_code == 200
    return picture.call_args.args[0]


def ask_code(web: Web, email: str = EMAIL, captcha: str | None = None):
    return web.call("POST", f"{FORGET}otp", {"email": email, "captcha": captcha or see_captcha(web, email)})


def mailed_code(web: Web, email: str = EMAIL) -> str:
    assert outcome(ask_code(web, email)) == (0, "verification passed, email sent", True)
    found = re.search(r"\b[A-Z]{4}\b", mail.outbox[-1].body)
    assert found
    return found[0]


def verify(web: Web, code: str, email: str = EMAIL):
    return web.call("POST", f"{FORGET}verify-otp", {"email": email, "otp": code})


def reset(web: Web, email: str = EMAIL, new: object = None, confirmed: object = None):
    new = encrypted("new one") if new is None else new
    confirmed = encrypted("new one") if confirmed is None else confirmed
    body = {"email": email, "new_password": new, "confirm_new_password": confirmed}
    return web.call("POST", f"{FORGET}reset-password", body)


def test_the_whole_way(known, ada: Web, anonymous: Web):
    code = mailed_code(anonymous)
    assert (mail.outbox[0].subject, mail.outbox[0].to) == ("Your Password Reset Code", [EMAIL])
    assert "5 minutes" in mail.outbox[0].body
    assert outcome(verify(anonymous, f" {code.lower()} ")) == (0, "otp verified", True)
    answer = reset(anonymous, "Ada@example.org")
    assert (answer["code"], answer["message"]) == (0, "Password reset successful. Logged in.")
    assert Web(answer["headers"]["Authorization"]).call("GET", "/v1/user/info")["data"]["email"] == EMAIL
    assert ada.call("GET", "/v1/user/info")["status"] == 401
    assert Client().login(username=EMAIL, password="new one")
    assert reset(anonymous)["message"] == "email not verified"  # once


def test_the_picture(known, anonymous: Web):
    response = anonymous.get(f"{FORGET}captcha", {"email": EMAIL})
    assert response.headers["Content-Type"] == "image/JPEG"
    assert Image.open(io.BytesIO(response.content)).size == (300, 120)


def test_missing_fields(known, anonymous: Web):
    assert outcome(anonymous.call("GET", f"{FORGET}captcha")) == (101, "email is required", False)
    assert outcome(anonymous.call("POST", f"{FORGET}otp", {"email": EMAIL})) == (
        101,
        "email and captcha required",
        False,
    )
    assert outcome(anonymous.call("POST", f"{FORGET}verify-otp")) == (101, "email and otp are required", False)
    assert anonymous.call("POST", f"{FORGET}otp", {"email": ["a"], "captcha": 5})["code"] == 101


def test_captchas_are_good_once_and_for_a_minute(known, anonymous: Web):
    assert outcome(ask_code(anonymous, captcha="AAAA")) == (10, "invalid or expired captcha", False)
    right = see_captcha(anonymous)
    assert outcome(ask_code(anonymous, captcha="----")) == (109, "invalid or expired captcha", False)
    assert outcome(ask_code(anonymous, captcha=right)) == (10, "invalid or expired captcha", False)
    right = see_captcha(anonymous)
    pass_time(seconds=61)
    assert outcome(ask_code(anonymous, captcha=right)) == (10, "invalid or expired captcha", False)
    assert not mail.outbox
    assert ask_code(anonymous, captcha=f" {see_captcha(anonymous).lower()} ")["code"] == 0


def test_codes_are_sent_a_minute_apart(known, anonymous: Web):
    mailed_code(anonymous)
    code, message, _ = outcome(ask_code(anonymous))
    assert code == 10
    assert re.fullmatch(r"you still have to wait (59|60) seconds", message)
    pass_time(seconds=61)
    assert ask_code(anonymous)["code"] == 0
    assert len(mail.outbox) == 2


def test_codes_run_out(known, anonymous: Web):
    assert outcome(verify(anonymous, "AAAA")) == (10, "expired otp", False)
    code = mailed_code(anonymous)
    pass_time(seconds=301)
    assert outcome(verify(anonymous, code)) == (10, "expired otp", False)


def test_wrong_codes_lock_the_address(known, anonymous: Web):
    code = mailed_code(anonymous)
    for _ in range(5):
        assert outcome(verify(anonymous, "----")) == (109, "expired otp", False)
    assert outcome(verify(anonymous, code)) == (10, "too many attempts, try later", False)
    pass_time(seconds=1801)
    assert verify(anonymous, code)["message"] == "expired otp"


def test_a_new_code_does_not_unlock(known, anonymous: Web):
    mailed_code(anonymous)
    for _ in range(5):
        verify(anonymous, "----")
    pass_time(seconds=61)
    assert verify(anonymous, mailed_code(anonymous))["message"] == "too many attempts, try later"


def test_a_new_code_gives_no_new_guesses(known, anonymous: Web):
    mailed_code(anonymous)
    for _ in range(4):
        assert verify(anonymous, "----")["message"] == "expired otp"
    pass_time(seconds=61)
    code = mailed_code(anonymous)
    assert verify(anonymous, "----")["message"] == "expired otp"
    assert verify(anonymous, code)["message"] == "too many attempts, try later"
    pass_time(seconds=1801)
    code = mailed_code(anonymous)
    assert verify(anonymous, "----")["message"] == "expired otp"  # one of five again
    assert verify(anonymous, code)["code"] == 0


def test_a_verified_address_stays_so_for_minutes(known, anonymous: Web):
    verify(anonymous, mailed_code(anonymous))
    pass_time(seconds=301)
    assert outcome(reset(anonymous)) == (109, "email not verified", False)


def test_only_who_showed_the_code_sets_the_password(known, anonymous: Web):
    verify(anonymous, mailed_code(anonymous))
    elsewhere = Web(REMOTE_ADDR="203.0.113.9")
    assert outcome(reset(elsewhere)) == (109, "email not verified", False)
    assert reset(anonymous)["code"] == 0


def test_unconfirmed_or_unreadable_passwords(known, anonymous: Web, profile: str, settings):
    settings.PLAIN_PASSWORDS = False
    verify(anonymous, mailed_code(anonymous))
    assert outcome(reset(anonymous, confirmed=encrypted("other"))) == (101, "passwords do not match", False)
    for bad in ("", "plain", 5, encrypted("a")[:20]):
        assert reset(anonymous, new=bad)["code"] == (101 if profile == "standard" else 100)
    assert reset(anonymous)["code"] == 0


def test_a_disabled_account_gets_neither_code_nor_password(known, anonymous: Web):
    User.objects.update(is_active=False)
    assert ask_code(anonymous)["code"] == 0
    assert not mail.outbox


def test_without_mail(known, anonymous: Web, profile: str, settings):
    settings.EMAIL_BACKEND = "django.core.mail.backends.dummy.EmailBackend"
    assert outcome(ask_code(anonymous, captcha="AAAA")) == (10, "invalid or expired captcha", False)
    see_captcha(anonymous)
    assert outcome(ask_code(anonymous, captcha="----")) == (109, "invalid or expired captcha", False)
    answer = ask_code(anonymous)
    assert outcome(answer) == (500, "failed to send email", False)
    assert answer["status"] == (502 if profile == "standard" else 200)


@pytest.mark.parametrize("host", ["127.0.0.1", "mail..example.org"])
def test_a_mail_server_that_is_away(known, anonymous: Web, profile: str, host: str, settings):
    settings.EMAIL_BACKEND, settings.EMAIL_PORT = "django.core.mail.backends.smtp.EmailBackend", 1
    settings.EMAIL_HOST = host
    told = (0, "verification passed, email sent", True)  # as where there is no account to mail to
    assert outcome(ask_code(anonymous)) == (told if profile == "standard" else (500, "failed to send email", False))


def test_only_the_exact_profile_waits_for_the_mail_server(known, anonymous: Web, profile: str, later):
    mailed_code(anonymous)
    assert len(later) == (1 if profile == "standard" else 0)


def test_an_address_without_an_account(anonymous: Web, profile: str):
    if profile == "exact":
        assert outcome(anonymous.call("GET", f"{FORGET}captcha?email={EMAIL}")) == (102, "invalid email", False)
        assert outcome(ask_code(anonymous, captcha="x")) == (102, "invalid email", False)
        assert outcome(verify(anonymous, "x")) == (102, "invalid email", False)
        return
    assert outcome(ask_code(anonymous)) == (0, "verification passed, email sent", True)
    assert not mail.outbox
    for _ in range(5):
        assert outcome(verify(anonymous, "----")) == (109, "expired otp", False)
    assert outcome(verify(anonymous, "----")) == (10, "too many attempts, try later", False)
    assert outcome(reset(anonymous)) == (109, "email not verified", False)
    assert not User.objects.exists()


def test_what_is_stored_tells_no_code(known, anonymous: Web, settings):
    code = mailed_code(anonymous)
    row = str(PasswordRecovery.objects.values().get())
    assert code not in row
    key = settings.SECRET_KEY
    settings.SECRET_KEY = "another secret key of forty characters..."
    assert recovery._hashed("code", EMAIL, code) not in row
    settings.SECRET_KEY = key
    assert recovery._hashed("code", EMAIL, code) in row


def test_an_address_that_is_longer_in_lower_case(anonymous: Web, settings):
    settings.WIRE_PROFILE = "standard"
    see_captcha(anonymous, "İ" * 255)
    assert len(PasswordRecovery.objects.get().email) <= 255  # as PostgreSQL demands


def test_old_states_are_forgotten(anonymous: Web):
    see_captcha(anonymous, "old@example.org")
    PasswordRecovery.objects.update(updated_at=timezone.now() - timedelta(days=2))
    see_captcha(anonymous, "new@example.org")
    assert PasswordRecovery.objects.get().email == "new@example.org"
