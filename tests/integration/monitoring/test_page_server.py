"""The page over loopback HTTP: who gets what, and that no text can become a part of it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from importlib import resources

import aiohttp
import pytest
import structlog
from tests.unit.monitoring import conftest

from polybackfill import errors, redaction
from polybackfill.monitoring import latest_document, listen_address, page_server

SIGNED = {"Authorization": f"Bearer {conftest.TOKEN}"}
FILES = ("/", "/page.js", "/page.css", "/charts.js", "/subject.js", "/elements.js", "/icon.svg")
NAME = "<script>alert(1)</script>"


def echo(query: Mapping[str, str]) -> dict[str, str]:
    """A question that fails as it is told."""
    if "refused" in query:
        raise errors.Stop("the checkpoint cannot be read")
    if query.get("number") == "x":
        raise page_server.BadParameter
    return {"number": str(int(query.get("number", 1))), "title": NAME}


@pytest.fixture(autouse=True)
def _no_secret_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redaction, "_secrets", set())
    monkeypatch.setattr(redaction, "_pattern", None)


@pytest.fixture
async def url() -> AsyncIterator[str]:
    address = listen_address.ListenAddress("127.0.0.1", 0, "--address")
    access = listen_address.Access(address, conftest.TOKEN)
    latest = latest_document.LatestDocument({"title": NAME})
    server = page_server.PageServer(latest, {"/echo.json": echo}, {"/act": echo}, access)
    opened = await server.open()
    yield opened
    await server.close()


@contextlib.asynccontextmanager
async def asked(url: str, **headers: str) -> AsyncIterator[aiohttp.ClientResponse]:
    async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as response:
        yield response


@pytest.mark.parametrize("path", FILES)
async def test_files_are_for_everybody_and_forbid_what_is_none_of_them(url: str, path: str) -> None:
    async with asked(url + path) as response:
        assert response.status == 200
        policy = response.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert NAME not in await response.text()


@pytest.mark.parametrize("path", ["/events", "/echo.json", "/page/page.js", "/../pyproject.toml"])
async def test_facts_need_the_token(url: str, path: str) -> None:
    async with asked(url + path) as response:
        assert response.status == 401
    async with asked(f"{url}{path}?token={conftest.TOKEN}") as response:
        assert response.status == 401


@pytest.mark.parametrize("path", [*FILES, "/events", "/echo.json"])
async def test_foreign_hosts_and_pages_get_nothing(url: str, path: str) -> None:
    async with asked(url + path, **SIGNED, Host="evil.example") as response:
        assert response.status == 421
    async with asked(url + path, **SIGNED, Origin="http://evil.example") as response:
        assert response.status == 403


async def test_an_answer_is_json_whatever_it_says(url: str) -> None:
    async with asked(f"{url}/echo.json?number=7", **SIGNED) as response:
        assert response.content_type == "application/json"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert json.loads(await response.text()) == {"number": "7", "title": NAME}


@pytest.mark.parametrize(
    ("query", "status"), [("number=x", 400), ("refused=1", 503), ("number=own-fault", 500)]
)
async def test_what_cannot_be_answered_is_said(url: str, query: str, status: int) -> None:
    async with asked(f"{url}/echo.json?{query}", **SIGNED) as response:
        assert response.status == status
        assert "error" in await response.json()


async def test_a_fault_of_the_program_is_logged(url: str) -> None:
    with structlog.testing.capture_logs() as logged:
        async with asked(f"{url}/echo.json?number=own-fault", **SIGNED) as response:
            assert response.status == 500
    assert [line["event"] for line in logged] == ["endpoint.broken"]


async def test_a_secret_in_an_answer_is_masked_and_its_names_stay(url: str) -> None:
    redaction.remember(["title", "alert"])
    async with asked(f"{url}/echo.json", **SIGNED) as response:
        assert (await response.json())["title"] == NAME.replace("alert", "***")


async def test_an_action_is_a_post_with_the_token_from_the_page_itself(url: str) -> None:
    async with aiohttp.ClientSession() as session:

        async def post(**headers: str) -> int:
            async with session.post(f"{url}/act", data=b'{"number": 3}', headers=headers) as said:
                return said.status

        assert await post() == 401
        assert await post(**SIGNED) == 200
        assert await post(**SIGNED, Origin=url) == 200
        assert await post(**SIGNED, Origin="http://evil.example") == 403
        async with session.get(f"{url}/act", headers=SIGNED) as response:
            assert response.status == 405
        for body in (b"{", b"[]", b"5", b"null", b'"number"'):
            async with session.post(f"{url}/act", data=body, headers=SIGNED) as response:
                assert response.status == 400


def test_no_file_makes_markup_of_texts_or_loads_from_elsewhere() -> None:
    for path in FILES:
        name = path.strip("/") or "index.html"
        text = resources.files("polybackfill.monitoring").joinpath("page", name).read_text()
        for forbidden in (
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
        ):
            assert forbidden not in text
        assert "https://" not in text
        assert " style=" not in text
        assert " onclick" not in text
