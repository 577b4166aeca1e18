"""Forgotten passwords: a captcha, then a code by mail, then a new password.

Addresses without an account go through the same steps, and nothing is mailed; only the profile that must tell them
apart does. Captchas and codes are kept as keyed hashes.
"""

from __future__ import annotations

import secrets
import string
from datetime import datetime, timedelta

from django.db import transaction
from django.utils import timezone
from django.utils.crypto import constant_time_compare, salted_hmac

from apps.accounts import audit, passwords, selectors, throttles
from apps.accounts.errors import MailFailed, TooEarly, WrongCredentials
from apps.accounts.mail import MailNotSent, can_send, send
from apps.accounts.models import PasswordRecovery, User
from apps.accounts.services.accounts import readable_password
from apps.accounts.services.ownership import prove_address
from apps.accounts.services.sessions import StartedSession, start_session
from apps.core.errors import BadValue, DataError, InvalidArgument, RagflowError
from apps.core.threads import submit
from apps.core.wire_profile import profile

CODE_LENGTH = 4
CAPTCHA_LIFE = timedelta(seconds=60)
CODE_LIFE = timedelta(seconds=300)
CODE_PAUSE = timedelta(seconds=60)
VERIFIED_LIFE = timedelta(seconds=300)
ATTEMPTS = 5
LOCK = timedelta(seconds=1800)
_FORGOTTEN = timedelta(days=1)


def new_captcha(*, email: str, address: str) -> str:
    """Return the characters that the next captcha shows. Raises DataError and TooManyRequests."""
    throttles.hit(throttles.RECOVERY_FROM_ADDRESS, address)
    _known_user(email)
    text = _random(string.ascii_uppercase + string.digits)
    with transaction.atomic():
        PasswordRecovery.objects.filter(updated_at__lt=timezone.now() - _FORGOTTEN).delete()
        recovery = _locked(email)
        recovery.captcha = _hashed("captcha", email, text)
        recovery.captcha_until = timezone.now() + CAPTCHA_LIFE
        recovery.save()
    return text


def send_code(*, email: str, captcha: str, address: str) -> None:
    """Mail a code to whoever reads the captcha.

    Where nobody may learn which addresses have an account, the answer does not wait for the mail server, and does not
    tell its failures. Raises DataError, TooEarly, WrongCredentials and MailFailed.
    """
    throttles.hit(throttles.RECOVERY_FROM_ADDRESS, address)
    user = _known_user(email)
    code = _random(string.ascii_uppercase)
    with transaction.atomic():
        problem = _take_captcha(_locked(email), captcha, code)
    if problem:
        raise problem
    if not can_send():
        raise MailFailed
    if user is None or not user.is_active:
        return
    if profile().tells_unknown_accounts:
        _mail(user, code)
    else:
        submit(_mail, user, code)


def verify_code(*, email: str, code: str, address: str) -> None:
    """Let the holder of the code choose a new password, from the same network address, for some minutes.

    Raises DataError, TooEarly and WrongCredentials.
    """
    throttles.hit(throttles.RECOVERY_FROM_ADDRESS, address)
    _known_user(email)
    with transaction.atomic():
        problem = _try_code(_locked(email), code, address)
    if problem:
        raise problem


def reset_password(*, email: str, new: object, confirmed: object, address: str) -> StartedSession:
    """Set the password of a verified address and log its user in. Earlier logins end.

    Raises BadValue, WrongCredentials, InvalidArgument and DataError.
    """
    throttles.hit(throttles.RECOVERY_FROM_ADDRESS, address)
    new_text = readable_password("new_password", new)
    confirmed_text = readable_password("confirm_new_password", confirmed)
    is_confirmed = constant_time_compare(_password_in(new_text), _password_in(confirmed_text))
    with transaction.atomic():
        recovery = _locked(email)
        is_the_one = constant_time_compare(recovery.verified_for, _hashed("address", email, address))
        if not _is_live(recovery.verified_until) or not is_the_one:
            raise WrongCredentials("email not verified")
        if not is_confirmed:
            raise InvalidArgument("passwords do not match", data=False)
        user = _known_user(email)
        if user is None or not user.is_active:
            raise WrongCredentials("email not verified")
        prove_address(user=user, by="mailed code")
        user.set_encoded_password(new_text)
        user.save(update_fields=["password", "updated_at"])
        recovery.delete()
        audit.record(
            "set password", "user", id=user.pk, name=user.email, tenant_id=user.pk, detail={"by": "mailed code"}
        )
        return start_session(user=user)


def _known_user(email: str) -> User | None:
    user = selectors.user_by_email(email)
    if user is None and profile().tells_unknown_accounts:
        raise DataError("invalid email", data=False)
    return user


def _locked(email: str) -> PasswordRecovery:
    """Return the state of an address, locked until the transaction ends."""
    key = _key(email)
    PasswordRecovery.objects.get_or_create(email=key)
    return PasswordRecovery.objects.select_for_update().get(email=key)


def _take_captcha(recovery: PasswordRecovery, captcha: str, code: str) -> RagflowError | None:
    """Use the captcha up and store the code, or return what is wrong. Either way the state is saved."""
    if not _is_live(recovery.captcha_until):
        return TooEarly("invalid or expired captcha")
    recovery.captcha_until = None  # whoever reads it wrongly needs another
    matches = constant_time_compare(recovery.captcha, _hashed("captcha", recovery.email, captcha))
    waited = timezone.now() - recovery.code_sent_at if recovery.code_sent_at else CODE_PAUSE
    if matches and waited >= CODE_PAUSE:
        recovery.code = _hashed("code", recovery.email, code)
        recovery.code_sent_at = timezone.now()
        recovery.code_until = timezone.now() + CODE_LIFE
    recovery.save()
    if not matches:
        return WrongCredentials("invalid or expired captcha")
    if waited < CODE_PAUSE:
        return TooEarly(f"you still have to wait {int((CODE_PAUSE - waited).total_seconds()) + 1} seconds")
    return None


def _try_code(recovery: PasswordRecovery, code: str, address: str) -> RagflowError | None:
    """Mark the address as verified, or return what is wrong. Either way the state is saved."""
    if _is_live(recovery.locked_until):
        return TooEarly("too many attempts, try later")
    if not _is_live(recovery.code_until):
        return TooEarly("expired otp")
    if not constant_time_compare(recovery.code, _hashed("code", recovery.email, code)):
        recovery.failures += 1  # of all codes together: else a new one each minute would give new guesses
        if recovery.failures >= ATTEMPTS:
            recovery.failures = 0
            recovery.locked_until = timezone.now() + LOCK
        recovery.save()
        return WrongCredentials("expired otp")
    recovery.code_until = recovery.code_sent_at = recovery.locked_until = None
    recovery.failures = 0
    recovery.verified_for = _hashed("address", recovery.email, address)
    recovery.verified_until = timezone.now() + VERIFIED_LIFE
    recovery.save()
    return None


def _mail(user: User, code: str) -> None:
    minutes = int(CODE_LIFE.total_seconds() // 60)
    text = f"Your code to choose a new password is {code}. It is good for {minutes} minutes.\n"
    try:
        send(subject="Your Password Reset Code", text=text, to=user.email)
    except MailNotSent:
        raise MailFailed from None


def _password_in(text: str) -> str:
    """Return the password in the text that clients encrypt. Raises BadValue."""
    password = passwords.decoded(text)
    if password is None:
        raise BadValue("The encrypted password is not base64 of UTF-8.", reference="Error('Incorrect padding')")
    return password


def _hashed(kind: str, email: str, secret: str) -> str:
    """Return a hash that cannot be guessed from without this installation's secret key."""
    return salted_hmac(f"recovery {kind} {_key(email)}", secret.strip().upper(), algorithm="sha256").hexdigest()


def _key(email: str) -> str:
    return email.strip().lower()[:255]  # some letters are two in lower case


def _random(alphabet: str) -> str:
    return "".join(secrets.choice(alphabet) for _ in range(CODE_LENGTH))


def _is_live(until: datetime | None) -> bool:
    return until is not None and until > timezone.now()
