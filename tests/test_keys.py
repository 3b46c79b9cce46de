"""API keys: made and ended by the command, obeyed by a running server without a restart."""

from __future__ import annotations

import http.client
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from serving import key_ring
from serving.key_ring import KeyRing, now, read_keys
from serving.keys import main
from tests.served import HOME, ROOT, Server, copied, environment, free_port, supervised, until

QUESTION = {"home": HOME}


def keys(place: Path, *arguments: str) -> str:
    """What `python -m serving.keys` prints; the last line of a new or rotated key is the secret."""
    command = [sys.executable, "-m", "serving.keys", *arguments]
    env = environment(place) | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=place, env=env, capture_output=True, text=True, check=True).stdout


def secret(said: str) -> str:
    return said.splitlines()[-1]


@pytest.fixture(scope="module")
def app_key(place: Path) -> str:
    return secret(keys(place, "new", "app", "--per-minute", "100000"))


@pytest.fixture(scope="module")
def server(place: Path, app_key: str) -> Iterator[Server]:
    with supervised(place, environment(place), "--workers", "2") as server:
        yield server


def ask(server: Server, key: str | None, path: str = "/value", **headers: str) -> requests.Response:
    given = headers if key is None else headers | {"x-api-key": key}
    if path == "/value":
        return server.post(path, QUESTION, headers=given)
    return server.get(path, headers=given)


def refusal(response: requests.Response) -> tuple[int, str]:
    assert response.headers["content-type"] == "application/problem+json", response.text
    return response.status_code, response.json()["type"].removeprefix("urn:assay:problem:")


#: Both, for wrong keys are counted too.
REFUSED = {401, 429}


def wait_until(server: Server, key: str, statuses: set[int]) -> None:
    """Until each worker has seen the change; each connection may be another worker's."""
    give_up = time.monotonic() + 10
    while not {ask(server, key).status_code for _ in range(8)} <= statuses:
        assert time.monotonic() < give_up
        time.sleep(0.1)


def test_only_a_right_key_is_answered_and_health_needs_none(server: Server, app_key: str):
    assert ask(server, app_key).status_code == 200
    assert ask(server, None, authorization=f"Bearer {app_key}").status_code == 200
    assert refusal(ask(server, None)) == (401, "no-key")
    assert ask(server, None).headers["www-authenticate"].startswith("Bearer")
    assert refusal(ask(server, app_key[:-1])) == (401, "wrong-key")
    assert [ask(server, None, path).status_code for path in ("/livez", "/readyz")] == [200, 200]
    assert app_key not in server.log.read_text()


def test_a_poisoned_path_or_host_opens_nothing(server: Server):
    for host in ("evil.example/livez?", "x/livez#"):
        assert ask(server, None, host=host).status_code == 401
    assert ask(server, None, "//livez/../model").status_code in (401, 404)


def test_a_key_given_twice_is_refused(server: Server, app_key: str):
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=10)
    connection.putrequest("GET", "/model")
    connection.putheader("X-API-Key", "wrong")
    connection.putheader("X-API-Key", app_key)
    connection.endheaders()
    assert connection.getresponse().status == 400
    connection.close()


def test_a_key_is_good_for_its_scopes_alone(server: Server, place: Path, app_key: str):
    boss = secret(keys(place, "new", "boss", "--scopes", "admin"))
    wait_until(server, boss, {403})
    assert refusal(ask(server, boss)) == (403, "wrong-scope")
    assert refusal(ask(server, app_key, "/metrics")) == (403, "wrong-scope")
    assert ask(server, boss, "/metrics").status_code == 200


def test_a_key_is_rotated_and_revoked_while_requests_come(server: Server, place: Path):
    old = secret(keys(place, "new", "shop"))
    wait_until(server, old, {200})
    new = secret(keys(place, "rotate", "shop", "--hours", "1"))
    wait_until(server, new, {200})
    assert ask(server, old).status_code == 200
    keys(place, "revoke", re.findall(r"(\w{8})  shop", keys(place, "list"))[0])
    wait_until(server, old, REFUSED)
    assert ask(server, new).status_code == 200
    keys(place, "revoke", "shop")
    wait_until(server, new, REFUSED)


def test_a_key_expires(server: Server, place: Path):
    key = secret(keys(place, "new", "guest"))
    wait_until(server, key, {200})
    keys(place, "rotate", "guest", "--hours", "0")
    wait_until(server, key, REFUSED)
    assert re.search(r"guest .* \(over\)$", keys(place, "list"), re.MULTILINE)


def test_a_greedy_key_is_told_when_to_come_again_and_others_notice_nothing(server: Server, place: Path, app_key: str):
    greedy = secret(keys(place, "new", "greedy", "--per-minute", "30"))
    wait_until(server, greedy, {200})
    begun = time.monotonic()
    with ThreadPoolExecutor(6) as callers:
        told = list(callers.map(lambda _: ask(server, greedy), range(60)))
        seconds = time.monotonic() - begun
        mine = list(callers.map(lambda _: ask(server, app_key), range(30)))
    assert {t.status_code for t in told} == {200, 429}
    assert sum(t.status_code == 200 for t in told) <= 30 + seconds * 30 / 60  # in both workers together
    refused = next(t for t in told if t.status_code == 429)
    assert refusal(refused) == (429, "rate-limited")
    assert int(refused.headers["retry-after"]) >= 1
    assert refused.headers["ratelimit-policy"] == '"key";q=30;w=60'
    assert re.fullmatch(r'"key";r=0;t=\d+', refused.headers["ratelimit"])
    assert {m.status_code for m in mine} == {200}
    assert mine[0].headers["ratelimit"].startswith('"key";r=')


def test_who_tries_keys_is_stopped_and_the_right_key_still_works(server: Server, app_key: str):
    told = [refusal(ask(server, f"assay_{i}")) for i in range(30)]
    assert told[-1] == (429, "too-many-wrong-keys")
    assert told.count((401, "wrong-key")) <= 10
    assert ask(server, app_key).status_code == 200


def test_a_damaged_or_lost_file_keeps_the_keys_and_is_told(server: Server, place: Path, app_key: str):
    file = place / ".assay" / "api_keys.json"
    sound = file.read_bytes()
    try:
        for damage in (sound[: len(sound) // 2], b"[" * 100_000, b"", None):
            if damage is None:
                file.unlink()
            else:
                file.write_bytes(damage)
            time.sleep(1.2)
            assert {ask(server, app_key).status_code for _ in range(6)} == {200}
            assert ask(server, None).status_code == 401
    finally:
        file.write_bytes(sound)
    log = server.log.read_text()
    assert "can't be read" in log
    assert "is gone" in log


def test_a_worker_that_starts_when_the_file_is_gone_asks_for_keys_too(place: Path, tmp_path: Path):
    """A proxy on this machine would pass everybody through to it."""
    env = copied(place, tmp_path / "copy")
    right = secret(keys(tmp_path / "copy", "new", "late"))
    with supervised(tmp_path / "copy", env, "--workers", "1") as server:
        assert ask(server, right).status_code == 200
        (tmp_path / "copy" / ".assay" / "api_keys.json").unlink()
        (first,) = (line["pid"] for line in server.lines("worker-started"))
        os.kill(first, signal.SIGKILL)
        until(lambda: len(server.lines("worker-started")) == 2)
        assert refusal(ask(server, None)) == (401, "no-key")
        assert [line["keys_in_force"] for line in server.lines("keys-damaged")][-1] == 0


def test_with_keys_a_public_address_is_listened_on(place: Path, tmp_path: Path, app_key: str):
    env = environment(place) | {"ASSAY_API_KEYS": str(place / ".assay" / "api_keys.json")}
    admin = free_port()
    options = ("--host", "0.0.0.0", "--workers", "1", "--admin-host", "0.0.0.0", "--admin-port", str(admin))
    with supervised(tmp_path, env, *options) as server:
        assert ask(server, app_key).status_code == 200
        assert requests.get(f"http://127.0.0.1:{admin}/metrics", timeout=10).status_code == 401


def test_the_file_holds_no_secret_and_is_its_owners_alone(tmp_path: Path):
    key, file = secret(keys(tmp_path, "new", "app")), tmp_path / ".assay" / "api_keys.json"
    assert key not in file.read_text() + keys(tmp_path, "list")
    assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["new", "A b"], "the name is 'A b'"),
        (["new", "x", "--scopes", "valu"], "'valu'"),
        (["new", "x", "--per-minute", "0"], "--per-minute is 0"),
        (["new", "x", "--days", "-1"], "--days is -1"),
        (["revoke", "nobody"], "no key 'nobody'"),
        (["rotate", "nobody"], "no key 'nobody'"),
    ],
)
def test_a_wrong_order_is_refused_by_name(
    arguments: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 1
    assert said in capsys.readouterr().err


def test_two_commands_at_once_lose_no_key(place: Path, tmp_path: Path):
    with ThreadPoolExecutor(4) as people:
        list(people.map(lambda i: keys(tmp_path, "new", f"k{i}"), range(4)))
    assert sorted(key.name for key in read_keys(tmp_path / ".assay/api_keys.json")) == ["k0", "k1", "k2", "k3"]


def test_a_renewed_key_lives_as_long_as_the_old_one_was_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    assert main(["new", "x", "--days", "30"]) == 0
    assert main(["rotate", "x"]) == 0
    old, new = read_keys(Path(".assay/api_keys.json"))
    assert old.expires is not None
    assert old.expires < now() + timedelta(hours=25)
    assert new.expires is not None
    assert new.expires > now() + timedelta(days=29)


@pytest.mark.parametrize("damaged", ['{"keys": [{"name": "x"}]}', '{"keys": ' + "[" * 100_000])
def test_a_damaged_file_at_the_start_lets_nobody_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damaged: str):
    file = tmp_path / "keys.json"
    file.write_text(damaged)
    monkeypatch.setattr(key_ring, "LOOK_SECONDS", 0)
    ring = KeyRing(file)
    assert not ring.is_open
    assert ring.find("anything") is None
