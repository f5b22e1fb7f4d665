"""The contents of a fit: the law, its refits, the points behind it, and the findings about them."""

from dataclasses import dataclass

from raysweep.core.errors import FrontierError
from raysweep.frontier.answers.choice import LawChoice
from raysweep.frontier.answers.shared import SharedParameters
from raysweep.frontier.answers.values import AdditiveLaw, CurveLaw, DataConstrainedLaw, plain_law
from raysweep.frontier.fitting.misfit.lack_of_fit import LackOfFit
from raysweep.frontier.fitting.run_noise.noise import RunNoise
from raysweep.frontier.laws.forms import Form
from raysweep.frontier.laws.laws import Surface
from raysweep.frontier.laws.quantities import Law
from raysweep.frontier.numerics.arrays import Floats, Indices, Scalar
from raysweep.frontier.points.findings import Status
from raysweep.frontier.points.inference import MeasuredInference
from raysweep.frontier.points.samples import Exclusion, Samples


@dataclass(frozen=True, kw_only=True)
class FitRecord:
    """The content of a fit and its law; `Fit` answers queries with it, and `to_json` keeps the order of its fields.

    Attributes:
        status: typed, with a sentence; `status.findings` has everything that was found.
        method: parametric, isoflop or envelope. form: which law, its asymptote, its penalty.
        architecture: label of the family, None where the table names none.
        cost_name: what counts as compute, "flops" or "seconds".
        seed, bootstraps: as given. versions: of raysweep, numpy and scipy.
        excluded: points that were kept out, with reasons. samples: those that entered.
        objective: sum of Huber losses of log residuals at the optimum. delta: Huber's delta.
        gradient_norm: largest gradient component over the sum of the contributions that cancel in it (certificate).
        noise: robust standard deviation of ln loss about the law.
        starts, starts_agreeing: number of starts, and of those that reached the optimum to 1e-6 of the objective.
        residuals: ln of measured over predicted loss. trust: the weight that outliers were left with, 1 for all others.
        choice: the laws that were tried, where the points contradict the additive one and law="auto" was asked for.
        lack_of_fit: whether the residuals are systematic; None where the points are too few to tell.
        draw_ids: which of the resamples the draws belong to: fits of one seed and size share their resamples.
        estimate, draws: the law, and the law of each bootstrap that converged (None where there is none).
        leave_one_out: the law without each trajectory, or each point where points have none in common (`influence`).
        run_noise: what runs of one size differ by, where it was fitted with the law; the estimate is then that of
            generalised least squares, `objective` half of its squares; with `run_noise_left_out` only draws know of it.
        shared: parameters in common with other families; their draws are joint, `leave_one_out` is without any's units.
        inference: what inference was measured to cost, where the points say so.
    """

    status: Status
    method: str
    form: Form
    architecture: str | None
    cost_name: str
    seed: int
    bootstraps: int
    versions: dict[str, str]
    excluded: tuple[Exclusion, ...]
    objective: Scalar = float("nan")
    gradient_norm: Scalar = float("nan")
    delta: Scalar = float("nan")
    noise: Scalar = float("nan")
    starts: int = 0
    starts_agreeing: int = 0
    residuals: Floats | None = None
    trust: Floats | None = None
    lack_of_fit: LackOfFit | None = None
    choice: LawChoice | None = None
    draw_ids: Indices | None = None
    samples: Samples
    estimate: Law | None = None
    draws: Law | None = None
    leave_one_out: Law | None = None
    run_noise: RunNoise | None = None
    shared: SharedParameters | None = None
    inference: MeasuredInference | None = None

    @property
    def known(self) -> Law:
        """The law in the estimator's own terms (logarithms of the coefficients).

        Raises:
            FrontierError: there is none; the message is the status.
        """
        if self.estimate is None:
            whose = f"{self.architecture}: " if self.architecture else ""
            raise FrontierError(f"{whose}no fit: {self.status}")
        return self.estimate

    @property
    def surface(self) -> Surface:
        """The additive law as a function of N and D.

        Raises:
            FrontierError: the approach gives the loss on the frontier only.
        """
        if not isinstance(self.known, Surface):
            raise FrontierError(f"method {self.method!r} gives the loss on the frontier only: fit with 'parametric'")
        return self.known

    @property
    def law(self) -> AdditiveLaw | CurveLaw | DataConstrainedLaw:
        """The law with its parameters as plain numbers."""
        return plain_law(self.known, repeats=self.form.law == "data_constrained")

    @property
    def params_exponent(self) -> float:
        """The exponent a of N* ~ C^a."""
        return float(self.known.params_exponent)

    @property
    def data_exponent(self) -> float:
        """The exponent b of D* ~ C^b."""
        return float(self.known.data_exponent)

    @property
    def loss_exponent(self) -> float:
        """The exponent gamma of L* - E ~ C^-gamma."""
        return float(self.known.loss_exponent)
