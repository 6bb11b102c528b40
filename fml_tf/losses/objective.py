"""The training objective: the weighted sum of the terms (paper, equations (8) and (9))."""

import dataclasses

import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class LossWeights:
    """Weights λ of the terms; the defaults are those printed in the paper's supplemental.

    The units that the printed weights depend on are not given in the paper; ours are in each
    term's docstring.

    Attributes:
      photometric: λ_pho times the number of vertices. The paper prints λ_pho = 1.6/|V|: this
        holds the 1.6, and the number of the template's vertices divides it in `weigh`.
      landmark: λ_lan.
      smoothness: λ_smo.
      sparsity: λ_spa.
      expression: λ_ble.

    Raises:
      ValueError: a weight is negative or not finite.
    """

    photometric: float = 1.6
    landmark: float = 4.7
    smoothness: float = 1e-3
    sparsity: float = 1e-7
    expression: float = 1e-8

    def __post_init__(self):
        for name, weight in dataclasses.asdict(self).items():
            if not 0 <= weight < float("inf"):
                raise ValueError(f"loss weight {name} must be finite and >= 0, got {weight}")


PAPER_WEIGHTS = LossWeights()


class LossTerms(tf.experimental.ExtensionType):
    """One scalar a term, each a mean over people."""

    photometric: tf.Tensor
    landmark: tf.Tensor
    smoothness: tf.Tensor
    sparsity: tf.Tensor
    expression: tf.Tensor

    def as_dict(self):
        """The terms by name, in the order of the objective."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(LossWeights)}


def weigh(terms, weights, num_vertices):
    """Multiplies each term of `LossTerms` with its weight.

    Args:
      terms: `LossTerms`.
      weights: `LossWeights`.
      num_vertices: |V|, the number of the template's vertices (see `LossWeights.photometric`).

    Returns:
      `LossTerms`, what each term adds to the objective.
    """
    scales = dataclasses.asdict(weights)
    scales["photometric"] /= num_vertices
    return LossTerms(**{name: scales[name] * term for name, term in terms.as_dict().items()})


def total_loss(terms, weights, num_vertices):
    """The objective: the sum of the weighed terms, a scalar. Arguments as those of `weigh`."""
    return tf.add_n(list(weigh(terms, weights, num_vertices).as_dict().values()))
