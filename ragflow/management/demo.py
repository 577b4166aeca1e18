"""The demonstration: an administrator, an API token, and an assistant over this project's own documentation.

Each step looks for what it makes, so a start that was interrupted is completed by the next one. Once everything is
there it is noted in the data folder, and from then on nothing is made again: what people delete stays deleted.
"""

from __future__ import annotations

import json
import secrets
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.db import transaction

from apps.accounts.authentication import principal_of_user
from apps.accounts.models import Tenant
from apps.accounts.selectors import tenant_of, user_by_email
from apps.accounts.services import create_account, create_token
from apps.chats import schemas
from apps.chats.selectors import matching_assistants
from apps.chats.services import create_assistant
from apps.core.principal import Principal
from apps.datasets.models import KnowledgeBase
from apps.datasets.schemas import CreateDataset
from apps.datasets.selectors import named, owned_datasets
from apps.datasets.services import create_dataset
from ragflow.management.ingestion import Outcome, Source, ingest_all, sources

EMAIL: str = settings.DEFAULT_SUPERUSER_EMAIL
DATASET = "Documentation"
ASSISTANT = "Docs assistant"
QUESTION = "What happens to a document when its worker is killed?"

Say = Callable[[str], object]


@dataclass(frozen=True, slots=True)
class Demo:
    dataset_id: str
    assistant_id: str
    token: str = ""  # known only to the start that made it

    def examples(self, origin: str) -> list[str]:
        """Return what to type: a search with curl, and a question in five lines of Python."""
        search = json.dumps({"question": QUESTION, "dataset_ids": [self.dataset_id], "page_size": 3})
        base_url = f"{origin}/api/v1/chats_openai/{self.assistant_id}"
        token = self.token or "$RAGFLOW_API_KEY"
        headers = f"-H 'Content-Type: application/json' -H \"Authorization: Bearer {token}\""
        key = f'"{self.token}"' if self.token else 'os.environ["RAGFLOW_API_KEY"]'
        imports = "from openai import OpenAI" if self.token else "import os; from openai import OpenAI"
        return [
            *([] if self.token else [_export(), ""]),
            "Search:",
            "",
            f"curl -s {origin}/api/v1/retrieval {headers} -d '{search}'",
            "",
            "Ask, in Python (.venv/bin/python):",
            "",
            imports,
            f'client = OpenAI(base_url="{base_url}", api_key={key})',
            f'question = [{{"role": "user", "content": "{QUESTION}"}}]',
            'create, cited = client.chat.completions.create, {"reference": True}',
            (
                'for chunk in create(model="any", messages=question, stream=True, extra_body=cited): '
                'print(chunk.choices[0].delta.content or "", end="", flush=True)'
            ),
        ]


def _export() -> str:
    manage = settings.BASE_DIR / "manage.py"
    return f"export RAGFLOW_API_KEY=$({sys.executable} {manage} create_token --email {EMAIL} --name examples)"


def seed(say: Say) -> Demo | None:
    """Make what is missing of the demonstration. The password and the token are said once, when they are made.

    Return None when the demonstration was there and somebody has deleted it.
    """
    user = user_by_email(EMAIL)
    note: Path = settings.DATA_DIR / "demo.json"
    if user is not None and note.exists():
        return _still_there(Demo(**json.loads(note.read_text())), principal_of_user(user))
    principal, token = _administrator(say)
    dataset = _dataset(principal)
    _ingest(principal, dataset, say)
    demo = Demo(dataset.pk, _assistant(principal, dataset))
    note.write_text(json.dumps({"dataset_id": demo.dataset_id, "assistant_id": demo.assistant_id}))
    return Demo(demo.dataset_id, demo.assistant_id, token)


def _still_there(demo: Demo, principal: Principal) -> Demo | None:
    dataset = owned_datasets(principal).filter(pk=demo.dataset_id)
    assistant = matching_assistants(principal, assistant_id=demo.assistant_id)
    return demo if dataset.exists() and assistant.exists() else None


@transaction.atomic
def _administrator(say: Say) -> tuple[Principal, str]:
    """Return the administrator and, if it was made now, its first token."""
    user = user_by_email(EMAIL)
    if user is not None:
        return principal_of_user(user), ""
    password = settings.DEFAULT_SUPERUSER_PASSWORD or secrets.token_urlsafe(12)
    nickname = settings.DEFAULT_SUPERUSER_NICKNAME
    user = create_account(email=EMAIL, password=password, nickname=nickname, is_operator=True)
    issued = create_token(tenant=Tenant.objects.get(pk=user.pk), name="first start", created_by=user)
    # Said before the transaction commits: whoever interrupts this has either seen them or will get others.
    say("Shown this once:")
    say(f"  administrator  {EMAIL}")
    say(f"  password       {'that of the environment' if settings.DEFAULT_SUPERUSER_PASSWORD else password}")
    say(f"  API token      {issued.secret}")
    return principal_of_user(user), issued.secret


def _dataset(principal: Principal) -> KnowledgeBase:
    found = named(owned_datasets(principal), DATASET).first()
    return found or create_dataset(owner=tenant_of(principal), data=CreateDataset(name=DATASET))


def _ingest(principal: Principal, dataset: KnowledgeBase, say: Say) -> None:
    files = list(_corpus())
    say(f"Making {len(files)} pages of documentation searchable…")
    for result in ingest_all(principal=principal, dataset=dataset, files=files, replace=True):
        if result.outcome is Outcome.FAILED:
            say(f"  {result.name}: {result.message}")


def _corpus() -> Iterator[Source]:
    """Yield the pages below docs/. The README would only point to them, and repeats the question of the example."""
    yield from (source for source in sources(settings.BASE_DIR / "docs") if source.path.suffix == ".md")


def _assistant(principal: Principal, dataset: KnowledgeBase) -> str:
    found = matching_assistants(principal, name=ASSISTANT).first()
    if found is None:
        data = schemas.create_assistant({"name": ASSISTANT, "dataset_ids": [dataset.pk]})
        found = create_assistant(principal=principal, data=data)
    return found.pk
