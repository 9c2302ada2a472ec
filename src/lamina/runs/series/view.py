"""The view of forecasting runs: evaluation by a rolling origin, prediction from the end of a history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, cast

from lamina.data.series.items import History, as_history
from lamina.data.series.panel import Series
from lamina.data.source import Source, Split
from lamina.errors import UsageError, unknown
from lamina.files import write_whole
from lamina.report.blocks import Section
from lamina.report.content import Internals, Outcome, ReportContent
from lamina.runs.opened import final_split
from lamina.runs.prediction import predict_items
from lamina.runs.series.backtest import Backtest, backtest
from lamina.runs.series.refitting import refitted
from lamina.runs.series.tables import Scores, scored
from lamina.runs.views.base import InspectionPage, View
from lamina.tasks.base import Batch
from lamina.tasks.forecasting.options import BacktestOptions

GRADIENT_WINDOWS = 256
REPORTED = ("mse", "mae", "crps", "mase", "smape", "own_mae", "coverage_80", "coverage_90")


@dataclass(frozen=True)
class ForecastingView(View):
    """Forecasting runs."""

    unit: ClassVar[str] = "window"

    # ------------------------------------------------------------------ verbs

    def items(self, given: Sequence[Any]) -> list[Any]:
        """The histories; without any the run's own data, to their end."""
        return list(given) or [History(self._split("train").panel)]

    def evaluate(self, split: str | None, source: Source | None, options: Any) -> dict[str, float]:
        """Scores over the windows of a split, its baselines beside them; see ``tables.scored``."""
        source = self.run.source if source is None else source
        name = final_split(source) if split is None else split
        found = self.backtest(name, source, options)
        panel = cast(Series, source.splits[name]).panel
        return scored(found, options.per, panel.names, panel.roles.targets)

    def backtest(self, split: str, source: Source, options: BacktestOptions) -> Backtest:
        """Forecasts of every window of a split. Raises UsageError for a split without any."""
        if split not in source.splits:
            raise unknown("split", split, source.splits)
        of = cast(Mapping[str, Series], source.splits)
        if not len(self.run.preprocess.encode(of[split])):
            need = self.run.preprocess.context + self.run.preprocess.horizon  # type: ignore[attr-defined]
            raise UsageError(f"{source.spec.name}: no series has the {need:,} rows of a window in {split}")
        own = source is self.run.source
        train = cast(Series, self.run.source.splits["train"]) if own or self._has_data() else None
        if options.refit is not None:
            if not own:
                raise UsageError("refit (--refit) trains on the rows before the split: it is for the run's own data")
            return refitted(self.run, split, options)
        validation = of.get("validation") if own and split == "test" else None
        return backtest(self.run, of[split], train, options.stride, self._levels(options.level), validation)

    def predict(self, items: Sequence[Any], options: Any) -> list[dict[str, Any]]:
        """A row for each step that is due after the end of each history: series, time, a value for each target and the
        ends of its intervals. Raises UsageError and DataError, see ``SeriesPreprocess.encode_input``."""
        levels = self._levels(options.level) if options.level == type(options)().level else options.level
        task = cast(Any, self.run.task).predicted_with(replace(options, level=tuple(levels)))
        histories = [as_history(item) for item in items]
        if options.known is not None:
            histories = [replace(one, known=options.known) for one in histories]
        rows = predict_items(
            lambda batch: self.run.predict_batch(batch, task=task), task, self.run.preprocess, histories
        )
        if options.plot is not None:
            self._plot(Path(options.plot).expanduser(), histories, rows, tuple(levels))
        return rows

    def _plot(
        self, path: Path, histories: Sequence[History], rows: list[dict[str, Any]], levels: tuple[int, ...]
    ) -> None:
        from lamina.runs.series.plotting import forecast_picture

        if not path.parent.is_dir():
            raise UsageError(f"--plot {path}: there is no folder {path.parent}")
        picture = forecast_picture(self.run.preprocess, histories, rows, levels)
        write_whole(path, lambda file: file.write(picture))

    def _levels(self, wanted: Sequence[int]) -> tuple[int, ...]:
        """The levels that the model reaches."""
        task = cast(Any, self.run.task)
        return tuple(level for level in wanted if task.reaches(level))

    def _split(self, name: str) -> Series:
        return cast(Series, self.run.source.splits[name])

    def _has_data(self) -> bool:
        """Whether the run's own data are still there."""
        from lamina.errors import LaminaError

        try:
            return bool(self.run.source.splits)
        except LaminaError:
            return False

    def inspect(self, item: Any, target: str | int | None = None, stage: int | None = None) -> InspectionPage:
        """The forecast from one history: what of the past it depends on. Raises UsageError or DataError."""
        from lamina.runs.series.inspection import inspect_history

        return inspect_history(self.run, as_history(item), target)

    # ------------------------------------------------------------------ the report

    def outcome(self, split: str) -> Outcome:
        result, scores = self._reported(split)
        metrics = {name: scores[name] for name in REPORTED if name in scores}
        return Outcome(split=split, metrics=metrics, size=len(result.truth), unit=self.unit)

    def _reported(self, split: str) -> tuple[Backtest, Scores]:
        cache: dict[str, tuple[Backtest, Scores]] = self.run.__dict__.setdefault("_backtests", {})
        if split not in cache:
            options = BacktestOptions(per="step")
            result = self.backtest(split, self.run.source, options)
            panel = self._split(split).panel
            cache[split] = result, scored(result, "step", panel.names, panel.roles.targets)
        return cache[split]

    def sections(self, content: ReportContent, outcome: Outcome) -> list[Section]:
        """Comparison with the forecasts beside it, fan charts, errors by step, coverage, the worst windows."""
        from lamina.runs.series.report import forecasting_sections

        result, scores = self._reported(outcome.split)
        return forecasting_sections(self.run, self._split(outcome.split), result, scores)

    def internals(self, split: str) -> Internals:
        return Internals(gradients=self.gradients())

    def first_batch(self) -> Batch:
        """The first training windows."""
        windows = cast(Any, self.run.preprocess.encode(cast(Split, self._split("train"))))
        batch: Batch = windows.take(slice(0, GRADIENT_WINDOWS))
        return batch
