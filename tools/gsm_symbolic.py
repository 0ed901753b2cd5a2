#!/usr/bin/env python3
"""Makes fresh problems like those of GSM8K from the templates of GSM-Symbolic.

    tools/gsm_symbolic.py TEMPLATES OUT.jsonl [--seed 1] [--instances 50] [--set symbolic|p1|p2|all]

TEMPLATES is a folder or a .tar.gz with templates/{symbolic,p1,p2}/*.json, of which `question_annotated` (slots, samplers,
conditions and answer) and `answer_annotated` (worked steps) are read. Row i of a template depends on the seed, the
template's name and i alone. An instance is kept if it meets every condition, no int() cuts a fraction off, and the worked steps
end with the answer; docs/text-tasks.md lists the templates that can't give any.
Needs only Python's standard library. Exit codes: 64 wrong arguments, 65 bad templates, 74 files that can't be read or written.
"""
import argparse
import json
import os
import pathlib
import random
import re
import sys
import tarfile

from gsm_symbolic_expressions import Draw, Expression, TemplateError, Worded, as_text, number_of

MAX_DRAWS = 2_000_000  # some published templates (p1/0011) have very rare solutions
MAX_MET = 20_000  # draws that met the conditions, but gave no exact answer that the steps agree with
SETS = ("symbolic", "p1", "p2")
SECTION = re.compile(r"\n\s*#\s*(init|conditions|answer)\s*[:=]")
SAMPLER = re.compile(r"-\s*((?:\$?\w+\s*,\s*)*\$?\w+)\s*=(.*)", re.DOTALL)
SLOT = re.compile(r"\{([^{}]*)\}")
QUESTION_SLOT = re.compile(r"\{\s*(\w+)\s*,\s*([^{}]*?)\s*\}")

# Templates of the published set that contradict themselves, so that no instance exists; they are left out by name.
DEFECTIVE = {
    "symbolic/0062": "its #answer forgets the first n1 cards, which its steps count.",
    "p1/0074": "its #answer divides by all pupils, its steps by those who are present, as asked.",
    "p1/0089": "its #answer forgets the insurance, which its steps add.",
    "p2/0026": "its #answer takes a meal away that its steps and question don't.",
}


class Template:
    """One template: question and steps with slots, samplers in order, conditions and the expression of the answer."""

    def __init__(self, name, row):
        self.name = name
        for field in ("question_annotated", "answer_annotated"):
            if not isinstance(row, dict) or not isinstance(row.get(field), str):
                raise self.error(f"it has no text '{field}'")
        self.steps = row["answer_annotated"].strip()
        self.question, *rest = SECTION.split("\n" + row["question_annotated"])
        self.question = self.question.strip()
        sections = dict(zip(rest[::2], rest[1::2]))
        if not {"init", "answer"} <= set(sections):
            raise self.error("#init or #answer is missing")
        self.samplers = [self.sampler(line) for line in sections["init"].strip().splitlines() if line.strip()]
        self.conditions = [self.expression(line.strip().removeprefix("-"))
                           for line in sections.get("conditions", "").strip().splitlines() if line.strip()]
        self.order = list(self.plan())
        self.answer = self.expression(sections["answer"].strip().lstrip("$").strip("{} \n"))
        self.exact = "round" not in self.answer.names  # problems about rounding may cut fractions off in their steps
        self.slots = {source: self.expression(source) for source in SLOT.findall(self.steps)}

    def error(self, problem):
        return TemplateError(f"Template {self.name}: {problem}.")

    def expression(self, source):
        try:
            return Expression(source)
        except TemplateError as error:
            raise self.error(error) from None

    def sampler(self, line):
        """Names, what they are drawn from, and whether they are numbers ($)."""
        match = SAMPLER.fullmatch(line.strip())
        if match is None:
            raise self.error(f"'{line.strip()}' isn't '- name = sampler'")
        names = [name.strip().lstrip("$") for name in match[1].split(",")]
        try:
            draw = Expression(match[2])({})
            draw = draw if isinstance(draw, Draw) else Draw(draw)
        except TemplateError as error:
            raise self.error(error) from None
        if draw.count != len(names):
            raise self.error(f"'{line.strip()}' draws {draw.count} values for {len(names)} names")
        return names, draw, "$" in match[1]

    def plan(self):
        """Samplers, numbers first, each with the conditions that can be judged once it has drawn."""
        left, known = list(self.conditions), set()
        own = {name for names, _, _ in self.samplers for name in names}
        for names, draw, _ in sorted(self.samplers, key=lambda sampler: not sampler[2]):
            known.update(names)
            ready = [condition for condition in left if condition.names & own <= known]
            left = [condition for condition in left if condition not in ready]
            yield names, draw, ready

    def draw(self, rng):
        """Values that meet the conditions, or None: rejected as soon as one fails."""
        values = {}
        for names, draw, conditions in self.order:
            values.update(zip(names, draw(rng)))
            if not all(condition(values) for condition in conditions):
                return None
        return values

    def texts(self, values):
        """Question and worked steps, or None if the steps end with something else than the answer."""
        answer = as_text(number_of(self.answer(values, exact=True)))
        steps, _, last = SLOT.sub(lambda slot: self.step_text(slot[1], values), self.steps).rpartition("####")
        if last.strip() != answer:
            return None
        question = QUESTION_SLOT.sub(lambda slot: as_text(self.value(values, slot[1])), self.question)
        return question, f"{steps.rstrip()}\n#### {answer}"

    def step_text(self, source, values):
        """Steps reckon, so a number is written in digits there."""
        value = self.slots[source](values, exact=self.exact)
        return as_text(value.value if isinstance(value, Worded) else value)

    def value(self, values, name):
        if name not in values:
            raise self.error(f"slot {name} has no sampler")
        return values[name]

    def instance(self, seed, index):
        rng, met = random.Random(f"{seed} {self.name} {index}"), 0
        try:
            for _ in range(MAX_DRAWS):
                try:
                    values = self.draw(rng)
                    if values is None:
                        continue
                    met += 1
                    texts = self.texts(values)
                except ArithmeticError:  # a division by zero, or an int() that would cut a fraction off
                    texts = None
                if texts:
                    question, answer = texts
                    return {"id": f"{self.name}/{index}", "question": question, "answer": answer, "template": self.name}
                if met == MAX_MET:
                    break
        except TemplateError as error:
            raise error if str(error).startswith("Template ") else self.error(error) from None
        raise self.error(f"no instance found: {met} of at most {MAX_DRAWS} draws met its conditions"
                         + (", none with an exact answer that its steps end with" if met else ""))


def parse(name, text):
    try:
        row = json.loads(text)
    except ValueError as error:
        raise TemplateError(f"Template {name}: broken JSON ({error}).") from None
    return Template(name, row)


def read_files(source):
    """(set/number, text) of every template, sorted."""
    found = {}
    if source.is_dir():
        for path in source.rglob("*.json"):
            found[f"{path.parent.name}/{path.stem}"] = path.read_bytes()
    else:
        with tarfile.open(source) as archive:
            for member in archive:
                path = pathlib.PurePosixPath(member.name)
                if member.isfile() and path.suffix == ".json":
                    found[f"{path.parent.name}/{path.stem}"] = archive.extractfile(member).read()
    return sorted(found.items())


def write(path, rows):
    """The whole file or none."""
    part = path.with_name(path.name + ".part")
    try:
        with open(part, "w", encoding="utf-8") as file:
            for row in rows:
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


class Parser(argparse.ArgumentParser):
    def error(self, message):
        self.exit(64, f"gsm_symbolic: {message}. See --help.\n")


def main():
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("templates", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--instances", type=int, default=50, help="problems of each template")
    parser.add_argument("--set", choices=(*SETS, "all"), default="symbolic", dest="wanted")
    args = parser.parse_args()
    if args.instances < 1:
        parser.error("--instances must be at least 1")
    wanted = SETS if args.wanted == "all" else (args.wanted,)
    try:
        files = [(name, text) for name, text in read_files(args.templates) if name.split("/")[0] in wanted]
        if not files:
            raise TemplateError(f"{args.templates} holds no templates {' or '.join(wanted)}/*.json.")
        for name, _ in files:
            if name in DEFECTIVE:
                print(f"gsm_symbolic: {name} is left out: {DEFECTIVE[name]}", file=sys.stderr)
        templates = [parse(name, text) for name, text in files if name not in DEFECTIVE]
        write(args.out, [template.instance(args.seed, i) for template in templates for i in range(args.instances)])
    except (TemplateError, tarfile.TarError, EOFError, UnicodeDecodeError) as error:
        print(f"gsm_symbolic: {error}", file=sys.stderr)
        return 65
    except OSError as error:
        print(f"gsm_symbolic: {error}", file=sys.stderr)
        return 74
    return 0


if __name__ == "__main__":
    sys.exit(main())
