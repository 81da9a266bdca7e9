"""The encoder with several heads: savings, sizes, separate heads, training on all labels."""

import pytest
import torch
import torch.nn.functional as F
from torch.func import functional_call

from cases import EAGER
from spectraledge.lab import Plan, run
from spectraledge.matrices import parameter_roles
from spectraledge.models import (
    CausalDecoderSpec,
    ModelSpec,
    MultiTaskEncoder,
    MultiTaskEncoderSpec,
    PreNormEncoder,
    PreNormEncoderSpec,
)
from spectraledge.tasks import UNLABELLED, DyckDepth, ModularArithmetic, SeveralOperations
from spectraledge.training import Problem, RunSpec, Trainer, merge_states, train
from spectraledge.updates import Adam, WeightDecay

SMALL = {"width": 16, "heads": 4, "mlp_width": 24}
TASK = SeveralOperations(7, ("add", "div", "x2_y2"))
MODEL = MultiTaskEncoderSpec(**SMALL, outputs=3)


def build(spec: ModelSpec = MODEL, length: int = 2):
    return spec.build(vocabulary=7, length=length, classes=5, seed=3).double()


def random_tokens(batch, length=2):
    return torch.randint(7, (batch, length), generator=torch.Generator().manual_seed(0))


def spec(seed: int = 0, **changes):
    usual = {"steps": 8, "record_every": 4, "batch_size": 16, "lr": 1e-2}
    own = {"task": TASK, "model": MODEL, "updates": (WeightDecay(1.0), Adam(beta2=0.98))}
    return RunSpec(**(own | usual | changes), seed=seed, data_seed=seed)


# --- the model -------------------------------------------------------------------------------


@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize(("batch", "length"), [(4, 2), (40, 2), (40, 3)])
def test_savings_leave_logits_and_gradients_alone(layers, batch, length):
    model = build(MultiTaskEncoderSpec(**SMALL, layers=layers, outputs=3), length)
    tokens = random_tokens(batch, length)
    target = torch.randn(batch, 3, 5, generator=torch.Generator().manual_seed(1)).double()
    gradients = []
    for forward in (model.forward, model.naive_forward):
        logits = forward(tokens)
        gradients.append(torch.autograd.grad((logits * target).sum(), list(model.parameters())))
    # Same sums in another order: a few float64 roundings of numbers of order 1 to 100.
    torch.testing.assert_close(model(tokens), model.naive_forward(tokens), rtol=0, atol=1e-12)
    for fast, naive in zip(*gradients):
        torch.testing.assert_close(fast, naive, rtol=1e-10, atol=1e-10)


def formula(width, layers, mlp_width, outputs, p, length):
    """Embeddings, blocks (attention, MLP, two norms), final norm, and a head for each output."""
    attention = 4 * width**2 + 4 * width
    block = attention + 2 * width * mlp_width + mlp_width + width + 4 * width
    return (p + length) * width + layers * block + 2 * width + outputs * (width + 1) * p


@pytest.mark.parametrize(("outputs", "count"), [(2, 302_914), (3, 315_427)])
def test_published_sizes(outputs, count):
    model = MultiTaskEncoderSpec(outputs=outputs).build(vocabulary=97, length=2, classes=97, seed=0)
    assert sum(p.numel() for p in model.parameters()) == count
    assert formula(128, 2, 256, outputs, p=97, length=2) == count
    # A head more than the single-task model of 290,401 parameters for each further operation.
    assert count == 290_401 + (outputs - 1) * 129 * 97


def test_the_trunk_starts_as_that_of_the_encoder():
    several, one = build(), build(PreNormEncoderSpec(**SMALL))
    assert isinstance(several, MultiTaskEncoder)
    assert several.read_out_position == 0
    theirs = dict(one.named_parameters())
    assert list(theirs) == [name for name, _ in several.named_parameters()]
    for name, ours in several.named_parameters():
        assert name.startswith("head") or torch.equal(ours, theirs[name])


def test_every_output_is_an_encoder_with_a_head_of_its_own():
    model, tokens = build(), random_tokens(20)
    logits = model(tokens)
    assert logits.shape == (20, 3, 5)
    for k in range(3):
        alone = build(PreNormEncoderSpec(**SMALL))
        assert isinstance(alone, PreNormEncoder)
        rows = slice(5 * k, 5 * (k + 1))
        state = {n: x[rows] if n.startswith("head") else x for n, x in model.state_dict().items()}
        alone.load_state_dict(state)
        torch.testing.assert_close(logits[:, k], alone(tokens), rtol=0, atol=1e-12)


def test_heads_share_no_parameter_and_start_apart():
    model = build(MultiTaskEncoderSpec(width=64, heads=4, mlp_width=24, outputs=3))
    model(random_tokens(20))[:, 1].sum().backward()
    touched = model.head.weight.grad.abs().sum(1).unflatten(0, (3, 5)) > 0
    assert touched.tolist() == [[False] * 5, [True] * 5, [False] * 5]
    assert (model.token_embedding.weight.grad != 0).any()
    heads = model.head.weight.detach().unflatten(0, (3, 5))
    # Uniform in ±1/√64, as a head alone: independent rows of 320 entries correlate by 1/√320.
    assert 0.11 < heads.abs().amax((1, 2)).min() <= heads.abs().max() <= 0.125
    correlation = torch.corrcoef(heads.flatten(1)) - torch.eye(3)
    assert correlation.abs().max() < 5 / 320**0.5


def test_roles_of_the_heads():
    roles = parameter_roles(build())
    assert (roles["head.weight"].kind, roles["head.bias"].kind) == ("head", "bias")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"outputs": 1}, "expected outputs >= 2, got 1; .*PreNormEncoderSpec"),
        ({"heads": 3}, "MultiTaskEncoderSpec: .*divisible by heads"),
        ({"layers": 0}, "MultiTaskEncoderSpec: expected layers >= 1, got 0"),
    ],
)
def test_impossible_sizes_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        MultiTaskEncoderSpec(**arguments)


# --- training --------------------------------------------------------------------------------


def test_gradient_is_that_of_the_mean_over_all_labels():
    specs = [spec(0), spec(1)]
    problem = Problem(specs, EAGER)
    theta = problem.initial_parameters()
    tokens, labels = problem.batch(0)
    assert labels.shape == (2, 16, 3)
    assert (labels == UNLABELLED).any()
    gradient, loss, accuracy = problem.gradient(theta, tokens, labels)
    for k, own in enumerate(specs):
        model = own.model.build(vocabulary=7, length=2, classes=7, seed=own.seed)
        logits = model.naive_forward(tokens[k])
        # One label after the other, of all operations; a / 0 has none.
        pairs = [(row, j) for row in range(16) for j in range(3) if labels[k, row, j] >= 0]
        losses = [F.cross_entropy(logits[row, j], labels[k, row, j]) for row, j in pairs]
        expected = torch.stack(losses).mean()
        pieces = torch.autograd.grad(expected, list(model.parameters()))
        reference = torch.cat([p.flatten() for p in pieces])
        # float32 rounding of sums of about 50 terms.
        torch.testing.assert_close(gradient[k], reference, rtol=1e-4, atol=1e-6)
        assert loss[k].item() == pytest.approx(expected.item(), rel=1e-6)
        right = [float(logits[row, j].argmax() == labels[k, row, j]) for row, j in pairs]
        assert accuracy[k].item() == pytest.approx(sum(right) / len(right), abs=1e-6)


def test_evaluation_counts_operations_and_whole_rows():
    problem = Problem([spec(0), spec(1)], EAGER)
    theta = problem.initial_parameters()
    metrics = problem.evaluate(theta)
    for k in range(2):
        data = TASK.dataset(k)
        views = problem.layout.views(theta[k])
        logits = functional_call(problem.skeleton, views, (data.tokens,))
        right, labelled = logits.argmax(-1) == data.labels, data.labels != UNLABELLED
        rows, mirror = data.test, data.subsets["diagonal"]
        expected = {
            "test_accuracy": right[rows].sum() / labelled[rows].sum(),
            "test_sequence_accuracy": (right | ~labelled)[rows].all(1).double().mean(),
            "test_accuracy_diagonal": right[rows][mirror[rows]].sum()
            / labelled[rows][mirror[rows]].sum(),
            "test_loss": F.cross_entropy(logits[rows].flatten(0, 1), data.labels[rows].flatten()),
        }
        for name, value in expected.items():
            assert metrics[name][k].item() == pytest.approx(value.item(), rel=1e-5)


def test_training_learns_every_operation_and_no_run_depends_on_its_mates():
    specs = [spec(seed, steps=120, record_every=120) for seed in (0, 1)]
    problem = Problem(specs, EAGER)
    *_, last = train(problem)
    for k, own in enumerate(specs):
        data = TASK.dataset(own.data_seed)
        tokens = data.tokens[None, data.train]
        logits = problem.logits(last.parameters[k : k + 1], tokens)[0]
        labels = data.labels[data.train]
        right = (logits.argmax(-1) == labels).sum(0) / (labels != UNLABELLED).sum(0)
        assert (right > 0.7).all(), right
    *_, alone = train(Problem(specs[1:], EAGER))
    assert torch.equal(alone.parameters[0], last.parameters[1])


def test_resume_is_exact_and_rebatches():
    specs = [spec(seed) for seed in (0, 1)]
    *_, whole = Trainer(Problem(specs, EAGER)).snapshots()
    trainer = Trainer(Problem(specs, EAGER))
    for snapshot in trainer.snapshots():
        if snapshot.step == 4:
            break
    state = merge_states([trainer.state.tensors(1)], links=2)
    *_, resumed = Trainer(Problem(specs[1:], EAGER), state=state).snapshots()
    assert torch.equal(resumed.parameters[0], whole.parameters[1])


def test_runs_are_stored_and_not_trained_twice(tmp_path, monkeypatch):
    plan = Plan(tmp_path, execution=EAGER, keep_snapshots=True)
    (result,) = run([spec()], plan)
    *_, last = Trainer(Problem([spec()], EAGER)).snapshots()
    tensors, _ = result.folder.read_snapshot(8)
    assert torch.equal(tensors["parameters"], last.parameters[0])
    steps, accuracy = result.curve("validation_sequence_accuracy")
    assert steps.tolist() == [0, 4, 8]
    assert accuracy[-1] == last.metrics["validation_sequence_accuracy"][0]
    assert result.folder.path.name.startswith("add-div-x2-y27-unordered-weightdecay1-adam-seed0")
    monkeypatch.setattr(Trainer, "step_", lambda self: pytest.fail("trained again"))
    assert run([spec()], plan)[0].failure is None


@pytest.mark.parametrize(
    ("task", "model", "message"),
    [
        (TASK, MultiTaskEncoderSpec(**SMALL),
         r"\(B, 3, classes\) for the labels \(N, 3\) of SeveralOperations.*got \(B, 2, classes\) "
         r"from MultiTaskEncoderSpec.*MultiTaskEncoderSpec\(outputs=3\)"),
        (TASK, PreNormEncoderSpec(**SMALL), r"got \(B, classes\) from PreNormEncoderSpec"),
        (ModularArithmetic(7), MODEL,
         r"\(B, classes\) for the labels \(N,\) .*got \(B, 3, classes\).*one output a row"),
        (DyckDepth(4, 6, 12), MODEL, r"\(B, 8, classes\).*CausalDecoderSpec for a label at every"),
        (ModularArithmetic(7), CausalDecoderSpec(**SMALL), r"got \(B, 3, classes\) from Causal"),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_a_model_with_other_outputs_than_labels_is_refused(task, model, message):
    with pytest.raises(ValueError, match=message):
        Problem([spec(task=task, model=model)], EAGER)


class Unnamed(SeveralOperations):
    """Answers without names, so that what may share a batch does not tell how many there are."""

    answers = ()


def test_every_run_of_a_batch_is_checked():
    three, two = (Unnamed(7, names) for names in (("add", "div", "x2_y2"), ("add", "mul")))
    with pytest.raises(ValueError, match=r"labels \(N, 2\) of .*\('add', 'mul'\)"):
        Problem([spec(task=three), spec(task=two)], EAGER)
    named = SeveralOperations(7, ("add", "mul"))
    with pytest.raises(ValueError, match=r"can share a batch \(same model, shape and answers of"):
        Problem([spec(), spec(task=named)], EAGER)
