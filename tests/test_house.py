"""The house's own rules: who may import whom, what no file may hold, and that the line names its own code."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions, version
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version
from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("models", "pipelines", "serving", "expectations")
#: Which rooms the code of a room may import, besides its own.
ARROWS = {
    "models": set(),
    "expectations": {"models"},
    "pipelines": {"models", "expectations"},
    "serving": {"models"},
}
MODELS_LIBRARIES = {"cryptography", "lightgbm", "numpy", "pandas", "pyarrow", "scipy"}
TRAINING_ONLY = {
    "dvc",
    "great_expectations",
    "matplotlib",
    "mlflow",
    "model_signing",
    "optuna",
    "shap",
    "sigstore",
    "sklearn",
}
#: They run code on loading, so a model or a table stored with one can do anything.
UNSAFE_STORES = {"pickle", "cPickle", "_pickle", "cloudpickle", "dill", "joblib", "shelve", "skops", "marshal"}
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
FLOORS: dict[str, str] = PROJECT["tool"]["assay"]["floors"]


def project_files(*patterns: str) -> list[Path]:
    """What is in git or is about to be: paths from the root."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *patterns]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return [Path(line) for line in listed.stdout.splitlines() if (ROOT / line).is_file()]


def imported(path: Path) -> Iterator[str]:
    """Dotted names that the file imports, at its top or within a function; `from a import b` gives `a` and `a.b`."""
    for node in ast.walk(ast.parse((ROOT / path).read_text("utf-8"), str(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: imports are absolute in this project"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def imported_packages(path: Path) -> set[str]:
    return {name.split(".")[0] for name in imported(path)}


def module_file(name: str) -> Path | None:
    """The project's file behind a dotted name, if it is one of ours."""
    parts = Path(*name.split("."))
    return next((p for p in (parts.with_suffix(".py"), parts / "__init__.py") if (ROOT / p).is_file()), None)


def code_behind(start: Path) -> set[str]:
    """The file and all of ours that it imports, directly or through others, package files included."""
    known: set[Path] = set()
    waiting = {start}
    while waiting:
        path = waiting.pop()
        known.add(path)
        found = {module_file(name) for name in imported(path)}
        packages = {p / "__init__.py" for p in path.parents if (ROOT / p / "__init__.py").is_file()}
        waiting |= {p for p in found | packages if p is not None} - known
    return {path.as_posix() for path in known}


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_what_its_arrows_allow(room: str) -> None:
    wrong = {
        f"{path} imports {other}"
        for path in project_files(f"{room}/*.py")
        for other in imported_packages(path) & {*ROOMS, "tests"} - {room} - ARROWS[room]
    }
    assert not wrong


def test_models_know_only_numbers_and_tables() -> None:
    allowed = MODELS_LIBRARIES | set(sys.stdlib_module_names) | {"models"}
    wrong = {(str(path), name) for path in project_files("models/*.py") for name in imported_packages(path) - allowed}
    assert not wrong


def test_the_server_imports_no_training_package() -> None:
    served = project_files("serving/*.py", "models/*.py")
    assert not {(str(path), name) for path in served for name in imported_packages(path) & TRAINING_ONLY}


def test_nothing_is_stored_in_a_format_that_runs_code() -> None:
    wrong = {(str(path), name) for path in project_files("*.py") for name in imported_packages(path) & UNSAFE_STORES}
    assert not wrong


def test_no_file_names_a_machine_or_a_package_index() -> None:
    host = r"(?:pypi|pythonhosted)"
    strange = re.compile(
        rf"(?<![\w.-])/(?:home|root|Users|work|opt|var/tmp)/\w|\b{host}\.org|https?://[^\s/]+/simple\b"
    )
    found = [
        f"{path}:{number}: {line.strip()[:100]}"
        for path in project_files()
        for number, line in enumerate((ROOT / path).read_bytes().decode("utf-8", "replace").splitlines(), 1)
        if strange.search(line)
    ]
    assert not found


@pytest.mark.parametrize("room", [*ROOMS, "data", "tests"])
def test_each_room_says_what_belongs_there(room: str) -> None:
    assert "not" in (ROOT / room / "README.md").read_text("utf-8")


def pins(lock: str) -> dict[str, set[Version]]:
    """The versions that a lock pins; several where they differ by Python or platform."""
    found: dict[str, set[Version]] = {}
    for name, pinned in re.findall(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", (ROOT / lock).read_text("utf-8"), re.MULTILINE):
        found.setdefault(canonicalize_name(name), set()).add(Version(pinned))
    return found


def declared(*groups: str) -> list[Requirement]:
    project = PROJECT["project"]
    lines = [*project["dependencies"], *(line for g in groups for line in project["optional-dependencies"][g])]
    return [Requirement(line) for line in lines]


def test_every_library_imported_is_one_that_pyproject_asks_for() -> None:
    asked = {canonicalize_name(r.name) for r in declared("train", "dev")}
    ours = set(sys.stdlib_module_names) | {*ROOMS, "tests"}
    provided_by = packages_distributions()
    wrong = {
        f"{path} imports {package}"
        for path in project_files("*.py")
        for package in imported_packages(path) - ours
        if not {canonicalize_name(d) for d in provided_by.get(package, [])} & asked
    }
    assert not wrong


@pytest.mark.parametrize(
    ("lock", "groups"),
    [("requirements.lock", ("train", "dev")), ("serving/requirements.lock", ())],
    ids=["all", "serving"],
)
def test_a_lock_covers_what_pyproject_asks_for(lock: str, groups: tuple[str, ...]) -> None:
    pinned = pins(lock)
    unmet = [
        str(r)
        for r in declared(*groups)
        if not any(v in r.specifier for v in pinned.get(canonicalize_name(r.name), ()))
    ]
    assert not unmet, "run `make lock`"


@pytest.mark.parametrize("lock", ["requirements.lock", "serving/requirements.lock"], ids=["all", "serving"])
def test_a_lock_has_a_hash_for_every_pin_and_no_address(lock: str) -> None:
    text = (ROOT / lock).read_text("utf-8")
    assert "://" not in text
    assert not [
        entry[0] for entry in re.findall(r"^(\S+==\S+)((?:.*\\\n)*.*)", text, re.MULTILINE) if "sha256:" not in entry[1]
    ]


def test_the_server_runs_on_the_versions_that_the_tests_ran_on() -> None:
    tested, served = pins("requirements.lock"), pins("serving/requirements.lock")
    assert [name for name, versions in served.items() if not versions <= tested.get(name, set())] == []
    assert not TRAINING_ONLY & {name.replace("-", "_") for name in served}


@pytest.mark.parametrize("package", FLOORS)
def test_a_package_is_not_older_than_its_last_known_weakness(package: str) -> None:
    floor = Version(FLOORS[package])
    pinned = [*pins("requirements.lock")[package], *pins("serving/requirements.lock").get(package, ())]
    assert all(at >= floor for at in [Version(version(package)), *pinned])


STAGES: dict[str, dict[str, Any]] = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text("utf-8"))["stages"]


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_exactly_the_code_it_runs(stage: str) -> None:
    declared_code = {d for d in STAGES[stage].get("deps", []) if d.endswith(".py")}
    wanted = code_behind(Path("pipelines") / f"{stage}.py")
    missing, surplus = sorted(wanted - declared_code), sorted(declared_code - wanted)
    lines = [f"  add     - {path}" for path in missing] + [f"  remove  - {path}" for path in surplus]
    assert not lines, f"dvc.yaml, the deps of {stage}:\n" + "\n".join(lines)


def test_a_file_that_code_reads_beside_itself_is_a_dependency_too() -> None:
    """Suites, templates and the kernel decide the outcome as much as the code does."""
    beside = {p.as_posix() for p in project_files("expectations/*") if p.suffix not in (".py", ".md")}
    assert beside <= set(STAGES["validate"]["deps"])
    kernel = {p.as_posix() for p in project_files("models/kernel/*") if p.suffix in (".c", ".h")}
    assert [
        name
        for name, stage in STAGES.items()
        if "models/kernel/build.py" in stage["deps"] and not kernel <= set(stage["deps"])
    ] == []


def test_each_stage_says_what_it_does_and_runs_its_own_file() -> None:
    for name, stage in STAGES.items():
        assert stage["desc"]
        assert stage["cmd"] == f"python -m pipelines.{name}"
