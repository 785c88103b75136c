"""Guards that are taken out, one at a time, in a copy of the package: the test that watches over it must fail."""

from __future__ import annotations

from pathlib import Path

import pytest
from guards import Guard, check_place, run_without

GUARDS = {
    "a checkpoint is flushed before it becomes the previous one": Guard(
        "runs/checkpoint", "                sync(newest)\n", "", "test_record.py::loss_of_power"
    ),
    "a file is flushed before it gets its name": Guard(
        "storage",
        "                if durable:\n                    os.fsync(file.fileno())\n",
        "",
        "test_storage.py::in_this_order",
    ),
    "the file before is kept": Guard(
        "runs/checkpoint", "newest.replace(previous)", "newest.unlink()", "test_record.py::damaged_checkpoint_is_passed"
    ),
    "time in which the parent was stopped does not count": Guard(
        "execution/sources",
        "waited = min(PULSE, time.monotonic() - since)",
        "waited = time.monotonic() - since",
        "test_execution.py::patience_is_for",
    ),
    "a unit has two tries": Guard(
        "execution/sources", "ATTEMPTS = 2 ", "ATTEMPTS = 1 ", "test_execution.py::of_four_units"
    ),
    "workers end with their parent": Guard(
        "execution/workers", "        os._exit(1)", "        pass", "test_execution.py::no_worker_outlives"
    ),
    "no seed of a tuning is compared": Guard(
        "commands/tune", "    if used:\n", "    if False:\n", "test_tune.py::none_of_the_tuning"
    ),
    "a choice at the upper edge is named": Guard(
        "sweeps/tuning", "(min(tried), max(tried))", "(min(tried),)", "test_tune.py::an_edge_is"
    ),
    "what is confirmed is each at its best": Guard(
        "sweeps/judge", "        if self.fair:\n", "        if False:\n", "test_sweep.py::best_without_is_one_line"
    ),
    "a file comes before a shipped config": Guard(
        "config/resolve", "path if os.path.lexists(path) else ", "", "test_shipped.py::a_path_comes_first"
    ),
    "a run comes before a shipped config": Guard(
        "commands/names",
        "    for directory in (path, options.runs / path):\n        if is_run(directory):\n            return _rec",
        "    for directory in () if shipped.file(str(path)) else (path, options.runs / path):\n"
        "        if is_run(directory):\n            return _rec",
        "test_shipped.py::a_path_comes_first",
    ),
    "configs are looked for in the package": Guard(
        "config/shipped", "inside if inside.is_dir() else ", "", "test_shipped.py::in_the_package_first"
    ),
    "a pair needs dropout": Guard(
        "commands/init", "if baseline.identity == dropout.identity:", "if False:", "test_init.py::cannot_be_written"
    ),
    "nohup is heeded": Guard("shell", "if stopping != signal.SIGHUP or", "if True or", "test_cli.py::nohup"),
    "the seal of summary.json": Guard(
        "runs/summary", "if not is_sealed_json(data) and", "if False and", "test_record.py::no_flipped_bit_in_a_summary"
    ),
    "a summary without a seal is of format 2": Guard(
        "runs/summary", "(version == FORMAT or SEAL in facts)", "SEAL in facts", "test_record.py::older_summary"
    ),
    "the seal is of every byte": Guard(
        "storage", "return digest == f", "return bool(digest) or digest == f", "test_record.py::no_flipped_bit_in"
    ),
    "files of a run have the hash that the summary says": Guard(
        "runs/summary",
        "if sha256(data) != summary.files.get(file.name):",
        "if False:",
        "test_fuzzing.py::no_flipped_bit",
    ),
    "a summary names no file outside": Guard(
        "runs/summary", "files: dict[Name, str]", "files: dict[str, str]", "test_record.py::summary_that_makes_no_sense"
    ),
    "only regular files are read": Guard(
        "storage", "if not stat.S_ISREG(", "if False and (", "test_record.py::never_end and seed"
    ),
    "every epoch of every seed": Guard(
        "runs/read", "            self._check_epochs(rows)\n", "", "test_hostile.py::files_of_different_runs"
    ),
    "predictions fit": Guard(
        "runs/read", "        if not fits:", "        if False:", "test_report.py::predictions_that_make"
    ),
    "damaged predictions are a refusal": Guard(
        "runs/read",
        "        except Exception as error:  # zipfile and numpy",
        "        except AssertionError as error:  # zipfile and numpy",
        "test_report.py::predictions_that_make",
    ),
    "damaged weights are a refusal": Guard(
        "runs/read",
        "        except Exception as error:  # as above",
        "        except AssertionError as error:  # as above",
        "test_hostile.py::forged_weights and cut",
    ),
    "weights have the network's shape": Guard(
        "evaluation/evaluate",
        "stored.shape != tensor.shape or",
        "False or",
        "test_hostile.py::forged_weights and spread",
    ),
    "weights are of 32 bits": Guard(
        "evaluation/evaluate", "stored.dtype != np.float32 or", "False or", "test_hostile.py::forged_weights and double"
    ),
    "weights are finite": Guard(
        "evaluation/evaluate", "or not np.isfinite(stored).all()", "", "test_hostile.py::forged_weights and nan"
    ),
    "files of one run belong together": Guard(
        "runs/finish",
        "except (LookupError, ValueError) as error:",
        "except AssertionError as error:",
        "test_hostile.py::files_of_different_runs",
    ),
    "a damaged run is left out": Guard(
        "commands/names",
        "problems += refused.problems\n    if problems and (len",
        "raise\n    if problems and (len",
        "test_hostile.py::left_out_of_a_comparison",
    ),
    "a damaged baseline is refused": Guard(
        "commands/names", " or texts[0] not in good", "", "test_hostile.py::left_out_of_a_comparison"
    ),
    "links are not followed": Guard(
        "runs/find", " and not path.is_symlink()]", "]", "test_hostile.py::neither_odd_names_nor_links"
    ),
    "odd names are not listed": Guard(
        "runs/find", "if RUN_NAME.fullmatch(path.name) and", "if", "test_hostile.py::neither_odd_names_nor_links"
    ),
    "a run directory that is a link is not written to": Guard(
        "runs/job", "places = path, path /", "places = path /", "test_hostile.py::neither_odd_names_nor_links"
    ),
    "no link in the runs directory is written through": Guard(
        "commands/names", "if place.is_symlink():", "if False:", "test_hostile.py::written_through"
    ),
    "no link in a run directory is written through": Guard(
        "runs/job",
        'path / "checkpoint", path / "tensorboard", *path.glob("tensorboard/*")',
        "*()",
        "test_hostile.py::written_through",
    ),
    "nor one among the events of its seeds": Guard(
        "runs/job", ', *path.glob("tensorboard/*")', "", "test_hostile.py::written_through"
    ),
    "steering characters are escaped on stdout": Guard(
        "terminal",
        "print(harmless(text.removesuffix",
        "print((text.removesuffix",
        "test_hostile.py::steers_the_terminal",
    ),
    "steering characters are escaped on stderr": Guard(
        "terminal", "print(harmless(text), file", "print(text, file", "test_hostile.py::steers_the_terminal"
    ),
    "a full stderr is no trouble": Guard(
        "terminal",
        "    except OSError:\n        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr",
        "    except BrokenPipeError:\n        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr",
        "test_hostile.py::streams_that_take_nothing",
    ),
    "an unknown home is refused": Guard(
        "data/datasets",
        'if str(expanded).startswith("~"):',
        "if False:",
        "test_hostile.py::home_that_is_not_known and HOME",
    ),
    "a sweep's runs are in its directory": Guard(
        "sweeps/files", "    name: Name", "    name: str", "test_hostile.py::forged_sweep and outside"
    ),
    "a deep sweep.yaml is refused": Guard(
        "sweeps/files",
        "AttributeError, RecursionError, yaml.YAMLError",
        "yaml.YAMLError",
        "test_hostile.py::forged_sweep and deep",
    ),
    "memory that is not there is a line": Guard(
        "shell", "    except MemoryError:", "    except ZeroDivisionError:", "test_hostile.py::what_memory_cannot_hold"
    ),
    "a plan larger than the memory is refused": Guard(
        "execution/layout", "if result.memory <= free:", "if True:", "test_hostile.py::plan_that_memory_cannot_hold"
    ),
    "an error in training costs its unit": Guard(
        "execution/workers",
        "    except Exception as error:  # words only",
        "    except ZeroDivisionError as error:  # words only",
        "test_hostile.py::forged_checkpoint",
    ),
    "aliases are refused": Guard(
        "config/strict_yaml",
        "if isinstance(event, yaml.AliasEvent):",
        "if False:",
        "test_strict_yaml.py::ends_the_reading",
    ),
    "tags are refused": Guard(
        "config/strict_yaml", "if event.tag is not None:", "if False:", "test_strict_yaml.py::ends_the_reading"
    ),
    "depth is bounded": Guard(
        "config/strict_yaml", "if len(at) >= MAX_DEPTH:", "if False:", "test_strict_yaml.py::ends_the_reading"
    ),
    "a config's size is bounded": Guard(
        "config/strict_yaml", "if len(data) > MAX_BYTES:", "if False:", "test_config.py::one_line"
    ),
    "whatever PyYAML raises is one fault": Guard(
        "config/strict_yaml",
        "(yaml.YAMLError, ArithmeticError, AttributeError, LookupError, RecursionError, ValueError)",
        "yaml.YAMLError",
        "test_strict_yaml.py::whatever_pyyaml",
    ),
    "an endless path is no file": Guard(
        "config/check",
        "if not os.path.isfile(path):",
        "if not path.stat():",
        "test_fuzzing.py::nasty",
    ),
    "an empty key has a name": Guard(
        "config/check", """key or '""' for key""", "key for key", "test_fuzzing.py::any_mapping"
    ),
    "a message repeats little": Guard(
        "errors",
        "return text if len(text) <= SHOWN else",
        "return text if True else",
        "test_fuzzing.py::mutated_config_is and 800",
    ),
    "a message is on one line": Guard(
        "errors", "text = printable(value if", "text = (value if", "test_fuzzing.py::mutated_config_is and 800"
    ),
    "a reason is on one line": Guard(
        "errors", "{printable(self.reason)}", "{self.reason}", "test_hostile.py::one_line_whatever_path"
    ),
    "paths that are no text are written": Guard(
        "storage",
        'return text.encode(errors="backslashreplace").decode()',
        "return text",
        "test_hostile.py::whose_name_is_no_text",
    ),
    "HTML is escaped": Guard("pages", "autoescape=True", "autoescape=False", "test_report.py::every_text_is_escaped"),
    "formulas are quoted": Guard(
        "comparison/tables", "if value.startswith(FORMULA) else", "if False else", "test_tables.py::formula"
    ),
    "a temporary file is a new one": Guard(
        "storage", 'open(temporary, "xb")', 'open(temporary, "wb")', "test_storage.py::foretold"
    ),
    "its name cannot be foretold": Guard(
        "storage", "os.urandom(8).hex()", "str(os.getpid())", "test_storage.py::foretold"
    ),
    "what cannot be removed is a line": Guard(
        "storage",
        'with failing(path, "removed"), ',
        "with ",
        "test_hostile.py::cannot_be_removed",
    ),
    "the seal of a checkpoint": Guard(
        "storage", "if digest != sha256(body).encode():", "if False:", "test_storage.py::every_flipped_bit"
    ),
    "a lock has one holder": Guard(
        "storage", "fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)", "pass", "test_storage.py::one_holder"
    ),
    "a lock is of the directory that has the name": Guard(
        "storage", "if os.path.samestat(", "if True or os.path.samestat(", "test_storage.py::has_the_name_now"
    ),
    "a lock that is a link is not followed": Guard(
        "storage",
        "os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW",
        "os.O_RDWR | os.O_CREAT",
        "test_storage.py::leads_elsewhere",
    ),
    "a damaged checkpoint is removed first": Guard(
        "runs/checkpoint", "for file in self.damaged:", "for file in ():", "test_record.py::never_takes"
    ),
    "other data or another config are refused": Guard(
        "runs/checkpoint", "if recorded.get(key) != value:", "if False:", "test_record.py::other_data"
    ),
    "data that change in a training are noticed": Guard(
        "runs/record", "if outcome.data_sha256 != self.data_sha256:", "if False:", "test_record.py::other_data"
    ),
    "a killed writer's leftovers are removed": Guard(
        "runs/record",
        "            remove_leftovers(self.path / name)",
        "            pass",
        "test_record.py::leftovers_of",
    ),
    "predictions do not swell": Guard("runs/read", "> len(data):", "> 2**70:", "test_report.py::swell"),
    "a network whose loss is not finite ends": Guard(
        "training", "if math.isfinite(rows[lane].train_loss) and", "if True or", "test_training.py::diverging_lane"
    ),
    "a sweep's names are text": Guard(
        "sweeps/files",
        "frozen=True)\n    name: str",
        "frozen=True)\n    name: Any",
        "test_hostile.py::forged_sweep and text",
    ),
    "a sweep merges nothing": Guard(
        "sweeps/files", "def flatten_mapping(", "def left_alone(", "test_hostile.py::forged_sweep and merge"
    ),
    "a sweep's file is read as it was written, whatever the locale": Guard(
        "report/page",
        'read_file(path / "sweep.yaml").decode()',
        '(path / "sweep.yaml").read_text()',
        "test_hostile.py::where_it_runs and LC_ALL",
    ),
    "a job's summary takes any path": Guard(
        "terminal",
        'encoding="utf-8", errors="backslashreplace"',
        'encoding="utf-8"',
        "test_hostile.py::whose_name_is_no_text",
    ),
    "events that a full disk refuses are a line": Guard(
        "commands/tracking",
        'with failing(self.path, "written"):',
        "if True:",
        "test_tracking.py::disk_that_is_full",
    ),
    "a confirmation has its own looks": Guard(
        "commands/sweep", "fresh, confirms=True)", "fresh)", "test_sweep.py::confirmed_on_seeds"
    ),
    "what was seen is not fresh": Guard(
        "comparison/compare",
        "or look.confirms or not {*look.seeds}.isdisjoint(self.judged)",
        "or look.confirms",
        "test_looks.py::experiment_of_its_own",
    ),
    "looks that cannot be read count": Guard(
        "comparison/looks", "found += [UNREAD] if (known", "found += [] if (known", "test_looks.py::kept_aside"
    ),
    "looks from elsewhere count": Guard(
        "comparison/looks",
        "(self.runs, home(a.path), home(b.path))",
        "(self.runs,)",
        "test_looks.py::another_runs_directory",
    ),
    "a declaration does not take a look back": Guard(
        "comparison/compare",
        "if self.known[0].sequential if self.known else self.sequential:",
        "if self.sequential or (self.known and self.known[0].sequential):",
        "test_looks.py::taken_back",
    ),
    "a gate's verdict is a look": Guard(
        "comparison/compare",
        "(contrast, *(contrast.on(metric) for metric in metrics if metric in contrast.rows))",
        "(contrast,)",
        "test_looks.py::gate_asks",
    ),
    "a signal that is swallowed is sent again": Guard(
        "shell", "if isinstance(lost.exc_value, Interrupted):", "if False:", "test_hostile.py::library_swallows"
    ),
    "event files are read in the order in which they were begun": Guard(
        "commands/tracking",
        "time.sleep(0.05)",
        "break",
        "test_tracking.py::come_again",
    ),
    "Ctrl-C is for the parent": Guard(
        "execution/workers", "signal.SIG_BLOCK, [signal.SIGINT]", "signal.SIG_BLOCK, []", "test_execution.py::ctrl_c"
    ),
    "a data set has its published hash": Guard(
        "data/idx",
        "if wrong is None and expected is not None and expected.get(path.name) != sha256:",
        "if False:",
        "test_idx.py::no_flipped_bit",
    ),
    "a data file begins as it must": Guard(
        "data/idx", "if magic != header[0]:", "if False:", "test_idx.py::corrupt_file_is_refused"
    ),
    "labels are in range": Guard(
        "data/idx", "if magic == LABELS and max", "if False and max", "test_idx.py::corrupt_file_is_refused and label"
    ),
    "a device that is not there is refused": Guard(
        "execution/layout",
        "_index(asked) >= (count := machine.cuda_count())",
        "False",
        "test_cli.py::refusal_says_what and cuda",
    ),
    "a name is one word": Guard(
        "config/settings",
        'RUN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")',
        'RUN_NAME = re.compile(r".{1,64}")',
        "test_cli.py::refusal_says_what and name",
    ),
    "relu changes places only with a mask that only scales": Guard(
        "sweeps/plan",
        '(activation == "relu" and kind.only_scales)',
        '(activation == "relu")',
        "test_sweep.py::same_bytes",
    ),
    "chance depends on the confidence": Guard(
        "evaluation/averaging",
        "< confidence) - confidence, BINS",
        "< confidence) - 1, BINS",
        "test_evaluation.py::chance_alone",
    ),
    "no label is a formula": Guard("figures/style", '"text.parse_math": False, ', "", "test_plots.py::hostile_names"),
    "a page asks for nothing": Guard(
        "pages",
        "default-src 'none'; img-src",
        "img-src",
        "test_report.py::refers_to_nothing",
    ),
    "what enters a page is escaped": Guard(
        "pages", "autoescape=True", "autoescape=False", "test_report.py::is_escaped"
    ),
    "nothing unprintable enters a page": Guard("pages", "finalize=_printable,", "", "test_report.py::is_escaped"),
    "a run may go while runs are listed": Guard(
        "runs/find", "with contextlib.suppress(FileNotFoundError):", "if True:", "test_listing.py::moved_aside"
    ),
    "a damaged run that is not finished is left out": Guard(
        "commands/names",
        "            elif here:",
        "            elif False:",
        "test_hostile.py::left_out_of_a_comparison",
    ),
    "numbers are written with every bit": Guard(
        "runs/finish",
        '",".join(map(repr, line))',
        '",".join(map("{:.12g}".format, line))',
        "test_record.py::every_bit",
    ),
    "objects in arrays are refused": Guard(
        "data/npz", "if dtype.hasobject:", "if False:", "test_npz.py::no_pickle or bad_npz"
    ),
    "arrays hold what they declare": Guard(
        "data/npz",
        "elif header.stored != header.count * dtype.itemsize:",
        "elif False:",
        "test_npz.py::much_memory or bad_npz",
    ),
    "who spoiled a unit gets nothing while that is tried elsewhere": Guard(
        "cluster/distribute", "address not in self.suspects and ", "", "test_distribute.py::not_blamed_for_a_worker"
    ),
    "a worker that spoils units gets no more": Guard(
        "cluster/distribute", " and self.strikes[address] < STRIKES", "", "test_distribute.py::not_blamed_for_a_worker"
    ),
    "a second try goes where something was trained": Guard(
        "cluster/distribute", "max(proven or sound", "max(sound", "test_distribute.py::not_blamed_for_a_worker"
    ),
    "suspicion ends when nothing is tried again": Guard(
        "cluster/distribute", "blame.suspects.clear()", "pass", "test_distribute.py::finished_by_another_process"
    ),
    "what costs worker after worker is given up": Guard(
        "cluster/distribute",
        ">= LOSSES for task in left)",
        ">= 1000 for task in left)",
        "test_distribute.py::costs_one_worker",
    ),
    "epochs told twice are recorded once": Guard(
        "cluster/distribute", "if number == sent.epochs:", "if True:", "test_distribute.py::recorded_once"
    ),
    "nothing steers matplotlib": Guard(
        "shell", "    os.environ |= DRAWING  # ", "    # ", "test_after_the_work.py::nothing_that_steers"
    ),
    "a picture that fails costs no result": Guard(
        "commands/result",
        "except Exception as error:  # what draws",
        "except AssertionError as error:  # what draws",
        "test_after_the_work.py::nobody_asked_for",
    ),
    "a file that is lost is an error": Guard(
        "shell",
        "if shown.lost else shown.error",
        "if False else shown.error",
        "test_after_the_work.py::that_was_asked_for",
    ),
    "doctor draws": Guard("commands/doctor", ", _matplotlib()]", "]", "test_after_the_work.py::does_not_start"),
    "lost events cost no table": Guard(
        "commands/train",
        "        if job.unfinished():\n            stop_at(failures)",
        "        stop_at(failures)",
        "test_after_the_work.py::events_that_cannot",
    ),
    "Python is warned of lost files": Guard(
        "api", "for line in done.lost:", "for line in ():", "test_after_the_work.py::python_is_warned"
    ),
    "a directory for results begins at home": Guard(
        "commands/names",
        "    place = data.at_home(given)\n",
        "    place = Path(given)\n",
        "test_homes.py::every_path_of_python or every_path_of_the",
    ),
    "a data set of one's own begins at home": Guard(
        "config/check", ") / at_home(dataset)", ") / dataset", "test_homes.py::every_path_of_the"
    ),
    "a path in a config is relative to the config": Guard(
        "config/check",
        "(Path() if key in self.overridden else self.folder)",
        "Path()",
        "test_own_data.py::path_in_a_file",
    ),
    "data that moved are found again": Guard(
        "data/datasets",
        "if os.path.isfile(place := above",
        "if False and (place := above",
        "test_own_data.py::moves or old_run",
    ),
    "a class that training lacks is refused": Guard(
        "data/split",
        "if (missing := np.setdiff1d(classes, training)).size:",
        "if (missing := np.setdiff1d(classes, training)).size > 99:",
        "test_own_data.py::training_or_validation_lacks",
    ),
    "a class that a tail that validates lacks is refused": Guard(
        "data/split",
        'if parts.validation_from == "tail" and not held_out:',
        "if False:",
        "test_own_data.py::training_or_validation_lacks",
    ),
    "a class that a tail that tests has alone is refused": Guard(
        "data/npz",
        "if (missing := np.setdiff1d(y[tests], rest)).size:",
        "if (missing := np.setdiff1d(y[tests], rest)).size > 99:",
        "test_own_data.py::training_or_validation_lacks",
    ),
    "a split by class leaves one of each": Guard(
        "data/split", " + (number == of_class - 1)", "", "test_own_data.py::every_beginning"
    ),
    "a constant feature becomes 0": Guard(
        "data/scale", "block[:, ~varies] = 0", "pass", "test_data.py::constant_in_training"
    ),
    "a scale learns from the training part": Guard(
        "data/datasets",
        "parts.divide(labels, stored.held_out, draw)[0].numpy()",
        "np.arange(len(images))",
        "test_own_data.py::standardize_learns",
    ),
    "numbers that unit does not fit are refused": Guard(
        "data/scale", "if not 0 <= low <= high <= 1:", "if False:", "test_own_data.py::unit_takes"
    ),
    "seeds with numbers of their own share no lanes": Guard(
        "execution/units", "config.draw_of_numbers(task.seed)", "(0, 0)", "test_own_data.py::never_share_lanes"
    ),
    "clean metrics of own data are of a sample": Guard(
        "training",
        "sample if settings.is_own else lambda",
        "lambda",
        "test_own_data.py::random_sample",
    ),
    "numbers that changed change the identity": Guard(
        "config/settings", 'decisive["revision"] = REVISION', "pass", "test_own_data.py::are_other_runs"
    ),
    "old and new numbers are not compared": Guard(
        "comparison/compare",
        "if baseline.outdated != run.outdated",
        "if False",
        "test_own_data.py::earlier_standardize",
    ),
    "old and new numbers are no one run": Guard(
        "runs/job",
        "if missing and summary and summary.identity",
        "if False and summary.identity",
        "test_own_data.py::earlier_st",
    ),
    "validation arrays are used or refused": Guard(
        "data/datasets", "if data.given and parts", "if False and parts", "test_own_data.py::arrays_validate"
    ),
    "arrays that are not used are named": Guard(
        "data/npz", "if name not in headers]", "if False]", "test_own_data.py::not_used_are_named"
    ),
    "a table that mixes numbers and text is refused": Guard(
        "data/tables",
        "if self.first_number and self.first_text and not self.fault:",
        "if False:",
        "test_own_tables.py::bad_table and mixed",
    ),
    "a date is no category": Guard(
        "data/tables",
        "if self.first_text and DATE.fullmatch(self.first_text[1]):",
        "if False:",
        "test_own_tables.py::bad_table and dates",
    ),
    "a number with separators is no category": Guard(
        "data/tables",
        "if self.first_text and SEPARATED.fullmatch(self.first_text[1]):",
        "if False:",
        "test_own_tables.py::bad_table and (thousands or decimal)",
    ),
    "missing values are refused": Guard(
        "data/tables",
        'elif column.absent and missing == "refuse":',
        "elif False:",
        "test_own_tables.py::with_column_and_count",
    ),
    "a missing class is never made up": Guard(
        "data/tables",
        'elif self.target.absent and missing != "drop-row":',
        "elif False:",
        "test_own_tables.py::drop_row_leaves",
    ),
    "a line has as many fields as the first": Guard(
        "data/tables", "if len(fields) != len(self.names):", "if False:", "test_own_tables.py::bad_table and field"
    ),
    "a column name is used once": Guard(
        "data/tables", "elif uses[name] > 1:", "elif False:", "test_own_tables.py::bad_table and two"
    ),
    "the texts of a column are bounded": Guard(
        "data/tables", "if len(self.texts) == MAX_VALUES:", "if False:", "test_own_tables.py::bad_table and categories"
    ),
    "a mean is that of the training part": Guard(
        "data/datasets",
        "fill(images, test_images, training)",
        "fill(images, test_images, np.arange(len(images)))",
        "test_own_tables.py::training_part_alone",
    ),
    "seeds with means of their own never share lanes": Guard(
        "config/settings",
        ' or self.data.missing == "mean"',
        "",
        "test_own_tables.py::means_of_their_own",
    ),
    "a table needs a target": Guard(
        "config/settings", "elif data.target is None:", "elif False:", "test_own_tables.py::settings_that_a_table"
    ),
    "a class of a test file is known": Guard(
        "data/tables",
        "if other.target.named(value, classes) not in classes:",
        "if False:",
        "test_own_tables.py::unlike_test_file",
    ),
    "a database begins at home": Guard(
        "commands/export", "at_home(match[1])", "Path(match[1])", "test_homes.py::database_of_an_export"
    ),
    "an odd directory is in no URL": Guard(
        "commands/export",
        "path if ODD.search(str(absolute)) else absolute",
        "absolute",
        "test_export.py::url_of_a_database",
    ),
    "a home that no URL can name is refused": Guard(
        "commands/export", "if ODD.search(str(path))", "if False", "test_export.py::url_of_a_database"
    ),
    "an option of one value is given once": Guard(
        "shell", "and order.count(option) > 1", "and False", "test_cli.py::given_twice"
    ),
    "the seed alone is suggested": Guard(
        "shell", 'if key == "--seed" and', "if False and", "test_cli.py::test_a_refusal_says and 42"
    ),
    "true and false are named": Guard(
        "config/rules",
        '        case "boolean":\n            return "true or false"\n',
        "",
        "test_cli.py::test_a_refusal_says and nesterov",
    ),
    "help is a command that helps with commands": Guard(
        "cli", "[*(words or ()), ", "[", "test_cli.py::help_is_a_command"
    ),
    "advice exists in every command": Guard(
        "errors", "as `dropout-lab train --fresh` does", "or use --fresh", "test_advice.py::exists_where_it_is_said"
    ),
    "seeds are advised where there are seeds": Guard(
        "shell", 'and near and "--seeds" in near', "", "test_advice.py::command_with_seeds"
    ),
    "a directory may refuse to be flushed": Guard(
        "storage",
        "if error.errno != errno.EINVAL or not path.is_dir():",
        "if True:",
        "test_storage.py::cannot_be_flushed",
    ),
    "a file may not": Guard(
        "storage",
        "error.errno != errno.EINVAL or not path.is_dir()",
        "error.errno != errno.EINVAL",
        "test_storage.py::cannot_be_flushed",
    ),
    "without locks the work goes on": Guard(
        "storage", "if error.errno not in NO_LOCKS:", "if True:", "test_storage.py::without_locks"
    ),
    "another error of a lock is a failure": Guard(
        "storage", "if error.errno not in NO_LOCKS:", "if False:", "test_storage.py::another_error"
    ),
    "what is weaker is said once": Guard(
        "execution/execute", "if note not in self.told]", "]", "test_storage.py::without_locks"
    ),
    "doctor looks at the file system": Guard(
        "commands/doctor",
        "        yield _locks(there)",
        "        pass",
        "test_storage.py::without_locks or cannot_be_flushed",
    ),
    "a lock is waited for": Guard(
        "storage", "            if waits is None:\n", "            if True:\n", "test_waiting.py::is_waited_for"
    ),
    "a turn may be locked again": Guard("storage", "        _turns().add(place)\n", "", "test_waiting.py::only_a_turn"),
    "a turn is not another process": Guard(
        "storage",
        "    if path.resolve() in _turns():\n        return None\n",
        "",
        "test_waiting.py::only_a_turn",
    ),
    "a turn ends": Guard(
        "storage", "            _turns().discard(place)\n", "            pass\n", "test_waiting.py::turn_lasts"
    ),
    "nobody waits without locks": Guard(
        "storage", "        if weaker:\n", "        if False:\n", "test_waiting.py::could_not_end"
    ),
    "a plan does not mind who writes, if it is to wait": Guard(
        "commands/plan", "Job.unfinished if options.wait else", "", "test_waiting.py::is_waited_for"
    ),
    "a finished run is not waited for": Guard(
        "commands/train",
        "if options.wait and steps[0].missing else",
        "if options.wait else",
        "test_waiting.py::nobody_waits",
    ),
    "missing data are refused before the wait": Guard(
        "commands/train",
        "    data.check(job.config.data.dataset, options.data, job.config.data.parts)\n",
        "",
        "test_waiting.py::could_not_end",
    ),
    "what is trained meanwhile is not trained again": Guard(
        "commands/train",
        "        yield plans.plan([job], options)",
        "        yield [Step(job, job.config.seeds)]",
        "test_waiting.py::trained_meanwhile",
    ),
    "--wait and --fresh": Guard(
        "commands/train", "if fresh and options.wait:", "if False:", "test_waiting.py::could_not_end"
    ),
    "the turn lasts until the result is read": Guard(
        "commands/train", "        run = load(job.path)\n", "    run = load(job.path)\n", "test_waiting.py::turn_lasts"
    ),
    "merged runs differ in seeds alone": Guard(
        "runs/merge",
        "        if before.get(key) != after.get(key):",
        "        if False:",
        "test_merge.py::whatever_else",
    ),
    "merged runs have one environment": Guard(
        "runs/merge",
        " | {key: environment.get(key) for key in DECIDES}",
        "",
        "test_merge.py::another_environment and cpu",
    ),
    "a merged run claims no fact in which its runs differ": Guard(
        "runs/merge",
        "if all(fact.get(key) == value for fact in facts)",
        "",
        "test_merge.py::another_environment and cpu",
    ),
    "a seed of two runs is the same in both": Guard(
        "runs/merge", "if _bytes(known, origin) != _bytes(record, origin):", "if False:", "test_merge.py::two_runs_have"
    ),
    "the time that a seed took is not its result": Guard(
        "runs/merge",
        "pack(replace(record, seconds=[]), origin)",
        "pack(record, origin)",
        "test_merge.py::two_runs_have",
    ),
    "merged seeds are in order": Guard(
        "runs/merge", "for seed in sorted(found)}", "for seed in found}", "test_merge.py::bytes_of_seeds"
    ),
    "a merged run replaces nothing": Guard(
        "runs/merge",
        "    if os.path.lexists(path):\n",
        "    if False:\n",
        "test_merge.py::whatever_else or appears_meanwhile",
    ),
    "a run that appears while others are merged is left alone": Guard(
        "runs/merge", "            _refuse_existing(path)\n", "", "test_merge.py::appears_meanwhile"
    ),
    "a merge that fails leaves nothing": Guard(
        "runs/merge",
        "    finally:\n        shutil.rmtree(hidden, ignore_errors=True)\n",
        "    finally:\n        pass\n",
        "test_merge.py::disk_that_is_full",
    ),
    "a merge cleans up after a killed one": Guard(
        "runs/merge", "        if not holder(leftover):\n", "        if False:\n", "test_merge.py::is_killed"
    ),
    "a run has its name when it is whole": Guard(
        "runs/merge",
        "hidden = path.with_name(f",
        "hidden = path if True else path.with_name(f",
        "test_merge.py::is_killed",
    ),
    "unfinished runs are not merged": Guard(
        "commands/merge", 'if not (job.path / "summary.json").exists():', "if False:", "test_merge.py::unfinished_run"
    ),
    "a merged run has the name of a run": Guard(
        "commands/merge", "if not RUN_NAME.fullmatch(name):", "if False:", "test_merge.py::whatever_else"
    ),
    "a look that is lost costs no verdict": Guard(
        "comparison/looks",
        "            except (Failed, OSError) as failed:",
        "            except ZeroDivisionError as failed:",
        "test_read_only.py::look_that_is_not",
    ),
    "a lost look is said by compare and sweep": Guard(
        "commands/compare", "[*looks.lost]", "[]", "test_read_only.py::look_that_is_not"
    ),
    "a lost look is said by a report": Guard(
        "commands/report", "    for line in looks.lost:", "    for line in ():", "test_read_only.py::look_that_is_not"
    ),
    "a picture that is not written is an error": Guard(
        "commands/plot", "            lost += failed\n", "            pass\n", "test_read_only.py::shown_first"
    ),
    "pictures of one name have numbers": Guard(
        "commands/plot", "if free.name not in names)", "if True)", "test_read_only.py::pictures_of_one_name"
    ),
    "a sweep's files go where they are told": Guard(
        "commands/swept", "place = out or directory", "place = directory", "test_read_only.py::with_out_everything"
    ),
    "an evaluation goes where it is told": Guard(
        "commands/evaluate",
        "directory = place or inside",
        "directory = inside",
        "test_read_only.py::with_out_everything",
    ),
    "the way of --until-decided costs no verdict": Guard(
        "commands/until",
        "unwritten(directory, lambda: remember(directory, order[: len(first)], lanes))",
        "(lambda: [remember(directory, order[: len(first)], lanes)][:0])()",
        "test_read_only.py::seeds_until",
    ),
    "a checkpoint that cannot be read now is kept": Guard(
        "runs/checkpoint", "error.errno not in NO_FILE", "False", "test_record.py::cannot_be_read_now"
    ),
    "a summary that cannot be read is not damaged": Guard(
        "runs/summary",
        "    except OSError as error:\n        raise unreadable(file, error) from None\n    except (ValueError",
        "    except (OSError, ValueError",
        "test_record.py::is_not_called_damaged",
    ),
    "letters of ours are spelled plainly": Guard(
        "terminal", "PLAIN.get(c) or c.encode", "c.encode", "test_cli.py::narrow_encodings"
    ),
    "the caller's program is the program again": Guard(
        "execution/workers",
        '        sys.modules["__main__"], process.daemon = program, daemon',
        "        process.daemon = daemon",
        "test_starting.py::without_a_guard_from",
    ),
    "a program from stdin has no file": Guard(
        "execution/workers",
        '    sys.modules["__main__"] = nameless',
        "    pass",
        "test_starting.py::without_a_guard_from",
    ),
    "a daemon may start workers": Guard(
        "execution/workers", "    process.daemon = False\n", "", "test_starting.py::without_a_guard_from"
    ),
    "a forked process computes with one thread": Guard(
        "execution/machine", "    torch.set_num_threads(1)\n", "", "test_starting.py::forked_process"
    ),
    "a forked process trains with one thread": Guard(
        "execution/machine", "    if torch_was_forked:\n        return 1\n", "", "test_starting.py::forked_process"
    ),
    "the edge makes values plain": Guard(
        "commands/arguments", "CHECKS[name](plain(value))", "CHECKS[name](value)", "test_arguments.py::other_libraries"
    ),
    "the edge refuses wrong types": Guard(
        "commands/arguments",
        "except ValueError as error:\n                raise Refused(Problem(f",
        "except ZeroDivisionError as error:\n                raise Refused(Problem(f",
        "test_arguments.py::names_every_parameter",
    ),
    "computed rates are those that are meant": Guard(
        "commands/arguments", "return [*map(_computed, numbers)]", "return numbers", "test_arguments.py::were_computed"
    ),
    "a number that was not computed is left alone": Guard(
        "commands/arguments",
        "<= FEW * DOUBLE * abs(value)",
        "<= 1e-12 * abs(value)",
        "test_arguments.py::was_not_computed",
    ),
    "single precision is read as it was written": Guard(
        "commands/arguments",
        "_each_number(_single if single else",
        "_each_number(float if single else",
        "test_arguments.py::other_libraries",
    ),
    "warnings point at the caller": Guard(
        "commands/arguments", "stacklevel=level)", "stacklevel=2)", "test_arguments.py::warnings_point"
    ),
    "torch's threads are left as they were": Guard(
        "execution/layout",
        "            start_as_found()\n",
        "            pass\n",
        "test_api.py::finds_everything_as_it_was",
    ),
    "nothing trains beside runs on other data": Guard(
        "commands/plan",
        "(found := now[dataset, job.config.data.parts]) and digest != found:",
        "(found := now[dataset, job.config.data.parts]) and False:",
        "test_same_data.py::refused_before_it_trains or all_commands_that_train or confirmation_is_refused or a_claim",
    ),
    "an interrupted run knows its data": Guard(
        "commands/plan", "if summary else begun_on(path)", "if summary else None", "test_same_data.py::was_interrupted"
    ),
    "two files are compared by what they hold": Guard(
        "commands/compare",
        "        if not same_data(first, job, options):",
        "        if False:",
        "test_same_data.py::two_files",
    ),
    "nothing is chosen from runs on different data": Guard(
        "sweeps/judge",
        "    if problems := [problem for found in mixed for problem in found]:\n",
        "    if problems := []:\n",
        "test_same_data.py::nothing_is_chosen",
    ),
    "nothing is chosen from runs that validate on different images": Guard(
        "sweeps/judge", "for run in loaded[1:] for", "for run in [] for", "test_sweep.py::validate_on_different"
    ),
    "a file that is written anew is read anew": Guard(
        "execution/workers",
        "version=version(of.dataset, directory, of.parts))",
        "version=None)",
        "test_same_data.py::trained_in_one_program",
    ),
    "curves of runs on different data are not drawn together": Guard(
        "commands/plot", "> 1 and not apart:", "> 1:", "test_same_data.py::not_drawn_together"
    ),
    "a sweep says what was made otherwise": Guard(
        "sweeps/judge",
        'labelled("sweep", about), *apart,',
        'labelled("sweep", about),',
        "test_same_data.py::not_forbid",
    ),
    "a sweep that is judged is the one in sweep.yaml": Guard(
        "commands/swept", "        write_sweep(directory, sweep.to_yaml())\n", "", "test_sweep.py::interrupted_leaves"
    ),
    "nothing of another plan stays": Guard(
        "sweeps/files", "        remove(directory / outdated)\n", "        pass\n", "test_sweep.py::interrupted_leaves"
    ),
    "no picture stays beside another table": Guard(
        "commands/swept", "        remove(place / PICTURE)", "        pass", "test_sweep.py::stays_beside"
    ),
    "a sweep has finished runs of its own": Guard(
        "commands/names",
        '    if any(is_run(path) and state(path) == "finished" for path in paths):\n',
        "    if True:\n",
        "test_sweep.py::interrupted_leaves",
    ),
    "seeds to confirm on are found before anything trains": Guard(
        "commands/sweep",
        "        check_confirmation(planned, most or 0,",
        "        (lambda *_: None)(planned, most or 0,",
        "test_sweep.py::without_seeds_to_confirm",
    ),
    "events begin with the epochs before": Guard(
        "commands/tracking",
        "        for row in before or ():",
        "        for row in ():",
        "test_tracking.py::without_tracking_are_written",
    ),
    "events that are not all there are written anew": Guard(
        "commands/tracking",
        "if epochs != [row.epoch for row in rows] or ended",
        "if not epochs or ended",
        "test_tracking.py::lack_something and epoch",
    ),
    "results are looked for too": Guard(
        "commands/tracking",
        " or ended != isinstance(facts, FinishedSeed):",
        ":",
        "test_tracking.py::lack_something and results",
    ),
    "events cost no training": Guard(
        "commands/tracking",
        "        except Failed as error:\n            lost.append(str(error))",
        "        except AssertionError as error:\n            lost.append(str(error))",
        "test_tracking.py::whatever_becomes_of_events",
    ),
    "events of finished runs cost no comparison": Guard(
        "commands/plan",
        "        options.lost.extend(unwritten(run.path, partial(tracking.complete, run)))",
        "        failures += unwritten(run.path, partial(tracking.complete, run))",
        "test_tracking.py::whatever_becomes_of_events",
    ),
    "runs that are shown together are told apart": Guard(
        "commands/compare", "    loaded = runs.told_apart(loaded)\n", "", "test_called.py::told_apart_in_all"
    ),
    "a run of a sweep that is shown alone has its sweep's name": Guard(
        "runs/find",
        "2 if len(parts) == 1 and",
        "2 if False and",
        "test_called.py::shown_alone or in_reports",
    ),
    "a file of a run is no config": Guard(
        "commands/names",
        "    if isinstance(path, Path) and _holder(path):\n",
        "    if False:\n",
        "test_called.py::is_answered_with_its_name",
    ),
    "curves are told apart": Guard(
        "commands/plot",
        "plots.curves(*runs.told_apart([run]))",
        "plots.curves(run)",
        "test_called.py::in_reports",
    ),
    "looks of runs of one name are two ways": Guard(
        "commands/until", "runs.told_apart([", "([", "test_called.py::its_own_way"
    ),
    "runs elsewhere have files of their own": Guard(
        "commands/names",
        'return f"{place.name}-{sha256(os.fsencode(place))[:8]}"',
        "return place.name",
        "test_called.py::never_meet",
    ),
    "a/b and a_b have files of their own": Guard(
        "commands/names", "if taken else word", "if False else word", "test_called.py::never_meet"
    ),
    "names that hold -vs- have a digest": Guard(
        "commands/compare", "    if unclear or len", "    if len", "test_called.py::share_a_directory"
    ),
    "denormals are left as they were": Guard(
        "threads",
        "torch.set_flush_denormal(found)",
        "torch.set_flush_denormal(False)",
        "test_training.py::in_training_and_nowhere_else",
    ),
    "a lesson draws no network that diverged": Guard(
        "lesson/gather", "if story.seed in found.diverged:", "if False:", "test_lesson.py::diverged_cannot_be_drawn"
    ),
    "a lesson is a page": Guard(
        "commands/lesson", '    check_page("--out", out, (".html",))\n', "", "test_lesson.py::refusals_change_nothing"
    ),
    "the runs that stop early are of one seed": Guard(
        "lesson/plan", '{"seeds": numbers[:1]}', '{"seeds": numbers}', "test_lesson.py::two_sweeps_of_one_config"
    ),
    "the commands of a lesson say where its runs are": Guard(
        "lesson/plan", "name, *places]", "name]", "test_lesson.py::commands_are_those_that_made_it"
    ),
    "a page has its own style": Guard(
        "pages", "sheet = common + own", "sheet = common", "test_lesson.py::page_needs_nothing_outside"
    ),
}


@pytest.mark.parametrize("name", GUARDS)
def test_a_guard_is_where_it_is_said_to_be(name: str) -> None:
    check_place(GUARDS[name])


@pytest.mark.long
@pytest.mark.parametrize("name", GUARDS)
def test_the_test_of_a_guard_fails_without_it(name: str, tmp_path: Path) -> None:
    result = run_without(GUARDS[name], tmp_path)
    assert result.returncode == 1, f"{name}: {result.stdout[-2000:]}{result.stderr[-500:]}"
