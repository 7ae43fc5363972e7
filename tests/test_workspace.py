"""The rules of the workspace itself: who may import whom, what every member carries, what the READMEs claim."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools"))

from matrix import matrix  # noqa: E402
from workspace import dependents, members  # noqa: E402

MEMBERS = members()
READMES = [ROOT / "README.md", *(m.folder / "README.md" for m in MEMBERS.values())]
TORCH_FREE = ["octad_tokenizer", "octad_data", "octad_scaling"]


def imports_of(file: Path) -> set[str]:
    roots = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            roots |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            roots.add(node.module.split(".")[0])
    return roots


@pytest.mark.parametrize("member", [m for m in MEMBERS.values() if m.name != "octad"], ids=lambda m: m.name)
def test_members_import_no_sibling(member):
    for file in (member.folder / "src").rglob("*.py"):
        siblings = {name for name in imports_of(file) if name.startswith("octad") and name != member.module}
        assert not siblings, f"{file.relative_to(ROOT)} imports {siblings}; packages meet on plain types and protocols"
        assert not imports_of(file) & {"accelerate", "lm_eval"}, f"{file.relative_to(ROOT)}: integration only"


@pytest.mark.parametrize("module", TORCH_FREE)
def test_torch_free_packages_import_without_torch(module):
    code = f"import sys, {module}; assert 'torch' not in sys.modules, 'torch was imported'"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("member", MEMBERS.values(), ids=lambda m: m.name)
def test_every_member_is_complete(member):
    project = tomllib.loads((member.folder / "pyproject.toml").read_text())["project"]
    for name in ("README.md", "CHANGELOG.md", "LICENSE", f"src/{member.module}/py.typed"):
        assert (member.folder / name).is_file(), f"{member.path} has no {name}"
    assert list((member.folder / "tests").glob("test_*.py"))
    assert re.search(
        rf"^## {re.escape(project['version'])}\b", (member.folder / "CHANGELOG.md").read_text(), re.MULTILINE
    )
    assert (member.folder / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()


@pytest.mark.parametrize("member", MEMBERS.values(), ids=lambda m: m.name)
def test_workspace_installs_what_a_members_tests_need(member):
    def read(folder):
        return tomllib.loads((folder / "pyproject.toml").read_text())

    extras = read(ROOT / "packages/data")["project"]["optional-dependencies"]
    installed = {*read(ROOT)["dependency-groups"]["dev"], *extras["html"], *extras["pdf"]}
    assert set(read(member.folder)["dependency-groups"]["test"]) <= installed, "add them to the dev group of the root"


@pytest.mark.parametrize("readme", READMES, ids=lambda p: p.parent.name)
def test_readme_code_runs(readme, tmp_path):
    blocks = re.findall(r"^```python\n(.*?)^```", readme.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    if readme.parent != ROOT:
        assert blocks, f"{readme.relative_to(ROOT)} shows no code"
    # One process, since torch takes seconds to import; each block by itself, as a reader copies it.
    code = (
        "import sys\n"
        "for number, block in enumerate(sys.argv[1:], 1):\n"
        "    exec(compile(block, f'block {number}', 'exec'), {'__name__': '__main__'})"
    )
    done = subprocess.run([sys.executable, "-c", code, *blocks], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, f"{readme.relative_to(ROOT)}:\n{done.stderr}"


@pytest.mark.parametrize("readme", READMES, ids=lambda p: p.parent.name)
def test_readme_links_lead_somewhere(readme):
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", readme.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (readme.parent / target).exists(), f"{readme.relative_to(ROOT)} links to {target}"


def test_readme_commands_are_those_that_ci_runs():
    assert "uv run pytest" in (ROOT / "README.md").read_text()
    assert "uv run pytest" in (ROOT / ".ci" / "run").read_text()


def test_matrix_of_a_leaf_change_holds_its_dependents_only():
    jobs = matrix(["packages/arch/src/octad_arch/norm.py"])["include"]
    assert {job["package"] for job in jobs} == {"octad-arch", "octad"}
    assert {job["python"] for job in jobs} == {"3.11", "3.12", "3.13"}


def test_matrix_of_a_root_change_is_everything_and_of_prose_nothing():
    assert {job["package"] for job in matrix(["uv.lock"])["include"]} == set(MEMBERS)
    assert matrix(["README.md"])["include"] == []
    assert json.loads(json.dumps(matrix(None))) == matrix(["pyproject.toml"])


def test_dependents_are_transitive():
    assert dependents({"octad-data"}, MEMBERS) == {"octad-data", "octad"}
