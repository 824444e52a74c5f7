"""Puts small skim parts together into fewer files; chunks, their order and all results stay as they are."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import groupby
from typing import TYPE_CHECKING, Any

from intccms.analysis.executors import Lost
from intccms.analysis.ledger.names import short_hash
from intccms.analysis.progress import show_progress
from intccms.analysis.scheduling import run_each
from intccms.analysis.skims import SkimIO
from intccms.errors import ConfigError, OutputError
from intccms.schema.secrets import masked_text
from intccms.skimming.flat import concatenated, packed_columns
from intccms.skimming.formats import format_named
from intccms.skimming.manifest import Manifest
from intccms.skimming.part_files import PartFile, write_part
from intccms.skimming.places import skim_folder, skim_storage

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from intccms.analysis.executors import Executor
    from intccms.schema import Config
    from intccms.schema.preprocess import SkimOutput
    from intccms.skimming.manifest import ManifestFile
    from intccms.skimming.parts import SkimPart

__all__ = ["Packing", "pack_skims"]

logger = logging.getLogger(__name__)

_FOLDER = "packed/"
"""Below the folder of a dataset."""


@dataclass(frozen=True)
class Packing:
    """What was done to the skim of a dataset."""

    dataset: str
    before: int
    """Files that held its parts before."""
    after: int
    """Files that hold them now."""


def pack_skims(config: Config, executor: Executor, *, events: int, show: bool = False) -> list[Packing]:
    """Write neighbouring small parts of each dataset into common files, and remove those that they were in.

    A part of that many events or more stays alone. The old files are removed when the manifest names the new ones.

    Parameters
    ----------
    config
        Says where skims are and in which format.
    executor
        Where files are written.
    events
        Events of a file to aim at.
    show
        Show a progress bar.

    Raises
    ------
    ConfigError
        If no dataset has a skim, or one is of another format than the configuration says.
    InputFileError
        If a part cannot be read.
    OutputError
        If a file cannot be written.
    """
    storage = skim_storage(config)
    manifests = [
        one
        for dataset in config.selected_datasets()
        if (one := Manifest.load(storage, dataset.name)) is not None
    ]
    if not manifests:
        message = f"there is no skim in {masked_text(skim_folder(config))}. Write one first, with general.save_skimmed_output=True."
        raise ConfigError(message)
    before = [_files_of(one) for one in manifests]
    by_name = {one.dataset: one for one in manifests}
    extension = format_named(config.preprocess.skimming.output.format).extension
    packs = [pack for manifest in manifests for pack in _packs(manifest, config, extension, events)]
    mixed = _written(config, executor, packs, by_name, show=show)
    alike = [one for pack in mixed for one in _of_like_columns(pack, by_name[pack.dataset], extension)]
    _written(config, executor, alike, by_name, show=show)
    for manifest in manifests:
        manifest.save(storage)
        manifest.sweep(storage)
        manifest.save(storage)
    return [Packing(one.dataset, count, _files_of(one)) for one, count in zip(manifests, before, strict=True)]


def _written(
    config: Config, executor: Executor, packs: list[_Pack], manifests: Mapping[str, Manifest], *, show: bool
) -> list[_Pack]:
    """Write packs and enter them in their manifests; return those whose parts turn out to have different columns."""
    mixed: list[_Pack] = []
    for name, manifest in manifests.items():
        # named before they exist, so that a later sweep removes what a killed run leaves
        manifest.obsolete |= {pack.path for pack in packs if pack.dataset == name}
        manifest.save(skim_storage(config))
    with show_progress("skim pack", len(packs), "files", show=show and bool(packs)) as advance:
        for done in run_each(executor, _Write(config), packs):
            if isinstance(done, Lost):
                message = f"writing {done.item.path} of {done.item.dataset} failed: {done.reason}"
                raise OutputError(message)
            pack, written = done
            if written is None:
                mixed.append(pack)
            else:
                _enter(manifests[pack.dataset], pack, written)
            advance(1)
    return mixed


@dataclass(frozen=True)
class _Member:
    index: int
    """Number of the source file."""
    part: SkimPart
    columns: str = ""
    """What tells parts with different columns apart, once they were read."""


@dataclass(frozen=True)
class _Pack:
    dataset: str
    path: str
    members: tuple[_Member, ...]


def _packs(manifest: Manifest, config: Config, extension: str, events: int) -> Iterator[_Pack]:
    wanted = config.preprocess.skimming.output.format
    if manifest.format != wanted:
        message = (
            f"the skim of dataset {manifest.dataset!r} is in {manifest.format}, the configuration says {wanted!r}. "
            "Set preprocess.skimming.output.format to what it is in."
        )
        raise ConfigError(message)
    for members in _groups(_members(manifest.files), events):
        if len({member.part.path for member in members}) > 1:
            yield _new_pack(manifest, members, extension)


def _of_like_columns(pack: _Pack, manifest: Manifest, extension: str) -> Iterator[_Pack]:
    """Yield packs of neighbours with the same columns; what is between others stays alone."""
    for _, found in groupby(pack.members, lambda member: member.columns):
        members = list(found)
        if len(members) > 1:
            yield _new_pack(manifest, members, extension)
        else:
            logger.info(
                "%s: %s stays alone, its neighbours have other columns", pack.dataset, members[0].part.path
            )


def _new_pack(manifest: Manifest, members: Sequence[_Member], extension: str) -> _Pack:
    number, manifest.next_pack = manifest.next_pack, manifest.next_pack + 1
    return _Pack(manifest.dataset, f"{_FOLDER}{number}.{extension}", tuple(members))


def _members(files: Iterable[ManifestFile]) -> Iterator[_Member]:
    """Yield the parts that have a file of their own, in the order of chunks."""
    for file in files:
        for start in sorted(file.parts):
            part = file.parts[start]
            if part.path is not None and not part.path.startswith(_FOLDER):
                yield _Member(file.index, part)


def _groups(members: Iterable[_Member], events: int) -> Iterator[list[_Member]]:
    group: list[_Member] = []
    for member in members:
        held = sum(one.part.kept for one in group)
        if group and (held + member.part.kept > events or _kind(group[0].part) != _kind(member.part)):
            yield group
            group = []
        group.append(member)
    if group:
        yield group


def _kind(part: SkimPart) -> tuple[Any, ...]:
    """Return what parts of one file have in common, as far as the manifest tells."""
    return part.absent_triggers, part.made


def _enter(manifest: Manifest, pack: _Pack, file: PartFile) -> None:
    first = 0
    for member in pack.members:
        moved = replace(
            member.part,
            path=pack.path,
            size=file.size,
            checksum=file.checksum,
            changed=file.changed,
            first=first,
        )
        manifest.add_part(member.index, moved)
        first += member.part.kept


def _files_of(manifest: Manifest) -> int:
    return len(
        {part.path for file in manifest.files for part in file.parts.values() if part.path is not None}
    )


@dataclass(frozen=True)
class _Write:
    """The task: one file."""

    config: Config

    def __call__(self, pack: _Pack) -> tuple[_Pack, PartFile | None]:
        """Return what was written; None if the parts have different columns, which their members have then."""
        sources = [self._skims.read(pack.dataset, member.part) for member in pack.members]
        blocks = [packed_columns(one.arrays(sorted(one.branches), 0, one.entries)) for one in sources]
        columns = [
            short_hash({name: str(values.type.content) for name, values in one.items()}) for one in blocks
        ]
        if len(set(columns)) > 1:
            members = zip(pack.members, columns, strict=True)
            return replace(pack, members=tuple(replace(one, columns=kind) for one, kind in members)), None
        form = format_named(self._output.format)
        runs = [packed_columns(source.runs) for source in sources if source.runs is not None]
        together = concatenated(runs) if form.keeps_runs and runs else None
        storage, name = skim_storage(self.config), f"{pack.dataset}/{pack.path}"
        return pack, write_part(form, blocks, storage, name, self._output.to_kwargs, together)

    @cached_property
    def _skims(self) -> SkimIO:
        return SkimIO(self.config, skim_folder(self.config))

    @property
    def _output(self) -> SkimOutput:
        return self.config.preprocess.skimming.output
