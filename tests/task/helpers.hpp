// Shared by the tests of the tasks.
#pragma once

#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "tdrm/base/errors.hpp"
#include "tdrm/task/chain.hpp"
#include "tdrm/task/countdown.hpp"
#include "tdrm/task/walk.hpp"

namespace tdrm::task {

inline std::unique_ptr<Task> countdown(int numbers = 4, double noise = 0) {
    CountdownOptions options;
    options.numbers = numbers;
    options.max_number = numbers == 3 ? 20 : 12;
    options.noise = noise;
    options.splits = {{"sft", 160'000}, {"value", 2500}, {"rl", 1000}, {"dev", 300}, {"test", 1000}};
    return make_countdown(options, 1);
}

inline std::unique_ptr<Task> chain(double noise = 0) {
    ChainOptions options;
    options.noise = noise;
    options.splits = {{"sft", 20'000}, {"dev", 300}, {"test", 1000}};
    return make_chain(options, 1);
}

inline std::unique_ptr<Task> walk(int steps = 8, double noise = 1) {
    WalkOptions options;
    options.steps = steps;
    options.noise = noise;
    options.splits = {{"sft", 1000}, {"dev", 300}, {"test", 500}};
    return make_walk(options, 1);
}

/// A problem written by hand.
inline Problem problem_of(const Task& task, const std::string& prompt, const std::string& answer) {
    return {0, task.parse(prompt), answer};
}

inline Verdict verdict_of(const Task& task, const Problem& problem, const std::string& answer) {
    return task.verdict(problem, task.parse(answer));
}

inline std::vector<std::string> words_of(const std::string& text) {
    std::istringstream stream(text);
    std::vector<std::string> words;
    for (std::string word; stream >> word;) words.push_back(word);
    return words;
}

/// Message of the error that a call throws; empty if it throws none.
template <class ErrorType, class Call>
std::string message_of(Call call) {
    try {
        call();
    } catch (const ErrorType& error) {
        return error.what();
    }
    return "";
}

}  // namespace tdrm::task
