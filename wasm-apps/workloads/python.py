"""Classes, generators, exceptions, closures, dictionaries, strings: Python of any size."""

seed = 42


def random(n):
    global seed
    seed = (seed * 1103515245 + 12345) % 2147483648
    return seed // 65536 % n


class Failure(Exception):
    def __init__(self, code):
        super().__init__("failure %d" % code)
        self.code = code


class Special(Failure):
    pass


class Ordered:
    def __init__(self, value):
        self.value = value

    def __lt__(self, other):
        return self.value < other.value

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        self.value += 1
        return kind is Special


def descend(depth):
    try:
        if depth == 0:
            raise (Special if random(3) == 0 else Failure)(random(50))
        return descend(depth - 1) + 1
    finally:
        log["depth"] = log.get("depth", 0) + depth


def numbers(limit):
    value = 0
    while value < limit:
        try:
            step = yield value
            value += step or 1
        except Failure as error:
            value += error.code


def compose(*functions):
    def composed(value):
        for function in functions:
            value = function(value)
        return value

    return composed


log = {}
total = 0
double = compose(lambda x: x * 2, lambda x: x % 1000, lambda x: x + 1)
for turn in range(1, 37):
    for depth in range(1, 9):
        try:
            with Ordered(depth) as one:
                total += descend(depth)
        except Failure as error:
            total += error.code
            log[str(error)] = log.get(str(error), 0) + 1
        total += one.value
    counter = numbers(200)
    next(counter)
    try:
        while True:
            if random(4):
                total += counter.send(random(9))
            else:
                total += counter.throw(Failure(random(20)))
    except StopIteration:
        total += 1
    items = sorted([Ordered(double(random(5000))) for _ in range(40)])
    total += sum(item.value * place for place, item in enumerate(items))
    words = ["%s%d" % (chr(97 + random(26)) * 3, random(100)) for _ in range(20)]
    table = {word: len(word) for word in words if "a" <= word[0] <= "m"}
    text = "-".join(sorted(table)).upper().replace("AAA", "?")
    try:
        {}[text]
    except KeyError as error:
        total += len(error.args[0])
    if turn % 9 == 0:
        print(turn, total, len(log), text[:32])
print("total", total, sorted(log.items())[:3], 1.0 / 3, 2**70 // 3)
