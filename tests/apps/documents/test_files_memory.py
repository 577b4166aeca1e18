"""Large files pass through the file manager without staying in memory."""

from __future__ import annotations

import tracemalloc

from django.conf import settings
from django.core.files.storage import default_storage
from django.http import HttpRequest
from django.test import RequestFactory

from apps.core.principal import Principal
from apps.documents.models import File
from apps.documents.views.files import FileViewSet
from tests.apps.conftest import API, BOUNDARY
from tests.apps.core.test_uploads import Endless

MIB = 1024**2
LARGE = 200 * MIB


def request_of(api: API, method: str, content_type: str = "") -> HttpRequest:
    authorization = api.defaults["HTTP_AUTHORIZATION"]
    return RequestFactory().generic(method, "/", b"x", content_type=content_type, HTTP_AUTHORIZATION=authorization)


def test_two_hundred_megabytes_up_and_down(api: API, principal: Principal):
    assert settings.MAX_UPLOAD_BYTES > LARGE
    upload = request_of(api, "POST", f"multipart/form-data; boundary={BOUNDARY}")
    upload._stream = Endless(LARGE)
    tracemalloc.start()
    try:
        assert FileViewSet.as_view({"post": "upload"})(upload).status_code == 200
        upload.close()
        file = File.objects.get(tenant_id=principal.tenant_id, name="big.bin")
        response = FileViewSet.as_view({"get": "download"})(request_of(api, "GET"), file_id=file.pk)
        received = sum(len(block) for block in response.streaming_content)
        response.close()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert received == LARGE == file.size == default_storage.size(file.location)
    assert peak < 16 * MIB
