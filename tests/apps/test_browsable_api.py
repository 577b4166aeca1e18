"""The API as pages for people: who they are there, and what one click can do."""

from __future__ import annotations

import pytest
from django.test import Client

from apps.accounts.services.accounts import create_account

pytestmark = pytest.mark.django_db

PATH = "/api/v1/datasets"


def page_of(client: Client, path: str = PATH) -> str:
    return client.get(path, headers={"Accept": "text/html"}).content.decode()


@pytest.fixture
def browser() -> Client:
    client = Client(enforce_csrf_checks=True)
    client.force_login(create_account(email="ada@example.org", is_operator=True))
    return client


def test_a_stranger_is_led_to_the_login_and_back(client: Client) -> None:
    page = page_of(client, f"{PATH}?page=2")
    assert 'href="/admin/login/?next=/api/v1/datasets%3Fpage%3D2"' in page
    assert "Log out" not in page


def test_a_person_is_named_and_can_leave(browser: Client) -> None:
    page = page_of(browser)
    assert "ada@example.org" in page
    token = page.split('name="csrfmiddlewaretoken" value="')[1].split('"')[0]
    left = browser.post("/admin/logout/", {"csrfmiddlewaretoken": token, "next": PATH})
    assert (left.status_code, left.headers["Location"]) == (302, PATH)
    assert "Log in" in page_of(browser)


def test_nothing_is_deleted_by_a_button_that_says_not_what(browser: Client) -> None:
    page = page_of(browser)
    assert 'data-method="DELETE"' not in page
    assert "POST" in page
