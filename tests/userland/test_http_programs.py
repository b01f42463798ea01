"""wget, curl, httpd, nc, telnet and the placeholder services."""

import pytest
from support.program_host import World

from cnmsim.userland.http.message import Url, UrlError
from cnmsim.userland.service import reply


@pytest.fixture
def world():
    world = World()
    world.serve_names({"www.example.com": ["A 10.0.0.2"]})
    world.start(world.two, "httpd -f -p 80 -h /www")
    return world


OUTPUTS = [
    ("run", "wget -qO- http://10.0.0.2/", "hello from the web server\n"),
    ("run", "wget -qO- http://10.0.0.2/cgi-bin/whoami", "host=two client=[::ffff:10.0.0.1]\n"),
    ("run", "wget -qO- http://[fd00::2]/cgi-bin/whoami", "host=two client=[fd00::1]\n"),
    ("run", "wget -q -O - www.example.com", "hello from the web server\n"),
    ("host", "curl -s --max-time 5 http://10.0.0.2/", "hello from the web server\n"),
    ("host", "curl -g -s http://[fd00::2]/cgi-bin/whoami", "host=two client=[fd00::1]\n"),
    ("host", "curl -s -4 http://two/cgi-bin/whoami", "host=two client=[::ffff:10.0.0.1]\n"),
    (
        "host",
        "curl -s -o /dev/null -w %{http_code}:%{remote_ip}:%{size_download} http://10.0.0.2/",
        "200:10.0.0.2:26",
    ),
    ("host", "curl -s --local-port 40000-40001 -o /dev/null -w %{local_port} http://10.0.0.2/", "40000"),
    (
        "host",
        "curl -s --local-port 40000 --interface 10.0.0.1 -o /dev/null -w %{local_ip}:%{local_port} http://10.0.0.2/",
        "10.0.0.1:40000",
    ),
    ("host", "curl -s --resolve x:80:10.0.0.2 http://x/", "hello from the web server\n"),
]


@pytest.mark.parametrize("kind,line,out", OUTPUTS, ids=[case[1] for case in OUTPUTS])
def test_page_is_fetched(world, kind, line, out):
    result = getattr(world, kind)(line)
    assert (result.status, result.out, result.err) == (0, out, "")


FAILURES = [
    ("run", "wget -qO- http://10.0.0.2:81/", 1,
     "wget: can't connect to remote host (10.0.0.2): Connection refused\n"),
    ("run", "wget -qO- http://[fd00::2]:81/", 1, "wget: can't connect to remote host: Connection refused\n"),
    ("run", "wget -T 2 -qO- http://10.0.0.77/", 1, "wget: download timed out\n"),
    ("run", "wget -qO- http://nope/", 1, "wget: bad address 'nope'\n"),
    ("run", "wget -q --spider http://10.0.0.2/none", 1, "wget: server returned error: HTTP/1.1 404 Not Found\n"),
    ("run", "wget -qO- http://8.8.8.8/", 1, "wget: can't connect to remote host (8.8.8.8): Network is unreachable\n"),
    ("run", "nc 10.0.0.2 81", 1, "nc: can't connect to remote host (10.0.0.2): Connection refused\n"),
    ("run", "nc -w 1 10.0.0.77 4", 1, "nc: timed out\n"),
    ("run", "telnet 10.0.0.2 81", 1, "telnet: can't connect to remote host (10.0.0.2): Connection refused\n"),
    ("host", "curl -s http://10.0.0.2:81/", 7, ""),
    ("host", "curl -sS http://10.0.0.2:81/", 7,
     "curl: (7) Failed to connect to 10.0.0.2 port 81 after 0 ms: Could not connect to server\n"),
    ("host", "curl -sS http://nope/", 6, "curl: (6) Could not resolve host: nope\n"),
    ("host", "curl -sS -m 1 http://10.0.0.77/", 28, "curl: (28) Connection timed out after 1000 milliseconds\n"),
    ("host", "curl -sSf http://10.0.0.2/none", 22, "curl: (22) The requested URL returned error: 404\n"),
    ("host", "curl --nosuch", 2,
     "curl: option --nosuch: is unknown\ncurl: try 'curl --help' or 'curl --manual' for more information\n"),
]  # fmt: skip


@pytest.mark.parametrize("kind,line,status,err", FAILURES, ids=[case[1] for case in FAILURES])
def test_failure_is_told_in_the_programs_words(world, kind, line, status, err):
    result = getattr(world, kind)(line)
    assert (result.status, result.out, result.err) == (status, "", err)


def test_wget_saves_under_the_last_part_of_the_path(world):
    world.two.files.put("/www/a/page.txt", b"text")
    assert world.run("wget http://10.0.0.2/a/page.txt").status == 0
    assert world.one.files.read("/page.txt") == b"text"
    assert world.run("wget -q http://10.0.0.2/a/page.txt").err == "wget: can't open 'page.txt': File exists\n"


def test_second_httpd_finds_its_port_taken(world):
    result = world.run("httpd -f -p 80", machine=world.two)
    assert (result.status, result.err) == (1, "httpd: bind: Address already in use\n")


def test_httpd_goes_into_the_background_once_it_has_its_port(world):
    first = world.run("httpd -p 8080 -h /www", machine=world.two)
    assert (first.status, first.out, first.err) == (0, "", "")
    assert world.run("wget -qO- http://10.0.0.2:8080/").out == "hello from the web server\n"
    second = world.run("httpd -p 8080 -h /www", machine=world.two)
    assert (second.status, second.err) == (1, "httpd: bind: Address already in use\n")
    assert world.run("killall httpd", machine=world.two).status == 0
    refused = "wget: can't connect to remote host (10.0.0.2): Connection refused\n"
    assert world.run("wget -qO- http://10.0.0.2:8080/").err == refused


def test_httpd_answers_as_busybox_does(world):
    result = world.run("nc 10.0.0.2 80", stdin=b"POST / HTTP/1.0\r\n\r\n")
    assert result.out.startswith("HTTP/1.1 501 Not Implemented\r\nDate: ")
    assert result.out.endswith("The requested method is not recognized\n</BODY></HTML>\n")
    assert world.run("nc 10.0.0.2 80", stdin=b"garbage\r\n\r\n").out.startswith("HTTP/1.1 400 Bad Request\r\n")


def test_cgi_script_of_the_files_is_run_by_our_shell(world):
    script = (
        b'#!/bin/sh\nprintf "Content-Type: text/plain\\r\\n\\r\\n"\necho "q=$QUERY_STRING from $REMOTE_ADDR on '
        b'$(hostname)"\n'
    )
    world.two.files.put("/www/cgi-bin/q", script)
    assert world.run("wget -qO- http://10.0.0.2/cgi-bin/q?x=1").out == "q=x=1 from [::ffff:10.0.0.1] on two\n"


def test_nc_scans_and_serves_a_program(world):
    assert world.run("nc -z 10.0.0.2 80").status == 0
    assert world.run("nc -z 10.0.0.2 81").status == 1
    world.start(world.two, "nc -l -p 99 -e cat")
    assert world.run("nc 10.0.0.2 99", stdin=b"hello\n").out == "hello\n"


def test_server_that_hangs_up_is_an_empty_reply(world):
    world.start(world.two, "nc -l -p 99 -e true")
    result = world.host("curl -sS http://10.0.0.2:99/")
    assert result.status in (52, 56)


def test_services_answer_politely(world):
    world.start(world.two, "service redis 6379")
    assert world.sh("echo PING | nc 10.0.0.2 6379 & sleep 1").out == "+PONG\r\n"
    assert reply("kibana", b"GET / HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 200 OK\r\n")
    assert reply("postgres", bytes.fromhex("0000000804d2162f")) == b"N"
    assert world.run("service redis 6379", machine=world.two).err == "redis: bind: Address already in use\n"


def test_urls_are_read():
    assert Url.parse("http://[fd00::2]:8080/a?b=c") == Url("http", "fd00::2", 8080, "/a?b=c", True)
    assert Url.parse("web/x").host_header == "web"
    for text in ("http://", "http://x:99999/"):
        with pytest.raises(UrlError):
            Url.parse(text)
