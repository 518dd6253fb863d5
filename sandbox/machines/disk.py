"""The file system of a machine: a folder that its commands cannot leave, with Unix's rule on who may read and write."""

import shutil
from pathlib import Path, PurePosixPath

from sandbox.pki import write_private


class Disk:
    """The files of one machine below ``root``; paths are those that the machine sees, absolute."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def locate(self, path: str) -> Path:
        """Return where ``path`` really is.

        Raises:
            ValueError: the path is not absolute, or a symbolic link on it leads out of the machine.
        """
        pure = PurePosixPath(path)
        if not pure.is_absolute():
            raise ValueError(f"{path}: the stand-in takes absolute paths only")
        parts: list[str] = []
        for part in pure.parts[1:]:
            if part == "..":
                del parts[-1:]
            else:
                parts.append(part)
        target = self.root.joinpath(*parts)
        if not target.resolve().is_relative_to(self.root.resolve()):
            raise ValueError(f"{path}: leads out of the machine")
        return target

    def exists(self, path: str) -> bool:
        return self.locate(path).exists()

    def read(self, path: str) -> bytes:
        return self.locate(path).read_bytes()

    def write(self, path: str, content: bytes, mode: int = 0o600) -> None:
        """Write a file, whole or not at all, and make the folders above it."""
        target = self.locate(path)
        write_private(target, content)
        target.chmod(mode)

    def remove(self, path: str) -> None:
        """Remove a file or a folder with all in it; nothing happens when there is none."""
        target = self.locate(path)
        if target.is_dir():
            shutil.rmtree(target)
        else:
            target.unlink(missing_ok=True)

    def readable_by_all(self, path: str) -> bool:
        return bool(self.locate(path).stat().st_mode & 0o004)
