"""The clinic at a glance as tables: what ``views.overview`` found, beside the tables of the record.

    export(record, "tables", "csv", date.today())

A published figure stands in ``view_published`` under what it is beside, with its source. Figures that are not given, where too few people were
counted, are empty.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any

from epidura.clinic import views
from epidura.clinic.record import Record
from epidura.clinic.views import Overview, Published, Rows, Share


def export(record: Record, folder: str | Path, format: str, today: date) -> dict[str, Path]:
    """Write ``views.tables`` and ``sheets`` to a new or empty folder, a file each; name to file.

    Raises:
        BadInput: another format than csv or parquet, a folder with something in it, or Parquet without pyarrow.
    """
    return views.write_tables(views.tables(record) | sheets(views.overview(record, today)), folder, format)


def sheets(found: Overview) -> dict[str, Rows]:
    """``view_stages, view_late, view_due, view_shares, view_outcomes, view_run_chart, view_explants, view_explants_at, view_complications,
    view_published``: every number of the page of the clinic."""
    survival, chart = found.explants, found.run_chart
    beside: list[tuple[str, Iterable[Published]]] = [
        ("trial to implant", found.trial_published), ("infection within a year", found.infection_published),
        *((f"outcome after {each.months} months", each.published) for each in found.outcomes), ("explants", survival.published),
        *((f"complication {each.kind}", (each.published,)) for each in found.complications if each.published)]
    return {
        "view_stages": [{"on": found.today, "stage": stage, "patients": count} for stage, count in found.stages.items()],
        "view_late": [asdict(each) for each in found.late],
        "view_due": [asdict(each) for each in found.due],
        "view_shares": [{"what": what, **_share("", share)} for what, share in (
            ("trial to implant", found.trial_to_implant), ("infection within a year", found.infection))],
        "view_outcomes": [{
            "months": each.months, "expected": each.expected, "seen": each.seen, **_share("responder50_", each.responder50),
            **_share("responder30_", each.responder30), **_share("responder50_of_all_", each.responder50_of_all),
            "change": each.change, "change_low": each.change_low, "change_high": each.change_high} for each in found.outcomes],
        "view_run_chart": [{**asdict(each), "unit": chart.unit, "median": chart.median, "signals": "; ".join(chart.signals)}
                           for each in chart.points],
        "view_explants": [{"months": month, "share": share} for month, share in zip(survival.months, survival.share, strict=True)],
        "view_explants_at": [dict(each) for each in survival.at],
        "view_complications": [{"kind": each.kind, "events": each.events, **_share("", each.share), "words": "; ".join(each.words)}
                               for each in found.complications],
        "view_published": [{"beside": what, **asdict(each)} for what, rows in beside for each in rows]}


def _share(name: str, share: Share) -> dict[str, Any]:
    return {f"{name}{key}": value for key, value in asdict(share).items()}
