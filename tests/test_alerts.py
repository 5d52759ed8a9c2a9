"""The alert rules of the page on metrics, run by Prometheus' own tool where it is installed."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

PAGE = Path(__file__).parent.parent / "docs/how-to/events-and-metrics.md"

COUNTER = "coatcheck_session_events_total"

TESTS = f"""
rule_files: [rules.yml]
evaluation_interval: 1m
tests:
  - interval: 1m
    input_series:
      - series: '{COUNTER}{{event="refused", reason="unknown id", job="shop"}}'
        values: '0+120x30'
      - series: '{COUNTER}{{event="outage", reason="begun", job="first"}}'
        values: '_x10 1x30'
      - series: '{COUNTER}{{event="outage", reason="begun", job="second"}}'
        values: '1x10 2x30'
      - series: '{COUNTER}{{event="dropped", reason="it expired", job="shop"}}'
        values: '0+12x40'
      - series: '{COUNTER}{{event="dropped", reason="the request failed", job="shop"}}'
        values: '0+1200x40'
    alert_rule_test:
      - {{alertname: SessionIdsAreGuessed, eval_time: 5m, exp_alerts: []}}
      - alertname: SessionIdsAreGuessed
        eval_time: 20m
        exp_alerts: [{{exp_annotations: {{summary: "GUESSED"}}}}]
      - {{alertname: SessionStorageFails, eval_time: 9m, exp_alerts: []}}
      - alertname: SessionStorageFails
        eval_time: 12m
        exp_alerts:
          - exp_labels: {{event: outage, reason: begun, job: first}}
            exp_annotations: {{summary: "FAILS"}}
          - exp_labels: {{event: outage, reason: begun, job: second}}
            exp_annotations: {{summary: "FAILS"}}
      - {{alertname: SessionStorageFails, eval_time: 25m, exp_alerts: []}}
      - alertname: SessionChangesAreLost
        eval_time: 35m
        exp_alerts:
          - exp_labels: {{reason: it expired}}
            exp_annotations: {{summary: "LOST"}}
"""
"""Ids that are guessed for 20 minutes, the first and a second outage, and changes that are lost."""


def test_the_alerts_fire_when_they_should_and_else_do_not(tmp_path: Path) -> None:
    """Also for the first outage of a process, whose counter begins with it."""
    tool = shutil.which("promtool")
    if tool is None:
        pytest.skip("promtool is not installed (Debian: prometheus)")
    rules = re.search(r"```yaml\n(groups:.*?)```", PAGE.read_text(), re.DOTALL)
    assert rules
    (tmp_path / "rules.yml").write_text(rules.group(1))
    found = re.findall(r"summary: (.*?)(?=\n      - alert|\Z)", rules.group(1), re.DOTALL)
    tests = TESTS
    for mark, text in zip(("GUESSED", "FAILS", "LOST"), found, strict=True):
        tests = tests.replace(mark, " ".join(text.split()))
    (tmp_path / "tests.yml").write_text(tests)
    for arguments in (("check", "rules", "rules.yml"), ("test", "rules", "tests.yml")):
        done = subprocess.run(
            [tool, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
