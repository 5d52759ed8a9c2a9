"""The table of sessions in the migrations of an application, as the how-to page tells it."""

import io
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import MetaData, create_engine

from coatcheck.storage import SqlStorage, sessions_table
from tests.engines import PLAIN, with_driver
from tests.thorough import thorough

ENVIRONMENT = """
from alembic import context
from sqlalchemy import MetaData, create_engine

from coatcheck.storage import sessions_table

metadata = MetaData()
sessions_table(metadata, "migrated")

engine = create_engine(context.config.get_main_option("sqlalchemy.url"))
with engine.connect() as connection:
    context.configure(
        connection=connection,
        target_metadata=metadata,
        include_name=lambda name, kind, _: kind != "table" or name == "migrated",
    )
    with context.begin_transaction():
        context.run_migrations()
    connection.commit()
engine.dispose()
"""


@pytest.mark.parametrize("database", ["postgresql", thorough("mariadb"), "sqlite"])
@pytest.mark.filterwarnings("ignore:.*path_separator.*:DeprecationWarning")
def test_a_migration_makes_the_table(
    database: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """`alembic revision --autogenerate` finds it, `upgrade` makes it, and nothing is left to do."""
    if database == "sqlite":
        url = f"sqlite:///{tmp_path / 'db'}"
    else:
        url = with_driver(request.getfixturevalue(f"{database}_url"), PLAIN)
    config = Config(str(tmp_path / "alembic.ini"), stdout=io.StringIO())
    command.init(config, str(tmp_path / "migrations"))
    config.set_main_option("script_location", str(tmp_path / "migrations"))
    config.set_main_option("sqlalchemy.url", url)
    (tmp_path / "migrations" / "env.py").write_text(ENVIRONMENT)
    command.revision(config, "sessions", autogenerate=True)
    command.upgrade(config, "head")

    engine = create_engine(url)
    storage = SqlStorage(engine, table="migrated")
    session = storage.read(None)
    session["user"] = 1
    assert storage.read(storage.save(session))["user"] == 1
    metadata = MetaData()
    table = sessions_table(metadata, "migrated")
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection,
            opts={"include_name": lambda name, kind, _: kind != "table" or name == "migrated"},
        )
        assert compare_metadata(context, metadata) == []
    command.downgrade(config, "base")
    table.drop(engine, checkfirst=True)
    engine.dispose()
