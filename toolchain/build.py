"""Compile a tool from its Go module, in a copy of the module, so that nothing is ever written into the repository."""

import hashlib
import json
import shutil
import subprocess
from pathlib import Path

from toolchain.cache import Cache
from toolchain.errors import ToolchainError
from toolchain.golang import Go
from toolchain.model import Build, ModuleFiles, Tool
from toolchain.progress import Task
from toolchain.run import advice, run
from toolchain.tools import GO_MODULES


def recipe(tool: Tool) -> str:
    """Fingerprint what a built tool is made from, so that a change of it builds anew."""
    digest = hashlib.sha256(repr((tool.builds, tool.files)).encode())
    copied = [files.folder for files in (tool.files, *(how.files for how in tool.builds)) if files]
    for folder in sorted({*copied, *(how.folder for how in tool.builds)}):
        for path in sorted(one for one in (GO_MODULES / folder).rglob("*") if one.is_file()):
            digest.update(f"{path.relative_to(GO_MODULES)}\n".encode())
            digest.update(path.read_bytes())
    for how in tool.builds:
        if how.script:
            digest.update((GO_MODULES.parent / how.script).read_bytes())
    return digest.hexdigest()


def build(tool: Tool, cache: Cache, go: Go, task: Task) -> Path:
    """Compile a tool and return the folder with its programs."""
    cache.log(tool.name).unlink(missing_ok=True)
    out = cache.scratch(tool.name) / "out"
    out.mkdir()
    for how in tool.builds:
        _compile(how, out, cache, go, task)
        if how.files:
            copy_module_files(how.files, out, cache, go, task)
        if how.script:
            shutil.copyfile(GO_MODULES.parent / how.script, out / how.script)
            (out / how.script).chmod(0o755)
    for one in tool.executables:
        if not (out / one.name).exists():
            # One program that takes its part from the name it is called by.
            (out / one.name).symlink_to(tool.builds[0].output)
    return out


def _compile(how: Build, out: Path, cache: Cache, go: Go, task: Task) -> None:
    scratch = cache.scratch(how.folder)
    source = shutil.copytree(GO_MODULES / how.folder, scratch / "source", copy_function=_copy_content)
    log = cache.log(task.tool)
    env = go.environment(cache)
    if how.edits:
        task.step(f"editing {how.module} {how.module_version}")
        _edit(how, source, cache, go, task)

    def compile_into(output: Path, package: str) -> None:
        stamps = " ".join(f"-X {name}={value}" for name, value in how.stamps.items())
        flags = ["-mod=readonly", "-trimpath", "-ldflags", f"-s -w {stamps}".strip()]
        run([str(go.path), "build", *flags, "-o", str(output), package], cwd=source, env=env, log=log, task=task)

    if how.generator:
        task.step("building its generator")
        compile_into(scratch / "generator", how.generator)
        task.step("generating its schema")
        run([str(scratch / "generator"), "schema", "--out", "generated"], cwd=source, env=env, log=log, task=task)
    task.step(f"building {how.module} {how.module_version}")
    compile_into(out / how.output, how.package)


def _edit(how: Build, source: Path, cache: Cache, go: Go, task: Task) -> None:
    """Have the scratch copy ``source`` compile an edited copy of the module, checked against go.sum before the edit."""
    module = _downloaded(how.folder, how.module, cache, go, task)
    upstream = shutil.copytree(module, source / "upstream", copy_function=_copy_content)
    for edit in how.edits:
        published = (upstream / edit.file).read_text()
        if published.count(edit.old) != 1:
            raise ToolchainError(
                f"{how.module} {how.module_version}: {edit.file} has no single {edit.old!r} to edit",
                "look how the new version does it, and mend the edit in toolchain/tools.py",
                tool=task.tool,
            )
        (upstream / edit.file).write_text(published.replace(edit.old, edit.new))
    with (source / "go.mod").open("a") as requirements:
        requirements.write(f"\nreplace {how.module} => ./upstream\n")


def copy_module_files(files: ModuleFiles, out: Path, cache: Cache, go: Go, task: Task) -> None:
    """Copy files out of a Go module in the version that go.mod pins and with the content that go.sum pins."""
    task.step(f"copying files of {files.module}")
    module = _downloaded(files.folder, files.module, cache, go, task)
    for origin, name in files.copies.items():
        target = out / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if (module / origin).is_dir():
            shutil.copytree(module / origin, target, copy_function=_copy_content)
        else:
            _copy_content(module / origin, target)
            target.chmod(0o755)


def _downloaded(folder: str, module: str, cache: Cache, go: Go, task: Task) -> Path:
    # A copy, because Go may add lines to go.sum.
    copy = shutil.copytree(GO_MODULES / folder, cache.scratch(folder) / "source", copy_function=_copy_content)
    command = [str(go.path), "mod", "download", "-json", module]
    done = subprocess.run(command, cwd=copy, env=go.environment(cache), capture_output=True, text=True, check=False)
    answer = json.loads(done.stdout or "{}")
    if done.returncode or not answer.get("Dir"):
        problem = answer.get("Error") or done.stderr
        raise ToolchainError(f"cannot download {module}", advice(problem), tool=task.tool, output=problem)
    pinned = (GO_MODULES / folder / "go.sum").read_text().splitlines()
    if f"{module} {answer['Version']} {answer['Sum']}" not in pinned:
        raise ToolchainError(
            f"{module} {answer['Version']} is not what {folder}/go.sum pins",
            "restore the committed go.mod and go.sum (git status)",
            tool=task.tool,
        )
    return Path(answer["Dir"])


def _copy_content(origin: Path | str, target: Path | str) -> None:
    """Copy without permissions: what is copied may be read-only, the copy must not be."""
    shutil.copyfile(origin, target)
