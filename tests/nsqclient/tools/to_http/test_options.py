from __future__ import annotations

import pytest

from nsqclient.tools.common.failures import Refused
from nsqclient.tools.common.tool import read_options
from nsqclient.tools.to_http.options import Options, check, makers
from nsqclient.tools.to_http.tool import TOOL

NSQD = "--nsqd-tcp-address=127.0.0.1:4150"
LOOKUPD = "--lookupd-http-address=127.0.0.1:4161"
POST = "--post=http://127.0.0.1/x"
GET = "--get=http://127.0.0.1/?q=%s"


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NSQ_URL", raising=False)


def options_of(*args: str) -> Options:
    options: Options = read_options(TOOL, args, "nsq_to_http")[0]
    return options


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (["--header=a"], "--header value format should be 'key=value'"),
        (["--topic=t", "--header=:b"], "--header value format should be 'key=value'"),
        ([], "--topic and --channel are required"),
        (["--topic=t", "--channel="], "--topic and --channel are required"),
        (["--topic=a b"], "invalid topic name"),
        (["--topic=t", "--channel=a/b"], "invalid channel name"),
        (["--topic=t", "--content-type=text/plain"], "--content-type only used with --post"),
        (["--topic=t", "--content-type=", GET], "--content-type only used with --post"),
        (["--topic=t", "--content-type=", POST], "--content-type requires a value when used"),
        (["--topic=t"], "--nsqd-tcp-address or --lookupd-http-address required"),
        (["--topic=t", NSQD, LOOKUPD], "use --nsqd-tcp-address or --lookupd-http-address not both"),
        (["--topic=t", NSQD], "--get or --post required"),
        (["--topic=t", NSQD, GET, POST], "use --get or --post not both"),
        (["--topic=t", NSQD, "--get=http://a/"], "invalid GET address - must be a printf string"),
        (["--topic=t", NSQD, GET, "--get=http://a/%s%s"], "invalid GET address - must be a printf string"),
        (["--topic=t", NSQD, POST, "--sample=1.1"], "ERROR: --sample must be between 0.0 and 1.0"),
        (["--topic=t", NSQD, POST, "--sample=-0.1"], "ERROR: --sample must be between 0.0 and 1.0"),
        (["--topic=t", NSQD, POST, "--sample=nan"], "ERROR: --sample must be between 0.0 and 1.0"),
        # what the original finds out later, or never
        (
            ["--topic=t", NSQD, POST, "--mode=hostpol"],
            "--mode is hostpol, want round-robin, hostpool, epsilon-greedy or all",
        ),
        (["--topic=t", NSQD, POST, "--dead-letter-topic=a b"], "--dead-letter-topic is invalid"),
        (
            ["--topic=t", NSQD, "--post=a:80/x"],
            "--post 'a:80/x': want a URL such as http://127.0.0.1:8000/path",
        ),
        (
            ["--topic=t", NSQD, "--get=http://%s/"],
            "--get 'http://%s/': wants its %s in the path or in the query",
        ),
        (
            ["--topic=t", NSQD, POST, "--content-type=a\nb"],
            "--header Content-Type has a control character in its value",
        ),
        (["--topic=t", NSQD, POST, "--header=a b:c"], "--header 'a b' is no name of a header"),
        (["--topic=t", NSQD, POST, "--n=0"], "-n must be 1 or more"),
        (["--topic=t", NSQD, POST, "--max-in-flight=0"], "--max-in-flight must be 1 or more"),
        (
            ["--topic=t", NSQD, POST, "--http-client-connect-timeout=0s"],
            "--http-client-connect-timeout should be positive",
        ),
        (
            ["--topic=t", NSQD, POST, "--http-client-request-timeout=-1s"],
            "--http-client-request-timeout should be positive",
        ),
    ],
)
def test_what_can_not_be_is_refused_with_a_line(args: list[str], text: str) -> None:
    with pytest.raises(Refused) as refused:
        check(options_of(*args))
    assert str(refused.value) == text


def test_the_first_of_several_mistakes_is_told_as_by_the_original() -> None:
    """In the order of the cases above."""
    mistakes = [
        ("--header=a", "--header value"),
        ("--topic=", "--topic and"),
        ("--content-type=x", "--content-type only"),
        ("--get=x", "--nsqd-tcp-address or"),
        ("--sample=2", "--nsqd-tcp-address or"),
    ]
    for at, (_, text) in enumerate(mistakes):
        args = ["--topic=t", *(flag for flag, _ in mistakes[at:])]
        with pytest.raises(Refused, match=f"^{text}"):
            check(options_of(*args))


def test_defaults_are_the_originals() -> None:
    options = options_of()
    assert (options.topic, options.channel, options.max_in_flight, options.n) == ("", "nsq_to_http", 200, 100)
    assert (options.mode, options.sample, options.status_every) == ("hostpool", 1.0, 250)
    assert options.content_type == "application/octet-stream"
    assert (str(options.http_client_connect_timeout), str(options.http_client_request_timeout)) == (
        "2s",
        "20s",
    )


def test_a_share_that_is_no_number_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(Exception) as ended:  # noqa: PT011 - what ends a program is private to it
        options_of("--sample=x")
    assert getattr(ended.value, "status", None) == 2
    assert 'invalid value "x" for flag -sample: parse error' in capsys.readouterr().err


def test_an_address_given_twice_is_one() -> None:
    options = options_of("--topic=t", NSQD, POST, POST)
    check(options)
    assert len(makers(options)) == 1


def test_addresses_are_shown_without_their_passwords() -> None:
    options = options_of("--topic=t", NSQD, "--post=http://ann:secret@a/x@y", "--post=http://b:1/x:y@z")
    assert [maker.address for maker in makers(options)] == ["http://ann:xxxxx@a/x@y", "http://b:1/x:y@z"]


def test_addresses_that_differ_in_their_passwords_only_are_refused() -> None:
    with pytest.raises(Refused, match=r"^http://ann:xxxxx@a/ is given twice, with different passwords$"):
        check(options_of("--topic=t", NSQD, "--post=http://ann:1@a/", "--post=http://ann:2@a/"))
