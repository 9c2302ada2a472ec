"""The view of anomaly runs: scores of every row that has a context before it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, cast

import numpy as np
import torch
from torch import Tensor
from torchmetrics.functional.classification import binary_auroc, binary_average_precision

from lamina.data.series.items import as_history, is_panel
from lamina.data.series.panel import ONLY, Panel, Series
from lamina.data.series.stamps import stamp_text
from lamina.data.source import Source
from lamina.errors import UsageError, unknown
from lamina.report.content import Outcome
from lamina.runs.opened import final_split
from lamina.runs.views.base import View
from lamina.tasks.anomaly.task import Anomaly


@dataclass(frozen=True)
class Scored:
    """The rows of one series that were judged, in order of time. N rows, C channels."""

    series: int
    rows_N: np.ndarray[Any, Any]
    """rows of the panel"""
    channels_NC: Tensor
    score_N: Tensor
    """as the options have it"""
    alarm_N: Tensor


@dataclass(frozen=True)
class AnomalyView(View):
    """Anomaly runs."""

    unit: ClassVar[str] = "row"

    def items(self, given: Sequence[Any]) -> list[Any]:
        """The histories; without any the run's own data."""
        return list(given) or [cast(Series, self.run.source.splits["train"]).panel]

    def scored(self, panel: Panel, split: Series | None, options: Any) -> Iterator[Scored]:
        """The scores of each series of a panel, of the rows of a split or of all. What is done to a score looks at the
        scores of all rows before it, those of other splits among them."""
        run = self.run
        task = cast(Anomaly, run.task.evaluated_with(options))
        whole = Series(panel, panel.borders[:-1].copy(), panel.borders[1:].copy())
        windows = cast(Any, run.preprocess.encode(whole))
        if not len(windows):
            raise UsageError(f"no series has the {cast(Any, run.preprocess).context + 1} rows of a window")
        found = []
        for number, batch in enumerate(run.preprocess.evaluation_batches(windows, run.batch_options)):
            found.append(run.predict_batch(batch, number, task)["channels"].cpu())
        channels_WC = torch.cat(found)
        row_W = windows.starts_W.numpy() + windows.context
        series_W = panel.series_of[row_W]
        kept_R = np.ones(len(panel.stamps_R), bool)
        if split is not None:
            kept_R[:] = False
            kept_R[split.rows()] = True
        for series in np.unique(series_W):
            own = np.flatnonzero(series_W == series)
            order = own[np.argsort(row_W[own], kind="stable")]
            channels_NC = channels_WC[torch.from_numpy(order)]
            score_N = task.processed(channels_NC.max(1).values)
            alarm_N = task.alarms(score_N)
            keep = kept_R[row_W[order]]
            if keep.any():
                kept = torch.from_numpy(np.flatnonzero(keep))
                yield Scored(int(series), row_W[order][keep], channels_NC[kept], score_N[kept], alarm_N[kept])

    def evaluate(self, split: str | None, source: Source | None, options: Any) -> dict[str, float]:
        """The share of rows that are alarms; with labels AUROC and average precision, means over the series that have
        anomalies, and the share of windows of anomalies with an alarm. Rows count one by one: nothing is adjusted."""
        source = self.run.source if source is None else source
        name = final_split(source) if split is None else split
        if name not in source.splits:
            raise unknown("split", name, source.splits)
        of = cast(Series, source.splits[name])
        metrics = self.run.measure(name, source, task=self.run.task)
        every = list(self.scored(of.panel, of, options))
        alarms = torch.cat([one.alarm_N for one in every]).double()
        metrics |= {
            "alarms": float(alarms.mean()),
            "threshold": cast(Any, self.run.task.evaluated_with(options)).threshold(),
        }
        if of.panel.anomalous_R is None:
            return metrics
        auroc, precision, hit = [], [], []
        for one in every:
            labels = torch.from_numpy(of.panel.anomalous_R[one.rows_N]).long()
            if not labels.any() or labels.all():
                continue
            rank = ranks(one.score_N)
            auroc.append(float(binary_auroc(rank, labels)))
            precision.append(float(binary_average_precision(rank, labels)))
            edges = torch.cat([labels.new_zeros(1), labels, labels.new_zeros(1)]).diff()
            for first, end in zip((edges == 1).nonzero(), (edges == -1).nonzero(), strict=True):
                hit.append(float(one.alarm_N[int(first) : int(end)].any()))
        if auroc:
            metrics |= {"auroc": float(np.mean(auroc)), "ap": float(np.mean(precision)), "found": float(np.mean(hit))}
        return metrics

    def predict(self, items: Sequence[Any], options: Any) -> list[dict[str, Any]]:
        """A row for each row of each history that has a context before it: series, time, score, alarm, and the channel
        to blame. Raises UsageError and DataError."""
        rows: list[dict[str, Any]] = []
        preprocess = cast(Any, self.run.preprocess)
        for item in items:
            history = as_history(item)
            panel = history.past if is_panel(history.past) else preprocess.panel(history)
            for one in self.scored(panel, None, options):
                name = panel.names[one.series]
                first = {} if name == ONLY else {" / ".join(preprocess.roles.series) or "series": name}
                blame = one.channels_NC.argmax(1).tolist()
                for at, row in enumerate(one.rows_N.tolist()):
                    time = stamp_text(int(panel.stamps_R[row]), panel.frequency.dated)
                    rows.append(
                        {
                            **first,
                            preprocess.roles.time or "row": time,
                            "score": float(one.score_N[at]),
                            "alarm": bool(one.alarm_N[at]),
                            "channel": preprocess.roles.targets[blame[at]],
                        }
                    )
        return rows

    def outcome(self, split: str) -> Outcome:
        from lamina.tasks.anomaly.options import AlarmOptions

        metrics = self.evaluate(split, None, AlarmOptions())
        return Outcome(split=split, metrics=metrics, size=len(self.run.source.splits[split]), unit=self.unit)


def ranks(score_N: Tensor) -> Tensor:
    """Scores of any size as numbers from 0 to 1 in the same order."""
    values, place = torch.unique(score_N, return_inverse=True)
    rank_N: Tensor = place.double() / max(1, len(values) - 1)
    return rank_N
