"""What workers do for accounts."""

from __future__ import annotations

from celery import shared_task

from apps.accounts.mail import MailNotSent, can_send, send
from apps.accounts.models import Membership


@shared_task
def send_invitation(membership_id: str) -> None:
    """Tell somebody of an invitation. The invitation stands, also when no mail can be sent."""
    invitations = Membership.objects.filter(is_pending=True).select_related("user", "tenant", "invited_by")
    membership = invitations.filter(pk=membership_id).first()
    if membership is None or not can_send():
        return
    inviter = membership.invited_by.email if membership.invited_by else "Somebody"
    text = f"{inviter} invites you to join the team {membership.tenant.name}.\nLog in to accept or decline.\n"
    try:
        send(subject="RAGFlow Invitation", text=text, to=membership.user.email)
    except MailNotSent:
        return
