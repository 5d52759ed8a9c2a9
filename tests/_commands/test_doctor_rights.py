"""What the user of a database may do, judged from what the server tells."""

import pytest

from coatcheck._commands.doctor_rights import Grant, beyond, grants_in, judged, may_create


def grants(*lines: str) -> list[Grant]:
    return list(grants_in(lines))


def test_less_than_is_needed_is_a_fault_and_more_a_warning() -> None:
    """What is missing goes first, because requests fail without it."""
    assert judged("shop", [], []).state == "ok"
    assert judged("shop", [], ["SUPER ON *.*"]).state == "warn"
    assert judged("shop", ["UPDATE", "DELETE"], ["SUPER ON *.*"]).text == (
        "shop may not UPDATE, DELETE on the table of sessions"
    )


def test_a_grant_is_read_without_what_follows_the_user() -> None:
    """That may be the digest of a password. A role and a proxy are no rights on a place."""
    assert grants(
        "GRANT USAGE ON *.* TO `a`@`%` IDENTIFIED BY PASSWORD '*14E6'",
        "GRANT SELECT (`key`, `record`), INSERT ON `shop`.`s` TO `a`@`%` WITH GRANT OPTION",
        "GRANT `sessions` TO `a`@`%`",
        "GRANT PROXY ON ''@'%' TO 'a'@'%' WITH GRANT OPTION",
        "SET DEFAULT ROLE `sessions` FOR `a`@`%`",
    ) == [
        Grant(["USAGE"], "*.*", may_pass_on=False),
        Grant(["SELECT (`key`, `record`)", "INSERT"], "`shop`.`s`", may_pass_on=True),
    ]


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("GRANT USAGE ON *.* TO a", []),
        ("GRANT ALL PRIVILEGES ON `shop`.* TO a", []),
        ("GRANT SELECT, INSERT, UPDATE, DELETE ON `shop`.`s` TO a", []),
        ("GRANT ALL PRIVILEGES ON *.* TO a", ["ALL PRIVILEGES ON *.*"]),
        ("GRANT FILE, SUPER, PROCESS ON *.* TO a", ["SUPER ON *.*", "FILE ON *.*"]),
        ("GRANT SELECT ON *.* TO a WITH MAX_USER_CONNECTIONS 5", ["SELECT ON *.*"]),
        ("GRANT INSERT ON `shop`.`s` TO a WITH GRANT OPTION", ["GRANT OPTION"]),
    ],
)
def test_rights_that_go_far_beyond(line: str, found: list[str]) -> None:
    """All rights on one database are not among them: tables are made in it."""
    assert beyond(grants(line)) == found


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ("GRANT CREATE ON *.* TO a", True),
        ("GRANT ALL PRIVILEGES ON `shop_1`.* TO a", True),
        ("GRANT CREATE ON `shop\\_1`.* TO a", True),
        ("GRANT CREATE ON `shop\\_2`.* TO a", False),
        ("GRANT CREATE ON `sh%`.* TO a", True),
        ("GRANT CREATE ON `shopx1`.* TO a", False),
        ("GRANT CREATE ON `shop_1`.`sessions` TO a", True),
        ("GRANT CREATE ON `shop_1`.`others` TO a", False),
        ("GRANT INSERT ON `shop_1`.* TO a", False),
        ("GRANT CREATE ON PROCEDURE TO a", False),
    ],
)
def test_where_a_table_may_be_made(line: str, answer: bool) -> None:
    r"""In the name of a database, _ is any letter and \_ is itself."""
    assert may_create(grants(line), "shop_1", "sessions") is answer
