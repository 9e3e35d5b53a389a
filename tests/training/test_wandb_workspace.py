"""The saved view shows metrics that exist, and all of them that matter."""

from typing import Any

import pytest

from ipai.training.wandb_workspace import AXIS, SECTIONS, workspace


def test_the_view_is_saved_with_every_panel_against_samples_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    saved: list[Any] = []

    def keep(view: Any) -> dict[str, Any]:
        saved.append(view)
        return {"upsertView": {"view": {"name": "nw-one", "id": "1"}}}

    monkeypatch.setattr("wandb_workspaces.workspaces.internal.upsert_view2", keep)
    monkeypatch.setattr("wandb_workspaces.workspaces.Workspace.url", "where it lies")  # would ask wandb's server
    workspace("somebody", "ipai").save()
    (view,) = saved
    assert (view.entity, view.project) == ("somebody", "ipai")
    sections = view.spec.section.panel_bank_config.sections
    assert [section.name for section in sections[: len(SECTIONS)]] == list(SECTIONS)
    for section in sections[: len(SECTIONS)]:
        assert [panel.config.chart_title for panel in section.panels] == list(SECTIONS[section.name])
        assert {panel.config.x_axis for panel in section.panels} == {AXIS}
