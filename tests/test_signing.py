"""Whoever can write in MLflow, or in the store, changes nothing that is served: it is as it was signed, or refused."""

from __future__ import annotations

import functools
import shutil
import sqlite3
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bentoml
import pandas as pd
import pytest
from bentoml._internal.models import ModelStore

from models.bundle import read_bundle
from models.fault import Fault
from models.files import file_digest, read_json, write_bytes, write_json
from models.version import signature_file
from pipelines import champions, ledger, resigning, signing, store
from pipelines.promote import PromoteError, find_champion, settle
from pipelines.tracking import connect
from pipelines.trial import Champion, read_candidate
from serving.champion import NoChampion, load_champion, read_key, read_pointer
from tests.line import BETTER, GOOD, WORSE, commit_all, lay_line
from tests.promotion import alias, run

ROOT = Path(__file__).resolve().parent.parent
NAME = "valuation-town"
V1, V2 = (Path(f".assay/bentoml/models/{NAME}/v{n}") for n in (1, 2))
KEYS = Path(".assay/keys")


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory, empty_mlflow: Path) -> tuple[Path, Path]:
    """A project whose v1 served before v2, the champion, and whose v3 was refused; and a copy to bring it back from."""
    place, copy = tmp_path_factory.mktemp("town"), tmp_path_factory.mktemp("copy")
    shutil.copy(empty_mlflow, place / "mlflow.db")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BENTOML_HOME", str(place / ".assay/bentoml"))
        patch.chdir(place)
        shutil.copy(ROOT / "params.yaml", "params.yaml")
        shutil.copytree(ROOT / "data/markets", "data/markets")
        for rounds in (GOOD, BETTER, WORSE):
            lay_line(rounds)
            commit_all()
            run()
    for name in (".assay", "mlartifacts"):
        shutil.copytree(place / name, copy / name)
    _copy_database(place, copy)
    return place, copy


@pytest.fixture
def town(kept: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    place, copy = kept
    for name in (".assay", "mlartifacts"):
        shutil.rmtree(place / name, ignore_errors=True)
        shutil.copytree(copy / name, place / name)
    _copy_database(copy, place)
    monkeypatch.setenv("BENTOML_HOME", str(place / ".assay/bentoml"))
    monkeypatch.chdir(place)
    here = ModelStore(place / ".assay/bentoml/models")
    monkeypatch.setattr(bentoml.models, "get", functools.partial(bentoml.models.get, _model_store=here))
    return place


def _copy_database(start: Path, end: Path) -> None:
    with sqlite3.connect(start / "mlflow.db") as one, sqlite3.connect(end / "mlflow.db") as other:
        one.backup(other)
    one.close()
    other.close()


def served() -> tuple[list[float], dict[str, Any]]:
    """What the server says of some homes, and what it says of its model."""
    champion = load_champion(read_pointer(Path(".assay/champion.json")), read_key(KEYS / "public.pem"))
    homes = pd.read_parquet("data/split/holdout.parquet").head(40)
    return champion.valuer.value(homes, homes["sale_date"]).tolist(), champion.card


def settled() -> Champion | None:
    """What `dvc repro` does before it looks at the candidate: finds the champion and mends what is lost."""
    candidate, tracking = read_candidate(), connect("town")
    with ledger.held(), tempfile.TemporaryDirectory() as temporary:
        champion = find_champion(tracking, candidate, Path(temporary))
        return None if champion is None else settle(tracking, champion)


def command(*words: str) -> None:
    given = champions._parser().parse_args(words)
    given.act("town", given)


def unnumbered(card: dict[str, Any]) -> dict[str, Any]:
    """Without what MLflow counts by."""
    return {name: fact for name, fact in card.items() if name not in ("version", "run")}


def sql(*statements: str) -> None:
    with sqlite3.connect("mlflow.db") as database:
        for statement in statements:
            database.execute(statement)
    database.close()


def artifacts(version: int) -> Path:
    """Where MLflow keeps that version's files."""
    wanted = store_digest(version)
    found = (m for m in Path("mlartifacts").rglob("artifacts/bundle/manifest.json") if file_digest(m) == wanted)
    return next(found).parents[2]


def store_digest(version: int) -> str:
    found = connect("town").client.get_model_version(NAME, str(version))
    return str(found.tags["assay.digest"])


def forged(bundle: Path, name: str = "forest_00.txt") -> str:
    """Another model in the bundle's place, whose manifest agrees with it; its digest."""
    path = bundle / name
    if name == "market.json":
        write_json(path, read_json(path) | {"label": "Another Town"})
    else:
        write_bytes(path, path.read_bytes().replace(b"leaf_value=", b"leaf_value=1", 1))
    manifest = read_json(bundle / "manifest.json")
    write_json(bundle / "manifest.json", manifest | {"files": manifest["files"] | {name: file_digest(path)}})
    return file_digest(bundle / "manifest.json")


def stranger(folder: Path = Path("stranger")) -> Path:
    """The key of somebody else."""
    signing.make_keys(folder)
    return folder


def tell(path: Path, **facts: Any) -> None:
    write_json(path, read_json(path) | facts)


def test_the_key_is_made_at_first_use_and_for_its_owner_alone(town: Path):
    assert stat.S_IMODE(KEYS.stat().st_mode) == 0o700
    assert stat.S_IMODE((KEYS / "private.pem").stat().st_mode) == 0o600
    assert b"PRIVATE" not in (KEYS / "public.pem").read_bytes()
    ignored = subprocess.run(["git", "check-ignore", "-q", ".assay/keys/private.pem"], cwd=ROOT, check=False)
    assert ignored.returncode == 0


#: What can be written in MLflow's database: by whoever can, in one go.
DATABASE = {
    "the alias": ["UPDATE registered_model_aliases SET version = 3"],
    "the alias away": ["DELETE FROM registered_model_aliases"],
    "the digests": [
        "UPDATE model_version_tags SET value = (SELECT value FROM model_version_tags WHERE version = 3 "
        "AND key = 'assay.digest') WHERE key = 'assay.digest'",
    ],
    "all tags": ["UPDATE model_version_tags SET value = 'forged'", "UPDATE tags SET value = 'forged'"],
    "the metrics": ["UPDATE metrics SET value = 0.0001", "UPDATE latest_metrics SET value = 0.0001"],
    "the runs": [
        "UPDATE model_versions SET run_id = (SELECT run_id FROM model_versions WHERE version = 3)",
        "UPDATE model_versions SET source = (SELECT source FROM model_versions WHERE version = 3)",
        "UPDATE model_versions SET description = 'forged'",
    ],
    "the versions": [
        "UPDATE registered_model_aliases SET version = 9",
        "UPDATE model_version_tags SET version = 9 WHERE version = 2",
        "UPDATE model_versions SET version = 9 WHERE version = 2",
    ],
}


@pytest.mark.parametrize("what", DATABASE)
def test_nothing_in_mlflow_s_database_changes_what_is_served(town: Path, what: str):
    before = served()
    sql("PRAGMA foreign_keys = OFF", *DATABASE[what])
    champion = settled()
    assert champion is not None
    assert champion.card["digest"] == before[1]["digest"]
    values, card = served()
    assert values == before[0]
    assert unnumbered(card) == unnumbered(before[1])
    if what not in ("all tags", "the digests", "the versions"):  # there MLflow has the version no more
        assert card == before[1]
    assert alias() == card["version"]


def forge_bundle(place: Path) -> None:
    changed = forged(place / "artifacts/bundle")
    tell(place / "card.json", digest=changed)
    sql(f"UPDATE model_version_tags SET value = '{changed}' WHERE version = 2 AND key = 'assay.digest'")


def forge_bundle_alone(place: Path) -> None:
    forged(place / "artifacts/bundle")


def forge_schema(place: Path) -> None:
    forged(place / "artifacts/bundle", "market.json")


def forge_card(place: Path) -> None:
    tell(place / "card.json", figures={"mdape": 0.0001})


def sign_as_a_stranger(place: Path) -> None:
    forge_card(place)
    shutil.copytree(KEYS, "own")
    shutil.rmtree(KEYS)
    stranger(KEYS)
    write_bytes(place / "signature.json", signing.sign(place))
    shutil.rmtree(KEYS)
    shutil.move("own", KEYS)


def replay(place: Path) -> None:
    """The files of v1, which was signed when it served."""
    shutil.rmtree(place)
    shutil.copytree(artifacts(1), place)


def unsign(place: Path) -> None:
    (place / "signature.json").unlink()


FORGERIES = [
    forge_bundle,
    forge_bundle_alone,
    forge_schema,
    forge_card,
    sign_as_a_stranger,
    replay,
    unsign,
]


@pytest.mark.parametrize("forge", FORGERIES)
def test_nothing_in_mlflow_s_files_becomes_the_champion(town: Path, forge: Callable[[Path], None]):
    forge(artifacts(2))
    shutil.rmtree(".assay/bentoml")
    with pytest.raises(PromoteError, match="neither whole in the store nor in MLflow's artifacts, as signed"):
        settled()
    with pytest.raises(NoChampion, match="not in the BentoML store"):
        served()


def test_forged_files_beside_a_whole_store_change_nothing(town: Path):
    before = served()
    forge_bundle(artifacts(2))
    settled()
    values, card = served()
    assert values == before[0]
    assert unnumbered(card) == unnumbered(before[1])


def test_a_lost_store_is_filled_from_what_is_signed_in_mlflow(town: Path):
    before = served()
    shutil.rmtree(".assay/bentoml")
    settled()
    assert served() == before


@pytest.mark.parametrize(("version", "signed"), [(3, True), (1, True), (1, False)])
def test_without_a_ledger_the_alias_brings_in_only_what_passed_and_is_signed(town: Path, version: int, signed: bool):
    connect("town").client.set_registered_model_alias(NAME, "champion", str(version))
    for lost in ("promotions.jsonl", "champion.json"):
        Path(".assay", lost).unlink()
    shutil.rmtree(".assay/bentoml")
    lay_line(BETTER)
    if not signed:
        forge_card(artifacts(version))
    if version == 1 and signed:
        champion = settled()
        assert champion is not None
        assert champion.card["digest"] == store_digest(1)
    else:
        with pytest.raises(PromoteError, match=store_digest(version)):
            settled()


def test_a_refused_version_can_not_be_swapped_before_a_person_promotes_it(town: Path):
    forge_bundle_alone(artifacts(3))
    with pytest.raises(Fault, match="v3 is not whole in MLflow, or not as it was signed"):
        command("promote", "v3", "--why", "its area was annexed")
    sql("UPDATE model_versions SET version = '1/../../keys' WHERE version = 3")
    with pytest.raises(Fault):
        command("promote", "v3", "--why", "its area was annexed")


def card_alone() -> None:
    tell(V2 / "card.json", run="r9")


def forest() -> None:
    forged(V2 / "bundle")


def forest_and_card() -> None:
    tell(V2 / "card.json", digest=forged(V2 / "bundle"))
    only = next((V2 / "signatures").iterdir())
    only.rename(signature_file(V2, file_digest(V2 / "card.json")))


def market() -> None:
    forged(V2 / "bundle", "market.json")


def older_version() -> None:
    for name in ("bundle", "signatures"):
        shutil.rmtree(V2 / name)
        shutil.copytree(V1 / name, V2 / name)
    shutil.copy(V1 / "card.json", V2 / "card.json")


def older_bundle() -> None:
    shutil.rmtree(V2 / "bundle")
    shutil.copytree(V1 / "bundle", V2 / "bundle")


def no_signature() -> None:
    shutil.rmtree(V2 / "signatures")


def refused_candidate() -> None:
    """v3 was signed as a candidate, never as a version that may serve."""
    files = artifacts(3)
    shutil.rmtree(V2 / "bundle")
    shutil.copytree(files / "artifacts/bundle", V2 / "bundle")
    shutil.copy(files / "card.json", V2 / "card.json")
    shutil.copy(files / "signature.json", signature_file(V2, file_digest(V2 / "card.json")))
    tell(Path(".assay/champion.json"), digest=store_digest(3))


def another_public_key() -> None:
    shutil.copy(stranger() / "public.pem", KEYS / "public.pem")


def no_public_key() -> None:
    (KEYS / "public.pem").unlink()


def spoilt_public_key() -> None:
    (KEYS / "public.pem").write_text("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n")


#: What is done to the store -> what the server says.
REFUSED = {
    card_alone: "is not there: what it would vouch for was altered",
    forest: "holds [0-9a-f]{64} by its manifest.json, and [0-9a-f]{64} was promised",
    forest_and_card: "the signature over .* is of another version",
    market: "was promised; run `dvc repro`",
    older_version: "is the bundle [0-9a-f]{64}, but [0-9a-f]{64} was promoted; run `make repro`",
    older_bundle: "was promised",
    no_signature: "or never signed; run `make repro`",
    refused_candidate: "the signature over .* is of another version",
    another_public_key: "the signature is by another key, or what it vouches for was altered",
    no_public_key: "no model can be told from a forged one without the public key .*ASSAY_KEY",
    spoilt_public_key: "the public key can't be read",
}


@pytest.mark.parametrize("tamper", REFUSED)
def test_the_server_refuses_what_is_not_as_it_was_signed(town: Path, tamper: Callable[[], None]):
    tamper()
    with pytest.raises(NoChampion, match=REFUSED[tamper]):
        served()


@pytest.mark.parametrize("tamper", [card_alone, forest, forest_and_card, market, older_version, older_bundle])
def test_the_line_mends_a_store_that_was_tampered_with_from_what_is_signed(town: Path, tamper: Callable[[], None]):
    before = served()
    tamper()
    with pytest.raises(champions.Disagreement, match=r"valuation-town:v2, bundle \w+, is not whole in the store: "):
        command("verify")
    settled()
    assert served() == before
    command("verify")


def test_a_private_key_that_others_can_read_is_refused(town: Path):
    (KEYS / "private.pem").chmod(0o644)
    with pytest.raises(signing.KeyFault, match=r"private\.pem has the mode 644.*chmod 600"):
        settled()
    (KEYS / "private.pem").chmod(0o600)
    KEYS.chmod(0o755)
    with pytest.raises(signing.KeyFault, match=r"keys has the mode 755.*chmod 700"):
        settled()


def test_a_public_key_that_is_not_the_private_one_s_is_refused(town: Path):
    own = signing.public_key()
    another_public_key()
    with pytest.raises(signing.KeyFault, match=r"public\.pem is not the key of private\.pem"):
        settled()
    no_public_key()
    settled()
    assert (KEYS / "public.pem").read_bytes() == own


@pytest.mark.parametrize("lost", ["keys", "private.pem"])
def test_a_lost_key_stops_the_line_until_a_person_has_all_signed_anew(town: Path, lost: str):
    before = served()
    shutil.rmtree(KEYS) if lost == "keys" else (KEYS / lost).unlink()
    with pytest.raises(signing.KeyFault, match="make sign WHY="):
        settled() if lost == "keys" else signing.sign(Path("data/model"))
    command("sign", "--why", "the disk is lost")
    assert ledger.of("town")[-1].what == "signed anew"
    assert served() == before
    settled()
    command("verify")


def test_what_the_ledger_does_not_know_is_not_signed_anew(town: Path):
    shutil.rmtree(KEYS)
    forged(V1 / "bundle")
    card = read_json(V2 / "card.json")
    write_json(V2 / "card.json", card | {"override": {"who": "eve", "why": "trust me", "at": "2026-01-01"}})
    with pytest.raises(Fault, match="the champion valuation-town:v2 is not what the ledger names"):
        command("sign", "--why", "the disk is lost")
    with pytest.raises(NoChampion):
        served()


def test_versions_from_before_there_was_a_key_are_signed_once_where_the_ledger_knows_them(town: Path):
    before = served()
    shutil.rmtree(KEYS)
    for version in (V1, V2):
        shutil.rmtree(version / "signatures")
    card = read_json(V1 / "card.json")
    write_json(V1 / "card.json", card | {"verdict": card["verdict"] | {"outcome": "fail"}})
    settled()
    assert served() == before
    assert not (V1 / "signatures").exists()
    shutil.rmtree(V2 / "signatures")
    resigning.begin()  # only once
    assert not (V2 / "signatures").exists()


def test_a_memory_is_served_only_as_it_was_signed(town: Path):
    stored = store.serving()
    assert stored is not None
    grown = read_bundle(stored.bundle)[0].refreshed(pd.read_parquet("data/validated/sales.parquet"))
    memory = store.put_memory(stored, grown)
    store.point_to(stored, memory)
    assert read_json(".assay/champion.json")["memory"] == memory
    line = ledger.head("town")
    assert line is not None
    ledger.record("town", ledger.REFRESHED, "more sales", line.tag, line.digest, memory, line.evidence)
    served()
    command("verify")
    changed = forged_memory(stored.memory(memory))
    with pytest.raises(champions.Disagreement, match=f"the memory {memory[:12]} of .* not as it was signed"):
        command("verify")
    with pytest.raises(NoChampion, match=f"holds {changed} by its manifest.json, and {memory} was promised"):
        served()
    stored.memory(memory).rename(stored.memory(changed))
    tell(Path(".assay/champion.json"), memory=changed)
    with pytest.raises(NoChampion, match=f"{changed}.json is not there"):
        served()
    signature_file(V2, memory).rename(signature_file(V2, changed))
    with pytest.raises(NoChampion, match=f"the signature over the memory {changed} of .* is of something else"):
        served()
    assert store.refreshed_memory(stored) is None


def forged_memory(memory: Path) -> str:
    sales = pd.read_parquet(memory / "sales.parquet")
    sales["price"] *= 2
    sales.to_parquet(memory / "sales.parquet")
    manifest = read_json(memory / "manifest.json")
    files = manifest["files"] | {"sales.parquet": file_digest(memory / "sales.parquet")}
    write_json(memory / "manifest.json", manifest | {"files": files})
    return file_digest(memory / "manifest.json")


def test_the_tool_of_model_signing_says_the_same(town: Path):
    tool = [sys.executable, "-m", "model_signing", "verify", "key", "--public_key", str(KEYS / "public.pem")]
    one = signature_file(V2, file_digest(V2 / "card.json"))
    command = [*tool, str(V2), "--signature", str(one), "--ignore_unsigned_files"]
    files = artifacts(2)
    for words in (
        command,
        [*tool, str(files), "--signature", str(files / "signature.json"), "--ignore_unsigned_files"],
    ):
        assert subprocess.run(words, check=False, capture_output=True).returncode == 0
    forged(V2 / "bundle")
    assert subprocess.run(command, check=False, capture_output=True).returncode != 0
