"""The training run: steps, checkpoints, exact resume, validation, summaries, progress."""

import dataclasses
import math
import os
import time

import keras
import tensorflow as tf
import tensorflow_datasets as tfds
from absl import logging
from tqdm import tqdm

from fml_tf.config import ModelConfig, TrainConfig
from fml_tf.data.augmentation import augmentation_of
from fml_tf.data.batches import mean_shape, training_batches
from fml_tf.files.atomic import write_json
from fml_tf.losses.objective import build_objective, loss_weights
from fml_tf.models.building import build_model
from fml_tf.models.old_runs import is_old_run
from fml_tf.models.saving import (
    BEST,
    LAST,
    Description,
    check_same_model,
    find_model,
    load_weights,
    read_description,
    save_model,
    start_from,
    weights_by_name,
)
from fml_tf.training.answer_prior import measure_prior
from fml_tf.training.initial_bases import set_initial_bases
from fml_tf.training.optimizer import make_optimizer
from fml_tf.training.schedule import Schedule, stages_of
from fml_tf.training.summaries import picture_sheet
from fml_tf.training.train_step import TrainStep
from fml_tf.training.validation import Validator

EVENT_FOLDER, CHECKPOINT_FOLDER, CONFIG_FILE = "tensorboard", "checkpoints", "config.json"
_TOTAL = "total"


class NonFiniteLossError(RuntimeError):
    """A loss term is NaN or infinite; the message names it."""


def make_strategy(distribution: str) -> tf.distribute.Strategy:
    """The tf.distribute strategy of `--distribution`."""
    if distribution == "mirrored":
        return tf.distribute.MirroredStrategy()
    if distribution == "multiworker":
        return tf.distribute.MultiWorkerMirroredStrategy()
    return tf.distribute.get_strategy()


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Whether this process writes the files: the task 'chief', or without one the first worker."""
    resolver = strategy.cluster_resolver
    if resolver is None or not resolver.task_type:
        return True
    if "chief" in resolver.cluster_spec().jobs:
        return resolver.task_type == "chief"
    return resolver.task_id == 0


class Trainer:
    """Trains a model on a data set into a folder; resumes there where an earlier run was cut.

    Args:
      model_config: the model to build.
      config: the run.
      builder: prepared data set.
      output_dir: an existing folder; gets checkpoints, TensorBoard events, `config.json`, and the
        saved models `best` (by the objective on the split 'validation', where there is one) and
        `last`.
      strategy: from `make_strategy`, made before any other TensorFlow call for 'multiworker'.

    Raises:
      FileNotFoundError: `initial_checkpoint` is no model.
      ValueError: the folder holds a run of another model or of version 0.1, `initial_checkpoint`
        is another model, or a stage is to end by a validation that the data set has no people for.
    """

    def __init__(
        self,
        model_config: ModelConfig,
        config: TrainConfig,
        builder: tfds.core.DatasetBuilder,
        output_dir: str,
        strategy: tf.distribute.Strategy,
    ):
        self.config = config
        self.builder = builder
        self.output_dir = output_dir
        self.strategy = strategy
        self.is_chief = is_chief(strategy)
        # Not 0: under a global seed of 0 tf.data's shuffle refuses a seed that is a tensor.
        keras.utils.set_random_seed(config.seed + 1)
        with strategy.scope():
            self.model = self._build_model(model_config)
            self.optimizer = make_optimizer(
                config.optimizer, (weight.value for weight in self.model.trainable_weights)
            )
            self.step = tf.Variable(0, trainable=False, dtype=tf.int64)
            # Of all processes that the run took, up to the last checkpoint.
            self.seconds = tf.Variable(0.0, trainable=False, dtype=tf.float64)
            stages = stages_of(config, self.model.weight_groups(), self.model.face_model.base_level)
            self.schedule = Schedule(stages, config.final_learning_rate_fraction)
            # Only where criteria ended stages: how many steps there are, the flags say.
            self._ended = tf.Variable(self.schedule.ended, trainable=False, dtype=tf.int64)
        # The truth is in correspondence with our own template only.
        if model_config.template == "makehuman":
            self.model.training_mean = mean_shape(builder)
        self.objective = build_objective(self.model, loss_weights(config))
        self._train_step = TrainStep(self.model, self.objective, self.optimizer)
        self._compiled = {}
        self._measures: tuple[str, ...] = ()  # known once a step was traced
        self.validator = None
        if "validation" in builder.info.splits:
            self.validator = Validator(
                self.model, self.objective, builder, "validation", config.num_frames
            )
        elif any(stage.until for stage in stages):
            raise ValueError(
                f"--pretrain_until_landmark_px: {builder.info.full_name} has no split 'validation'"
            )
        self._best = math.inf
        checkpoint = tf.train.Checkpoint(
            model=tf.train.Checkpoint(**weights_by_name(self.model)),
            optimizer=self.optimizer,
            step=self.step,
            seconds=self.seconds,
            ended=self._ended,
        )
        self._manager = tf.train.CheckpointManager(
            checkpoint, self._path(CHECKPOINT_FOLDER), max_to_keep=2
        )

    def _path(self, name: str) -> str:
        return os.path.join(self.output_dir, name)

    def _build_model(self, config: ModelConfig):
        """Builds the model, with the constants that the run, or the one before it, began with."""
        if is_old_run(self.output_dir):
            raise ValueError(
                f"{self.output_dir}: a training run of version 0.1 cannot be resumed; convert it: "
                f"python -m fml_tf.models.save {self.output_dir} MODEL, and start another run with "
                "--initial_checkpoint=MODEL"
            )
        source, last = self.config.initial_checkpoint, self._path(LAST)
        if os.path.isdir(last):
            check_same_model(last, config)
            # A run that was stopped before its first checkpoint starts again.
            if tf.train.latest_checkpoint(self._path(CHECKPOINT_FOLDER)):
                source = last
        if not source:
            model = build_model(config)
            if model.encoder.inner is not None:
                raise ValueError(
                    f"--system={config.system} builds on a trained --system="
                    f"{model.encoder.inner[0]}: give its run with --initial_checkpoint"
                )
            set_initial_bases(model.face_model, self.config.initial_bases, self.builder)
            return model
        if source != last and self.config.initial_bases != "random":
            raise ValueError(
                f"--initial_bases={self.config.initial_bases}: the bases are those of "
                f"--initial_checkpoint={source}; give one of the two"
            )
        return start_from(source, config)

    def _step_of_stage(self, index: int):
        """The distributed step as a graph: (batch, rates) → vector of terms and mean measures."""
        stage = self.schedule.stages[index]
        key = (stage.edit_identity, stage.without, tuple(stage.rates))
        if key not in self._compiled:

            def replica_step(batch, rates):
                evaluation = self._train_step(batch, rates, stage.edit_identity, stage.without)
                mask = tf.cast(batch.frame_mask, tf.float32)
                means = [
                    tf.reduce_sum(tf.where(batch.frame_mask, values, 0.0)) / tf.reduce_sum(mask)
                    for values in evaluation.measures.values()
                ]
                self._measures = tuple(evaluation.measures)
                return tf.stack(
                    [*(evaluation.terms[name] for name in self.objective.terms), *means]
                )

            @tf.function
            def step(batch, rates):
                per_replica = self.strategy.run(replica_step, args=(batch, rates))
                return self.strategy.reduce(tf.distribute.ReduceOp.MEAN, per_replica, axis=None)

            self._compiled[key] = step
        return self._compiled[key]

    def restore(self) -> int:
        """Restores the newest checkpoint of the folder, if there is one; returns its step.

        Raises:
          ValueError: the checkpoint is damaged.
        """
        newest = self._manager.latest_checkpoint
        if newest:
            try:
                self._manager.checkpoint.restore(newest).assert_existing_objects_matched()
            # IndexError: a file that was cut short; AssertionError: a variable is not in it.
            except (tf.errors.OpError, IndexError, AssertionError) as error:
                raise ValueError(f"{newest}: damaged: {error}") from None
            self.schedule.ended = self._ended.numpy().tolist()
            self._best = self._best_so_far()
            logging.info("resumed %s", newest)
        return int(self.step.numpy())

    def save(self, folders=(LAST,)) -> None:
        """Writes saved models and a checkpoint; the folder's newest is always a whole one.

        Raises:
          NonFiniteLossError: a weight is NaN or infinite; nothing is written.
        """
        step = int(self.step.numpy())
        for weight in self.model.weights:
            if not tf.reduce_all(tf.math.is_finite(weight.value)):
                raise NonFiniteLossError(
                    f"step {step}: {weight.path} is not finite; the last good checkpoint is "
                    f"{self._manager.latest_checkpoint}"
                )
        if self.is_chief:
            for folder in folders:
                self._save_model(folder, step)
            self._manager.save(checkpoint_number=step)

    def load_best(self) -> None:
        """Gives the model the weights of the best validation, if there was one."""
        best = self._path(BEST)
        if os.path.isdir(best):
            load_weights(self.model, best)

    def measure_prior(self) -> None:
        """Measures how far the model's answers lie from the truth, and keeps that with it.

        On the split that the best model was chosen by. Where its truth is not known, a model that
        the run started from keeps its own.
        """
        if self.validator is None or self.model.training_mean is None:
            return
        self.model.prior = measure_prior(
            self.model, self.builder, "validation", self.config.num_frames
        )
        path = find_model(self.output_dir)
        save_model(self.model, path, read_description(path))

    def _save_model(self, folder: str, step: int, metrics=None) -> None:
        description = Description(
            training_data=self.builder.info.full_name, metrics=metrics or {}, steps=step
        )
        save_model(self.model, self._path(folder), description)

    def _batches(self, start_step: int):
        def of_worker(context: tf.distribute.InputContext):
            workers = context.num_input_pipelines
            return training_batches(
                self.builder,
                num_frames=self.config.num_frames,
                global_batch_size=self.config.batch_size,
                seed=self.config.seed,
                start_step=start_step,
                random_num_frames=self.config.random_num_frames,
                augmentation=augmentation_of(self.config),
                with_truth=self.objective.needs_truth,
                worker=context.input_pipeline_id,
                num_workers=workers,
                replicas_per_worker=context.num_replicas_in_sync // workers,
            )

        return iter(self.strategy.distribute_datasets_from_function(of_worker))

    def _validate(self, done: int, progress: tqdm) -> None:
        """Looks at validation people: keeps the best model, and may end a stage."""
        figures = self.validator.run(self.config.validation_examples)
        for name, value in figures.items():
            tf.summary.scalar(f"validation/{name}", value, step=done)
        progress.write(
            f"step {done}: validation "
            + ", ".join(f"{name} {value:.3g}" for name, value in figures.items())
        )
        until = self.schedule.stages[self.schedule.index_at(done - 1)].until
        if until and self._mean_over_workers(figures[until.measure]) < until.below:
            self.schedule.end_stage(done)
            self._ended.assign(self.schedule.ended)
        if figures[_TOTAL] < self._best:
            self._best = figures[_TOTAL]
            if self.is_chief:
                metrics = {"validation": figures, "measured": self._measured()}
                self._save_model(BEST, done, metrics)

    def _mean_over_workers(self, value: float) -> float:
        """All workers decide the same by it, even if a machine rounds differently."""
        values = self.strategy.run(lambda: tf.constant(value, tf.float64))
        return float(self.strategy.reduce("mean", values, axis=None))

    def _measured(self) -> dict:
        """What the total of a validation depends on, beside the model."""
        return {
            "data": self.builder.info.full_name,
            "examples": self.config.validation_examples,
            "num_frames": self.config.num_frames,
            "weights": loss_weights(self.config),
        }

    def _best_so_far(self) -> float:
        """The total of the model in `best`; infinite where there is none to compare with."""
        best = self._path(BEST)
        if not os.path.isdir(best):
            return math.inf
        metrics = read_description(best).metrics
        if metrics.get("measured") != self._measured():
            return math.inf  # by other flags than this command's
        return metrics["validation"][_TOTAL]

    def run(self, since: float | None = None) -> None:
        """Trains to the last step, writing checkpoints and summaries on the way.

        Args:
          since: the `time.monotonic()` from which on `seconds` counts; now, if not given.

        Raises:
          NonFiniteLossError: a term is NaN or infinite; the last checkpoint is from before.
        """
        start = self.restore()
        config, total_steps = self.config, self.schedule.total_steps
        if self.is_chief:
            write_json(self._path(CONFIG_FILE), self.describe())
            writer = tf.summary.create_file_writer(self._path(EVENT_FOLDER))
        else:
            writer = tf.summary.create_noop_writer()
        batches = self._batches(start)
        progress = tqdm(total=total_steps, initial=start, unit="step", disable=not self.is_chief)
        window_start = time.monotonic()
        saved = window_start if since is None else since
        waiting = []  # what steps returned: read now and then only, so that a GPU need not wait
        with writer.as_default(), progress:
            for step in range(start, total_steps):
                batch = next(batches)
                index = self.schedule.index_at(step)
                rates = {
                    group: tf.constant(rate) for group, rate in self.schedule.rates_at(step).items()
                }
                waiting.append((step, self._step_of_stage(index)(batch, rates)))
                self.step.assign_add(1)
                done = step + 1
                progress.update()
                logs = done % config.log_every == 0
                saves = done % config.checkpoint_every == 0 or done == total_steps
                if logs or saves:
                    terms, measures = self._read(waiting)
                    waiting = []
                if logs:
                    now = time.monotonic()
                    self._log(done, terms, measures, (now - window_start) / config.log_every)
                    window_start = now
                    progress.set_postfix_str(
                        f"{self.schedule.stages[index].name} loss {sum(terms.values()):.3f} "
                        + " ".join(f"{name} {value:.1f}" for name, value in measures.items())
                    )
                if self.is_chief and done % config.image_summary_every == 0:
                    local = self.strategy.experimental_local_results(batch)[0]
                    sheet = picture_sheet(self.model, local)
                    tf.summary.image("input, overlay, albedo, shading, geometry", sheet[None], done)
                if self.validator and (done % config.validate_every == 0 or done == total_steps):
                    self._validate(done, progress)
                if saves:
                    self.seconds.assign_add(time.monotonic() - saved)
                    saved = time.monotonic()
                    self.save()

    def describe(self) -> dict:
        """The configs of model and run."""
        return {
            "model": dataclasses.asdict(self.model.config),
            "training": dataclasses.asdict(self.config),
        }

    def _read(self, waiting) -> tuple[dict, dict]:
        """Checks what steps returned, in their order: the last one's terms and measures.

        Raises:
          NonFiniteLossError: a term is NaN or infinite.
        """
        for step, vector in waiting:
            values = vector.numpy().tolist()
            terms = dict(zip(self.objective.terms, values))
            for name, value in terms.items():
                if not math.isfinite(value):
                    raise NonFiniteLossError(
                        f"step {step}: the {name} term is {value}; the last good checkpoint is "
                        f"{self._manager.latest_checkpoint}. Lower the learning rates or look at "
                        "the data."
                    )
        return terms, dict(zip(self._measures, values[len(terms) :]))

    @staticmethod
    def _log(done: int, terms: dict, measures: dict, seconds_per_step: float) -> None:
        for name, value in terms.items():
            tf.summary.scalar(f"loss/{name}", value, step=done)
        tf.summary.scalar("loss/total", sum(terms.values()), step=done)
        for name, value in measures.items():
            tf.summary.scalar(f"error/{name}", value, step=done)
        tf.summary.scalar("seconds_per_step", seconds_per_step, step=done)
