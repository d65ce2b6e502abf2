"""Reads configuration files into :class:`breezeblock.config.Settings`, by oslo.config.

An option of a backend, the driver's own included, is read from the backend's section, then from
[backend_defaults], then from [DEFAULT]. Each backend is parsed by itself, so two drivers may
declare options of the same name. It never keeps a global, and writes one file only: the
remembered name of this node, ``<state>/host``.
"""

import dataclasses
import os
import re
import socket
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from oslo_config import cfg

from breezeblock.config import SECTIONS, BackendOptions, BackendSettings, CoordinationSettings, Settings, address_of, options_of
from breezeblock.errors import BadConfiguration

DriverOptions = Callable[[str], Sequence[cfg.Opt]]
"""Gives the options that the driver of a name declares; BadConfiguration when there is no such driver."""

DEFAULTS = "backend_defaults"
COORDINATION_PREFIX = "coordination_"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
"""Of a host and a backend: they stand in ``host@backend#pool`` and in file names."""

Sections = Mapping[str, Mapping[str, Sequence[str]]]


def load(
    files: Sequence[Path], drivers: DriverOptions, *, state_path: Path | None = None, bind: str | None = None, environment: bool = True
) -> Settings:
    """Read ``files``, later ones winning, and check everything; BadConfiguration names file, section, option and what is allowed.

    ``state_path`` and ``bind`` are the command line's and win over the files. With ``environment``,
    ``OS_<SECTION>__<OPTION>`` variables win over the files, as oslo.config has it.
    """
    reader = _Reader(files, environment=environment)
    overrides = {("DEFAULT", "state_path"): str(state_path.absolute()) if state_path else None, ("api", "bind"): bind}
    base = reader.parse({"DEFAULT": options_of(Settings), **{name: options_of(section) for name, section in SECTIONS.items()}}, overrides)
    top = reader.values(base, "DEFAULT", options_of(Settings))
    state = Path(top["state_path"]).absolute()
    sections = {name: section(**reader.values(base, name, options_of(section))) for name, section in SECTIONS.items()}
    if problems := sections["lease"].faults():
        raise BadConfiguration(reason=f"section [lease]{reader.whence('lease')}: " + "; ".join(problems))
    address_of(sections["api"].bind)
    warnings: list[str] = []
    host = _host(state, top["host"], warnings)
    names = _backend_names(reader, top["enabled_backends"])
    backends = tuple(_backend(reader, name, host, state, sections["coordination"], drivers) for name in names)
    warnings.extend(_unknown(reader, backends, drivers))
    top.update(state_path=state, host=host, enabled_backends=names)
    return Settings(**top, **sections, backends=backends, warnings=tuple(warnings))


class _Reader:
    """The files, parsed once for their raw text (to say where a value came from) and by oslo.config for their values."""

    def __init__(self, files: Sequence[Path], *, environment: bool) -> None:
        self.files = [Path(file).absolute() for file in files]
        self.environment = environment
        self.raw: list[tuple[Path, Sections]] = [(file, _raw(file)) for file in self.files]

    def parse(self, groups: Mapping[str, Sequence[cfg.Opt]], overrides: Mapping[tuple[str, str], str | None]) -> cfg.ConfigOpts:
        """A ConfigOpts with these options by section, and these values whatever the files say."""
        conf = cfg.ConfigOpts()
        for group, options in groups.items():
            conf.register_opts(options, group=None if group == "DEFAULT" else group)
        conf(
            args=[],
            project="breezeblock",
            default_config_files=[str(file) for file in self.files],
            default_config_dirs=[],
            use_env=self.environment,
        )
        for (group, name), value in overrides.items():
            if value is not None:
                conf.set_override(name, value, group=None if group == "DEFAULT" else group)
        return conf

    def values(self, conf: cfg.ConfigOpts, group: str, options: Sequence[cfg.Opt]) -> dict[str, Any]:
        """The values of a whole section by name."""
        return {opt.dest: self.value(conf, group, opt) for opt in options}

    def value(self, conf: cfg.ConfigOpts, group: str, opt: cfg.Opt) -> Any:
        """One value, checked. Lists become tuples."""
        try:
            found = conf[opt.dest] if group == "DEFAULT" else conf[group][opt.dest]
        except (cfg.Error, ValueError) as error:
            raise BadConfiguration(reason=self._explain(group, opt, error)) from None
        return tuple(found) if isinstance(found, list) else found

    def is_set(self, conf: cfg.ConfigOpts, group: str, opt: cfg.Opt) -> bool:
        """Whether a file or the environment sets the option in this very section."""
        self.value(conf, group, opt)
        location = conf.get_location(opt.dest, None if group == "DEFAULT" else group)
        return location is not None and location.location.is_user_controlled

    def has_section(self, name: str) -> bool:
        """Whether any file has the section."""
        return any(name in sections for _, sections in self.raw)

    def whence(self, group: str, name: str | None = None) -> str:
        """`` of FILE`` for the last file that has the section (and the option), or nothing."""
        for file, sections in reversed(self.raw):
            if group in sections and (name is None or name in sections[group]):
                return f" of {file}"
        return ""

    def _explain(self, group: str, opt: cfg.Opt, error: Exception) -> str:
        file = self.whence(group, opt.name) or " of the environment"
        shown = ""
        for _, sections in self.raw:
            if opt.name in sections.get(group, {}):
                shown = "" if opt.secret else f" = {sections[group][opt.name][-1]!r}"
        why = str(error).rpartition(" is not valid: ")[2]
        return f"section [{group}]{file}: {opt.name}{shown}: {why}. {allowed(opt)}"


def allowed(opt: cfg.Opt) -> str:
    """What an option takes, in words: its type and limits, then its help text."""
    kind = type(opt.type).__name__.lower()
    limits = []
    if choices := getattr(opt.type, "choices", None):
        limits.append("one of " + ", ".join(repr(str(choice)) for choice in choices))
    for name, word in (("min", "at least"), ("max", "at most")):
        if getattr(opt.type, name, None) is not None:
            limits.append(f"{word} {getattr(opt.type, name):g}")
    return f"Allowed: {kind}{', ' if limits else ''}{', '.join(limits)}. {opt.help or ''}".strip()


def _raw(file: Path) -> Sections:
    sections: dict[str, dict[str, Any]] = {}
    try:
        cfg.ConfigParser(str(file), sections).parse()
    except OSError as error:
        raise BadConfiguration(reason=f"{file} cannot be read: {error.strerror}") from None
    except cfg.ParseError as error:
        raise BadConfiguration(reason=f"{file} is not a configuration file: {error}") from None
    except UnicodeDecodeError as error:
        raise BadConfiguration(reason=f"{file} is not a text in UTF-8: {error}") from None
    return sections


def _host(state: Path, configured: str, warnings: list[str]) -> str:
    """The node's name: configured, else remembered, else the host name, remembered from now on.

    A machine whose host name changes keeps its old name here, so that it still serves its pools.
    """
    memory = state / "host"
    remembered = memory.read_text().strip() if memory.exists() else ""
    host = configured or remembered or socket.gethostname()
    if not NAME.fullmatch(host):
        raise BadConfiguration(reason=f"host = {host!r}: allowed are letters, digits, dots, dashes and underscores; set host in [DEFAULT]")
    if remembered and remembered != host:
        warnings.append(
            f"host is {host!r}, but {memory} says {remembered!r}: resources of {remembered!r} are not served by this node any more"
        )
    if not remembered:
        state.mkdir(parents=True, exist_ok=True, mode=0o750)
        _write_once(memory, host)
        return memory.read_text().strip() if not configured else host
    return host


def _write_once(path: Path, text: str) -> None:
    """Create ``path`` with its whole text, durably, unless another process was first."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with draft.open("w") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()


def _backend_names(reader: _Reader, names: Sequence[str]) -> tuple[str, ...]:
    where = f"section [DEFAULT]{reader.whence('DEFAULT', 'enabled_backends')}: enabled_backends"
    taken = {"DEFAULT", DEFAULTS, *SECTIONS}
    for name in names:
        if not NAME.fullmatch(name) or name in taken:
            raise BadConfiguration(
                reason=f"{where}: {name!r} cannot name a backend; allowed are letters, digits, dots, dashes and underscores, "
                "and no section of the service itself"
            )
        if list(names).count(name) > 1:
            raise BadConfiguration(reason=f"{where}: {name!r} stands there twice")
        if reader.whence("DEFAULT", "enabled_backends") and not reader.has_section(name):
            raise BadConfiguration(reason=f"{where} names {name!r}, but there is no section [{name}]")
    return tuple(names)


def _backend(
    reader: _Reader, name: str, host: str, state: Path, coordination: CoordinationSettings, drivers: DriverOptions
) -> BackendSettings:
    common = _inherited(reader, name, state, options_of(BackendOptions), {})
    own = options_of(CoordinationSettings, COORDINATION_PREFIX)
    fallback = {COORDINATION_PREFIX + field.name: getattr(coordination, field.name) for field in dataclasses.fields(CoordinationSettings)}
    locks = _inherited(reader, name, state, own, fallback)
    driver_options = _inherited(reader, name, state, drivers(common["volume_driver"]), {})
    return BackendSettings(
        name=name,
        host=host,
        common=BackendOptions(**common),
        coordination=CoordinationSettings(**{key.removeprefix(COORDINATION_PREFIX): value for key, value in locks.items()}),
        driver_options=driver_options,
    )


def _inherited(reader: _Reader, backend: str, state: Path, options: Sequence[cfg.Opt], fallback: Mapping[str, Any]) -> dict[str, Any]:
    """Each option from the backend's section, else [backend_defaults], else [DEFAULT], else ``fallback``, else its default.

    ``$backend`` stands for the backend's name and ``$state_path`` for the state directory wherever the value was written.
    """
    chain = (backend, DEFAULTS, "DEFAULT")
    helpers = [cfg.StrOpt("state_path"), cfg.StrOpt("backend")]
    conf = reader.parse(
        {"DEFAULT": [*helpers, *options], backend: options, DEFAULTS: options},
        {("DEFAULT", "state_path"): str(state), ("DEFAULT", "backend"): backend},
    )
    values = {}
    for opt in options:
        group = next((group for group in chain if reader.is_set(conf, group, opt)), None)
        if group is None and opt.dest in fallback:
            values[opt.dest] = fallback[opt.dest]
        else:
            values[opt.dest] = reader.value(conf, group or backend, opt)
    return values


def _unknown(reader: _Reader, backends: Sequence[BackendSettings], drivers: DriverOptions) -> list[str]:
    """A sentence for each option or section of the files that nothing reads."""
    shared = {opt.name for opt in [*options_of(BackendOptions), *options_of(CoordinationSettings, COORDINATION_PREFIX)]}
    of_backend = {backend.name: shared | {opt.name for opt in drivers(backend.driver)} for backend in backends}
    inherited = set().union(*of_backend.values())
    known = {name: {opt.name for opt in options_of(section)} for name, section in SECTIONS.items()}
    known |= {"DEFAULT": {opt.name for opt in options_of(Settings)} | inherited, DEFAULTS: inherited, **of_backend}
    found = []
    for file, sections in reader.raw:
        for section, assigned in sections.items():
            if section not in known:
                found.append(f"{file}: section [{section}] is read by nothing; enabled_backends is {', '.join(of_backend) or 'empty'}")
                continue
            found.extend(
                f"{file}: option {name} of section [{section}] is read by nothing" for name in assigned if name not in known[section]
            )
    return found
