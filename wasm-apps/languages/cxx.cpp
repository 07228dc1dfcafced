// Exceptions of C++ in all their forms: across frames, nested, thrown again, kept for later,
// while destructors compute, with the state of a computation in what unwinding destroys.
//
// Usage: cxx [rounds=40]
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

long log_sum = 0;

void note(long what) { log_sum = (log_sum * 31 + what) % 1000000007; }

struct Guard {
    int depth;
    explicit Guard(int depth) : depth(depth) {}
    ~Guard() {
        // Destructors run while an exception is under way, and compute.
        for (int i = 0; i < 4; i++) note(depth + i);
    }
};

struct Failure : std::runtime_error {
    int code;
    Failure(int code, const std::string &text) : std::runtime_error(text), code(code) {}
};

struct Special : Failure {
    using Failure::Failure;
};

int descend(int depth, int round) {
    Guard guard(depth);
    if (depth == 0) {
        if (round % 3 == 0) throw Special(round, "special " + std::to_string(round));
        if (round % 3 == 1) throw Failure(round, "failure " + std::to_string(round));
        throw round;
    }
    return descend(depth - 1, round + (depth & 1)) + 1;
}

int caught(int depth, int round) {
    try {
        return descend(depth, round);
    } catch (const Special &special) {
        note(special.code);
        return 1;
    } catch (const std::exception &error) {
        note(static_cast<long>(std::string(error.what()).size()));
        return 2;
    } catch (int value) {
        note(value);
        return 3;
    }
}

// Catches, works on while the exception is alive, and throws it on.
int rethrown(int depth, int round) {
    try {
        try {
            Guard guard(1000 + depth);
            descend(depth, round);
        } catch (...) {
            for (int i = 0; i < 20; i++) note(i * round);
            note(caught(depth / 2, round + 1));
            throw;
        }
    } catch (const Failure &failure) {
        return failure.code;
    } catch (int value) {
        return -value;
    }
    return 0;
}

// An exception that is thrown while another one is being handled.
std::string nested(int level) {
    try {
        if (level == 0) throw std::out_of_range("bottom");
        nested(level - 1);
        return "none";
    } catch (const std::exception &error) {
        try {
            throw std::logic_error(std::string(error.what()) + "<" + std::to_string(level));
        } catch (const std::logic_error &inner) {
            if (level >= 6) return inner.what();
            throw;
        }
    }
}

std::vector<std::exception_ptr> kept;

void keep(int round) {
    try {
        descend(2, round);
    } catch (...) {
        kept.push_back(std::current_exception());
    }
}

long replay() {
    long sum = 0;
    for (auto &one : kept) {
        try {
            std::rethrow_exception(one);
        } catch (const Failure &failure) {
            sum += failure.code * 7;
        } catch (int value) {
            sum += value;
        }
    }
    kept.clear();
    return sum;
}

struct Shape {
    virtual ~Shape() = default;
    virtual long area(int round) const = 0;
};

struct Square : Shape {
    long side;
    explicit Square(long side) : side(side) {}
    long area(int round) const override {
        if ((side + round) % 4 == 0) throw Failure(static_cast<int>(side), "flat");
        return side * side;
    }
};

}  // namespace

int main(int argc, char **argv) {
    int rounds = argc > 1 ? std::atoi(argv[1]) : 40;
    std::map<std::string, long> counts;
    for (int round = 0; round < rounds; round++) {
        for (int depth = 1; depth < 12; depth++) {
            counts["caught " + std::to_string(caught(depth, round))]++;
            note(rethrown(depth, round));
        }
        counts[nested(6 + round % 2)]++;
        keep(round);
        if (round % 5 == 4) note(replay());

        std::vector<std::unique_ptr<Shape>> shapes;
        for (int side = 0; side < 20; side++) shapes.push_back(std::make_unique<Square>(side));
        for (const auto &shape : shapes) {
            try {
                note(shape->area(round));
            } catch (const Failure &failure) {
                counts[failure.what()] += failure.code;
            }
        }
        try {
            std::vector<int>(3).at(static_cast<std::size_t>(round + 3));
        } catch (const std::out_of_range &error) {
            counts[error.what()]++;
        }
        if (round % (rounds / 4 > 0 ? rounds / 4 : 1) == 0) {
            std::printf("%d %ld\n", round, log_sum);
            std::fflush(stdout);
        }
    }
    for (const auto &[name, count] : counts) std::printf("%s: %ld\n", name.c_str(), count);
    std::printf("end %ld %d\n", log_sum, std::uncaught_exceptions());
    return 0;
}
