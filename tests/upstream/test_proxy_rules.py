"""Which proxy leads where, how a request for it is written, and how its answer to CONNECT is read."""

from __future__ import annotations

import pytest

from router.core.errors import FailureKind, UpstreamFailure
from router.dialects.base import Origin
from router.upstream.proxy import Answer, Forward, Proxies, Proxy

HTTP = Origin("http", "a.example.com", 80)
HTTPS = Origin("https", "a.example.com", 443)
PROXY = "http://proxy.test:3128"


@pytest.mark.parametrize(
    ("environment", "http", "https"),
    [
        ({}, None, None),
        ({"HTTP_PROXY": PROXY}, "proxy.test", None),
        ({"http_proxy": PROXY}, "proxy.test", None),
        ({"HTTPS_PROXY": PROXY}, None, "proxy.test"),
        ({"https_proxy": PROXY}, None, "proxy.test"),
        ({"ALL_PROXY": PROXY}, "proxy.test", "proxy.test"),
        ({"all_proxy": PROXY, "HTTPS_PROXY": "http://other.test"}, "proxy.test", "other.test"),
        ({"http_proxy": PROXY, "HTTP_PROXY": "http://other.test"}, "proxy.test", None),
        ({"HTTP_PROXY": "proxy.test:3128"}, "proxy.test", None),
        ({"HTTP_PROXY": "  "}, None, None),
        ({"HTTP_PROXY": PROXY, "NO_PROXY": "*"}, None, None),
        ({"ALL_PROXY": PROXY, "no_proxy": "b.example.com"}, "proxy.test", "proxy.test"),
    ],
)
def test_the_usual_variables(environment: dict[str, str], http: str | None, https: str | None) -> None:
    proxies = Proxies.read(environment)
    for origin, host in ((HTTP, http), (HTTPS, https)):
        proxy = proxies.to(origin)
        assert (proxy and proxy.host) == host


@pytest.mark.parametrize(
    ("url", "proxy"),
    [
        ("http://p", Proxy("p", 80)),
        ("http://[2001:db8::1]:8080/", Proxy("2001:db8::1", 8080)),
        ("http://u:p%40ss%3A@p:1", Proxy("p", 1, b"Basic dTpwQHNzOg==")),
        ("u@p:1", Proxy("p", 1, b"Basic dTo=")),
        ("http://", Proxy(problem="its address is not valid")),
        ("http://p:x", Proxy(problem="its address is not valid")),
        ("https://p", Proxy(problem="only http:// proxies can be used")),
        ("socks5://p:1080", Proxy(problem="only http:// proxies can be used")),
    ],
)
def test_the_address_of_a_proxy(url: str, proxy: Proxy) -> None:
    assert Proxies.read({"http_proxy": url}).http == proxy
    assert "dTpw" not in repr(Proxies.read({"http_proxy": url}))


@pytest.mark.parametrize(
    ("rules", "host", "port", "direct"),
    [
        ("example.com", "example.com", 80, True),
        ("example.com", "a.b.Example.COM", 80, True),
        ("example.com", "example.com.", 80, True),
        ("example.com", "notexample.com", 80, False),
        (".example.com", "a.example.com", 80, True),
        (".example.com", "example.com", 80, False),
        ("*.example.com", "a.example.com", 80, True),
        ("*.example.com", "example.com", 80, False),
        ("example.com:8080", "example.com", 8080, True),
        ("example.com:8080", "example.com", 80, False),
        ("a.test, example.com ,b.test", "example.com", 80, True),
        ("a.test b.test", "b.test", 80, True),
        ("192.0.2.0/24", "192.0.2.77", 80, True),
        ("192.0.2.0/24", "192.0.3.77", 80, False),
        ("192.0.2.7/24", "192.0.2.77", 80, True),
        ("192.0.2.7", "192.0.2.7", 80, True),
        ("192.0.2.7:81", "192.0.2.7", 81, True),
        ("192.0.2.7:81", "192.0.2.7", 80, False),
        ("192.0.2.0/24", "a.example.com", 80, False),
        ("2001:db8::/32", "2001:db8::7", 80, True),
        ("[2001:db8::7]", "2001:db8::7", 80, True),
        ("[2001:db8::7]:81", "2001:db8::7", 81, True),
        ("[2001:db8::7]:81", "2001:db8::7", 80, False),
        ("2001:db8::7", "2001:db8::7", 443, True),
        (",, .", "example.com", 80, False),
        ("*", "example.com", 80, True),
        ("example.com:99999999999", "example.com", 80, False),
        # This machine is never behind a proxy,
        ("", "localhost", 80, True),
        ("", "LOCALHOST", 80, True),
        ("", "api.localhost", 80, True),
        ("", "127.0.0.1", 80, True),
        ("", "127.8.9.1", 80, True),
        ("", "::1", 80, True),
        ("", "::ffff:127.0.0.1", 80, True),
        ("", "notlocalhost", 80, False),
        # unless it is asked for.
        ("<-loopback>", "127.0.0.1", 80, False),
        ("<-loopback>,localhost", "localhost", 80, True),
    ],
)
def test_who_needs_no_proxy(rules: str, host: str, port: int, direct: bool) -> None:
    proxies = Proxies.read({"ALL_PROXY": PROXY, "NO_PROXY": rules})
    for scheme in ("http", "https"):
        assert (proxies.to(Origin(scheme, host, port)) is None) == direct


def test_a_socket_in_the_file_system_is_behind_no_proxy() -> None:
    assert Proxies.read({"ALL_PROXY": PROXY}).to(Origin("unix", "/run/x", 0)) is None


@pytest.mark.parametrize(
    ("origin", "line"),
    [
        (HTTP, b"POST http://a.example.com/v1?x HTTP/1.1"),
        (HTTP._replace(port=8080), b"POST http://a.example.com:8080/v1?x HTTP/1.1"),
        (HTTP._replace(host="2001:db8::1"), b"POST http://[2001:db8::1]/v1?x HTTP/1.1"),
    ],
)
def test_a_request_for_a_proxy_has_the_whole_address(origin: Origin, line: bytes) -> None:
    head = b"POST /v1?x HTTP/1.1\r\nhost: a\r\n\r\n"
    assert Forward(origin, Proxy("p", 1)).head(head) == line + b"\r\nhost: a\r\n\r\n"
    signed = Forward(origin, Proxy("p", 1, b"Basic x")).head(head)
    assert signed == line + b"\r\nproxy-authorization: Basic x\r\nhost: a\r\n\r\n"


ANSWERS = {
    "plain": (b"HTTP/1.1 200 Connection established\r\n\r\n", 200),
    "HTTP/1.0": (b"HTTP/1.0 200 OK\r\nvia: x\r\n\r\n", 200),
    "a length that counts for nothing": (b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", 200),
    "an interim response": (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", 200),
    "no content": (b"HTTP/1.1 204 OK\r\n\r\n", 204),
    "credentials wanted": (b"HTTP/1.1 407 No\r\nproxy-authenticate: Basic\r\ncontent-length: 2\r\n\r\nno", 407),
    "refused": (b"HTTP/1.1 403 No\r\n\r\nsome page\r\nor other", 403),
}


@pytest.mark.parametrize(("text", "status"), ANSWERS.values(), ids=ANSWERS)
def test_an_answer_to_connect_is_read_however_it_is_cut(text: bytes, status: int) -> None:
    for size in range(1, len(text) + 1):
        answer = Answer()
        for start in range(0, len(text), size):
            if not answer.complete:
                answer.feed(text[start : start + size])
        assert (answer.complete, answer.status) == (True, status)


@pytest.mark.parametrize(
    "text",
    [
        b"SSH-2.0-OpenSSH\r\n",
        b"HTTP/1.1 200 OK\n\n",
        b"HTTP/1.1 101 Switching\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\nand more",
        b"HTTP/1.1 200 OK\r\n\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\na: %b\r\n\r\n" % (b"x" * 20_000),
    ],
)
def test_what_is_no_answer_to_connect_is_a_failure(text: bytes) -> None:
    answer = Answer()
    with pytest.raises(UpstreamFailure) as caught:
        answer.feed(text)
    assert caught.value.kind is FailureKind.CONNECT
    assert str(caught.value).startswith("the proxy ")
