"""Reads C sources as far as faults need it: tokens, function bodies, statements.

Not a compiler: the sources have no macros that open or close a block, no K&R definitions, and no label but in a
switch. Comments, preprocessor lines and everything outside function bodies are left out.
"""
import re
from dataclasses import dataclass, field

TOKEN = re.compile(r"""
    (?P<blank>\s+|//[^\n]*|/\*.*?\*/)
  | (?P<string>(?:u8|[uUL])?"(?:\\.|[^"\\])*"|[uUL]?'(?:\\.|[^'\\])*')
  | (?P<number>\.?\d(?:[eEpP][+-]|[\w.])*)
  | (?P<name>[A-Za-z_]\w*)
  | (?P<sign>\.\.\.|<<=|>>=|->|\+\+|--|<<|>>|<=|>=|==|!=|&&|\|\||[-+*/%&|^]=|.)
""", re.VERBOSE | re.DOTALL)
PREPROCESSOR_LINE = re.compile(r"^[ \t]*#(?:[^\n\\]|\\[\s\S])*", re.MULTILINE)
TYPE_WORDS = {"const", "struct", "enum", "union", "static", "unsigned", "signed", "int", "char", "long", "short",
              "bool", "void", "double", "float", "volatile", "extern", "_Atomic", "_Alignas", "_Static_assert", "typedef"}
PAIRS = {"(": ")", "[": "]", "{": "}"}


@dataclass
class Token:
    kind: str
    text: str
    begin: int
    end: int


@dataclass
class Statement:
    """first and last are indices of tokens, condition too (without the parentheses). Of kind if, while, do, for,
    switch, block, declaration, expression, return, break, continue, goto or empty."""
    kind: str
    first: int
    last: int = 0
    condition: tuple = None
    parts: list = field(default_factory=list)
    depth: int = 0


@dataclass
class Function:
    name: str
    body: Statement

    def statements(self):
        waiting = [self.body]
        while waiting:
            statement = waiting.pop(0)
            yield statement
            waiting = statement.parts + waiting


class Source:
    def __init__(self, path, text):
        self.path = path
        self.text = text
        self.tokens = self._tokens()
        self.partner = self._partners()
        self.functions = list(self._functions())

    def _tokens(self):
        plain = PREPROCESSOR_LINE.sub(lambda match: re.sub(r"[^\n]", " ", match.group()), self.text)
        return [Token(match.lastgroup, match.group(), match.start(), match.end())
                for match in TOKEN.finditer(plain) if match.lastgroup != "blank"]

    def _partners(self):
        """Of each bracket the index of the one that belongs to it."""
        partner = {}
        waiting = []
        for index, token in enumerate(self.tokens):
            if token.kind != "sign":
                continue
            if token.text in PAIRS:
                waiting.append(index)
            elif token.text in PAIRS.values():
                opening = waiting.pop()
                partner[opening] = index
                partner[index] = opening
        return partner

    def is_at(self, index, *texts):
        return 0 <= index < len(self.tokens) and self.tokens[index].text in texts

    def line_of(self, position):
        return self.text.count("\n", 0, position) + 1

    def _functions(self):
        index = 0
        while index < len(self.tokens):
            if self.is_at(index, "{"):
                if self.is_at(index - 1, ")"):
                    name = self.tokens[self.partner[index - 1] - 1].text
                    yield Function(name, self._statement(index, 0))
                index = self.partner[index]
            index += 1

    def _statement(self, index, depth):
        while self.is_at(index, "case", "default"):
            while not self.is_at(index, ":"):
                index += 1
            index += 1
        word = self.tokens[index].text
        statement = Statement(word, index, depth=depth)
        if word == "{":
            statement.kind = "block"
            self._block(statement)
        elif word in ("if", "while", "for", "switch"):
            self._controlled(statement)
        elif word == "do":
            self._do(statement)
        else:
            statement.kind = self._simple_kind(index)
            statement.last = self._end_of_simple(index)
        return statement

    def _block(self, statement):
        end = self.partner[statement.first]
        index = statement.first + 1
        while index < end:
            statement.parts.append(self._statement(index, statement.depth + 1))
            index = statement.parts[-1].last + 1
        statement.last = end

    def _controlled(self, statement):
        opening = statement.first + 1
        closing = self.partner[opening]
        statement.condition = (opening + 1, closing - 1)
        if statement.kind == "for":
            end = self._end_of_simple(opening + 1)
            statement.condition = (end + 1, self._end_of_simple(end + 1) - 1)
        statement.parts.append(self._statement(closing + 1, statement.depth + 1))
        statement.last = statement.parts[-1].last
        if statement.kind == "if" and self.is_at(statement.last + 1, "else"):
            statement.parts.append(self._statement(statement.last + 2, statement.depth + 1))
            statement.last = statement.parts[-1].last

    def _do(self, statement):
        statement.parts.append(self._statement(statement.first + 1, statement.depth + 1))
        opening = statement.parts[-1].last + 2  # behind `while`
        statement.condition = (opening + 1, self.partner[opening] - 1)
        statement.last = self.partner[opening] + 1

    def _simple_kind(self, index):
        word = self.tokens[index]
        if word.text == ";":
            return "empty"
        if word.text in ("return", "break", "continue", "goto"):
            return word.text
        if word.text in TYPE_WORDS or word.text.endswith("_t") or self._is_typedef_declaration(index):
            return "declaration"
        return "expression"

    def _is_typedef_declaration(self, index):
        if self.tokens[index].kind != "name":
            return False
        after = index + 1
        while self.is_at(after, "*"):
            after += 1
        return self.tokens[after].kind == "name" and self.is_at(after + 1, "=", ";", ",", "[")

    def _end_of_simple(self, index):
        while not self.is_at(index, ";"):
            index = self.partner[index] + 1 if self.tokens[index].text in PAIRS else index + 1
        return index
