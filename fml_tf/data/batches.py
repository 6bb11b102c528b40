"""From prepared data sets to batches, in an order that is a function of seed and step alone."""

import tensorflow as tf
import tensorflow_datasets as tfds

from fml_tf.data.augmentation import Augmentation, augment
from fml_tf.structures import MultiFrameBatch

# Epochs that a stream can hold; training ends by steps, not by epochs.
_MANY_EPOCHS = 2**40
_NO_AUGMENTATION = Augmentation()


def decode_example(example: dict, num_frames: int) -> dict:
    """One TFDS example with frames still encoded → tensors of `MultiFrameBatch`, without B.

    Takes the example's first `num_frames` frames; masks are padded where it has fewer.
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

    return {
        "frames": pad(tf.image.convert_image_dtype(frames, tf.float32)),
        "frame_mask": tf.range(num_frames) < tf.shape(frames)[0],
        "landmarks": pad(example["landmarks"][:num_frames]),
        "landmark_confidence": pad(example["landmark_confidence"][:num_frames]),
    }


def _mask_random_frames(example: dict, index: tf.Tensor, seed: int) -> dict:
    """Keeps 1 to M frames of an example: which, and how many, says a die keyed by its index."""
    mask = example["frame_mask"]
    key = (tf.cast(seed, tf.int64), index)
    available = tf.reduce_sum(tf.cast(mask, tf.int32))
    kept = tf.random.stateless_uniform((), key, 1, available + 1, tf.int32)
    # Frames by descending random rank; those that are not there rank last.
    rank = tf.where(mask, tf.random.stateless_uniform(mask.shape, key), -1.0)
    threshold = tf.sort(rank, direction="DESCENDING")[kept - 1]
    return {**example, "frame_mask": rank >= threshold}


def _raw_examples(
    builder: tfds.core.DatasetBuilder, split: str, with_truth: bool
) -> tf.data.Dataset:
    """All examples of a split in a fixed order, frames still encoded."""
    decoders = {"frames": tfds.decode.SkipDecoding()}
    if not with_truth:
        read = dict.fromkeys(("frames", "landmarks", "landmark_confidence"), True)
        decoders = tfds.decode.PartialDecoding(read, decoders=decoders)
    return builder.as_dataset(
        split=split,
        decoders=decoders,
        read_config=tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False),
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
    worker: int = 0,
    num_workers: int = 1,
    replicas_per_worker: int = 1,
    shuffle_buffer: int = 4096,
) -> tf.data.Dataset:
    """Endless `MultiFrameBatch`es of the training split.

    Order and augmentation depend on `seed` alone, so that a run that starts at `start_step` sees
    the batches that an uncut run would have seen from there; each of several workers gets its slice
    of every global batch. For that each reads and parses all records, and decodes the frames of its
    own alone. Records before `start_step` are skipped undecoded, from the start of
    their epoch on.

    Raises:
      ValueError: the split holds fewer examples than a batch, or the batch can't be shared evenly.
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
            f"--batch_size={global_batch_size} is no multiple of {num_replicas} replicas"
        )
    share = global_batch_size // num_workers
    examples = _raw_examples(builder, "train", with_truth=False)
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
        return _mask_random_frames(decoded, index, seed) if random_num_frames else decoded

    return (
        tf.data.Dataset.range(first_epoch, _MANY_EPOCHS)
        .flat_map(epoch)
        .skip(offset)
        .enumerate(start)
        .filter(is_ours)
        .map(decode, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        .batch(share // replicas_per_worker, drop_remainder=True)
        .map(lambda batch: MultiFrameBatch(**batch))
        .prefetch(2)
    )


def evaluation_examples(
    builder: tfds.core.DatasetBuilder, split: str, num_frames: int
) -> tf.data.Dataset:
    """One pass over a split: (`MultiFrameBatch` of one person, the raw example with its truth)."""

    def decode(example):
        batch = {key: value[None] for key, value in decode_example(example, num_frames).items()}
        return MultiFrameBatch(**batch), example

    return _raw_examples(builder, split, with_truth=True).map(
        decode, num_parallel_calls=2, deterministic=True
    )
