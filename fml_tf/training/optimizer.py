"""Optimisers with one fused kernel per variable and a learning rate per group."""

import abc
from collections.abc import Iterable

import tensorflow as tf


class Optimizer(tf.Module):
    """What updates variables; gradients are summed over replicas."""

    def apply(self, gradients, variables, learning_rate) -> None:
        """Updates `variables` with `gradients`, both lists, at one learning rate (a scalar tensor).

        Call it in a replica context; the gradients are summed over the replicas.
        """
        context = tf.distribute.get_replica_context()
        if context.num_replicas_in_sync > 1:
            gradients = context.all_reduce(tf.distribute.ReduceOp.SUM, gradients)
        for gradient, variable in zip(gradients, variables, strict=True):
            self._update(variable, gradient, learning_rate)

    def apply_product(self, left, right, variable, learning_rate) -> None:
        """Updates one matrix whose gradient is `left` @ `right`.

        Replicas exchange the factors, not their product.

        Args:
          left: [P, K].
          right: [K, Q].
          variable: [P, Q].
          learning_rate: scalar tensor.
        """
        context = tf.distribute.get_replica_context()
        replicas = context.num_replicas_in_sync
        if replicas > 1:
            # Every replica has the same number of examples: the gathered size is known before.
            rank = replicas * left.shape[1]
            left = tf.ensure_shape(context.all_gather(left, axis=1), (left.shape[0], rank))
            right = tf.ensure_shape(context.all_gather(right, axis=0), (rank, right.shape[1]))
        self._update_by_product(variable, left, right, learning_rate)

    @abc.abstractmethod
    def _update(self, variable, gradient, learning_rate) -> None:
        """One step of one variable."""

    def _update_by_product(self, variable, left, right, learning_rate) -> None:
        self._update(variable, tf.matmul(left, right), learning_rate)


class FusedAdadelta(Optimizer):
    """AdaDelta (Zeiler, 2012), which MoFA and the multi-level model were trained with.

    The papers print neither decay nor epsilon: ours are the method's own.

    Args:
      variables: all variables that will ever be updated.
      decay: ρ of both running means.
      epsilon: added to them before their roots.
    """

    def __init__(
        self, variables: Iterable[tf.Variable], decay: float = 0.95, epsilon: float = 1e-6
    ):
        super().__init__(name="fused_adadelta")
        self.decay, self.epsilon = decay, epsilon
        variables = list(variables)
        self._index = {variable.ref(): i for i, variable in enumerate(variables)}
        self.squared_gradients = [_zeros_like(variable) for variable in variables]
        self.squared_updates = [_zeros_like(variable) for variable in variables]

    def _update(self, variable, gradient, learning_rate):
        index = self._index[variable.ref()]
        tf.raw_ops.ResourceApplyAdadelta(
            var=variable.handle,
            accum=self.squared_gradients[index].handle,
            accum_update=self.squared_updates[index].handle,
            lr=learning_rate,
            rho=self.decay,
            epsilon=self.epsilon,
            grad=gradient,
            use_locking=False,
        )


class FusedAdam(Optimizer):
    """Adam (Kingma and Ba, 2015) through TensorFlow's fused update.

    Written op by op, Adam over the paper's 126 M weights takes a fifth of a training step; the
    fused kernel touches each weight once. Moments and step count are kept for each variable, so
    that a variable which joins in a later stage gets its own bias correction.

    Args:
      variables: all variables that will ever be updated; gradients are all-reduced over replicas.
      beta_1: decay of the first moment.
      beta_2: decay of the second moment.
      epsilon: added to the root of the second moment.
    """

    def __init__(
        self,
        variables: Iterable[tf.Variable],
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
    ):
        super().__init__(name="fused_adam")
        self.beta_1, self.beta_2, self.epsilon = beta_1, beta_2, epsilon
        variables = list(variables)
        self._index = {variable.ref(): i for i, variable in enumerate(variables)}
        self.first_moments = [_zeros_like(variable) for variable in variables]
        self.second_moments = [_zeros_like(variable) for variable in variables]
        self.counts = [tf.Variable(0.0, trainable=False) for _ in variables]

    def _update(self, variable, gradient, learning_rate):
        first_moment, second_moment, powers = self._next_state(variable)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=first_moment,
            v=second_moment,
            beta1_power=powers[0],
            beta2_power=powers[1],
            lr=learning_rate,
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=gradient,
            use_locking=False,
            use_nesterov=False,
        )

    def _update_by_product(self, variable, left, right, learning_rate):
        """Without ever making the gradient.

        With K a small number of examples, the gradient of a large matrix is of rank K: to write it
        to fresh memory and read it again costs more than the update itself.
        """
        first_moment, second_moment, powers = self._next_state(variable)
        scale = learning_rate * tf.sqrt(1.0 - powers[1]) / (1.0 - powers[0])
        handles = (variable.handle, first_moment, second_moment)
        _update_by_product(
            handles, left, right, scale, (self.beta_1, self.beta_2, self.epsilon), variable.dtype
        )

    def _next_state(self, variable):
        """Counts a step of a variable: the handles of its moments, and β₁ᵗ and β₂ᵗ."""
        index = self._index[variable.ref()]
        count = self.counts[index]
        # By handle, as the updates: each replica counts for itself.
        tf.raw_ops.AssignAddVariableOp(resource=count.handle, value=1.0)
        powers = tf.pow(self.beta_1, count), tf.pow(self.beta_2, count)
        return self.first_moments[index].handle, self.second_moments[index].handle, powers


@tf.function(jit_compile=True, autograph=False)
def _update_by_product(handles, left, right, scale, constants, dtype):
    """Adam in place, in one pass over weight and moments; XLA fuses the gradient into it."""
    beta_1, beta_2, epsilon = constants
    weight, first, second = (
        tf.raw_ops.ReadVariableOp(resource=handle, dtype=dtype) for handle in handles
    )
    # Element-wise and not as a matrix product, which XLA would write out.
    columns, rows = tf.unstack(left, axis=1), tf.unstack(right)
    gradient = tf.add_n([column[:, None] * row for column, row in zip(columns, rows)])
    first += (1.0 - beta_1) * (gradient - first)
    second += (1.0 - beta_2) * (tf.square(gradient) - second)
    weight -= scale * first / (tf.sqrt(second) + epsilon)
    for handle, value in zip(handles, (weight, first, second)):
        tf.raw_ops.AssignVariableOp(resource=handle, value=value)


def _zeros_like(variable: tf.Variable) -> tf.Variable:
    return tf.Variable(tf.zeros(variable.shape, variable.dtype), trainable=False)


_CLASSES = {"adam": FusedAdam, "adadelta": FusedAdadelta}


def make_optimizer(name: str, variables: Iterable[tf.Variable]) -> Optimizer:
    """The optimiser of a name of `OPTIMIZERS`."""
    return _CLASSES[name](variables)
