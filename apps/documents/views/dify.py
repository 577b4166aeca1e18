"""Retrieval for Dify, as its protocol for external knowledge bases wants it: plain objects and real HTTP statuses."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.authentication import principal_of_request
from apps.core.bodies import read_lenient
from apps.core.errors import AuthorizationMalformed, AuthorizationMissing, InvalidAPIKey, RagflowError
from apps.core.principal import Principal
from apps.core.rest import ResourceViewSet, caller, http_request
from apps.core.schema import TEXT, json_body
from apps.datasets.models import KnowledgeBase
from apps.datasets.retrieval import retrieve_from
from apps.datasets.selectors import accessible_dataset
from apps.documents.metadata.condition import Condition, read_condition
from apps.documents.metadata.filtering import Restriction, matching_documents
from apps.documents.metadata_schemas import DifyQuestion, dify_question
from apps.documents.schemas import MOST_CANDIDATES
from apps.documents.selectors import metadata_of
from apps.documents.wire import dify_record
from ragflow.engine.errors import EngineError
from ragflow.engine.retrieval import RetrievalRequest
from ragflow.engine.types import Retrieval

_VECTOR_WEIGHT = 0.3
_SETTING = {
    "type": "object",
    "properties": {
        "top_k": {"type": "integer", "default": 1024},
        "score_threshold": {"type": "number", "default": 0.0},
    },
}
_BODY = json_body(
    "knowledge_id",
    "query",
    knowledge_id=TEXT | {"description": "The id of a dataset."},
    query=TEXT,
    retrieval_setting=_SETTING,
    metadata_condition={"type": "object"},
)


class DifyAuthorization(RagflowError):
    """The `Authorization` header is missing or of another form."""

    key, code, status = "dify_authorization", 401, 401
    data = None


class DifyKeyInvalid(RagflowError):
    key, code, status = "dify_key_invalid", 403, 403


class DifyNotFound(RagflowError):
    key, code, status = "dify_not_found", 404, 404


class DifyFailure(RagflowError):
    key, code, status = "dify_failure", 500, 500


class DifyOutOfRange(RagflowError):
    """A number that no retrieval takes. The reference fails with it while it searches."""

    key, code, status = "dify_out_of_range", 101, 400


class DifyAuthentication(BaseAuthentication):
    """An API token, whose mistakes are answered in Dify's way."""

    def authenticate(self, request: Request) -> tuple[Principal, None]:
        try:
            return principal_of_request(http_request(request)), None
        except AuthorizationMissing as error:
            reference = repr(AttributeError("'NoneType' object has no attribute 'split'"))
            raise DifyAuthorization(error.message, reference=reference) from None
        except AuthorizationMalformed as error:
            raise DifyAuthorization(error.message, reference=repr(IndexError("list index out of range"))) from None
        except InvalidAPIKey:
            raise DifyKeyInvalid("API-KEY is invalid!") from None

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"


@extend_schema(tags=["retrieval"])
class DifyViewSet(ResourceViewSet):
    authentication_classes = (DifyAuthentication,)

    @extend_schema(summary="Retrieve chunks for Dify", request=_BODY)
    def retrieve(self, request: Request) -> Response:
        payload = read_lenient(http_request(request))
        question = dify_question(payload)
        dataset = accessible_dataset(caller(request), question.dataset_id)
        if dataset is None:
            raise DifyNotFound("Knowledgebase not found!")
        if not 0 < question.top_k <= MOST_CANDIDATES:
            raise DifyOutOfRange(f"`retrieval_setting.top_k` must be 1 to {MOST_CANDIDATES}.")
        condition = read_condition(payload.get("metadata_condition"))
        try:
            found = _found(dataset, question, condition)
        except EngineError as error:
            raise DifyFailure(str(error)) from error
        fields = metadata_of({passage.chunk.document_id for passage in found.passages})
        records = [dify_record(passage, fields.get(passage.chunk.document_id, {})) for passage in found.passages]
        return Response({"records": records})


def _found(dataset: KnowledgeBase, question: DifyQuestion, condition: Condition | None) -> Retrieval:
    restriction: Restriction | None = None
    if condition and condition.restricts:
        restriction = matching_documents([dataset.pk], condition)
    request = RetrievalRequest(
        question=question.text,
        document_ids=restriction.document_ids if restriction else None,
        excluded_document_ids=restriction.excluded_ids if restriction else (),
        page_size=question.top_k,
        similarity_threshold=question.score_threshold,
        vector_similarity_weight=_VECTOR_WEIGHT,
        top_k=question.top_k,
    )
    return retrieve_from([dataset], request)
