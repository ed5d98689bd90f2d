"""The faults: which there are in a source, and which of them are sampled."""
import hashlib
import re
from dataclasses import dataclass

OPERATORS = ["changed comparison", "dropped statement", "swapped statements", "off by one", "changed constant",
             "negated condition"]
COMPARISONS = {"<": ["<=", ">="], "<=": ["<", ">"], ">": [">=", "<="], ">=": [">", "<"], "==": ["!="], "!=": ["=="],
               "&&": ["||"], "||": ["&&"]}
ASSIGNMENTS = {"=", "+=", "-=", "*=", "/=", "%=", "|=", "&=", "^=", "<<=", ">>=", "++", "--"}
CONTRACTS = {"REQUIRE", "INVARIANT", "ENSURE", "CONTRACT_CHECK", "_Static_assert", "sizeof", "_Alignof"}
NUMBER = re.compile(r"(0[xX][0-9a-fA-F]+|0|[1-9]\d*)([uUlL]*)$")
# What is a number by its name; a pointer by such a name only makes a fault that is found at once.
NUMERIC_NAME = re.compile(
    r"(?:^|_)(?:count|size|bytes|index|number|depth|time|offset|units|length|left|room|limit|begin|end|first|last|"
    r"total|free|used|snapshot|horizon|i|pin|generation|MAX|MIN|BYTES|COUNT)$")
NO_ENUMERATOR = re.compile(r"_(?:MAX|MIN|BYTES|COUNT|NS|MS|UNITS|ENTRIES|TYPICAL|MASK|BITS)(?:_|$)")
AROUND_NUMBER = {",", "<", ">", "<=", ">=", "==", "!=", "&&", "||", "+", "-", "?", ":"}
BEFORE_NUMBER = AROUND_NUMBER | {"(", "[", "=", "+=", "-=", "return"}
AFTER_NUMBER = AROUND_NUMBER | {")", "]", ";"}


@dataclass
class Mutant:
    file: str
    function: str
    operator: str
    begin: int
    end: int
    replacement: str
    line: int
    original: str = ""
    mutated: str = ""

    def key(self):
        return self.file, self.function, self.original, self.mutated

    def apply(self, text):
        return text[:self.begin] + self.replacement + text[self.end:]


def one_line(text):
    return " ".join(text.split())


class Finder:
    """All faults of one source."""

    def __init__(self, source):
        self.source = source
        self.tokens = source.tokens
        self.mutants = []
        self.function = None
        self.enumerators = {}
        self.names_of_functions = {function.name for function in source.functions}
        for token in self._tokens_of_bodies():
            if token.kind == "name" and re.fullmatch(r"[A-Z][A-Z0-9]+_[A-Z0-9_]+", token.text) \
                    and not NO_ENUMERATOR.search(token.text):
                self.enumerators.setdefault(token.text.split("_")[0], set()).add(token.text)

    def _tokens_of_bodies(self):
        for function in self.source.functions:
            yield from self.tokens[function.body.first:function.body.last]

    def find(self):
        for function in self.source.functions:
            self.function = function
            self.excluded = self._excluded(function.body.first, function.body.last)
            for statement in function.statements():
                self._mutate_statement(statement)
        return self.mutants

    def _excluded(self, first, last):
        """Contracts, diagnostics, sizes of types, labels of a switch, and sizes of arrays."""
        excluded = set()
        for index in range(first, last):
            text = self.tokens[index].text
            is_call = self.source.is_at(index + 1, "(")
            if is_call and (text in CONTRACTS or text.startswith("diagnostic_")):
                excluded.update(range(index, self.source.partner[index + 1] + 1))
            elif text == "case":
                while not self.source.is_at(index, ":"):
                    excluded.add(index)
                    index += 1
        return excluded

    def _add(self, operator, first, last, replacement):
        """Replaces the tokens first..last."""
        source = self.source
        begin, end = self.tokens[first].begin, self.tokens[last].end
        if source.text[begin:end] == replacement:
            return
        mutant = Mutant(source.path, self.function.name, operator, begin, end, replacement, source.line_of(begin))
        lines_begin = source.text.rfind("\n", 0, begin) + 1
        lines_end = source.text.find("\n", end)
        mutant.original = one_line(source.text[lines_begin:lines_end])
        mutant.mutated = one_line(source.text[lines_begin:begin] + replacement + source.text[end:lines_end])
        self.mutants.append(mutant)

    def _mutate_statement(self, statement):
        if statement.kind == "block":
            self._swap(statement.parts)
        elif statement.kind in ("if", "while", "do", "for", "switch"):
            self._mutate_condition(statement)
        elif statement.kind == "declaration":
            self._mutate_declaration(statement)
        elif statement.kind != "empty":
            self._mutate_expression(statement.first, statement.last)
        self._drop(statement)

    def _mutate_condition(self, statement):
        first, last = statement.condition
        if statement.kind == "for":
            opening = statement.first + 1
            closing = self.source.partner[opening]
            begin = opening + 1
            while not self.source.is_at(begin, "=", ";"):
                begin += 1
            self._mutate_expression(begin, first - 1)
            self._mutate_expression(last + 1, closing)
        if last < first:
            return
        self._mutate_expression(first, last)
        if statement.kind != "switch" and first not in self.excluded and \
                not (first == last and self.source.is_at(first, "true", "false", "0")):
            inner = self.source.text[self.tokens[first].begin:self.tokens[last].end]
            self._add("negated condition", first, last, f"!({inner})")

    def _mutate_declaration(self, statement):
        """Only the initialisers of automatic variables."""
        if self.source.is_at(statement.first, "static", "extern", "typedef", "_Static_assert"):
            return
        index = statement.first
        begin = None
        while index <= statement.last:
            if self.source.is_at(index, "=") and begin is None:
                begin = index
            elif self.source.is_at(index, ",", ";") and begin is not None:
                self._mutate_expression(begin, index)
                begin = None
            index = self.source.partner[index] + 1 if self.tokens[index].text in ("(", "[", "{") else index + 1

    def _mutate_expression(self, first, last):
        for index in range(first, last + 1):
            if index in self.excluded:
                continue
            token = self.tokens[index]
            if token.text in COMPARISONS:
                for other in COMPARISONS[token.text]:
                    self._add("changed comparison", index, index, other)
            elif token.kind == "number":
                self._change_number(index)
            elif token.kind == "name":
                self._change_name(index)

    def _change_number(self, index):
        match = NUMBER.match(self.tokens[index].text)
        if not match:
            return
        value = int(match.group(1), 0)
        others = [value + 1, value - 1] if value > 0 else [1]
        operator = "off by one" if self.source.is_at(index - 1, "+", "-") else "changed constant"
        for other in others:
            self._add(operator, index, index, f"{other}{match.group(2)}")

    def _change_name(self, index):
        text = self.tokens[index].text
        if text in ("true", "false"):
            self._add("changed constant", index, index, "false" if text == "true" else "true")
        family = self.enumerators.get(text.split("_")[0], ())
        if text in family and not self.source.is_at(index + 1, "("):
            for other in sorted(family - {text}):
                self._add("changed constant", index, index, other)
        if NUMERIC_NAME.search(text) and text not in self.names_of_functions and \
                self.source.is_at(index + 1, *AFTER_NUMBER):
            before = self._begin_of_chain(index) - 1
            if self.source.is_at(before, *BEFORE_NUMBER):
                self._add("off by one", index, index, f"{text} + 1")
                self._add("off by one", index, index, f"{text} - 1")

    def _begin_of_chain(self, index):
        """Of a->b[1].count the a."""
        while self.source.is_at(index - 1, ".", "->"):
            index -= 2
            while self.source.is_at(index, "]", ")"):
                index = self.source.partner[index] - 1
            if self.tokens[index].kind != "name":
                return index + 1
        return index

    def _is_for_show(self, statement):
        """Contracts, diagnostics, `(void)name;`."""
        first = statement.first
        is_silencer = self.source.is_at(first, "(") and self.source.is_at(first + 1, "void") and \
            self.source.is_at(first + 4, ";")
        return first in self.excluded or is_silencer

    def _drop(self, statement):
        if statement.kind in ("expression", "break", "continue") and not self._is_for_show(statement):
            self._add("dropped statement", statement.first, statement.last, ";")
        elif statement.kind == "return" and statement.depth > 1 and self._ends_with_return():
            self._add("dropped statement", statement.first, statement.last, ";")

    def _ends_with_return(self):
        parts = self.function.body.parts
        is_void = self.source.is_at(self.source.partner[self.function.body.first - 1] - 2, "void")
        return is_void or bool(parts) and parts[-1].kind == "return"

    def _swap(self, parts):
        text = self.source.text
        for one, other in zip(parts, parts[1:]):
            if any(part.kind != "expression" or self._is_for_show(part) for part in (one, other)):
                continue
            if self._commute(one, other):
                continue
            first = text[self.tokens[one.first].begin:self.tokens[one.last].end]
            between = text[self.tokens[one.last].end:self.tokens[other.first].begin]
            second = text[self.tokens[other.first].begin:self.tokens[other.last].end]
            self._add("swapped statements", one.first, other.last, second + between + first)

    def _commute(self, one, other):
        """Whether their order obviously changes nothing: two plain assignments of which neither names the other's target,
        or one of a constant and a call that is not given its target."""
        calls = [statement for statement in (one, other) if self._has_call(statement)]
        if not calls:
            targets = [self._target(statement) for statement in (one, other)]
            return None not in targets and targets[0][-1] not in self._names(other) and \
                targets[1][-1] not in self._names(one)
        plain = other if calls == [one] else one
        return len(calls) == 1 and self._is_unseen(plain, calls[0])

    def _is_unseen(self, plain, call):
        target = self._target(plain)
        if target is None or target[-1] in self._names(call) or any("atomic" in name for name in self._names(call)):
            return False
        constants = {name for name in self._names(plain) if name.isupper() or name in ("true", "false")}
        whole = [index for index in range(call.first, call.last) if self.tokens[index].text == target[0]
                 and not self.source.is_at(index + 1, "->", ".")]
        return self._names(plain) - constants <= set(target) and not whole

    def _has_call(self, statement):
        return any(self.source.is_at(index, "(") and self.tokens[index - 1].kind == "name"
                   for index in range(statement.first, statement.last))

    def _names(self, statement):
        return {token.text for token in self.tokens[statement.first:statement.last] if token.kind == "name"}

    def _target(self, statement):
        """The names in front of the one sign that assigns, or None."""
        signs = [index for index in range(statement.first, statement.last) if self.tokens[index].text in ASSIGNMENTS]
        if len(signs) != 1:
            return None
        end = signs[0] if signs[0] > statement.first else statement.last
        return [token.text for token in self.tokens[statement.first:end] if token.kind == "name"] or None


def sample(mutants, seed, count):
    """Up to count of them: the operators in turn, at most two of a line, different ones for another seed. A change of
    the sources changes the choice only there."""
    def rank(mutant):
        return hashlib.sha256("\n".join((str(seed), *mutant.key())).encode()).digest()

    waiting = {operator: [] for operator in OPERATORS}
    for mutant in sorted(mutants, key=rank, reverse=True):
        waiting[mutant.operator].append(mutant)
    chosen = []
    of_line = {}
    while len(chosen) < count and any(waiting.values()):
        for operator in OPERATORS:
            while waiting[operator] and len(chosen) < count:
                mutant = waiting[operator].pop()
                place = mutant.file, mutant.line
                if of_line.get(place, 0) < 2:
                    of_line[place] = of_line.get(place, 0) + 1
                    chosen.append(mutant)
                    break
    return sorted(chosen, key=lambda mutant: (mutant.file, mutant.begin, mutant.replacement))
