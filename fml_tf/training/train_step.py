"""One step: the objective of a batch, its gradients, the update."""

from collections.abc import Collection, Mapping

import tensorflow as tf

from fml_tf.losses.objective import Evaluation, Objective
from fml_tf.models.face_models.base import FactoredGradient
from fml_tf.models.reconstructor import EditIdentity, FaceReconstructor
from fml_tf.structures import MultiFrameBatch
from fml_tf.training.optimizer import Optimizer


class TrainStep:
    """The update of a model's weights from one batch.

    Args:
      model: the model.
      objective: what is minimised.
      optimizer: holds the moments of all of the model's trainable variables.
    """

    def __init__(self, model: FaceReconstructor, objective: Objective, optimizer: Optimizer):
        self.model = model
        self.objective = objective
        self.optimizer = optimizer
        self._factored = model.face_model.factored_weights()
        known = {variable.ref() for variable in self._factored}
        groups = model.weight_groups()
        # Weights of each group that the tape sees.
        self._direct = {
            group: [variable for variable in variables if variable.ref() not in known]
            for group, variables in groups.items()
        }
        self._group_of = {
            variable.ref(): group for group, variables in groups.items() for variable in variables
        }

    def __call__(
        self,
        batch: MultiFrameBatch,
        rates: Mapping[str, tf.Tensor],
        edit_identity: EditIdentity | None = None,
        without: Collection[str] = (),
    ) -> Evaluation:
        """Runs in a replica context.

        Args:
          batch: this replica's share of the global batch; B is static.
          rates: learning rate of each group of weights that is to be updated, a scalar tensor.
          edit_identity: see `FaceReconstructor.encode`.
          without: terms of the objective that are left out.

        Returns:
          What the objective said of the batch before the update.

        Raises:
          ValueError: a weight that the objective does not depend on, unless identities are
            edited; or a term that reads a weight whose factored gradient would miss it.
        """
        frame_mask = batch.frame_mask
        if self.model.encoder.monocular:
            batch = batch.by_frame()
        direct = {group: self._direct[group] for group in rates}
        factored = [v for v in self._factored if self._group_of[v.ref()] in rates]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(direct)
            parameters = self.model.encode(batch.frames, batch.pooled, edit_identity, training=True)
            if factored:
                # Nothing that is watched leads to the albedo where these learn alone.
                tape.watch(parameters.identity)
            faces = self.model.decode(parameters)
            albedo = faces.identity.albedo
            # Watched from here on, they get a gradient from terms that read them themselves only.
            tape.watch(factored)
            evaluation = self.objective.evaluate(batch, parameters, faces, without)
            # The optimiser sums over replicas; the objective is a mean over all people.
            replicas = tf.distribute.get_replica_context().num_replicas_in_sync
            loss = evaluation.total / replicas
        gradients, albedo_gradient, unforeseen = tape.gradient(
            loss, [direct, albedo if factored else [], factored]
        )
        for variable, gradient in zip(factored, unforeseen):
            if gradient is not None:
                raise ValueError(
                    f"a loss reads {variable.name} itself, while its gradient is taken through the "
                    "albedo alone: build the face model with factor_albedo_gradient=False"
                )
        for group, rate in rates.items():
            pairs = list(zip(gradients[group], direct[group]))
            if edit_identity is None:
                for gradient, variable in pairs:
                    if gradient is None:
                        raise ValueError(f"{variable.name}: the objective does not depend on it")
            pairs = [pair for pair in pairs if pair[0] is not None]
            if pairs:  # replicas cannot exchange an empty list
                self.optimizer.apply([g for g, _ in pairs], [v for _, v in pairs], rate)
        if factored:
            albedo_gradient = tf.ensure_shape(albedo_gradient, (None, 3, batch.frames.shape[0]))
            self._apply_factored(parameters, albedo_gradient, rates)
        measures = {
            name: tf.reshape(values, tf.shape(frame_mask))
            for name, values in evaluation.measures.items()
        }
        return Evaluation(evaluation.total, evaluation.terms, measures)

    def _apply_factored(self, parameters, albedo_gradient, rates):
        updates = self.model.face_model.factored_gradients(parameters, albedo_gradient)
        for update in updates:
            variable = update.variable if isinstance(update, FactoredGradient) else update[0]
            rate = rates.get(self._group_of[variable.ref()])
            if rate is None:  # held
                continue
            if isinstance(update, FactoredGradient):
                self.optimizer.apply_product(update.left, update.right, variable, rate)
            else:
                self.optimizer.apply([update[1]], [variable], rate)
