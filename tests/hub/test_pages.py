"""The files of the page, and what a browser is told about them."""

from __future__ import annotations

import re
from importlib.resources import files

import pytest

from tests.support.hub import header
from txbridge.hub.pages import Pages
from txbridge.net.http1 import Request, Response


@pytest.fixture(scope="module")
def pages():
    return Pages()


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    ("path", "content_type"),
    [
        ("/", "text/html; charset=utf-8"),
        ("/web/app.js", "text/javascript; charset=utf-8"),
        ("/web/style.css", "text/css; charset=utf-8"),
        ("/web/icon.svg", "image/svg+xml"),
        ("/web/vendor/land-110m.json", "application/json"),
    ],
)
def test_the_page_may_load_nothing_but_itself(pages, method, path, content_type):
    response = pages.respond(Request(method, path))
    assert isinstance(response, Response)
    assert (response.status, header(response, "content-type")) == (200, content_type)
    policy = header(response, "content-security-policy") or ""
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
    assert "unsafe" not in policy
    assert "require-trusted-types-for 'script'" in policy
    assert header(response, "x-content-type-options") == "nosniff"
    assert response.body


def test_no_file_of_the_page_names_another_host():
    folder = files("txbridge.hub").joinpath("web")
    for file in folder.iterdir():
        if file.is_file():
            words = file.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
            assert re.search(r"(https?:)?//[a-z0-9-]+\.[a-z]", words) is None, file.name


def test_the_first_answer_names_every_module_so_that_none_waits_for_another():
    folder = files("txbridge.hub").joinpath("web")
    modules = {file.name for file in folder.iterdir() if file.name.endswith(".js")}
    page = folder.joinpath("index.html").read_text(encoding="utf-8")
    named = re.findall(
        r'<(?:link rel="modulepreload"|script type="module") (?:href|src)="/web/([^"]+)"', page
    )
    assert sorted(named) == sorted(modules)


def test_an_unchanged_file_is_not_sent_again(pages):
    tag = header(pages.respond(Request("GET", "/web/app.js")), "etag")
    again = pages.respond(Request("GET", "/web/app.js", "", {"if-none-match": tag}))
    assert (again.status, again.body) == (304, b"")


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/web/nothing.js"), ("POST", "/"), ("GET", "/web/README")]
)
def test_what_is_no_file_of_the_page_is_somebody_elses(pages, method, path):
    assert pages.respond(Request(method, path)) is None
