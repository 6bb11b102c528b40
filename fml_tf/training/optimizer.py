"""Adam with one fused kernel a variable and a learning rate a group."""

from collections.abc import Iterable

import tensorflow as tf


class FusedAdam(tf.Module):
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

    def apply(self, gradients, variables, learning_rate) -> None:
        """Updates `variables` with `gradients`, both lists, at one learning rate (a scalar tensor).

        Call it in a replica context; the gradients are summed over the replicas.
        """
        context = tf.distribute.get_replica_context()
        if context.num_replicas_in_sync > 1:
            gradients = context.all_reduce(tf.distribute.ReduceOp.SUM, gradients)
        for gradient, variable in zip(gradients, variables, strict=True):
            index = self._index[variable.ref()]
            count = self.counts[index]
            # By handle, as the update below: each replica counts for itself.
            tf.raw_ops.AssignAddVariableOp(resource=count.handle, value=1.0)
            tf.raw_ops.ResourceApplyAdam(
                var=variable.handle,
                m=self.first_moments[index].handle,
                v=self.second_moments[index].handle,
                beta1_power=tf.pow(self.beta_1, count),
                beta2_power=tf.pow(self.beta_2, count),
                lr=learning_rate,
                beta1=self.beta_1,
                beta2=self.beta_2,
                epsilon=self.epsilon,
                grad=gradient,
                use_locking=False,
                use_nesterov=False,
            )


def _zeros_like(variable: tf.Variable) -> tf.Variable:
    return tf.Variable(tf.zeros(variable.shape, variable.dtype), trainable=False)
