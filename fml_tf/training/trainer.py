"""The training run: steps, checkpoints, exact resume, summaries, progress."""

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
from fml_tf.data.batches import training_batches
from fml_tf.losses.objective import LossWeights, weigh
from fml_tf.models.fml_model import CHECKPOINT_FOLDER, FmlModel, restore_weights
from fml_tf.training.optimizer import FusedAdam
from fml_tf.training.schedule import Stage, learning_rates_at, stage_at
from fml_tf.training.summaries import picture_sheet
from fml_tf.training.train_step import Objective, TrainStep

EVENT_FOLDER = "tensorboard"


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
    """Trains a model on a data set into a folder; picks up there where an earlier run was cut.

    Args:
      model_config: the model to build.
      config: the run.
      builder: prepared data set.
      output_dir: an existing folder; gets `model.json`, checkpoints and TensorBoard events.
      strategy: from `make_strategy`, made before any other TensorFlow call for 'multiworker'.
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
            self.model = FmlModel(model_config)
            self.optimizer = FusedAdam(TrainStep.variables(self.model))
            self.step = tf.Variable(0, trainable=False, dtype=tf.int64)
            # Of all processes that the run took, up to the last checkpoint.
            self.seconds = tf.Variable(0.0, trainable=False, dtype=tf.float64)
        self.objective = Objective(
            self.model,
            LossWeights(
                photometric=config.photometric_weight,
                landmark=config.landmark_weight,
                smoothness=config.smoothness_weight,
                sparsity=config.sparsity_weight,
                expression=config.expression_weight,
            ),
        )
        self._train_step = TrainStep(self.objective, self.optimizer)
        whole = self._compile(identity_at_mean=False)
        self._steps = {
            Stage.PRETRAIN: self._compile(identity_at_mean=True),
            Stage.JOINT: whole,
            Stage.FINETUNE: whole,
        }
        self._manager = tf.train.CheckpointManager(
            tf.train.Checkpoint(
                model=self.model.weights_checkpoint(),
                optimizer=self.optimizer,
                step=self.step,
                seconds=self.seconds,
            ),
            os.path.join(output_dir, CHECKPOINT_FOLDER),
            max_to_keep=2,
        )

    def _compile(self, identity_at_mean: bool):
        """The distributed step as a graph: (batch, rates) → vector of weighed terms and errors."""

        def replica_step(batch, rates):
            terms, errors = self._train_step(batch, rates, identity_at_mean)
            weighed = weigh(terms, self.objective.weights, self.model.template.num_vertices)
            mask = tf.cast(batch.frame_mask, tf.float32)
            means = [
                tf.reduce_sum(error * mask) / tf.reduce_sum(mask)
                for error in (errors.landmark_px, errors.photometric)
            ]
            return tf.stack([*weighed.as_dict().values(), *means])

        @tf.function
        def step(batch, rates):
            per_replica = self.strategy.run(replica_step, args=(batch, rates))
            return self.strategy.reduce(tf.distribute.ReduceOp.MEAN, per_replica, axis=None)

        return step

    def restore(self) -> int:
        """Restores the newest checkpoint of the folder, or `initial_checkpoint`: the step."""
        if self._manager.latest_checkpoint:
            restore_weights(self.model, self.output_dir)  # says what does not fit
            self._manager.checkpoint.restore(
                self._manager.latest_checkpoint
            ).assert_existing_objects_matched()
            logging.info("resumed %s", self._manager.latest_checkpoint)
        elif self.config.initial_checkpoint:
            restore_weights(self.model, self.config.initial_checkpoint)
        return int(self.step.numpy())

    def save(self) -> None:
        """Writes a checkpoint; the folder's newest is always a whole one.

        Raises:
          NonFiniteLossError: a weight is NaN or infinite; no checkpoint is written.
        """
        for weight in self.model.weights:
            if not tf.reduce_all(tf.math.is_finite(weight.value)):
                raise NonFiniteLossError(
                    f"step {int(self.step.numpy())}: {weight.path} is not finite; the last good "
                    f"checkpoint is {self._manager.latest_checkpoint}"
                )
        if self.is_chief:
            self._manager.save(checkpoint_number=int(self.step.numpy()))

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
                worker=context.input_pipeline_id,
                num_workers=workers,
                replicas_per_worker=context.num_replicas_in_sync // workers,
            )

        return iter(self.strategy.distribute_datasets_from_function(of_worker))

    def run(self, since: float | None = None) -> None:
        """Trains to the last step, writing checkpoints and summaries on the way.

        Args:
          since: the `time.monotonic()` from which on `seconds` counts; now, if not given.

        Raises:
          NonFiniteLossError: a term is NaN or infinite; the last checkpoint is from before.
        """
        start = self.restore()
        config = self.config
        names = [field.name for field in dataclasses.fields(LossWeights)]
        if self.is_chief:
            self.model.save_config(self.output_dir)
            writer = tf.summary.create_file_writer(os.path.join(self.output_dir, EVENT_FOLDER))
        else:
            writer = tf.summary.create_noop_writer()
        batches = self._batches(start)
        progress = tqdm(
            total=config.total_steps, initial=start, unit="step", disable=not self.is_chief
        )
        window_start = time.monotonic()
        saved = window_start if since is None else since
        with writer.as_default(), progress:
            for step in range(start, config.total_steps):
                batch = next(batches)
                rates = learning_rates_at(step, config)
                rates = tuple(tf.constant(rate) for rate in dataclasses.astuple(rates))
                stage = stage_at(step, config)
                values = self._steps[stage](batch, rates).numpy().tolist()
                terms, (landmark_px, photometric) = dict(zip(names, values)), values[len(names) :]
                for name, value in terms.items():
                    if not math.isfinite(value):
                        raise NonFiniteLossError(
                            f"step {step}: the {name} term is {value}; the last good checkpoint is "
                            f"{self._manager.latest_checkpoint}. Lower the learning rates or look "
                            "at the data."
                        )
                self.step.assign_add(1)
                done = step + 1
                progress.update()
                if done % config.log_every == 0:
                    progress.set_postfix_str(
                        f"{stage.value} loss {sum(terms.values()):.3f} landmarks "
                        f"{landmark_px:.1f} px photometric {photometric:.1f}"
                    )
                    for name, value in terms.items():
                        tf.summary.scalar(f"loss/{name}", value, step=done)
                    tf.summary.scalar("loss/total", sum(terms.values()), step=done)
                    tf.summary.scalar("error/landmark_px", landmark_px, step=done)
                    tf.summary.scalar("error/photometric", photometric, step=done)
                    now = time.monotonic()
                    tf.summary.scalar(
                        "seconds_per_step", (now - window_start) / config.log_every, step=done
                    )
                    window_start = now
                if self.is_chief and done % config.image_summary_every == 0:
                    local = self.strategy.experimental_local_results(batch)[0]
                    sheet = picture_sheet(self.model, local)
                    tf.summary.image("input, overlay, albedo, shading, geometry", sheet[None], done)
                if done % config.checkpoint_every == 0 or done == config.total_steps:
                    self.seconds.assign_add(time.monotonic() - saved)
                    saved = time.monotonic()
                    self.save()
