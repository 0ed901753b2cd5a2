"""The Python-like expressions of GSM-Symbolic's templates, over exact numbers.

Parsed by `ast`; only the nodes and functions named here are evaluated, anything else is a TemplateError that names it.
Numbers are int or Fraction (0.1 is 1/10), so is_int, // and int() don't depend on rounding. The templates' own library
isn't part of them: named lists and functions below are written after how the templates use them.
"""
import ast
import operator
from fractions import Fraction


class TemplateError(Exception):
    pass


class InexactAnswer(ArithmeticError):
    """int() would cut a fraction off."""


class Worded:
    """A number with its own wording: "twice" is 2. [0] is the wording, [1] the number."""

    def __init__(self, text, value):
        self.text, self.value = text, value


ONES = ("zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
        "eighteen nineteen").split()
TENS = "_ _ twenty thirty forty fifty sixty seventy eighty ninety".split()


def in_words(n):
    if not 0 <= n < 100:
        raise TemplateError(f"numbers_within: {n} isn't between 0 and 99")
    return ONES[n] if n < 20 else TENS[n // 10] + ("-" + ONES[n % 10] if n % 10 else "")


def worded(pairs):
    return [Worded(text, Fraction(value)) for text, value in pairs]


MULTIPLE_ICE = worded([("twice", 2), ("thrice", 3)])
MULTI_TIMES = worded([(f"{in_words(n)} times", n) for n in range(2, 9)])
FRACTION_ALPH = worded([("half", "1/2"), ("one-third", "1/3"), ("two-thirds", "2/3"), ("one-fourth", "1/4"),
                        ("three-fourths", "3/4"), ("one-fifth", "1/5"), ("two-fifths", "2/5"), ("three-fifths", "3/5")])
FRACTION_NUMS = worded([(text, text) for text in ("1/2", "1/3", "1/4", "1/5", "1/6", "1/8", "1/10", "2/3", "3/4", "2/5",
                                                  "3/5", "4/5")])
NAMES_FEMALE = ("Amelia Beatrice Chloe Dalia Elena Fatima Grace Hana Ingrid Jasmine Keiko Laila Mei Nadia Olivia Priya Rosa "
                "Sofia Thandi Yara").split()
NAMES_MALE = ("Ahmed Bruno Carlos Diego Emeka Felix George Hassan Ivan Javier Kofi Liam Mateo Nikhil Omar Pedro Rafael Samuel "
              "Tomas Wei").split()
LISTS = {
    "names_female": NAMES_FEMALE,
    "names_male": NAMES_MALE,
    "names": NAMES_FEMALE + NAMES_MALE,
    "fruits": "apple banana orange mango peach pear plum kiwi apricot pineapple".split(),
    "colors": "red blue green yellow orange purple white black pink brown".split(),
    "sports": "basketball soccer tennis volleyball baseball cricket badminton hockey".split(),
    "cities": ["Los Angeles", "Chicago", "Toronto", "London", "Madrid", "Cairo", "Mumbai", "Tokyo", "Sydney", "Lima"],
    "weekdays": "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split(),
    "currencies_sym": ["$", "€", "£"],
    "weights_sm": ["ounce", "gram"],
    "weights_med": ["pound", "kilogram"],
    "length_lg": ["mile", "kilometer"],
    "multiple": worded([("double", 2), ("triple", 3), ("quadruple", 4)]),
    "multiple_ice": MULTIPLE_ICE,
    "multi_times": MULTI_TIMES,
    "fraction_alph": FRACTION_ALPH,
    "fraction_nums": FRACTION_NUMS,
    "fraction_alnum": FRACTION_ALPH + FRACTION_NUMS,
    "fractions": FRACTION_ALPH + FRACTION_NUMS,
    "fraction_decimals": worded([(f"0.{n}", f"0.{n}") for n in ("1", "2", "25", "3", "4", "5", "6", "7", "75", "8", "9")]),
}


def number_of(value):
    """As int where it is whole, else as Fraction."""
    if isinstance(value, Worded):
        value = value.value
    if not isinstance(value, (int, Fraction)):
        raise TemplateError(f"{value!r} isn't a number")
    return value.numerator if value.denominator == 1 else value


def as_text(value):
    """Finite decimals of at most six digits as decimals, other fractions as a/b."""
    if isinstance(value, Worded):
        return value.text
    if not isinstance(value, (int, Fraction)):
        return str(value)
    scaled = abs(value) * 10**6
    if scaled.denominator != 1:
        return str(value)
    whole, rest = divmod(int(scaled), 10**6)
    return "-" * (value < 0) + f"{whole}.{rest:06d}".rstrip("0").rstrip(".")


def arange(*bounds):
    bounds = [number_of(bound) for bound in bounds]
    start, stop, step = (0, bounds[0], 1) if len(bounds) == 1 else (*bounds, 1)[:3]
    if step == 0:
        raise TemplateError("a range with step 0")
    count = max(0, -((start - stop) // step))
    if count > 10**6:
        raise TemplateError("a range of more than a million numbers")
    return [number_of(start + i * step) for i in range(count)]


def with_wording(item):
    return Worded(as_text(item[0]), number_of(item[1])) if isinstance(item, tuple) and len(item) == 2 else item


class Draw:
    """What #init draws from: one or `count` of the items, without repetition or, `in_order`, neighbours in a circle."""

    def __init__(self, items, count=None, in_order=False):
        if not isinstance(items, list) or not 1 <= (count or 1) <= len(items):
            raise TemplateError("there is no list with as many values as are drawn")
        self.items, self.count, self.in_order = [with_wording(item) for item in items], count or 1, in_order

    def __call__(self, rng):
        if self.in_order:
            at = rng.randrange(len(self.items))
            return [self.items[(at + i) % len(self.items)] for i in range(self.count)]
        return [rng.choice(self.items)] if self.count == 1 else rng.sample(self.items, self.count)


def mixed_fraction(value):
    whole, rest = divmod(number_of(value), 1)
    return f"{whole} {rest}" if whole and rest else str(whole or rest)


def same(value):
    return value


def integer(value):
    value = number_of(value)
    return abs(value) // 1 * (-1 if value < 0 else 1)


def exact_integer(value):
    if number_of(value) % 1:
        raise InexactAnswer
    return number_of(value)


FUNCTIONS = {
    "sample": Draw,
    "sample_sequential": lambda items, count: Draw(items, count, in_order=True),
    "range": arange,
    "frange": arange,
    "np.arange": arange,
    "np.random.randint": lambda low, high, size=None: arange(low, high),  # one of them is drawn anyway
    "list": same,
    "fix_floats": same,
    "shuffle_list": same,
    "numbers_within": lambda low, high: [Worded(in_words(n), n) for n in range(low, high + 1)],
    "int": integer,
    "round": lambda value, digits=0: number_of(round(Fraction(number_of(value)), digits)),
    "is_int": lambda value: number_of(value) % 1 == 0,
    "divides": lambda value, by: number_of(value) % number_of(by) == 0,
    "Fraction": lambda top, bottom=1: Fraction(number_of(top)) / number_of(bottom),
    "format_frac": mixed_fraction,
}


def power(base, exponent):
    if not isinstance(exponent, int) or abs(exponent) > 64:
        raise TemplateError("a power that isn't a whole number of at most 64")
    return Fraction(base) ** exponent


ARITHMETIC = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod, ast.Pow: power, ast.Div: lambda a, b: Fraction(a) / b,
}
COMPARISONS = {
    ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge, ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}


class Expression:
    """A parsed expression; called with the values of names."""

    def __init__(self, source):
        self.source = source.strip()
        try:
            self.tree = ast.parse(self.source, mode="eval").body
        except (SyntaxError, ValueError):
            raise TemplateError(f"'{self.source}' isn't an expression") from None
        self.names = {node.id for node in ast.walk(self.tree) if isinstance(node, ast.Name)}

    def __call__(self, values, exact=False):
        """exact: int() of a number that isn't whole raises InexactAnswer."""
        try:
            return Evaluation(values, exact).of(self.tree)
        except (TypeError, ValueError, IndexError, AttributeError) as error:
            raise TemplateError(f"'{self.source}' can't be evaluated ({error})") from None
        except TemplateError as error:
            raise TemplateError(f"{error} (in '{self.source}')") from None


class Evaluation:
    def __init__(self, values, exact):
        self.values, self.exact = values, exact

    def of(self, node):
        method = getattr(self, type(node).__name__, None)
        if method is None:
            raise TemplateError(f"{type(node).__name__} isn't supported")
        return method(node)

    def Constant(self, node):
        return number_of(Fraction(repr(node.value))) if isinstance(node.value, float) else node.value

    def Name(self, node):
        if node.id in self.values:
            return self.values[node.id]
        if node.id in LISTS:
            return LISTS[node.id]
        raise TemplateError(f"unknown name {node.id}")

    def List(self, node):
        return [self.of(item) for item in node.elts]

    def Tuple(self, node):
        return tuple(self.of(item) for item in node.elts)

    def BinOp(self, node):
        left, right = self.of(node.left), self.of(node.right)
        if type(node.op) not in ARITHMETIC:
            raise TemplateError(f"{type(node.op).__name__} isn't supported")
        if isinstance(left, list) and isinstance(node.op, ast.Add) and isinstance(right, list):
            return left + right
        if isinstance(left, list) and isinstance(node.op, ast.Mult) and 0 <= number_of(right) <= 1000:
            return left * number_of(right)
        return number_of(ARITHMETIC[type(node.op)](number_of(left), number_of(right)))

    def UnaryOp(self, node):
        value = self.of(node.operand)
        if isinstance(node.op, ast.Not):
            return not value
        if isinstance(node.op, ast.USub):
            return -number_of(value)
        raise TemplateError(f"{type(node.op).__name__} isn't supported")

    def BoolOp(self, node):
        every = isinstance(node.op, ast.And)
        return all(map(self.of, node.values)) if every else any(map(self.of, node.values))

    def Compare(self, node):
        plain = lambda value: value if isinstance(value, str) else number_of(value)
        left = plain(self.of(node.left))
        for op, right in zip(node.ops, node.comparators):
            if type(op) not in COMPARISONS:
                raise TemplateError(f"{type(op).__name__} isn't supported")
            right = plain(self.of(right))
            if not COMPARISONS[type(op)](left, right):
                return False
            left = right
        return True

    def IfExp(self, node):
        return self.of(node.body if self.of(node.test) else node.orelse)

    def Subscript(self, node):
        value = self.of(node.value)
        if isinstance(node.slice, ast.Slice):
            low, high, step = (part and self.of(part) for part in (node.slice.lower, node.slice.upper, node.slice.step))
            return value[low:high:step]
        index = self.of(node.slice)
        return (value.text, value.value)[index] if isinstance(value, Worded) else value[index]

    def Set(self, node):
        """{...} around an answer is a slot."""
        if len(node.elts) != 1:
            raise TemplateError("a set isn't supported")
        return self.of(node.elts[0])

    def Call(self, node):
        name = ast.unparse(node.func)
        if name not in FUNCTIONS:
            raise TemplateError(f"unknown function {name}")
        if node.keywords:
            raise TemplateError(f"{name} with named arguments isn't supported")
        arguments = [self.of(argument) for argument in node.args]
        return exact_integer(*arguments) if self.exact and name == "int" else FUNCTIONS[name](*arguments)
