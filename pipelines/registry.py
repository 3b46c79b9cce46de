"""The model registry: a candidate's run, its version of `valuation-<market>`, and the alias `champion`.

A version is found by the digest of its bundle before it is made, so a model is never registered twice,
and a registry that was lost is filled again from the bundle and its card.
"""

from __future__ import annotations

import shutil
import tempfile
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version as installed
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.bundle import MANIFEST, BundleError, bundle_digest, read_bundle
from models.files import digest, parse_json, write_bytes, write_json
from models.gate.check import PASS
from models.signature import SignatureError, vouched
from models.valuer import PROPERTY
from pipelines import signing
from pipelines.beside_runs import log_beside
from pipelines.candidate_run import (
    HELD_OUT,
    holdout_tag,
    lineage_tags,
    log_dataset,
    people_name,
    run_metrics,
    run_params,
)
from pipelines.card import apart_from_time, reigns
from pipelines.ledger import Line
from pipelines.provenance import LIBRARIES
from pipelines.summary import description
from pipelines.tracking import DIGEST, NOTE, Tracking, TrackingError, find_or_create_run, log

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.entities.model_registry import ModelVersion

CHAMPION = "champion"
BUNDLE, CARD, SIGNATURE = "artifacts/bundle", "card.json", "signature.json"  # in a version's artifacts
PROMOTED_AT, DECIDED = "assay.promoted_at", "assay.decided"


@dataclass(frozen=True)
class Registered:
    """A version in the registry."""

    name: str
    version: str
    run_id: str
    digest: str


def register(
    tracking: Tracking,
    card: Mapping[str, Any],
    bundle: Path,
    taken: Mapping[str, str],
    evidence: Iterable[tuple[Path, str]] = (),
) -> Registered:
    """The version of this bundle, made if it is not there, with everything a reviewer wants beside it.

    Args:
        taken: version -> digest of the models that have served: none of these numbers is given to another
            model, also where the registry was lost and counts from 1 again.
        evidence: files to keep with the run, and the artifact folder of each.
    """
    name = people_name(card)
    run = find_or_create_run(tracking, "candidate", card["digest"], name)
    if run.info.run_name != name:  # judged by other bounds or beside another champion than before
        tracking.client.update_run(run.info.run_id, name=name)
    log_dataset(tracking, run, card)
    log(
        tracking,
        run,
        params=run_params(card),
        metrics=run_metrics(card),
        tags=lineage_tags(card) | {NOTE: description(card)},
        files=evidence,
    )
    log_beside(tracking, card)
    known = _version(tracking, card["name"], card["digest"], taken)
    if known is None:
        known = _create_version(tracking, run, card, bundle, taken)
    elif not _holds(tracking, known, card):
        _upload(tracking, _model_id(known), card, bundle)
    _describe(tracking, known, card)
    return _registered(known)


def champion(tracking: Tracking, name: str) -> Registered | None:
    """The version that the alias names, or None."""
    from mlflow.exceptions import MlflowException

    try:
        aliases = tracking.client.get_registered_model(name).aliases
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return None
    if CHAMPION not in aliases:
        return None
    return _registered(tracking.client.get_model_version(name, str(aliases[CHAMPION])))


def find(tracking: Tracking, name: str, digest: str, tag: str | None = None) -> Registered | None:
    """The version of that bundle that has the tag, else the first one, or None."""
    found = _version(tracking, name, digest, {}, tag)
    return None if found is None else _registered(found)


def numbered(tracking: Tracking, name: str, number: str) -> Registered | None:
    """The version of that number, or None."""
    found = tracking.client.search_model_versions(f"name = '{name}'")
    return next((_registered(version) for version in found if str(version.version) == number), None)


def judged_on(tracking: Tracking, card: Mapping[str, Any]) -> int:
    """How many models have been judged on the card's hold-out, this one included."""
    found = tracking.client.search_model_versions(
        f"name = '{card['name']}' and tags.`{HELD_OUT}` = '{holdout_tag(card)}'"
    )
    return len({version.tags.get(DIGEST) for version in found})


def crown(tracking: Tracking, version: Registered, told: Sequence[Line]) -> None:
    """Moves the alias to the version, and lets the model's page tell of the decisions that led there."""
    client, last = tracking.client, told[-1]
    for key, value in {PROMOTED_AT: last.at, DECIDED: f"{last.what} by {last.who}: {last.why}"}.items():
        client.set_model_version_tag(version.name, version.version, key, value)
    client.set_registered_model_alias(version.name, CHAMPION, version.version)
    client.update_registered_model(version.name, description=reigns(told))


def fetch(tracking: Tracking, version: Registered, folder: Path) -> tuple[Path, dict[str, Any]] | None:
    """The version's bundle and card from MLflow's artifacts; None where they are lost or not as they were signed.

    What MLflow holds is believed by the signature alone: whoever can write there can write a digest beside a bundle.
    """
    found = tracking.client.get_model_version(version.name, version.version)
    card_file, signature, bundle = (_download(tracking, found, p, folder) for p in (CARD, SIGNATURE, BUNDLE))
    if card_file is None or signature is None or bundle is None:
        return None
    raw = card_file.read_bytes()
    try:
        files = vouched(signature.read_bytes(), signing.public_key())
        card = parse_json(raw) if files.get(CARD) == digest(raw) else {}
        same = {files.get(f"{BUNDLE}/{MANIFEST}"), card.get("digest"), bundle_digest(bundle)} == {version.digest}
    except (BundleError, SignatureError, ValueError):
        return None
    return (bundle, card) if same else None


def kept(tracking: Tracking, card: Mapping[str, Any]) -> Registered | None:
    """The version that the card says it is, where MLflow still has that and its run."""
    from mlflow.exceptions import MlflowException

    try:
        found = tracking.client.get_model_version(card["name"], str(card.get("version")))
        tracking.client.get_run(str(card.get("run")))
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
        return None
    own = _registered(found)
    return replace(own, run_id=str(card["run"])) if own.digest == card["digest"] else None


def _version(
    tracking: Tracking, name: str, digest: str, taken: Mapping[str, str], tag: str | None = None
) -> ModelVersion | None:
    found = tracking.client.search_model_versions(f"name = '{name}' and tags.`{DIGEST}` = '{digest}'")
    own = [v for v in found if taken.get(str(v.version), digest) == digest]
    return min(own, key=lambda v: (f"{name}:v{v.version}" != tag, int(v.version)), default=None)


def _registered(found: ModelVersion) -> Registered:
    """Raises: TrackingError for a version that is no number, for it becomes part of a path."""
    if not (number := str(found.version)).isdecimal():
        raise TrackingError(f"MLflow names a version {number!r} of {found.name}; a version is a number")
    return Registered(found.name, number, found.run_id or "", found.tags.get(DIGEST, ""))


def _create_version(
    tracking: Tracking, run: Run, card: Mapping[str, Any], bundle: Path, taken: Mapping[str, str]
) -> ModelVersion:
    """The next version that may be its: the one it has in the store if that is still to come, else one never used."""
    from mlflow.exceptions import MlflowException

    client, name, digest, run_id = tracking.client, card["name"], card["digest"], run.info.run_id
    model_id = _logged_model(tracking, run, card, bundle)
    try:
        client.get_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        client.create_registered_model(name, description=f"Values homes in {card['market']['label']}.")
    own = [int(number) for number, whose in taken.items() if whose == digest]
    tags = lineage_tags(card) | {DIGEST: digest}
    while True:
        made = client.create_model_version(
            name, f"models:/{model_id}", run_id, tags=tags, description=description(card), model_id=model_id
        )
        whose = taken.get(str(made.version))
        if whose == digest or (whose is None and int(made.version) > max(own, default=0)):
            return made
        client.delete_model_version(name, str(made.version))  # MLflow gives no number twice


def _logged_model(tracking: Tracking, run: Run, card: Mapping[str, Any], bundle: Path) -> str:
    """The id of the run's model with its files; a process that was killed may have left it without a version."""
    from mlflow.entities import LoggedModelOutput

    client, experiment = tracking.client, run.info.experiment_id
    known = client.search_logged_models([experiment], f"tags.`{DIGEST}` = '{card['digest']}'", max_results=1)
    model = (
        known[0]
        if known
        else client.create_logged_model(
            experiment, name=card["name"], source_run_id=run.info.run_id, tags={DIGEST: card["digest"]}
        )
    )
    _upload(tracking, model.model_id, card, bundle)
    client.finalize_logged_model(model.model_id, "READY")
    outputs = client.get_run(run.info.run_id).outputs
    if outputs is None or model.model_id not in [output.model_id for output in outputs.model_outputs]:
        client.log_outputs(run.info.run_id, [LoggedModelOutput(model.model_id, 0)])
    return model.model_id


def _model_id(version: ModelVersion) -> str:
    """The logged model a version was made of; `version.model_id` is empty in what a search returns."""
    return str(version.source).rpartition("/")[2]


def _upload(tracking: Tracking, model_id: str, card: Mapping[str, Any], bundle: Path) -> None:
    """The bundle as a model that `mlflow.pyfunc.load_model` gives back, with the card beside it, all of it signed."""
    import mlflow

    with tempfile.TemporaryDirectory() as temporary, warnings.catch_warnings():
        # An example would be valued in a process of its own to guess what is stated below.
        warnings.filterwarnings("ignore", ".*An input example was not provided")
        folder, named = Path(temporary) / "model", Path(temporary) / "bundle"
        shutil.copytree(bundle, named)  # MLflow keeps the folder's own name, whatever the key says
        mlflow.pyfunc.save_model(
            str(folder),
            python_model=str(Path(__file__).with_name("logged_model.py")),
            code_paths=[str(Path(__file__).parents[1] / "models")],
            artifacts={"bundle": str(named)},
            signature=_signature(bundle),
            pip_requirements=[f"{name}=={installed(name)}" for name in LIBRARIES],
        )
        write_json(folder / CARD, dict(card))
        write_bytes(folder / SIGNATURE, signing.sign(folder))
        tracking.client.log_model_artifacts(model_id, str(folder))


def _signature(bundle: Path) -> Any:
    """Numbers and flags are doubles: an integer column breaks on the first missing value."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema

    market = read_bundle(bundle)[0].market
    inputs: list[Any] = [
        ColSpec("string" if f.is_category else "double", f.name, required=not f.missing) for f in market.fields
    ]
    inputs += [ColSpec("string", name, required=False) for name in (PROPERTY, "as_of")]
    return ModelSignature(Schema(inputs), Schema([ColSpec("double")]))


def _holds(tracking: Tracking, version: ModelVersion, card: Mapping[str, Any]) -> bool:
    """Whether the registry's files still are this bundle with this card."""
    with tempfile.TemporaryDirectory() as temporary:
        found = fetch(tracking, _registered(version), Path(temporary))
    if found is None or card["verdict"]["outcome"] == PASS:  # what passed may be the ledger's evidence: to the letter
        return found is not None and found[1] == card
    return apart_from_time(found[1]) == apart_from_time(card)


def _download(tracking: Tracking, version: ModelVersion, path: str, folder: Path) -> Path | None:
    """A file or folder of the version's logged model; None where it is lost."""
    from mlflow.artifacts import download_artifacts
    from mlflow.exceptions import MlflowException

    try:
        place = tracking.client.get_logged_model(_model_id(version)).artifact_location
        return Path(download_artifacts(f"{place}/{path}", dst_path=str(folder), tracking_uri=tracking.uri))
    except (MlflowException, OSError):
        return None


def _describe(tracking: Tracking, version: ModelVersion, card: Mapping[str, Any]) -> None:
    for key, value in lineage_tags(card).items():
        if version.tags.get(key) != value:
            tracking.client.set_model_version_tag(version.name, str(version.version), key, value)
    if version.description != (text := description(card)):
        tracking.client.update_model_version(version.name, str(version.version), description=text)
