"""The sources there are, by name. A further one is a function in `SOURCES`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from aitrading.client.data_collector.fetching import AddressReader, FileReader
from aitrading.client.data_collector.formats import FORMS, Entries, read_entries
from aitrading.client.data_collector.settings import DataSourcesSettings
from aitrading.core.kit.errors import AitradingError
from aitrading.core.protocol.device_notes import NewsKind


class Source(Protocol):
    """Something that is looked at from time to time."""

    @property
    def name(self) -> str:
        """Its name in `data_collector.sources`."""
        ...

    @property
    def is_idle(self) -> bool:
        """There is nothing to look at: others do the work."""
        ...

    def look(self) -> Entries:
        """What is there now, as far as it changed; raises what keeps it from being read. Blocks."""
        ...

    def forget(self) -> None:
        """What was given by `look` got lost: give it again."""
        ...


class Reader(Protocol):
    """Where the bytes of a source are."""

    @property
    def name(self) -> str:
        """For people."""
        ...

    @property
    def form(self) -> str:
        """`csv`, `json` or `ics`."""
        ...

    @property
    def has_content(self) -> bool:
        """What was read last is still there."""
        ...

    def read(self) -> bytes | None:
        """The content, or None when it is the one that was read before."""
        ...

    def forget(self) -> None:
        """Read it again although it did not change."""
        ...


@dataclass(frozen=True)
class TerminalSource:
    """`mt5`: the connector takes the terminal's ticks; nothing is read twice here."""

    name: str = "mt5"
    is_idle: bool = True

    def look(self) -> Entries:
        """Nothing: ticks go another way."""
        return Entries()

    def forget(self) -> None:
        """Nothing to forget."""


@dataclass
class WrittenSource:
    """News or a calendar from a file, an address, or both."""

    name: str
    kind: NewsKind
    readers: tuple[Reader, ...]
    _wrong: dict[int, str] = field(default_factory=dict[int, str])
    """What is wrong with a part of what a reader read last."""

    @property
    def is_idle(self) -> bool:
        """There is always a place to look at."""
        return not self.readers

    def look(self) -> Entries:
        """Both places; one that cannot be read does not keep the other from being told."""
        found, problem = Entries(), None
        for number, reader in enumerate(self.readers):
            try:
                read = self._read(reader)
            except AitradingError as exc:
                problem = exc
                continue
            if read is not None:
                found.notes += read.notes
                found.rejected += read.rejected
                self._wrong[number] = read.first_problem
            elif not reader.has_content:
                self._wrong.pop(number, None)
            found.first_problem = found.first_problem or self._wrong.get(number, "")
        if problem is not None and not found.notes:
            raise problem
        if problem is not None:
            found.first_problem = found.first_problem or problem.message
        return found

    def _read(self, reader: Reader) -> Entries | None:
        data = reader.read()
        if data is None:
            return None
        try:
            return read_entries(data, reader.form, kind=self.kind, source=reader.name)
        except AitradingError:
            reader.forget()  # else it would count as known, and as good, from the next look on
            raise

    def forget(self) -> None:
        """Read both again."""
        for reader in self.readers:
            reader.forget()


def _news(settings: DataSourcesSettings, folder: Path) -> Source:
    readers = _readers(settings, folder / "news", settings.news_file, settings.news_url)
    return WrittenSource("news", NewsKind.NEWS, readers)


def _calendar(settings: DataSourcesSettings, folder: Path) -> Source:
    place = folder / "economic_calendar"
    readers = _readers(settings, place, settings.calendar_file, settings.calendar_url)
    return WrittenSource("economic_calendar", NewsKind.ECONOMIC_CALENDAR, readers)


def _readers(
    settings: DataSourcesSettings, place: Path, file: str, url: str
) -> tuple[Reader, ...]:
    """What lies in the client's own folder, then the file and the address that are set."""
    limit_bytes = settings.limit_kb * 1024
    readers: list[Reader] = [
        FileReader(place.with_name(f"{place.name}.{form}"), limit_bytes, may_be_absent=True)
        for form in FORMS
    ]
    if file:
        readers.append(FileReader(Path(file).expanduser(), limit_bytes))
    if url:
        readers.append(AddressReader(url, settings))
    return tuple(readers)


SOURCES: Final[Mapping[str, Callable[[DataSourcesSettings, Path], Source]]] = {
    "mt5": lambda _settings, _folder: TerminalSource(),
    "news": _news,
    "economic_calendar": _calendar,
}
"""How each source is made: of the settings, and of the folder where files may simply be put."""
