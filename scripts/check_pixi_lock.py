"""Check offline that ``pixi.lock`` satisfies ``pixi.toml``, by the rules that pixi applies itself.

The specifications are matched by rattler, the library under pixi. Hashes are required but not compared with the
packages, which would need the network; whether the package versions work together is for the tests to say.

    python scripts/check_pixi_lock.py [MANIFEST LOCK]
"""

from __future__ import annotations

import re
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rattler
from rattler.exceptions import ParseCondaLockError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["check", "main"]

CHANNEL_HOST = "conda.anaconda.org"

# What pixi assumes of a machine when the manifest has no [system-requirements], as the lock writes it.
VIRTUAL_PACKAGES = {
    "linux-64": ["__unix=0=0", "__linux=4.18", "__glibc=2.28", "__archspec=0=x86_64"],
    "osx-arm64": ["__unix=0=0", "__osx=13.0", "__archspec=0=m1"],
}
# [target.*] tables of the manifest that hold on a platform, weakest first.
TARGETS = {"linux-64": ("unix", "linux", "linux-64"), "osx-arm64": ("unix", "osx", "osx-arm64")}

# BuildString came with py-rattler 0.28; the records take plain text before.
_build_text: Any = getattr(rattler, "BuildString", str)


@dataclass(frozen=True)
class Wanted:
    """What the manifest asks of one environment."""

    name: str
    tables: tuple[Mapping[str, Any], ...]
    solve_group: str | None

    def specs(self, platform: str) -> Iterator[str]:
        """Yield the conda specifications, one text each, that hold on a platform."""
        for table in self.tables:
            targets = table.get("target", {})
            for part in (table, *(targets.get(key, {}) for key in TARGETS[platform])):
                for name, value in part.get("dependencies", {}).items():
                    yield _spec_text(name, value)


def _spec_text(name: str, value: str | Mapping[str, str]) -> str:
    fields = {"version": value} if isinstance(value, str) else value
    version, build = fields.get("version", "*"), fields.get("build", "")
    return f"{name} {version} {build}".strip() if build or version != "*" else name


def _wanted(manifest: Mapping[str, Any]) -> dict[str, Wanted]:
    environments = {"default": [], **manifest.get("environments", {})}
    wanted = {}
    for name, entry in environments.items():
        full: Mapping[str, Any] = {"features": entry} if isinstance(entry, list) else entry
        base = [] if full.get("no-default-feature") else [manifest]
        features = [manifest["feature"][feature] for feature in full.get("features", [])]
        wanted[name] = Wanted(name, (*base, *features), full.get("solve-group"))
    return wanted


def _check_manifest(manifest: Mapping[str, Any]) -> Iterator[str]:
    """Name what this check does not understand, so that it cannot pass unseen."""
    tables = {"": manifest, **{f"feature.{n}.": t for n, t in manifest.get("feature", {}).items()}}
    for prefix, table in tables.items():
        for key in ("pypi-dependencies", "system-requirements", "host-dependencies", "build-dependencies"):
            if key in table:
                yield f"manifest: [{prefix}{key}] is not supported here; use conda dependencies only"
        for name, value in table.get("dependencies", {}).items():
            if not isinstance(value, str) and set(value) - {"version", "build"}:
                yield f"manifest: {prefix}dependencies.{name} has {sorted(value)}, expected version and build"
    for platform in manifest["workspace"]["platforms"]:
        if platform not in TARGETS:
            yield f"manifest: platform {platform!r} is unknown here; add it to VIRTUAL_PACKAGES and TARGETS"


def _virtual_record(text: str, platform: str) -> rattler.PackageRecord:
    name, version, *build = text.split("=")
    # A lock writes version 0 for the processor, but packages that need one ask for 1.*.
    version = "1" if name == "__archspec" else version
    return rattler.PackageRecord(
        name=name,
        version=version,
        build=_build_text(build[0] if build else "0"),
        build_number=0,
        subdir=platform,
    )


def _check_record(where: str, record: rattler.RepoDataRecord, subdirs: Sequence[str]) -> Iterator[str]:
    """Yield what is wrong with one record by itself: address, file name, hashes."""
    name = record.name.normalized
    folder, _, file_name = record.url.rpartition("/")
    if folder not in subdirs or not folder.endswith(f"/{record.subdir}"):
        yield f"{where}: {name} comes from {record.url}, expected one of {list(subdirs)}"
    stem = f"{name}-{record.version}-{record.build}"
    if file_name not in {f"{stem}.conda", f"{stem}.tar.bz2"}:
        yield f"{where}: {name} is in file {file_name}, but its record says {stem}"
    if not record.sha256 or not record.md5:
        yield f"{where}: {name} has no sha256 or no md5"


class _Environment:
    """The records of one environment on one platform, against what was asked."""

    def __init__(
        self,
        wanted: Wanted,
        platform: str,
        packages: Sequence[rattler.LockedPackage],
        channels: Sequence[str],
    ) -> None:
        self.where = f"{wanted.name}/{platform}"
        self.wanted = wanted
        self.platform = platform
        self.packages = packages
        self.subdirs = [f"{channel}{part}" for channel in channels for part in (platform, "noarch")]
        self.records = {
            package.repo_data_record().name.normalized: package.repo_data_record()
            for package in packages
            if isinstance(package, rattler.CondaLockedBinaryPackage)
        }
        self.virtual = {
            record.name.normalized: record
            for record in (_virtual_record(text, platform) for text in VIRTUAL_PACKAGES[platform])
        }

    def findings(self) -> Iterator[str]:
        """Yield everything that is wrong here."""
        if len(self.records) != len(self.packages):
            yield f"{self.where}: a package is locked twice, or is not a conda binary"
        for record in self.records.values():
            yield from _check_record(self.where, record, self.subdirs)
        yield from self._dependencies()
        yield from self._constraints()

    def _dependencies(self) -> Iterator[str]:
        todo = [(spec, "the manifest") for spec in self.wanted.specs(self.platform)]
        reached: set[str] = set()
        while todo:
            spec, asker = todo.pop()
            match = rattler.MatchSpec(spec)
            name = _name(match)
            found = self.virtual.get(name) or self.records.get(name)
            if found is None:
                yield f"{self.where}: {asker} needs {spec!r}, which is not locked"
            elif not match.matches(found):
                yield f"{self.where}: {asker} needs {spec!r}, locked is {found.version} {found.build}"
            elif name in self.records and name not in reached:
                reached.add(name)
                todo += [(dependency, name) for dependency in found.depends]
        for name in sorted(set(self.records) - reached):
            yield f"{self.where}: {name} is locked, but nothing needs it"

    def _constraints(self) -> Iterator[str]:
        for name, record in self.records.items():
            for spec in record.constrains:
                match = rattler.MatchSpec(spec)
                other = self.virtual.get(_name(match)) or self.records.get(_name(match))
                if other is not None and not match.matches(other):
                    yield f"{self.where}: {name} is constrained to {spec!r}, locked is {other.version}"


def _name(match: rattler.MatchSpec) -> str:
    return str(match.name.normalized)


def _check_groups(environments: Sequence[_Environment]) -> Iterator[str]:
    """Yield packages that differ between environments which must be solved together."""
    first: dict[tuple[str, str, str], str] = {}
    for environment in environments:
        group = environment.wanted.solve_group
        if group is None:
            continue
        for name, record in environment.records.items():
            url = first.setdefault((group, environment.platform, name), record.url)
            if url != record.url:
                yield f"{environment.where}: {name} differs within the solve group {group!r}"


def _check_environments(manifest: Mapping[str, Any], lock: rattler.LockFile) -> Iterator[str]:
    channels = [f"https://{CHANNEL_HOST}/{name}/" for name in manifest["workspace"]["channels"]]
    wanted, locked = _wanted(manifest), dict(lock.environments())
    for name in sorted(set(wanted) ^ set(locked)):
        yield f"environment {name!r} is in {'the manifest' if name in wanted else 'the lock'} only"
    environments = []
    for name in wanted.keys() & locked.keys():
        if [str(channel) for channel in locked[name].channels()] != channels:
            yield f"{name}: the channels are not {channels}"
        platforms = {platform.name: platform for platform in locked[name].platforms()}
        if set(platforms) != set(manifest["workspace"]["platforms"]):
            yield f"{name}: locked for {sorted(platforms)}, expected {manifest['workspace']['platforms']}"
        for key, platform in platforms.items():
            if platform.virtual_packages != VIRTUAL_PACKAGES.get(key):
                yield f"{name}/{key}: solved for {platform.virtual_packages}, not for pixi's defaults"
        environments += [
            _Environment(wanted[name], key, locked[name].packages(platform) or [], channels)
            for key, platform in platforms.items()
            if key in TARGETS
        ]
    for environment in environments:
        yield from environment.findings()
    yield from _check_groups(environments)


def check(manifest: Path, lock: Path) -> list[str]:
    """Find where a lock does not satisfy its manifest.

    Parameters
    ----------
    manifest, lock
        Paths of ``pixi.toml`` and ``pixi.lock``.

    Returns
    -------
    list of str
        One line per finding; empty if the lock satisfies the manifest.
    """
    content, text = tomllib.loads(manifest.read_text(encoding="utf-8")), lock.read_text(encoding="utf-8")
    hosts = set(re.findall(r"https?://([^/\s]+)", text)) - {CHANNEL_HOST}
    findings = [f"the lock names another host than {CHANNEL_HOST}: {host}" for host in sorted(hosts)]
    if unsupported := list(_check_manifest(content)):
        return findings + unsupported
    try:
        locked = rattler.LockFile.from_path(lock)
    except ParseCondaLockError as exc:
        return [*findings, f"rattler cannot read the lock: {exc}"]
    return findings + sorted(_check_environments(content, locked))


def main(arguments: Sequence[str]) -> int:
    """Print the findings; return the exit status."""
    root = Path(__file__).resolve().parent.parent
    manifest, lock = (Path(text) for text in arguments or (root / "pixi.toml", root / "pixi.lock"))
    findings = check(manifest, lock)
    if findings:
        remedy = "Run `pixi update`, or see docs/environment.md."
        print(*findings, f"{lock} does not satisfy {manifest}. {remedy}", sep="\n", file=sys.stderr)
        return 1
    print(f"{lock} satisfies {manifest}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
