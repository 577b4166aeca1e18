"""Statements of user mode: datasets, documents, searches, chats and models of the user who is logged in."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from ragflow.cli.context import Context, field_of, succeeded
from ragflow.cli.errors import CommandFailed
from ragflow.cli.grammar import Mode, Rule

# -- models --------------------------------------------------------------------------------------------------------

_DEFAULT_FIELDS = {
    "LLM": "llm_id",
    "VLM": "img2txt_id",
    "EMBEDDING": "embd_id",
    "RERANKER": "rerank_id",
    "ASR": "asr_id",
    "TTS": "tts_id",
}
_SHOWN_DEFAULTS = {
    "ASR": "asr_id",
    "Embedding": "embd_id",
    "LLM": "llm_id",
    "Reranker": "rerank_id",
    "TTS": "tts_id",
    "VLM": "img2txt_id",
}
_SENT_DEFAULTS = ("tenant_id", "llm_id", "embd_id", "img2txt_id", "asr_id", "tts_id")


def show_current_user(ctx: Context) -> None:
    ctx.show(ctx.call("Fail to show current user", "GET", "/user/info").data, without=["avatar"])


def create_provider(ctx: Context, provider: str, key: str) -> None:
    body = {"api_key": key, "llm_factory": provider}
    ctx.call(f"Fail to add model provider {provider}", "POST", "/llm/set_api_key", json=body)
    ctx.write(f"Success to add model provider {provider}")


def drop_provider(ctx: Context, provider: str) -> None:
    body = {"llm_factory": provider}
    ctx.call(f"Fail to drop model provider {provider}", "POST", "/llm/delete_factory", json=body)
    ctx.write(f"Success to drop model provider {provider}")


def list_providers(ctx: Context) -> None:
    providers = ctx.call("Fail to list model provider", "GET", "/llm/my_llms").data or {}
    ctx.show([{"model provider": name, "models": models} for name, models in providers.items()])


def set_default(ctx: Context, field: str, model: str = "") -> None:
    failure = f"Fail to set default llm to {field}"
    answer = ctx.call(failure, "GET", "/user/tenant_info")
    body = {name: field_of(answer, name) for name in _SENT_DEFAULTS} | {field: model}
    ctx.call(failure, "POST", "/user/set_tenant_info", json=body)
    ctx.write(f"Success to set default llm to {field}")


def list_defaults(ctx: Context) -> None:
    answer = ctx.call("Fail to list user default models", "GET", "/user/tenant_info")
    rows = [(category, field_of(answer, field)) for category, field in _SHOWN_DEFAULTS.items()]
    ctx.show([{"model_category": category, "model_name": model} for category, model in rows if model])


# -- datasets ------------------------------------------------------------------------------------------------------


def list_datasets(ctx: Context) -> None:
    ctx.show(_datasets(ctx))


def create_dataset(ctx: Context, dataset: str, embedding: str, **cut_by: str) -> None:
    body = {"name": dataset, "embd_id": embedding, **cut_by}
    ctx.show(ctx.call("Fail to create datasets", "POST", "/kb/create", json=body).data)


def drop_dataset(ctx: Context, dataset: str) -> None:
    ctx.call("Fail to drop datasets", "POST", "/kb/rm", json={"kb_id": _id_of(ctx, dataset)})
    ctx.write(f"Drop dataset {dataset} successfully")


def search(ctx: Context, question: str, datasets: Sequence[str]) -> None:
    body = {
        "question": question,
        "kb_id": [_id_of(ctx, dataset) for dataset in datasets],
        "similarity_threshold": 0.2,
        "vector_similarity_weight": 0.3,
    }
    failure = f"Fail to search datasets: {datasets}"
    ctx.show(field_of(ctx.call(failure, "POST", "/chunk/retrieval_test", json=body), "chunks"))


def _datasets(ctx: Context) -> list[dict[str, Any]]:
    return field_of(ctx.call("Fail to list datasets", "POST", "/kb/list"), "kbs") or []


def _id_of(ctx: Context, dataset: str) -> str:
    """Return the id of a dataset; of several with one name the last one's. Raises CommandFailed."""
    if ctx.datasets is not None and dataset in ctx.datasets:
        return ctx.datasets[dataset]
    ids = [str(row["id"]) for row in _datasets(ctx) if row.get("name") == dataset]
    if not ids:
        raise CommandFailed(f"Dataset {dataset} not found")
    if ctx.datasets is not None:
        ctx.datasets[dataset] = ids[-1]
    return ids[-1]


# -- documents -----------------------------------------------------------------------------------------------------

_DONE, _NEVER_DONE = "3", frozenset({"2", "4"})
_LOOK_SECONDS = 0.5
_LOOKS = 120


def list_files(ctx: Context, dataset: str) -> None:
    ctx.show(_documents(ctx, dataset, _id_of(ctx, dataset)))


def import_files(ctx: Context, paths: Sequence[str], dataset: str) -> None:
    dataset_id = _id_of(ctx, dataset)
    with ExitStack() as opened:
        try:
            sources = [opened.enter_context(Path(path).expanduser().open("rb")) for path in paths]
        except OSError as error:
            raise CommandFailed(f"Fail to import document into dataset: {dataset}, error: {error}") from None
        files = [("file", (Path(path).name, source)) for path, source in zip(paths, sources, strict=True)]
        answer = ctx.client.call("POST", "/document/upload", files=[*files, ("kb_id", (None, dataset_id))])
    if not answer.succeeded:
        raise CommandFailed(f"Fail to import documents: code: {answer.code}, message: {answer.message}")
    ctx.write(f"Success to import documents into dataset {dataset}")


def parse_documents(ctx: Context, documents: Sequence[str], dataset: str) -> None:
    known = {row["name"]: row["id"] for row in _documents(ctx, dataset, _id_of(ctx, dataset))}
    found = [name for name in documents if name in known]
    missing = [name for name in documents if name not in known]
    if not found:
        raise CommandFailed(f"No documents found in {dataset}")
    if missing:
        ctx.write(f"Documents {missing} not found in {dataset}")
    _start(ctx, f"Fail to parse documents {found}", [known[name] for name in found])
    ctx.write(f"Success to parse {found} of {dataset}")


def parse_dataset(ctx: Context, dataset: str) -> None:
    _start_all(ctx, dataset, _id_of(ctx, dataset))
    ctx.write(f"Success to start parse dataset {dataset}")


def parse_dataset_and_wait(ctx: Context, dataset: str) -> None:
    dataset_id = _id_of(ctx, dataset)
    _start_all(ctx, dataset, dataset_id)
    ctx.write(f"Start to parse dataset {dataset}, please wait...")
    for _ in range(_LOOKS):
        waiting = [row for row in _documents(ctx, dataset, dataset_id) if row.get("run") != _DONE]
        if not waiting:
            ctx.write(f"Success to parse dataset {dataset}")
            return
        ctx.write(f"Document {waiting[0]['name']} is not done, status: {waiting[0].get('run')}")
        if all(row.get("run") in _NEVER_DONE for row in waiting):
            raise CommandFailed(f"Parse dataset {dataset} failed for {[row['name'] for row in waiting]}")
        ctx.wait(_LOOK_SECONDS)
    raise CommandFailed(f"Parse dataset {dataset} timeout")


def _documents(ctx: Context, dataset: str, dataset_id: str) -> list[dict[str, Any]]:
    failure = f"Fail to list files from dataset {dataset}"
    return field_of(ctx.call(failure, "POST", "/document/list", params={"kb_id": dataset_id}), "docs") or []


def _start_all(ctx: Context, dataset: str, dataset_id: str) -> None:
    ids = [row["id"] for row in _documents(ctx, dataset, dataset_id)]
    _start(ctx, f"Fail to parse dataset {dataset}", ids)


def _start(ctx: Context, failure: str, ids: Sequence[str]) -> None:
    ctx.call(failure, "POST", "/document/run", json={"doc_ids": list(ids), "run": 1})


# -- chats and agents ----------------------------------------------------------------------------------------------

_SYSTEM = (
    "Answer the question from the knowledge below, and name what it does not say instead of guessing. When nothing in "
    "it is relevant, say that the answer is not in the knowledge base.\n\nKnowledge:\n{knowledge}"
)
_NEW_CHAT: dict[str, Any] = {
    "description": "",
    "icon": "",
    "language": "English",
    "llm_setting": {},
    "similarity_threshold": 0.2,
    "top_n": 8,
    "vector_similarity_weight": 0.3,
    "prompt_config": {
        "system": _SYSTEM,
        "empty_response": "",
        "prologue": "Hi! I'm your assistant. What can I do for you?",
        "quote": True,
        "keyword": False,
        "tts": False,
        "refine_multiturn": False,
        "use_kg": False,
        "reasoning": False,
        "toc_enhance": False,
        "parameters": [{"key": "knowledge", "optional": False}],
    },
}


def list_agents(ctx: Context) -> None:
    ctx.show(field_of(ctx.call("Fail to list datasets", "GET", "/canvas/list"), "canvas"))


def list_chats(ctx: Context) -> None:
    ctx.show(_chats(ctx, "Fail to list datasets"))


def create_chat(ctx: Context, chat: str) -> None:
    ctx.call(f"Fail to create chat {chat}", "POST", "/dialog/set", json={"name": chat, **_NEW_CHAT})
    ctx.write(f"Success to create chat: {chat}")


def drop_chat(ctx: Context, chat: str) -> None:
    failure = f"Fail to drop chat {chat}"
    ids = [row["id"] for row in _chats(ctx, failure) if row.get("name") == chat]
    if not ids:
        raise CommandFailed(f"Chat {chat} not found")
    ctx.call(failure, "POST", "/dialog/rm", json={"dialog_ids": ids})
    ctx.write(f"Success to drop chat: {chat}")


def _chats(ctx: Context, failure: str) -> list[dict[str, Any]]:
    return field_of(succeeded(ctx.client.call("POST", "/dialog/next"), failure), "dialogs") or []


def _rule(pattern: str, run: Any, **options: Any) -> Rule:
    return Rule(pattern, run, Mode.USER, options, benchmarked=not pattern.startswith("PARSE"))


_CREATE_DATASET = "CREATE DATASET <dataset:string> WITH EMBEDDING <embedding:string>"
RULES = (
    _rule("SHOW CURRENT USER", show_current_user),
    _rule("CREATE MODEL PROVIDER <provider:string> <key:string>", create_provider),
    _rule("DROP MODEL PROVIDER <provider:string>", drop_provider),
    _rule("LIST MODEL PROVIDERS", list_providers),
    *(_rule(f"SET DEFAULT {kind} <model:string>", set_default, field=name) for kind, name in _DEFAULT_FIELDS.items()),
    *(_rule(f"RESET DEFAULT {kind}", set_default, field=name) for kind, name in _DEFAULT_FIELDS.items()),
    _rule("LIST DEFAULT MODELS", list_defaults),
    _rule(f"{_CREATE_DATASET} PARSER <parser_id:string>", create_dataset),
    _rule(f"{_CREATE_DATASET} PIPELINE <pipeline_id:string>", create_dataset),
    _rule("DROP DATASET <dataset:string>", drop_dataset),
    _rule("LIST DATASETS", list_datasets),
    _rule("LIST FILES OF DATASET <dataset:string>", list_files),
    _rule("IMPORT <paths:strings> INTO DATASET <dataset:string>", import_files),
    _rule("PARSE <documents:strings> OF DATASET <dataset:string>", parse_documents),
    _rule("PARSE DATASET <dataset:string> SYNC", parse_dataset_and_wait),
    _rule("PARSE DATASET <dataset:string> ASYNC", parse_dataset),
    _rule("SEARCH <question:string> ON DATASETS <datasets:strings>", search),
    _rule("LIST AGENTS", list_agents),
    _rule("LIST CHATS", list_chats),
    _rule("CREATE CHAT <chat:string>", create_chat),
    _rule("DROP CHAT <chat:string>", drop_chat),
)
