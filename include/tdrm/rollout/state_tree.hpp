// The states of many answers as a tree: equal states of a problem are one node.
#pragma once

#include <cstdint>
#include <vector>

#include "tdrm/rollout/trajectories.hpp"

namespace tdrm::rollout {

struct StateTree {
    std::vector<std::int32_t> node_S;    ///< of each state s_0..s_T of each trajectory (as state_offsets)
    std::vector<std::int32_t> parent_N;  ///< of each node the one a step before; -1: a prompt
    std::vector<std::size_t> first_N;    ///< of each node the first state that is it

    /// Figures of states as figures of nodes, each from its first state.
    template <class T>
    [[nodiscard]] std::vector<double> by_node(const std::vector<T>& figure_S) const {
        std::vector<double> result;
        for (const std::size_t s : first_N) result.push_back(static_cast<double>(figure_S[s]));
        return result;
    }
};

/// Local. States of a problem are equal if the ids up to them and their ends are.
[[nodiscard]] StateTree state_tree(const Trajectories& data);

}  // namespace tdrm::rollout
