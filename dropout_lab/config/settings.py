"""Every setting of a run: its default, its bounds and its meaning, and the rules that span several settings.

The models below are the only source: messages, the JSON schema, the commented file and the docs derive from them. To
add a setting, add a field.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from functools import cache
from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, field_validator
from pydantic_core import CoreSchema, core_schema

from dropout_lab.config.ranges import MAX_SEED, MAX_VALUES
from dropout_lab.config.rules import Schema
from dropout_lab.config.strict_yaml import Keys, written
from dropout_lab.data.datasets import DATASETS, OWN, Dimensions, at_home, dimensions
from dropout_lab.data.split import FIRST, Draw, Parts
from dropout_lab.data.tables import SUFFIXES
from dropout_lab.dropout import CUT, DROPOUTS, SCHEDULES

RUN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
NAME_FORM = "1 to 64 of A-Z a-z 0-9 . _ - with a letter or digit first"
NAME_RULE = f"{NAME_FORM}, in quotes where it is a number"
MAX_PARAMETERS = 100_000_000  # of one network
MAX_EPOCHS = 10_000_000  # of one run, over all of its seeds
REVISION = 2  # of own data (whose clean metrics are of a random sample) and of standardize (which is by feature)

Finding = tuple[tuple[Keys, ...], str, object]  # keys whose values break a rule together, the rule, the first's value


@dataclass(frozen=True)
class Words:
    """Marks text that must be one of `names` (None is null) or match `pattern`; `meaning` says the pattern in words."""

    names: tuple[str | None, ...]
    pattern: str = ""
    meaning: str = ""

    def check(self, text: str) -> str:
        if text in self.names or (self.pattern and re.fullmatch(self.pattern, text) and text.isprintable()):
            return text
        raise ValueError("not one of the words")

    def __get_pydantic_core_schema__(self, source: type, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: object) -> dict[str, Any]:
        if not self.pattern:
            return {"type": "string", "enum": list(self.names)}
        matching = {"type": "string", "pattern": f"^({self.pattern})$", "description": self.meaning}
        return {"anyOf": [{"enum": list(self.names)}, matching]} if self.names else matching


Rate = Annotated[float, Field(ge=0, le=1)]
Width = Annotated[int, Field(ge=1, le=16_384)]
Seed = Annotated[int, Field(ge=0, le=MAX_SEED)]
Name = Annotated[str, Words((None,), RUN_NAME.pattern, NAME_RULE)]
Dataset = Annotated[str, Words((*DATASETS,), r".+\.(npz|csv|tsv|parquet)", OWN)]
ColumnName = Annotated[str, Words((), ".*", "a column name")]
Table = Annotated[str, Words((), r".+\.(csv|tsv|parquet)", "the path of a .csv, .tsv or .parquet file")]
Device = Annotated[str, Words(("auto", "cpu", "cuda"), r"cuda:(0|[1-9][0-9]?)", "cuda:N with the number of a GPU")]


class Section(BaseModel):
    """The base of all settings: values are not converted, unknown keys and infinities are refused, nothing changes."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*")
    @classmethod
    def _one_zero(cls, value: object) -> object:
        """Replace -0.0 by 0.0: they are equal but written differently, which would change the identity of a run."""
        if isinstance(value, tuple):
            return tuple(number + 0 if isinstance(number, float) else number for number in value)
        return value + 0 if isinstance(value, float) else value


def setting(default: Any, meaning: str, **limits: Any) -> Any:
    """A field of a section: its default (... is none), what it means, and its limits as pydantic names them."""
    return Field(default, description=meaning, **limits)


class DataConfig(Section):
    """The images, and how they are split and scaled."""

    dataset: Dataset = setting("mnist", "mnist, fashion-mnist, kmnist, digits, wine, breast-cancer, or an .npz or .csv")
    validation_fraction: float = setting(0.1, "share of the training images set aside for validation", gt=0, le=0.9)
    validation_from: Literal["tail", "random", "stratified"] = setting(
        "tail", "tail: the last, as Keras; random: drawn by seed; stratified: by class (own data)"
    )
    test_from: Literal["tail", "random", "stratified"] = setting(
        "tail", "of own data without a test split: stratified (their default), random, tail"
    )
    scale: Literal["unit", "column-l2", "standardize"] = setting(
        "unit", "unit: /255; column-l2: keras.utils.normalize(axis=1); standardize: by feature"
    )
    train_size: int | None = setting(None, "train on only N of the images that validation leaves; null: on all", ge=1)
    train_from: Literal["head", "random"] = setting(
        "head", "which N images: head, the first; random, drawn by seed (fewer are a subset)"
    )
    label_noise: float = setting(
        0.0, "fraction of the training labels replaced by another class, drawn by seed", ge=0, le=1
    )
    target: ColumnName | None = setting(None, "of a table: the column of the classes")
    drop: tuple[ColumnName, ...] = setting(
        (), "of a table: the columns that are no inputs", max_length=MAX_VALUES, strict=False
    )
    missing: Literal["refuse", "mean", "drop-row"] = setting(
        "refuse", "of a table: refuse missing values; mean; drop-row: leave out"
    )
    test: Table | None = setting(None, "of a table: the file of the test split; null: see test_from")

    @property
    def is_own(self) -> bool:
        """Whether these are a user's own data, and not a data set that the lab knows by name."""
        return self.dataset not in DATASETS

    @property
    def files(self) -> dict[str, str]:
        """The paths of a user's own data, by key: the data set and, if there is one, the file of the test split."""
        paths = {"dataset": self.dataset if self.is_own else None, "test": self.test}
        return {key: path for key, path in paths.items() if path is not None}

    @property
    def is_table(self) -> bool:
        """Whether these are a table: a .csv, .tsv or .parquet file."""
        return self.dataset.endswith(SUFFIXES)

    @property
    def parts(self) -> Parts:
        """How the images become training, validation and test images."""
        return Parts(**{field.name: getattr(self, field.name) for field in fields(Parts)})

    @property
    def parts_of_numbers(self) -> Parts:
        """The parts as far as the loaded numbers depend on them: what is equal is loaded once.

        A scale learns from all images that validation leaves, also where fewer are trained on.
        """
        whole = replace(self.parts, train_size=None, train_from="head")
        return whole if self.is_own or self.scale == "standardize" else Parts()

    @property
    def size(self) -> Dimensions:
        """The size of the data set. Reads a user's own data; raises Refused if they are missing or bad."""
        return dimensions(self.dataset, self.parts)

    @property
    def training_images(self) -> int:
        """How many images a network trains on."""
        of = self.size
        left = self.parts.left(of.train, of.held_out)
        return min(self.train_size or left, left)


class NetworkConfig(Section):
    """A multilayer perceptron with a softmax at its end."""

    hidden: tuple[Width, ...] = setting(
        (128, 128), "units of each hidden layer; []: no hidden layer", max_length=32, strict=False
    )
    activation: Literal["relu", "tanh", "sigmoid", "selu", "identity"] = setting(
        "relu", "activation of the hidden layers: relu, tanh, sigmoid, selu, identity"
    )
    init: Literal["glorot-uniform", "lecun-normal", "pytorch", "normal"] = setting(
        "glorot-uniform", "first weights: glorot-uniform (as Keras), lecun-normal, pytorch, normal"
    )
    widen: bool = setting(False, "true: units / (1 - rate) in each hidden layer, so that as many are kept")


class DropoutConfig(Section):
    """What is dropped, and where. A rate is the fraction dropped, never the fraction kept."""

    kind: Annotated[str, Words((*DROPOUTS,))] = setting("bernoulli", ", ".join(DROPOUTS))
    rate: Rate | Annotated[tuple[Rate, ...], Field(max_length=32, strict=False)] = setting(
        0.5, "fraction of hidden units dropped; a list gives one per hidden layer; 0: none"
    )
    input_rate: Rate = setting(0.0, "fraction of the pixels dropped")
    placement: Literal["after", "before"] = setting("after", "after or before the activation")
    mask: Literal["example", "batch"] = setting(
        "example", "example: a mask for each image; batch: one mask for the whole batch"
    )
    schedule: Annotated[str, Words((*SCHEDULES,))] = setting(
        "constant", f"of the rates in time: {', '.join(SCHEDULES)}"
    )
    cutoff: int | None = setting(
        None, "epochs after which early dropout ends, or late dropout begins", ge=0, le=100_000
    )
    gamma: float | None = setting(
        None, "curriculum: how fast the rates rise, per step; null: 10 / all steps", gt=0, le=1000
    )
    samples: int = setting(
        10, "DropConnect only: samples per unit at test time; 1 uses the mean weights", ge=1, le=1000
    )

    @property
    def manner(self) -> str:
        """How units are dropped, in words, such as "after" or "before, one mask a batch, until epoch 3"."""
        when = {
            "early": f"until epoch {self.cutoff}",
            "early-linear": f"falling until epoch {self.cutoff}",
            "late": f"from epoch {(self.cutoff or 0) + 1} on",
            "curriculum": "rising",
        }
        place = self.placement if DROPOUTS[self.kind].has_placement else ""
        masks = "one mask a batch" if self.mask == "batch" else ""
        return ", ".join(filter(None, (place, masks, when.get(self.schedule))))

    @property
    def described(self) -> str:
        """Kind and manner in words: "gaussian dropout after the activation", "dropconnect, one mask a batch"."""
        if not DROPOUTS[self.kind].has_placement:
            return ", ".join(filter(None, (self.kind, self.manner)))
        return f"{self.kind} dropout " + self.manner.replace(self.placement, f"{self.placement} the activation", 1)


class RegularizationConfig(Section):
    """What keeps the weights small, beside dropout."""

    l1: float = setting(0.0, "weight of the sum of absolute weights in the loss", ge=0, le=1000)
    l2: float = setting(0.0, "weight of the sum of squared weights in the loss", ge=0, le=1000)
    max_norm: float | None = setting(None, "largest norm of the weights into one unit; null: any", gt=0, le=1000)
    weight_decay: float = setting(
        0.0, "decoupled: each step takes learning rate * this * weight off a weight", ge=0, le=1000
    )


class TrainingConfig(Section):
    """How the network is trained."""

    epochs: int = setting(10, "passes over the training images", ge=1, le=100_000)
    batch_size: int = setting(32, "images per step", ge=1, le=65_536)
    optimizer: Literal["adam", "sgd", "rmsprop"] = setting(
        "adam", "how steps follow from gradients: adam, sgd, rmsprop"
    )
    learning_rate: float = setting(0.001, "size of the steps", gt=0, le=1e30)
    decay: float = setting(1.0, "factor of the learning rate after every epoch", gt=0, le=1)
    decay_steps: int | None = setting(
        None, "T: the learning rate is divided by 1 + steps / T; null: it is not", ge=1, le=10**9
    )
    momentum: float = setting(0.0, "share of the last step kept; sgd and rmsprop only", ge=0, lt=1)
    momentum_start: float | None = setting(
        None, "momentum of the first epoch, from where it rises; null: the same", ge=0, lt=1
    )
    momentum_epochs: int = setting(
        500, "epochs in which momentum_start becomes momentum, in equal parts", ge=1, le=100_000
    )
    nesterov: bool = setting(False, "true: Nesterov's momentum; sgd only")
    dampened: bool = setting(False, "true: gradients times 1 - momentum (Hinton 2012); sgd only")
    epsilon_form: Literal["pytorch", "keras"] = setting(
        "pytorch", "where epsilon stands in adam and rmsprop: as in pytorch, or as in keras"
    )
    patience: int | None = setting(
        None, "stop when val_loss has no new best for so many epochs, restore it", ge=1, le=100_000
    )
    precision: Literal["float32", "bfloat16"] = setting(
        "float32", "of training's products: float32, bfloat16 (8 bits, faster for wide layers)"
    )


class StreamsConfig(Section):
    """The seed that each stream of random numbers is drawn from, where it is not the seed of the network."""

    init: int | None = setting(None, "seed of the first weights; null: each seed's own", ge=0, le=MAX_SEED)
    order: int | None = setting(None, "seed of the batch order; null: each seed's own", ge=0, le=MAX_SEED)
    masks: int | None = setting(None, "seed of the masks; null: each seed's own", ge=0, le=MAX_SEED)
    subset: int | None = setting(None, "seed of train_from: random; null: each seed's own", ge=0, le=MAX_SEED)
    split: int | None = setting(None, "seed of validation_from: random; null: each seed's own", ge=0, le=MAX_SEED)
    label_noise: int | None = setting(None, "seed of the labels made wrong; null: each seed's own", ge=0, le=MAX_SEED)

    def seed_of(self, purpose: str, seed: int) -> int:
        """Return the seed that the network of `seed` draws the stream `purpose` from (streams.py names them)."""
        fixed: int | None = getattr(self, purpose.replace(" ", "_"), None)
        return seed if fixed is None else fixed


class Config(Section):
    """The config of one run. Make it with `load` or `resolve`, which also check the rules between several keys."""

    name: Name = setting(..., "name of the run and of its directory; null: the name of this file")
    data: DataConfig = setting(DataConfig(), "the images")
    network: NetworkConfig = setting(NetworkConfig(), "the multilayer perceptron")
    dropout: DropoutConfig = setting(DropoutConfig(), "what is dropped, and where")
    regularization: RegularizationConfig = setting(RegularizationConfig(), "what else holds the weights back")
    training: TrainingConfig = setting(TrainingConfig(), "how the weights are found")
    streams: StreamsConfig = setting(StreamsConfig(), "what is drawn from another seed")
    seeds: tuple[Seed, ...] = setting(
        (0,),
        "one network is trained for each",
        min_length=1,
        max_length=MAX_VALUES,
        strict=False,
        json_schema_extra={"uniqueItems": True},
    )
    device: Device = setting("auto", "auto, cpu, cuda, or cuda:N for one GPU of several")

    @property
    def identity(self) -> str:
        """The SHA-256, in hexadecimal, of all settings that decide the numbers: all except name, seeds and device.

        Settings at their defaults are left out, so that a setting added later does not change the identity of old runs.
        REVISION changes it where the same settings once meant other numbers.
        """
        return self._digest(str)

    @property
    def lasting_identity(self) -> str:
        """The identity by which a run on disk is known: without the directory of a user's own data, which may move.

        The run's digest of the data tells files of one name apart.
        """
        return self._digest(os.path.basename)

    def _digest(self, place: Callable[[str], str]) -> str:
        decisive = self.model_dump(exclude={"name", "seeds", "device"}, exclude_defaults=True)
        if self.data.is_own:
            decisive["data"] |= {key: place(path) for key, path in self.data.files.items()}
        if self.data.is_own or self.data.scale == "standardize":
            decisive["revision"] = REVISION
        return hashlib.sha256(json.dumps(decisive, sort_keys=True, separators=(",", ":")).encode()).hexdigest()

    def draw(self, seed: int) -> Draw:
        """Return the seeds by which the network of `seed` draws its validation and its training images."""
        return self.streams.seed_of("split", seed), self.streams.seed_of("subset", seed)

    def draw_of_numbers(self, seed: int) -> Draw:
        """Return the draw that decides the scaled numbers of the images; the same one where they are equal for all."""
        learned = self.data.scale == "standardize" or self.data.missing == "mean"
        by_seed = learned and self.data.validation_from == "random"
        return (self.draw(seed)[0], 0) if by_seed else FIRST

    def kept(self) -> Config:
        """Return the config as a run keeps it: with the full paths of a user's own data."""
        paths = {key: os.path.abspath(at_home(path)) for key, path in self.data.files.items()}
        return self.model_copy(update={"data": self.data.model_copy(update=paths)})

    @property
    def rates(self) -> tuple[float, ...]:
        """The dropout rate of each hidden layer."""
        rate = self.dropout.rate
        return rate if isinstance(rate, tuple) else (rate,) * len(self.network.hidden)

    @property
    def mean_rate(self) -> float:
        """The mean rate of the hidden layers or, if they drop nothing, the rate of the input."""
        return math.fsum(self.rates) / len(self.rates) if any(self.rates) else self.dropout.input_rate

    @property
    def widths(self) -> tuple[int, ...]:
        """The units of each hidden layer. With network.widen they are n / (1 - rate) (Srivastava et al. 2014, A.1)."""
        if not self.network.widen:
            return self.network.hidden
        pairs = zip(self.network.hidden, self.rates, strict=True)
        return tuple(round(units / (1 - rate)) if rate < 1 else units for units, rate in pairs)


SECTIONS = {
    key: type(field.default) for key, field in Config.model_fields.items() if isinstance(field.default, Section)
}
SETTINGS: tuple[Keys, ...] = tuple(  # in the order of the file
    keys
    for key in Config.model_fields
    for keys in ([(key, inner) for inner in SECTIONS[key].model_fields] if key in SECTIONS else [(key,)])
)


@cache
def json_schema() -> dict[str, Any]:
    """Return the JSON schema (draft 2020-12) of a config file, for editors."""
    schema: dict[str, Any] = _untitled(Config.model_json_schema())
    schema["properties"]["name"]["default"] = None
    del schema["required"]  # the name: it defaults to the file's stem
    schema["description"] = "One run of dropout-lab: one network and its training, for one or more seeds."
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "dropout-lab config"} | schema


def schema_of(keys: Keys) -> Schema:
    """Return the schema of a setting, of a section or, for (), of the whole config."""
    schema = json_schema()
    for key in keys:
        schema = schema["properties"][key]
        if "$ref" in schema:
            schema = json_schema()["$defs"][schema["$ref"].rpartition("/")[2]]
    return schema


def _untitled(schema: Any) -> Any:
    """Remove the titles that pydantic makes of names: editors would show them instead of the descriptions."""
    if isinstance(schema, dict):
        return {key: _untitled(value) for key, value in schema.items() if key != "title"}
    return schema


def findings(config: Config) -> Iterator[Finding]:
    """Yield every rule between settings that `config` breaks."""
    yield from _dropout_findings(config)
    yield from _data_findings(config)
    yield from _size_findings(config)
    yield from _training_findings(config.training)
    repeated = [seed for index, seed in enumerate(config.seeds) if seed in config.seeds[:index]]
    if repeated:
        yield (("seeds",),), "must name every seed only once", repeated[0]


def _training_findings(training: TrainingConfig) -> Iterator[Finding]:
    """Refuse settings that the chosen optimizer would ignore."""
    optimizer = ("training", "optimizer")
    for key, neutral, optimizers in (
        ("momentum", 0, ("sgd", "rmsprop")),
        ("momentum_start", None, ("sgd", "rmsprop")),
        ("nesterov", False, ("sgd",)),
        ("dampened", False, ("sgd",)),
        ("epsilon_form", "pytorch", ("adam", "rmsprop")),
    ):
        value = getattr(training, key)
        if value != neutral and training.optimizer not in optimizers:
            users = f"{' and '.join(optimizers)} {'use' if len(optimizers) > 1 else 'uses'} {key}"
            reason = f"must be {written(neutral)} with the optimizer {training.optimizer}: only {users}"
            yield (("training", key), optimizer), reason, value
    for key in "nesterov", "dampened":
        if getattr(training, key) and training.optimizer == "sgd" and not training.momentum:
            yield (("training", key), ("training", "momentum")), "must be false without momentum", True
    if training.optimizer != "adam" and (training.momentum_start or 0) > training.momentum:
        reason = f"must be null or a number up to the momentum that it rises to, {written(training.momentum)}"
        keys = ("training", "momentum_start"), ("training", "momentum")
        yield keys, reason, training.momentum_start


def _dropout_findings(config: Config) -> Iterator[Finding]:
    dropout, layers = config.dropout, len(config.network.hidden)
    if isinstance(dropout.rate, tuple) and len(dropout.rate) != layers:
        reason = f"must be one number, or a list of exactly {layers}: one per hidden layer"
        yield (("dropout", "rate"), ("network", "hidden")), reason, dropout.rate
    kind = DROPOUTS[dropout.kind]
    if kind.below_one:
        for key, value in ("rate", dropout.rate), ("input_rate", dropout.input_rate):
            if max(value if isinstance(value, tuple) else (value,), default=0) == 1:
                reason = f"must be below 1 with the kind {dropout.kind}, whose noise has no bound there"
                yield (("dropout", key), ("dropout", "kind")), reason, value
    for (section, key), needed in kind.needs.items():
        if (value := getattr(getattr(config, section), key)) != needed:
            reason = f"must be {written(needed)} with the kind {dropout.kind}, {kind.because}"
            yield ((section, key), ("dropout", "kind")), reason, value
    if dropout.schedule in CUT and dropout.cutoff is None:
        reason = f"must be a number of epochs with the schedule {dropout.schedule}"
        yield (("dropout", "cutoff"), ("dropout", "schedule")), reason, None
    if config.network.widen and max(config.rates, default=0) == 1:
        reason = "must be below 1 with network.widen, which divides by what is kept"
        yield (("dropout", "rate"), ("network", "widen")), reason, dropout.rate


def _data_findings(config: Config) -> Iterator[Finding]:
    data = config.data
    yield from _table_findings(data)
    if data.is_own:
        return
    if data.test_from != "tail":
        reason = f"must be left out with {data.dataset}, which has a test split of its own"
        yield (("data", "test_from"), ("data", "dataset")), reason, data.test_from
    count = DATASETS[data.dataset].train_count
    left = data.parts.left(count)
    keys: tuple[Keys, ...] = ("data", "validation_fraction"), ("data", "dataset")
    if left == count:
        reason = f"must set at least one of the {count} training images aside"
        yield keys, reason, data.validation_fraction
    if data.train_size is not None and data.train_size > left:
        reason = f"must be null or a whole number from 1 to {left}, the training images that validation leaves"
        yield (("data", "train_size"), *keys), reason, data.train_size


def _table_findings(data: DataConfig) -> Iterator[Finding]:
    """A table needs a target; nothing else has columns."""
    if not data.is_table:
        for key in "target", "drop", "missing", "test":
            if (value := getattr(data, key)) != DataConfig.model_fields[key].default:
                reason = f"must be left out with {os.path.basename(data.dataset)}, which is no table"
                yield (("data", key), ("data", "dataset")), reason, value
    elif data.target is None:
        yield (("data", "target"), ("data", "dataset")), "must name the column of the table that has the classes", None
    elif data.target in data.drop:
        yield (("data", "drop"), ("data", "target")), "must not hold the target", data.target
    if data.test is not None and data.test_from != "stratified":
        reason = "must be left out with data.test, which is the test split"
        yield (("data", "test_from"), ("data", "test")), reason, data.test_from


def _size_findings(config: Config) -> Iterator[Finding]:
    """Bound the size of a run before memory is taken. The sizes of a user's own data set are not known here."""
    entry = DATASETS.get(config.data.dataset)
    units = (math.prod(entry.shape), *config.widths, entry.classes) if entry else config.widths
    parameters = sum((inputs + 1) * outputs for inputs, outputs in pairwise(units))
    if parameters > MAX_PARAMETERS:
        reason = f"must make a network of at most {MAX_PARAMETERS} parameters, not {parameters}"
        yield (("network", "hidden"), ("data", "dataset")), reason, config.network.hidden
    epochs, seeds = config.training.epochs, len(config.seeds)
    if epochs * seeds > MAX_EPOCHS:
        reason = f"must be at most {MAX_EPOCHS // seeds} with {seeds} seeds, for {MAX_EPOCHS} epochs in all"
        yield (("training", "epochs"), ("seeds",)), reason, epochs
