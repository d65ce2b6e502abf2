"""What starting a process costs: nothing is imported before it is needed, and nothing is cached elsewhere."""

import os
import subprocess
import sys

from tests.support.service import ROOT

ENV = {**{name: value for name, value in os.environ.items() if name != "XDG_CACHE_HOME"}, "PYTHONPATH": str(ROOT)}


def python(program: str) -> str:
    """What a new interpreter prints."""
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=ENV, timeout=60).stdout.strip()


def imported(module: str, *names: str) -> str:
    return python(f"import sys, {module}; print([name for name in {names} if name in sys.modules])")


def test_the_command_imports_no_service() -> None:
    """So that help and completion are quick."""
    assert imported("breezeblock.cli.main", "sqlalchemy", "falcon", "granian", "tooz", "oslo_config") == "[]"


def test_a_worker_imports_no_lock_library_and_no_migrations() -> None:
    assert imported("breezeblock.worker.main", "tooz", "alembic", "psycopg", "pymysql") == "[]"


def test_other_libraries_keep_no_cache_in_the_users_home() -> None:
    look = "import stevedore._cache as c, os; print(c._c._dir, os.environ.get('XDG_CACHE_HOME'))"
    assert python(f"from breezeblock.cli import main; main._keep_caches_away(); {look}") == f"{os.devnull}/python-entrypoints None"
