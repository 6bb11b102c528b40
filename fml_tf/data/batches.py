"""From prepared data sets to batches, in an order that is a function of seed and step alone."""

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from fml_tf.data.augmentation import Augmentation, augment
from fml_tf.data.ground_truth import (
    FRAME_FIELDS,
    FRAME_TRUTH,
    PERSON_TRUTH,
    TRUTH_FEATURES,
    ground_truth,
    has_truth,
)
from fml_tf.structures import GroundTruth, MultiFrameBatch

# Epochs that a stream can hold; training ends by steps, not by epochs.
_MANY_EPOCHS = 2**40
_NO_AUGMENTATION = Augmentation()
_READ_CONFIG = tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False)


def decode_example(example: dict, num_frames: int) -> dict:
    """One TFDS example with frames still encoded → tensors of `MultiFrameBatch`, without B.

    Takes the example's first `num_frames` frames; where it has fewer, all is padded and the mask
    says so. The features that the truth is made of (`TRUTH_FEATURES`) come along.
    """
    encoded = example["frames"][:num_frames]
    frames = tf.map_fn(
        lambda data: tf.io.decode_jpeg(data, channels=3, dct_method="INTEGER_ACCURATE"),
        encoded,
        fn_output_signature=tf.uint8,
    )
    missing = num_frames - tf.shape(frames)[0]

    def pad(values):
        paddings = tf.concat([[[0, missing]], tf.zeros((tf.rank(values) - 1, 2), tf.int32)], axis=0)
        padded = tf.pad(values, paddings)
        return tf.ensure_shape(padded, (num_frames, *values.shape[1:]))

    truth = {name: example[name] for name in PERSON_TRUTH if name in example}
    truth |= {name: pad(example[name][:num_frames]) for name in FRAME_TRUTH if name in example}
    return truth | {
        "frames": pad(tf.image.convert_image_dtype(frames, tf.float32)),
        "frame_mask": tf.range(num_frames) < tf.shape(frames)[0],
        "landmarks": pad(example["landmarks"][:num_frames]),
        "landmark_confidence": pad(example["landmark_confidence"][:num_frames]),
    }


def as_batch(example: dict) -> MultiFrameBatch:
    """Tensors of decoded examples → the structure, with the truth where it is known."""
    names = ("frames", "frame_mask", "landmarks", "landmark_confidence")
    return MultiFrameBatch(
        **{name: example[name] for name in names},
        truth=GroundTruth(**example["truth"]) if "truth" in example else None,
        pool_mask=example.get("pool_mask"),
    )


def _with_truth(example: dict) -> dict:
    """Derives the truth of a decoded example that has its features; 0 in masked frames."""
    if not has_truth(example):
        return example
    kept = {name: value for name, value in example.items() if name not in TRUTH_FEATURES}
    truth = ground_truth(example)
    for name in FRAME_FIELDS:
        present = tf.reshape(example["frame_mask"], (-1, *[1] * (truth[name].shape.rank - 1)))
        truth[name] = tf.where(present, truth[name], 0.0)
    return {**kept, "truth": truth}


def _pool_random_frames(example: dict, index: tf.Tensor, seed: int) -> dict:
    """Pools 1 to M frames of an example: which, and how many, is drawn by its index."""
    mask = example["frame_mask"]
    key = (tf.cast(seed, tf.int64), index)
    available = tf.reduce_sum(tf.cast(mask, tf.int32))
    kept = tf.random.stateless_uniform((), key, 1, available + 1, tf.int32)
    # Frames by descending random rank; those that are not there rank last.
    rank = tf.where(mask, tf.random.stateless_uniform(mask.shape, key), -1.0)
    threshold = tf.sort(rank, direction="DESCENDING")[kept - 1]
    return {**example, "pool_mask": rank >= threshold}


def _raw_examples(
    builder: tfds.core.DatasetBuilder, split: str, with_truth: bool
) -> tf.data.Dataset:
    """All examples of a split in a fixed order, frames still encoded."""
    decoders = {"frames": tfds.decode.SkipDecoding()}
    read = {"frames", "landmarks", "landmark_confidence"}
    if with_truth:
        if not has_truth(builder.info.features):
            raise ValueError(f"{builder.info.full_name}: has no ground truth, which a loss reads")
        read |= set(TRUTH_FEATURES)
    return builder.as_dataset(
        split=split,
        decoders=tfds.decode.PartialDecoding(dict.fromkeys(read, True), decoders=decoders),
        read_config=_READ_CONFIG,
    )


def training_batches(
    builder: tfds.core.DatasetBuilder,
    *,
    num_frames: int,
    global_batch_size: int,
    seed: int,
    start_step: int = 0,
    random_num_frames: bool = False,
    augmentation: Augmentation = _NO_AUGMENTATION,
    with_truth: bool = False,
    worker: int = 0,
    num_workers: int = 1,
    replicas_per_worker: int = 1,
    shuffle_buffer: int = 4096,
) -> tf.data.Dataset:
    """Endless `MultiFrameBatch`es of the training split.

    Order and augmentation depend on `seed` alone, so that a run that starts at `start_step` sees
    the batches that an uncut run would have seen from there; each of several workers gets its slice
    of every global batch. For that each reads and parses all records, and decodes the frames of its
    own alone. Records before `start_step` are skipped undecoded, from the start of their epoch on.

    Raises:
      ValueError: the split holds fewer examples than a batch, the batch can't be shared evenly, or
        there is no truth and it is asked for.
    """
    num_examples = builder.info.splits["train"].num_examples
    if num_examples < global_batch_size:
        raise ValueError(
            f"{builder.info.full_name}: {num_examples} training examples are fewer than "
            f"--batch_size={global_batch_size}"
        )
    num_replicas = num_workers * replicas_per_worker
    if global_batch_size % num_replicas:
        raise ValueError(
            f"--batch_size={global_batch_size} is not a multiple of {num_replicas} replicas"
        )
    share = global_batch_size // num_workers
    examples = _raw_examples(builder, "train", with_truth)
    start = start_step * global_batch_size
    first_epoch, offset = divmod(start, num_examples)

    def epoch(number):
        return examples.shuffle(
            shuffle_buffer, seed=number * 1_000_003 + seed, reshuffle_each_iteration=False
        )

    def is_ours(index, _):
        return (index % global_batch_size) // share == worker

    def decode(index, example):
        decoded = decode_example(example, num_frames)
        if augmentation != _NO_AUGMENTATION:
            key = tf.stack([tf.cast(seed, tf.int64), index])
            decoded = augment(decoded, augmentation, key)
        decoded = _with_truth(decoded)
        return _pool_random_frames(decoded, index, seed) if random_num_frames else decoded

    return (
        tf.data.Dataset.range(first_epoch, _MANY_EPOCHS)
        .flat_map(epoch)
        .skip(offset)
        .enumerate(start)
        .filter(is_ours)
        .map(decode, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        .batch(share // replicas_per_worker, drop_remainder=True)
        .map(as_batch)
        .prefetch(2)
    )


def evaluation_examples(
    builder: tfds.core.DatasetBuilder, split: str, num_frames: int
) -> tf.data.Dataset:
    """One pass over a split: (`MultiFrameBatch` of one person, the raw example with all it tells).

    The batch has the truth where the data set has it.
    """

    def decode(example):
        decoded = _with_truth(decode_example(example, num_frames))
        return as_batch(tf.nest.map_structure(lambda value: value[None], decoded)), example

    examples = builder.as_dataset(
        split=split,
        decoders={"frames": tfds.decode.SkipDecoding()},
        read_config=_READ_CONFIG,
    )
    return examples.map(decode, num_parallel_calls=2, deterministic=True)


def mean_shape(builder: tfds.core.DatasetBuilder, split: str = "train") -> np.ndarray | None:
    """Mean neutral shape [V, 3] mm of a split's people; None where the truth is not known."""
    if not has_truth(builder.info.features):
        return None
    shapes = builder.as_dataset(
        split=split,
        decoders=tfds.decode.PartialDecoding({"neutral_shape": True}),
        read_config=_READ_CONFIG,
    )
    count = builder.info.splits[split].num_examples
    total = sum(example["neutral_shape"].astype(np.float64) for example in tfds.as_numpy(shapes))
    return (total / count).astype(np.float32)


def known_people(builder: tfds.core.DatasetBuilder, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Neutral shapes [n, V, 3] mm and albedos [n, V, 3] of the first training people.

    Raises:
      ValueError: the data set has no truth.
    """
    if not has_truth(builder.info.features):
        raise ValueError(f"{builder.info.full_name}: its people's shapes are not known")
    people = builder.as_dataset(
        split="train",
        decoders=tfds.decode.PartialDecoding({"neutral_shape": True, "albedo": True}),
        read_config=_READ_CONFIG,
    )
    people = list(tfds.as_numpy(people.take(count)))
    shapes, albedos = (
        np.stack([person[name] for person in people]) for name in ("neutral_shape", "albedo")
    )
    return shapes, albedos
