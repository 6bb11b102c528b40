"""The fused optimisers against Keras' Adam and a written-out AdaDelta."""

import keras
import numpy as np
import tensorflow as tf

from fml_tf.training.optimizer import FusedAdadelta, FusedAdam


def test_updates_are_those_of_keras_adam():
    start = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    ours, theirs = tf.Variable(start), keras.Variable(start)
    optimizer, reference = FusedAdam([ours]), keras.optimizers.Adam(0.01, epsilon=1e-8)
    for step in range(20):
        gradient = tf.constant(np.random.default_rng(step).normal(size=(5, 3)), tf.float32)
        optimizer.apply([gradient], [ours], tf.constant(0.01))
        reference.apply_gradients([(gradient, theirs)])
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def test_a_variable_that_joins_later_gets_its_own_bias_correction():
    early, late = tf.Variable([1.0]), tf.Variable([1.0])
    optimizer = FusedAdam([early, late])
    for _ in range(50):
        optimizer.apply([tf.constant([3.0])], [early], tf.constant(0.1))
    optimizer.apply([tf.constant([3.0])], [late], tf.constant(0.1))
    np.testing.assert_allclose(late, [0.9], atol=1e-5)  # Adam's first step is the rate itself


def test_product_update_is_the_update_with_the_product():
    random = np.random.default_rng(0)
    start = random.normal(size=(5, 3)).astype(np.float32)
    by_product, by_gradient = tf.Variable(start), tf.Variable(start)
    optimizer = FusedAdam([by_product, by_gradient])
    for _ in range(20):
        left = tf.constant(random.normal(size=(5, 2)), tf.float32)
        right = tf.constant(random.normal(size=(2, 3)), tf.float32)
        optimizer.apply_product(left, right, by_product, tf.constant(0.01))
        optimizer.apply([left @ right], [by_gradient], tf.constant(0.01))
    np.testing.assert_allclose(by_product, by_gradient, rtol=1e-5, atol=1e-6)


def test_state_survives_a_checkpoint(tmp_path):
    def run(steps, variable, optimizer):
        for step in steps:
            optimizer.apply([tf.constant([float(step)])], [variable], tf.constant(0.1))

    whole = tf.Variable([1.0])
    run(range(10), whole, FusedAdam([whole]))
    first = tf.Variable([1.0])
    optimizer = FusedAdam([first])
    run(range(5), first, optimizer)
    path = tf.train.Checkpoint(v=first, o=optimizer).save(str(tmp_path / "ckpt"))
    second = tf.Variable([0.0])
    restored = FusedAdam([second])
    tf.train.Checkpoint(v=second, o=restored).restore(path).assert_consumed()
    run(range(5, 10), second, restored)
    np.testing.assert_array_equal(second, whole)


def test_adadelta_is_as_its_paper_writes_it():
    random = np.random.default_rng(0)
    value = random.normal(size=(4, 3))
    by_gradient, by_product = (tf.Variable(value, dtype=tf.float32) for _ in range(2))
    optimizer = FusedAdadelta([by_gradient, by_product])
    decay, epsilon, rate = 0.95, 1e-6, 0.1
    squared_gradients, squared_updates = np.zeros_like(value), np.zeros_like(value)
    for _ in range(10):
        left, right = random.normal(size=(4, 2)), random.normal(size=(2, 3))
        gradient = left @ right
        squared_gradients = decay * squared_gradients + (1 - decay) * gradient**2
        update = np.sqrt(squared_updates + epsilon) / np.sqrt(squared_gradients + epsilon)
        update *= gradient
        squared_updates = decay * squared_updates + (1 - decay) * update**2
        value = value - rate * update
        optimizer.apply([tf.constant(gradient, tf.float32)], [by_gradient], tf.constant(rate))
        factors = (tf.constant(factor, tf.float32) for factor in (left, right))
        optimizer.apply_product(*factors, by_product, tf.constant(rate))
    np.testing.assert_allclose(by_gradient, value, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(by_product, value, rtol=1e-5, atol=1e-6)
