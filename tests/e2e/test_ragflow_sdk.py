"""RAGFlow's own Python client against a running installation: the whole life of a dataset, and what fails."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import ragflow_sdk
from ragflow_sdk.modules.chunk import ChunkUpdateError
from ragflow_sdk.modules.dataset import DataSet
from ragflow_sdk.modules.document import Document

from tests.e2e.installation import Installation
from tests.e2e.processes import until

pytestmark = pytest.mark.slow

BRIDGE = b"The red bridge of Ulm was built in 1903 by Clara Nord."


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    installation = Installation(tmp_path_factory.mktemp("sdk") / "data")
    yield installation
    installation.stop()
    installation.close()


@pytest.fixture(scope="module")
def client(server: Installation) -> ragflow_sdk.RAGFlow:
    return ragflow_sdk.RAGFlow(server.token(), server.origin)


@pytest.fixture
def dataset(client: ragflow_sdk.RAGFlow) -> Iterator[DataSet]:
    made = client.create_dataset("bridges")
    yield made
    client.delete_datasets([made.id])


@pytest.fixture
def document(dataset: DataSet) -> Document:
    (uploaded,) = dataset.upload_documents([{"display_name": "bridge.txt", "blob": BRIDGE}])
    return uploaded


def parse(dataset: DataSet, *ids: str) -> None:
    dataset.async_parse_documents(list(ids))
    until(lambda: all(dataset.list_documents(id=id_)[0].run == "DONE" for id_ in ids))


def fails(message: str):
    return pytest.raises(Exception, match=message)


def test_the_life_of_a_dataset(client):
    dataset = client.create_dataset("first", description="of many")
    assert (dataset.name, dataset.description, dataset.chunk_count) == ("first", "of many", 0)
    dataset.update({"name": "renamed", "pagerank": 5})
    assert dataset.name == client.get_dataset("renamed").name == "renamed"
    assert [found.id for found in client.list_datasets()] == [dataset.id]
    client.delete_datasets([dataset.id])
    assert client.list_datasets() == []


def test_the_life_of_documents(dataset):
    blobs = [{"display_name": f"{number}.txt", "blob": BRIDGE + b"%d" % number} for number in range(3)]
    first, second, third = dataset.upload_documents(blobs)
    assert (first.name, first.run, first.chunk_method) == ("0.txt", "UNSTART", "naive")
    assert [found.name for found in dataset.list_documents(orderby="name", desc=False)] == ["0.txt", "1.txt", "2.txt"]
    assert [found.name for found in dataset.list_documents(page=2, page_size=2)] == ["0.txt"]
    assert dataset.list_documents(keywords="2.T")[0].id == third.id

    first.update({"name": "zero.txt", "meta_fields": {"year": 1903}, "parser_config": {"chunk_token_num": 64}})
    assert (first.name, first.meta_fields.year, first.parser_config.chunk_token_num) == ("zero.txt", 1903, 64)
    first.update({"chunk_method": "one"})
    assert dataset.list_documents(name="zero.txt")[0].chunk_method == "one"
    assert first.download() == BRIDGE + b"0"

    dataset.delete_documents([first.id, second.id])
    assert [found.id for found in dataset.list_documents()] == [third.id]
    dataset.delete_documents()
    assert dataset.list_documents() == []


def test_from_a_file_to_an_answer(client, dataset, document):
    parse(dataset, document.id)
    (parsed,) = dataset.list_documents(id=document.id)
    assert (parsed.chunk_count, parsed.progress) == (1, 1.0)
    assert "Task done" in parsed.progress_msg
    assert parsed.process_duration > 0
    (found,) = client.retrieve([dataset.id], question="Who built the bridge of Ulm?")
    assert (found.content, found.document_id) == (BRIDGE.decode(), document.id)
    assert client.retrieve([dataset.id], [document.id], "bridge", page=2) == []
    dataset.parse_documents([document.id])
    assert len(document.list_chunks()) == 1


def test_the_life_of_chunks(client, dataset, document):
    parse(dataset, document.id)
    added = [document.add_chunk(f"Plan number {number} of the harbour.") for number in range(4)]
    asked = document.add_chunk("Open from nine to five.", ["museum"], ["When is the museum open?"])
    assert (asked.important_keywords, asked.questions) == (["museum"], ["When is the museum open?"])
    assert dataset.list_documents(id=document.id)[0].chunk_count == 6
    assert [len(document.list_chunks(page=page, page_size=4)) for page in (1, 2, 3)] == [4, 2, 0]
    assert document.list_chunks()[0].content == BRIDGE.decode()
    assert [chunk.content for chunk in document.list_chunks(keywords="museum")] == ["Open from nine to five."]

    (plan,) = document.list_chunks(id=added[0].id)
    plan.update({"content": "The lighthouse burns oil.", "important_keywords": ["lamp"]})
    assert [chunk.id for chunk in client.retrieve([dataset.id], question="lighthouse")] == [plan.id]
    plan.update({"available": False})
    assert plan.id not in [chunk.id for chunk in client.retrieve([dataset.id], question="lighthouse")]

    document.delete_chunks([added[1].id, added[2].id])
    assert len(document.list_chunks()) == 4
    document.delete_chunks([])
    assert document.list_chunks() == []


def test_what_fails_says_why(server, client, dataset, document):
    stranger = ragflow_sdk.RAGFlow("wrong", server.origin)
    with fails("Authentication error: API key is invalid!"):
        stranger.list_datasets()
    with fails("Field: <name> - Message: <String should have at least 1 character>"):
        client.create_dataset("")
    with fails("This type of file has not been supported yet!"):
        dataset.upload_documents([{"display_name": "a.exe", "blob": b"MZ"}])
    with fails("The extension of file can't be changed"):
        document.update({"name": "bridge.pdf"})
    with fails("`content` is required"):
        document.add_chunk(" ")
    with fails("rm_chunk deleted chunks 0, expect 1"):
        document.delete_chunks(["unknown"])
    with fails("Documents not found"):
        dataset.async_parse_documents(["unknown"])

    chunk = document.add_chunk("Soon gone.")
    with pytest.raises(ChunkUpdateError, match="`questions` should be a list") as raised:
        chunk.update({"questions": "text"})
    assert raised.value.code == 102
    dataset.delete_documents([document.id])
    with pytest.raises(ChunkUpdateError, match=f"^Can't find this chunk {chunk.id}$"):
        chunk.update({"content": "too late"})
    with pytest.raises(AttributeError):  # the client sees the error, and stumbles when it looks for the message
        document.download()
