"""Whose an account is when somebody proves an address that anybody may have registered."""

from __future__ import annotations

from django.db import transaction

from apps.accounts import audit
from apps.accounts.models import APIToken, LangfuseKeys, Membership, ShareToken, TenantModel, User
from apps.accounts.services.tokens import revoke_share_token, revoke_token


@transaction.atomic
def prove_address(*, user: User, by: str) -> None:
    """Note that the user's address is proven now. If it never was before, whoever proved it takes the account over.

    Somebody else may have registered the address and waited for its owner to come (pre-hijacking). So everything is
    taken away through which that person could still act or read along: password, logins, tokens, members, invitations
    that were accepted, and the model providers and Langfuse, which see every question and what is found. Datasets and
    chats stay.
    """
    if not User.objects.filter(pk=user.pk, is_email_proven=False).update(is_email_proven=True):
        return
    user.is_email_proven = True
    user.set_unusable_password()
    user.session_digest = None
    user.save(update_fields=["password", "session_digest", "updated_at"])
    audit.record(
        "take over", "user", id=user.pk, name=user.email, tenant_id=user.pk, detail={"by": by, **_take_away(user)}
    )


def _take_away(user: User) -> dict[str, int]:
    """Return how many of each there were."""
    tokens = list(APIToken.objects.filter(tenant_id=user.pk, revoked_at=None))
    for token in tokens:
        revoke_token(token=token)
    share_tokens = list(ShareToken.objects.filter(tenant_id=user.pk, revoked_at=None))  # of no API token
    for share_token in share_tokens:
        revoke_share_token(token=share_token)
    members, _ = Membership.objects.filter(tenant_id=user.pk).exclude(user=user).delete()
    models, _ = TenantModel.objects.filter(tenant_id=user.pk).delete()
    langfuse, _ = LangfuseKeys.objects.filter(tenant_id=user.pk).delete()
    joined = Membership.objects.filter(user=user, is_pending=False).exclude(tenant_id=user.pk)
    return {
        "tokens": len(tokens) + len(share_tokens),
        "members": members,
        "models": models,
        "Langfuse keys": langfuse,
        "invitations to accept again": joined.update(is_pending=True),
    }
