#include "tdrm/rollout/state_tree.hpp"

#include <map>
#include <utility>

namespace tdrm::rollout {

StateTree state_tree(const Trajectories& data) {
    StateTree tree;
    const auto add = [&](std::int32_t parent) {
        tree.parent_N.push_back(parent);
        tree.first_N.push_back(tree.node_S.size());
        return static_cast<std::int32_t>(tree.parent_N.size() - 1);
    };
    for (const auto& [begin, end] : data.groups()) {
        std::map<std::pair<std::int32_t, task::Tokens>, std::int32_t> known;  // by parent and step
        std::int32_t root = -1;
        for (std::size_t row = begin; row < end; ++row) {
            if (root < 0) root = add(-1);
            tree.node_S.push_back(root);
            std::int32_t node = root, from = 0;
            for (const std::int32_t to : data.step_ends(row)) {
                const auto ids = data.ids(row);
                const auto [at, is_new] = known.try_emplace({node, {ids.begin() + from, ids.begin() + to}}, -1);
                if (is_new) at->second = add(node);
                node = at->second;
                tree.node_S.push_back(node);
                from = to;
            }
        }
    }
    return tree;
}

}  // namespace tdrm::rollout
